//! Offers: made, declined, lapsed, withdrawn when they no longer stand.

use std::time::Duration;

use super::entries::Key;
use super::entry::Offer;
use super::event::{FloorEvent, OfferEnd, OfferSort, PresenceWhy};
use super::seat::{Chair, Seat};
use super::{At, Floor, Refusal};
use crate::ids::StaffId;
use crate::presence::Presence;
use crate::rule::Destination;
use crate::time::Timestamp;
use crate::trace::{Step, Verdict};

/// How long somebody who declined an enquiry is not offered it again.
const LEFT_ALONE: Duration = Duration::from_mins(1);

impl Floor {
    pub(super) fn make_offer(
        &mut self,
        enquiry: Key,
        to: &[Chair],
        sort: OfferSort,
        until: Timestamp,
    ) {
        let now = self.turn.now;
        let staff: Vec<StaffId> = to.iter().map(|chair| self.seats.at(*chair).staff).collect();
        for staff in &staff {
            self.turn.steps.push(Step::Considered { staff: *staff, verdict: Verdict::Offered });
        }
        self.decided(enquiry);
        self.mark(enquiry);
        let Some(entry) = self.entries.get_mut(enquiry) else { return };
        if let At::Stop(stop) = &mut entry.at {
            stop.made = stop.made.saturating_add(u16::try_from(to.len()).unwrap_or(u16::MAX));
        }
        entry.offers.reserve_exact(to.len());
        for (chair, staff) in to.iter().zip(&staff) {
            let offer = Offer { staff: *staff, chair: *chair, since: now, until, sort };
            entry.offers.push(offer);
            let seat = self.seats.at_mut(*chair);
            seat.offers.push(enquiry);
            seat.reserved += u16::from(offer.reserves());
            seat.kept.last_offered = Some(now);
        }
        let id = entry.id;
        self.happened(FloorEvent::Offered { enquiry: id, to: staff, sort, until });
        for chair in to {
            self.mark_seat(*chair);
            self.recheck_if_full(*chair);
        }
    }

    /// Something was given to a person: what needs a free slot ends when that was the last one.
    pub(super) fn recheck_if_full(&mut self, chair: Chair) {
        let seat = self.seats.at(chair);
        if seat.used() >= seat.capacity && !seat.offers.is_empty() {
            self.recheck(chair);
        }
    }

    /// Takes one offer back; the enquiry is looked at again.
    pub(super) fn end_offer(&mut self, enquiry: Key, staff: StaffId, end: OfferEnd) {
        let Some(entry) = self.entries.get_mut(enquiry) else { return };
        let Some(index) = entry.offers.iter().position(|offer| offer.staff == staff) else {
            return;
        };
        let offer = entry.offers.remove(index);
        self.offer_is_over(enquiry, &offer, end);
    }

    pub(super) fn withdraw_all(&mut self, enquiry: Key, end: OfferEnd) {
        let Some(entry) = self.entries.get_mut(enquiry) else { return };
        for offer in std::mem::take(&mut entry.offers) {
            self.offer_is_over(enquiry, &offer, end);
        }
    }

    /// The offer is no longer among those of the enquiry.
    fn offer_is_over(&mut self, enquiry: Key, offer: &Offer, end: OfferEnd) {
        self.mark(enquiry);
        self.touch(enquiry);
        let Some(entry) = self.entries.get_mut(enquiry) else { return };
        if end == OfferEnd::AlreadyTaken {
            entry.past.write().rivals.push(offer.chair);
        }
        let (id, staff) = (entry.id, offer.staff);
        self.seats.at_mut(offer.chair).no_longer_offered(enquiry, offer.reserves());
        self.free(offer.chair);
        self.happened(FloorEvent::OfferEnded { enquiry: id, staff, end });
        if offer.sort == OfferSort::Missed {
            // Others who are free may have it now.
            self.put_on_shelf(enquiry);
        }
    }

    pub(super) fn decline(&mut self, enquiry: Key, staff: StaffId) -> Result<(), Refusal> {
        let until = self.turn.now + LEFT_ALONE;
        let entry = self.entries.get_mut(enquiry).ok_or(Refusal::NotFound)?;
        let Some(chair) = entry.offer_to(staff).map(|offer| offer.chair) else {
            return Err(if entry.is_rival(self.seats.chair(staff)) {
                Refusal::AlreadyTaken
            } else {
                Refusal::NotOffered
            });
        };
        let cooling = &mut entry.past.write().cooling;
        cooling.retain(|&(who, _)| who != staff);
        cooling.push((staff, until));
        self.answered(chair);
        self.asked(enquiry, staff);
        self.end_offer(enquiry, staff, OfferEnd::Declined);
        self.after_answer(enquiry);
        Ok(())
    }

