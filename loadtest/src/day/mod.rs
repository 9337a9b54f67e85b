//! A whole day of visitors and staff.

use anyhow::bail;

/// How many, and how fast.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {}

/// Runs it.
pub fn run(_args: &Args) -> anyhow::Result<()> {
    bail!("not built in yet")
}
