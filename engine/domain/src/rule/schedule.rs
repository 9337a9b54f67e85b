//! Decides which branch of a time layer an instant falls into.

use std::iter;
use std::sync::LazyLock;

use jiff::civil::{Date, DateTime};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::OTHERWISE;
use super::shape::{Branch, Condition, Holiday, Time, Window};
use crate::time::Timestamp;
use crate::trace::Step;

/// Zones as they were when the program was built, whatever the machine it runs on has.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The zone with this IANA name.
pub(super) fn zone(name: &str) -> Option<TimeZone> {
    ZONES.get(name).ok()
}

/// Where an instant falls.
#[derive(Debug)]
pub(super) struct Judged {
    /// Place among [`Time::branches`].
    pub(super) slot: usize,
    pub(super) step: Step,
}

impl Time {
    /// The branches of holidays, conditions and otherwise, in the order they are judged.
    pub(super) fn branches(&self) -> impl Iterator<Item = &Branch> {
        let holidays = self.holidays.iter().map(|holiday| &holiday.branch);
        let conditions = self.conditions.iter().map(|condition| &condition.branch);
        holidays.chain(conditions).chain(iter::once(&*self.otherwise))
    }

    pub(super) fn judge(&self, now: Timestamp) -> Judged {
        let (zone_name, zone) =
            zone(&self.zone).map_or(("UTC", TimeZone::UTC), |zone| (self.zone.as_str(), zone));
        let local = wall_clock(&zone, now);
        let (slot, matched) = self.matching(local);
        let step = Step::Time {
            zone: zone_name.to_owned(),
            local: shown(local),
            matched: matched.to_owned(),
        };
        Judged { slot, step }
    }

    fn matching(&self, local: DateTime) -> (usize, &str) {
        let holidays = self.holidays.len();
        let holiday = self.holidays.iter().position(|holiday| holiday.matches(local));
        if let Some((slot, holiday)) =
            holiday.and_then(|slot| Some((slot, self.holidays.get(slot)?)))
        {
            return (slot, &holiday.name);
        }
        self.conditions
            .iter()
            .enumerate()
            .find(|(_, condition)| condition.matches(local))
            .map_or((holidays + self.conditions.len(), OTHERWISE), |(at, condition)| {
                (holidays + at, &condition.name)
            })
    }
}

impl Holiday {
    /// The instant's own calendar day has to be one of the holiday's.
    fn matches(&self, local: DateTime) -> bool {
        let on = |day: Date| self.falls_on(day);
        on(local.date())
            && (self.windows.is_empty()
                || self.windows.iter().any(|window| window.holds(local, on)))
    }

    fn falls_on(&self, day: Date) -> bool {
        if !self.yearly {
            return self.from <= day && day <= self.to;
        }
        let of_year = |date: Date| (date.month(), date.day());
        let (from, to, day) = (of_year(self.from), of_year(self.to), of_year(day));
        if from <= to { from <= day && day <= to } else { from <= day || day <= to }
    }
}

impl Condition {
    fn matches(&self, local: DateTime) -> bool {
        let on = |day: Date| {
            self.days
                .iter()
                .any(|&listed| i8::try_from(listed) == Ok(day.weekday().to_monday_zero_offset()))
        };
        self.windows.iter().any(|window| window.holds(local, on))
    }
}

impl Window {
    /// Whether a time of day lies in the window begun on a day that counts.
    fn holds(self, local: DateTime, counts: impl Fn(Date) -> bool) -> bool {
        let minute = minute_of_day(local);
        let begun_today = counts(local.date());
        if self.from < self.to {
            return begun_today && self.from <= minute && minute < self.to;
        }
        let begun_yesterday = || local.date().yesterday().is_ok_and(&counts);
        (minute >= self.from && begun_today) || (minute < self.to && begun_yesterday())
    }
}

fn minute_of_day(local: DateTime) -> u16 {
    u16::try_from(i16::from(local.hour()) * 60 + i16::from(local.minute())).unwrap_or(0)
}

fn wall_clock(zone: &TimeZone, now: Timestamp) -> DateTime {
    let instant = i64::try_from(now.millis())
        .ok()
        .and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok())
        .unwrap_or(jiff::Timestamp::MAX);
    zone.to_datetime(instant)
}

/// For people: `Sun 2026-03-29 03:30`.
fn shown(local: DateTime) -> String {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let day = usize::try_from(local.weekday().to_monday_zero_offset())
        .ok()
        .and_then(|offset| DAYS.get(offset))
        .unwrap_or(&"");
    format!("{day} {} {:02}:{:02}", local.date(), local.hour(), local.minute())
}

#[cfg(test)]
mod tests;
