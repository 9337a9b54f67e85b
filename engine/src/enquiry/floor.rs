//! What the floor has decided about the enquiry: passed on to the machine and to people.

use std::collections::BTreeMap;

use usher_domain::enquiry::auto_message::away_due;
use usher_domain::enquiry::{Command, IdleClock};
use usher_domain::floor::event::{Closer, FloorEvent, OfferEnd, OfferSort, PickUp, TransferEnd};
use usher_domain::floor::place::{Errand, PlaceThen, Stage};
use usher_domain::ids::{EnquiryId, StaffId};
use usher_domain::message::AutoMessage;
use usher_domain::record::{Event, Record};
use usher_domain::rule::binding_after_close;
use usher_domain::time::Timestamp;
use usher_domain::visitor::{Change, Closing};
use usher_protocol::event::{Event as Telling, Head, Relation};

use super::Enquiry;
use super::facts::Held;
use crate::channel::Ended;
use crate::directory::Remember;
use crate::metrics as names;

impl Enquiry {
    /// What the floor has decided in one turn; `place` is how it stands after all of it.
    pub(super) fn on_floor(&mut self, events: Vec<FloorEvent>, place: Option<PlaceThen>) {
        let before = self.place.as_ref().map(|place| place.stage);
        if place.is_some() {
            self.place = place;
        }
        let mut moved = false;
        let mut ended: BTreeMap<OfferEnd, Vec<StaffId>> = BTreeMap::new();
        for event in events {
            if let FloorEvent::OfferEnded { staff, end, .. } = event {
                self.offer_ended(staff, end);
                ended.entry(end).or_default().push(staff);
                moved = true;
                continue;
            }
            self.tell_who_lost_it(&mut ended);
            let waits = matches!(event, FloorEvent::Offered { .. } | FloorEvent::Waiting { .. });
            moved |= !matches!(event, FloorEvent::Decided { .. } | FloorEvent::Waiting { .. });
            self.on_floor_event(event, before);
            if self.closed {
                return;
            }
            if waits {
                self.show_that_it_waits();
            }
        }
        self.tell_who_lost_it(&mut ended);
        if self.offers.is_empty() {
            // Room for everybody who was asked is not needed any more.
            self.offers = Vec::new();
        }
        if moved {
            self.write(vec![Event::ClockSet { enquiry: self.id }], Vec::new());
        }
    }

    /// Those whose offers ended alike are told so in one text.
    fn tell_who_lost_it(&self, ended: &mut BTreeMap<OfferEnd, Vec<StaffId>>) {
        for (end, staff) in std::mem::take(ended) {
            self.tell(staff, &Telling::Withdrawn { enquiry: self.id, why: end.into() });
        }
    }

    fn on_floor_event(&mut self, event: FloorEvent, before: Option<Stage>) {
        match event {
            FloorEvent::Offered { to, sort, until, .. } => self.offered(&to, sort, until),
            FloorEvent::PickedUp { by, how, from, epoch, .. } => {
                self.picked_up(by, how, from, epoch, before);
            }
            FloorEvent::BotTook { bot, .. } => {
                self.note(Command::Handling(true));
                self.begin_talk(bot);
                self.updated();
            }
            FloorEvent::BotLeft { .. } => {
                self.note(Command::Handling(false));
                self.end_talk();
                self.updated();
            }
            FloorEvent::Missed { away, .. } => {
                self.note(Command::Handling(false));
                metrics::counter!(names::ENQUIRIES, "outcome" => "missed").increment(1);
                self.peers.service_level(false);
                self.nobody_took_it(away);
            }
            // It was missed before, and counted then.
            FloorEvent::WalkEnded { .. } => self.nobody_took_it(true),
            FloorEvent::TransferOffered { by, .. } => self.transfer_offered(by),
            FloorEvent::TransferEnded { end, .. } => self.transfer_ended(end),
            FloorEvent::OwnerGone { owner, suspended, .. } => {
                if suspended {
                    self.leaves(owner);
                    self.note(Command::Handling(false));
                }
                let name = self.peers.name_of(owner);
                self.notice(
                    self.supervisors(),
                    format!("{name} has gone while a visitor waits; somebody else is asked."),
                );
            }
            FloorEvent::NobodyTookOver { .. } => {
                self.notice(
                    self.supervisors(),
                    "A visitor waits, the owner has gone, and nobody else took it.".into(),
                );
            }
            FloorEvent::Held { until, .. } => {
                self.note(Command::Hold(until));
                self.updated();
            }
            FloorEvent::Closed { by, silent, reason, owner, .. } => {
                self.close(by, silent, reason, owner);
            }
            FloorEvent::OfferEnded { .. }
            | FloorEvent::Waiting { .. }
            | FloorEvent::Decided { .. }
            | FloorEvent::PresenceChanged { .. } => {}
        }
    }

