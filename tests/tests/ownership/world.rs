//! The nodes, what stands between them, and what goes wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use usher_domain::ownership::Epoch;
use usher_domain::ownership::lease::{Answer, Ask, Command, Effect, Stage, Terms};

use crate::coverage::Coverage;
use crate::node::{Node, QUICK};
use crate::random::Random;
use crate::servers::{Question, Redis, Reply, Store};
use crate::thing::{Thing, answer, reply};

const LEASE: u64 = 5_000;
const TERMS: Terms = Terms::new(Duration::from_millis(LEASE));
/// Milliseconds of trouble, and then of peace.
const TROUBLE: u64 = 60_000;
const PEACE: u64 = 3 * LEASE;
const NODES: usize = 3;
/// What a node's messages take at most, there and back, on quick and on slow wires.
const LATE: [(u64, u64); 4] = [QUICK, (200, 200), (20, 900), (2_000, 2_000)];

/// What is at the other end of a node's wire.
#[derive(Clone, Copy, Debug)]
enum Server {
    Redis,
    Store,
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
    /// Whether a Redis that is cut off says so at once, or nothing.
    refuses: bool,
    /// Of 100 messages so many are lost.
    lost: u64,
    owners: BTreeMap<u64, u64>,
    coverage: Coverage,
}

