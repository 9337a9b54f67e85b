//! What must hold in every run, judged from what went in and what came out alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::ids::{MessageId, VisitorId};
use crate::time::Timestamp;

const QUEUED_MAX: usize = 30;
const RATE: u32 = 8;
const BURST: u32 = 4;
const PAIR_EVERY: Duration = Duration::from_secs(6);
const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
enum Step {
    Push {
        visitor: u8,
        class: Priority,
        withdraw: Option<u16>,
    },
    Inbound,
    /// An outcome for one of those under way.
    Outcome(u8, Outcome),
    Withdraw(u8),
    Receipt(u8),
    Resume,
}

#[derive(Clone, Copy, Debug)]
enum Outcome {
    Accepted,
    Refused(Disposition),
    Ambiguous,
    NotSent,
}

fn dispositions() -> impl Strategy<Value = Disposition> {
    prop_oneof![
        3 => (0..5_u64, any::<bool>(), any::<bool>(), 1..4_u32).prop_map(
            |(after, named, slow_number, max_tries)| {
                let after = Duration::from_secs(after);
                Disposition::Retry { after, named, slow_number, max_tries }
            },
        ),
        2 => Just(Disposition::PairRate),
        1 => Just(Disposition::StopChannel),
        1 => (0..100_u64).prop_map(|time| Disposition::HoldBack(Duration::from_secs(time))),
        1 => Just(Disposition::Final),
    ]
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        6 => Just(Outcome::Accepted),
        3 => dispositions().prop_map(Outcome::Refused),
        1 => Just(Outcome::Ambiguous),
        1 => Just(Outcome::NotSent),
    ]
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let classes = prop::sample::select(&Priority::ALL[..]);
    let step = prop_oneof![
        6 => (0..5_u8, classes, prop::option::weighted(0.2, any::<u16>())).prop_map(
            |(visitor, class, withdraw)| Step::Push { visitor, class, withdraw }
        ),
        2 => Just(Step::Inbound),
        6 => (any::<u8>(), outcomes()).prop_map(|(which, outcome)| Step::Outcome(which, outcome)),
        1 => any::<u8>().prop_map(Step::Withdraw),
        1 => any::<u8>().prop_map(Step::Receipt),
        1 => Just(Step::Resume),
    ];
    let pause = prop_oneof![6 => 0..300_u64, 2 => 0..5000_u64, 1 => 0..100_000_u64];
    proptest::collection::vec((pause, step), 1..120)
}

/// Drives an outbox and judges every effect.
struct World {
    outbox: Outbox,
    now: Timestamp,
    restless: bool,
    log: Vec<(Timestamp, Effect)>,
    pushed: Vec<(MessageId, VisitorId)>,
    overdue_at: BTreeMap<MessageId, Timestamp>,
    /// Everything pushed and not ended, by visitor in order.
    waiting: BTreeMap<VisitorId, BTreeSet<MessageId>>,
    held_back: BTreeSet<MessageId>,
    in_flight: BTreeMap<MessageId, VisitorId>,
    in_doubt: BTreeMap<VisitorId, MessageId>,
    ended: BTreeSet<MessageId>,
    ins: Vec<Timestamp>,
    outs: Vec<(Timestamp, VisitorId)>,
    /// A pair refusal holds its visitor up until then, and nobody else.
    pair_until: BTreeMap<VisitorId, Timestamp>,
    holding_back: bool,
}

impl World {
    fn new(restless: bool) -> Self {
        let limits = Limits {
            queued_max: QUEUED_MAX,
            in_flight_max: 3,
            per_second: RATE,
            pair_every: PAIR_EVERY,
            pair_burst: BURST,
            doubts_max: 3,
            ..Limits::default()
        };
        Self {
            outbox: Outbox::new(limits),
            now: Timestamp::from_millis(1_000_000_000),
            restless,
            log: Vec::new(),
            pushed: Vec::new(),
            overdue_at: BTreeMap::new(),
            waiting: BTreeMap::new(),
            held_back: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            in_doubt: BTreeMap::new(),
            ended: BTreeSet::new(),
            ins: Vec::new(),
            outs: Vec::new(),
            pair_until: BTreeMap::new(),
            holding_back: false,
        }
    }

