//! People who come, go, or are taken off the floor, and what becomes of what they hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::entries::Key;
use super::entry::Entry;
use super::event::{FloorEvent, PresenceWhy, TransferEnd};
use super::place::{Errand, Purpose, Stage};
use super::seat::Chair;
use super::team::Spot;
use super::{Floor, Line};
use crate::ids::{ChannelId, RuleId, StaffId};
use crate::presence::Presence;
use crate::rule::{Destination, Rule, could_overflow};
use crate::settings::Settings;
use crate::time::Timestamp;

/// Not there for the visitors whose enquiries they own.
const fn is_gone(presence: Presence) -> bool {
    matches!(presence, Presence::Offline | Presence::Idle)
}

impl Floor {
    pub(super) fn set_presence(&mut self, staff: StaffId, presence: Presence, why: PresenceWhy) {
        let now = self.turn.now;
        let Some(chair) = self.seats.chair(staff) else { return };
        if why == PresenceWhy::SetByHand {
            self.answered(chair);
        }
        let seat = self.seats.at_mut(chair);
        let before = std::mem::replace(&mut seat.kept.presence, presence);
        if before == presence {
            return;
        }
        // Somebody Idle who then goes Offline has been gone since they went Idle.
        if !(is_gone(before) && is_gone(presence)) {
            seat.presence_since = now;
        }
        if why != PresenceWhy::NoAnswer {
            seat.kept.unanswered = 0;
        }
        if !is_gone(presence) {
            self.is_back(chair);
        }
        // Only being gone or not says when others are asked to take over.
        if is_gone(before) != is_gone(presence) {
            let owned: Vec<Key> = self.seats.at(chair).owned.iter().copied().collect();
            for enquiry in owned {
                self.mark(enquiry);
            }
        }
        self.mark_seat(chair);
        self.happened(FloorEvent::PresenceChanged { staff, presence, why });
        if presence == Presence::Active {
            self.free(chair);
        } else {
            self.recheck(chair);
            self.touch_lines_of(chair);
        }
    }

    /// The owner is there again: nobody else is looked for when somebody frees up.
    fn is_back(&mut self, chair: Chair) {
        let owned = &self.seats.at(chair).owned;
        let theirs: Vec<Key> = self.unrelieved.intersection(owned).copied().collect();
        for enquiry in theirs {
            self.unrelieved.remove(&enquiry);
            if let Some(entry) = self.entries.get_mut(enquiry) {
                entry.relief_failed = false;
            }
            self.mark(enquiry);
        }
    }

    /// Whoever waits for this person may have to go on.
    fn touch_lines_of(&mut self, chair: Chair) {
        for line in self.seats.at(chair).lines.clone() {
            let waiting: Vec<Key> = match line {
                Line::For(_) => self.lines.ranks(line).map(|rank| rank.enquiry).collect(),
                Line::At(spot) => match self.teams.at(spot).to {
                    Destination::Group(_) => self.without_hope_of(line, spot),
                    // A queue holds whether anybody is Active or not.
                    Destination::Queue(_) | Destination::Bot(_) => continue,
                },
            };
            for enquiry in waiting {
                self.touch(enquiry);
            }
        }
    }

    /// Those in a group's line for whom another Active member may not do.
    fn without_hope_of(&self, line: Line, spot: Spot) -> Vec<Key> {
        let mut team = self.teams.at(spot).members.iter();
        let anybody = team.any(|chair| {
            let seat = self.seats.at(*chair);
            seat.enabled && seat.is_active()
        });
        let hopeless = |enquiry: &Key| {
            !anybody || self.entries.get(*enquiry).is_none_or(Entry::passes_somebody_over)
        };
        self.lines.ranks(line).map(|rank| rank.enquiry).filter(hopeless).collect()
    }

    pub(super) fn set_reloading(&mut self, staff: StaffId, on: bool) {
        let Some(seat) = self.seats.get_mut(staff) else { return };
        seat.reloading = on;
        let chair = seat.chair;
        if !on {
            self.free(chair);
        }
    }

