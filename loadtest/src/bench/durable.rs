//! P2: what durability costs: Usher as it is, beside Usher whose syncs succeed without asking the
//! disk.

use std::time::Duration;

use super::Options;
use super::busy::Busy;
use crate::house::{House, Node, shim};
use crate::measure::compare::Turn;
use crate::measure::show::{Goal, Report};
use crate::measure::{Metric, Place, Plan, alternate, disk};

const CONNECTIONS: usize = 128;
const SLICE: Duration = Duration::from_millis(500);

pub(super) async fn run(options: &Options) -> anyhow::Result<()> {
    let mut report = Report::begin("P2 Durable or not", &options.command("durable"));
    let scratch = options.binary.scratch()?;
    let nosync = shim::compile("nosync", scratch.path())?;
    let unsynced = || Node { preload: Some(nosync.clone()), ..Node::default() };
    let live = options.either(2_000, 20_000);
    let open = async |node| Busy::open(&options.binary, node, live, CONNECTIONS).await;
    let mut durable = open(Node::default()).await?;
    let (mut without, mut twin) = (open(unsynced()).await?, open(unsynced()).await?);
    let begun = batches(&durable.crowd.house).await?;
    let before = disk::sync_median(scratch.path())?;
    for side in [&durable, &without, &twin] {
        side.freeze()?;
    }
    let blocks = options.either(5, 20);
    let plan = Plan { place: Place::OverSockets, blocks, slice: SLICE };
    let told = alternate(plan, async |turn, span| match turn {
        Turn::Ours => durable.turn(span).await,
        Turn::Ceiling => without.turn(span).await,
        Turn::Twin => twin.turn(span).await,
    });
    let told = told.await?;
    let after = disk::sync_median(scratch.path())?;
    durable.thaw()?;
    report.sides("messages (ceiling: sync off)", &told, Metric::Rate);
    let goal = Some(Goal::AtLeast(0.80));
    report.ratio("durable / sync off", &told, Metric::Rate, goal);
    report.sides("server CPU per message", &told, Metric::Cpu);
    report.ratio("server CPU, durable / sync off", &told, Metric::Cpu, None);
    let ended = batches(&durable.crowd.house).await?;
    let (records, commits) = (ended.0 - begun.0, ended.1 - begun.1);
    report.figure("records per fsync", records / commits.max(1.0), "", None);
    report.text("fdatasync p50", super::disk_text(before, after));
    report.end();
    Ok(())
}

/// Records and commits until now.
async fn batches(house: &House) -> anyhow::Result<(f64, f64)> {
    let records = house.metric("usher_journal_batch_records_sum").await?;
    let commits = house.metric("usher_journal_batch_records_count").await?;
    Ok((records, commits))
}
