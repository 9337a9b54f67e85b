//! The sandbox's one clock and its one source of chance; both keep running forward only.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Unix time that never steps back: read once at the start, monotonic from there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    started: Instant,
    started_ms: u64,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "a program of its own, judged by real time")]
    pub(crate) fn start() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { started: Instant::now(), started_ms: millis(since) }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.started_ms + millis(self.started.elapsed())
    }

    pub(crate) const fn started_ms(&self) -> u64 {
        self.started_ms
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// `SplitMix64`: small, seeded, and the same on every machine.
#[derive(Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Both ends included; `low` when the range is upside down.
    pub(crate) const fn between(&mut self, low: u64, high: u64) -> u64 {
        if high <= low {
            return low;
        }
        low + self.next() % (high - low + 1)
    }

    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        let draw = u32::try_from(self.next() >> 32).unwrap_or(u32::MAX);
        f64::from(draw) / (f64::from(u32::MAX) + 1.0) < probability
    }
}

/// A token bucket on the sandbox's clock.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    capacity: f64,
    per_ms: f64,
    level: f64,
    at_ms: u64,
}

impl Bucket {
    pub(crate) fn new(capacity: u32, every: Duration) -> Self {
        let capacity = f64::from(capacity);
        Self { capacity, per_ms: 1.0 / (every.as_secs_f64() * 1000.0), level: capacity, at_ms: 0 }
    }

    fn refill(&mut self, now_ms: u64) {
        let passed = u32::try_from(now_ms.saturating_sub(self.at_ms)).unwrap_or(u32::MAX);
        self.level = f64::from(passed).mul_add(self.per_ms, self.level).min(self.capacity);
        self.at_ms = now_ms;
    }

    /// Whether a token is there to take; takes none.
    pub(crate) fn ready(&mut self, now_ms: u64) -> bool {
        self.refill(now_ms);
        self.level >= 1.0
    }

    /// Takes one token, if need be on credit down to nothing left.
    pub(crate) fn spend(&mut self, now_ms: u64) {
        self.refill(now_ms);
        self.level = (self.level - 1.0).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let mut bucket = Bucket::new(45, Duration::from_secs(6));
        for _ in 0..45 {
            assert!(bucket.ready(1_000));
            bucket.spend(1_000);
        }
        assert!(!bucket.ready(6_900));
        assert!(bucket.ready(7_000));
        bucket.spend(7_000);
        assert!(!bucket.ready(12_900));
    }

    #[test]
    fn chance_repeats_with_its_seed() {
        let draw = |seed| {
            let mut chance = Chance::new(seed);
            (0..8).map(|_| chance.between(3, 9)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert!(draw(7).iter().all(|n| (3..=9).contains(n)));
        assert!(Chance::new(1).happens(1.0) && !Chance::new(1).happens(0.0));
    }
}
