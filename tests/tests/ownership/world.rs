//! The nodes, what stands between them, and what goes wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use usher_domain::ownership::Epoch;
use usher_domain::ownership::lease::{Answer, Ask, Command, Effect, Stage, Terms};

use crate::node::Node;
use crate::random::Random;
use crate::servers::{Question, Redis, Reply, Store};

const LEASE: u64 = 5_000;
const TERMS: Terms = Terms::new(Duration::from_millis(LEASE));
/// Milliseconds of trouble, and then of peace.
const TROUBLE: u64 = 60_000;
const PEACE: u64 = 3 * LEASE;
const NODES: usize = 3;

/// What happens at an instant.
#[derive(Clone, Copy, Debug)]
enum Thing {
    /// A node looks at its deadlines.
    Wake(usize),
    /// A question has come to Redis, and its reply back to who asked.
    AtRedis {
        from: u64,
        ask: Ask,
        question: Question,
    },
    Reply {
        to: u64,
        ask: Ask,
        reply: Reply,
    },
    /// To the store and back.
    ReadForAcquire {
        from: u64,
        ask: Ask,
    },
    Check {
        from: u64,
        ask: Ask,
    },
    StoreHas {
        to: u64,
        ask: Ask,
        epoch: u64,
    },
    Claim {
        from: u64,
        epoch: u64,
        over: u64,
    },
    Claimed {
        to: u64,
        epoch: u64,
        taken: bool,
    },
    /// The owner writes something, and the store has it.
    Write(usize),
    Commit {
        from: u64,
        epoch: u64,
    },
    Superseded {
        to: u64,
        epoch: u64,
    },
    Stopped {
        of: u64,
        epoch: u64,
    },
    Fault,
}

/// What was seen in a run, so that nothing ceases to be simulated.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    started: u64,
    accepted: u64,
    refused: u64,
    reasserted: u64,
    travelled: u64,
    over: u64,
    released: u64,
    doubled_by_an_old_copy: u64,
}

impl Coverage {
    pub(crate) fn add(&mut self, other: &Self) {
        self.started += other.started;
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.reasserted += other.reasserted;
        self.travelled += other.travelled;
        self.over += other.over;
        self.released += other.released;
        self.doubled_by_an_old_copy += other.doubled_by_an_old_copy;
    }

    pub(crate) fn is_whole(&self) -> bool {
        let seen = [self.started, self.accepted, self.refused, self.reasserted, self.travelled];
        let more = [self.over, self.released, self.doubled_by_an_old_copy];
        seen.iter().chain(&more).all(|count| *count > 0)
    }
}

/// Whether an old copy of Redis takes its place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum OldCopies {
    Never,
    May,
    Took,
}

pub(crate) struct World {
    random: Random,
    spoken: bool,
    now: u64,
    things: BTreeMap<(u64, u64), Thing>,
    numbered: u64,
    names: u64,
    nodes: Vec<Node>,
    redis: Redis,
    /// How Redis was some time ago.
    copy: Redis,
    /// In some runs an old copy takes its place, and from then on O3 is not promised.
    old_copies: OldCopies,
    store: Store,
    /// Until when no wire reaches Redis, or the store.
    redis_cut: u64,
    store_cut: u64,
    /// Of 100 messages so many are lost; the others take up to so long.
    lost: u64,
    late: u64,
    owners: BTreeMap<u64, u64>,
    coverage: Coverage,
}

impl World {
    pub(crate) fn new(seed: u64, spoken: bool) -> Self {
        let mut random = Random::from_seed(seed);
        let (lost, late) = (random.below(20), [20, 200, 2_000][random.index(3)]);
        let mut world = Self {
            random,
            spoken,
            now: 0,
            things: BTreeMap::new(),
            numbered: 0,
            names: 0,
            nodes: Vec::new(),
            redis: Redis::default(),
            copy: Redis::default(),
            old_copies: if seed.is_multiple_of(8) { OldCopies::May } else { OldCopies::Never },
            store: Store::default(),
            redis_cut: 0,
            store_cut: 0,
            lost,
            late,
            owners: BTreeMap::new(),
            coverage: Coverage::default(),
        };
        for at in 0..NODES {
            let node = world.new_node();
            world.nodes.push(node);
            world.want(at);
            world.put(50, Thing::Write(at));
        }
        world.put(1_000, Thing::Fault);
        world
    }

