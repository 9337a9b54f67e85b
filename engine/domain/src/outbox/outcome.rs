//! Decides what the outcome of a send means for the message, its line and the channel.

use std::time::Duration;

use super::command::{Disposition, Effect, Refusal, StopWhy};
use super::line::{HeldBack, LineState};
use super::machine::{Outbox, Stopped};
use super::pace::{back_off, pair_back_off};
use crate::ids::{MessageId, VisitorId};
use crate::time::Timestamp;

/// First wait after a request that never left; doubles up to [`NOT_SENT_MAX`].
const NOT_SENT: Duration = Duration::from_secs(1);
const NOT_SENT_MAX: Duration = Duration::from_mins(1);

impl Outbox {
    pub(super) fn accepted(
        &mut self,
        now: Timestamp,
        message: MessageId,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let visitor = self.sending(message)?;
        self.answered(message, effects);
        self.taken(now, visitor, message, effects);
        Ok(())
    }

    pub(super) fn receipt_seen(
        &mut self,
        now: Timestamp,
        message: MessageId,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let entry = self.entries.get_mut(&message).ok_or(Refusal::NotHere)?;
        entry.seen = true;
        let visitor = entry.item.visitor;
        match self.lines.get(&visitor).map(|line| line.state) {
            Some(LineState::Doubt { message: doubted, .. }) if doubted == message => {
                self.doubts = 0;
                self.taken(now, visitor, message, effects);
            }
            // The request's own outcome ends it.
            Some(LineState::Sending { message: sent }) if sent == message => {}
            // Put back, yet the provider has it: it must not go twice.
            _ => {
                self.leave(message);
                effects.push(Effect::Accepted { message });
                self.settle(visitor, now);
            }
        }
        Ok(())
    }

    pub(super) fn ambiguous(
        &mut self,
        now: Timestamp,
        message: MessageId,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let visitor = self.sending(message)?;
        if self.entry(message).seen {
            self.answered(message, effects);
            self.taken(now, visitor, message, effects);
            return Ok(());
        }
        let until = now + self.limits.doubt;
        self.set_state(visitor, LineState::Doubt { message, until });
        self.probe_failed(message);
        self.doubts += 1;
        if self.doubts >= self.limits.doubts_max {
            self.stop(now, StopWhy::NoAnswers, effects);
        }
        Ok(())
    }

    pub(super) fn not_sent(
        &mut self,
        now: Timestamp,
        message: MessageId,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        self.sending(message)?;
        self.probe_failed(message);
        let tries_max = self.limits.unsent_tries_max;
        let entry = self.entry(message);
        entry.unsent += 1;
        let tries = entry.unsent;
        let wait = back_off(message, tries, NOT_SENT).min(NOT_SENT_MAX);
        let until = (tries < tries_max).then(|| now + wait);
        self.put_back(now, message, (None, until), effects);
        Ok(())
    }

    pub(super) fn refused(
        &mut self,
        now: Timestamp,
        message: MessageId,
        (code, how): (i64, Disposition),
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let visitor = self.sending(message)?;
        let until = match how {
            Disposition::Retry { after, named, slow_number, max_tries } => {
                self.probe_failed(message);
                self.doubts = 0;
                if slow_number {
                    self.pace.refused(now, after, named);
                }
                let entry = self.entry(message);
                entry.refusals += 1;
                let tries = entry.refusals;
                (tries < max_tries).then(|| now + back_off(message, tries, after))
            }
            Disposition::PairRate => {
                self.answered(message, effects);
                self.pair_refused(now, visitor)
            }
            Disposition::StopChannel => {
                self.probe_failed(message);
                self.doubts = 0;
                self.stop(now, StopWhy::Refused { code }, effects);
                Some(now)
            }
            Disposition::HoldBack(time) => {
                self.answered(message, effects);
                self.held_back(now, message, (code, time), effects);
                return Ok(());
            }
            Disposition::Final => {
                self.answered(message, effects);
                None
            }
        };
        self.put_back(now, message, (Some(code), until), effects);
        Ok(())
    }

