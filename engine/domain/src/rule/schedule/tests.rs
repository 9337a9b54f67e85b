use std::collections::BTreeSet;

use jiff::civil::date;
use proptest::prelude::*;

use super::super::shape::Leaf;
use super::*;

const MINUTE: u64 = 60_000;
const WEEKDAYS: [u8; 5] = [0, 1, 2, 3, 4];
const EVERY_DAY: [u8; 7] = [0, 1, 2, 3, 4, 5, 6];

fn branch() -> Branch {
    Branch::Leaf(Leaf { stops: Vec::new(), priority: Leaf::PRIORITY_DEFAULT })
}

fn windows(windows: &[(u16, u16)]) -> Vec<Window> {
    windows.iter().map(|&(from, to)| Window { from: from * 60, to: to * 60 }).collect()
}

fn condition(name: &str, days: &[u8], hours: &[(u16, u16)]) -> Condition {
    Condition {
        name: name.to_owned(),
        days: days.to_vec(),
        windows: windows(hours),
        branch: branch(),
    }
}

fn holiday(name: &str, from: Date, to: Date, yearly: bool) -> Holiday {
    Holiday { name: name.to_owned(), from, to, yearly, windows: Vec::new(), branch: branch() }
}

fn layer(zone: &str, holidays: Vec<Holiday>, conditions: Vec<Condition>) -> Time {
    Time { zone: zone.to_owned(), holidays, conditions, otherwise: Box::new(branch()) }
}

fn instant(utc: &str) -> Timestamp {
    let utc: jiff::Timestamp = utc.parse().unwrap();
    Timestamp::from_millis(u64::try_from(utc.as_millisecond()).unwrap())
}

#[track_caller]
fn check(layer: &Time, expected: &[(&str, &str)]) {
    for &(utc, name) in expected {
        let Step::Time { matched, local, .. } = layer.judge(instant(utc)).step else {
            panic!("a time layer says so");
        };
        assert_eq!(matched, name, "at {utc}, local {local}");
    }
}

/// How many minutes of these hours from `utc` on match the first condition.
fn minutes_matched(layer: &Time, utc: &str, hours: u64) -> usize {
    let begin = instant(utc).millis();
    (0..hours * 60)
        .filter(|minute| layer.judge(Timestamp::from_millis(begin + minute * MINUTE)).slot == 0)
        .count()
}

#[test]
fn from_belongs_to_the_window_and_to_does_not() {
    let layer = layer("UTC", vec![], vec![condition("day", &WEEKDAYS, &[(9, 12), (13, 17)])]);
    check(
        &layer,
        &[
            ("2026-03-02T08:59:59.999Z", "otherwise"),
            ("2026-03-02T09:00:00Z", "day"),
            ("2026-03-02T11:59:59.999Z", "day"),
            ("2026-03-02T12:00:00Z", "otherwise"),
            ("2026-03-02T13:00:00Z", "day"),
            ("2026-03-01T13:00:00Z", "otherwise"),
        ],
    );
}

#[test]
fn the_first_match_wins() {
    let both = vec![condition("one", &[0], &[(9, 12)]), condition("two", &[0], &[(9, 17)])];
    check(
        &layer("UTC", vec![], both),
        &[("2026-03-02T11:00:00Z", "one"), ("2026-03-02T12:00:00Z", "two")],
    );
}

#[test]
fn a_window_across_midnight_is_judged_by_its_start_day() {
    let layer = layer("UTC", vec![], vec![condition("night", &[4], &[(22, 6)])]);
    check(
        &layer,
        &[
            ("2026-03-06T05:59:00Z", "otherwise"),
            ("2026-03-06T21:59:00Z", "otherwise"),
            ("2026-03-06T22:00:00Z", "night"),
            ("2026-03-07T05:59:00Z", "night"),
            ("2026-03-07T06:00:00Z", "otherwise"),
            ("2026-03-07T22:00:00Z", "otherwise"),
        ],
    );
}

#[test]
fn twenty_four_hundred_is_the_end_of_the_day() {
    let layer = layer("UTC", vec![], vec![condition("late", &[0], &[(23, 24)])]);
    check(&layer, &[("2026-03-02T23:59:59Z", "late"), ("2026-03-03T00:00:00Z", "otherwise")]);
}