    pub(super) fn let_offers_lapse(&mut self, enquiry: Key) {
        let now = self.turn.now;
        let Some(entry) = self.entries.get(enquiry) else { return };
        let lapsed: Vec<Offer> =
            entry.offers.iter().copied().filter(|offer| offer.until <= now).collect();
        for offer in &lapsed {
            self.asked(enquiry, offer.staff);
            self.end_offer(enquiry, offer.staff, OfferEnd::Lapsed);
            if offer.sort != OfferSort::Missed {
                self.unanswered(offer.chair);
            }
        }
        if !lapsed.is_empty() {
            self.after_answer(enquiry);
        }
    }

    /// Somebody had their chance at this stop.
    fn asked(&mut self, enquiry: Key, staff: StaffId) {
        let Some(entry) = self.entries.get_mut(enquiry) else { return };
        let asked = match &mut entry.at {
            At::Stop(stop) => &mut stop.asked,
            At::Direct(_) => &mut entry.past.write().asked_by_name,
            At::Nowhere | At::Bot => return,
        };
        if !asked.contains(&staff) {
            asked.push(staff);
        }
    }

    /// After a decline or a lapse: a direct offer is over; anything else is looked at in `step`.
    fn after_answer(&mut self, enquiry: Key) {
        let Some(entry) = self.entries.get(enquiry) else { return };
        if matches!(entry.at, At::Direct(_)) && entry.offers.is_empty() {
            self.move_on(enquiry, None);
        }
    }

    fn unanswered(&mut self, chair: Chair) {
        let limit = self.settings.no_answer_limit;
        let seat = self.seats.at_mut(chair);
        seat.kept.unanswered = seat.kept.unanswered.saturating_add(1);
        let idle = limit > 0 && seat.kept.unanswered >= limit && seat.is_active();
        let staff = seat.staff;
        self.mark_seat(chair);
        if idle {
            self.set_presence(staff, Presence::Idle, PresenceWhy::NoAnswer);
        }
    }

    pub(super) fn answered(&mut self, chair: Chair) {
        let seat = self.seats.at_mut(chair);
        if std::mem::take(&mut seat.kept.unanswered) > 0 {
            self.mark_seat(chair);
        }
    }

    /// Withdraws the offers of a person that no longer stand.
    pub(super) fn recheck(&mut self, chair: Chair) {
        let seat = self.seats.at(chair);
        let staff = seat.staff;
        // The list shrinks while it is gone through.
        for enquiry in seat.offers.clone() {
            if let Some(end) = self.why_not_standing(enquiry, self.seats.at(chair)) {
                self.end_offer(enquiry, staff, end);
            }
        }
    }

    fn why_not_standing(&self, enquiry: Key, seat: &Seat) -> Option<OfferEnd> {
        let entry = self.entries.get(enquiry)?;
        let offer = entry.offer_to(seat.staff)?;
        if !seat.enabled || !seat.is_active() || !self.is_still_meant(entry, offer) {
            return Some(OfferEnd::NotStanding);
        }
        // Its own reservation never ends an offer; a simultaneous one needs a free slot.
        let room = if offer.reserves() {
            seat.used() <= seat.capacity
        } else {
            seat.used() < seat.capacity
        };
        (!room).then_some(OfferEnd::Full)
    }

    /// Membership, language and country still fit.
    fn is_still_meant(&self, entry: &super::Entry, offer: &Offer) -> bool {
        let destination = match offer.sort {
            OfferSort::Direct { .. } => return true,
            OfferSort::Missed => {
                return self.settings.missed_offer_when_free
                    && self.may_take_up(entry, offer.staff);
            }
            OfferSort::OneByOne { at } | OfferSort::Simultaneous { at } => at,
            OfferSort::Transfer { group } => Destination::Group(group),
        };
        let accepted = self.settings.group_of(destination).is_some_and(|group| {
            group.accepts(entry.place.language.as_deref(), entry.place.country.as_deref())
        });
        accepted && self.is_member(offer.staff, destination)
    }

    /// The visitor's language or country became known: what no longer fits is withdrawn.
    pub(super) fn known(
        &mut self,
        enquiry: Key,
        language: Option<Box<str>>,
        country: Option<Box<str>>,
    ) -> Result<(), Refusal> {
        let entry = self.entry_mut(enquiry).ok_or(Refusal::NotFound)?;
        entry.place.language = language.or_else(|| entry.place.language.take());
        entry.place.country = country.or_else(|| entry.place.country.take());
        let holders: Vec<Chair> = entry.offers.iter().map(|offer| offer.chair).collect();
        for chair in holders {
            self.recheck(chair);
        }
        self.touch(enquiry);
        self.put_on_shelf(enquiry);
        Ok(())
    }
}
