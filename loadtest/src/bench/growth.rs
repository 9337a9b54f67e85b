//! P6 and P8: what a live enquiry takes in memory, and whether a message costs more where many are
//! live; beside a small house in the same run.
//!
//! The past is written down, and at each size the program starts over it with everybody back: what
//! is measured is what is live, not what was told on the way there.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Options;
use super::busy::Busy;
use crate::house::Node;
use crate::measure::compare::{Comparison, Turn};
use crate::measure::process::Memory;
use crate::measure::show::{Goal, Report, number};
use crate::measure::{Metric, Place, Plan, Reading, alternate};
use crate::plot::{self, Frame, Series};

const SMALL: u64 = 1_000;
const CONNECTIONS: usize = 64;
const SLICE: Duration = Duration::from_millis(400);
/// Buffers of the start are given back meanwhile.
const SETTLE: Duration = Duration::from_secs(3);

/// What was found at one size.
struct Found {
    live: u64,
    memory: Memory,
    told: Comparison,
}

pub(super) async fn run(options: &Options) -> anyhow::Result<()> {
    let mut report = Report::begin("P6 and P8 Growth", &options.command("growth"));
    let most = options.live(20_000, 1_000_000);
    let sizes = [SMALL, most / 100, most / 10, most / 3, most];
    let sizes = sizes.into_iter().filter(|size| *size >= SMALL).collect::<BTreeSet<_>>();
    let open = async || Busy::open(&options.binary, Node::default(), SMALL, CONNECTIONS).await;
    let (mut big, mut small, mut twin) = (open().await?, open().await?, open().await?);
    for side in [&small, &twin] {
        side.settle().await?;
    }
    let mut curve: Vec<Found> = Vec::new();
    for live in sizes {
        big.thaw()?;
        big.crowd.grow(live).await?;
        big.crowd.rest().await?;
        big.reconnect().await?;
        tokio::time::sleep(SETTLE).await;
        // Before anybody writes again: what is said fills the feeds, whatever is live.
        let memory = big.crowd.house.process().memory()?;
        for side in [&big, &small, &twin] {
            side.settle().await?;
        }
        let blocks = if live == most { options.either(5, 20) } else { 5 };
        let plan = Plan { place: Place::OverSockets, blocks, slice: SLICE };
        let told = alternate(plan, async |turn, span| match turn {
            Turn::Ours => big.turn(span).await,
            Turn::Ceiling => small.turn(span).await,
            Turn::Twin => twin.turn(span).await,
        });
        curve.push(Found { live, memory, told: told.await? });
        tell_cost(&curve, most, &mut report);
    }
    tell_memory(&curve, &mut report);
    options.draw("growth-memory", &drawn_memory(&curve))?;
    options.draw("growth-cost", &drawn_cost(&curve))?;
    report.end();
    Ok(())
}

/// The newest of the curve; the largest size is the one with a goal.
fn tell_cost(curve: &[Found], most: u64, report: &mut Report) {
    let Some(Found { live, told, .. }) = curve.last() else { return };
    report.sides(&format!("{live} live: CPU per message"), told, Metric::Cpu);
    let goal = (*live == most).then_some(Goal::AtMost(1.25));
    report.ratio(&format!("CPU, {live} live / {SMALL} live"), told, Metric::Cpu, goal);
}

fn tell_memory(curve: &[Found], report: &mut Report) {
    for Found { live, memory, .. } in curve {
        let (heap, all) = (mib(memory.anonymous), mib(memory.resident));
        report.text(&format!("{live} live: memory"), format!("{heap:.0} MiB (resident {all:.0})"));
    }
    if let (Some(first), Some(last)) = (curve.first(), curve.last()) {
        let grown = last.memory.anonymous.saturating_sub(first.memory.anonymous) as f64;
        let each = grown / last.live.saturating_sub(first.live).max(1) as f64;
        report.figure("memory per live enquiry", each / 1e3, "KB", Some(Goal::AtMost(1.6)));
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn drawn_memory(curve: &[Found]) -> String {
    let ticks = curve.iter().map(|found| (found.live as f64, number(found.live as f64)));
    // The small ones would stand on each other.
    let ticks = ticks.skip(curve.len().saturating_sub(3)).collect();
    let frame = Frame { ticks, unit: " MiB", ..Frame::default() };
    let line = |name: &str, colour, of: fn(&Memory) -> u64| Series {
        name: name.to_owned(),
        colour,
        points: curve.iter().map(|found| (found.live as f64, mib(of(&found.memory)))).collect(),
    };
    let both = [
        line("heap and stacks", 0, |memory| memory.anonymous),
        line("resident, pages of files included", 5, |memory| memory.resident),
    ];
    plot::figure("Memory over live enquiries", &frame, &both)
}

fn drawn_cost(curve: &[Found]) -> String {
    let at = |live: u64| (live as f64).log10();
    let ticks = curve.iter().map(|found| (at(found.live), number(found.live as f64))).collect();
    let mark = Some((1.25, "goal at the largest".to_owned()));
    let frame = Frame { ticks, mark, unit: " ×", ..Frame::default() };
    let points = curve.iter().filter_map(|found| match found.told.reading(Metric::Cpu) {
        Reading::Ratio(ratio) => Some((at(found.live), ratio.value)),
        Reading::None => None,
    });
    let ours = Series {
        name: format!("CPU per message, beside {SMALL} live"),
        colour: 0,
        points: points.collect(),
    };
    let control = Series {
        name: "the small house beside itself".to_owned(),
        colour: 5,
        points: curve
            .iter()
            .map(|found| (at(found.live), found.told.control(Metric::Cpu).value))
            .collect(),
    };
    plot::figure("Cost of a message over live enquiries", &frame, &[ours, control])
}
