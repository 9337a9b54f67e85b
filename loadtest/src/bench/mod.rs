//! The benches: which claims there are, and what each is measured against.

mod ingest;

use std::future::Future;

use anyhow::Context as _;
use clap::ValueEnum;

use crate::house::Binary;

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
    #[command(flatten)]
    pub binary: Binary,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Which {
    /// P1: webhooks, durable and answered, beside a handler that only reads them.
    #[value(alias = "p1")]
    Ingest,
    /// Every bench, one after the other.
    All,
}

impl Options {
    /// One number for a brief run, one for a whole one.
    pub(crate) fn either<T>(&self, brief: T, whole: T) -> T {
        if self.brief { brief } else { whole }
    }

    /// What repeats a bench.
    pub(crate) fn command(&self, name: &str) -> String {
        let brief = self.either(" --brief", "");
        format!("cargo run --release -p usher-loadtest -- bench {name}{brief}")
    }
}

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let every = Which::value_variants().iter().copied();
    let chosen = every
        .filter(|which| *which != Which::All && (args.which == Which::All || args.which == *which));
    for which in chosen {
        one(which, &args.options)?;
    }
    Ok(())
}

fn one(which: Which, options: &Options) -> anyhow::Result<()> {
    match which {
        Which::Ingest => block_on(ingest::run(options)),
        Which::All => Ok(()),
    }
}

/// On one thread: the load must not take more of the machine than it has to.
fn block_on(bench: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("no runtime")?.block_on(bench)
}