#[test]
fn the_instants_calendar_day_makes_it_a_holiday() {
    let off = holiday("off", date(2026, 3, 7), date(2026, 3, 7), false);
    let layer = layer("UTC", vec![off], vec![condition("night", &EVERY_DAY, &[(22, 6)])]);
    check(
        &layer,
        &[
            ("2026-03-06T23:59:00Z", "night"),
            ("2026-03-07T00:00:00Z", "off"),
            ("2026-03-07T23:59:00Z", "off"),
            ("2026-03-08T00:00:00Z", "night"),
            ("2027-03-07T00:00:00Z", "night"),
        ],
    );
}

#[test]
fn the_calendar_day_is_the_zones() {
    let off = holiday("off", date(2026, 3, 7), date(2026, 3, 7), false);
    check(
        &layer("Asia/Kolkata", vec![off], vec![]),
        &[
            ("2026-03-06T18:29:00Z", "otherwise"),
            ("2026-03-06T18:30:00Z", "off"),
            ("2026-03-07T18:29:00Z", "off"),
            ("2026-03-07T18:30:00Z", "otherwise"),
        ],
    );
}

#[test]
fn a_holiday_with_hours_leaves_the_rest_of_the_day_alone() {
    let mut eve = holiday("eve", date(2026, 12, 24), date(2026, 12, 24), true);
    eve.windows = windows(&[(14, 24)]);
    let layer = layer("UTC", vec![eve], vec![condition("day", &EVERY_DAY, &[(9, 17)])]);
    check(
        &layer,
        &[
            ("2026-12-24T13:59:00Z", "day"),
            ("2026-12-24T14:00:00Z", "eve"),
            ("2026-12-24T23:59:00Z", "eve"),
            ("2026-12-25T14:00:00Z", "day"),
            ("2031-12-24T15:00:00Z", "eve"),
        ],
    );
}

#[test]
fn a_holidays_window_across_midnight_stays_within_the_holiday() {
    let mut nights = holiday("nights", date(2026, 12, 24), date(2026, 12, 25), false);
    nights.windows = windows(&[(22, 2)]);
    check(
        &layer("UTC", vec![nights], vec![]),
        &[
            ("2026-12-24T01:00:00Z", "otherwise"),
            ("2026-12-24T23:00:00Z", "nights"),
            ("2026-12-25T01:00:00Z", "nights"),
            ("2026-12-25T23:00:00Z", "nights"),
            ("2026-12-26T01:00:00Z", "otherwise"),
        ],
    );
}

#[test]
fn yearly_holidays_may_cross_the_years_end_and_name_29_february() {
    let turn = holiday("turn", date(2020, 12, 24), date(2021, 1, 2), true);
    let leap = holiday("leap", date(2024, 2, 29), date(2024, 2, 29), true);
    let carnival = holiday("carnival", date(2024, 2, 28), date(2024, 3, 1), true);
    check(
        &layer("UTC", vec![turn, leap, carnival], vec![]),
        &[
            ("2026-12-23T23:59:00Z", "otherwise"),
            ("2026-12-24T00:00:00Z", "turn"),
            ("2027-01-02T23:59:00Z", "turn"),
            ("2027-01-03T00:00:00Z", "otherwise"),
            ("2028-02-28T12:00:00Z", "carnival"),
            ("2028-02-29T12:00:00Z", "leap"),
            ("2027-02-28T12:00:00Z", "carnival"),
            ("2027-03-01T12:00:00Z", "carnival"),
            ("2027-03-02T00:00:00Z", "otherwise"),
        ],
    );
}

#[test]
fn the_first_listed_holiday_wins() {
    let long = holiday("long", date(2026, 5, 1), date(2026, 5, 3), false);
    let short = holiday("short", date(2026, 5, 2), date(2026, 5, 2), false);
    check(
        &layer("UTC", vec![long.clone(), short.clone()], vec![]),
        &[("2026-05-02T12:00:00Z", "long")],
    );
    check(
        &layer("UTC", vec![short, long], vec![]),
        &[("2026-05-02T12:00:00Z", "short"), ("2026-05-03T12:00:00Z", "long")],
    );
}

