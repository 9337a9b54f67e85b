//! One person's seat on the floor: presence, slots, offers held, lines served.

use std::collections::{BTreeMap, BTreeSet};

use super::entries::Key;
use super::line::Line;
use super::place::SeatKept;
use super::team::Spot;
use crate::ids::{GroupId, StaffId};
use crate::presence::Presence;
use crate::time::Timestamp;

/// Stands for a person; never given to anybody else.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Chair(u32);

/// What the floor knows of one person.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    pub(super) staff: StaffId,
    pub(super) chair: Chair,
    pub(super) kept: SeatKept,
    /// As the settings say; somebody who was deleted is not enabled.
    pub(super) enabled: bool,
    pub(super) capacity: u16,
    /// Since when the presence is what it is.
    pub(super) presence_since: Timestamp,
    pub(super) reloading: bool,
    /// Live enquiries owned.
    pub(super) owned: BTreeSet<Key>,
    /// Enquiries on offer to this person, the oldest offer first.
    pub(super) offers: Vec<Key>,
    /// How many of these reserve a slot.
    pub(super) reserved: u16,
    /// Nothing new before this, after a close.
    pub(super) wrap_until: Option<Timestamp>,
    /// Lines this person serves.
    pub(super) lines: Vec<Line>,
    /// How far they have seen each group's shelf of missed enquiries.
    pub(super) looked_at: Vec<(GroupId, (Timestamp, Key))>,
    /// What the present turn has to do about them.
    pub(super) noted: Noted,
}

/// Which of the turn's lists somebody is on.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one for each list")]
pub(super) struct Noted {
    pub(super) freed: bool,
    pub(super) unneeded: bool,
    pub(super) marked: bool,
}

impl Seat {
    fn new(staff: StaffId, chair: Chair) -> Self {
        Self {
            staff,
            chair,
            kept: SeatKept::default(),
            enabled: false,
            capacity: 0,
            presence_since: Timestamp::default(),
            reloading: false,
            owned: BTreeSet::new(),
            offers: Vec::new(),
            reserved: 0,
            wrap_until: None,
            lines: Vec::new(),
            looked_at: Vec::new(),
            noted: Noted::default(),
        }
    }

    pub(super) fn load(&self) -> u16 {
        u16::try_from(self.owned.len()).unwrap_or(u16::MAX)
    }

    /// Slots in use: live enquiries plus one-by-one and direct offers.
    pub(super) fn used(&self) -> u16 {
        self.load().saturating_add(self.reserved)
    }

    pub(super) fn is_active(&self) -> bool {
        self.kept.presence == Presence::Active
    }

    pub(super) fn wraps_up(&self, now: Timestamp) -> bool {
        self.wrap_until.is_some_and(|until| now < until)
    }

    /// The same person on another floor, holding as many enquiries, none of which is there.
    ///
    /// `free`: Active and holding none.
    pub(super) fn as_if_of_strangers(&self, free: bool) -> Self {
        let mut seat = Self { noted: Noted::default(), ..self.clone() };
        if free {
            seat.kept.presence = Presence::Active;
            seat.reloading = false;
            seat.wrap_until = None;
            seat.owned.clear();
            seat.offers.clear();
            seat.reserved = 0;
        }
        seat.owned = (0..seat.load()).map(Key::of_nobody).collect();
        seat.offers.fill(Key::of_nobody(u16::MAX));
        seat
    }

    pub(super) fn looked_to(&self, group: GroupId) -> Option<(Timestamp, Key)> {
        self.looked_at.iter().find(|(of, _)| *of == group).map(|(_, to)| *to)
    }

    pub(super) fn look_to(&mut self, group: GroupId, to: (Timestamp, Key)) {
        self.looked_at.retain(|(of, _)| *of != group);
        self.looked_at.push((group, to));
    }

    /// Something has come on the shelf: what is at or behind it has to be looked at again.
    pub(super) fn look_back(&mut self, group: GroupId, to: (Timestamp, Key)) {
        for (_, seen) in self.looked_at.iter_mut().filter(|(of, _)| *of == group) {
            *seen = to.min(*seen);
        }
    }

    pub(super) fn serves(&self, spot: Spot) -> bool {
        self.lines.contains(&Line::At(spot))
    }

    pub(super) fn no_longer_offered(&mut self, enquiry: Key, reserved: bool) {
        self.offers.retain(|offered| *offered != enquiry);
        self.reserved = self.reserved.saturating_sub(u16::from(reserved));
    }
}

/// Everybody on the floor.
#[derive(Clone, Debug, Default)]
pub(super) struct Seats {
    list: Vec<Seat>,
    chairs: BTreeMap<StaffId, Chair>,
}

impl Seats {
    pub(super) fn chair(&self, staff: StaffId) -> Option<Chair> {
        self.chairs.get(&staff).copied()
    }

    pub(super) fn get(&self, staff: StaffId) -> Option<&Seat> {
        self.chair(staff).map(|chair| self.at(chair))
    }

    pub(super) fn get_mut(&mut self, staff: StaffId) -> Option<&mut Seat> {
        self.chair(staff).map(|chair| self.at_mut(chair))
    }

    pub(super) fn at(&self, chair: Chair) -> &Seat {
        &self.list[chair.0 as usize]
    }

    pub(super) fn at_mut(&mut self, chair: Chair) -> &mut Seat {
        &mut self.list[chair.0 as usize]
    }

    /// The person's seat; a new one for somebody new.
    pub(super) fn seat(&mut self, staff: StaffId) -> &mut Seat {
        let next = self.list.len();
        let chair = *self.chairs.entry(staff).or_insert_with(|| {
            Chair(u32::try_from(next).expect("memory ends before four thousand million people"))
        });
        if chair.0 as usize == next {
            self.list.push(Seat::new(staff, chair));
        }
        self.at_mut(chair)
    }

    /// Somebody was deleted: an empty chair stays.
    pub(super) fn leave(&mut self, staff: StaffId) {
        if let Some(chair) = self.chairs.remove(&staff) {
            *self.at_mut(chair) = Seat::new(staff, chair);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Seat> {
        self.chairs.values().map(|chair| self.at(*chair))
    }

    pub(super) fn everybody(&self) -> Vec<Chair> {
        self.chairs.values().copied().collect()
    }
}
