//! The nodes, and what stands between them.

use std::collections::BTreeMap;
use std::time::Duration;

use usher_domain::ids::ServiceId;
use usher_domain::ownership::Epoch;
use usher_domain::ownership::keeping::{Deed, Word};
use usher_domain::ownership::lease::{Answer, Ask, Effect, Terms};

use crate::coverage::Coverage;
use crate::node::{Node, QUICK, name};
use crate::random::Random;
use crate::servers::{Question, Redis, Store};
use crate::thing::{Acting, Statement, Thing};

pub(crate) const LEASE: u64 = 5_000;
pub(crate) const TERMS: Terms = Terms::new(Duration::from_millis(LEASE));
/// A node lives so long before it is given what another has.
pub(crate) const SETTLED: u64 = 5_000;
/// A node that was told to leave is gone then, whatever still runs.
pub(crate) const ENDS_AFTER: u64 = 6_000;
/// What is drained takes so long at most.
pub(crate) const DRAINED: u64 = 2_000;
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
pub(crate) enum OldCopies {
    Never,
    May,
    Took,
}

pub(crate) struct World {
    pub(crate) random: Random,
    spoken: bool,
    pub(crate) now: u64,
    things: BTreeMap<(u64, u64), Thing>,
    numbered: u64,
    names: u64,
    pub(crate) nodes: Vec<Node>,
    services: Vec<ServiceId>,
    pub(crate) redis: Redis,
    /// How Redis was some time ago.
    pub(crate) copy: Redis,
    /// In some runs an old copy takes its place, and from then on O3 is not promised.
    pub(crate) old_copies: OldCopies,
    store: Store,
    /// Until when no wire reaches Redis, or the store.
    pub(crate) redis_cut: u64,
    pub(crate) store_cut: u64,
    /// Whether a Redis that is cut off says so at once, or nothing.
    refuses: bool,
    /// Of 100 messages so many are lost.
    pub(crate) lost: u64,
    owners: BTreeMap<(ServiceId, Epoch), u64>,
    /// How often each service has begun somewhere.
    pub(crate) begun: BTreeMap<ServiceId, u64>,
    /// Leases asked for.
    pub(crate) asked: u64,
    /// Of which a new node gets one.
    pub(crate) wires: &'static [(u64, u64)],
    pub(crate) coverage: Coverage,
}

