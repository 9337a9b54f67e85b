//! Dispatch: which waiting enquiry goes to whom, by line, rank and the group's method.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use super::entry::{AtStop, Entry};
use super::event::{OfferSort, PickUp};
use super::line::Rank;
use super::place::Errand;
use super::seat::Seat;
use super::{At, Floor, Line};
use crate::ids::{EnquiryId, StaffId};
use crate::rule::Destination;
use crate::settings::{Group, Method};
use crate::time::Timestamp;
use crate::trace::{PassedOver, Step, Verdict};

/// Most offers made at one stop of one walk, so that walks end whatever people do (R10).
const OFFERS_PER_STOP_MAX: u16 = 1_000;
/// An offer made rings so long, or the whole pick-up time if that is less.
const OFFER_LEAST: Duration = Duration::from_secs(20);
/// Most people a trace names at one stop.
const CONSIDERED_MAX: usize = 50;

impl Floor {
    /// The best-ranked enquiry that somebody can be offered now.
    pub(super) fn best_ready(&mut self) -> Option<EnquiryId> {
        let mut best = self.turn.ready.first().copied();
        let freed: Vec<StaffId> = self.turn.freed.iter().copied().collect();
        for staff in freed {
            match self.best_for(staff) {
                Some(rank) if best.is_none_or(|(other, _)| rank < other) => {
                    best = Some((rank, rank.enquiry));
                }
                Some(_) => {}
                None => {
                    self.turn.freed.remove(&staff);
                    self.turn.unneeded.insert(staff);
                }
            }
        }
        let (rank, enquiry) = best?;
        self.turn.ready.remove(&(rank, enquiry));
        Some(enquiry)
    }

    /// Over all the lines this person serves: the highest priority, then the longest waiting.
    fn best_for(&self, staff: StaffId) -> Option<Rank> {
        let seat = self.seats.get(&staff)?;
        if self.seat_verdict(seat).is_some() {
            return None;
        }
        let lines = self.serves.get(&staff)?;
        lines.iter().filter_map(|line| self.first_for(*line, staff)).min()
    }

    fn first_for(&self, line: Line, staff: StaffId) -> Option<Rank> {
        self.lines.ranks(line).find(|rank| {
            self.entries.get(&rank.enquiry).is_some_and(|entry| entry.awaits_offer())
                && self.verdict(rank.enquiry, staff).is_none()
        })
    }

    /// Makes the offers that its method asks for, or leaves it in line.
    pub(super) fn dispatch(&mut self, enquiry: EnquiryId) {
        let Some(entry) = self.entries.get(&enquiry) else { return };
        if !entry.awaits_offer() {
            return;
        }
        match &entry.at {
            At::Nowhere | At::Bot => {}
            At::Direct { direct, .. } => {
                let direct = *direct;
                if self.verdict(enquiry, direct.staff).is_some() {
                    // Free on arrival, and given something else since: perhaps not to be waited for.
                    self.turn.touched.insert(enquiry);
                    return;
                }
                let until = self.turn.now + super::walk::DIRECT_RING;
                let sort = OfferSort::Direct { binding: direct.binding };
                self.offer_or_assign(enquiry, vec![direct.staff], sort, until);
            }
            At::Stop(stop) => {
                let destination = stop.destination;
                self.dispatch_at(enquiry, destination);
            }
        }
    }

    fn dispatch_at(&mut self, enquiry: EnquiryId, destination: Destination) {
        let settings = Arc::clone(&self.settings);
        let Some(group) = settings.group_of(destination) else { return };
        let mut able = self.able(enquiry, group);
        let Some((asked, until)) = self.ring(enquiry, group) else { return };
        if able.is_empty() {
            return;
        }
        let transfer = matches!(
            self.entries.get(&enquiry).map(|e| &e.place.errand),
            Some(Errand::Transfer { .. })
        );
        let simultaneous = group.method == Method::Simultaneous;
        let sort = match (simultaneous, transfer) {
            (true, _) => OfferSort::Simultaneous { at: destination },
            (false, true) => OfferSort::Transfer { group: group.id },
            (false, false) => OfferSort::OneByOne { at: destination },
        };
        self.order(&mut able, group.method);
        if !asked.is_empty() {
            // In a queue those who were not asked yet go before those who were.
            able.sort_by_key(|staff| asked.contains(staff));
        }
        if !simultaneous {
            able.truncate(1);
        }
        self.offer_or_assign(enquiry, able, sort, until);
    }

