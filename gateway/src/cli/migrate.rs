//! `usher migrate`: an installation's records into PostgreSQL, while Usher does not run.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use usher_store::{DataDir, Moved, Postgres, move_to_postgres};

use super::say;

/// Move the records of a data directory into an empty PostgreSQL. Usher must not be running.
///
/// The files stay as they are: until you start Usher with `store.url`, nothing has changed. Media
/// stay in the data directory, which is still needed.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The data directory, as <sqlite:///var/lib/usher>.
    #[arg(value_parser = data_dir)]
    from: PathBuf,
    /// The database, as <postgres://usher@db.internal/usher?sslmode=verify-full>.
    to: String,
    /// A file with the database user's password.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// A file with the certificates that the database is believed by, in PEM.
    #[arg(long, value_name = "FILE")]
    certificates: Option<PathBuf>,
    /// The password itself.
    #[arg(long, env = "USHER_STORE_PASSWORD", hide = true, hide_env_values = true)]
    password: Option<String>,
}

/// How often it is told how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(2);

fn data_dir(text: &str) -> Result<PathBuf, String> {
    let path = text.strip_prefix("sqlite://").filter(|path| !path.is_empty());
    path.map(PathBuf::from).ok_or_else(|| "it has to be sqlite:///path/of/the/data".to_owned())
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    if !Path::new(&args.from).join("journal.db").exists() {
        bail!("there is no journal in {}", args.from.display());
    }
    let from_file = args.password_file.as_deref().map(read).transpose()?;
    let password = from_file.as_deref().or(args.password.as_deref()).map(str::trim);
    let certificates = args.certificates.as_deref().map(read).transpose()?;
    let certificates = certificates.as_ref().map(String::as_bytes);
    let to = Postgres::trusting(&args.to, password, certificates).context("the second address")?;
    let dir = DataDir::lock(&args.from)?;
    let mut progress = Progress::default();
    let moved =
        move_to_postgres(&dir, to, |moved| progress.show(moved)).context("nothing was moved")?;
    say(&format!(
        "{} records of {} services ({} MiB) are in the database, and its archive was made from them.\n\
         Set store.url to it; data_dir stays {}, for the media.",
        moved.records,
        moved.services,
        moved.bytes >> 20,
        args.from.display(),
    ))
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// Told on standard error, now and then.
#[derive(Default)]
struct Progress {
    last: Option<Instant>,
}

impl Progress {
    #[expect(clippy::disallowed_methods, reason = "decides only when somebody is told something")]
    fn show(&mut self, moved: Moved) {
        let last = *self.last.get_or_insert_with(Instant::now);
        if last.elapsed() >= TOLD_EVERY {
            self.last = Some(Instant::now());
            let (records, mib) = (moved.records, moved.bytes >> 20);
            // Nowhere to say it: nobody looks.
            writeln!(io::stderr(), "{records} records, {mib} MiB …").ok();
        }
    }
}
