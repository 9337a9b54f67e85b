//! What is promised once all is quiet, and of single things that go wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use usher_domain::ids::ServiceId;
use usher_domain::ownership::placement;

use crate::coverage::Coverage;
use crate::node::{Node, QUICK, id, name};
use crate::servers::Redis;
use crate::thing::Thing;
use crate::world::{DRAINED, LEASE, SETTLED, World};

/// Milliseconds of trouble, and then of peace.
const TROUBLE: u64 = 60_000;
const PEACE: u64 = 3 * LEASE;
/// From when nothing changes any more until everything lies where it should: newcomers settle, and services
/// move one after the other.
const SPREADS: u64 = 2 * SETTLED;
const MOVES: u64 = LEASE;
/// From a claim to whoever asks for it: a question, an answer, and a statement each.
const WIRES: u64 = 200;

impl World {
    pub(crate) fn run(mut self) -> Coverage {
        self.put(1_000, Thing::Fault);
        self.until(TROUBLE);
        self.lost = 0;
        (self.redis_cut, self.store_cut, self.wires) = (0, 0, &[QUICK]);
        self.calm();
        for at in 0..self.nodes.len() {
            self.nodes[at].come_to_peace(self.now);
            self.arm(at);
        }
        self.until(TROUBLE + PEACE);
        let acting = |world: &Self| world.acting().into_iter().map(|(service, ..)| service);
        let mut has_one: BTreeSet<ServiceId> = acting(&self).collect();
        // Between its owners one may be, on its way to where it should be.
        self.until(self.now + LEASE / 5 + WIRES);
        has_one.extend(acting(&self));
        assert_eq!(has_one.len(), self.services().len(), "O4: owned in peace: {has_one:?}");
        self.begun.clear();
        self.until(TROUBLE + PEACE + self.spread_takes());
        self.everything_lies_where_it_should();
        let most = self.begun.values().max().copied().unwrap_or(0);
        assert!(most <= 1, "O6: it goes to and fro in peace: {:?}", self.begun);
        self.coverage.moved += self.begun.values().sum::<u64>();
        self.finished()
    }

    fn spread_takes(&self) -> u64 {
        SPREADS + MOVES * self.services().len() as u64
    }

    fn everything_lies_where_it_should(&self) {
        let settled = Duration::from_millis(SETTLED);
        let live = |node: &Node| placement::Node::new(id(node.name), 1, settled);
        let live: Vec<_> = self.nodes.iter().map(live).collect();
        for service in self.services() {
            let should = placement::owner(service, &live, None, settled).map(name);
            let owners = self.nodes.iter().filter(|node| node.owns(service));
            let owners: Vec<_> = owners.map(|node| Some(node.name)).collect();
            assert_eq!(owners, [should], "O6: {service} lies elsewhere in peace");
        }
    }

    /// No trouble from now on, and everything lies where it should.
    fn settle(&mut self) {
        (self.lost, self.wires) = (0, &[QUICK]);
        for node in &mut self.nodes {
            node.wires.late = QUICK;
        }
        let takes = self.spread_takes() + self.random.between(PEACE, PEACE + LEASE);
        self.until(self.now + takes);
        self.everything_lies_where_it_should();
        self.begun.clear();
        self.asked = 0;
    }

    /// Without trouble but for a Redis that goes and comes back, as it was or empty.
    pub(crate) fn outlive_redis(mut self) {
        self.settle();
        let before = self.acting();
        let back = self.now + self.random.between(LEASE / 2, 8 * LEASE);
        self.redis_cut = back;
        self.until(back);
        if self.random.chance(50) {
            self.redis = Redis::default();
        }
        self.until(back + 2_000);
        for (service, owner, _) in &before {
            let knows = self.redis.holder(self.now, *service);
            assert_eq!(knows, Some(*owner), "O5: Redis knows by then");
        }
        self.until(back + PEACE);
        assert_eq!(self.acting(), before, "O5: another owner");
        assert_eq!(self.begun, BTreeMap::new(), "O5: nothing began anew");
    }

