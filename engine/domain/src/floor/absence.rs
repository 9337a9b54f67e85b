//! People who come, go, or are taken off the floor, and what becomes of what they hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::event::{FloorEvent, PresenceWhy, TransferEnd};
use super::place::{Errand, Purpose, Stage};
use super::{Floor, Line};
use crate::ids::{ChannelId, EnquiryId, RuleId, StaffId};
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
        let Some(seat) = self.seats.get_mut(&staff) else { return };
        if why == PresenceWhy::SetByHand && seat.kept.unanswered > 0 {
            seat.kept.unanswered = 0;
            self.turn.seats_marked.insert(staff);
        }
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
        let owned: Vec<EnquiryId> = seat.owned.iter().copied().collect();
        if !is_gone(presence) {
            self.is_back(&owned);
        }
        self.turn.marked.extend(owned);
        self.turn.seats_marked.insert(staff);
        self.happened(FloorEvent::PresenceChanged { staff, presence, why });
        if presence == Presence::Active {
            self.turn.freed.insert(staff);
        } else {
            self.recheck(staff);
            self.touch_lines_of(staff);
        }
    }

    /// The owner is there again: nobody else is looked for when somebody frees up.
    fn is_back(&mut self, owned: &[EnquiryId]) {
        for enquiry in owned {
            self.unrelieved.remove(enquiry);
            if let Some(entry) = self.entries.get_mut(enquiry) {
                entry.relief_failed = false;
            }
        }
    }

    /// Whoever waits for this person may have to go on.
    fn touch_lines_of(&mut self, staff: StaffId) {
        let lines = self.serves.get(&staff).cloned().unwrap_or_default();
        for line in lines {
            // A queue holds whether anybody is Active or not.
            if matches!(line, Line::At(Destination::Group(_)) | Line::For(_)) {
                let waiting: Vec<EnquiryId> =
                    self.lines.ranks(line).map(|rank| rank.enquiry).collect();
                self.turn.touched.extend(waiting);
            }
        }
    }

    pub(super) fn set_reloading(&mut self, staff: StaffId, on: bool) {
        let Some(seat) = self.seats.get_mut(&staff) else { return };
        seat.reloading = on;
        if !on {
            self.turn.freed.insert(staff);
        }
    }

    /// Notes when the owner of an enquiry will have been gone, or silent, for too long.
    pub(super) fn note_relief(&mut self, enquiry: EnquiryId) {
        let Some(entry) = self.entries.get(&enquiry) else { return };
        let at = self.relief_due(entry);
        if let Some(entry) = self.entries.get_mut(&enquiry) {
            entry.relief_at = at;
        }
    }

    fn relief_due(&self, entry: &super::Entry) -> Option<Timestamp> {
        let owner = entry.place.stage.owner()?;
        let waits = entry.place.visitor_waits?;
        if entry.is_busy() || entry.relief_failed || entry.place.hold_until.is_some() {
            return None;
        }
        let seat = self.seats.get(&owner)?;
        // A new owner has as long as the last one had.
        let waits = waits.max(entry.owned_since);
        let (since, patience) = if is_gone(seat.kept.presence) {
            (waits.max(seat.presence_since), self.settings.owner_gone)
        } else {
            (waits, self.settings.no_reply)
        };
        (patience > Duration::ZERO).then(|| since + patience)
    }

    pub(super) fn relieve_if_due(&mut self, enquiry: EnquiryId) {
        let Some(entry) = self.entries.get(&enquiry) else { return };
        let due = self.relief_due(entry).is_some_and(|at| at <= self.turn.now);
        let (true, Some(owner)) = (due, entry.place.stage.owner()) else { return };
        self.happened(FloorEvent::OwnerGone { enquiry, owner, suspended: false });
        self.start_walk(enquiry, Purpose::OwnerGone, Vec::new(), Some(owner));
    }

    /// Somebody signs out and hands over: what they own is walked like that of an owner who has gone.
    pub(super) fn hand_over(&mut self, staff: StaffId) {
        let owned: Vec<EnquiryId> = self
            .seats
            .get(&staff)
            .map(|seat| seat.owned.iter().copied().collect())
            .unwrap_or_default();
        for enquiry in owned {
            let busy = self.entries.get(&enquiry).is_none_or(|entry| entry.is_busy());
            if !busy {
                self.happened(FloorEvent::OwnerGone { enquiry, owner: staff, suspended: false });
                self.start_walk(enquiry, Purpose::OwnerGone, Vec::new(), Some(staff));
            }
        }
    }

    /// Somebody is free: an enquiry whose owner has gone and whom nobody relieved is tried again,
    /// for each person who frees up once per message of the visitor's.
    pub(super) fn relieve_with(&mut self, staff: StaffId) -> bool {
        let Some(seat) = self.seats.get(&staff) else { return false };
        if self.seat_verdict(seat).is_some() {
            return false;
        }
        let found = self.unrelieved.iter().copied().find(|enquiry| {
            self.entries.get(enquiry).is_some_and(|entry| {
                entry.place.stage.owner() != Some(staff)
                    && !entry.is_busy()
                    && !entry.relief_tried.contains(&staff)
                    && !entry.cools(staff, self.turn.now)
                    && self.may_take_up(entry, staff)
            })
        });
        let Some(enquiry) = found else { return false };
        self.unrelieved.remove(&enquiry);
        let Some(entry) = self.entries.get_mut(&enquiry) else { return false };
        entry.relief_failed = false;
        entry.relief_tried.push(staff);
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
        for (enquiry, entry) in &mut self.entries {
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
                entry.changed = true;
                self.turn.marked.insert(*enquiry);
            }
        }
    }

    pub(super) fn replace_settings(&mut self, settings: Arc<Settings>) {
        self.keep_rules_walked(&settings);
        self.settings = settings;
        self.seat_people();
        let everybody: Vec<StaffId> = self.seats.keys().copied().collect();
        for staff in &everybody {
            self.recheck(*staff);
        }
        self.orphan_the_suspended();
        self.shelve_anew();
        let waiting: Vec<EnquiryId> =
            self.lines.all().flat_map(|(_, ranks)| ranks.iter().map(|rank| rank.enquiry)).collect();
        self.turn.touched.extend(waiting);
        let owned = self.seats.values().flat_map(|seat| seat.owned.iter().copied());
        self.turn.marked.extend(owned);
        self.turn.freed.extend(everybody);
    }

    /// What suspended or deleted people hold is walked at once.
    pub(super) fn orphan_the_suspended(&mut self) {
        let gone: Vec<StaffId> = self
            .seats
            .keys()
            .copied()
            .filter(|staff| self.settings.staff.get(staff).is_none_or(|person| !person.enabled))
            .collect();
        for staff in gone {
            self.set_presence(staff, Presence::Offline, PresenceWhy::Suspended);
            let owned: Vec<EnquiryId> = self
                .seats
                .get(&staff)
                .map(|seat| seat.owned.iter().copied().collect())
                .unwrap_or_default();
            for enquiry in owned {
                self.orphan(enquiry, staff);
            }
            if !self.settings.staff.contains_key(&staff) {
                self.seats.remove(&staff);
            }
        }
    }

    fn orphan(&mut self, enquiry: EnquiryId, owner: StaffId) {
        let transfers = self
            .entries
            .get(&enquiry)
            .is_some_and(|entry| matches!(entry.place.errand, Errand::Transfer { .. }));
        self.drop_errand(enquiry);
        if transfers {
            self.happened(FloorEvent::TransferEnded { enquiry, end: TransferEnd::Overtaken });
        }
        self.unrelieved.remove(&enquiry);
        self.release(enquiry, owner);
        let Some(entry) = self.entry_mut(enquiry) else { return };
        entry.place.stage = Stage::Open;
        entry.place.epoch += 1;
        entry.place.hold_until = None;
        self.happened(FloorEvent::OwnerGone { enquiry, owner, suspended: true });
        self.start_walk(enquiry, Purpose::Orphaned, Vec::new(), Some(owner));
    }
}
