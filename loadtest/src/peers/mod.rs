//! What a team would build instead, on the same work.

use anyhow::bail;

/// Which peers.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {}

/// Runs it.
pub fn run(_args: &Args) -> anyhow::Result<()> {
    bail!("not built in yet")
}
