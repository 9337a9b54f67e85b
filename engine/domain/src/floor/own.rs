//! Ownership: pick-up, assignment, take-over, hold, close. One owner at most, the epoch only rises.

use super::entries::Key;
use super::event::{Closer, FloorEvent, OfferEnd, PickUp, TransferEnd};
use super::place::{Errand, Purpose, Stage};
use super::seat::Chair;
use super::{Floor, Refusal};
use crate::ids::StaffId;
use crate::presence::Presence;
use crate::record::After;
use crate::settings::Role;
use crate::time::Timestamp;

impl Floor {
    pub(super) fn pick_up(&mut self, enquiry: Key, staff: StaffId) -> Result<(), Refusal> {
        let entry = self.entries.get(enquiry).ok_or(Refusal::NotFound)?;
        if entry.place.stage.owner() == Some(staff) {
            return Err(Refusal::Elsewhere);
        }
        let Some(offer) = entry.offer_to(staff) else {
            return self.take_up_missed(enquiry, staff);
        };
        let chair = offer.chair;
        let seat = self.seats.at(chair);
        let others = seat.used().saturating_sub(u16::from(offer.reserves()));
        if others >= seat.capacity {
            return Err(Refusal::AtCapacity);
        }
        let how = match (&entry.place.errand, entry.place.stage) {
            (Errand::Transfer { .. }, _) => PickUp::Transfer,
            (Errand::Walk(walk), _) if walk.purpose == Purpose::OwnerGone => PickUp::Relief,
            (Errand::Walk(_) | Errand::None, Stage::Missed { .. }) => PickUp::FollowUp,
            (Errand::Walk(_) | Errand::None, _) => PickUp::Offer,
        };
        self.answered(chair);
        self.own(enquiry, chair, how);
        Ok(())
    }

    /// A missed enquiry may be taken up without an offer, by members (Active or Busy) and supervisors.
    fn take_up_missed(&mut self, enquiry: Key, staff: StaffId) -> Result<(), Refusal> {
        let entry = self.entries.get(enquiry).ok_or(Refusal::NotFound)?;
        let rival = entry.is_rival(self.seats.chair(staff));
        let not_offered = if rival { Refusal::AlreadyTaken } else { Refusal::NotOffered };
        if !matches!(entry.place.stage, Stage::Missed { .. }) {
            return Err(not_offered);
        }
        let person = self.settings.staff.get(&staff).ok_or(Refusal::NotOffered)?;
        let supervises = person.role >= Role::Supervisor
            && (person.supervises.is_empty()
                || entry.place.groups.iter().any(|group| person.supervises.contains(group)));
        let seat = self.seats.get(staff).ok_or(Refusal::NotOffered)?;
        let present = matches!(seat.kept.presence, Presence::Active | Presence::Busy);
        if !person.enabled || !(supervises || (present && self.is_of_its_groups(entry, staff))) {
            return Err(not_offered);
        }
        if seat.used() >= person.capacity {
            return Err(Refusal::AtCapacity);
        }
        let chair = seat.chair;
        self.answered(chair);
        self.own(enquiry, chair, PickUp::FollowUp);
        Ok(())
    }

    pub(super) fn is_of_its_groups(&self, entry: &super::Entry, staff: StaffId) -> bool {
        entry.place.groups.iter().any(|group| {
            self.settings.groups.get(group).is_some_and(|group| group.members.contains(&staff))
        })
    }

    pub(super) fn assign(&mut self, enquiry: Key, to: StaffId) -> Result<(), Refusal> {
        let entry = self.entries.get(enquiry).ok_or(Refusal::NotFound)?;
        if entry.place.stage.owner() == Some(to) {
            return Err(Refusal::Elsewhere);
        }
        let reserved = entry.offer_to(to).is_some_and(super::entry::Offer::reserves);
        let enabled = self.settings.staff.get(&to).is_some_and(|person| person.enabled);
        let seat = self.seats.get(to).filter(|_| enabled).ok_or(Refusal::NobodyAvailable)?;
        if !matches!(seat.kept.presence, Presence::Active | Presence::Busy) {
            return Err(Refusal::NobodyAvailable);
        }
        if seat.used().saturating_sub(u16::from(reserved)) >= seat.capacity {
            return Err(Refusal::AtCapacity);
        }
        self.own(enquiry, seat.chair, PickUp::Assign);
        Ok(())
    }

    pub(super) fn take_over(&mut self, enquiry: Key, by: StaffId) -> Result<(), Refusal> {
        let entry = self.entries.get(enquiry).ok_or(Refusal::NotFound)?;
        if entry.place.stage.owner() == Some(by) {
            return Err(Refusal::Elsewhere);
        }
        let reserved = entry.offer_to(by).is_some_and(super::entry::Offer::reserves);
        let enabled = self.settings.staff.get(&by).is_some_and(|person| person.enabled);
        let seat = self.seats.get(by).filter(|_| enabled).ok_or(Refusal::NobodyAvailable)?;
        if seat.used().saturating_sub(u16::from(reserved)) >= seat.capacity {
            return Err(Refusal::AtCapacity);
        }
        self.own(enquiry, seat.chair, PickUp::TakeOver);
        Ok(())
    }

