//! Wall-clock time of a few zones, worked out here by their published rules, so that the machine's
//! calendar is judged by another one.

use usher_domain::rule::{Condition, Holiday, Time, Window};
use usher_domain::time::Timestamp;

pub(crate) const ZONES: [&str; 5] =
    ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Hong_Kong"];

const DAY: i64 = 86_400;
const HOUR: i64 = 3_600;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Local {
    /// Days since 1970-01-01.
    day: i64,
    minute: u16,
}

pub(crate) fn local(zone: &str, now: Timestamp) -> Local {
    let utc = i64::try_from(now.millis() / 1_000).expect("a simulated instant is near our time");
    let there = utc + offset(zone, utc);
    let minute = u16::try_from(there.rem_euclid(DAY) / 60).expect("a day has 1440 minutes");
    Local { day: there.div_euclid(DAY), minute }
}

/// Whether the clock was set between the two instants.
pub(crate) fn clock_was_set(zone: &str, from: Timestamp, to: Timestamp) -> bool {
    let at = |now: Timestamp| offset(zone, i64::try_from(now.millis() / 1_000).unwrap_or(0));
    at(from) != at(to)
}

fn offset(zone: &str, utc: i64) -> i64 {
    let (year, ..) = civil(utc.div_euclid(DAY));
    let summer = |from: i64, to: i64| from <= utc && utc < to;
    match zone {
        "Europe/Berlin" => {
            let from = sunday_on_or_before(days(year, 3, 31)) * DAY + HOUR;
            let to = sunday_on_or_before(days(year, 10, 31)) * DAY + HOUR;
            if summer(from, to) { 2 * HOUR } else { HOUR }
        }
        "America/New_York" => {
            let from = sunday_on_or_before(days(year, 3, 14)) * DAY + 7 * HOUR;
            let to = sunday_on_or_before(days(year, 11, 7)) * DAY + 6 * HOUR;
            if summer(from, to) { -4 * HOUR } else { -5 * HOUR }
        }
        "Asia/Kolkata" => 5 * HOUR + HOUR / 2,
        "Asia/Hong_Kong" => 8 * HOUR,
        _ => 0,
    }
}

/// Monday = 0.
const fn weekday(day: i64) -> i64 {
    (day + 3).rem_euclid(7)
}

const fn sunday_on_or_before(day: i64) -> i64 {
    day - (weekday(day) + 1) % 7
}

/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
pub(crate) const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

pub(crate) const fn civil(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted - era * 146_097;
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + if month <= 2 { 1 } else { 0 }, month, date)
}

/// Place of the matching branch among holidays, conditions and otherwise, and its name.
pub(crate) fn matching(layer: &Time, now: Timestamp) -> (usize, &str) {
    let local = local(&layer.zone, now);
    for (slot, holiday) in layer.holidays.iter().enumerate() {
        if holiday_on(holiday, local) {
            return (slot, &holiday.name);
        }
    }
    for (slot, condition) in layer.conditions.iter().enumerate() {
        if condition.windows.iter().any(|window| within(condition, *window, local)) {
            return (layer.holidays.len() + slot, &condition.name);
        }
    }
    (layer.holidays.len() + layer.conditions.len(), "otherwise")
}

fn holiday_on(holiday: &Holiday, local: Local) -> bool {
    let (year, month, day) = civil(local.day);
    let (from, to) = (holiday.from, holiday.to);
    let parts = |year: i16, month: i8, day: i8| (i64::from(year), i64::from(month), i64::from(day));
    let (from, to) =
        (parts(from.year(), from.month(), from.day()), parts(to.year(), to.month(), to.day()));
    let falls = if holiday.yearly {
        let (from, to, today) = ((from.1, from.2), (to.1, to.2), (month, day));
        if from <= to { from <= today && today <= to } else { from <= today || today <= to }
    } else {
        from <= (year, month, day) && (year, month, day) <= to
    };
    let hours = |window: &Window| window.from <= local.minute && local.minute < window.to;
    falls && (holiday.windows.is_empty() || holiday.windows.iter().any(hours))
}

fn within(condition: &Condition, window: Window, local: Local) -> bool {
    let listed = |day: i64| condition.days.iter().any(|&on| i64::from(on) == weekday(day));
    if window.from < window.to {
        return listed(local.day) && window.from <= local.minute && local.minute < window.to;
    }
    let evening = listed(local.day) && window.from <= local.minute;
    let morning = listed(local.day - 1) && local.minute < window.to;
    evening || morning
}

#[test]
fn the_clocks_of_berlin_and_new_york_are_set_when_they_should_be() {
    let at = |day: i64, hour: i64, minute: i64| {
        let seconds = day * DAY + hour * HOUR + minute * 60;
        Timestamp::from_millis(u64::try_from(seconds * 1_000).expect("after 1970"))
    };
    let minute = |zone, when| local(zone, when).minute;
    assert_eq!(civil(days(2026, 3, 29)), (2026, 3, 29));
    assert_eq!(weekday(days(2026, 3, 29)), 6);
    assert_eq!(minute("Europe/Berlin", at(days(2026, 3, 29), 0, 59)), 119);
    assert_eq!(minute("Europe/Berlin", at(days(2026, 3, 29), 1, 0)), 180);
    assert_eq!(minute("Europe/Berlin", at(days(2026, 10, 25), 0, 30)), 150);
    assert_eq!(minute("Europe/Berlin", at(days(2026, 10, 25), 1, 30)), 150);
    assert_eq!(minute("America/New_York", at(days(2026, 3, 8), 7, 0)), 180);
    assert_eq!(minute("America/New_York", at(days(2026, 11, 1), 6, 0)), 60);
}
