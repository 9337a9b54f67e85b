//! What nodes do by themselves: they ask for each other, and what they run writes.

use usher_domain::ownership::keeping::Word;

use crate::node::name;
use crate::thing::{Statement, Thing};
use crate::world::World;

/// How often a node finds out whether those it takes for owners answer.
const PROBE_EVERY: u64 = 250;

impl World {
    /// What a node is asked for it asks of those it takes for owners: it doubts those that do not answer, and
    /// some of the others, that say they are not.
    pub(crate) fn probe(&mut self, at: usize) {
        self.put(PROBE_EVERY, Thing::Probe(at));
        if self.nodes[at].is_paused(self.now) {
            return;
        }
        for service in self.services() {
            let node = &self.nodes[at];
            if node.runs.contains_key(&service) {
                continue;
            }
            let there = node.keeping.elsewhere(service).map(name).and_then(|name| self.named(name));
            let answers = there.map(|there| &self.nodes[there]).is_some_and(|there| {
                !there.is_paused(self.now) && self.now >= node.wires.cut.max(there.wires.cut)
            });
            let runs = there.is_some_and(|there| self.nodes[there].runs.contains_key(&service));
            if !answers || (!runs && self.random.chance(50)) {
                self.tell(self.nodes[at].name, Word::Doubted { service });
            }
        }
    }

    /// What runs writes while it is let; what a pause has cut in two goes on after it, whatever became
    /// of the lease: this is what the store is asked to refuse.
    pub(crate) fn write(&mut self, at: usize) {
        let pause = self.random.between(20, 200);
        self.put(pause, Thing::Write(at));
        let services = self.services();
        let Some(service) = self.random.pick(&services) else { return };
        let node = &self.nodes[at];
        if let Some(epoch) =
            node.acts(self.now, service).filter(|_| node.runs.contains_key(&service))
        {
            let (from, late) = (node.name, node.wires.late.0);
            let asleep = node.paused_until.saturating_sub(self.now);
            let takes = asleep + self.random.between(1, late);
            let what = Statement::Commit { service, epoch: epoch.0 };
            self.put(takes, Thing::AtStore { from, what });
        }
    }
}