    /// Whom this stop has asked already, and until when an offer made now rings.
    fn ring(&self, enquiry: EnquiryId, group: &Group) -> Option<(Vec<StaffId>, Timestamp)> {
        let At::Stop(stop) = &self.entries.get(&enquiry)?.at else { return None };
        let now = self.turn.now;
        let least = now + OFFER_LEAST.min(stop.pick_up);
        // At a group the stop itself ends with the pick-up time; at a queue only the offer does.
        let ring = match group.method {
            Method::Simultaneous => stop.pick_up,
            Method::FixedOrder | Method::RoundRobin | Method::MostIdle | Method::LeastLoaded => {
                stop.pick_up.min(group.share)
            }
        };
        let until = stop.until.min(now + ring);
        Some((stop.asked.clone(), until.max(least)))
    }

    fn able(&self, enquiry: EnquiryId, group: &Group) -> Vec<StaffId> {
        let Some(entry) = self.entries.get(&enquiry) else { return Vec::new() };
        let At::Stop(stop) = &entry.at else { return Vec::new() };
        if self.closed_to_all(entry, stop, group).is_some() {
            return Vec::new();
        }
        let able = |staff: &StaffId| self.member_verdict(entry, stop, None, *staff).is_none();
        group.members.iter().copied().filter(able).collect()
    }

    /// Puts people in the order of the method; ties stay in member order.
    pub(super) fn order(&self, staff: &mut [StaffId], method: Method) {
        let seat = |staff: &StaffId| self.seats.get(staff);
        match method {
            Method::Simultaneous | Method::FixedOrder => {}
            Method::RoundRobin => {
                staff.sort_by_cached_key(|staff| seat(staff).map(|seat| seat.kept.last_offered));
            }
            Method::MostIdle => staff.sort_by_cached_key(|staff| seat(staff).map(most_idle)),
            Method::LeastLoaded => staff.sort_by_cached_key(|staff| {
                seat(staff).map(|seat| {
                    // Shares of capacity are compared as fractions of a common denominator.
                    let share =
                        u64::from(seat.used()) * 1_000_000 / u64::from(seat.capacity.max(1));
                    (share, most_idle(seat))
                })
            }),
        }
    }

    pub(super) fn capacity(&self, staff: StaffId) -> u16 {
        self.seats.get(&staff).map_or(0, |seat| seat.capacity)
    }

    /// Why a new offer cannot go to this person, whatever the enquiry; `None` = it can.
    pub(super) fn seat_verdict(&self, seat: &Seat) -> Option<Verdict> {
        if !seat.enabled {
            return Some(Verdict::NotEnabled);
        }
        if !seat.is_active() || seat.reloading {
            return Some(Verdict::NotActive { presence: seat.kept.presence });
        }
        if seat.used() >= seat.capacity {
            return Some(Verdict::Full { load: seat.used(), capacity: seat.capacity });
        }
        if seat.offers.len() >= usize::from(self.settings.offers_at_once) {
            return Some(Verdict::EnoughOffers {
                offers: u8::try_from(seat.offers.len()).unwrap_or(u8::MAX),
            });
        }
        seat.wraps_up(self.turn.now).then_some(Verdict::WrappingUp)
    }

    /// Why this person cannot be offered this enquiry where it stands; `None` = they can.
    pub(super) fn verdict(&self, enquiry: EnquiryId, staff: StaffId) -> Option<Verdict> {
        let entry = self.entries.get(&enquiry)?;
        match &entry.at {
            At::Nowhere | At::Bot => Some(Verdict::NotAMember),
            At::Direct { direct, .. } if direct.staff != staff => Some(Verdict::NotAMember),
            At::Direct { .. } if entry.asked_by_name.contains(&staff) => {
                Some(Verdict::AlreadyAsked)
            }
            At::Direct { .. } => self.person_verdict(entry, staff),
            At::Stop(stop) => {
                let Some(group) = self.settings.group_of(stop.destination) else {
                    return Some(Verdict::NotAMember);
                };
                if !self.is_member(staff, stop.destination) {
                    return Some(Verdict::NotAMember);
                }
                let closed = self.closed_to_all(entry, stop, group);
                self.member_verdict(entry, stop, closed, staff)
            }
        }
    }

    /// Why nobody at all can be offered it where it stands any more.
    fn closed_to_all(&self, entry: &Entry, stop: &AtStop, group: &Group) -> Option<Verdict> {
        if !group.accepts(entry.place.language.as_deref(), entry.place.country.as_deref()) {
            return Some(Verdict::OtherLanguageOrCountry);
        }
        let over = self.turn.now >= stop.until || stop.made >= OFFERS_PER_STOP_MAX;
        over.then_some(Verdict::Expired)
    }

    /// Why one of the members cannot be offered it; `closed`: why nobody can.
    fn member_verdict(
        &self,
        entry: &Entry,
        stop: &AtStop,
        closed: Option<Verdict>,
        staff: StaffId,
    ) -> Option<Verdict> {
        if closed.is_some() {
            return closed;
        }
        let once = matches!(stop.destination, Destination::Group(_));
        if once && stop.asked.contains(&staff) {
            return Some(Verdict::AlreadyAsked);
        }
        self.person_verdict(entry, staff)
    }