    /// Everybody in its groups sees it waiting, and not only who is asked.
    fn show_that_it_waits(&mut self) {
        let waits = matches!(self.place.as_ref().map(|place| place.stage), Some(Stage::Open));
        if !waits || self.told_waiting {
            return;
        }
        let asked = |staff: &StaffId| self.offers.iter().any(|held| held.staff == *staff);
        let to: Vec<StaffId> =
            self.group_members().into_iter().filter(|staff| !asked(staff)).collect();
        if to.is_empty() {
            return;
        }
        // One text for all of them: the head is the same to each.
        let head = self.head_as(Relation::Waiting, None);
        self.tell(to, &Telling::Updated { enquiry: Box::new(head) });
        self.told_waiting = true;
    }

    /// Who saw it waiting, and does not any more.
    fn saw_it_waiting(&mut self) -> Vec<StaffId> {
        let shown = std::mem::take(&mut self.shown_waiting);
        if std::mem::take(&mut self.told_waiting) || shown {
            self.group_members()
        } else {
            Vec::new()
        }
    }

    /// The head has changed for everybody in the room.
    pub(super) fn updated(&self) {
        self.tell_each(self.room(), |head| Telling::Updated { enquiry: Box::new(head) });
    }

    /// Tells each with the head as they see it: written once for all to whom it is the same.
    fn tell_each(&self, to: Vec<StaffId>, telling: impl Fn(Head) -> Telling) {
        let mut alike: BTreeMap<Relation, Vec<StaffId>> = BTreeMap::new();
        for staff in to {
            alike.entry(self.relation(staff)).or_default().push(staff);
        }
        for (relation, people) in alike {
            match relation {
                // An offer is one person's own; who looks on unseen is seen by themselves alone.
                Relation::Offered | Relation::Monitoring => {
                    for staff in people {
                        self.tell(vec![staff], &telling(self.head_as(relation, Some(staff))));
                    }
                }
                Relation::Owner
                | Relation::Joined
                | Relation::Waiting
                | Relation::Missed
                | Relation::Supervised
                | Relation::Gone => self.tell(people, &telling(self.head_as(relation, None))),
            }
        }
    }

    fn offered(&mut self, to: &[StaffId], sort: OfferSort, until: Timestamp) {
        let since = self.now;
        if let Some(parts) = self.rare.existing() {
            parts.offered_before.retain(|before| !to.contains(before));
        }
        for staff in to {
            self.offers.push(Held { staff: *staff, until, since, sort });
        }
        // One text for all who are asked at once: the head is the same to each of them.
        let head = self.head_as(Relation::Offered, to.first().copied());
        let telling = Telling::Offered {
            enquiry: Box::new(head),
            until: self.peers.on_the_wall(until).into(),
            sort,
        };
        self.tell(to.to_vec(), &telling);
    }

    fn offer_ended(&mut self, staff: StaffId, end: OfferEnd) {
        if let Some(index) = self.offers.iter().position(|held| held.staff == staff) {
            let held = self.offers.remove(index);
            let stood = self.now.since(held.since).as_secs_f64();
            metrics::counter!(names::OFFERS, "outcome" => outcome(end)).increment(1);
            metrics::histogram!(names::OFFER_SECONDS, "outcome" => outcome(end)).record(stood);
        }
        if !self.rare.offered_before.contains(&staff) {
            self.rare.write().offered_before.push(staff);
        }
    }

