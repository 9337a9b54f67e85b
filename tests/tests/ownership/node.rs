//! One node: its clock, its lease, and what runs under it.

use std::time::Duration;

use usher_domain::ownership::Epoch;
use usher_domain::ownership::lease::{Command, Effect, Lease, Terms};
use usher_domain::time::Timestamp;

/// Messages on a quick wire take no more, there and back.
pub(crate) const QUICK: (u64, u64) = (20, 20);

pub(crate) struct Node {
    /// Which start of which node; unique over the run.
    pub(crate) name: u64,
    pub(crate) lease: Lease,
    /// What runs, under which epoch, and until when it takes to stop.
    pub(crate) runs: Option<Epoch>,
    pub(crate) paused_until: u64,
    /// Until when it alone reaches no Redis.
    pub(crate) redis_cut: u64,
    /// Until when it alone reaches nothing.
    pub(crate) cut: u64,
    /// Its messages take up to so long, there and back.
    pub(crate) late: (u64, u64),
    /// Thousandths of true time that pass on its clock for a thousandth.
    rate: u64,
    ahead: u64,
}

impl Node {
    pub(crate) fn new(name: u64, now: u64, terms: Terms, rate: u64, ahead: u64) -> Self {
        let mut node = Self {
            name,
            lease: Lease::new(Timestamp::default(), terms),
            runs: None,
            paused_until: now,
            redis_cut: 0,
            cut: 0,
            late: QUICK,
            rate,
            ahead,
        };
        node.lease = Lease::new(node.clock(now), terms);
        node
    }

    pub(crate) fn clock(&self, now: u64) -> Timestamp {
        Timestamp::from_millis(self.ahead + now * self.rate / 1_000)
    }

    /// When, in true time, its clock has come to `at`.
    pub(crate) fn when(&self, at: Timestamp) -> u64 {
        (at.millis().saturating_sub(self.ahead) * 1_000).div_ceil(self.rate)
    }

    pub(crate) const fn come_to_peace(&mut self, now: u64) {
        (self.paused_until, self.redis_cut, self.cut, self.late) = (now, 0, 0, QUICK);
    }

    pub(crate) fn is_paused(&self, now: u64) -> bool {
        now < self.paused_until
    }

    pub(crate) fn acts(&self, now: u64) -> Option<Epoch> {
        self.lease.acts(self.clock(now))
    }

    pub(crate) fn hear(&mut self, now: u64, command: Command) -> (Vec<Effect>, bool) {
        let mut effects = Vec::new();
        let taken = self.lease.apply(self.clock(now), command, &mut effects).is_ok();
        (effects, taken)
    }

    pub(crate) fn wake(&mut self, now: u64) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.lease.expire(self.clock(now), &mut effects);
        effects
    }

    pub(crate) fn want(&mut self, now: u64, patience: u64) -> Vec<Effect> {
        self.hear(now, Command::Want { patience: Duration::from_millis(patience) }).0
    }
}
