//! Runs one service on several nodes through pauses, lost and late wires, wrong clocks and a Redis that
//! forgets, one seed at a time.
//!
//! - **O1** One owner per epoch: no two nodes ever act under the same.
//! - **O2** The store accepts no commit of a node whose epoch another has passed.
//! - **O3** At most one node acts at a time, while clocks run within a tenth of true and Redis was not
//!   replaced by an older copy of itself.
//!   What was granted beside a hold in the store ends before it (H1 of `ownership::lease`).
//! - **O4** Left in peace, somebody owns the service within three leases, and one alone.
//! - **O5** While Redis alone is gone, however long, the owner goes on; two seconds after it is back, as it was
//!   or empty, it knows the owner again.
//!
//! `SEED=n cargo test -p usher-tests --test ownership -- --nocapture` replays one, aloud; `SEEDS=n` sets
//! how many are run.

#![expect(clippy::print_stderr, reason = "a failing run must name its seed")]

mod coverage;
mod node;
#[path = "../simulation/random.rs"]
#[expect(dead_code, reason = "shared with the other simulation, which uses all of it")]
mod random;
mod servers;
mod thing;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use coverage::Coverage;
use world::World;

const SEEDS_PER_RUN: u64 = 10_000;
const THREADS: usize = 2;

#[test]
fn no_seed_has_two_owners() {
    if let Some(seed) = number_from("SEED") {
        run(seed, true);
        return;
    }
    let seeds = number_from("SEEDS").unwrap_or(SEEDS_PER_RUN);
    let next = AtomicU64::new(0);
    let mut coverage = Coverage::default();
    thread::scope(|scope| {
        let threads: Vec<_> =
            (0..THREADS).map(|_| scope.spawn(|| take_seeds(&next, seeds))).collect();
        for thread in threads {
            coverage.add(&thread.join().expect("a promise was broken; its seed is above"));
        }
    });
    eprintln!("{seeds} seeds: {coverage:?}");
    assert!(seeds < 1_000 || coverage.is_whole(), "no longer simulated: {coverage:?}");
}

#[test]
fn an_owner_outlives_redis() {
    for seed in 0..1_000 {
        let guard = NameSeedOnPanic(seed);
        World::new(seed, false).outlive_redis();
        drop(guard);
    }
}

fn take_seeds(next: &AtomicU64, seeds: u64) -> Coverage {
    let mut coverage = Coverage::default();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= seeds {
            return coverage;
        }
        coverage.add(&run(seed, false));
    }
}

fn run(seed: u64, spoken: bool) -> Coverage {
    let guard = NameSeedOnPanic(seed);
    let coverage = World::new(seed, spoken).run();
    drop(guard);
    coverage
}

#[expect(clippy::disallowed_methods, reason = "the seeds to run are given by the developer")]
fn number_from(variable: &str) -> Option<u64> {
    let number = std::env::var(variable).ok()?;
    Some(number.parse().expect("a number of seeds, or one seed"))
}

struct NameSeedOnPanic(u64);

impl Drop for NameSeedOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("failed with SEED={}", self.0);
        }
    }
}
