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

use std::cell::RefCell;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures_util::future::join_all;
use tokio::signal::unix::{SignalKind, signal};
use usher_sandbox::{ReceiptsOptions, Sandbox, SandboxHandle, SandboxOptions};

use crate::house::Binary;
use crate::measure;
use service::{Kind, Service, Terms};
use table::Row;
use trials::{Speed, Stand};

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

/// Runs it. What was found is told also when a part fails or all of it is cut short.
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
        let findings = Findings::of(&kinds);
        let cut = tokio::select! {
            done = compare(&args, &kinds, &usher, &findings) => done,
            cut = cut_short() => cut,
        };
        findings.tell(&args);
        cut?;
        findings.is_whole()
    })
}

/// Ends with an error when somebody wants it to end.
async fn cut_short() -> anyhow::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed?,
        _ = terminated.recv() => {}
    }
    bail!("cut short")
}

async fn compare(
    args: &Args,
    kinds: &[Kind],
    usher: &Path,
    findings: &Findings,
) -> anyhow::Result<()> {
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
        let kind = service.kind;
        println!("starting {}", kind.name());
        match Stand::open(service, &terms, &provider).await {
            Ok(stand) => stands.push(stand),
            Err(error) => findings.failed(kind, "start", &error),
        }
    }
    let long = Duration::from_secs(args.seconds);
    for round in 0..args.rounds {
        println!("round {} of {}", round + 1, args.rounds);
        for stand in &stands {
            let mut speed = findings.take_speed(stand.service.kind);
            stand.round(long, args.rate, &mut speed).await;
            findings.keep_speed(stand.service.kind, speed);
        }
        // Nobody is always first, or always after the same.
        stands.reverse();
    }
    println!("lost connections and {} kills of each, and timers across a kill", args.kills);
    // All at once: from here on nothing is timed but the timers themselves.
    let faiths = stands.into_iter().map(|stand| faith(args, stand, findings));
    let (_, silences) = tokio::join!(join_all(faiths), silences(args, usher, kinds, findings));
    sandbox.stop().await;
    silences
}

async fn faith(args: &Args, mut stand: Stand, findings: &Findings) {
    let kind = stand.service.kind;
    let times = if args.brief { 3 } else { 5 };
    match stand.reconnects(args.rate / 2, times).await {
        Ok(missed) => findings.row(kind, |row| row.missed = Some(missed)),
        Err(error) => findings.failed(kind, "lost connections", &error),
    }
    match stand.kills(args.kills, args.rate / 2).await {
        Ok(faith) => findings.row(kind, |row| row.faith = Some(faith)),
        Err(error) => findings.failed(kind, "kills", &error),
    }
    stand.close().await;
}

async fn silences(
    args: &Args,
    usher: &Path,
    kinds: &[Kind],
    findings: &Findings,
) -> anyhow::Result<()> {
    const VISITORS: u64 = 60;
    let (idle, grace) = (Duration::from_secs(4), Duration::from_secs(2));
    let terms = Terms { agents: 12, capacity: args.capacity.max(5), idle, grace };
    let (services, sandbox) = set_up(kinds, &terms, usher)?;
    let runs = services.into_iter().map(async |service| {
        let kind = service.kind;
        match trials::silence(service, &terms, &sandbox, VISITORS).await {
            Ok(silence) => findings.row(kind, |row| row.silence = Some(silence)),
            Err(error) => findings.failed(kind, "timers across a kill", &error),
        }
    });
    join_all(runs).await;
    sandbox.stop().await;
    Ok(())
}

/// What is known so far.
struct Findings {
    rows: RefCell<Vec<Row>>,
    failures: RefCell<Vec<String>>,
}

impl Findings {
    fn of(kinds: &[Kind]) -> Self {
        let rows = kinds.iter().copied().map(Row::of).collect();
        Self { rows: RefCell::new(rows), failures: RefCell::default() }
    }

    fn row(&self, kind: Kind, note: impl FnOnce(&mut Row)) {
        if let Some(row) = self.rows.borrow_mut().iter_mut().find(|row| row.kind == kind) {
            note(row);
        }
    }

    fn take_speed(&self, kind: Kind) -> Speed {
        let mut speed = Speed::default();
        self.row(kind, |row| std::mem::swap(&mut row.speed, &mut speed));
        speed
    }

    fn keep_speed(&self, kind: Kind, speed: Speed) {
        self.row(kind, |row| row.speed = speed);
    }

    fn failed(&self, kind: Kind, what: &str, error: &anyhow::Error) {
        self.failures.borrow_mut().push(format!("{}: {what}: {error:#}", kind.name()));
    }

    fn tell(&self, args: &Args) {
        let rows = self.rows.borrow();
        println!(
            "\nSpeed ({} rounds of {} s, 128 connections; latencies at {} messages/s, from when each was due)\n",
            args.rounds, args.seconds, args.rate
        );
        println!("{}", table::speed(&rows));
        println!(
            "Faith ({} SIGKILLs each under load, program and store together; the provider posts again what got no 200)\n",
            args.kills
        );
        println!("{}", table::faith(&rows));
        for failure in self.failures.borrow().iter() {
            println!("**Failed**: {failure}");
        }
    }

    fn is_whole(&self) -> anyhow::Result<()> {
        let failures = self.failures.borrow().len();
        ensure!(failures == 0, "{failures} parts failed");
        Ok(())
    }
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
