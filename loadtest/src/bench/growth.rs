//! P6 and P8: what a live enquiry takes in memory, and whether a message costs more where many are
//! live; beside a small house in the same run.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Options;
use super::busy::Busy;
use crate::house::Node;
use crate::measure::compare::Turn;
use crate::measure::process::Memory;
use crate::measure::show::{Goal, Report};
use crate::measure::{Metric, Place, Plan, alternate};

const SMALL: u64 = 1_000;
const CONNECTIONS: usize = 64;
const SLICE: Duration = Duration::from_millis(400);

pub(super) async fn run(options: &Options) -> anyhow::Result<()> {
    let mut report = Report::begin("P6 and P8 Growth", &options.command("growth"));
    let most = options.live(20_000, 1_000_000);
    let sizes = [SMALL, most / 100, most / 10, most / 3, most];
    let sizes = sizes.into_iter().filter(|size| *size >= SMALL).collect::<BTreeSet<_>>();
    let open = async || Busy::open(&options.binary, Node::default(), SMALL, CONNECTIONS).await;
    let (mut big, mut small, mut twin) = (open().await?, open().await?, open().await?);
    let mut curve: Vec<(u64, Memory)> = Vec::new();
    for size in &sizes {
        // Before anybody writes again: what is said fills the feeds, whatever is live.
        big.crowd.grow(*size).await?;
        curve.push((*size, big.crowd.house.process().memory()?));
    }
    for side in [&big, &small, &twin] {
        side.freeze()?;
    }
    let plan = Plan { place: Place::OverSockets, blocks: options.either(5, 20), slice: SLICE };
    let told = alternate(plan, async |turn, span| match turn {
        Turn::Ours => big.turn(span).await,
        Turn::Ceiling => small.turn(span).await,
        Turn::Twin => twin.turn(span).await,
    });
    let told = told.await?;
    let live = big.crowd.live;
    report.sides(&format!("{live} live: CPU per message"), &told, Metric::Cpu);
    let goal = Some(Goal::AtMost(1.25));
    report.ratio(&format!("CPU, {live} live / {SMALL} live"), &told, Metric::Cpu, goal);
    tell_memory(&curve, &mut report);
    report.end();
    Ok(())
}

fn tell_memory(curve: &[(u64, Memory)], report: &mut Report) {
    for (size, memory) in curve {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let (heap, all) = (mib(memory.anonymous), mib(memory.resident));
        report.text(&format!("{size} live: memory"), format!("{heap:.0} MiB (resident {all:.0})"));
    }
    if let (Some((few, first)), Some((many, last))) = (curve.first(), curve.last()) {
        let grown = last.anonymous.saturating_sub(first.anonymous) as f64;
        let each = grown / (many - few) as f64;
        report.figure("memory per live enquiry", each / 1e3, "KB", Some(Goal::AtMost(1.6)));
    }
}