#[test]
fn skipped_hours_never_match_and_doubled_ones_match_twice() {
    let two = |zone, from, to| {
        let mut two = condition("two", &EVERY_DAY, &[]);
        two.windows = vec![Window { from, to }];
        layer(zone, vec![], vec![two])
    };
    let berlin = two("Europe/Berlin", 120, 180);
    assert_eq!(minutes_matched(&berlin, "2026-03-28T12:00:00Z", 24), 0);
    assert_eq!(minutes_matched(&berlin, "2026-06-28T12:00:00Z", 24), 60);
    assert_eq!(minutes_matched(&berlin, "2026-10-24T12:00:00Z", 24), 120);
    let new_york = two("America/New_York", 120, 180);
    assert_eq!(minutes_matched(&new_york, "2026-03-07T20:00:00Z", 24), 0);
    let new_york = two("America/New_York", 60, 120);
    assert_eq!(minutes_matched(&new_york, "2026-10-31T20:00:00Z", 24), 120);
    let lord_howe = two("Australia/Lord_Howe", 120, 150);
    assert_eq!(minutes_matched(&lord_howe, "2026-10-03T03:00:00Z", 24), 0);
    let lord_howe = two("Australia/Lord_Howe", 90, 120);
    assert_eq!(minutes_matched(&lord_howe, "2026-04-04T03:00:00Z", 24), 60);
}

#[test]
fn the_trace_tells_the_wall_clock_time() {
    let layer = layer("Europe/Berlin", vec![], vec![condition("day", &EVERY_DAY, &[(0, 24)])]);
    let judged = layer.judge(instant("2026-03-29T01:30:00Z"));
    let expected = Step::Time {
        zone: "Europe/Berlin".to_owned(),
        local: "Sun 2026-03-29 03:30".to_owned(),
        matched: "day".to_owned(),
    };
    assert_eq!((judged.slot, judged.step), (0, expected));
}

#[test]
fn an_unknown_zone_is_taken_as_utc() {
    let layer = layer("Mars/Olympus", vec![], vec![condition("day", &EVERY_DAY, &[(9, 10)])]);
    check(&layer, &[("2026-03-29T09:30:00Z", "day"), ("2026-03-29T10:30:00Z", "otherwise")]);
    assert!(
        matches!(layer.judge(Timestamp::default()).step, Step::Time { zone, .. } if zone == "UTC")
    );
}

/// A zone by hand: its offset in minutes, and the instants (UTC) from which others hold.
struct ByHand {
    name: &'static str,
    first: i64,
    then: &'static [(&'static str, i64)],
}

/// The changes of 2026, from the tz database's own source text.
const BY_HAND: [ByHand; 4] = [
    ByHand {
        name: "Europe/Berlin",
        first: 60,
        then: &[("2026-03-29T01:00:00Z", 120), ("2026-10-25T01:00:00Z", 60)],
    },
    ByHand {
        name: "America/New_York",
        first: -300,
        then: &[("2026-03-08T07:00:00Z", -240), ("2026-11-01T06:00:00Z", -300)],
    },
    ByHand {
        name: "Australia/Lord_Howe",
        first: 660,
        then: &[("2026-04-04T15:00:00Z", 630), ("2026-10-03T15:30:00Z", 660)],
    },
    ByHand {
        name: "Asia/Kolkata",
        first: 330,
        then: &[("2026-03-29T01:00:00Z", 330), ("2026-10-25T01:00:00Z", 330)],
    },
];

/// A holiday's days, and its minutes if it has hours.
type DaysOff = (BTreeSet<i64>, Option<BTreeSet<i64>>);

/// Judges by wall-clock minutes counted since 1970, from lists of every minute that matches.
struct BruteForce {
    holidays: Vec<DaysOff>,
    conditions: Vec<BTreeSet<i64>>,
}

const DAY: i64 = 24 * 60;

/// Every minute of windows begun on these days.
fn minutes(starts: &BTreeSet<i64>, windows: &[Window]) -> BTreeSet<i64> {
    let mut minutes = BTreeSet::new();
    for (day, window) in starts.iter().flat_map(|day| windows.iter().map(move |w| (day, w))) {
        let from = i64::from(window.from);
        let to = i64::from(window.to) + DAY * i64::from(window.to < window.from);
        minutes.extend((from..to).map(|minute| day * DAY + minute));
    }
    minutes
}

