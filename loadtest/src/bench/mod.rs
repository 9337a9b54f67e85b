//! The benches: which claims there are, and what each is measured against.

mod aged;
mod busy;
mod crowd;
mod durable;
mod fanout;
mod floor;
mod growth;
mod idle;
mod ingest;
mod outbound;
mod plan;
mod push;
mod recovery;
mod slow;
mod storm;

use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use tokio::time::timeout;

use self::plan::How;
use crate::house::Binary;
use crate::measure::disk;

/// One bench by its name, or all of them.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    which: Which,
    /// Minutes for `all`: what does not fit whole runs in brief, what does not fit at all is left
    /// out, and which is which is said.
    #[arg(long, value_name = "MINUTES")]
    budget: Option<u64>,
    #[command(flatten)]
    options: Options,
}

/// How it is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Less of everything: to see that it works, not to be quoted.
    #[arg(long)]
    pub brief: bool,
    /// Live enquiries where a bench has many, instead of its own number.
    #[arg(long)]
    pub live: Option<u64>,
    /// Where curves are drawn, as SVG files.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub binary: Binary,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Which {
    /// P1: webhooks, durable and answered, beside a handler that only reads them.
    #[value(alias = "p1")]
    Ingest,
    /// P4: from the webhook to the frame that the right agent reads.
    #[value(alias = "p4")]
    Push,
    /// P2: what durability costs.
    #[value(alias = "p2")]
    Durable,
    /// P3: the pure machines beside the same policy as straight-line code.
    #[value(alias = "p3")]
    Floor,
    /// The pure machines where very many are live.
    Scale,
    /// P5: what an idle agent socket takes.
    #[value(alias = "p5")]
    Idle,
    /// P6 and P8: memory per live enquiry, and cost per message where many are live.
    #[value(aliases = ["p6", "p8"])]
    Growth,
    /// P9: one event to many sockets.
    #[value(alias = "p9")]
    Fanout,
    /// P11: from SIGKILL to every deadline armed.
    #[value(alias = "p11")]
    Recovery,
    /// P7: very many deadlines due in one second.
    #[value(alias = "p7")]
    Storm,
    /// P10: a tenth of the agents stop reading.
    #[value(alias = "p10")]
    Slow,
    /// P14: sending at the limit while the provider fails now and then.
    #[value(alias = "p14")]
    Outbound,
    /// P13: what a message costs where several nodes take them.
    #[value(alias = "p13")]
    Nodes,
    /// How many webhooks a second one service takes over PostgreSQL.
    Largest,
    /// Some benches with very little of everything: that they run, not how fast.
    Smoke,
    /// Every bench, one after the other.
    All,
}

impl Options {
    /// One number for a brief run, one for a whole one.
    pub(crate) fn either<T>(&self, brief: T, whole: T) -> T {
        if self.brief { brief } else { whole }
    }

    /// Live enquiries of a bench that has many.
    pub(crate) fn live(&self, brief: u64, whole: u64) -> u64 {
        self.live.unwrap_or(self.either(brief, whole))
    }

    /// Draws a curve, if that is wanted.
    pub(crate) fn draw(&self, name: &str, svg: &str) -> anyhow::Result<()> {
        let Some(dir) = &self.out else { return Ok(()) };
        std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        let path = dir.join(format!("{name}.svg"));
        std::fs::write(&path, svg).with_context(|| path.display().to_string())
    }

    /// What repeats a bench.
    pub(crate) fn command(&self, name: &str) -> String {
        let brief = self.either(" --brief", "");
        let live = self.live.map(|live| format!(" --live {live}")).unwrap_or_default();
        format!("cargo run --release -p usher-loadtest -- bench {name}{brief}{live}")
    }
}

/// Each kind of machinery once: in process, over sockets.
const SMOKE: [Which; 2] = [Which::Floor, Which::Push];

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<()> {
    match args.which {
        Which::Smoke => {
            let little = Options { brief: true, live: Some(500), ..args.options.clone() };
            SMOKE.into_iter().try_for_each(|which| block_on(one(which, &little), None))
        }
        Which::All => all(args),
        which => block_on(one(which, &args.options), None),
    }
}

/// One after the other; one that fails does not keep the others from running.
fn all(args: &Args) -> anyhow::Result<()> {
    let every = Which::value_variants().iter().copied();
    let benches: Vec<Which> =
        every.filter(|which| !matches!(which, Which::All | Which::Smoke)).collect();
    let until = args.budget.map(|minutes| Instant::now() + Duration::from_mins(minutes));
    let mut failed = Vec::new();
    for (place, which) in benches.iter().enumerate() {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let how = left.map_or(How::Whole, |left| plan::choose(&benches[place..], left));
        let brief = args.options.brief || how == How::Brief;
        if how == How::LeftOut {
            println!("\n{which:?} is left out: its time is up");
            continue;
        }
        let options = Options { brief, ..args.options.clone() };
        if let Err(error) = block_on(one(*which, &options), left) {
            println!("\n**{which:?} failed**: {error:#}");
            failed.push(format!("{which:?}"));
        }
    }
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

async fn one(which: Which, options: &Options) -> anyhow::Result<()> {
    match which {
        Which::Ingest => ingest::run(options).await,
        Which::Push => push::run(options).await,
        Which::Floor => floor::run(options).await,
        Which::Scale => floor::scale::run(options),
        Which::Durable => durable::run(options).await,
        Which::Idle => idle::run(options).await,
        Which::Recovery => recovery::run(options).await,
        Which::Storm => storm::run(options).await,
        Which::Fanout => fanout::run(options).await,
        Which::Slow => slow::run(options).await,
        Which::Outbound => outbound::run(options).await,
        Which::Growth => growth::run(options).await,
        Which::Nodes => crate::faults::cost::run(options).await,
        Which::Largest => crate::faults::largest::run(options).await,
        Which::All | Which::Smoke => Ok(()),
    }
}

/// What the disk itself did before and after a run, and whether the run may count.
fn disk_text(before: Duration, after: Duration) -> String {
    let us = |took: Duration| took.as_secs_f64() * 1e6;
    let verdict =
        if disk::is_steady(before, after) { "" } else { ": **differs, discard this run**" };
    format!("{:.0} µs before, {:.0} µs after{verdict}", us(before), us(after))
}

/// On one thread: the load must not take more of the machine than it has to.
fn block_on(
    bench: impl Future<Output = anyhow::Result<()>>,
    limit: Option<Duration>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("no runtime")?.block_on(async {
        match limit {
            Some(limit) => timeout(limit, bench).await.context("cut: its time is up")?,
            None => bench.await,
        }
    })
}
