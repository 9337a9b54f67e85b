//! The command line: which sub-command does what, and how its failure is told.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{bench, ceiling, day, faults, gates, peers};

/// Measures Usher against ceilings, peers and whole days.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One bench by its name, or `all`.
    Bench(bench::Args),
    /// Usher beside what a team would build instead.
    Peers(peers::Args),
    /// A whole day of visitors and staff.
    Day(day::Args),
    /// Three nodes under load: what is kept when something dies, lies or stands still.
    Faults(faults::Args),
    /// Whole numbers that noise cannot touch, compared with the table that is checked in.
    Gates(gates::Args),
    /// What a bench measures beside Usher, as a process of its own.
    #[command(hide = true)]
    Ceiling(ceiling::Args),
}

/// Runs the program; failures are told on standard error.
pub fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nowhere to say it: the exit code says enough.
            writeln!(io::stderr(), "usher-loadtest: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    // The clients go through it, encrypted or not.
    drop(rustls::crypto::ring::default_provider().install_default());
    match cli.command {
        Command::Bench(args) => bench::run(&args),
        Command::Peers(args) => peers::run(&args),
        Command::Day(args) => day::run(&args).map(drop),
        Command::Faults(args) => faults::run(&args),
        Command::Gates(args) => gates::run(&args),
        Command::Ceiling(args) => ceiling::run(args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }
}
