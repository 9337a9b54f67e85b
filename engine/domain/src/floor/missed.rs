//! Missed enquiries: a shelf from which people who are free are offered one (`product.md` §3).

use std::collections::BTreeSet;
use std::time::Duration;

use super::event::OfferSort;
use super::place::Stage;
use super::{Entry, Floor, Line};
use crate::ids::{EnquiryId, GroupId, StaffId};
use crate::rule::{self, Destination};

/// How long such an offer rings.
const RING: Duration = Duration::from_mins(1);
/// Most shelved enquiries whose rule is asked for one person at one time.
const LOOK_MAX: usize = 64;

impl Floor {
    pub(super) fn put_on_shelf(&mut self, enquiry: EnquiryId) {
        let Some(entry) = self.entries.get(&enquiry) else { return };
        let shelved = matches!(entry.place.stage, Stage::Missed { .. }) && !entry.is_busy();
        if !self.settings.missed_offer_when_free || !shelved {
            return;
        }
        let key = (entry.place.window_until, enquiry);
        let groups = self.groups_named(entry);
        let mut members: Vec<StaffId> = Vec::new();
        for group in groups {
            self.missed.entry(group).or_default().insert(key);
            members
                .extend(self.settings.groups.get(&group).map_or(&[][..], |group| &group.members));
        }
        self.turn.freed.extend(members);
    }

    pub(super) fn take_off_shelf(&mut self, enquiry: EnquiryId) {
        let Some(entry) = self.entries.get(&enquiry) else { return };
        if !matches!(entry.place.stage, Stage::Missed { .. }) {
            return;
        }
        let key = (entry.place.window_until, enquiry);
        self.missed.retain(|_, shelf| {
            shelf.remove(&key);
            !shelf.is_empty()
        });
    }

    /// The settings are others: who may take what may be others too.
    pub(super) fn shelve_anew(&mut self) {
        self.missed.clear();
        let missed: Vec<EnquiryId> = self
            .entries
            .iter()
            .filter(|(_, entry)| matches!(entry.place.stage, Stage::Missed { .. }))
            .map(|(enquiry, _)| *enquiry)
            .collect();
        for enquiry in missed {
            self.put_on_shelf(enquiry);
        }
    }

    /// Groups that any branch of the rule names: which one is in force can change with the hour.
    fn groups_named(&self, entry: &Entry) -> BTreeSet<GroupId> {
        self.settings
            .rule_of(entry.place.channel)
            .into_iter()
            .flat_map(rule::destinations)
            .filter_map(|to| self.settings.group_of(to))
            .map(|group| group.id)
            .collect()
    }

    /// Groups that the rule as it is now would send it to.
    pub(super) fn groups_in_force(&self, entry: &Entry) -> Vec<GroupId> {
        let channel = entry.place.channel;
        let Some(rule) = self.settings.rule_of(channel) else { return Vec::new() };
        let (leaf, _) =
            rule::leaf_in_force(rule, channel, self.turn.now, entry.place.drawn, &self.counters);
        self.groups_of(&leaf)
    }

    /// Nothing waits for these people: missed enquiries and owners gone are looked at.
    /// True when something was offered.
    pub(super) fn offer_what_was_left(&mut self) -> bool {
        while let Some(staff) = self.turn.unneeded.pop_first() {
            if self.relieve_with(staff) || self.offer_missed(staff) {
                self.turn.freed.insert(staff);
                return true;
            }
        }
        false
    }

    fn offer_missed(&mut self, staff: StaffId) -> bool {
        let Some(enquiry) = self.missed_for(staff) else { return false };
        if let Some(entry) = self.entries.get_mut(&enquiry) {
            entry.missed_asked.push(staff);
        }
        let until = self.turn.now + RING;
        self.make_offer(enquiry, vec![staff], OfferSort::Missed, until);
        true
    }

    fn missed_for(&self, staff: StaffId) -> Option<EnquiryId> {
        let seat = self.seats.get(&staff)?;
        let one_left = seat.used().saturating_add(1) < seat.capacity;
        if !one_left || self.seat_verdict(seat).is_some() {
            return None;
        }
        if self.missed.is_empty() {
            return None;
        }
        let shelves = self.serves.get(&staff)?.iter().filter_map(|line| match line {
            Line::At(Destination::Group(group)) => self.missed.get(group),
            Line::At(Destination::Queue(_) | Destination::Bot(_)) | Line::For(_) => None,
        });
        let now = self.turn.now;
        shelves
            .filter_map(|shelf| {
                shelf
                    .range((now, EnquiryId::from_number(0))..)
                    .filter(|(window_until, _)| now < *window_until)
                    .filter_map(|key| Some((key, self.entries.get(&key.1)?)))
                    .filter(|(_, entry)| self.is_on_hand(entry, staff))
                    .take(LOOK_MAX)
                    .find(|(_, entry)| self.may_take_up(entry, staff))
                    .map(|(key, _)| *key)
            })
            .min()
            .map(|(_, enquiry)| enquiry)
    }

    fn is_on_hand(&self, entry: &Entry, staff: StaffId) -> bool {
        entry.offers.is_empty()
            && !entry.is_busy()
            && !entry.missed_asked.contains(&staff)
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
