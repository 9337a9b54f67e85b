//! Missed enquiries: a shelf from which people who are free are offered one (`product.md` §3).

use std::time::Duration;

use super::entries::Key;
use super::event::OfferSort;
use super::place::Stage;
use super::seat::{Chair, Seat};
use super::{Entry, Floor, Line};
use crate::ids::{GroupId, StaffId};
use crate::rule::{self, Destination};
use crate::time::Timestamp;

/// How long such an offer rings.
const RING: Duration = Duration::from_mins(1);
/// Most shelved enquiries whose rule is asked for one person at one time.
const LOOK_MAX: usize = 64;

impl Floor {
    pub(super) fn put_on_shelf(&mut self, enquiry: Key) {
        let Some(entry) = self.entries.get(enquiry) else { return };
        let shelved = matches!(entry.place.stage, Stage::Missed { .. }) && !entry.is_busy();
        if !self.settings.missed_offer_when_free || !shelved {
            return;
        }
        let at = (entry.place.window_until, enquiry);
        let mut takers: Vec<Chair> = Vec::new();
        for group in self.groups_named(entry).to_vec() {
            self.missed.entry(group).or_default().insert(at);
            for chair in self.teams.of_group(group) {
                self.seats.at_mut(*chair).look_back(group, at);
                if self.could_take_one_more(self.seats.at(*chair)) {
                    takers.push(*chair);
                }
            }
        }
        for chair in takers {
            self.free(chair);
        }
    }

    pub(super) fn take_off_shelf(&mut self, enquiry: Key) {
        let Some(entry) = self.entries.get(enquiry) else { return };
        if !matches!(entry.place.stage, Stage::Missed { .. }) {
            return;
        }
        let at = (entry.place.window_until, enquiry);
        for group in self.groups_named(entry).to_vec() {
            if let Some(shelf) = self.missed.get_mut(&group) {
                shelf.remove(&at);
                if shelf.is_empty() {
                    self.missed.remove(&group);
                }
            }
        }
    }

    /// The settings are others: who may take what may be others too.
    pub(super) fn shelve_anew(&mut self) {
        self.missed.clear();
        for chair in self.seats.everybody() {
            self.seats.at_mut(chair).looked_at.clear();
        }
        let live = self.entries.iter();
        let missed: Vec<Key> = live
            .filter(|(_, entry)| matches!(entry.place.stage, Stage::Missed { .. }))
            .map(|(enquiry, _)| enquiry)
            .collect();
        for enquiry in missed {
            self.put_on_shelf(enquiry);
        }
    }

    fn groups_named(&self, entry: &Entry) -> &[GroupId] {
        let channel = self.settings.channels.get(&entry.place.channel);
        let named = channel.and_then(|channel| self.named.get(&channel.rule));
        named.map_or(&[], |groups| groups)
    }

    /// Groups that the rule as it is now would send it to.
    pub(super) fn groups_in_force(&self, entry: &Entry) -> Vec<GroupId> {
        let channel = entry.place.channel;
        let Some(rule) = self.settings.rule_of(channel) else { return Vec::new() };
        let (leaf, _) =
            rule::leaf_in_force(rule, channel, self.wall(), entry.place.drawn, &self.counters);
        self.groups_of(&leaf)
    }

    /// Nothing waits for these people: missed enquiries and owners gone are looked at.
    /// True when something was offered.
    pub(super) fn offer_what_was_left(&mut self) -> bool {
        while let Some(chair) = self.turn.unneeded.pop_front() {
            self.seats.at_mut(chair).noted.unneeded = false;
            if self.relieve_with(chair) || self.offer_missed(chair) {
                self.free(chair);
                return true;
            }
        }
        false
    }

    fn offer_missed(&mut self, chair: Chair) -> bool {
        if self.missed.is_empty() || !self.could_take_one_more(self.seats.at(chair)) {
            return false;
        }
        let groups: Vec<GroupId> = self.groups_of_member(chair).collect();
        let found = groups.into_iter().filter_map(|group| self.first_on_shelf(chair, group)).min();
        let Some((_, enquiry)) = found else { return false };
        let staff = self.seats.at(chair).staff;
        if let Some(entry) = self.entries.get_mut(enquiry) {
            entry.past.write().missed_asked.push(staff);
        }
        let until = self.turn.now + RING;
        self.make_offer(enquiry, &[chair], OfferSort::Missed, until);
        true
    }

    fn groups_of_member(&self, chair: Chair) -> impl Iterator<Item = GroupId> {
        let lines = self.seats.at(chair).lines.iter();
        lines.filter_map(|line| match line {
            Line::At(spot) => match self.teams.at(*spot).to {
                Destination::Group(group) => Some(group),
                Destination::Queue(_) | Destination::Bot(_) => None,
            },
            Line::For(_) => None,
        })
    }

    /// Missed ones leave each person one free slot.
    fn could_take_one_more(&self, seat: &Seat) -> bool {
        seat.used().saturating_add(1) < seat.capacity && self.seat_verdict(seat).is_none()
    }

    /// The one whose window ends soonest of those this person may be offered.
    ///
    /// What stands before the first one on hand is not looked at again: whatever comes on hand later
    /// is put on the shelf anew.
    fn first_on_shelf(&mut self, chair: Chair, group: GroupId) -> Option<(Timestamp, Key)> {
        let missed = self.missed.get(&group)?;
        let seat = self.seats.at(chair);
        let alive = (self.wall() + Duration::from_millis(1), Key::FIRST);
        let from = seat.looked_to(group).map_or(alive, |seen| alive.max(seen));
        let mut on_hand = missed.range(from..).filter(|(_, enquiry)| {
            self.entries.get(*enquiry).is_some_and(|entry| self.is_on_hand(entry, seat.staff))
        });
        let first = on_hand.next().copied();
        let mut few = first.iter().chain(on_hand).take(LOOK_MAX);
        let found = few.find(|(_, enquiry)| {
            self.entries.get(*enquiry).is_some_and(|entry| self.may_take_up(entry, seat.staff))
        });
        let found = found.copied();
        self.seats.at_mut(chair).look_to(group, first.unwrap_or(Key::BEHIND_ALL));
        found
    }

    fn is_on_hand(&self, entry: &Entry, staff: StaffId) -> bool {
        entry.offers.is_empty()
            && !entry.is_busy()
            && !entry.past.read().missed_asked.contains(&staff)
            && !entry.cools(staff, self.turn.now)
    }

    /// Whether this person belongs to a group in force that accepts the visitor.
    pub(super) fn may_take_up(&self, entry: &Entry, staff: StaffId) -> bool {
        self.groups_in_force(entry).iter().any(|group| {
            self.settings.groups.get(group).is_some_and(|group| {
                group.members.contains(&staff)
                    && group
                        .accepts(entry.place.language.as_deref(), entry.place.country.as_deref())
            })
        })
    }
}