    fn new_node(&mut self) -> Node {
        self.names += 1;
        let (rate, ahead) = (self.random.between(900, 1_100), self.random.below(1_000_000));
        Node::new(self.names, self.now, TERMS, rate, ahead)
    }

    pub(crate) fn run(mut self) -> Coverage {
        self.until(TROUBLE);
        (self.lost, self.late, self.redis_cut, self.store_cut) = (0, 20, 0, 0);
        self.things.retain(|_, thing| !matches!(thing, Thing::Fault));
        for at in 0..NODES {
            self.nodes[at].paused_until = self.now;
            self.want(at);
            self.arm(at);
        }
        self.until(TROUBLE + PEACE);
        let owns = |node: &Node| matches!(node.lease.stage(), Stage::Owning { .. });
        let owners = self.nodes.iter().filter(|node| owns(node) && node.runs.is_some()).count();
        assert_eq!(owners, 1, "O4: so many own it in peace");
        self.coverage.accepted = self.store.accepted;
        self.coverage.refused = self.store.refused;
        self.coverage
    }

    fn until(&mut self, end: u64) {
        while let Some(entry) = self.things.first_entry() {
            let at = entry.key().0;
            if at > end {
                break;
            }
            let thing = entry.remove();
            self.now = self.now.max(at);
            self.take(thing);
        }
        self.now = end;
    }

    fn put(&mut self, after: u64, thing: Thing) {
        self.numbered += 1;
        self.things.insert((self.now + after, self.numbered), thing);
    }

    /// Over a wire, if it arrives.
    fn send(&mut self, cut_until: u64, thing: Thing) {
        if self.now >= cut_until && !self.random.chance(self.lost) {
            let takes = self.random.between(1, self.late);
            self.put(takes, thing);
        }
    }

    fn say(&self, what: &dyn std::fmt::Debug) {
        if self.spoken {
            eprintln!("{:>6} {what:?}", self.now);
        }
    }

    fn named(&self, name: u64) -> Option<usize> {
        self.nodes.iter().position(|node| node.name == name)
    }

    fn take(&mut self, thing: Thing) {
        if !matches!(thing, Thing::Wake(_) | Thing::Write(_)) {
            self.say(&thing);
        }
        match thing {
            Thing::Wake(at) => self.wake(at),
            Thing::AtRedis { from, ask, question } => {
                let reply = self.redis.ask(self.now, LEASE, from, question);
                let travelled = reply == Reply::Held { left: LEASE };
                self.coverage.travelled += u64::from(travelled);
                self.send(self.redis_cut, Thing::Reply { to: from, ask, reply });
            }
            Thing::Reply { to, ask, reply } => self.answer(to, ask, answer(reply)),
            Thing::ReadForAcquire { from, ask } => {
                let question = Question::Acquire { store: self.store.epoch };
                self.send(self.redis_cut, Thing::AtRedis { from, ask, question });
            }
            Thing::Check { from, ask } => {
                let epoch = self.store.epoch;
                self.send(self.store_cut, Thing::StoreHas { to: from, ask, epoch });
            }
            Thing::StoreHas { to, ask, epoch } => {
                self.answer(to, ask, Some(Answer::StoreHas { epoch: Epoch(epoch) }));
            }
            Thing::Claim { from, epoch, over } => {
                let taken = self.store.claim(epoch, over, from);
                self.send(self.store_cut, Thing::Claimed { to: from, epoch, taken });
            }
            Thing::Claimed { to, epoch, taken } => {
                let epoch = Epoch(epoch);
                let claimed = Command::Claimed { epoch };
                self.tell(to, if taken { claimed } else { Command::NotClaimed { epoch } });
            }
            Thing::Write(at) => self.write(at),
            Thing::Commit { from, epoch } => {
                if !self.store.commit(epoch, from) {
                    self.send(self.store_cut, Thing::Superseded { to: from, epoch });
                }
            }
            Thing::Superseded { to, epoch } => {
                self.tell(to, Command::Superseded { epoch: Epoch(epoch) });
            }
            Thing::Stopped { of, epoch } => self.stopped(of, epoch),
            Thing::Fault => self.fault(),
        }
    }

