//! Looking at the floor without changing it: for screens, metrics, explanations and checkers.

use std::sync::Arc;

use super::event::{FloorEvent, OfferSort};
use super::place::{Place, PlaceThen, Stage};
use super::seat::Seat;
use super::{At, Command, Effect, Floor, Line, Route};
use crate::ids::{EnquiryId, StaffId};
use crate::presence::Presence;
use crate::rule::{Counters, Destination};
use crate::settings::Settings;
use crate::time::Timestamp;
use crate::trace::{Step, Verdict};

/// A person as the floor sees them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SeatLook {
    pub presence: Presence,
    pub load: u16,
    /// Slots in use, reserved ones counted.
    pub used: u16,
    pub capacity: u16,
    pub offers: Vec<EnquiryId>,
    pub wraps_up: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OfferLook {
    pub staff: StaffId,
    pub until: Timestamp,
    pub sort: OfferSort,
    pub reserves: bool,
}

/// Where an enquiry waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WaitLook {
    /// `None`: for one named person.
    pub at: Option<Destination>,
    pub position: u32,
    pub priority: u8,
    pub ticket: u64,
    pub until: Timestamp,
    /// Whether somebody who frees up can be offered it.
    pub open: bool,
}

impl Floor {
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    pub fn place(&self, enquiry: EnquiryId) -> Option<&Place> {
        self.entries.find(enquiry).map(|entry| &*entry.place)
    }

    /// As it is now, to be kept by others.
    pub fn place_now(&self, enquiry: EnquiryId) -> Option<PlaceThen> {
        self.entries.find(enquiry).map(|entry| entry.place.clone())
    }

    pub fn live(&self) -> impl Iterator<Item = (EnquiryId, &PlaceThen)> {
        self.entries.iter().map(|(_, entry)| (entry.id, &entry.place))
    }

    pub fn live_count(&self) -> usize {
        self.entries.len()
    }

    pub fn owned_by(&self, staff: StaffId) -> impl Iterator<Item = EnquiryId> {
        let owned = self.seats.get(staff).into_iter().flat_map(|seat| &seat.owned);
        owned.filter_map(|key| Some(self.entries.get(*key)?.id))
    }

    pub fn seat(&self, staff: StaffId) -> Option<SeatLook> {
        let seat = self.seats.get(staff)?;
        Some(SeatLook {
            presence: seat.kept.presence,
            load: seat.load(),
            used: seat.used(),
            capacity: seat.capacity,
            offers: seat.offers.iter().map(|key| self.id(*key)).collect(),
            wraps_up: seat.wraps_up(self.turn.now),
        })
    }

    pub fn offers(&self, enquiry: EnquiryId) -> Vec<OfferLook> {
        let Some(entry) = self.entries.find(enquiry) else { return Vec::new() };
        let look = |offer: &super::entry::Offer| OfferLook {
            staff: offer.staff,
            until: offer.until,
            sort: offer.sort,
            reserves: offer.reserves(),
        };
        entry.offers.iter().map(look).collect()
    }

    pub fn wait(&self, enquiry: EnquiryId) -> Option<WaitLook> {
        let key = self.entries.key(enquiry)?;
        let entry = self.entries.get(key)?;
        let (line, rank) = entry.standing(key)?;
        let (at, until) = match &entry.at {
            At::Direct(at) => (None, at.until),
            At::Stop(stop) => (Some(stop.destination), stop.until),
            At::Nowhere | At::Bot => return None,
        };
        Some(WaitLook {
            at,
            position: self.lines.position(line, rank),
            priority: rank.priority.0,
            ticket: rank.ticket,
            until,
            open: entry.awaits_offer(),
        })
    }

    /// Length of each destination's line.
    pub fn line_lengths(&self) -> impl Iterator<Item = (Destination, usize)> {
        let lengths =
            self.teams.iter().map(|(spot, team)| (team.to, self.lines.length(Line::At(spot))));
        lengths.filter(|(_, length)| *length > 0)
    }

    /// Everybody waiting at a destination, in order.
    pub fn line(&self, destination: Destination) -> Vec<EnquiryId> {
        self.waiting_at(destination).collect()
    }

    pub fn first_in_line(&self, destination: Destination) -> Option<EnquiryId> {
        self.waiting_at(destination).next()
    }

    fn waiting_at(&self, destination: Destination) -> impl Iterator<Item = EnquiryId> {
        let spot = self.teams.spot(destination).into_iter();
        spot.flat_map(|spot| self.lines.ranks(Line::At(spot))).map(|rank| self.id(rank.enquiry))
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Why this person cannot be offered this enquiry where it stands; `None` = they can.
    pub fn why_not(&self, enquiry: EnquiryId, staff: StaffId) -> Option<Verdict> {
        self.verdict_on(self.entries.key(enquiry)?, staff)
    }

    /// When the floor next looks at this enquiry, or the reason why it need not (R8).
    pub fn deadline_of(&self, enquiry: EnquiryId) -> Result<Timestamp, Option<&'static str>> {
        let entry = self.entries.find(enquiry).ok_or(None)?;
        entry.due.ok_or_else(|| entry.no_deadline_because())
    }

    /// What would happen to this enquiry at `at`; nothing is changed.
    ///
    /// `everyone`: as if all enabled staff were Active and free.
    pub fn explain(&self, route: Route, at: Timestamp, everyone: bool) -> (Vec<Step>, Stage) {
        let mut probe = Self::new(Arc::clone(&self.settings));
        probe.counters = self.counters.clone();
        probe.bots.clone_from(&self.bots);
        let enquiry = route.enquiry;
        for seat in self.seats.iter() {
            let like = seat.as_if_of_strangers(everyone);
            let copy = probe.seats.seat(seat.staff);
            *copy = Seat { chair: copy.chair, lines: std::mem::take(&mut copy.lines), ..like };
        }
        let mut effects = Vec::new();
        // A route is never refused; what it led to is read from the effects.
        let outcome = probe.apply(at, Command::Route(Box::new(route)), &mut effects);
        debug_assert!(outcome.is_ok(), "a route is never refused");
        let steps = effects
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Happened(FloorEvent::Decided { steps, .. }) => Some(steps),
                Effect::Happened(_) | Effect::Keep(_) => None,
            })
            .flatten()
            .collect();
        (steps, probe.place(enquiry).map_or(Stage::Open, |place| place.stage))
    }
}
