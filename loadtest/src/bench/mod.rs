//! The benches: which claims there are, and what each is measured against.

mod busy;
mod crowd;
mod durable;
mod fanout;
mod floor;
mod growth;
mod idle;
mod ingest;
mod outbound;
mod push;
mod recovery;
mod slow;
mod storm;

use std::future::Future;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;

use crate::house::Binary;
use crate::measure::disk;

/// One bench by its name, or all of them.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    which: Which,
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
            SMOKE.into_iter().try_for_each(|which| one(which, &little))
        }
        Which::All => {
            let every = Which::value_variants().iter().copied();
            let mut benches = every.filter(|which| !matches!(which, Which::All | Which::Smoke));
            benches.try_for_each(|which| one(which, &args.options))
        }
        which => one(which, &args.options),
    }
}

fn one(which: Which, options: &Options) -> anyhow::Result<()> {
    match which {
        Which::Ingest => block_on(ingest::run(options)),
        Which::Push => block_on(push::run(options)),
        Which::Floor => block_on(floor::run(options)),
        Which::Durable => block_on(durable::run(options)),
        Which::Idle => block_on(idle::run(options)),
        Which::Recovery => block_on(recovery::run(options)),
        Which::Storm => block_on(storm::run(options)),
        Which::Fanout => block_on(fanout::run(options)),
        Which::Slow => block_on(slow::run(options)),
        Which::Outbound => block_on(outbound::run(options)),
        Which::Growth => block_on(growth::run(options)),
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
fn block_on(bench: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("no runtime")?.block_on(bench)
}