    /// A node that is paused looks once it goes on again.
    fn wake(&mut self, at: usize) {
        if self.nodes[at].is_paused(self.now) {
            let after = self.nodes[at].paused_until - self.now;
            self.put(after, Thing::Wake(at));
            return;
        }
        let due = self.nodes[at].lease.next_deadline();
        if due.is_some_and(|due| due <= self.nodes[at].clock(self.now)) {
            let effects = self.nodes[at].wake(self.now);
            self.perform(at, effects);
            self.arm(at);
        }
    }

    fn arm(&mut self, at: usize) {
        if let Some(due) = self.nodes[at].lease.next_deadline() {
            let when = self.nodes[at].when(due).max(self.now + 1);
            self.put(when - self.now, Thing::Wake(at));
        }
    }

    fn answer(&mut self, to: u64, ask: Ask, answer: Option<Answer>) {
        if let Some(answer) = answer {
            self.tell(to, Command::Hear { ask, answer });
        }
    }

    fn tell(&mut self, to: u64, command: Command) {
        let Some(at) = self.named(to) else { return };
        if self.nodes[at].is_paused(self.now) {
            // It lies there until the node goes on.
            let after = self.nodes[at].paused_until - self.now;
            let again = match command {
                Command::Hear { ask, answer } => reply(to, ask, answer),
                Command::Claimed { epoch } => {
                    Some(Thing::Claimed { to, epoch: epoch.0, taken: true })
                }
                Command::Superseded { epoch } => Some(Thing::Superseded { to, epoch: epoch.0 }),
                Command::NotClaimed { .. }
                | Command::Want { .. }
                | Command::GiveUp
                | Command::Stopped => None,
            };
            if let Some(again) = again {
                self.put(after, again);
            }
            return;
        }
        let (effects, _) = self.nodes[at].hear(self.now, command);
        self.perform(at, effects);
        self.arm(at);
    }

    fn want(&mut self, at: usize) {
        let effects = self.nodes[at].want(self.now, 100 * at as u64);
        self.perform(at, effects);
        self.arm(at);
    }

    fn perform(&mut self, at: usize, effects: Vec<Effect>) {
        let from = self.nodes[at].name;
        for effect in effects {
            self.say(&(from, effect));
            match effect {
                Effect::Acquire { ask } => {
                    self.send(self.store_cut, Thing::ReadForAcquire { from, ask });
                }
                Effect::Renew { ask, epoch } => {
                    let question = Question::Renew { epoch: epoch.0 };
                    self.send(self.redis_cut, Thing::AtRedis { from, ask, question });
                }
                Effect::Check { ask } => self.send(self.store_cut, Thing::Check { from, ask }),
                Effect::Reassert { ask, epoch } => {
                    self.coverage.reasserted += 1;
                    let question = Question::Reassert { epoch: epoch.0 };
                    self.send(self.redis_cut, Thing::AtRedis { from, ask, question });
                }
                Effect::Claim { epoch, over } => {
                    let (epoch, over) = (epoch.0, over.0);
                    self.send(self.store_cut, Thing::Claim { from, epoch, over });
                }
                Effect::Start { epoch } => self.start(at, epoch),
                Effect::Drain | Effect::Stop { .. } => {
                    self.coverage.over += u64::from(matches!(effect, Effect::Stop { .. }));
                    if let Some(epoch) = self.nodes[at].runs {
                        let takes = self.random.between(1, 2_000);
                        self.put(takes, Thing::Stopped { of: from, epoch: epoch.0 });
                    }
                }
                Effect::Release { epoch } => {
                    self.coverage.released += 1;
                    let question = Question::Release { epoch: epoch.0 };
                    let ask = Ask(u64::MAX);
                    self.send(self.redis_cut, Thing::AtRedis { from, ask, question });
                }
            }
        }
    }

