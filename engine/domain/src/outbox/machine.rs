//! Decides which message leaves next.

use std::collections::{BTreeMap, BTreeSet};

use super::command::{Command, Effect, Item, Limits, Priority, Refusal};
use super::line::{Entry, HeldBack, Line, LineState, Wake};
use super::pace::NumberPace;
use crate::ids::{MessageId, VisitorId};
use crate::time::Timestamp;

/// What waits to be sent by one channel. Every operation costs O(log n).
#[derive(Clone, Debug)]
pub struct Outbox {
    pub(super) limits: Limits,
    pub(super) entries: BTreeMap<MessageId, Entry>,
    /// All lines, each in order; what is held back is not in it.
    places: BTreeSet<(VisitorId, u64, MessageId)>,
    pub(super) lines: BTreeMap<VisitorId, Line>,
    /// Lines whose head may be sent: most urgent first, then by arrival.
    ready: BTreeSet<(Priority, u64, VisitorId)>,
    wakes: BTreeSet<(Timestamp, Wake)>,
    /// Empty lines, by when they may be forgotten. Nothing wakes for them.
    empty: BTreeSet<(Timestamp, VisitorId)>,
    pub(super) pace: NumberPace,
    pub(super) in_flight: usize,
    pub(super) stopped: Option<Stopped>,
    /// Outcomes unknown since the last known one.
    pub(super) doubts: u32,
    next_place: u64,
    /// When a ready line that had to wait for the number may go.
    opens_at: Option<Timestamp>,
}

/// The channel is stopped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stopped {
    /// The message that tries whether it works again.
    pub(super) probe: Option<MessageId>,
    pub(super) probe_at: Timestamp,
}

impl Outbox {
    pub fn new(limits: Limits) -> Self {
        Self {
            pace: NumberPace::new(limits.per_second),
            limits,
            entries: BTreeMap::new(),
            places: BTreeSet::new(),
            lines: BTreeMap::new(),
            ready: BTreeSet::new(),
            wakes: BTreeSet::new(),
            empty: BTreeSet::new(),
            in_flight: 0,
            stopped: None,
            doubts: 0,
            next_place: 0,
            opens_at: None,
        }
    }