impl BruteForce {
    /// For the days numbered in `days`, which must begin before the first day judged.
    fn new(layer: &Time, days: std::ops::Range<i64>) -> Self {
        let holidays = layer.holidays.iter().map(|holiday| {
            let number = |date: Date| i64::from((date - jiff::civil::date(1970, 1, 1)).get_days());
            let on: BTreeSet<i64> = (number(holiday.from)..=number(holiday.to)).collect();
            let hours = (!holiday.windows.is_empty()).then(|| minutes(&on, &holiday.windows));
            (on, hours)
        });
        let conditions = layer.conditions.iter().map(|condition| {
            // 1 January 1970 was a Thursday.
            let starts = days
                .clone()
                .filter(|day| {
                    condition.days.iter().any(|&listed| i64::from(listed) == (day + 3) % 7)
                })
                .collect();
            minutes(&starts, &condition.windows)
        });
        Self { holidays: holidays.collect(), conditions: conditions.collect() }
    }

    fn slot(&self, wall: i64) -> usize {
        let day = wall.div_euclid(DAY);
        let holiday = self.holidays.iter().position(|(days, hours)| {
            days.contains(&day) && hours.as_ref().is_none_or(|hours| hours.contains(&wall))
        });
        let condition = || self.conditions.iter().position(|minutes| minutes.contains(&wall));
        holiday
            .unwrap_or_else(|| self.holidays.len() + condition().unwrap_or(self.conditions.len()))
    }
}

/// Compares minute by minute, from a day and a half before each change to as long after.
fn compare(layer: &mut Time) -> Result<(), TestCaseError> {
    for zone in &BY_HAND {
        zone.name.clone_into(&mut layer.zone);
        let mut before = zone.first;
        for &(change, after) in zone.then {
            let change = i64::try_from(instant(change).millis() / MINUTE).unwrap();
            let day = change / DAY;
            let brute_force = BruteForce::new(layer, day - 5..day + 5);
            for minute in change - 36 * 60..change + 36 * 60 {
                let wall = minute + *[&before, &after][usize::from(minute >= change)];
                let now = Timestamp::from_millis(u64::try_from(minute).unwrap() * MINUTE + 59_999);
                let judged = layer.judge(now);
                prop_assert_eq!(judged.slot, brute_force.slot(wall), "{:?}", judged.step);
            }
            before = after;
        }
    }
    Ok(())
}

fn any_windows() -> impl Strategy<Value = Vec<Window>> {
    let odd = (0..=48_u16, 0..=48_u16).prop_map(|(from, to)| (from * 30, to * 30));
    let fine = (0..=1440_u16, 0..=1440_u16);
    let window = prop_oneof![odd, fine]
        .prop_filter("empty", |(from, to)| from != to)
        .prop_map(|(from, to)| Window { from, to });
    prop::collection::vec(window, 1..4)
}

fn any_condition() -> impl Strategy<Value = Condition> {
    let days = prop::sample::subsequence(EVERY_DAY.to_vec(), 1..=7);
    (days, any_windows()).prop_map(|(days, windows)| Condition {
        name: "condition".to_owned(),
        days,
        windows,
        branch: branch(),
    })
}

/// One-off holidays on days near the changes of 2026.
fn any_holiday() -> impl Strategy<Value = Holiday> {
    let near = prop::sample::select(vec![
        date(2026, 3, 7),
        date(2026, 3, 28),
        date(2026, 4, 4),
        date(2026, 10, 3),
        date(2026, 10, 24),
        date(2026, 10, 31),
    ]);
    let hours = prop_oneof![Just(Vec::new()), any_windows()];
    (near, 0..3_i64, 0..2_i64, hours).prop_map(|(near, after, length, windows)| {
        let from = near + jiff::Span::new().days(after);
        let to = from + jiff::Span::new().days(length);
        Holiday { windows, ..holiday("holiday", from, to, false) }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    #[test]
    fn real_zones_agree_with_counting_minutes(
        holidays in prop::collection::vec(any_holiday(), 0..5),
        conditions in prop::collection::vec(any_condition(), 1..4),
    ) {
        compare(&mut layer("UTC", holidays, conditions))?;
    }
}