impl World {
    pub(crate) fn new(seed: u64, (nodes, services): (usize, u128), spoken: bool) -> Self {
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
            services: (1..=services).map(ServiceId::from_number).collect(),
            redis: Redis::default(),
            copy: Redis::default(),
            old_copies: if seed.is_multiple_of(8) { OldCopies::May } else { OldCopies::Never },
            store: Store::new(store_rate),
            redis_cut: 0,
            store_cut: 0,
            refuses: seed.is_multiple_of(2),
            lost,
            owners: BTreeMap::new(),
            begun: BTreeMap::new(),
            asked: 0,
            wires: &LATE,
            coverage: Coverage::default(),
        };
        for at in 0..nodes {
            let node = world.new_node();
            world.nodes.push(node);
            world.put(1, Thing::Wake(at));
            world.put(50, Thing::Write(at));
            world.put(50, Thing::Probe(at));
        }
        world
    }

    pub(crate) fn new_node(&mut self) -> Node {
        self.names += 1;
        let (rate, ahead) =
            (self.random.between(900, 1_100), self.random.between(LEASE, 1_000_000));
        let late = self.wires[self.random.index(self.wires.len())];
        let services = self.services.iter().copied();
        let mut node = Node::new((self.names, self.now), (TERMS, SETTLED), services, (rate, ahead));
        node.wires.late = late;
        node
    }

    /// Another in the place of one that has ended.
    pub(crate) fn replace(&mut self, at: usize) {
        self.nodes[at] = self.new_node();
        self.put(1, Thing::Wake(at));
    }

    /// After one was taken out: what wakes them goes by their places.
    pub(crate) fn remove(&mut self, at: usize) {
        self.nodes.remove(at);
        let by_place =
            |thing: &Thing| matches!(thing, Thing::Wake(_) | Thing::Probe(_) | Thing::Write(_));
        self.things.retain(|_, thing| !by_place(thing));
        for at in 0..self.nodes.len() {
            self.put(1, Thing::Wake(at));
            self.put(50, Thing::Write(at));
            self.put(50, Thing::Probe(at));
        }
    }

    pub(crate) fn services(&self) -> Vec<ServiceId> {
        self.services.clone()
    }

    pub(crate) fn acting(&self) -> Acting {
        let acts = |service: &ServiceId| {
            let acts = |node: &Node| Some((*service, node.name, node.acts(self.now, *service)?));
            self.nodes.iter().find_map(acts)
        };
        self.services.iter().filter_map(acts).collect()
    }

    pub(crate) fn finished(mut self) -> Coverage {
        self.coverage.accepted = self.store.accepted;
        self.coverage.refused = self.store.refused;
        self.coverage.kept_off = self.store.kept_off;
        self.coverage
    }

    pub(crate) fn calm(&mut self) {
        self.things.retain(|_, thing| !matches!(thing, Thing::Fault));
    }

    pub(crate) fn until(&mut self, end: u64) {
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

    pub(crate) fn put(&mut self, after: u64, thing: Thing) {
        self.numbered += 1;
        self.things.insert((self.now + after, self.numbered), thing);
    }

    /// Over a node's wire to a server, if it arrives.
    fn send(&mut self, node: u64, server: Server, thing: Thing) {
        let late = self.named(node).map_or(QUICK, |at| self.nodes[at].wires.late).0;
        self.carry(self.cut_until(node, server), late, thing);
    }

    fn send_back(&mut self, node: u64, server: Server, thing: Thing) {
        let late = self.named(node).map_or(QUICK, |at| self.nodes[at].wires.late).1;
        self.carry(self.cut_until(node, server), late, thing);
    }

    fn carry(&mut self, cut_until: u64, late: u64, thing: Thing) {
        if self.now >= cut_until && !self.random.chance(self.lost) {
            let takes = self.random.between(1, late);
            self.put(takes, thing);
        }
    }

    fn cut_until(&self, node: u64, server: Server) -> u64 {
        let wires = self.named(node).map(|at| self.nodes[at].wires);
        let cut = match server {
            Server::Redis => wires.map_or(0, |wires| wires.redis_cut).max(self.redis_cut),
            Server::Store => wires.map_or(0, |wires| wires.store_cut).max(self.store_cut),
        };
        cut.max(wires.map_or(0, |wires| wires.cut))
    }

    /// Redis may refuse at once where it cannot be reached.
    fn ask_redis(&mut self, from: u64, service: ServiceId, ask: Option<Ask>, question: Question) {
        if self.refuses && self.now < self.cut_until(from, Server::Redis) {
            if let Some(ask) = ask {
                let word = Word::Heard { service, ask, answer: Answer::Failed, holder: None };
                self.put(1, Thing::Told { to: from, word });
            }
        } else {
            self.send(from, Server::Redis, Thing::AtRedis { from, service, ask, question });
        }
    }

    fn ask_store(&mut self, from: u64, what: Statement) {
        self.send(from, Server::Store, Thing::AtStore { from, what });
    }

    fn say(&self, what: &dyn std::fmt::Debug) {
        if self.spoken {
            eprintln!("{:>6} {what:?}", self.now);
        }
    }

    pub(crate) fn named(&self, name: u64) -> Option<usize> {
        self.nodes.iter().position(|node| node.name == name)
    }

    fn take(&mut self, thing: Thing) {
        if !matches!(thing, Thing::Wake(_) | Thing::Write(_) | Thing::Probe(_)) {
            self.say(&thing);
        }
        if let Some(to) = thing.to() {
            let Some(at) = self.named(to) else { return };
            if self.nodes[at].is_paused(self.now) {
                // It lies there until the node goes on.
                return self.put(self.nodes[at].paused_until - self.now, thing);
            }
        }
        match thing {
            Thing::Wake(at) => self.wake(at),
            Thing::Probe(at) => self.probe(at),
            Thing::Write(at) => self.write(at),
            Thing::AtRedis { from, service, ask, question } => {
                let reply = self.redis.ask(self.now, LEASE, (service, from), question);
                let Some(((answer, holder), ask)) = reply.zip(ask) else { return };
                self.saw(answer);
                let holder = holder.map(crate::node::id);
                let word = Word::Heard { service, ask, answer, holder };
                self.send_back(from, Server::Redis, Thing::Told { to: from, word });
            }
            Thing::AtStore { from, what } => self.at_store(from, what),
            Thing::Beat { from, leaving } => {
                let live = self.redis.beat(self.now, LEASE, from, leaving);
                let told = Thing::Told { to: from, word: Word::Live(live) };
                self.send_back(from, Server::Redis, told);
            }
            Thing::Told { to, word } => self.tell(to, word),
            Thing::Signed { to, sign, answered } => {
                let at = self.named(to).filter(|at| self.nodes[*at].sign == Some(sign));
                let Some(at) = at else { return };
                self.nodes[at].sign = None;
                self.tell(to, Word::Answered(answered));
            }
            Thing::Stopped { to, service, epoch } => {
                let Some(at) = self.named(to) else { return };
                if self.nodes[at].runs.get(&service) == Some(&epoch) {
                    self.nodes[at].runs.remove(&service);
                    self.tell(to, Word::Stopped { service });
                }
            }
            // Of what ran before and has ended nobody hears.
            Thing::Refused { to, service, epoch } => {
                let runs = self.named(to).map(|at| &self.nodes[at].runs);
                if runs.is_some_and(|runs| runs.get(&service) == Some(&epoch)) {
                    self.tell(to, Word::Superseded { service });
                }
            }
            Thing::Ends { of } => {
                let Some(at) = self.named(of) else { return };
                self.redis.leave(of);
                self.replace(at);
            }
            Thing::Fault => self.fault(),
            Thing::RedisBack { acted } => {
                let goes_on = !acted.is_empty() && self.acting() == acted;
                self.coverage.without_redis += u64::from(goes_on);
            }
        }
    }

    fn saw(&mut self, answer: Answer) {
        let travelled = answer == Answer::Held { left: Duration::from_millis(LEASE) };
        self.coverage.travelled += u64::from(travelled);
    }

    fn at_store(&mut self, from: u64, what: Statement) {
        let word = match what {
            Statement::ReadForAcquire { service, ask } => {
                self.asked += 1;
                let (epoch, held) = self.store.standing(self.now, service);
                let Some((by, left)) = held else {
                    let question = Question::Acquire { store: epoch };
                    return self.ask_redis(from, service, Some(ask), question);
                };
                let answer = Answer::Held { left: Duration::from_millis(left) };
                Word::Heard { service, ask, answer, holder: Some(crate::node::id(by)) }
            }
            Statement::Hold { service, ask, epoch } => {
                let ours = self.store.hold(self.now, LEASE, service, epoch);
                self.coverage.held += u64::from(ours);
                let answer = if ours { Answer::Holding } else { Answer::Superseded };
                Word::Heard { service, ask, answer, holder: None }
            }
            Statement::Release { service, epoch, next } => {
                self.store.release(service, epoch);
                return self.ask_redis(from, service, None, Question::Release { epoch, next });
            }
            Statement::Claim { service, epoch, over } => {
                let taken = self.store.claim(self.now, (service, from), (epoch, over));
                Word::Claimed { service, epoch: Epoch(epoch), taken }
            }
            Statement::Commit { service, epoch } => {
                if !self.store.commit(service, epoch, from) {
                    let refused = Thing::Refused { to: from, service, epoch: Epoch(epoch) };
                    self.send_back(from, Server::Store, refused);
                }
                return;
            }
            Statement::Sign { sign } => {
                let signed = Thing::Signed { to: from, sign, answered: true };
                return self.send_back(from, Server::Store, signed);
            }
        };
        self.send_back(from, Server::Store, Thing::Told { to: from, word });
    }

    /// A node that is paused looks once it goes on again.
    fn wake(&mut self, at: usize) {
        if self.nodes[at].is_paused(self.now) {
            let after = self.nodes[at].paused_until - self.now;
            return self.put(after, Thing::Wake(at));
        }
        if self.nodes[at].keeping.next_deadline() <= self.nodes[at].clock(self.now) {
            let deeds = self.nodes[at].wake(self.now);
            self.perform(at, deeds);
            self.arm(at);
        }
    }

    pub(crate) fn arm(&mut self, at: usize) {
        let due = self.nodes[at].keeping.next_deadline();
        let when = self.nodes[at].when(due).max(self.now + 1);
        self.put(when - self.now, Thing::Wake(at));
    }

    pub(crate) fn tell(&mut self, to: u64, word: Word) {
        let Some(at) = self.named(to) else { return };
        let deeds = self.nodes[at].hear(self.now, word);
        self.perform(at, deeds);
        self.arm(at);
    }

    fn perform(&mut self, at: usize, deeds: Vec<Deed>) {
        let from = self.nodes[at].name;
        for deed in deeds {
            if !matches!(deed, Deed::Beat { .. } | Deed::Refused { .. }) {
                self.say(&(from, &deed));
            }
            match deed {
                Deed::Lease { service, effect, next } => {
                    self.perform_for(at, service, (effect, next.as_ref().map(name)));
                }
                Deed::Beat { leaving } => {
                    self.send(from, Server::Redis, Thing::Beat { from, leaving });
                    self.numbered += 1;
                    let sign = self.numbered;
                    self.nodes[at].sign = Some(sign);
                    self.ask_store(from, Statement::Sign { sign });
                    let late = Thing::Signed { to: from, sign, answered: false };
                    self.put(LEASE / 5, late);
                }
                Deed::Elsewhere { .. } | Deed::Kept { .. } | Deed::Refused { .. } => {}
            }
        }
    }

    fn perform_for(
        &mut self,
        at: usize,
        service: ServiceId,
        (effect, next): (Effect, Option<u64>),
    ) {
        let from = self.nodes[at].name;
        match effect {
            Effect::Acquire { ask } => {
                self.ask_store(from, Statement::ReadForAcquire { service, ask });
            }
            Effect::Renew { ask, epoch } => {
                self.ask_redis(from, service, Some(ask), Question::Renew { epoch: epoch.0 });
            }
            Effect::Hold { ask, epoch } => {
                self.ask_store(from, Statement::Hold { service, ask, epoch: epoch.0 });
            }
            Effect::Reassert { ask, epoch } => {
                self.coverage.reasserted += 1;
                self.ask_redis(from, service, Some(ask), Question::Reassert { epoch: epoch.0 });
            }
            Effect::Claim { epoch, over } => {
                let (epoch, over) = (epoch.0, over.0);
                self.ask_store(from, Statement::Claim { service, epoch, over });
            }
            Effect::Start { epoch } => self.start(at, service, epoch),
            Effect::Drain | Effect::Stop { .. } => {
                self.coverage.over += u64::from(matches!(effect, Effect::Stop { .. }));
                if effect == Effect::Drain {
                    self.coverage.drained += 1;
                    let node = &self.nodes[at];
                    let in_turn = node.hands_over() <= 1;
                    assert!(
                        in_turn || node.leaves || !node.keeping.is_fit(),
                        "O6: another is on its way already"
                    );
                }
                if let Some(epoch) = self.nodes[at].runs.get(&service).copied() {
                    let takes = self.random.between(1, DRAINED);
                    self.put(takes, Thing::Stopped { to: from, service, epoch });
                }
            }
            Effect::Release { epoch } => {
                self.coverage.released += 1;
                self.coverage.kept_for_next += u64::from(next.is_some());
                let epoch = epoch.0;
                if self.now < self.cut_until(from, Server::Store) {
                    // What does not answer is not waited for.
                    self.ask_redis(from, service, None, Question::Release { epoch, next });
                } else {
                    self.ask_store(from, Statement::Release { service, epoch, next });
                }
            }
        }
    }

    fn start(&mut self, at: usize, service: ServiceId, epoch: Epoch) {
        let name = self.nodes[at].name;
        assert!(!self.nodes[at].runs.contains_key(&service), "it runs twice on one node");
        let before = self.owners.insert((service, epoch), name);
        assert!(before.is_none(), "O1: {name} acts under {epoch}, as did {before:?}");
        let others = self.nodes.iter().filter(|node| node.name != name);
        let acting = others.filter(|node| node.acts(self.now, service).is_some()).count();
        if acting > 0 {
            assert!(
                self.old_copies == OldCopies::Took,
                "O3: {acting} others act while {name} begins to"
            );
            self.coverage.doubled_by_an_old_copy += 1;
        }
        assert!(!self.nodes[at].leaves, "O8: {name} begins what it was told to leave");
        self.nodes[at].runs.insert(service, epoch);
        *self.begun.entry(service).or_default() += 1;
        self.coverage.started += 1;
    }
}
