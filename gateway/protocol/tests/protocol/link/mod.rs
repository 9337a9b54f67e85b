//! Both ends of the feed over a link that loses connections, frames and servers.
//!
//! Whatever happens, what the client has applied is at every moment exactly what the server had
//! pushed up to that number; and a keyed sending is executed once.

mod app;
mod server;
mod world;

use std::thread;

use world::{Tally, World};

const SEEDS: u64 = 4_000;
const STEPS: u32 = 300;
const THREADS: u64 = 2;

#[test]
fn a_feed_is_gapless_over_a_lossy_link() {
    let tally = thread::scope(|scope| {
        let runs: Vec<_> = (0..THREADS)
            .map(|first| scope.spawn(move || (first..SEEDS).step_by(2).map(run).sum::<Tally>()))
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).sum::<Tally>()
    });
    tally.assert_everything_happened();
}

fn run(seed: u64) -> Tally {
    let guard = SayOnPanic(seed);
    let tally = World::new(seed).run(STEPS);
    drop(guard);
    tally
}

/// Names the seed of a run that failed.
struct SayOnPanic(u64);

impl Drop for SayOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("SEED={}", self.0);
        }
    }
}
