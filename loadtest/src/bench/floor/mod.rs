//! P3: the pure machines beside the same policy as straight-line code: how many events a second one
//! core decides, and what the machines' promises cost on top of the arithmetic.
//!
//! An event is a step that changes state. A round is five of them: opened and offered, picked up,
//! the visitor writes, we write, closed.

mod pure;
pub(super) mod scale;
mod straight;

use std::time::{Duration, Instant};

use usher_domain::settings::Method;

use super::Options;
use crate::measure::compare::Turn;
use crate::measure::show::{Goal, Report};
use crate::measure::{Metric, Place, Plan, Slice, alternate};

const SLICE: Duration = Duration::from_millis(50);
/// Rounds between two looks at the clock.
const ROUNDS: u64 = 50;
const EVENTS_A_ROUND: u64 = 5;
pub(super) const GROUPS: u64 = 50;
pub(super) const MEMBERS: u64 = 20;

const METHODS: [(&str, Method); 5] = [
    ("simultaneous", Method::Simultaneous),
    ("fixed order", Method::FixedOrder),
    ("round robin", Method::RoundRobin),
    ("most idle", Method::MostIdle),
    ("least loaded", Method::LeastLoaded),
];

/// A policy under load.
trait Policy {
    /// Opens one in a group, has it picked up, written to, answered and closed.
    fn round(&mut self, number: u64);
}

pub(super) async fn run(options: &Options) -> anyhow::Result<()> {
    let mut report = Report::begin("P3 The rules", &options.command("floor"));
    let sizes: &[u64] = options.either(&[1_000], &[1_000, 100_000]);
    for live in sizes {
        for (name, method) in METHODS {
            let what = format!("{name}, {live} live");
            let mut ours = pure::Pure::new(method, *live);
            let mut ceiling = straight::Straight::new(method, *live);
            let mut twin = straight::Straight::new(method, *live);
            let plan =
                Plan { place: Place::InProcess, blocks: options.either(5, 20), slice: SLICE };
            let told = alternate(plan, async |turn, span| match turn {
                Turn::Ours => slice(&mut ours, span),
                Turn::Ceiling => slice(&mut ceiling, span),
                Turn::Twin => slice(&mut twin, span),
            });
            let told = told.await?;
            let rate = Metric::Rate.of(&told.ours());
            let least = Some(Goal::AtLeast(500_000.0));
            report.figure(&format!("{what}: events/s a core"), rate, "", least);
            let goal = Some(Goal::AtLeast(0.35));
            report.ratio(&format!("{what}: / straight-line"), &told, Metric::Rate, goal);
        }
    }
    report.end();
    Ok(())
}

/// By time on a core: what else runs on the machine does not count.
fn slice(policy: &mut impl Policy, span: Duration) -> anyhow::Result<Slice> {
    let (began, on_core) = (Instant::now(), on_core()?);
    let mut rounds = 0;
    while began.elapsed() < span {
        for _ in 0..ROUNDS {
            policy.round(rounds);
            rounds += 1;
        }
    }
    let cpu = self::on_core()?.saturating_sub(on_core);
    Ok(Slice { operations: rounds * EVENTS_A_ROUND, wall: cpu, cpu })
}

fn on_core() -> anyhow::Result<Duration> {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = told.split(' ').next().unwrap_or_default().parse()?;
    Ok(Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than all have room for, were a closing to free none.
    const MANY: u64 = GROUPS * MEMBERS * 10;

    /// Both must do the whole of the work, or the ratio says nothing.
    #[test]
    fn both_do_the_same_rounds() {
        for method in [Method::Simultaneous, Method::RoundRobin, Method::LeastLoaded] {
            let mut pure = pure::Pure::new(method, 1_000);
            let mut straight = straight::Straight::new(method, 1_000);
            assert_eq!((pure.live(), straight.live()), (1_000, 1_000), "{method:?}");
            for number in 0..MANY {
                pure.round(number);
                straight.round(number);
            }
            assert_eq!((pure.live(), straight.live()), (1_000, 1_000), "{method:?}");
            assert_eq!((pure.taken, straight.taken), (MANY, MANY), "{method:?}");
        }
    }
}
