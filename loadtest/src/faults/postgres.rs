//! A PostgreSQL that is thrown away: started, stopped, killed, and asked what it holds.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::ground::{Place, mortal};
use crate::measure::process::Process;

/// Who runs it where the load test is root, which it refuses to run as.
const USER: &str = "postgres";
const ANSWERS_WITHIN: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Of the disk that can be filled.
const SMALL: &str = "size=1200m";

/// What a server has done since it began; processor time of the processes that it has now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Work {
    pub(super) commits: u64,
    /// Bytes of its log.
    pub(super) log: u64,
    pub(super) cpu: Duration,
}

impl Work {
    pub(super) const fn since(self, before: Self) -> Self {
        Self {
            commits: self.commits.saturating_sub(before.commits),
            log: self.log.saturating_sub(before.log),
            cpu: self.cpu.saturating_sub(before.cpu),
        }
    }

    pub(super) const fn and(self, more: Self) -> Self {
        Self {
            commits: self.commits + more.commits,
            log: self.log + more.log,
            cpu: self.cpu.saturating_add(more.cpu),
        }
    }
}

pub(super) struct Server {
    dir: TempDir,
    programs: PathBuf,
    place: Place,
    port: u16,
    child: Option<Child>,
    mounted: bool,
}

impl Server {
    /// A new one, without anything in it. `small`: on a disk of its own, which can be filled.
    pub(super) async fn start(mut place: Place, small: bool) -> anyhow::Result<Self> {
        let programs = programs()?;
        let dir = tempfile::Builder::new().prefix("usher-faults-postgres-").tempdir()?;
        if small {
            let options = ["-t", "tmpfs", "-o", SMALL, "none"];
            let done = Command::new("mount").args(options).arg(dir.path()).status()?;
            ensure!(done.success(), "a disk of its own could not be mounted");
        }
        if let Some((user, group)) = nobody_special()? {
            chown(dir.path(), Some(user), Some(group))?;
        }
        let port = place.free_port()?;
        let mut server = Self { dir, programs, place, port, child: None, mounted: small };
        let mut make = server.as_nobody_special("initdb", &Place::command)?;
        make.arg("-D").arg(server.data()).args(["-U", "usher", "-A", "trust", "-E", "UTF8"]);
        let made = make.args(["--locale=C.UTF-8"]).output()?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        // From the places, all of which are this machine's own.
        let access = server.data().join("pg_hba.conf");
        fs::OpenOptions::new()
            .append(true)
            .open(access)?
            .write_all(b"host all all 10.83.0.0/16 trust\n")?;
        server.run()?;
        server.until_up().await?;
        server.say("postgres", "CREATE DATABASE usher").await?;
        Ok(server)
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// As somebody of this name, by whom the records know who has written.
    pub(super) fn url(&self, who: &str) -> String {
        format!("postgres://{who}@{}:{}/usher", self.place.ip, self.port)
    }

    pub(super) fn run(&mut self) -> anyhow::Result<()> {
        ensure!(self.child.is_none(), "PostgreSQL runs already");
        let log =
            fs::File::options().create(true).append(true).open(self.dir.path().join("log"))?;
        let mut command = self.as_nobody_special("postgres", &Place::command)?;
        command.arg("-D").arg(self.data());
        let dir = self.dir.path().display().to_string();
        let settings = [
            format!("listen_addresses={}", self.place.ip),
            format!("port={}", self.port),
            format!("unix_socket_directories={dir}"),
            "max_connections=200".to_owned(),
            "shared_buffers=64MB".to_owned(),
            "max_wal_size=128MB".to_owned(),
        ];
        for setting in settings {
            command.args(["-c", &setting]);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().context("postgres")?);
        Ok(())
    }

    pub(super) async fn until_up(&mut self) -> anyhow::Result<()> {
        let began = std::time::Instant::now();
        while began.elapsed() < ANSWERS_WITHIN {
            if self.say("postgres", "SELECT 1").await.is_ok() {
                return Ok(());
            }
            let child = self.child.as_mut().context("it was started")?;
            if child.try_wait()?.is_some() {
                // Whatever was left of the last one is gone now.
                self.child = None;
                self.run()?;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("PostgreSQL does not answer; see {}", self.dir.path().join("log").display())
    }

    /// Open transactions are ended, what is durable is written back.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        self.end(Signal::INT).await
    }

    async fn end(&mut self, signal: Signal) -> anyhow::Result<()> {
        let mut child = self.child.take().context("PostgreSQL does not run")?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("no such id")?;
        kill_process(pid, signal)?;
        while child.try_wait()?.is_none() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Whether it has ended by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        let ended =
            self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(Some(_))));
        if ended {
            self.child = None;
        }
        ended
    }

