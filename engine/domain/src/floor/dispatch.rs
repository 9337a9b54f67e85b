//! Dispatch: which waiting enquiry goes to whom, by line, rank and the group's method.

use std::cmp::Reverse;
use std::time::Duration;

use super::entries::Key;
use super::entry::{AtStop, Entry};
use super::event::{OfferSort, PickUp};
use super::line::Rank;
use super::place::Errand;
use super::seat::{Chair, Seat};
use super::{At, Floor, Line};
use crate::ids::StaffId;
use crate::rule::Destination;
use crate::settings::{Group, Method};
use crate::time::Timestamp;
use crate::trace::{PassedOver, Step, Verdict};

/// Most offers made at one stop of one walk, so that walks end whatever people do (R10).
const OFFERS_PER_STOP_MAX: u16 = 1_000;
/// An offer made rings so long, or the whole pick-up time if that is less.
const OFFER_LEAST: Duration = Duration::from_secs(20);
/// What the whole of a capacity counts as, where shares of it are compared.
const SHARE_WHOLE: u32 = 65_536;
/// Most people a trace names at one stop.
const CONSIDERED_MAX: usize = 50;

impl Floor {
    /// The best-ranked enquiry that somebody can be offered now.
    pub(super) fn best_ready(&mut self) -> Option<Key> {
        while let Some(chair) = self.turn.freed.pop() {
            self.seats.at_mut(chair).noted.freed = false;
            match self.best_for(chair) {
                Some(rank) => self.turn.wanted.push(Reverse((rank, chair))),
                None => self.is_unneeded(chair),
            }
        }
        let ready = self.first_ready();
        while let Some(&Reverse((rank, chair))) = self.turn.wanted.peek() {
            if ready.is_some_and(|ready| ready <= rank) {
                break;
            }
            self.turn.wanted.pop();
            // What has happened since may have given it to somebody else, or filled this person up.
            match self.best_for(chair) {
                Some(still) if still == rank => {
                    // They may have room for more.
                    self.free(chair);
                    return Some(rank.enquiry);
                }
                Some(other) => self.turn.wanted.push(Reverse((other, chair))),
                None => self.is_unneeded(chair),
            }
        }
        self.turn.ready.pop();
        ready.map(|rank| rank.enquiry)
    }

    /// The first of those that were made ready and still are.
    fn first_ready(&mut self) -> Option<Rank> {
        while let Some(&Reverse(rank)) = self.turn.ready.peek() {
            let entry = self.entries.get(rank.enquiry);
            let still = entry.and_then(|entry| entry.standing(rank.enquiry));
            if still.is_some_and(|(_, still)| still == rank) {
                return Some(rank);
            }
            self.turn.ready.pop();
        }
        None
    }

    fn is_unneeded(&mut self, chair: Chair) {
        let noted = &mut self.seats.at_mut(chair).noted;
        if !std::mem::replace(&mut noted.unneeded, true) {
            self.turn.unneeded.push_back(chair);
        }
    }

    /// Over all the lines this person serves: the highest priority, then the longest waiting.
    fn best_for(&self, chair: Chair) -> Option<Rank> {
        let seat = self.seats.at(chair);
        if self.seat_verdict(seat).is_some() {
            return None;
        }
        seat.lines.iter().filter_map(|line| self.first_for(*line, seat)).min()
    }

    fn first_for(&self, line: Line, seat: &Seat) -> Option<Rank> {
        self.lines.ranks(line).find(|rank| {
            self.entries.get(rank.enquiry).is_some_and(|entry| {
                entry.awaits_offer() && self.verdict(entry, Some(seat)).is_none()
            })
        })
    }

    /// Makes the offers that its method asks for, or leaves it in line.
    pub(super) fn dispatch(&mut self, enquiry: Key) {
        let Some(entry) = self.entries.get(enquiry) else { return };
        if !entry.awaits_offer() {
            return;
        }
        match &entry.at {
            At::Nowhere | At::Bot => {}
            At::Direct(at) => {
                let direct = at.direct;
                let seat = self.seats.get(direct.staff);
                let able = seat.filter(|_| self.verdict(entry, seat).is_none());
                let Some(chair) = able.map(|seat| seat.chair) else {
                    // Free on arrival, and given something else since: perhaps not to be waited for.
                    self.touch(enquiry);
                    return;
                };
                let until = self.turn.now + super::walk::DIRECT_RING;
                let sort = OfferSort::Direct { binding: direct.binding };
                let auto = self.settings.auto_pick_up_of(entry.place.channel, None);
                self.offer_or_assign(enquiry, &[chair], auto, sort, until);
            }
            At::Stop(_) => self.dispatch_at_stop(enquiry),
        }
    }

