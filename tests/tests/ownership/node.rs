//! One node: its clock, what it keeps, and what runs under it.

use std::collections::BTreeMap;
use std::time::Duration;

use usher_domain::ids::ServiceId;
use usher_domain::ownership::Epoch;
use usher_domain::ownership::keeping::{Deed, Keeping, Word};
use usher_domain::ownership::lease::{Lease, Stage, Terms};
use usher_domain::ownership::placement::NodeId;
use usher_domain::time::Timestamp;

/// Messages on a quick wire take no more, there and back.
pub(crate) const QUICK: (u64, u64) = (20, 20);

/// What the wires of a node do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wires {
    /// Until when it alone reaches no Redis, …
    pub(crate) redis_cut: u64,
    /// … no store, …
    pub(crate) store_cut: u64,
    /// … nothing.
    pub(crate) cut: u64,
    /// Its messages take up to so long, there and back.
    pub(crate) late: (u64, u64),
}

pub(crate) struct Node {
    /// Which start of which node; unique over the run.
    pub(crate) name: u64,
    pub(crate) keeping: Keeping,
    /// What runs, and under which epoch.
    pub(crate) runs: BTreeMap<ServiceId, Epoch>,
    pub(crate) paused_until: u64,
    pub(crate) wires: Wires,
    /// It was told to leave.
    pub(crate) leaves: bool,
    /// The sign of the store that it waits for.
    pub(crate) sign: Option<u64>,
    /// Thousandths of true time that pass on its clock for a thousandth.
    rate: u64,
    ahead: u64,
}

/// How nodes know a node.
pub(crate) fn id(name: u64) -> NodeId {
    NodeId(format!("{name}").into())
}

pub(crate) fn name(id: &NodeId) -> u64 {
    id.0.parse().expect("nodes are numbered")
}

impl Node {
    pub(crate) fn new(
        (name, now): (u64, u64),
        (terms, settled): (Terms, u64),
        services: impl IntoIterator<Item = ServiceId>,
        (rate, ahead): (u64, u64),
    ) -> Self {
        let clock = Timestamp::from_millis(ahead + now * rate / 1_000);
        let settled = Duration::from_millis(settled);
        Self {
            name,
            keeping: Keeping::new(clock, (id(name), settled), terms, services),
            runs: BTreeMap::new(),
            paused_until: now,
            wires: Wires { redis_cut: 0, store_cut: 0, cut: 0, late: QUICK },
            leaves: false,
            sign: None,
            rate,
            ahead,
        }
    }

    pub(crate) fn clock(&self, now: u64) -> Timestamp {
        Timestamp::from_millis(self.ahead + now * self.rate / 1_000)
    }

    /// When, in true time, its clock has come to `at`.
    pub(crate) fn when(&self, at: Timestamp) -> u64 {
        (at.millis().saturating_sub(self.ahead) * 1_000).div_ceil(self.rate)
    }

    pub(crate) const fn come_to_peace(&mut self, now: u64) {
        self.paused_until = now;
        self.wires = Wires { redis_cut: 0, store_cut: 0, cut: 0, late: QUICK };
    }

    pub(crate) fn is_paused(&self, now: u64) -> bool {
        now < self.paused_until
    }

    pub(crate) fn acts(&self, now: u64, service: ServiceId) -> Option<Epoch> {
        self.keeping.lease(service)?.acts(self.clock(now))
    }

    pub(crate) fn owns(&self, service: ServiceId) -> bool {
        let stage = self.keeping.lease(service).map(Lease::stage);
        matches!(stage, Some(Stage::Owning { .. })) && self.runs.contains_key(&service)
    }

    /// How many are on their way to others.
    pub(crate) fn hands_over(&self) -> usize {
        let leases = self.keeping.services().filter_map(|service| self.keeping.lease(service));
        leases.filter(|lease| matches!(lease.stage(), Stage::HandingOver { .. })).count()
    }

    pub(crate) fn hear(&mut self, now: u64, word: Word) -> Vec<Deed> {
        let mut deeds = Vec::new();
        self.keeping.hear(self.clock(now), word, &mut deeds);
        deeds
    }

    pub(crate) fn wake(&mut self, now: u64) -> Vec<Deed> {
        let mut deeds = Vec::new();
        self.keeping.expire(self.clock(now), &mut deeds);
        deeds
    }
}
