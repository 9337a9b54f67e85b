//! Where log lines go and what they look like: for eyes on a terminal, JSON for collectors.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;
use usher_config::{Log, LogFormat};

/// Tells of every worker it starts.
const QUIETED: &str = "actix_server=warn";

/// Installs the subscriber of this process; lines go to standard error.
pub(crate) fn install(log: &Log) -> anyhow::Result<()> {
    // What is set comes last, and outranks what is quieted.
    let levels = format!("{QUIETED},{}", log.level);
    let filter = EnvFilter::try_new(levels).context("`log.level` was not understood")?;
    let human = match log.format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let installed = if human {
        lines.compact().with_target(false).try_init()
    } else {
        lines.json().flatten_event(true).try_init()
    };
    installed.map_err(|error| anyhow::anyhow!("logging could not be set up: {error}"))
}