    fn picked_up(
        &mut self,
        by: StaffId,
        how: PickUp,
        from: Option<StaffId>,
        epoch: u32,
        before: Option<Stage>,
    ) {
        let now = self.now;
        let was_missed = matches!(before, Some(Stage::Missed { .. }));
        if let Some(from) = from {
            self.was_here(from, self.stamp());
        } else {
            let waited = now.since(self.machine.kept().opened_at);
            metrics::histogram!(names::WAIT).record(waited.as_secs_f64());
            // A missed one was counted when it was missed.
            if !was_missed {
                self.peers.service_level(waited <= self.peers.settings.service_level);
            }
        }
        if let Some(parts) = self.rare.existing() {
            parts.members.remove(&by);
        }
        self.end_talk();
        self.note(Command::Handling(true));
        let mut told = self.room();
        told.extend(from);
        if was_missed {
            told.extend(self.group_members());
        }
        told.extend(self.saw_it_waiting());
        told.sort_unstable();
        told.dedup();
        let telling = |head: Head| Telling::PickedUp {
            enquiry: Box::new(head),
            by: self.named(by),
            how,
            from: from.map(|from| self.named(from)),
            epoch,
        };
        self.tell_each(told, telling);
        self.show_custom_info(by);
    }

    fn show_custom_info(&self, to: StaffId) {
        let Some(channel) = self.settings() else { return };
        if let Some(text) = channel.custom_info.clone() {
            let channel = usher_protocol::event::Named::new(channel.id, channel.name.clone());
            self.tell(vec![to], &Telling::CustomInfo { channel, text: Some(text) });
        }
    }

    fn nobody_took_it(&mut self, away: bool) {
        self.told_waiting = false;
        self.tell_each(self.group_members(), |head| Telling::Missed { enquiry: Box::new(head) });
        if away && self.is_away_due(self.now) {
            self.say_away();
        }
    }

    /// Whether Away is to be said for what was missed at `since`.
    pub(super) fn is_away_due(&self, since: Timestamp) -> bool {
        let last = self.machine.kept().away_sent;
        self.settings().is_some_and(|channel| away_due(&channel.away, last, false, since))
    }

    pub(super) fn say_away(&mut self) {
        let text = self.settings().map(|channel| channel.away.text.clone());
        self.say(AutoMessage::Away, &text.unwrap_or_default(), None);
        self.note(Command::AwaySent);
    }

    fn transfer_offered(&mut self, by: StaffId) {
        let Some(Errand::Transfer { to, blind, .. }) =
            self.place.as_ref().map(|place| place.errand.clone())
        else {
            // It came to nothing within the same turn; how it ended follows.
            return;
        };
        if blind {
            self.leaves(by);
            self.note(Command::Handling(false));
        }
        self.note(Command::TransferOffered(true));
        let mut told = self.room();
        told.push(by);
        told.dedup();
        let telling = Telling::Transferred {
            enquiry: self.id,
            by: self.named(by),
            to: to.into(),
            blind,
            until: None,
            end: None,
        };
        self.tell(told, &telling);
        self.updated();
    }

    /// Of somebody who comes and goes the latest going counts.
    pub(super) fn was_here(&mut self, staff: StaffId, until: Timestamp) {
        let former = &mut self.rare.write().former;
        former.retain(|(former, _)| *former != staff);
        former.push((staff, until));
    }

    /// Was the owner, and sees what was said until now.
    fn leaves(&mut self, owner: StaffId) {
        self.was_here(owner, self.stamp());
        self.tell(
            vec![owner],
            &Telling::Updated { enquiry: Box::new(self.head_as(Relation::Gone, None)) },
        );
    }

    fn transfer_ended(&mut self, end: TransferEnd) {
        self.note(Command::TransferOffered(false));
        if end == TransferEnd::Lapsed
            && self.owner().is_none()
            && let Some(text) = self.settings().and_then(|channel| channel.transfer_failed.clone())
        {
            self.say(AutoMessage::TransferFailed, &text, None);
        }
        self.updated();
    }