    /// Messages in it, whatever their state.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Requests under way.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    pub fn contains(&self, message: MessageId) -> bool {
        self.entries.contains_key(&message)
    }

    /// When [`expire`](Self::expire) next has work to do.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let wake = self.wakes.first().map(|&(at, _)| at);
        [wake, self.opens_at].into_iter().flatten().min()
    }

    /// Lets what has come due happen.
    pub fn expire(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        self.wake_all(now, effects);
        self.send_all(now, effects);
    }

    /// First lets due deadlines expire, then judges; a refusal changes nothing beyond that.
    pub fn apply(
        &mut self,
        now: Timestamp,
        command: Command,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        self.wake_all(now, effects);
        let judged = self.judge(now, command, effects);
        self.send_all(now, effects);
        judged
    }

    fn judge(
        &mut self,
        now: Timestamp,
        command: Command,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        match command {
            Command::Push(item) => self.push(now, item),
            Command::PushAmbiguous(item) => self.push_ambiguous(now, item),
            Command::Inbound => {
                self.pace.came_in(now);
                Ok(())
            }
            Command::Withdraw { message } => self.withdraw(now, message, effects),
            Command::Accepted { message } => self.accepted(now, message, effects),
            Command::Refused { message, code, how } => {
                self.refused(now, message, (code, how), effects)
            }
            Command::Ambiguous { message } => self.ambiguous(now, message, effects),
            Command::NotSent { message } => self.not_sent(now, message, effects),
            Command::ReceiptSeen { message } => self.receipt_seen(now, message, effects),
            Command::Resume => {
                self.resume(effects);
                Ok(())
            }
        }
    }

    fn push(&mut self, now: Timestamp, item: Item) -> Result<(), Refusal> {
        if self.contains(item.message) {
            return Err(Refusal::AlreadyHere);
        }
        if self.len() >= self.limits.queued_max {
            return Err(Refusal::Full);
        }
        self.enter(item);
        self.settle(item.visitor, now);
        Ok(())
    }

    fn push_ambiguous(&mut self, now: Timestamp, item: Item) -> Result<(), Refusal> {
        if self.contains(item.message) {
            return Err(Refusal::AlreadyHere);
        }
        if self.busy_with(item.visitor).is_some() {
            return Err(Refusal::LineBusy);
        }
        self.enter(item);
        let until = now + self.limits.doubt;
        self.set_state(item.visitor, LineState::Doubt { message: item.message, until });
        Ok(())
    }

    fn enter(&mut self, item: Item) {
        let place = self.next_place;
        self.next_place += 1;
        if let Some(at) = item.withdraw_at {
            self.wakes.insert((at, Wake::Withdraw(item.message)));
        }
        self.places.insert((item.visitor, place, item.message));
        *self.lines.entry(item.visitor).or_default().count(item.class) += 1;
        self.entries.insert(item.message, Entry::new(item, place));
    }

    fn withdraw(
        &mut self,
        now: Timestamp,
        message: MessageId,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let visitor = self.entries.get(&message).ok_or(Refusal::NotHere)?.item.visitor;
        if self.busy_with(visitor) == Some(message) {
            return Err(Refusal::HasLeft);
        }
        self.leave(message);
        effects.push(Effect::Withdrawn { message });
        self.settle(visitor, now);
        Ok(())
    }

    /// Takes a message out; its line is to be settled afterwards.
    pub(super) fn leave(&mut self, message: MessageId) {
        let entry = self.entries.remove(&message).expect("only what is here leaves");
        if let Some(at) = entry.item.withdraw_at {
            self.wakes.remove(&(at, Wake::Withdraw(message)));
        }
        match entry.held_back {
            HeldBack::Now => {
                self.wakes.remove(&(entry.not_before, Wake::HeldBackEnds(message)));
            }
            HeldBack::Never | HeldBack::Once => self.step_out(&entry),
        }
    }

    /// Out of its line, but perhaps not out of the outbox.
    pub(super) fn step_out(&mut self, entry: &Entry) {
        let Item { message, visitor, class, .. } = entry.item;
        self.places.remove(&(visitor, entry.place, message));
        *self.line(visitor).count(class) -= 1;
    }

    pub(super) fn hold_back(&mut self, message: MessageId, until: Timestamp) {
        let entry = self.entry(message);
        entry.held_back = HeldBack::Now;
        entry.not_before = until;
        let entry = entry.clone();
        self.step_out(&entry);
        self.wakes.insert((until, Wake::HeldBackEnds(message)));
    }

    fn step_in_again(&mut self, now: Timestamp, message: MessageId) {
        let entry = self.entry(message);
        entry.held_back = HeldBack::Once;
        let (Item { visitor, class, .. }, place) = (entry.item, entry.place);
        self.places.insert((visitor, place, message));
        *self.lines.entry(visitor).or_default().count(class) += 1;
        self.settle(visitor, now);
    }

    pub(super) fn entry(&mut self, message: MessageId) -> &mut Entry {
        self.entries.get_mut(&message).expect("looked up before")
    }

    pub(super) fn line(&mut self, visitor: VisitorId) -> &mut Line {
        self.lines.get_mut(&visitor).expect("a visitor with messages has a line")
    }

    /// The visitor's message that has left and has no outcome yet. A visitor whose only message is
    /// held back may have no line.
    pub(super) fn busy_with(&self, visitor: VisitorId) -> Option<MessageId> {
        self.lines.get(&visitor).and_then(Line::busy_with)
    }

    /// Finds out when a line's head may be sent, unless the line is busy.
    pub(super) fn settle(&mut self, visitor: VisitorId, now: Timestamp) {
        if self.busy_with(visitor).is_some() {
            return;
        }
        let Some(line) = self.lines.get(&visitor) else { return };
        let from = (visitor, 0, MessageId::from_number(0));
        let head = self.places.range(from..).next().filter(|head| head.0 == visitor);
        let state = match head {
            None => LineState::Empty,
            Some(&(_, place, message)) => {
                let free_at = line.pair.free_at(self.limits.pair_every, self.limits.pair_burst);
                let not_before = self.entries[&message].not_before;
                let until = free_at.max(line.backs_off_until).max(not_before);
                if until <= now {
                    LineState::Ready { class: line.class(), head: place }
                } else {
                    LineState::Waiting { until }
                }
            }
        };
        self.set_state(visitor, state);
    }

    /// The one place where a line changes state, and the indices with it.
    pub(super) fn set_state(&mut self, visitor: VisitorId, state: LineState) {
        let line = self.line(visitor);
        let forgotten_at = line.forgotten_at();
        match std::mem::replace(&mut line.state, state) {
            LineState::Empty => {
                self.empty.remove(&(forgotten_at, visitor));
            }
            LineState::Ready { class, head } => {
                self.ready.remove(&(class, head, visitor));
            }
            LineState::Waiting { until } | LineState::Doubt { until, .. } => {
                self.wakes.remove(&(until, Wake::Line(visitor)));
            }
            LineState::Sending { .. } => self.in_flight -= 1,
        }
        match state {
            LineState::Empty => {
                self.empty.insert((forgotten_at, visitor));
            }
            LineState::Ready { class, head } => {
                self.ready.insert((class, head, visitor));
            }
            LineState::Waiting { until } | LineState::Doubt { until, .. } => {
                self.wakes.insert((until, Wake::Line(visitor)));
            }
            LineState::Sending { .. } => self.in_flight += 1,
        }
    }

    fn wake_all(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        while let Some(&(at, wake)) = self.wakes.first()
            && at <= now
        {
            self.wakes.pop_first();
            self.forget_lines(at);
            match wake {
                // One that has left is looked at again when it is put back.
                Wake::Withdraw(message) => {
                    self.withdraw(now, message, effects).ok();
                }
                Wake::HeldBackEnds(message) => self.step_in_again(now, message),
                Wake::Line(visitor) => self.wake_line(now, visitor, effects),
            }
        }
        self.forget_lines(now);
    }

    /// Before anything else that is due by then: when a line is forgotten must not hang on who
    /// happened to ask in between.
    fn forget_lines(&mut self, by: Timestamp) {
        while let Some(&(at, visitor)) = self.empty.first()
            && at <= by
        {
            self.empty.pop_first();
            self.lines.remove(&visitor);
        }
    }

    fn wake_line(&mut self, now: Timestamp, visitor: VisitorId, effects: &mut Vec<Effect>) {
        if let LineState::Doubt { message, .. } = self.line(visitor).state {
            self.leave(message);
            effects.push(Effect::Unknown { message });
            self.set_state(visitor, LineState::Empty);
        }
        self.settle(visitor, now);
    }

    fn send_all(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        self.opens_at = None;
        while self.in_flight < self.limits.in_flight_max
            && let Some(&(_, _, visitor)) = self.ready.first()
        {
            self.opens_at = match self.stopped {
                // The probe's outcome decides.
                Some(Stopped { probe: Some(_), .. }) => return,
                Some(Stopped { probe_at, .. }) if now < probe_at => Some(probe_at),
                Some(_) | None => self.pace.blocked_until(now),
            };
            if self.opens_at.is_some() {
                return;
            }
            self.send(now, visitor, effects);
        }
    }

    fn send(&mut self, now: Timestamp, visitor: VisitorId, effects: &mut Vec<Effect>) {
        let from = (visitor, 0, MessageId::from_number(0));
        let &(_, _, message) = self.places.range(from..).next().expect("a ready line has a head");
        let every = self.limits.pair_every;
        self.pace.went_out(now);
        self.set_state(visitor, LineState::Sending { message });
        self.line(visitor).pair.went_out(now, every);
        if let Some(stopped) = &mut self.stopped {
            stopped.probe = Some(message);
            stopped.probe_at = now + self.limits.probe_every;
            effects.push(Effect::ResumeProbe { message });
        }
        let entry = self.entry(message);
        entry.attempts += 1;
        effects.push(Effect::Send { message, attempt: entry.attempts });
    }
}