    /// Leaves no byte free on its disk, and says where what fills it stands.
    pub(super) fn fill(&self) -> anyhow::Result<PathBuf> {
        let path = self.dir.path().join("filler");
        let mut file = fs::File::create(&path)?;
        let block = vec![0_u8; 1 << 20];
        // Until there is no more room, by whole blocks and then by what is left.
        while file.write_all(&block).is_ok() {}
        while file.write_all(&block[..1 << 12]).is_ok() {}
        Ok(path)
    }

    /// Runs SQL by PostgreSQL's own client, which shares no code with us; what it prints.
    pub(super) async fn say(&self, database: &str, sql: &str) -> anyhow::Result<String> {
        let mut psql = tokio::process::Command::new(self.programs.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "usher"]);
        psql.args(["-h", &self.place.ip.to_string(), "-p", &self.port.to_string()]);
        psql.args(["-d", database, "-c", sql]).env("PGCONNECT_TIMEOUT", "5").kill_on_drop(true);
        let said = psql.stdin(Stdio::null()).output().await.context("psql")?;
        let error = String::from_utf8_lossy(&said.stderr);
        ensure!(said.status.success(), "{sql}: {error}");
        Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
    }

    pub(super) async fn work(&self) -> anyhow::Result<Work> {
        let sql = "SELECT xact_commit, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint \
                   FROM pg_stat_database WHERE datname = 'usher'";
        let said = self.say("postgres", sql).await?;
        let (commits, log) = said.split_once('|').context("no counts")?;
        let child = self.child.as_ref().context("PostgreSQL does not run")?;
        // One that ends while it is looked at is none of those that do the work.
        let each = Process::of(child.id()).children().into_iter();
        let cpu = each.filter_map(|process| process.cpu().ok()).sum();
        Ok(Work { commits: commits.parse()?, log: log.parse()?, cpu })
    }

    fn as_nobody_special(
        &self,
        program: &str,
        command: &dyn Fn(&Place, &str) -> Command,
    ) -> anyhow::Result<Command> {
        let program = self.programs.join(program).display().to_string();
        let Some((user, group)) = nobody_special()? else {
            return Ok(command(&self.place, &program));
        };
        let mut command = command(&self.place, "setpriv");
        command.args([format!("--reuid={user}"), format!("--regid={group}")]);
        // Whoever becomes somebody else is no longer bound to us, unless it is said again.
        command.args(["--clear-groups", "--pdeathsig", "KILL", &program]).current_dir("/");
        Ok(command)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            // At once; its own children go with it.
            if let Some(pid) = pid {
                kill_process(pid, Signal::QUIT).ok();
            }
            child.wait().ok();
        }
        if self.mounted {
            mortal("umount").arg("-l").arg(self.dir.path()).status().ok();
        }
    }
}

/// Debian keeps them beside each other by version; the newest is taken.
fn programs() -> anyhow::Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").context("no PostgreSQL: make tools")?;
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|path| path.join("postgres").exists())
        .max_by_key(|path| path.parent().and_then(number));
    newest.context("no PostgreSQL: make tools")
}

/// Only root has to become somebody else.
fn nobody_special() -> anyhow::Result<Option<(u32, u32)>> {
    let id = |words: &[&str]| -> anyhow::Result<u32> {
        let said = Command::new("id").args(words).output()?;
        String::from_utf8_lossy(&said.stdout).trim().parse().context("id says no number")
    };
    if id(&["-u"])? != 0 {
        return Ok(None);
    }
    Ok(Some((id(&["-u", USER])?, id(&["-g", USER])?)))
}