    fn run(mut self, steps: &[(u64, Step)]) -> Self {
        for &(pause, step) in steps {
            self.pass(Duration::from_millis(pause));
            self.step(step);
        }
        self
    }

    fn pass(&mut self, pause: Duration) {
        let end = self.now + pause;
        while let Some(due) = self.outbox.next_deadline()
            && due <= end
        {
            if self.restless {
                self.expire_at(self.now + due.since(self.now) / 2);
            }
            self.expire_at(due);
            assert!(self.outbox.next_deadline().is_none_or(|next| next > due));
            if self.restless {
                self.expire_at(due);
            }
        }
        self.now = end;
    }

    fn expire_at(&mut self, at: Timestamp) {
        self.now = at;
        let mut effects = Vec::new();
        self.outbox.expire(at, &mut effects);
        self.note(effects);
    }

    fn tell(&mut self, command: Command) -> Result<(), Refusal> {
        let mut effects = Vec::new();
        let judged = self.outbox.apply(self.now, command, &mut effects);
        self.note(effects);
        judged
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Push { visitor, class, withdraw } => self.push(visitor, class, withdraw),
            Step::Inbound => {
                self.ins.push(self.now);
                self.tell(Command::Inbound).unwrap();
            }
            Step::Outcome(which, outcome) => {
                let nth = usize::from(which) % self.in_flight.len().max(1);
                if let Some(&message) = self.in_flight.keys().nth(nth) {
                    self.outcome(message, outcome);
                }
            }
            Step::Withdraw(which) => {
                if let Some(message) = self.some(which) {
                    let judged = self.tell(Command::Withdraw { message });
                    assert!(judged.is_err() || self.ended.contains(&message));
                }
            }
            Step::Receipt(which) => {
                if let Some(message) = self.some(which) {
                    self.tell(Command::ReceiptSeen { message }).ok();
                }
            }
            Step::Resume => self.tell(Command::Resume).unwrap(),
        }
    }

    fn some(&self, which: u8) -> Option<MessageId> {
        let nth = usize::from(which) % self.pushed.len().max(1);
        self.pushed.get(nth).map(|&(message, _)| message)
    }

    fn push(&mut self, visitor: u8, class: Priority, withdraw: Option<u16>) {
        let message = MessageId::from_number(self.pushed.len() as u128 + 1);
        let visitor = VisitorId::from_number(visitor.into());
        let withdraw_at = withdraw.map(|millis| self.now + Duration::from_millis(millis.into()));
        self.pushed.push((message, visitor));
        self.overdue_at.extend(withdraw_at.map(|at| (message, at)));
        self.waiting.entry(visitor).or_default().insert(message);
        let judged = self.tell(Command::Push(Item { message, visitor, class, withdraw_at }));
        if judged == Err(Refusal::Full) {
            assert_eq!(self.outbox.len(), QUEUED_MAX);
            self.pushed.pop();
            self.overdue_at.remove(&message);
            self.waiting.entry(visitor).or_default().remove(&message);
        }
    }

    fn outcome(&mut self, message: MessageId, outcome: Outcome) {
        let visitor = self.in_flight.remove(&message).expect("one of them");
        let command = match outcome {
            Outcome::Accepted => Command::Accepted { message },
            Outcome::Ambiguous => {
                self.in_doubt.insert(visitor, message);
                Command::Ambiguous { message }
            }
            Outcome::NotSent => Command::NotSent { message },
            Outcome::Refused(how) => {
                if how == Disposition::PairRate {
                    self.pair_until.insert(visitor, self.now + SECOND);
                }
                self.holding_back = matches!(how, Disposition::HoldBack(_));
                Command::Refused { message, code: 1, how }
            }
        };
        assert_eq!(self.tell(command), Ok(()));
        self.holding_back = false;
    }

    fn note(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.log.push((self.now, effect));
            match effect {
                Effect::Send { message, .. } => self.judge_send(message),
                Effect::Accepted { message }
                | Effect::GiveUp { message, .. }
                | Effect::Unknown { message } => self.end(message),
                Effect::Withdrawn { message } => {
                    assert!(!self.in_flight.contains_key(&message), "withdrawn in flight");
                    self.end(message);
                }
                Effect::PutBack { message, .. } if self.holding_back => {
                    self.held_back.insert(message);
                }
                Effect::PutBack { .. }
                | Effect::StopChannel { .. }
                | Effect::ResumeProbe { .. }
                | Effect::Resumed => {}
            }
        }
    }

    fn end(&mut self, message: MessageId) {
        assert!(self.ended.insert(message), "{message:?} ended twice");
        self.in_doubt.retain(|_, &mut doubted| doubted != message);
        for line in self.waiting.values_mut() {
            line.remove(&message);
        }
    }

    fn judge_send(&mut self, message: MessageId) {
        let visitor = self.pushed.iter().find(|(pushed, _)| *pushed == message).expect("pushed").1;
        assert!(!self.ended.contains(&message), "sent after its end");
        assert!(!self.in_flight.values().any(|&other| other == visitor), "two in flight");
        assert!(!self.in_doubt.contains_key(&visitor), "the one before is in doubt");
        assert!(self.overdue_at.get(&message).is_none_or(|&at| self.now < at), "overdue");
        assert!(self.pair_until.get(&visitor).is_none_or(|&at| at <= self.now), "pair refused");
        let before = self.waiting[&visitor].range(..message);
        let passed: Vec<_> = before.filter(|before| !self.held_back.contains(before)).collect();
        assert!(passed.is_empty(), "{message:?} passes {passed:?}");
        self.in_flight.insert(message, visitor);
        assert!(self.in_flight.len() <= 3, "too many in flight");
        self.outs.push((self.now, visitor));
        self.judge_rates(visitor);
    }

    fn judge_rates(&self, visitor: VisitorId) {
        let recent = |at: &Timestamp| self.now.since(*at) < SECOND;
        let outs = self.outs.iter().filter(|(at, _)| recent(at)).count();
        let ins = self.ins.iter().filter(|at| recent(at)).count();
        let crowding = ins.min(RATE as usize - 1);
        assert!(outs + crowding <= RATE as usize, "{outs} out and {ins} in within a second");
        // Leaky bucket, refilled from the beginning.
        let mut level = Duration::ZERO;
        let mut last = Timestamp::default();
        for &(at, _) in self.outs.iter().filter(|(_, to)| *to == visitor) {
            level = level.saturating_sub(at.since(last)) + PAIR_EVERY;
            last = at;
        }
        assert!(level <= PAIR_EVERY * BURST, "pair limit passed");
    }

    /// Answers everything kindly until nothing is left.
    fn drain(mut self) -> Self {
        self.tell(Command::Resume).unwrap();
        for _ in 0..2000 {
            while let Some(&message) = self.in_flight.keys().next() {
                self.outcome(message, Outcome::Accepted);
            }
            let Some(due) = self.outbox.next_deadline() else { break };
            self.pass(due.since(self.now));
        }
        self
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn order_rates_and_outcomes_hold(steps in steps()) {
        let calm = World::new(false).run(&steps);
        let restless = World::new(true).run(&steps);
        prop_assert_eq!(&calm.log, &restless.log);
        let end = calm.drain();
        prop_assert!(end.outbox.is_empty(), "{} left", end.outbox.len());
        prop_assert_eq!(end.outbox.in_flight(), 0);
        let pushed: BTreeSet<MessageId> = end.pushed.iter().map(|&(message, _)| message).collect();
        prop_assert_eq!(end.ended, pushed);
    }

    /// Whatever happens to one visitor, a message to another is sent within a second.
    #[test]
    fn a_refused_visitor_starves_nobody(refusals in 1..20_u8, pause in 0..2000_u64) {
        let mut world = World::new(false);
        for n in 0..refusals {
            world.push(1, Priority::Staff, None);
            if let Some(&message) = world.in_flight.keys().next() {
                world.outcome(message, Outcome::Refused(Disposition::PairRate));
            }
            world.pass(Duration::from_millis(pause * u64::from(n)));
        }
        world.push(2, Priority::Campaign, None);
        world.pass(SECOND);
        let other = VisitorId::from_number(2);
        prop_assert!(world.in_flight.values().any(|&visitor| visitor == other));
    }
}
