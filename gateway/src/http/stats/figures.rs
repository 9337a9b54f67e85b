//! Counts enquiries, and says what is counted under which heading.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use usher_domain::floor::event::Closer;
use usher_domain::ids::{ChannelId, GroupId, StaffId};
use usher_domain::settings::Settings;
use usher_domain::time::Timestamp;
use usher_domain::trace::Step;
use usher_store::StatsRow;

use super::super::enquiries::staff_name;
use super::shares::Shares;

/// The same figures for the service, a channel or a group.
#[derive(Debug, Default)]
struct Figures {
    /// For a group: arrived there.
    opened: u64,
    picked_up: u64,
    missed: u64,
    closed: BTreeMap<&'static str, u64>,
    /// Picked up within the time of the service level.
    in_time: u64,
    /// Picked up or missed: what the service level is measured on.
    judged: u64,
    /// From the opening message to the first pick-up.
    waits: Vec<Duration>,
}

#[derive(Debug, Default)]
struct Person {
    picked_up: u64,
    /// Live ones they own now, and closed ones they owned last.
    owned: u64,
    closed: u64,
}

/// Takes one enquiry after the other.
#[derive(Debug)]
pub(super) struct Stats<'a> {
    settings: &'a Settings,
    /// Only what these groups had to do with; empty: everything.
    only: Vec<GroupId>,
    total: Figures,
    channels: BTreeMap<ChannelId, Figures>,
    groups: BTreeMap<GroupId, Figures>,
    staff: BTreeMap<StaffId, Person>,
    shares: Shares,
}

impl<'a> Stats<'a> {
    pub(super) fn new(settings: &'a Settings, only: Vec<GroupId>) -> Self {
        Self {
            settings,
            only,
            total: Figures::default(),
            channels: BTreeMap::new(),
            groups: BTreeMap::new(),
            staff: BTreeMap::new(),
            shares: Shares::default(),
        }
    }

    pub(super) fn take(&mut self, row: &StatsRow) {
        let arrived = self.arrived(row);
        if !self.is_wanted(row, &arrived) {
            return;
        }
        let level = self.settings.service_level;
        self.total.take(row, level);
        self.channels.entry(row.channel).or_default().take(row, level);
        let taken_at = row.picked_up_at.and_then(|at| last_before(&arrived, at));
        let groups: BTreeSet<GroupId> = arrived.iter().map(|(_, group)| *group).collect();
        for group in groups {
            let figures = self.groups.entry(group).or_default();
            if row.picked_up_at.is_none() || taken_at == Some(group) {
                figures.take(row, level);
            } else {
                // Somebody else took it.
                figures.opened += 1;
            }
        }
        if let Some(owner) = row.owner {
            let person = self.staff.entry(owner).or_default();
            person.owned += 1;
            person.closed += u64::from(row.is_closed);
        }
        for (_, steps) in &row.decisions {
            self.shares.take(row.channel, steps);
        }
    }

    pub(super) fn picked_up_by(&mut self, all: Vec<(StaffId, u64)>) {
        for (staff, times) in all {
            if self.only.is_empty() || self.groups_of(staff).any(|group| self.only.contains(&group))
            {
                self.staff.entry(staff).or_default().picked_up = times;
            }
        }
    }

    /// The groups that it was taken to, and when.
    fn arrived(&self, row: &StatsRow) -> Vec<(Timestamp, GroupId)> {
        let steps = row.decisions.iter().flat_map(|(at, steps)| steps.iter().map(|s| (*at, s)));
        steps
            .filter_map(|(at, step)| match step {
                Step::Arrived { at: destination } => {
                    Some((at, self.settings.group_of(*destination)?.id))
                }
                _ => None,
            })
            .collect()
    }

    fn is_wanted(&self, row: &StatsRow, arrived: &[(Timestamp, GroupId)]) -> bool {
        let mut went = arrived.iter().map(|(_, group)| *group);
        self.only.is_empty()
            || went.any(|group| self.only.contains(&group))
            || row
                .owner
                .is_some_and(|owner| self.groups_of(owner).any(|group| self.only.contains(&group)))
    }

    fn groups_of(&self, staff: StaffId) -> impl Iterator<Item = GroupId> {
        let groups = self.settings.groups.values();
        groups.filter(move |group| group.members.contains(&staff)).map(|group| group.id)
    }

    pub(super) fn shown(mut self) -> Value {
        let named = |id: Value, name: &str, mut figures: Value| {
            figures["id"] = id;
            figures["name"] = name.into();
            figures
        };
        let settings = self.settings;
        let channels = self.channels.iter_mut().map(|(id, figures)| {
            let name = settings.channels.get(id).map(|channel| channel.name.as_str());
            named(json!(id), name.unwrap_or_default(), figures.shown())
        });
        let channels: Value = channels.collect();
        let groups = self.groups.iter_mut().map(|(id, figures)| {
            let name = settings.groups.get(id).map(|group| group.name.as_str());
            named(json!(id), name.unwrap_or_default(), figures.shown())
        });
        let groups: Value = groups.collect();
        let staff = self.staff.iter().map(|(id, person)| {
            let Person { picked_up, owned, closed } = person;
            let figures = json!({ "picked_up": picked_up, "handled": owned, "closed": closed });
            named(json!(id), &staff_name(settings, *id), figures)
        });
        let staff: Value = staff.collect();
        json!({
            "total": self.total.shown(),
            "channels": channels,
            "groups": groups,
            "staff": staff,
            "percentages": self.shares.shown(settings),
        })
    }
}

