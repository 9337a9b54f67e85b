//! Runs several services on several nodes through pauses, lost and late wires, wrong clocks, a Redis that
//! forgets and nodes that come and go, one seed at a time.
//!
//! - **O1** One owner per epoch: no two nodes ever act under the same.
//! - **O2** The store accepts no commit of a node whose epoch another has passed.
//! - **O3** At most one node acts at a time, while clocks run within a tenth of true and Redis was not
//!   replaced by an older copy of itself.
//!   What was granted beside a hold in the store ends before it (H1 of `ownership::lease`).
//! - **O4** Left in peace, somebody owns each service within three leases, and one alone.
//! - **O5** While Redis alone is gone, however long, the owner goes on; two seconds after it is back, as it was
//!   or empty, it knows the owner again.
//! - **O6** Left in peace, each service comes to lie where it should, one after the other, and then stays. A node
//!   that comes, goes or is not answered by the store moves what is its own, once, and nothing else.
//! - **O7** Of an owner that dies the next in the draw acts within 1.2 leases; where that one is gone, or stands
//!   still, the one after it, no later.
//! - **O8** Who leaves begins nothing more, runs nothing once it is drained, and others have what it had.
//! - **O9** In peace the number of nodes hardly matters for how often is asked whose a service is.
//!
//! `SEED=n cargo test -p usher-tests --test ownership -- --nocapture` replays one, aloud; `SEEDS=n` sets
//! how many are run.

#![expect(clippy::print_stderr, reason = "a failing run must name its seed")]

mod coverage;
mod faults;
mod node;
mod peace;
#[path = "../simulation/random.rs"]
mod random;
mod servers;
mod thing;
mod work;
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
        World::new(seed, (3, 3), false).outlive_redis();
        drop(guard);
    }
}

#[test]
fn the_next_one_takes_over_whoever_has_gone() {
    each_of(1_500, |world, seed| world.lose_the_first(1 + usize::try_from(seed % 3).unwrap_or(0)));
}

#[test]
fn who_leaves_ends_with_nothing_and_who_comes_gets_its_share() {
    each_of(1_000, |world, _| world.leave_and_come());
}

#[test]
fn a_node_that_the_store_answers_now_and_then_does_not_have_everything_moved_each_time() {
    each_of(500, |world, _| world.not_answered_again_and_again());
}

#[test]
fn redis_is_asked_by_few_however_many_there_are() {
    for nodes in [2, 4, 8, 16] {
        let each = World::new(7, (nodes, 6), false).questions_in_peace();
        eprintln!("{nodes} nodes: {each:.2} questions a second about each service");
        assert!(each < 3.5, "O9: {nodes} nodes ask {each} times a second");
    }
}

fn each_of(seeds: u64, scenario: impl Fn(World, u64)) {
    if let Some(seed) = number_from("SEED") {
        return scenario(World::new(seed, (4, 4), true), seed);
    }
    let seeds = number_from("SEEDS").map_or(seeds, |given| given.min(seeds));
    for seed in 0..seeds {
        let guard = NameSeedOnPanic(seed);
        scenario(World::new(seed, (4, 4), false), seed);
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
    let coverage = World::new(seed, (3, 3), spoken).run();
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