    /// Notes when the owner of an enquiry will have been gone, or silent, for too long.
    pub(super) fn note_relief(&mut self, enquiry: Key) {
        let Some(entry) = self.entries.get(enquiry) else { return };
        let at = self.relief_due(entry);
        if let Some(entry) = self.entries.get_mut(enquiry) {
            entry.relief_at = at;
        }
    }

    fn relief_due(&self, entry: &Entry) -> Option<Timestamp> {
        let owner = entry.owner?;
        let waits = entry.place.visitor_waits?;
        if entry.is_busy() || entry.relief_failed || entry.place.hold_until.is_some() {
            return None;
        }
        let seat = self.seats.at(owner);
        // A new owner has as long as the last one had.
        let waits = waits.max(entry.owned_since);
        let (since, patience) = if is_gone(seat.kept.presence) {
            (waits.max(seat.presence_since), self.settings.owner_gone)
        } else {
            (waits, self.settings.no_reply)
        };
        (patience > Duration::ZERO).then(|| since + patience)
    }

    pub(super) fn relieve_if_due(&mut self, enquiry: Key) {
        let Some(entry) = self.entries.get(enquiry) else { return };
        let due = self.relief_due(entry).is_some_and(|at| at <= self.turn.now);
        let (true, Some(owner)) = (due, entry.place.stage.owner()) else { return };
        self.happened(FloorEvent::OwnerGone { enquiry: self.id(enquiry), owner, suspended: false });
        self.start_walk(enquiry, Purpose::OwnerGone, Vec::new(), Some(owner));
    }

    /// Somebody signs out and hands over: what they own is walked like that of an owner who has gone.
    pub(super) fn hand_over(&mut self, staff: StaffId) {
        let owned: Vec<Key> = self
            .seats
            .get(staff)
            .map(|seat| seat.owned.iter().copied().collect())
            .unwrap_or_default();
        for enquiry in owned {
            let busy = self.entries.get(enquiry).is_none_or(Entry::is_busy);
            if !busy {
                self.happened(FloorEvent::OwnerGone {
                    enquiry: self.id(enquiry),
                    owner: staff,
                    suspended: false,
                });
                self.start_walk(enquiry, Purpose::OwnerGone, Vec::new(), Some(staff));
            }
        }
    }

    /// Somebody is free: an enquiry whose owner has gone and whom nobody relieved is tried again,
    /// for each person who frees up once per message of the visitor's.
    pub(super) fn relieve_with(&mut self, chair: Chair) -> bool {
        let seat = self.seats.at(chair);
        if self.unrelieved.is_empty() || self.seat_verdict(seat).is_some() {
            return false;
        }
        let staff = seat.staff;
        let found = self.unrelieved.iter().copied().find(|enquiry| {
            self.entries.get(*enquiry).is_some_and(|entry| {
                entry.place.stage.owner() != Some(staff)
                    && !entry.is_busy()
                    && !entry.past.read().relief_tried.contains(&staff)
                    && !entry.cools(staff, self.turn.now)
                    && self.may_take_up(entry, staff)
            })
        });
        let Some(enquiry) = found else { return false };
        self.unrelieved.remove(&enquiry);
        let Some(entry) = self.entries.get_mut(enquiry) else { return false };
        entry.relief_failed = false;
        entry.past.write().relief_tried.push(staff);
        let owner = entry.place.stage.owner();
        self.start_walk(enquiry, Purpose::OwnerGone, Vec::new(), owner);
        true
    }