    /// The visitor whose line is sending this message.
    fn sending(&self, message: MessageId) -> Result<VisitorId, Refusal> {
        let visitor = self.entries.get(&message).ok_or(Refusal::NotHere)?.item.visitor;
        match self.lines.get(&visitor).map(|line| line.state) {
            Some(LineState::Sending { message: sent }) if sent == message => Ok(visitor),
            _ => Err(Refusal::NotInFlight),
        }
    }

    fn taken(
        &mut self,
        now: Timestamp,
        visitor: VisitorId,
        message: MessageId,
        effects: &mut Vec<Effect>,
    ) {
        self.leave(message);
        effects.push(Effect::Accepted { message });
        self.line(visitor).pair_refusals = 0;
        self.set_state(visitor, LineState::Empty);
        self.settle(visitor, now);
    }

    /// Back to the head of its line until then, or out for good.
    fn put_back(
        &mut self,
        now: Timestamp,
        message: MessageId,
        (code, until): (Option<i64>, Option<Timestamp>),
        effects: &mut Vec<Effect>,
    ) {
        let entry = self.entry(message);
        let visitor = entry.item.visitor;
        if entry.seen {
            self.taken(now, visitor, message, effects);
            return;
        }
        match until {
            Some(until) if !entry.is_overdue(now) => {
                entry.not_before = until;
                effects.push(Effect::PutBack { message, code, until });
            }
            Some(_) => {
                self.leave(message);
                effects.push(Effect::Withdrawn { message });
            }
            None => {
                self.leave(message);
                effects.push(Effect::GiveUp { message, code });
            }
        }
        self.set_state(visitor, LineState::Empty);
        self.settle(visitor, now);
    }

    /// Other visitors are not concerned.
    fn pair_refused(&mut self, now: Timestamp, visitor: VisitorId) -> Option<Timestamp> {
        let (every, burst) = (self.limits.pair_every, self.limits.pair_burst);
        let tries_max = self.limits.pair_tries_max;
        let line = self.line(visitor);
        let until = now + pair_back_off(line.pair_refusals);
        line.pair_refusals += 1;
        line.backs_off_until = until;
        line.pair.exhaust(now, every, burst);
        if line.pair_refusals < tries_max {
            return Some(until);
        }
        line.pair_refusals = 0;
        None
    }

    fn held_back(
        &mut self,
        now: Timestamp,
        message: MessageId,
        (code, time): (i64, Duration),
        effects: &mut Vec<Effect>,
    ) {
        let entry = self.entry(message);
        let visitor = entry.item.visitor;
        let again = match entry.held_back {
            HeldBack::Never => !entry.seen && !entry.is_overdue(now),
            HeldBack::Now | HeldBack::Once => false,
        };
        if !again {
            let until = entry.is_overdue(now).then_some(now);
            self.put_back(now, message, (Some(code), until), effects);
            return;
        }
        let until = now + time;
        self.hold_back(message, until);
        effects.push(Effect::PutBack { message, code: Some(code), until });
        self.set_state(visitor, LineState::Empty);
        self.settle(visitor, now);
    }

    fn stop(&mut self, now: Timestamp, why: StopWhy, effects: &mut Vec<Effect>) {
        if self.stopped.is_none() {
            let probe_at = now + self.limits.probe_every;
            self.stopped = Some(Stopped { probe: None, probe_at });
            effects.push(Effect::StopChannel { why });
        }
    }

    pub(super) fn resume(&mut self, effects: &mut Vec<Effect>) {
        self.doubts = 0;
        if self.stopped.take().is_some() {
            effects.push(Effect::Resumed);
        }
    }

    /// The provider judged this message alone: if it was the probe, the channel works.
    fn answered(&mut self, message: MessageId, effects: &mut Vec<Effect>) {
        self.doubts = 0;
        if self.stopped.is_some_and(|stopped| stopped.probe == Some(message)) {
            self.resume(effects);
        }
    }

    /// No sign that the channel works again: the next probe in its time.
    fn probe_failed(&mut self, message: MessageId) {
        if let Some(stopped) = &mut self.stopped
            && stopped.probe == Some(message)
        {
            stopped.probe = None;
        }
    }
}
