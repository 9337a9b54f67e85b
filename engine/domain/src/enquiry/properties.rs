//! What must hold in every run: recomputed from the script and the effects alone.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::floor::event::Closer;
use crate::ids::{MessageId, StaffId};
use crate::message::{Author, Counts};
use crate::settings::{AutoClose, AutoCloseWhen};
use crate::time::Timestamp;

const STALE: Duration = Duration::from_hours(4);

/// One step of a visitor's, a person's or the provider's.
#[derive(Clone, Copy, Debug)]
enum Step {
    Visitor,
    Reaction,
    Staff,
    Template,
    Handling(bool),
    Transfer(bool),
    Hold(u64),
    Unhold,
    /// The provider takes, or refuses, the notification that waits.
    Accept,
    Fail(Unsent),
    Deny,
    Switch(bool),
    Idle(u64),
    Grace(u64),
    Restart,
    Pass,
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let unsent = prop_oneof![
        Just(Unsent::Unknown),
        Just(Unsent::Withdrawn),
        Just(Unsent::Refused { code: 131_026 })
    ];
    let step = prop_oneof![
        2 => Just(Step::Visitor),
        1 => Just(Step::Reaction),
        2 => Just(Step::Staff),
        1 => Just(Step::Template),
        3 => any::<bool>().prop_map(Step::Handling),
        2 => any::<bool>().prop_map(Step::Transfer),
        1 => (1..600_u64).prop_map(Step::Hold),
        1 => Just(Step::Unhold),
        6 => Just(Step::Accept),
        2 => unsent.prop_map(Step::Fail),
        1 => Just(Step::Deny),
        1 => any::<bool>().prop_map(Step::Switch),
        1 => (30..200_u64).prop_map(Step::Idle),
        1 => (20..90_u64).prop_map(Step::Grace),
        1 => Just(Step::Restart),
        3 => Just(Step::Pass),
    ];
    let pause = prop_oneof![4 => 0..40_000_u64, 2 => 0..200_000_u64, 1 => 0..20_000_000_u64];
    proptest::collection::vec((pause, step), 1..60)
}

/// Runs a script and notes, outside the machine, the facts its promises are about.
struct World {
    settings: AutoClose,
    enquiry: Enquiry,
    now: Timestamp,
    /// Calls `expire` more often than asked for.
    restless: bool,
    effects: Vec<(Timestamp, Effect)>,
    facts: Facts,
}

/// What happened, by the script.
#[expect(clippy::struct_excessive_bools, reason = "facts noted each by itself, not a state")]
#[derive(Default)]
struct Facts {
    counted: Timestamp,
    visitor_last: bool,
    handled: bool,
    handled_since: Timestamp,
    transfer: bool,
    idle_set: Timestamp,
    recovered: Option<Timestamp>,
    /// Begin and end of every hold.
    holds: Vec<(Timestamp, Timestamp)>,
    /// Waiting in the outbox.
    waiting: Option<MessageId>,
    /// In this silence: accepted when, or found unsent when, and what grace was promised.
    accepted: Option<Timestamp>,
    unsent: Option<Timestamp>,
    promised: Duration,
    /// Notifications in this silence that may have reached the visitor.
    out: u32,
    queued: u128,
}

impl World {
    fn new(when: AutoCloseWhen, restless: bool) -> Self {
        let now = Timestamp::from_millis(10_000_000_000);
        let seconds = Duration::from_secs;
        Self {
            settings: AutoClose {
                on: true,
                idle: seconds(120),
                grace: seconds(60),
                lapsed_idle: seconds(600),
                when,
            },
            enquiry: Enquiry::new(now, None),
            now,
            restless,
            effects: Vec::new(),
            facts: Facts { counted: now, idle_set: now, ..Facts::default() },
        }
    }

    fn run(mut self, steps: &[(u64, Step)]) -> Self {
        for &(pause, step) in steps {
            self.pass(Duration::from_millis(pause), !matches!(step, Step::Restart));
            if self.enquiry.is_closed() {
                break;
            }
            self.step(step);
        }
        self
    }

