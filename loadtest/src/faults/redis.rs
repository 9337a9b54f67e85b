//! Redis, thrown away: alone, watched by a Sentinel, or a Cluster; killed, emptied, cut short.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;

use super::ground::Place;

const ANSWERS_WITHIN: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Masters of a Cluster; as many replicas.
const MASTERS: usize = 3;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shape {
    One,
    Sentinel,
    Cluster,
}

/// What a server was asked since it began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traffic {
    pub(super) commands: u64,
    /// In both directions.
    pub(super) bytes: u64,
}

impl Traffic {
    pub(super) const fn since(self, before: Self) -> Self {
        Self {
            commands: self.commands.saturating_sub(before.commands),
            bytes: self.bytes.saturating_sub(before.bytes),
        }
    }

    pub(super) const fn and(self, more: Self) -> Self {
        Self { commands: self.commands + more.commands, bytes: self.bytes + more.bytes }
    }
}

/// All servers of one kind.
pub(super) struct Redis {
    shape: Shape,
    place: Place,
    servers: Vec<Server>,
    /// Watches, where one does.
    sentinel: Option<(Child, u16)>,
}

struct Server {
    dir: TempDir,
    port: u16,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Redis {
    pub(super) async fn start(mut place: Place, shape: Shape) -> anyhow::Result<Self> {
        let mut servers = Vec::new();
        let count = match shape {
            Shape::One => 1,
            Shape::Sentinel => 2,
            Shape::Cluster => 2 * MASTERS,
        };
        for _ in 0..count {
            servers.push(Server::new(&mut place, shape == Shape::Cluster)?);
        }
        if shape == Shape::Sentinel {
            let master = servers[0].port.to_string();
            let of = ["--replicaof", &place.ip.to_string(), &master].map(str::to_owned);
            servers[1].arguments.extend(of);
        }
        let mut redis = Self { shape, place, servers, sentinel: None };
        for server in 0..redis.servers.len() {
            redis.run(server)?;
            redis.until_up(server).await?;
        }
        match shape {
            Shape::One => {}
            Shape::Sentinel => redis.watch().await?,
            Shape::Cluster => redis.join().await?,
        }
        Ok(redis)
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// What a node is told.
    pub(super) fn url(&self) -> String {
        let (ip, port) = (self.place.ip, self.servers[0].port);
        match (self.shape, &self.sentinel) {
            (Shape::Sentinel, Some((_, watch))) => format!("redis+sentinel://{ip}:{watch}/main"),
            (Shape::Cluster, _) => {
                let all = self.servers.iter().map(|server| format!("{ip}:{}", server.port));
                format!("redis+cluster://{}", all.collect::<Vec<_>>().join(","))
            }
            _ => format!("redis://{ip}:{port}"),
        }
    }

    fn run(&mut self, which: usize) -> anyhow::Result<()> {
        let mut command = self.place.command("redis-server");
        let server = &mut self.servers[which];
        ensure!(server.child.is_none(), "Redis runs already");
        let log =
            fs::File::options().create(true).append(true).open(server.dir.path().join("log"))?;
        command.args(["--bind", &self.place.ip.to_string(), "--port", &server.port.to_string()]);
        command.args(["--protected-mode", "no", "--save", "", "--appendonly", "yes", "--dir"]);
        command.arg(server.dir.path()).args(&server.arguments);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        server.child = Some(command.spawn().context("redis-server")?);
        Ok(())
    }

    async fn until_up(&self, which: usize) -> anyhow::Result<()> {
        let began = Instant::now();
        while began.elapsed() < ANSWERS_WITHIN {
            if self.cli(which, &["PING"]).await.is_ok_and(|told| told.trim() == "PONG") {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("Redis does not answer")
    }

    /// Whichever has the leases.
    pub(super) async fn master(&self) -> anyhow::Result<usize> {
        for which in 0..self.servers.len() {
            let role = self.cli(which, &["ROLE"]).await.unwrap_or_default();
            let keys =
                self.cli(which, &["--scan", "--pattern", "*:epoch"]).await.unwrap_or_default();
            if role.starts_with("master") && !keys.trim().is_empty() {
                return Ok(which);
            }
        }
        bail!("no master has a lease")
    }

    /// The one that had the leases is gone: whoever followed it has them then.
    pub(super) async fn taken_over(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        while began.elapsed() < ANSWERS_WITHIN {
            if self.master().await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("no replica became the master")
    }

    /// SIGKILL: what was not written to its file yet is gone.
    pub(super) fn kill(&mut self, which: usize) -> anyhow::Result<()> {
        let mut child = self.servers[which].child.take().context("Redis does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// What was killed runs again, and all are well.
    pub(super) async fn whole(&mut self) -> anyhow::Result<()> {
        for which in 0..self.servers.len() {
            if self.servers[which].child.is_none() {
                self.again(which).await?;
                self.follows(which).await?;
            }
        }
        Ok(())
    }

    /// With what its file holds.
    pub(super) async fn again(&mut self, which: usize) -> anyhow::Result<()> {
        self.run(which)?;
        self.until_up(which).await
    }

    pub(super) async fn flush(&self) -> anyhow::Result<()> {
        self.cli(0, &["FLUSHALL"]).await.map(drop)
    }

    /// Half of what it has written down is gone, so that it comes back as it was before.
    pub(super) fn truncate(&self) -> anyhow::Result<()> {
        let dir = self.servers[0].dir.path().join("appendonlydir");
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.to_string_lossy().ends_with(".incr.aof") {
                let file = fs::OpenOptions::new().write(true).open(&path)?;
                file.set_len(file.metadata()?.len() / 2)?;
            }
        }
        Ok(())
    }

    /// Of the one server, asking for it included.
    pub(super) async fn traffic(&self) -> anyhow::Result<Traffic> {
        let told = self.cli(0, &["INFO", "stats"]).await?;
        let number = |name: &str| {
            let line = told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|number| number.trim().parse::<u64>().ok()).context("INFO stats")
        };
        let bytes = number("total_net_input_bytes")? + number("total_net_output_bytes")?;
        Ok(Traffic { commands: number("total_commands_processed")?, bytes })
    }

    async fn cli(&self, which: usize, words: &[&str]) -> anyhow::Result<String> {
        self.cli_at(self.servers[which].port, words).await
    }

    async fn cli_at(&self, port: u16, words: &[&str]) -> anyhow::Result<String> {
        let mut cli = tokio::process::Command::new("redis-cli");
        cli.args(["-h", &self.place.ip.to_string(), "-p", &port.to_string()]);
        let said = cli.args(words).stdin(Stdio::null()).stderr(Stdio::null()).output().await?;
        Ok(String::from_utf8_lossy(&said.stdout).into_owned())
    }

    /// One Sentinel, who asks nobody else.
    async fn watch(&mut self) -> anyhow::Result<()> {
        self.follows(1).await?;
        let (ip, master, port) = (self.place.ip, self.servers[0].port, self.place.free_port()?);
        let dir = self.servers[0].dir.path();
        let text = format!(
            "bind {ip}\nport {port}\nprotected-mode no\ndir {}\n\
             sentinel monitor main {ip} {master} 1\n\
             sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 2000\n",
            dir.display()
        );
        let file = dir.join("sentinel.conf");
        fs::write(&file, text)?;
        let mut command: Command = self.place.command("redis-server");
        command.arg(&file).arg("--sentinel").stdin(Stdio::null()).stdout(Stdio::null());
        self.sentinel = Some((command.spawn()?, port));
        // It asks the master for its replicas every ten seconds, and a dead one tells nothing.
        let began = Instant::now();
        while began.elapsed() < ANSWERS_WITHIN {
            if self.cli_at(port, &["SENTINEL", "REPLICAS", "main"]).await?.len() > 10 {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("the Sentinel knows no replica")
    }

    async fn join(&self) -> anyhow::Result<()> {
        let mut make = tokio::process::Command::new("redis-cli");
        make.args(["--cluster", "create"]);
        make.args(self.servers.iter().map(|server| format!("{}:{}", self.place.ip, server.port)));
        make.args(["--cluster-replicas", "1", "--cluster-yes"]);
        let made = make.stdin(Stdio::null()).output().await?;
        ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
        for which in 0..self.servers.len() {
            self.until("the Cluster is up", which, &["CLUSTER", "INFO"], "cluster_state:ok")
                .await?;
        }
        // A replica that never followed is not elected.
        for which in MASTERS..self.servers.len() {
            self.follows(which).await?;
        }
        Ok(())
    }

    async fn follows(&self, which: usize) -> anyhow::Result<()> {
        let up = "master_link_status:up";
        self.until("the replica follows", which, &["INFO", "replication"], up).await
    }

    async fn until(
        &self,
        what: &str,
        which: usize,
        words: &[&str],
        wanted: &str,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        while began.elapsed() < ANSWERS_WITHIN {
            if self.cli(which, words).await?.contains(wanted) {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("it did not come to this: {what}")
    }
}

impl Server {
    fn new(place: &mut Place, of_a_cluster: bool) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("usher-faults-redis-").tempdir()?;
        let mut server = Self { dir, port: place.free_port()?, arguments: Vec::new(), child: None };
        if of_a_cluster {
            let bus = place.free_port()?.to_string();
            let enabled = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"];
            server.arguments = enabled.map(str::to_owned).to_vec();
            server.arguments.extend(["--cluster-port".to_owned(), bus]);
        }
        Ok(server)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let servers = self.servers.iter_mut().filter_map(|server| server.child.as_mut());
        for child in servers.chain(self.sentinel.as_mut().map(|(child, _)| child)) {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