/// Where it was at that time.
fn last_before(arrived: &[(Timestamp, GroupId)], at: Timestamp) -> Option<GroupId> {
    arrived.iter().rev().find(|(when, _)| *when <= at).map(|(_, group)| *group)
}

impl Figures {
    fn take(&mut self, row: &StatsRow, level: Duration) {
        self.opened += 1;
        self.picked_up += u64::from(row.picked_up_at.is_some());
        self.missed += u64::from(row.missed_at.is_some());
        if let Some(closer) = row.closer {
            *self.closed.entry(closed_by(closer)).or_default() += 1;
        }
        let wait = row.picked_up_at.map(|at| at.since(row.opened_at));
        self.waits.extend(wait);
        // Missed first, and followed up later, is missed.
        let missed =
            row.missed_at.is_some_and(|missed| row.picked_up_at.is_none_or(|at| missed <= at));
        if missed || wait.is_some() {
            self.judged += 1;
            self.in_time += u64::from(!missed && wait.is_some_and(|wait| wait <= level));
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 enquiries")]
    fn shown(&mut self) -> Value {
        self.waits.sort_unstable();
        let level = (self.judged > 0).then(|| self.in_time as f64 / self.judged as f64);
        json!({
            "opened": self.opened,
            "picked_up": self.picked_up,
            "missed": self.missed,
            "closed": self.closed,
            "service_level": level,
            "in_time": self.in_time,
            "judged": self.judged,
            "wait_seconds": {
                "p50": self.wait(50),
                "p90": self.wait(90),
                "max": self.wait(100),
            },
        })
    }

    /// The wait that so many percent did not exceed (nearest rank).
    fn wait(&self, percent: usize) -> Option<f64> {
        let rank = (self.waits.len() * percent).div_ceil(100).max(1);
        self.waits.get(rank - 1).map(Duration::as_secs_f64)
    }
}

const fn closed_by(closer: Closer) -> &'static str {
    match closer {
        Closer::Staff { .. } => "staff",
        Closer::Bot { .. } => "bot",
        Closer::AutoClose { unanswered: false } => "auto_close",
        Closer::AutoClose { unanswered: true } => "auto_close_unanswered",
        Closer::Stale => "stale",
        Closer::Merged => "merged",
        Closer::Blocked => "blocked",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVEL: Duration = Duration::from_mins(1);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + seconds * 1_000)
    }

    fn row(picked_up: Option<u64>, missed: Option<u64>, closer: Option<Closer>) -> StatsRow {
        StatsRow {
            channel: ChannelId::from_number(1),
            owner: None,
            opened_at: at(0),
            picked_up_at: picked_up.map(at),
            missed_at: missed.map(at),
            is_closed: closer.is_some(),
            closer,
            decisions: Vec::new(),
        }
    }

    #[test]
    fn the_service_level_is_of_what_was_picked_up_or_missed() {
        let mut figures = Figures::default();
        for (picked_up, missed) in [
            (Some(10), None),
            (Some(60), None),
            (Some(61), None),
            (None, Some(50)),
            // Missed, and followed up within the time all the same.
            (Some(55), Some(50)),
            // Picked up, and missed later, after a blind transfer.
            (Some(20), Some(500)),
            // Still waiting.
            (None, None),
        ] {
            figures.take(&row(picked_up, missed, None), LEVEL);
        }
        let shown = figures.shown();
        assert_eq!((figures.in_time, figures.judged, figures.opened), (3, 6, 7), "{shown}");
        assert_eq!(shown["service_level"], 0.5);
        assert_eq!((&shown["picked_up"], &shown["missed"]), (&json!(5), &json!(3)));
    }

    #[test]
    fn waits_are_nearest_ranks_and_closings_have_their_reasons() {
        let mut figures = Figures::default();
        let auto = Closer::AutoClose { unanswered: true };
        for seconds in 1..=10 {
            figures.take(&row(Some(seconds), None, Some(auto)), LEVEL);
        }
        figures.take(&row(None, None, Some(Closer::Stale)), LEVEL);
        let shown = figures.shown();
        assert_eq!(shown["wait_seconds"], json!({"p50": 5.0, "p90": 9.0, "max": 10.0}));
        assert_eq!(shown["closed"], json!({"auto_close_unanswered": 10, "stale": 1}));
        let none = Figures::default().shown();
        assert_eq!(
            (&none["service_level"], &none["wait_seconds"]["p50"]),
            (&Value::Null, &Value::Null)
        );
    }

    #[test]
    fn what_a_group_handed_on_is_not_what_it_picked_up() {
        let group = GroupId::from_number;
        let arrived = [(at(0), group(1)), (at(30), group(2)), (at(90), group(3))];
        assert_eq!(last_before(&arrived, at(10)), Some(group(1)));
        assert_eq!(last_before(&arrived, at(30)), Some(group(2)));
        assert_eq!(last_before(&[], at(30)), None);
    }
}
