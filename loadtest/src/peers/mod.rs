//! Usher beside what a team would build instead: the same work over real HTTP and real sockets, on the
//! same machine in the same run.

mod agents;
mod book;
mod desk;
mod install;
mod poster;
mod service;
mod settings;
mod table;
mod trials;

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use usher_sandbox::{ReceiptsOptions, Sandbox, SandboxHandle, SandboxOptions};

use crate::house::Binary;
use crate::measure;
use service::{Kind, Service, Terms};
use table::Row;
use trials::{Faith, Fired, Speed, Stand};

/// Usher beside what a team would build instead.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Agents at the sockets.
    #[arg(long, default_value_t = 40)]
    agents: usize,
    /// Live enquiries each may hold.
    #[arg(long, default_value_t = 5)]
    capacity: usize,
    /// Messages per second where latencies are read.
    #[arg(long, default_value_t = 300)]
    rate: u32,
    /// Rounds; each service has its turn in each, the order turns around.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds of each half of a turn.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Times each service is killed.
    #[arg(long, default_value_t = 5)]
    kills: u32,
    /// A quick look: two short rounds, two kills.
    #[arg(long)]
    brief: bool,
    /// Only these, by name.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    #[command(flatten)]
    binary: Binary,
}

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut args = args.clone();
    if args.brief {
        (args.rounds, args.seconds, args.kills) = (2, 2, 2);
    }
    let wanted = |kind: &Kind| args.only.is_empty() || args.only.iter().any(|it| it == kind.name());
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(wanted).collect();
    for kind in &kinds {
        kind.install().with_context(|| format!("{} cannot be installed", kind.name()))?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let usher = args.binary.path()?;
    runtime.block_on(async {
        println!("{}", measure::machine::header());
        let rows = compare(&args, &kinds, &usher).await?;
        println!("\nSpeed ({} rounds of {} s, 128 connections; latencies at {} messages/s, from when each was due)\n",
            args.rounds, args.seconds, args.rate);
        println!("{}", table::speed(&rows));
        println!("Faith ({} SIGKILLs each under load, program and store together; the provider posts again what got no 200)\n", args.kills);
        println!("{}", table::faith(&rows));
        anyhow::Ok(())
    })
}

async fn compare(args: &Args, kinds: &[Kind], usher: &Path) -> anyhow::Result<Vec<Row>> {
    let half_an_hour = Duration::from_mins(30);
    let terms = Terms {
        agents: args.agents,
        capacity: args.capacity,
        idle: half_an_hour,
        grace: half_an_hour,
    };
    let (services, sandbox) = set_up(kinds, &terms, usher)?;
    let provider = sandbox.base_url();
    let mut stands = Vec::new();
    for service in services {
        println!("starting {}", service.kind.name());
        stands.push((Stand::open(service, &terms, &provider).await?, Speed::default()));
    }
    let long = Duration::from_secs(args.seconds);
    for round in 0..args.rounds {
        println!("round {} of {}", round + 1, args.rounds);
        for (stand, speed) in &mut stands {
            stand.round(long, args.rate, speed).await;
        }
        // Nobody is always first, or always after the same.
        stands.reverse();
    }
    let mut rows = Vec::new();
    for (mut stand, speed) in stands {
        let kind = stand.service.kind;
        println!("{}: lost connections, then {} kills", kind.name(), args.kills);
        let missed = stand.reconnects(args.rate / 2).await?;
        let faith = stand.kills(args.kills, args.rate / 2).await?;
        let faith = Faith { missed, ..faith };
        let (notified, closed) = (Fired::default(), Fired::default());
        rows.push(Row { kind, speed, faith, notified, closed });
        stand.close().await;
    }
    sandbox.stop().await;
    silences(args, usher, &mut rows).await?;
    rows.sort_by_key(|row| row.kind as u8);
    Ok(rows)
}

/// All at once: nothing is timed here but the timers themselves.
async fn silences(args: &Args, usher: &Path, rows: &mut [Row]) -> anyhow::Result<()> {
    const VISITORS: u64 = 60;
    println!("timers across a kill");
    let kinds: Vec<Kind> = rows.iter().map(|row| row.kind).collect();
    let (idle, grace) = (Duration::from_secs(4), Duration::from_secs(2));
    let terms = Terms { agents: 12, capacity: args.capacity.max(5), idle, grace };
    let (services, sandbox) = set_up(&kinds, &terms, usher)?;
    let runs =
        services.into_iter().map(|service| trials::silence(service, &terms, &sandbox, VISITORS));
    let fired = futures_util::future::try_join_all(runs).await?;
    for (row, (notified, closed)) in rows.iter_mut().zip(fired) {
        (row.notified, row.closed) = (notified, closed);
    }
    sandbox.stop().await;
    Ok(())
}

/// The services, and a local 360dialog that knows all their numbers.
fn set_up(
    kinds: &[Kind],
    terms: &Terms,
    usher: &Path,
) -> anyhow::Result<(Vec<Service>, SandboxHandle)> {
    let services: Vec<Service> = kinds
        .iter()
        .map(|&kind| Service::new(kind, terms, usher.to_owned()))
        .collect::<Result<_, _>>()?;
    let numbers = services.iter().map(Service::number).collect();
    let receipts = ReceiptsOptions { auto_read: false, ..ReceiptsOptions::default() };
    let options =
        SandboxOptions { numbers, receipts, time_scale: 0.05, ..SandboxOptions::default() };
    Ok((services, Sandbox::start(options)?))
}
