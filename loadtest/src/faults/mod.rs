//! The fault matrix: real nodes, a real PostgreSQL, a real Redis and hundreds of agents under load,
//! and what is kept of the promises when something of it dies, lies or stands still.

mod agents;
mod balancer;
mod book;
pub mod cost;
mod ground;
mod house;
pub mod largest;
mod nodes;
mod postgres;
mod records;
#[cfg(test)]
mod records_tests;
mod redis;
mod round;
mod rows;
mod table;
mod visitors;
mod window;

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::ValueEnum as _;
use tokio::task::LocalSet;
use usher_domain::attendance::CONNECTIONS_MAX;

use self::ground::Kind;
use self::house::House;
use self::nodes::Build;
use self::round::{Seen, play};
use self::rows::Builds;
pub use self::rows::Row;
use self::table::{Outcome, line_of, table};
use crate::house::Binary;
use crate::measure::machine;
use crate::measure::show::progress;

/// Rows of the matrix; all of them where none is named.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    rows: Vec<Row>,
    /// Times that each fault is committed.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Webhooks a second.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Sockets; of more than 320 several are one agent's.
    #[arg(long, default_value_t = 300)]
    sockets: usize,
    /// Seconds of a lease.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    lease: u64,
    /// A program built before, for `rolling-upgrade`.
    #[arg(long, value_name = "PATH")]
    older: Option<PathBuf>,
    /// One round each, of short spans: to see that it works, not to be quoted.
    #[arg(long)]
    brief: bool,
    /// Where the table is written to, too, as far as it is, after each row.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// As `--out`, of a command that was interrupted: rows that stand there are not played again.
    #[arg(long, value_name = "FILE", conflicts_with = "out")]
    resume: Option<PathBuf>,
    /// What the nodes wrote stays, also where nothing is wrong.
    #[arg(long)]
    keep: bool,
    /// What this process stands in already.
    #[arg(long, hide = true, default_value = "loopback")]
    ground: Kind,
    #[command(flatten)]
    binary: Binary,
}

/// How it is played.
#[derive(Clone, Debug)]
struct Terms {
    rate: u32,
    sockets: usize,
    lease: Duration,
    /// Before a fault, and after all is well again.
    around: Duration,
    dir: PathBuf,
    rounds: u32,
    keep: bool,
}

impl Terms {
    /// Signing in takes a password's hash each time; a person may have several sockets.
    fn people(&self) -> usize {
        self.sockets.min(PEOPLE).max(self.sockets.div_ceil(CONNECTIONS_MAX))
    }
}

/// Most people, as long as their sockets suffice.
const PEOPLE: usize = 320;

/// Runs it; fails where a promise is broken.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let rows =
        if args.rows.is_empty() { Row::value_variants().to_vec() } else { args.rows.clone() };
    let program = args.binary.path()?;
    let apart = ground::apart_is_possible();
    if rows.iter().any(|row| row.is_apart()) && apart.is_ok() && args.ground == Kind::Loopback {
        return go_inside(&program);
    }
    args.ground.prepare()?;
    let older = args.older.as_deref().map(Build::new).transpose()?;
    let builds = Builds { this: Build::new(&program)?, older };
    let terms = args.terms()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut outcomes = Vec::new();
    let before = args.before()?;
    for row in rows {
        progress(&row.name());
        let outcome = if let Some(line) = line_of(row, &before) {
            Outcome::Before(line.to_owned())
        } else if let Some(why) = skipped(row, &builds, apart.as_ref().err()) {
            Outcome::Skipped(why)
        } else {
            args.ground.mend();
            // Whoever still runs for the last row ends with it.
            LocalSet::new().block_on(&runtime, one(row, &builds, &terms))
        };
        progress(&table(&[(row, outcome.clone())], &terms).0);
        outcomes.push((row, outcome));
        args.write(&builds, &table(&outcomes, &terms).0)?;
    }
    let (text, kept) = table(&outcomes, &terms);
    println!("{}\n\n{text}", args.head(&builds));
    ensure!(kept, "a promise is broken");
    Ok(())
}

