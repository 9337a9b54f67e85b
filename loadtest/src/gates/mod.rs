//! Whole numbers that noise cannot touch: what one message costs in allocations, system calls,
//! syncs and journal bytes, compared with the table that is checked in.
//!
//! One visitor's messages go in one after the other, so nothing shares a commit with anything else.
//! What the start and the stop take falls out: each figure is the difference of two runs.

mod run;
mod table;

use std::path::PathBuf;

use anyhow::ensure;

use crate::house::Binary;
use table::Table;

/// Fails where a message costs more than the table allows.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Writes what was measured into the table instead.
    #[arg(long)]
    write: bool,
    #[command(flatten)]
    binary: Binary,
}

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured = runtime.block_on(run::measure(&args.binary))?;
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("gates.toml");
    let mut table = Table::read(&path)?;
    if args.write {
        table.set(&measured);
        return table.write(&path);
    }
    let (text, passed) = table.judge(&measured);
    println!("{text}");
    ensure!(passed, "a message costs more than {} allows", path.display());
    Ok(())
}