    fn dispatch_at_stop(&mut self, enquiry: Key) {
        let mut able = std::mem::take(&mut self.turn.able);
        self.list_able(enquiry, &mut able);
        if !able.is_empty() {
            self.offer_at_stop(enquiry, &able);
        }
        able.clear();
        self.turn.able = able;
    }

    fn offer_at_stop(&mut self, enquiry: Key, able: &[Chair]) {
        let Some(entry) = self.entries.get(enquiry) else { return };
        let At::Stop(stop) = &entry.at else { return };
        let Some(group) = self.group_at(stop) else { return };
        let destination = stop.destination;
        let until = self.ring(stop, group);
        let transfer = matches!(entry.place.errand, Errand::Transfer { .. });
        let sort = match (group.method, transfer) {
            (Method::Simultaneous, _) => OfferSort::Simultaneous { at: destination },
            (_, true) => OfferSort::Transfer { group: group.id },
            (_, false) => OfferSort::OneByOne { at: destination },
        };
        let auto = self.settings.auto_pick_up_of(entry.place.channel, Some(group));
        self.offer_or_assign(enquiry, able, auto, sort, until);
    }

    /// The group behind the stop, unless it was deleted.
    fn group_at(&self, stop: &AtStop) -> Option<&Group> {
        self.teams.at(stop.spot).group.as_deref()
    }

    /// Until when an offer made now rings.
    fn ring(&self, stop: &AtStop, group: &Group) -> Timestamp {
        let now = self.turn.now;
        let least = now + OFFER_LEAST.min(stop.pick_up);
        // At a group the stop itself ends with the pick-up time; at a queue only the offer does.
        let ring = match group.method {
            Method::Simultaneous => stop.pick_up,
            Method::FixedOrder | Method::RoundRobin | Method::MostIdle | Method::LeastLoaded => {
                stop.pick_up.min(group.share)
            }
        };
        stop.until.min(now + ring).max(least)
    }

