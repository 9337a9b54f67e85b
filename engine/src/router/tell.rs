//! How things are: lines, counters and gauges, for screens and for metrics.

use std::collections::BTreeMap;

use usher_domain::ids::{GroupId, StaffId};
use usher_domain::presence::Presence;
use usher_domain::rule::Destination;
use usher_domain::time::Timestamp;
use usher_protocol::event::{Counters, Now, QueueNow};

use super::Router;
use crate::gauges::Parts;
use crate::metrics as names;

/// What was last told to all whom it concerns: nobody is told again what has not changed.
#[derive(Debug, Default)]
pub(super) struct Told {
    counters: BTreeMap<StaffId, Counters>,
    lines: BTreeMap<Destination, (usize, Option<Timestamp>)>,
    gauges: Parts,
}

impl Router {
    /// Lines, counters and gauges, at most once a second.
    pub(super) fn tell_state(&mut self) {
        self.peers.board.clear();
        let stale = std::mem::take(&mut self.stale);
        if !stale {
            // Nothing has moved but the time that the first in line has waited.
            return self.gauge_waiting();
        }
        self.gauge_states();
        let settings = std::sync::Arc::clone(&self.peers.settings);
        let lengths: BTreeMap<_, _> = self.floor.line_lengths().collect();
        let queues = settings
            .queues
            .values()
            .map(|queue| (Destination::Queue(queue.id), queue.name.clone(), queue.group));
        let groups = settings
            .groups
            .values()
            .map(|group| (Destination::Group(group.id), group.name.clone(), group.id));
        for (destination, name, group) in groups.chain(queues) {
            let length = lengths.get(&destination).copied().unwrap_or(0);
            let oldest = if length == 0 { None } else { self.oldest(destination) };
            self.gauge_line(&name, length, oldest);
            let shown = (length, oldest.map(|at| self.peers.on_the_wall(at)));
            if self.told.lines.insert(destination, shown) == Some(shown) {
                continue;
            }
            let now = queue_now(destination, name, shown);
            for staff in settings.groups.get(&group).map_or(&[][..], |group| &group.members) {
                if self.peers.is_connected(*staff) {
                    self.peers.state(*staff, &now);
                }
            }
        }
        for staff in settings.staff.keys().filter(|staff| self.peers.is_connected(**staff)) {
            let Some(counters) = self.counters(*staff) else { continue };
            if self.told.counters.insert(*staff, counters) != Some(counters) {
                self.peers.state(*staff, &Now::Counters(counters));
            }
        }
    }

    fn oldest(&self, destination: Destination) -> Option<Timestamp> {
        let first = self.floor.first_in_line(destination);
        first.and_then(|enquiry| self.floor.place(enquiry)).map(|place| place.opened_at)
    }

    /// Lines behind which this person stands, and their own counters; what differs from what was last
    /// told to all is told to all again, so that nobody is left with what held for a moment.
    pub(super) fn tell_lines(&mut self, staff: StaffId) {
        let settings = std::sync::Arc::clone(&self.peers.settings);
        let groups = self.groups_of(staff).to_vec();
        let lengths: BTreeMap<_, _> = self.floor.line_lengths().collect();
        let queues = settings.queues.values().filter(|queue| groups.contains(&queue.group));
        let queues = queues.map(|queue| (Destination::Queue(queue.id), queue.name.clone()));
        let own = settings.groups.values().filter(|group| groups.contains(&group.id));
        let own = own.map(|group| (Destination::Group(group.id), group.name.clone()));
        for (destination, name) in own.chain(queues) {
            let length = lengths.get(&destination).copied().unwrap_or(0);
            let oldest = if length == 0 { None } else { self.oldest(destination) };
            let shown = (length, oldest.map(|at| self.peers.on_the_wall(at)));
            self.peers.state(staff, &queue_now(destination, name, shown));
            if self.told.lines.get(&destination) != Some(&shown) {
                self.told.lines.remove(&destination);
            }
        }
        if let Some(counters) = self.counters(staff) {
            self.told.counters.insert(staff, counters);
            self.peers.state(staff, &Now::Counters(counters));
        }
        self.stale = true;
    }

    pub(super) fn groups_of(&self, staff: StaffId) -> &[GroupId] {
        self.member_of.get(&staff).map_or(&[], Vec::as_slice)
    }

    fn counters(&self, staff: StaffId) -> Option<Counters> {
        let seat = self.floor.seat(staff)?;
        let unserved = self.index.count_of(self.groups_of(staff));
        Some(Counters {
            load: seat.used,
            capacity: seat.capacity,
            offers: u16::try_from(seat.offers.len()).unwrap_or(u16::MAX),
            waiting: unserved.waiting,
            missed: unserved.missed,
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "metrics")]
    fn gauge_line(&self, name: &str, length: usize, oldest: Option<Timestamp>) {
        let gauges = &self.told.gauges;
        gauges.set(names::QUEUE_LENGTH, "destination", name, length as f64);
        let waited = oldest.map_or(0.0, |since| self.peers.now().since(since).as_secs_f64());
        gauges.set(names::OLDEST_WAITING, "destination", name, waited);
    }

    #[expect(clippy::cast_precision_loss, reason = "metrics")]
    fn gauge_states(&self) {
        for state in ["open", "ongoing", "missed", "followed_up"] {
            let count = self.index.in_state(state);
            self.told.gauges.set(names::ENQUIRIES_LIVE, "state", state, count as f64);
        }
        let mut presences = [0_u64; 4];
        let (mut used, mut slots) = (0_u64, 0_u64);
        for staff in self.peers.settings.staff.keys() {
            let Some(seat) = self.floor.seat(*staff) else { continue };
            let index = match seat.presence {
                Presence::Active => 0,
                Presence::Busy => 1,
                Presence::Idle => 2,
                Presence::Offline => 3,
            };
            presences[index] += 1;
            if seat.presence == Presence::Active {
                used += u64::from(seat.used);
                slots += u64::from(seat.capacity);
            }
        }
        for (name, count) in ["active", "busy", "idle", "offline"].into_iter().zip(presences) {
            self.told.gauges.set(names::STAFF, "presence", name, count as f64);
        }
        let in_use = if slots == 0 { 0.0 } else { used as f64 / slots as f64 };
        let service = self.peers.id.to_string();
        self.told.gauges.set(names::CAPACITY_USED, "service", &service, in_use);
    }

    fn gauge_waiting(&self) {
        let settings = &self.peers.settings;
        for (destination, length) in self.floor.line_lengths().filter(|(_, length)| *length > 0) {
            let name = match destination {
                Destination::Group(group) => settings.groups.get(&group).map(|on| &on.name),
                Destination::Queue(queue) => settings.queues.get(&queue).map(|on| &on.name),
                Destination::Bot(_) => None,
            };
            if let Some(name) = name {
                self.gauge_line(name, length, self.oldest(destination));
            }
        }
    }
}

fn queue_now(
    destination: Destination,
    name: String,
    (length, oldest): (usize, Option<Timestamp>),
) -> Now {
    Now::Queue(QueueNow {
        destination,
        name,
        length: u32::try_from(length).unwrap_or(u32::MAX),
        oldest: oldest.map(Into::into),
    })
}