    /// Editing a rule affects walks begun afterwards: those running keep the version they go by.
    fn keep_rules_walked(&mut self, new: &Settings) {
        let old = Arc::clone(&self.settings);
        let edited: BTreeMap<RuleId, Arc<Rule>> = old
            .rules
            .values()
            .filter(|rule| new.rules.get(&rule.id) != Some(rule))
            .map(|rule| (rule.id, Arc::new(rule.clone())))
            .collect();
        let elsewhere = old
            .channels
            .iter()
            .filter(|(id, channel)| new.channels.get(id).map(|new| new.rule) != Some(channel.rule));
        let elsewhere: BTreeMap<ChannelId, RuleId> =
            elsewhere.map(|(id, channel)| (*id, channel.rule)).collect();
        if edited.is_empty() && elsewhere.is_empty() {
            return;
        }
        let live: Vec<Key> = self.entries.keys().collect();
        for enquiry in live {
            let Some(entry) = self.entries.get_mut(enquiry) else { continue };
            let (channel, drawn) = (entry.place.channel, entry.place.drawn);
            let Errand::Walk(walk) = &mut entry.place.errand else { continue };
            if walk.under.is_some() {
                continue;
            }
            let under = match walk.rule {
                // What is past its rule asks it again only where a bucket can give it on.
                Some(rule) => edited
                    .get(&rule)
                    .filter(|rule| drawn.is_some_and(|drawn| could_overflow(rule, drawn)))
                    .cloned(),
                None => match elsewhere.get(&channel) {
                    Some(rule) => old.rules.get(rule).cloned().map(Arc::new),
                    None => old.rule_of(channel).and_then(|rule| edited.get(&rule.id)).cloned(),
                },
            };
            if under.is_some() {
                walk.under = under;
                self.entry_mut(enquiry);
            }
        }
    }

    pub(super) fn replace_settings(&mut self, settings: Arc<Settings>) {
        self.keep_rules_walked(&settings);
        let old = std::mem::replace(&mut self.settings, settings);
        let new = Arc::clone(&self.settings);
        self.seat_people();
        let people = old.staff != new.staff || old.groups != new.groups || old.queues != new.queues;
        let ways = old.rules != new.rules || old.channels != new.channels;
        if people {
            for chair in self.seats.everybody() {
                self.recheck(chair);
            }
            self.orphan_the_suspended();
            self.touch_everybody_waiting();
            self.walked.clear();
        }
        if people || ways || old.missed_offer_when_free != new.missed_offer_when_free {
            // An offer of a missed one stands as long as its rule would send it there.
            for chair in self.seats.everybody() {
                self.recheck(chair);
            }
            self.shelve_anew();
        }
        if old.owner_gone != new.owner_gone || old.no_reply != new.no_reply {
            let owned: Vec<Key> =
                self.seats.iter().flat_map(|seat| seat.owned.iter().copied()).collect();
            for enquiry in owned {
                self.mark(enquiry);
            }
        }
        for chair in self.seats.everybody() {
            self.free(chair);
        }
    }

    fn touch_everybody_waiting(&mut self) {
        let waiting: Vec<Key> = self.lines.everybody().collect();
        for enquiry in waiting {
            self.touch(enquiry);
        }
    }

    /// What suspended or deleted people hold is walked at once.
    pub(super) fn orphan_the_suspended(&mut self) {
        let gone: Vec<StaffId> =
            self.seats.iter().filter(|seat| !seat.enabled).map(|seat| seat.staff).collect();
        for staff in gone {
            self.set_presence(staff, Presence::Offline, PresenceWhy::Suspended);
            let owned: Vec<Key> = self
                .seats
                .get(staff)
                .map(|seat| seat.owned.iter().copied().collect())
                .unwrap_or_default();
            for enquiry in owned {
                self.orphan(enquiry, staff);
            }
            if !self.settings.staff.contains_key(&staff) {
                self.seats.leave(staff);
            }
        }
    }

    fn orphan(&mut self, enquiry: Key, owner: StaffId) {
        let transfers = self
            .entries
            .get(enquiry)
            .is_some_and(|entry| matches!(entry.place.errand, Errand::Transfer { .. }));
        self.drop_errand(enquiry);
        if transfers {
            self.happened(FloorEvent::TransferEnded {
                enquiry: self.id(enquiry),
                end: TransferEnd::Overtaken,
            });
        }
        self.unrelieved.remove(&enquiry);
        self.release(enquiry);
        let Some(entry) = self.entry_mut(enquiry) else { return };
        entry.place.stage = Stage::Open;
        entry.place.epoch += 1;
        entry.place.hold_until = None;
        self.happened(FloorEvent::OwnerGone { enquiry: self.id(enquiry), owner, suspended: true });
        self.start_walk(enquiry, Purpose::Orphaned, Vec::new(), Some(owner));
    }
}