    /// Of `dying` nodes that should have a service, one after the other, the first owns it: all die at once, or
    /// all but the first stand still.
    pub(crate) fn lose_the_first(mut self, dying: usize) {
        self.settle();
        let service = self.services()[0];
        let settled = Duration::from_millis(SETTLED);
        let live = |node: &Node| placement::Node::new(id(node.name), 1, settled);
        let mut live: Vec<_> = self.nodes.iter().map(live).collect();
        let stand_still = self.random.chance(50);
        let at = self.now;
        for nth in 0..dying {
            let next = placement::owner(service, &live, None, settled).cloned();
            let next = next.expect("somebody is left");
            live.retain(|node| *node.id() != next);
            let gone = self.named(name(&next)).expect("it lives");
            assert_eq!(nth == 0, self.nodes[gone].acts(at, service).is_some());
            if stand_still && nth > 0 {
                self.nodes[gone].paused_until = at + 4 * LEASE;
            } else {
                self.remove(gone);
            }
        }
        let within = LEASE + LEASE / 5 + WIRES;
        self.until(at + within);
        let next = placement::owner(service, &live, None, settled).map(name);
        let acts = self.acting().into_iter().find(|(of, ..)| *of == service);
        let acts = acts.map(|(_, node, _)| node);
        assert!(acts.is_some(), "O7: of {dying} that have gone");
        // Of those after the first, some clocks run faster than their turns are apart.
        assert!(dying > 1 || acts == next, "O7: {acts:?} is not the next");
    }

    /// One leaves in order, and another comes.
    pub(crate) fn leave_and_come(mut self) {
        self.settle();
        let at = self.random.index(self.nodes.len());
        let had = self.owned_by(at);
        self.leave(at);
        self.until(self.now + DRAINED);
        assert_eq!(self.nodes[at].runs, BTreeMap::new(), "O8: it still runs something");
        self.until(self.now + LEASE / 5 + WIRES);
        let acting = self.acting().len();
        assert_eq!(acting, self.services().len(), "O8: what it had others have by then");
        let moved = had.iter().map(|service| (*service, 1)).collect();
        assert_eq!(self.begun, moved, "O6: what it had has moved, once, and nothing else");
        self.begun.clear();
        self.until(self.now + LEASE + self.spread_takes());
        self.everything_lies_where_it_should();
        let comes = self.owned_by(at);
        let moved = comes.iter().map(|service| (*service, 1)).collect();
        assert_eq!(
            self.begun, moved,
            "O6: what is the newcomer's has moved, once, and nothing else"
        );
    }

    /// The store does not answer one, and then it does, again and again.
    pub(crate) fn not_answered_again_and_again(mut self) {
        self.settle();
        let at = self.random.index(self.nodes.len());
        let had = self.owned_by(at);
        for _ in 0..6 {
            self.nodes[at].wires.store_cut = self.now + 3 * LEASE / 2;
            self.until(self.now + 2 * LEASE);
        }
        self.until(self.now + self.spread_takes());
        self.everything_lies_where_it_should();
        for service in self.services() {
            let moves = self.begun.get(&service).copied().unwrap_or(0);
            let most = if had.contains(&service) { 2 } else { 0 };
            assert!(moves <= most, "O6: {service} has moved {moves} times");
        }
    }

    /// How many questions a second about the lease of each service.
    pub(crate) fn questions_in_peace(mut self) -> f64 {
        self.settle();
        let seconds = 60;
        self.until(self.now + seconds * 1_000);
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        let each = self.asked as f64 / (seconds * self.services().len() as u64) as f64;
        each
    }

    fn owned_by(&self, at: usize) -> Vec<ServiceId> {
        self.services().into_iter().filter(|service| self.nodes[at].owns(*service)).collect()
    }
}
