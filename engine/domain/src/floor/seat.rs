//! One person's seat on the floor: presence, slots, offers held.

use std::collections::BTreeSet;

use super::place::SeatKept;
use crate::ids::EnquiryId;
use crate::presence::Presence;
use crate::time::Timestamp;

/// What the floor knows of one person. Capacity and membership are in the settings.
#[derive(Clone, Debug, Default)]
pub(super) struct Seat {
    pub(super) kept: SeatKept,
    /// As the settings say; somebody who was deleted is not enabled.
    pub(super) enabled: bool,
    pub(super) capacity: u16,
    /// Since when the presence is what it is.
    pub(super) presence_since: Timestamp,
    pub(super) reloading: bool,
    /// Live enquiries owned.
    pub(super) owned: BTreeSet<EnquiryId>,
    /// Enquiries on offer to this person.
    pub(super) offers: BTreeSet<EnquiryId>,
    /// How many of these reserve a slot.
    pub(super) reserved: u16,
    /// Nothing new before this, after a close.
    pub(super) wrap_until: Option<Timestamp>,
}

impl Seat {
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
}