    /// Makes whoever sits there the owner: everything pending for the enquiry ends in the same turn.
    pub(super) fn own(&mut self, enquiry: Key, chair: Chair, how: PickUp) {
        let staff = self.seats.at(chair).staff;
        self.turn.steps.clear();
        self.end_offer(enquiry, staff, OfferEnd::PickedUp);
        self.withdraw_all(enquiry, OfferEnd::AlreadyTaken);
        self.leave_line(enquiry);
        self.take_off_shelf(enquiry);
        self.unrelieved.remove(&enquiry);
        let now = self.turn.now;
        self.release(enquiry);
        let Some(entry) = self.entry_mut(enquiry) else { return };
        let place = &mut *entry.place;
        let errand = std::mem::take(&mut place.errand);
        let from = place.stage.owner();
        place.stage = match place.stage {
            Stage::Missed { .. } | Stage::FollowedUp { .. } => Stage::FollowedUp { owner: staff },
            Stage::Open | Stage::Ongoing { .. } | Stage::WithBot { .. } => {
                Stage::Ongoing { owner: staff }
            }
        };
        place.epoch += 1;
        place.hold_until = None;
        let epoch = place.epoch;
        entry.owner = Some(chair);
        entry.relief_failed = false;
        entry.owned_since = now;
        entry.past.forget_tries();
        let id = entry.id;
        let seat = self.seats.at_mut(chair);
        seat.owned.insert(enquiry);
        seat.kept.last_held = Some(now);
        if matches!(errand, Errand::Transfer { .. }) {
            let end = if how == PickUp::Transfer || how == PickUp::Auto {
                TransferEnd::Taken
            } else {
                TransferEnd::Overtaken
            };
            self.happened(FloorEvent::TransferEnded { enquiry: id, end });
        }
        self.happened(FloorEvent::PickedUp { enquiry: id, by: staff, how, from, epoch });
        self.mark_seat(chair);
        self.recheck_if_full(chair);
    }

    /// Frees the slot of its owner, if it has one.
    pub(super) fn release(&mut self, enquiry: Key) {
        let entry = self.entries.get_mut(enquiry);
        if let Some(chair) = entry.and_then(|entry| entry.owner.take()) {
            let seat = self.seats.at_mut(chair);
            seat.owned.remove(&enquiry);
            seat.kept.last_held = Some(self.turn.now);
            self.mark_seat(chair);
            self.free(chair);
        }
    }

    pub(super) fn hold(
        &mut self,
        enquiry: Key,
        by: StaffId,
        until: Option<Timestamp>,
    ) -> Result<(), Refusal> {
        let now = self.turn.now;
        let entry = self.entry_mut(enquiry).ok_or(Refusal::NotFound)?;
        if entry.place.stage.owner().is_none() {
            return Err(Refusal::NotOwner);
        }
        let until = until.filter(|until| *until > now);
        entry.place.hold_until = until;
        self.happened(FloorEvent::Held { enquiry: self.id(enquiry), by, until });
        Ok(())
    }

    pub(super) fn end_hold_if_due(&mut self, enquiry: Key) {
        let now = self.turn.now;
        let Some(entry) = self.entries.get(enquiry) else { return };
        let (Some(until), Some(by)) = (entry.place.hold_until, entry.place.stage.owner()) else {
            return;
        };
        if until <= now {
            if let Some(entry) = self.entry_mut(enquiry) {
                entry.place.hold_until = None;
            }
            self.happened(FloorEvent::Held { enquiry: self.id(enquiry), by, until: None });
        }
    }

    pub(super) fn close(
        &mut self,
        enquiry: Key,
        by: Closer,
        silent: bool,
        reason: Option<String>,
    ) -> Result<(), Refusal> {
        let entry = self.entries.get(enquiry).ok_or(Refusal::NotFound)?;
        if let Closer::Bot { bot } = by
            && entry.place.stage != (Stage::WithBot { bot })
        {
            return Err(Refusal::NotOwner);
        }
        let (owner, chair) = (entry.place.stage.owner(), entry.owner);
        let transfers = matches!(entry.place.errand, Errand::Transfer { .. });
        self.withdraw_all(enquiry, OfferEnd::Moved);
        self.leave_line(enquiry);
        self.take_off_shelf(enquiry);
        self.unrelieved.remove(&enquiry);
        if transfers {
            self.happened(FloorEvent::TransferEnded {
                enquiry: self.id(enquiry),
                end: TransferEnd::Overtaken,
            });
        }
        if let Some(chair) = chair {
            self.wrap_up(chair);
            self.release(enquiry);
        }
        let Some(entry) = self.entries.remove(enquiry) else { return Ok(()) };
        if let Some(due) = entry.due {
            self.due.remove(&(due, enquiry));
        }
        let enquiry = entry.id;
        self.happened(FloorEvent::Closed { enquiry, by, silent, reason, owner });
        self.turn.out.push(super::Effect::Keep(After::Place { enquiry, place: None }));
        Ok(())
    }

    fn wrap_up(&mut self, owner: Chair) {
        let wrap_up = self.settings.wrap_up;
        if wrap_up.is_zero() {
            return;
        }
        let until = self.turn.now + wrap_up;
        if let Some(old) = self.seats.at_mut(owner).wrap_until.replace(until) {
            self.wraps.remove(&(old, owner));
        }
        self.wraps.insert((until, owner));
    }
}