    fn start(&mut self, at: usize, epoch: Epoch) {
        let name = self.nodes[at].name;
        assert!(self.nodes[at].runs.is_none(), "it runs twice on one node");
        let before = self.owners.insert(epoch.0, name);
        assert!(before.is_none(), "O1: {name} acts under {epoch}, as did {before:?}");
        let others = self.nodes.iter().filter(|node| node.name != name);
        let acting = others.filter(|node| node.acts(self.now).is_some()).count();
        if acting > 0 {
            assert!(
                self.old_copies == OldCopies::Took,
                "O3: {acting} others act while {name} begins to"
            );
            self.coverage.doubled_by_an_old_copy += 1;
        }
        self.nodes[at].runs = Some(epoch);
        self.coverage.started += 1;
    }

    fn stopped(&mut self, of: u64, epoch: u64) {
        let Some(at) = self.named(of) else { return };
        if self.nodes[at].runs == Some(Epoch(epoch)) {
            self.nodes[at].runs = None;
            self.tell_anyhow(at, Command::Stopped);
        }
    }

    /// What happens inside a node happens once it goes on.
    fn tell_anyhow(&mut self, at: usize, command: Command) {
        let (effects, _) = self.nodes[at].hear(self.now, command);
        self.perform(at, effects);
        self.arm(at);
    }

    /// What runs writes while it is let; what a pause has cut in two goes on after it, whatever became
    /// of the lease: this is what the store is asked to refuse.
    fn write(&mut self, at: usize) {
        let pause = self.random.between(20, 200);
        self.put(pause, Thing::Write(at));
        let node = &self.nodes[at];
        if let Some(epoch) = node.acts(self.now).filter(|_| node.runs.is_some()) {
            let from = node.name;
            let asleep = node.paused_until.saturating_sub(self.now);
            let takes = asleep + self.random.between(1, self.late);
            self.put(takes, Thing::Commit { from, epoch: epoch.0 });
        }
    }

    fn fault(&mut self) {
        let pause = self.random.between(200, 6_000);
        self.put(pause, Thing::Fault);
        let at = self.random.index(NODES);
        let long = self.random.between(100, 3 * LEASE);
        match self.random.below(10) {
            0 | 1 => self.nodes[at].paused_until = self.now + long,
            2 => {
                // Killed, and another in its place, which has to own what runs no more.
                self.nodes[at] = self.new_node();
                self.want(at);
            }
            3 => self.redis_cut = self.now + long,
            4 => self.store_cut = self.now + long,
            5 | 6 => self.redis = Redis::default(),
            7 => self.copy = self.redis.clone(),
            8 if self.old_copies != OldCopies::Never => {
                self.redis = self.copy.clone();
                self.old_copies = OldCopies::Took;
            }
            _ if self.nodes[at].is_paused(self.now) => {}
            _ => {
                self.tell_anyhow(at, Command::GiveUp);
                self.put(100, Thing::Wake(at));
                self.want(at);
            }
        }
    }
}

fn answer(reply: Reply) -> Option<Answer> {
    Some(match reply {
        Reply::Acquired { epoch, over } => {
            Answer::Acquired { epoch: Epoch(epoch), over: Epoch(over) }
        }
        Reply::Held { left } => Answer::Held { left: Duration::from_millis(left) },
        Reply::Renewed => Answer::Renewed,
        Reply::Missing => Answer::Missing,
        Reply::Lost => Answer::Lost,
        Reply::Done => return None,
    })
}

fn reply(to: u64, ask: Ask, answer: Answer) -> Option<Thing> {
    let reply = match answer {
        Answer::Acquired { epoch, over } => Reply::Acquired { epoch: epoch.0, over: over.0 },
        Answer::Held { left } => {
            Reply::Held { left: u64::try_from(left.as_millis()).unwrap_or(u64::MAX) }
        }
        Answer::Renewed => Reply::Renewed,
        Answer::Missing => Reply::Missing,
        Answer::Lost => Reply::Lost,
        Answer::StoreHas { epoch } => {
            return Some(Thing::StoreHas { to, ask, epoch: epoch.0 });
        }
        Answer::Failed => return None,
    };
    Some(Thing::Reply { to, ask, reply })
}