    fn close(&mut self, by: Closer, silent: bool, reason: Option<String>, owner: Option<StaffId>) {
        let now = self.now;
        if self.machine.kept().over {
            // After a restart: it was said already, only the memory of it is missing.
            return self.end(owner);
        }
        self.end_talk();
        let unsent = matches!(self.machine.kept().clock, IdleClock::Grace { unsent: true, .. });
        self.note(Command::Closed);
        let say =
            !silent && !matches!(by, Closer::Stale | Closer::Merged | Closer::Blocked) && !unsent;
        let text = self
            .settings()
            .filter(|channel| channel.close.on)
            .map(|channel| channel.close.text.clone());
        if let Some(text) = text.filter(|_| say && self.machine.window_is_open(now)) {
            self.say(AutoMessage::Close, &text, None);
        }
        metrics::counter!(names::ENQUIRIES, "outcome" => closed_as(by)).increment(1);
        let mut told = self.room();
        if matches!(self.place.as_ref().map(|place| place.stage), Some(Stage::Missed { .. })) {
            told.extend(self.group_members());
        }
        told.extend(self.saw_it_waiting());
        told.extend(owner);
        told.sort_unstable();
        told.dedup();
        let telling = Telling::Closed {
            enquiry: self.id,
            closer: by,
            silent,
            reason,
            time: self.stamp().into(),
        };
        self.tell(told, &telling);
        self.end(owner);
    }

    /// The visitor is remembered by it, and then it is no more.
    fn end(&mut self, owner: Option<StaffId>) {
        self.closed = true;
        self.sync_joined();
        self.arm();
        self.leave_memory(owner);
        if let Some(channel) = self.peers.channel(self.channel) {
            channel.do_send(Ended(self.id));
        }
        self.bounce_held_back();
    }

    /// What is remembered of the visitor: last owner, window, and who served them. It is written
    /// down together with the enquiry's end, so that neither is without the other.
    fn leave_memory(&mut self, owner: Option<StaffId>) {
        let now = self.now;
        let mut end = Record::new(now, Event::ClockSet { enquiry: self.id }).leaving(self.kept());
        if std::mem::take(&mut self.talk_changed) {
            end = end.leaving(self.talk_kept());
        }
        let Some(settings) = self.settings() else {
            self.peers.ledger.append(vec![end], Vec::new());
            return;
        };
        let kept = self.machine.kept();
        let wrote = owner.is_some() && kept.staff_wrote == owner;
        let binding = binding_after_close(settings, owner, wrote, self.stamp());
        let closing = Closing { owner, window_until: Some(kept.window_until), binding };
        let change = Change::EnquiryClosed { channel: self.channel, closing };
        self.peers.directory.do_send(Remember {
            visitor: self.visitor.id,
            change,
            answer: None,
            and: vec![end],
        });
    }

    pub(super) fn merged_away(&self, owner: StaffId, into: EnquiryId) {
        let text = format!(
            "This visitor turned out to be the same person as in {into}; that enquiry goes on."
        );
        self.notice(vec![owner], text);
    }
}

const fn outcome(end: OfferEnd) -> &'static str {
    match end {
        OfferEnd::PickedUp => "picked_up",
        OfferEnd::AlreadyTaken => "already_taken",
        OfferEnd::Declined => "declined",
        OfferEnd::Lapsed => "lapsed",
        OfferEnd::NotStanding | OfferEnd::Full | OfferEnd::Moved => "withdrawn",
    }
}

const fn closed_as(by: Closer) -> &'static str {
    match by {
        Closer::Staff { .. } => "closed_by_staff",
        Closer::Bot { .. } => "closed_by_bot",
        Closer::AutoClose { unanswered: true } => "auto_closed_unanswered",
        Closer::AutoClose { unanswered: false } => "auto_closed",
        Closer::Stale => "stale",
        Closer::Merged => "merged",
        Closer::Blocked => "blocked",
    }
}
