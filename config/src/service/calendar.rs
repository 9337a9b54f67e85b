//! Days, hours and dates as people write them.

use jiff::civil::Date;
use usher_domain::rule::Window;

use crate::node::Node;
use crate::value;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Yearly dates are kept in a leap year, so that 29 February is one.
const ANY_YEAR: i16 = 2024;

/// `daily`, `mon-fri`, `sat`, `mon,wed,fri-sun`; Monday = 0, in order of the week.
pub(super) fn days(node: &Node) -> Result<Vec<u8>, String> {
    let written = value::text(node)?;
    if written == "daily" {
        return Ok((0..7).collect());
    }
    let mut found = [false; 7];
    for part in written.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to) = (day(from)?, day(to)?);
        let span = (to + 7 - from) % 7;
        (0..=span).for_each(|step| found[(from + step) % 7] = true);
    }
    Ok((0_u8..).zip(found).filter(|(_, on)| *on).map(|(day, _)| day).collect())
}

fn day(written: &str) -> Result<usize, String> {
    let written = written.trim();
    DAYS.iter().position(|day| *day == written).ok_or_else(|| {
        format!("`{written}` is not a day; write \"mon-fri\", \"sat,sun\" or \"daily\"")
    })
}

/// One window, or a list of them.
pub(super) fn windows(node: &Node) -> Result<Vec<Window>, String> {
    if value::text(node).is_ok() {
        return window(node).map(|window| vec![window]);
    }
    let windows = value::list(window)(node)?;
    if windows.is_empty() { Err("must not be empty".to_owned()) } else { Ok(windows) }
}

/// `09:00-17:00`; `22:00-06:00` crosses midnight.
fn window(node: &Node) -> Result<Window, String> {
    let written = value::text(node)?;
    let bad = || format!("`{written}` is not a window of time, as \"09:00-17:00\"");
    let (from, to) = written.split_once('-').ok_or_else(bad)?;
    let (from, to) = (minute(from).ok_or_else(bad)?, minute(to).ok_or_else(bad)?);
    if from == to {
        return Err(format!("`{written}` begins when it ends; the whole day is 00:00-24:00"));
    }
    if from == 24 * 60 {
        return Err(format!("`{written}`: a window begins at 00:00, not at 24:00"));
    }
    Ok(Window { from, to })
}

fn minute(written: &str) -> Option<u16> {
    let (hour, minute) = written.trim().split_once(':')?;
    let digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(hour) || !digits(minute) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let of_day = hour * 60 + minute;
    (minute < 60 && of_day <= 24 * 60).then_some(of_day)
}

/// First and last day, both included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Days {
    pub(super) from: Date,
    pub(super) to: Date,
    pub(super) yearly: bool,
}

/// One text or a list of them: `2026-12-24`, `2026-12-24..2026-12-26`, or every year `12-24..12-26`.
pub(super) fn dates(node: &Node) -> Result<Vec<Days>, String> {
    if value::text(node).is_ok() {
        return span(node);
    }
    let spans = value::list(span)(node)?.concat();
    if spans.is_empty() { Err("must not be empty".to_owned()) } else { Ok(spans) }
}

fn span(node: &Node) -> Result<Vec<Days>, String> {
    let written = value::text(node)?;
    let bad = || {
        format!("`{written}` is not a date; write \"2026-12-24\", \"12-25\" or \"12-24..12-26\"")
    };
    let (from, to) = written.split_once("..").unwrap_or((&written, &written));
    let (from, yearly) = date(from).ok_or_else(bad)?;
    let (to, also_yearly) = date(to).ok_or_else(bad)?;
    if yearly != also_yearly {
        return Err(format!("`{written}`: both ends need a year, or neither"));
    }
    if from <= to {
        return Ok(vec![Days { from, to, yearly }]);
    }
    if !yearly {
        return Err(format!("`{written}` ends before it begins"));
    }
    // Over New Year: two spans, so that nobody else has to think of it.
    let (last, first) = (Date::new(ANY_YEAR, 12, 31), Date::new(ANY_YEAR, 1, 1));
    let (last, first) = (last.map_err(|_| bad())?, first.map_err(|_| bad())?);
    Ok(vec![Days { from, to: last, yearly }, Days { from: first, to, yearly }])
}

/// The date, and whether it is one of every year.
fn date(written: &str) -> Option<(Date, bool)> {
    let parts: Vec<&str> = written.trim().split('-').collect();
    let number = |text: &str| text.parse::<i8>().ok();
    match parts[..] {
        [year, month, day] if year.len() == 4 => {
            Date::new(year.parse().ok()?, number(month)?, number(day)?).ok().zip(Some(false))
        }
        [month, day] => Date::new(ANY_YEAR, number(month)?, number(day)?).ok().zip(Some(true)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Origin;
    use crate::node::Value;

    fn node(text: &str) -> Node {
        Node { value: Value::Text(text.to_owned()), origin: Origin::Flag }
    }

    #[test]
    fn days_of_the_week() {
        assert_eq!(days(&node("mon-fri")), Ok(vec![0, 1, 2, 3, 4]));
        assert_eq!(days(&node("fri-mon, wed")), Ok(vec![0, 2, 4, 5, 6]));
        assert_eq!(days(&node("daily")).unwrap().len(), 7);
        assert!(days(&node("monday")).is_err());
        assert!(days(&node("")).is_err());
    }

    #[test]
    fn windows_of_time() {
        let one = |text| windows(&node(text)).map(|windows| windows[0]);
        assert_eq!(one("09:00-17:30"), Ok(Window { from: 540, to: 1_050 }));
        assert_eq!(one("18:00-24:00"), Ok(Window { from: 1_080, to: 1_440 }));
        assert_eq!(one("22:00-06:00"), Ok(Window { from: 1_320, to: 360 }));
        for bad in ["09:00", "9:00-17:00", "09:00-09:00", "24:00-06:00", "09:60-10:00", "x-y"] {
            assert!(one(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn dates_once_and_every_year() {
        let once = dates(&node("2026-12-24..2026-12-26")).unwrap();
        assert_eq!((once.len(), once[0].yearly), (1, false));
        assert_eq!(once[0].to.to_string(), "2026-12-26");
        assert!(dates(&node("02-29")).unwrap()[0].yearly);
        let over = dates(&node("12-30..01-02")).unwrap();
        assert_eq!(over.len(), 2);
        assert_eq!((over[0].to.day(), over[1].from.day(), over[1].to.day()), (31, 1, 2));
        for bad in ["2026-12-26..2026-12-24", "2026-12-24..12-26", "13-01", "2026-02-30", "soon"] {
            assert!(dates(&node(bad)).is_err(), "{bad}");
        }
    }
}