/// The same command in a network and with mounts of its own, which go with it.
fn go_inside(program: &std::path::Path) -> anyhow::Result<()> {
    let mut again = Command::new("unshare");
    again.args(["--net", "--mount", "--"]).arg(std::env::current_exe()?);
    again.args(std::env::args_os().skip(1));
    if !std::env::args_os().any(|word| word == "--usher") {
        again.arg("--usher").arg(program);
    }
    again.args(["--ground", "apart"]);
    Err(again.exec()).context("unshare")
}

fn skipped(row: Row, builds: &Builds, apart: Option<&String>) -> Option<String> {
    if let (true, Some(why)) = (row.is_apart(), apart) {
        return Some(format!("no network or mount of its own: {why}"));
    }
    (row == Row::RollingUpgrade && builds.older.is_none()).then(|| "no --older build".to_owned())
}

async fn one(row: Row, builds: &Builds, terms: &Terms) -> Outcome {
    let mut seen: Vec<Seen> = Vec::new();
    // An older program does not start where a newer one has been.
    let first = builds.older.as_ref().filter(|_| row == Row::RollingUpgrade);
    let first = first.unwrap_or(&builds.this);
    let mut house = match House::open(row.stand(), first, terms).await {
        Ok(house) => house,
        Err(error) => {
            progress(&format!("{error:#}"));
            return Outcome::Failed { rounds: seen, why: format!("{error:#}") };
        }
    };
    let rounds = terms.rounds;
    if terms.keep {
        progress(&format!("what the nodes write is in {}", house.keep().display()));
    }
    for number in 0..rounds {
        if number > 0 && row == Row::RollingUpgrade {
            house = match House::open(row.stand(), first, terms).await {
                Ok(house) => house,
                Err(error) => return Outcome::Failed { rounds: seen, why: format!("{error:#}") },
            };
        }
        match play(&mut house, row, builds).await {
            Ok(told) => {
                progress(&format!("{} {} of {rounds}: {told:?}", row.name(), number + 1));
                let is_stuck = told.stuck.is_some();
                let is_wrong = is_stuck || told.wrong != records::Wrong::default();
                seen.push(told);
                if is_wrong {
                    progress(&format!("what the nodes wrote stays in {}", house.keep().display()));
                }
                if is_stuck {
                    break;
                }
            }
            Err(error) => {
                progress(&format!("what the nodes wrote stays in {}", house.keep().display()));
                return Outcome::Failed { rounds: seen, why: format!("{error:#}") };
            }
        }
    }
    Outcome::Played(seen)
}

impl Args {
    fn terms(&self) -> anyhow::Result<Terms> {
        let Self { rate, sockets, lease, keep, .. } = *self;
        ensure!(sockets > 0, "somebody has to be there");
        let around = Duration::from_secs(if self.brief { 1 } else { 3 });
        let dir = self.binary.dir();
        let (lease, rounds) =
            (Duration::from_secs(lease), if self.brief { 1 } else { self.rounds });
        Ok(Terms { rate, sockets, lease, around, dir, rounds, keep })
    }

    /// What was found out by the command that did not come to its end.
    fn before(&self) -> anyhow::Result<String> {
        match &self.resume {
            Some(path) if path.exists() => {
                std::fs::read_to_string(path).with_context(|| path.display().to_string())
            }
            _ => Ok(String::new()),
        }
    }

    fn write(&self, builds: &Builds, table: &str) -> anyhow::Result<()> {
        let Some(path) = self.out.as_ref().or(self.resume.as_ref()) else { return Ok(()) };
        let text = format!("{}\n\n{table}", self.head(builds));
        std::fs::write(path, text).with_context(|| path.display().to_string())
    }

    fn head(&self, builds: &Builds) -> String {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let doors = if builds.this.has_doors() { "" } else { "; only the owner takes anything" };
        format!(
            "`usher-loadtest {}`: three nodes, {} webhooks/s, {} agents{doors}\n{}",
            words.join(" ").trim_end_matches(" --ground apart"),
            self.rate,
            self.sockets,
            machine::header()
        )
    }
}
