//! Transfers: to one person or one group, and nobody else is tried.

use std::time::Duration;

use super::entries::Key;
use super::entry::{AtDirect, Entry, Offer};
use super::event::{FloorEvent, OfferEnd, TransferEnd, TransferTo};
use super::place::{Direct, Errand, Stage};
use super::{At, Floor, Refusal};
use crate::ids::StaffId;
use crate::rule::{Destination, Leaf, Stop};
use crate::trace::BindingKind;

impl Floor {
    pub(super) fn transfer(
        &mut self,
        enquiry: Key,
        by: StaffId,
        to: TransferTo,
        blind: bool,
    ) -> Result<(), Refusal> {
        let entry = self.entries.get(enquiry).ok_or(Refusal::NotFound)?;
        if matches!(entry.place.errand, Errand::Transfer { .. }) {
            return Err(Refusal::TransferPending);
        }
        let owner = entry.place.stage.owner();
        self.can_be_reached(entry, by, to)?;
        // Nobody serves it yet: there is nothing to come back to.
        let blind = blind || owner.is_none();
        self.drop_errand(enquiry);
        self.take_off_shelf(enquiry);
        self.unrelieved.remove(&enquiry);
        let entry = self.entry_mut(enquiry).ok_or(Refusal::NotFound)?;
        entry.place.errand = Errand::Transfer { by, to, blind };
        entry.place.hold_until = None;
        entry.relief_failed = false;
        entry.past.forget_walk();
        if blind {
            entry.place.stage = Stage::Open;
            entry.place.epoch += u32::from(owner.is_some());
        }
        if blind {
            self.release(enquiry);
        }
        self.happened(FloorEvent::TransferOffered { enquiry: self.id(enquiry), by, to, blind });
        self.seek_target(enquiry, to);
        Ok(())
    }

    /// Somebody there is Active who neither has it nor sends it.
    fn can_be_reached(&self, entry: &Entry, by: StaffId, to: TransferTo) -> Result<(), Refusal> {
        let owner = entry.place.stage.owner();
        let reached = |staff: StaffId| {
            let enabled = self.settings.staff.get(&staff).is_some_and(|person| person.enabled);
            let active = self.seats.get(staff).is_some_and(super::Seat::is_active);
            enabled && active && Some(staff) != owner && staff != by
        };
        match to {
            TransferTo::Staff { staff } => {
                if !reached(staff) {
                    return Err(Refusal::NobodyAvailable);
                }
                // What is on offer to them of this very enquiry is withdrawn first.
                let reserved = entry.offer_to(staff).is_some_and(Offer::reserves);
                let (used, capacity) =
                    self.seats.get(staff).map_or((0, 0), |seat| (seat.used(), seat.capacity));
                if used.saturating_sub(u16::from(reserved)) >= capacity {
                    Err(Refusal::AtCapacity)
                } else {
                    Ok(())
                }
            }
            TransferTo::Group { group } => {
                let group = self.settings.groups.get(&group).ok_or(Refusal::NotFound)?;
                let accepted =
                    group.accepts(entry.place.language.as_deref(), entry.place.country.as_deref());
                let anybody = accepted && group.members.iter().any(|staff| reached(*staff));
                if anybody { Ok(()) } else { Err(Refusal::NobodyAvailable) }
            }
        }
    }

    fn seek_target(&mut self, enquiry: Key, to: TransferTo) {
        match to {
            TransferTo::Staff { staff } => {
                let ticket = self.next_ticket();
                let direct = Direct {
                    staff,
                    binding: BindingKind::Transfer,
                    wait: Duration::from_mins(1),
                    connected_only: true,
                    or_missed: false,
                };
                let until = self.turn.now + direct.wait;
                let priority = Leaf::PRIORITY_DEFAULT + 1;
                if let Some(entry) = self.entries.get_mut(enquiry) {
                    let at = AtDirect { direct, ticket, priority, until };
                    entry.at = At::Direct(Box::new(at));
                }
                self.enter_line(enquiry);
            }
            TransferTo::Group { group } => {
                let stop = Stop { to: Destination::Group(group), pick_up: None };
                let over = self.arrive_team(enquiry, stop);
                self.decided(enquiry);
                if over.is_some() {
                    self.transfer_came_to_nothing(enquiry);
                }
            }
        }
    }

    pub(super) fn resume_transfer(&mut self, enquiry: Key) {
        if let Some(Errand::Transfer { to, .. }) =
            self.entries.get(enquiry).map(|entry| &entry.place.errand)
        {
            let to = *to;
            self.seek_target(enquiry, to);
        }
    }

    pub(super) fn cancel_transfer(&mut self, enquiry: Key, by: StaffId) -> Result<(), Refusal> {
        let entry = self.entries.get(enquiry).ok_or(Refusal::NotFound)?;
        let Errand::Transfer { by: sender, blind: false, .. } = entry.place.errand else {
            return Err(Refusal::NotFound);
        };
        if sender != by && entry.place.stage.owner() != Some(by) {
            return Err(Refusal::NotOwner);
        }
        self.drop_errand(enquiry);
        self.happened(FloorEvent::TransferEnded {
            enquiry: self.id(enquiry),
            end: TransferEnd::Cancelled,
        });
        Ok(())
    }

    /// Loopback: everything stays. Blind: missed, without Away.
    pub(super) fn transfer_came_to_nothing(&mut self, enquiry: Key) {
        let now = self.turn.now;
        self.withdraw_all(enquiry, OfferEnd::Moved);
        let Some(entry) = self.entries.get(enquiry) else { return };
        let Errand::Transfer { to, blind, .. } = entry.place.errand else { return };
        let declined = entry.past.read().cooling.iter().any(|&(staff, until)| {
            let asked = match to {
                TransferTo::Staff { staff: named } => staff == named,
                TransferTo::Group { group } => self.is_member(staff, Destination::Group(group)),
            };
            asked && now < until
        });
        let Some(entry) = self.entry_mut(enquiry) else { return };
        entry.place.errand = Errand::None;
        entry.at = At::Nowhere;
        if blind {
            entry.place.stage = Stage::Missed { since: now, again_at: None };
        }
        self.turn.steps.clear();
        let end = if declined { TransferEnd::Declined } else { TransferEnd::Lapsed };
        self.happened(FloorEvent::TransferEnded { enquiry: self.id(enquiry), end });
        if blind {
            self.happened(FloorEvent::Missed { enquiry: self.id(enquiry), away: false });
            self.put_on_shelf(enquiry);
        }
    }
}