impl World {
    pub(crate) fn new(seed: u64, spoken: bool) -> Self {
        let mut random = Random::from_seed(seed);
        let lost = random.below(20);
        let store_rate = random.between(950, 1_050);
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
            store: Store::new(store_rate),
            redis_cut: 0,
            store_cut: 0,
            refuses: seed.is_multiple_of(2),
            lost,
            owners: BTreeMap::new(),
            coverage: Coverage::default(),
        };
        for at in 0..NODES {
            let node = world.new_node();
            world.nodes.push(node);
            world.want(at);
            world.put(50, Thing::Write(at));
        }
        world
    }

    fn new_node(&mut self) -> Node {
        self.names += 1;
        let (rate, ahead) = (self.random.between(900, 1_100), self.random.below(1_000_000));
        let late = LATE[self.random.index(LATE.len())];
        let mut node = Node::new(self.names, self.now, TERMS, rate, ahead);
        node.late = late;
        node
    }

    pub(crate) fn run(mut self) -> Coverage {
        self.put(1_000, Thing::Fault);
        self.until(TROUBLE);
        (self.lost, self.redis_cut, self.store_cut) = (0, 0, 0);
        self.things.retain(|_, thing| !matches!(thing, Thing::Fault));
        for at in 0..NODES {
            self.nodes[at].come_to_peace(self.now);
            self.want(at);
            self.arm(at);
        }
        self.until(TROUBLE + PEACE);
        let owns = |node: &Node| matches!(node.lease.stage(), Stage::Owning { .. });
        let owners = self.nodes.iter().filter(|node| owns(node) && node.runs.is_some()).count();
        assert_eq!(owners, 1, "O4: so many own it in peace");
        self.coverage.accepted = self.store.accepted;
        self.coverage.refused = self.store.refused;
        self.coverage.kept_off = self.store.kept_off;
        self.coverage
    }

    /// Without trouble but for a Redis that goes and comes back, as it was or empty.
    pub(crate) fn outlive_redis(mut self) {
        self.lost = 0;
        for node in &mut self.nodes {
            node.late = QUICK;
        }
        let gone = self.random.between(10_000, 20_000);
        self.until(gone);
        let before = self.acting().expect("somebody acts in peace");
        let back = gone + self.random.between(LEASE / 2, 8 * LEASE);
        self.redis_cut = back;
        self.until(back);
        if self.random.chance(50) {
            self.redis = Redis::default();
        }
        self.until(back + 2_000);
        assert_eq!(self.redis.holder(self.now), Some(before.0), "O5: Redis knows by then");
        self.until(back + PEACE);
        assert_eq!(self.acting(), Some(before), "O5: another owner");
        assert_eq!(self.coverage.started, 1, "O5: once only");
    }

    /// Who acts, and under which epoch.
    fn acting(&self) -> Option<(u64, Epoch)> {
        self.nodes.iter().find_map(|node| Some((node.name, node.acts(self.now)?)))
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

    /// Over a node's wire to a server, if it arrives.
    fn send(&mut self, node: u64, server: Server, thing: Thing) {
        let late = self.named(node).map_or(QUICK, |at| self.nodes[at].late).0;
        self.carry(self.cut_until(node, server), late, thing);
    }

    fn send_back(&mut self, node: u64, server: Server, thing: Thing) {
        let late = self.named(node).map_or(QUICK, |at| self.nodes[at].late).1;
        self.carry(self.cut_until(node, server), late, thing);
    }

    fn carry(&mut self, cut_until: u64, late: u64, thing: Thing) {
        if self.now >= cut_until && !self.random.chance(self.lost) {
            let takes = self.random.between(1, late);
            self.put(takes, thing);
        }
    }

    fn cut_until(&self, node: u64, server: Server) -> u64 {
        let node = self.named(node).map(|at| &self.nodes[at]);
        let cut = match server {
            Server::Redis => node.map_or(0, |node| node.redis_cut).max(self.redis_cut),
            Server::Store => self.store_cut,
        };
        cut.max(node.map_or(0, |node| node.cut))
    }

    /// Redis may refuse at once where it cannot be reached.
    fn ask_redis(&mut self, from: u64, ask: Ask, question: Question) {
        if self.refuses && self.now < self.cut_until(from, Server::Redis) {
            self.put(1, Thing::Failed { to: from, ask });
        } else {
            self.send(from, Server::Redis, Thing::AtRedis { from, ask, question });
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
                self.send_back(from, Server::Redis, Thing::Reply { to: from, ask, reply });
            }
            Thing::Reply { to, ask, reply } => self.answer(to, ask, answer(reply)),
            Thing::ReadForAcquire { from, ask } => {
                let left = self.store.held_for(self.now);
                if left > 0 {
                    let reply = Reply::Held { left };
                    self.send_back(from, Server::Store, Thing::Reply { to: from, ask, reply });
                    return;
                }
                let question = Question::Acquire { store: self.store.epoch };
                self.ask_redis(from, ask, question);
            }
            Thing::Hold { from, ask, epoch } => {
                let ours = self.store.hold(self.now, LEASE, epoch);
                self.coverage.held += u64::from(ours);
                self.send_back(from, Server::Store, Thing::Held { to: from, ask, ours });
            }
            Thing::Held { to, ask, ours } => {
                let answer = if ours { Answer::Holding } else { Answer::Superseded };
                self.answer(to, ask, Some(answer));
            }
            Thing::Release { from, epoch } => {
                self.store.release(epoch);
                self.ask_redis(from, Ask(u64::MAX), Question::Release { epoch });
            }
            Thing::Claim { from, epoch, over } => {
                let taken = self.store.claim(self.now, epoch, over, from);
                self.send_back(from, Server::Store, Thing::Claimed { to: from, epoch, taken });
            }
            Thing::Claimed { to, epoch, taken } => {
                let epoch = Epoch(epoch);
                let claimed = Command::Claimed { epoch };
                self.tell(to, if taken { claimed } else { Command::NotClaimed { epoch } });
            }
            Thing::Write(at) => self.write(at),
            Thing::Commit { from, epoch } => {
                if !self.store.commit(epoch, from) {
                    self.send_back(from, Server::Store, Thing::Superseded { to: from, epoch });
                }
            }
            Thing::Superseded { to, epoch } => {
                self.tell(to, Command::Superseded { epoch: Epoch(epoch) });
            }
            Thing::Stopped { of, epoch } => self.stopped(of, epoch),
            Thing::Failed { to, ask } => self.answer(to, ask, Some(Answer::Failed)),
            Thing::Fault => self.fault(),
            Thing::RedisBack { acted } => {
                let goes_on = acted.is_some() && self.acting() == acted;
                self.coverage.without_redis += u64::from(goes_on);
            }
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
                Command::Hear { ask, answer } => Some(reply(to, ask, answer)),
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
                    self.send(from, Server::Store, Thing::ReadForAcquire { from, ask });
                }
                Effect::Renew { ask, epoch } => {
                    self.ask_redis(from, ask, Question::Renew { epoch: epoch.0 });
                }
                Effect::Hold { ask, epoch } => {
                    let epoch = epoch.0;
                    self.send(from, Server::Store, Thing::Hold { from, ask, epoch });
                }
                Effect::Reassert { ask, epoch } => {
                    self.coverage.reasserted += 1;
                    self.ask_redis(from, ask, Question::Reassert { epoch: epoch.0 });
                }
                Effect::Claim { epoch, over } => {
                    let (epoch, over) = (epoch.0, over.0);
                    self.send(from, Server::Store, Thing::Claim { from, epoch, over });
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
                    self.send(from, Server::Store, Thing::Release { from, epoch: epoch.0 });
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
            let takes = asleep + self.random.between(1, node.late.0);
            self.put(takes, Thing::Commit { from, epoch: epoch.0 });
        }
    }

    fn fault(&mut self) {
        let pause = self.random.between(200, 6_000);
        self.put(pause, Thing::Fault);
        let at = self.random.index(NODES);
        let long = self.random.between(100, 3 * LEASE);
        match self.random.below(14) {
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
            9 => self.nodes[at].redis_cut = self.now + 2 * long,
            10 => {
                // Gone for long, and then as it was, empty, or an old copy.
                let long = self.random.between(LEASE, 6 * LEASE);
                self.redis_cut = self.now + long;
                self.put(long, Thing::RedisBack { acted: self.acting() });
                if self.random.chance(50) {
                    self.redis = Redis::default();
                }
            }
            11 => self.nodes[at].cut = self.now + long,
            12 => (self.redis_cut, self.store_cut) = (self.now + long, self.now + long),
            _ if self.nodes[at].is_paused(self.now) => {}
            _ => {
                self.tell_anyhow(at, Command::GiveUp);
                self.put(100, Thing::Wake(at));
                self.want(at);
            }
        }
    }
}
