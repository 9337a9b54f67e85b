//! The benches: which claims there are, and what each is measured against.

use anyhow::bail;

/// Which bench.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {}

/// Runs it.
pub fn run(_args: &Args) -> anyhow::Result<()> {
    bail!("not built in yet")
}
