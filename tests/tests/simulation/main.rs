//! Runs the floor through whole days of trouble, one seed at a time.
//!
//! Every choice comes from the seed: `SEED=n cargo test -p usher-tests --test simulation -- --nocapture`
//! replays one, aloud; `SEEDS=n` sets how many are run.

#![expect(clippy::similar_names, reason = "a case and the cause of a turn meet everywhere")]
#![expect(clippy::print_stderr, reason = "a failing run must name its seed")]

mod acts;
mod answers;
mod calendar;
mod checker;
mod clocks;
mod coverage;
mod decided;
mod life;
mod model;
mod named;
mod offers;
mod promises;
mod random;
mod shapes;
mod split;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use coverage::Coverage;
use world::World;

const SEEDS_PER_RUN: u64 = 10_000;
const STEPS_PER_SEED: u32 = 500;
/// One seed in so many is run twice, to see the same again.
const REPLAYED: u64 = 16;
const THREADS: usize = 2;

#[test]
fn no_seed_breaks_a_promise() {
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
    eprintln!("{seeds} seeds of {STEPS_PER_SEED} steps\n{}", coverage.table());
    assert!(coverage.unlisted().is_empty(), "not in the table: {:?}", coverage.unlisted());
    if seeds >= 1_000 {
        let empty = coverage.empty_rows();
        assert!(empty.is_empty(), "no longer simulated: {empty:?}");
    }
}

fn take_seeds(next: &AtomicU64, seeds: u64) -> Coverage {
    let mut coverage = Coverage::default();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= seeds {
            return coverage;
        }
        let world = run(seed, false);
        coverage.add(world.coverage());
        if seed.is_multiple_of(REPLAYED) {
            let again = run(seed, false);
            assert_eq!(world.digest(), again.digest(), "R9: SEED={seed} went another way");
            coverage.hit("replayed");
        }
    }
}

fn run(seed: u64, spoken: bool) -> World {
    let guard = NameSeedOnPanic(seed);
    let mut world = World::new(seed, spoken);
    for _ in 0..STEPS_PER_SEED {
        world.step();
    }
    world.finish();
    drop(guard);
    world
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