    /// Whom the group's method names: everybody who can take it, or one of them.
    ///
    /// In a queue those who were not asked yet go before those who were. Ties go by member order.
    fn list_able(&self, enquiry: Key, list: &mut Vec<Chair>) {
        let Some(entry) = self.entries.get(enquiry) else { return };
        let At::Stop(stop) = &entry.at else { return };
        let team = self.teams.at(stop.spot);
        let Some(group) = &team.group else { return };
        if self.closed_to_all(entry, stop, group).is_some() {
            return;
        }
        let fresh = entry.bars_nobody(stop);
        let able = team.members.iter().map(|chair| self.seats.at(*chair));
        let able = able.filter(|seat| {
            let verdict = if fresh {
                self.seat_verdict(seat)
            } else {
                self.member_verdict(entry, stop, None, seat)
            };
            verdict.is_none()
        });
        let asked = |seat: &&Seat| !fresh && stop.asked.contains(&seat.staff);
        let first = match group.method {
            Method::Simultaneous => {
                list.extend(able.map(|seat| seat.chair));
                if !stop.asked.is_empty() {
                    list.sort_by_key(|chair| asked(&self.seats.at(*chair)));
                }
                return;
            }
            Method::FixedOrder => able.min_by_key(asked),
            Method::RoundRobin => able.min_by_key(|seat| (asked(seat), seat.kept.last_offered)),
            Method::MostIdle => able.min_by_key(|seat| (asked(seat), most_idle(seat))),
            Method::LeastLoaded => {
                able.min_by_key(|seat| (asked(seat), share_in_use(seat), most_idle(seat)))
            }
        };
        list.extend(first.map(|seat| seat.chair));
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
    pub(super) fn verdict(&self, entry: &Entry, seat: Option<&Seat>) -> Option<Verdict> {
        let Some(seat) = seat else { return Some(Verdict::NotEnabled) };
        match &entry.at {
            At::Nowhere | At::Bot => Some(Verdict::NotAMember),
            At::Direct(at) if at.direct.staff != seat.staff => Some(Verdict::NotAMember),
            At::Direct(_) if entry.past.read().asked_by_name.contains(&seat.staff) => {
                Some(Verdict::AlreadyAsked)
            }
            At::Direct(_) => self.person_verdict(entry, seat),
            At::Stop(stop) => {
                let Some(group) = self.group_at(stop).filter(|_| seat.serves(stop.spot)) else {
                    return Some(Verdict::NotAMember);
                };
                let closed = self.closed_to_all(entry, stop, group);
                self.member_verdict(entry, stop, closed, seat)
            }
        }
    }

    pub(super) fn verdict_on(&self, enquiry: Key, staff: StaffId) -> Option<Verdict> {
        self.verdict(self.entries.get(enquiry)?, self.seats.get(staff))
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
        seat: &Seat,
    ) -> Option<Verdict> {
        if closed.is_some() {
            return closed;
        }
        let once = matches!(stop.destination, Destination::Group(_));
        if once && stop.asked.contains(&seat.staff) {
            return Some(Verdict::AlreadyAsked);
        }
        self.person_verdict(entry, seat)
    }

    fn person_verdict(&self, entry: &Entry, seat: &Seat) -> Option<Verdict> {
        let staff = seat.staff;
        if entry.offer_to(staff).is_some() {
            return Some(Verdict::Offered);
        }
        if is_skipped(entry, staff) {
            return Some(Verdict::Skipped);
        }
        let verdict = self.seat_verdict(seat);
        verdict.or_else(|| entry.cools(staff, self.turn.now).then_some(Verdict::DeclinedJustNow))
    }

    pub(super) fn is_member(&self, staff: StaffId, destination: Destination) -> bool {
        let seat = self.seats.get(staff);
        seat.zip(self.teams.spot(destination)).is_some_and(|(seat, spot)| seat.serves(spot))
    }

    /// Why an enquiry has to leave the stop where it stands; `None` = it stays.
    pub(super) fn why_leave(&self, enquiry: Key) -> Option<PassedOver> {
        let entry = self.entries.get(enquiry)?;
        let At::Stop(stop) = &entry.at else { return None };
        if !entry.offers.is_empty() {
            return None;
        }
        let Some(group) = self.group_at(stop) else { return Some(PassedOver::Gone) };
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
        for chair in &self.teams.at(stop.spot).members {
            let seat = self.seats.at(*chair);
            if !seat.enabled || !seat.is_active() || is_skipped(entry, seat.staff) {
                continue;
            }
            if !stop.asked.contains(&seat.staff) {
                return None;
            }
            asked_somebody = true;
        }
        let asked = asked_somebody || !stop.asked.is_empty();
        Some(if asked { PassedOver::EverybodyAsked } else { PassedOver::NobodyActive })
    }

    /// Writes into the trace what came of considering each member.
    pub(super) fn explain_members(&mut self, enquiry: Key) {
        let Some(entry) = self.entries.get(enquiry) else { return };
        let At::Stop(stop) = &entry.at else { return };
        let Some(group) = self.group_at(stop) else { return };
        let closed = self.closed_to_all(entry, stop, group);
        let fresh = closed.is_none() && entry.bars_nobody(stop);
        for chair in self.teams.at(stop.spot).members.iter().take(CONSIDERED_MAX) {
            let seat = self.seats.at(*chair);
            let verdict = if fresh {
                self.seat_verdict(seat)
            } else {
                self.member_verdict(entry, stop, closed, seat)
            };
            if let Some(verdict) = verdict {
                self.turn.steps.push(Step::Considered { staff: seat.staff, verdict });
            }
        }
    }

    /// `auto`: to the first of them without a click.
    fn offer_or_assign(
        &mut self,
        enquiry: Key,
        to: &[Chair],
        auto: bool,
        sort: OfferSort,
        until: Timestamp,
    ) {
        let Some(first) = to.first().copied().filter(|_| auto) else {
            self.make_offer(enquiry, to, sort, until);
            return;
        };
        let seat = self.seats.at_mut(first);
        seat.kept.last_offered = Some(self.turn.now);
        let staff = seat.staff;
        self.turn.steps.push(Step::Considered { staff, verdict: Verdict::Assigned });
        self.decided(enquiry);
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

/// Shares of capacity are compared as fractions of a common denominator.
fn share_in_use(seat: &Seat) -> u32 {
    u32::from(seat.used()) * SHARE_WHOLE / u32::from(seat.capacity.max(1))
}