    fn pass(&mut self, pause: Duration, awake: bool) {
        let end = self.now + pause;
        while let Some(due) = self.deadline()
            && due <= end
            && awake
        {
            if self.restless {
                self.expire_at(self.now + due.since(self.now) / 2);
            }
            self.expire_at(due);
            assert!(self.deadline().is_none_or(|next| next > due), "expire left {due:?} due");
            if self.restless {
                self.expire_at(due);
            }
        }
        self.now = end;
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.enquiry.next_deadline(&Terms { auto_close: &self.settings, stale_close: STALE })
    }

    fn expire_at(&mut self, at: Timestamp) {
        self.now = at;
        let mut effects = Vec::new();
        let terms = Terms { auto_close: &self.settings, stale_close: STALE };
        self.enquiry.expire(&terms, at, &mut effects);
        self.note(effects);
    }

    fn tell(&mut self, command: Command) -> Result<(), Refusal> {
        let mut effects = Vec::new();
        let terms = Terms { auto_close: &self.settings, stale_close: STALE };
        let judged = self.enquiry.apply(&terms, self.now, command, &mut effects);
        self.note(effects);
        judged
    }

    fn step(&mut self, step: Step) {
        let author = Author::Staff { staff: StaffId::from_number(1) };
        let written = |counts| Command::VisitorWrote { counts, provider_at: self.now };
        match step {
            Step::Visitor => self.counted(written(Counts::Message), true),
            Step::Staff => self.counted(Command::WeWrote { author, template: false }, false),
            Step::Template => self.counted(Command::WeWrote { author, template: true }, false),
            Step::Reaction => self.must(written(Counts::Nothing)),
            Step::Handling(handled) => {
                self.facts.handled = handled;
                self.facts.handled_since = self.now;
                self.must(Command::Handling(handled));
            }
            Step::Transfer(offered) => {
                if self.facts.transfer && !offered {
                    self.facts.handled_since = self.now;
                }
                self.facts.transfer = offered;
                self.must(Command::TransferOffered(offered));
            }
            Step::Hold(seconds) => {
                self.end_hold();
                let until = self.now + Duration::from_secs(seconds);
                self.facts.holds.push((self.now, until));
                self.must(Command::Hold(Some(until)));
            }
            Step::Unhold => {
                self.end_hold();
                self.must(Command::Hold(None));
            }
            Step::Accept | Step::Fail(_) => self.outcome(step),
            Step::Deny => self.must(Command::WindowLapsedByProvider { at: self.now }),
            Step::Switch(on) => {
                self.set(AutoClose { on, ..self.settings.clone() });
            }
            Step::Idle(seconds) => {
                self.set(AutoClose { idle: Duration::from_secs(seconds), ..self.settings.clone() });
            }
            Step::Grace(seconds) => {
                let grace = Duration::from_secs(seconds);
                self.set(AutoClose { grace, ..self.settings.clone() });
            }
            Step::Restart => self.restart(),
            Step::Pass => {}
        }
    }

    fn must(&mut self, command: Command) {
        assert_eq!(self.tell(command), Ok(()));
    }

    fn set(&mut self, new: AutoClose) {
        if new.on && !self.settings.on || new.idle != self.settings.idle {
            self.facts.idle_set = self.now;
        }
        let before = std::mem::replace(&mut self.settings, new);
        self.must(Command::SettingsChanged { before });
    }

    fn restart(&mut self) {
        let json = serde_json::to_string(self.enquiry.kept()).unwrap();
        self.enquiry = Enquiry::restore(serde_json::from_str(&json).unwrap());
        self.facts.recovered = Some(self.now);
        self.must(Command::Recovered);
    }

    fn end_hold(&mut self) {
        if let Some((_, end)) = self.facts.holds.last_mut() {
            *end = (*end).min(self.now);
        }
    }

    fn counted(&mut self, command: Command, by_visitor: bool) {
        if self.tell(command) == Ok(()) {
            let facts = &mut self.facts;
            facts.counted = self.now;
            facts.visitor_last = by_visitor;
            (facts.accepted, facts.unsent, facts.waiting, facts.out) = (None, None, None, 0);
        }
    }