    fn person_verdict(&self, entry: &Entry, staff: StaffId) -> Option<Verdict> {
        if entry.offer_to(staff).is_some() {
            return Some(Verdict::Offered);
        }
        if is_skipped(entry, staff) {
            return Some(Verdict::Skipped);
        }
        let Some(seat) = self.seats.get(&staff) else { return Some(Verdict::NotEnabled) };
        let verdict = self.seat_verdict(seat);
        verdict.or_else(|| entry.cools(staff, self.turn.now).then_some(Verdict::DeclinedJustNow))
    }

    pub(super) fn is_member(&self, staff: StaffId, destination: Destination) -> bool {
        self.serves.get(&staff).is_some_and(|lines| lines.contains(&Line::At(destination)))
    }

    /// Why an enquiry has to leave the stop where it stands; `None` = it stays.
    pub(super) fn why_leave(&self, enquiry: EnquiryId) -> Option<PassedOver> {
        let entry = self.entries.get(&enquiry)?;
        let At::Stop(stop) = &entry.at else { return None };
        if !entry.offers.is_empty() {
            return None;
        }
        let Some(group) = self.settings.group_of(stop.destination) else {
            return Some(PassedOver::Gone);
        };
        let queue = matches!(stop.destination, Destination::Queue(_));
        if stop.until <= self.turn.now || stop.made >= OFFERS_PER_STOP_MAX {
            return Some(if queue { PassedOver::WaitedTooLong } else { PassedOver::TimeOver });
        }
        if queue {
            return None;
        }
        if !group.accepts(entry.place.language.as_deref(), entry.place.country.as_deref()) {
            return Some(PassedOver::NobodyAccepts);
        }
        let mut asked_somebody = false;
        for staff in &group.members {
            let active = self.seats.get(staff).is_some_and(|seat| seat.enabled && seat.is_active());
            if !active || is_skipped(entry, *staff) {
                continue;
            }
            if !stop.asked.contains(staff) {
                return None;
            }
            asked_somebody = true;
        }
        let asked = asked_somebody || !stop.asked.is_empty();
        Some(if asked { PassedOver::EverybodyAsked } else { PassedOver::NobodyActive })
    }

    /// Writes into the trace what came of considering each member.
    pub(super) fn explain_members(&mut self, enquiry: EnquiryId) {
        let Some(entry) = self.entries.get(&enquiry) else { return };
        let At::Stop(stop) = &entry.at else { return };
        let Some(group) = self.settings.group_of(stop.destination) else { return };
        let closed = self.closed_to_all(entry, stop, group);
        for staff in group.members.iter().take(CONSIDERED_MAX) {
            if let Some(verdict) = self.member_verdict(entry, stop, closed, *staff) {
                self.turn.steps.push(Step::Considered { staff: *staff, verdict });
            }
        }
    }

    fn offer_or_assign(
        &mut self,
        enquiry: EnquiryId,
        to: Vec<StaffId>,
        sort: OfferSort,
        until: Timestamp,
    ) {
        let group = match sort {
            OfferSort::OneByOne { at } | OfferSort::Simultaneous { at } => {
                self.settings.group_of(at).map(|group| group.id)
            }
            OfferSort::Transfer { group } => Some(group),
            OfferSort::Direct { .. } | OfferSort::Missed => None,
        };
        let Some(entry) = self.entries.get(&enquiry) else { return };
        let auto = self.settings.auto_pick_up_of(entry.place.channel, group);
        let Some(first) = to.first().copied().filter(|_| auto) else {
            self.make_offer(enquiry, to, sort, until);
            return;
        };
        self.turn.steps.push(Step::Considered { staff: first, verdict: Verdict::Assigned });
        self.decided(enquiry);
        if let Some(seat) = self.seats.get_mut(&first) {
            seat.kept.last_offered = Some(self.turn.now);
        }
        self.own(enquiry, first, PickUp::Auto);
    }
}

/// The person the errand must not come back to: the sender of a transfer, an owner who has gone.
fn is_skipped(entry: &Entry, staff: StaffId) -> bool {
    let by_errand = match &entry.place.errand {
        Errand::None => false,
        Errand::Walk(walk) => walk.skip == Some(staff),
        Errand::Transfer { by, .. } => *by == staff,
    };
    by_errand || entry.place.stage.owner() == Some(staff)
}

/// Those holding nothing first, then longest since they last held an enquiry.
fn most_idle(seat: &Seat) -> (Reverse<bool>, Option<Timestamp>) {
    (Reverse(seat.owned.is_empty()), seat.kept.last_held)
}
