//! Runs the sandbox as a program of its own, so that it outlives the program it judges.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use usher_sandbox::{NumberOptions, Sandbox, SandboxOptions};

/// A local 360dialog with pretend phones.
#[derive(Debug, Parser)]
#[command(version)]
struct Flags {
    /// Options as a JSON file; the flags below win over it.
    #[arg(long)]
    options: Option<PathBuf>,
    /// Loopback address; port 0 chooses a free one.
    #[arg(long)]
    bind: Option<SocketAddr>,
    /// Where webhooks of numbers without an address of their own go.
    #[arg(long)]
    webhook: Option<String>,
    /// Factor on the redelivery back-off.
    #[arg(long)]
    time_scale: Option<f64>,
    #[arg(long)]
    seed: Option<u64>,
    #[arg(long)]
    media_dir: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let sandbox = Sandbox::start(options(Flags::parse())?)?;
    writeln!(std::io::stdout(), "{}", sandbox.base_url())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ended = terminate.recv() => {}
    }
    sandbox.stop().await;
    Ok(())
}

fn options(flags: Flags) -> anyhow::Result<SandboxOptions> {
    let mut options = match &flags.options {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            serde_json::from_str(&text).with_context(|| path.display().to_string())?
        }
        None => SandboxOptions {
            bind: SocketAddr::from(([127, 0, 0, 1], 4360)),
            numbers: vec![NumberOptions::new(
                "106540352242922",
                "+49 30 901820",
                "102290129340398",
                "sandbox-key",
            )],
            ..SandboxOptions::default()
        },
    };
    options.bind = flags.bind.unwrap_or(options.bind);
    options.time_scale = flags.time_scale.unwrap_or(options.time_scale);
    options.seed = flags.seed.unwrap_or(options.seed);
    options.media_dir = flags.media_dir.or(options.media_dir);
    if let Some(webhook) = flags.webhook {
        for number in options.numbers.iter_mut().filter(|number| number.webhook_url.is_none()) {
            number.webhook_url = Some(webhook.clone());
        }
    }
    Ok(options)
}