    fn outcome(&mut self, step: Step) {
        let Some(message) = self.facts.waiting.take() else { return };
        if let Step::Fail(why) = step {
            if why == Unsent::Unknown {
                self.facts.out += 1;
            }
            self.must(Command::NotificationFailed { message, why });
        } else {
            self.facts.out += 1;
            self.facts.accepted = Some(self.now);
            self.must(Command::NotificationAccepted { message });
        }
    }

    fn note(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.effects.push((self.now, effect));
            match effect {
                Effect::SendNotification { grace, .. } => self.judge_notification(grace),
                Effect::NotificationUnsent { why } => self.found_unsent(why),
                Effect::Close { by, silent } => self.judge_close(by, silent),
                Effect::WithdrawNotification { .. }
                | Effect::RemindOwner { .. }
                | Effect::WindowOpened { .. }
                | Effect::WindowClosing { .. }
                | Effect::WindowClosed { .. } => {}
            }
        }
    }

    fn found_unsent(&mut self, why: Unsent) {
        if why == Unsent::WindowLapsed {
            self.facts.promised = self.settings.grace; // no text promised anything
        }
        self.facts.unsent = Some(self.now);
        self.facts.accepted = None;
    }

    /// Time since `from` that the enquiry was not on hold.
    fn off_hold(&self, from: Timestamp) -> Duration {
        let held =
            |&(begin, end): &(Timestamp, Timestamp)| end.min(self.now).since(begin.max(from));
        self.now
            .since(from)
            .checked_sub(self.facts.holds.iter().map(held).sum::<Duration>())
            .unwrap()
    }

    fn on_hold(&self) -> bool {
        self.facts.holds.iter().any(|&(begin, end)| begin <= self.now && self.now < end)
    }

    fn judge_notification(&mut self, grace: Duration) {
        let facts = &self.facts;
        assert_eq!(facts.out, 0, "a second notification in one silence");
        assert!(facts.waiting.is_none(), "a second one while the first waits");
        assert!(facts.handled && !facts.transfer && !self.on_hold(), "clock stands still");
        let since = facts.counted.max(facts.handled_since).max(facts.idle_set);
        assert!(self.off_hold(since) >= self.settings.idle, "early");
        if let Some(start) = facts.recovered {
            assert!(self.now.since(start) >= self.settings.idle.min(Duration::from_mins(5)));
        }
        if self.settings.when == AutoCloseWhen::VisitorSilent {
            assert!(!facts.visitor_last);
        }
        self.facts.queued += 1;
        let message = MessageId::from_number(self.facts.queued);
        self.facts.waiting = Some(message);
        self.facts.promised = grace;
        self.must(Command::NotificationQueued { message });
    }

    fn judge_close(&self, by: Closer, silent: bool) {
        let facts = &self.facts;
        assert!(!self.on_hold(), "closed on hold");
        match by {
            Closer::Stale => {
                assert!(silent && self.off_hold(facts.counted) >= STALE);
                return;
            }
            Closer::AutoClose { unanswered } => assert_eq!(unanswered, facts.visitor_last),
            other => panic!("{other:?} is not the machine's to say"),
        }
        assert!(facts.handled && !facts.transfer);
        let fact = if silent { facts.unsent } else { facts.accepted };
        let from = fact.expect("notified, or the room says why not");
        assert!(from >= facts.counted, "a counted message lies between");
        let from = facts.recovered.map_or(from, |start| start.max(from));
        assert!(self.off_hold(from) >= facts.promised, "grace cut short");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn promises_hold_and_extra_expiries_are_harmless(
        steps in steps(),
        visitor_silent in any::<bool>(),
    ) {
        let when =
            if visitor_silent { AutoCloseWhen::VisitorSilent } else { AutoCloseWhen::Silence };
        let calm = World::new(when, false).run(&steps);
        let restless = World::new(when, true).run(&steps);
        prop_assert_eq!(&calm.effects, &restless.effects);
        prop_assert_eq!(&calm.enquiry, &restless.enquiry);
        let closed = calm.effects.iter().any(|(_, effect)| matches!(effect, Effect::Close { .. }));
        prop_assert_eq!(calm.deadline().is_none(), closed);
    }
}
