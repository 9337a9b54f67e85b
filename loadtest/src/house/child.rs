//! The program as a child process: where it is found, how it is started, watched and ended.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use reqwest::header::CONNECTION;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::answers;
use super::shop::{PASSWORD, PLATFORM_SECRET, Shop, WEBHOOK_SECRET};
use crate::measure::Process;

/// For a program that starts over a large journal.
const READY_WITHIN: Duration = Duration::from_mins(10);
const LOOK_EVERY: Duration = Duration::from_millis(5);
const ARMED: &str = "usher_timer_armed";

/// Which program is measured.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Binary {
    /// The program; left out, it is built first.
    #[arg(long, value_name = "PATH")]
    usher: Option<PathBuf>,
    /// Where the data of the measured programs goes; a directory on a real disk.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[arg(long, env = "CARGO", hide = true, default_value = "cargo")]
    cargo: String,
}

impl Binary {
    /// The program's path, built now unless one was named.
    pub fn path(&self) -> anyhow::Result<PathBuf> {
        if let Some(path) = &self.usher {
            return Ok(path.clone());
        }
        let mine = std::env::current_exe()?;
        let dir = mine.parent().context("the program stands nowhere")?;
        // Tests stand one deeper.
        let dir = if dir.ends_with("deps") { dir.parent().unwrap_or(dir) } else { dir };
        let mut build = Command::new(&self.cargo);
        build.args(["build", "--quiet", "--package", "usher", "--bin", "usher"]);
        if dir.ends_with("release") {
            build.arg("--release");
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let built = build.current_dir(root).status().context("cargo could not be called")?;
        anyhow::ensure!(built.success(), "usher could not be built");
        Ok(dir.join("usher"))
    }

    /// Where data goes.
    pub fn dir(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(std::env::temp_dir)
    }

    pub fn scratch(&self) -> anyhow::Result<TempDir> {
        let made = match &self.dir {
            Some(dir) => TempDir::new_in(dir),
            None => TempDir::new(),
        };
        made.context("no directory for the data")
    }
}

/// What matters of the program's own settings.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// Where the provider is; nothing is sent where there is none.
    pub provider: Option<String>,
    /// Records the archive may be behind: slowed, refused.
    pub lag: Option<(u32, u32)>,
    /// More of `usher.toml`, as `("limits.commands_per_second", "1000")`.
    pub set: Vec<(&'static str, String)>,
    /// A library put before all others.
    pub preload: Option<PathBuf>,
    pub env: Vec<(&'static str, String)>,
    /// A command that ends in the program's own path, as `strace -c`.
    pub under: Vec<String>,
}

/// A running Usher; it is killed with this.
#[derive(Debug)]
pub struct House {
    pub http: reqwest::Client,
    pub port: u16,
    metrics: u16,
    dir: TempDir,
    binary: PathBuf,
    node: Node,
    child: Option<Child>,
}

impl House {
    /// Writes the settings down and starts the program; ready when this returns.
    pub async fn open(binary: &Binary, shop: &Shop, node: Node) -> anyhow::Result<Self> {
        let mut house = Self::build(binary, shop, node)?;
        house.start().await?;
        Ok(house)
    }

    /// Everything but the running program.
    pub fn build(binary: &Binary, shop: &Shop, node: Node) -> anyhow::Result<Self> {
        let dir = binary.scratch()?;
        let (port, metrics) = (free_port()?, free_port()?);
        let http = client()?;
        let house = Self { http, port, metrics, dir, binary: binary.path()?, node, child: None };
        house.write("webhook-secret", WEBHOOK_SECRET)?;
        house.write("platform-secret", PLATFORM_SECRET)?;
        for channel in 0..shop.channels.len() {
            house.write(&Shop::api_key(channel), &Shop::api_key(channel))?;
        }
        house.write("service.toml", &shop.text())?;
        house.write("usher.toml", &house.settings())?;
        Ok(house)
    }

    /// Another of the same settings, with a copy of the data this one has left; neither runs.
    pub fn copy(&self) -> anyhow::Result<Self> {
        anyhow::ensure!(self.child.is_none(), "it runs, and its data changes");
        let parent = self.dir.path().parent().context("a directory stands in another")?;
        let dir = TempDir::new_in(parent)?;
        copy_all(self.dir.path(), dir.path())?;
        let (port, metrics) = (free_port()?, free_port()?);
        let (http, binary, node) = (client()?, self.binary.clone(), self.node.clone());
        let house = Self { http, port, metrics, dir, binary, node, child: None };
        house.write("usher.toml", &house.settings())?;
        Ok(house)
    }

    fn settings(&self) -> String {
        let Self { port, metrics, .. } = self;
        // Where nobody listens: refused at once.
        let provider = self.node.provider.as_deref().unwrap_or("http://127.0.0.1:9");
        let mut text = format!(
            "data_dir = \"data\"\n[http]\nbind = \"127.0.0.1:{port}\"\n\
             [metrics]\nbind = \"127.0.0.1:{metrics}\"\n\
             [provider]\nbase_url = \"{provider}\"\nmessages_per_second = 1000\n\
             platform_secret_file = \"platform-secret\"\n\
             [log]\nformat = \"human\"\nlevel = \"warn\"\n\
             [services]\nfiles = [\"service.toml\"]\n"
        );
        if let Some((slow, most)) = self.node.lag {
            let projector = format!("[projector]\nlag_slow = {slow}\nlag_max = {most}\n");
            text.push_str(&projector);
        }
        text
    }

    /// Other settings from the next start on.
    pub fn reconfigure(&self, shop: &Shop) -> anyhow::Result<()> {
        self.write("service.toml", &shop.text())
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.path(name);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        // Secrets have to be nobody else's to read.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Starts the program; how long it took until it was ready.
    pub async fn start(&mut self) -> anyhow::Result<Duration> {
        anyhow::ensure!(self.child.is_none(), "it runs already");
        // Connections to the one that ran before are of no use.
        self.http = client()?;
        let log = fs::File::options().create(true).append(true).open(self.path("log"))?;
        let mut command = match self.node.under.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(&self.binary);
                command
            }
            None => Command::new(&self.binary),
        };
        command.arg("--config").arg(self.path("usher.toml"));
        for (path, value) in &self.node.set {
            command.args(["--set", &format!("{path}={value}")]);
        }
        if let Some(library) = &self.node.preload {
            command.env("LD_PRELOAD", library);
        }
        command.envs(self.node.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let began = Instant::now();
        self.child = Some(command.spawn().context("usher could not be started")?);
        self.until_ready(began).await
    }

    async fn until_ready(&mut self, began: Instant) -> anyhow::Result<Duration> {
        let ready = self.url("/readyz");
        while began.elapsed() < READY_WITHIN {
            let answer = self.http.get(&ready).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(began.elapsed());
            }
            let child = self.child.as_mut().context("it was started")?;
            if let Some(status) = child.try_wait()? {
                self.child = None;
                bail!("usher ended with {status}:\n{}", self.log_end());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("usher was not ready in time:\n{}", self.log_end())
    }

    /// The program itself, also where another one watches it.
    pub fn process(&self) -> Process {
        let started = Process::of(self.child.as_ref().map_or(0, Child::id));
        if self.node.under.is_empty() {
            return started;
        }
        started.child().unwrap_or(started)
    }

    /// How many deadlines are armed once that number stands still.
    pub async fn armed(&self) -> anyhow::Result<f64> {
        let (mut before, began) = (-1.0, Instant::now());
        while began.elapsed() < READY_WITHIN {
            let now = self.metric(ARMED).await?;
            if (now - before).abs() < 0.5 {
                return Ok(now);
            }
            before = now;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        bail!("deadlines do not settle")
    }

    /// Starts the program; how long it took until it took work, and until so many deadlines were
    /// armed.
    pub async fn start_and_arm(&mut self, armed: f64) -> anyhow::Result<(Duration, Duration)> {
        let began = Instant::now();
        let ready = self.start().await?;
        while began.elapsed() < READY_WITHIN {
            if self.metric(ARMED).await? >= armed {
                return Ok((ready, began.elapsed()));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("not every deadline was armed in time")
    }

    /// SIGKILL: no last words, nothing flushed.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("it does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// SIGTERM, and until it has ended.
    pub fn terminate(&mut self) -> anyhow::Result<()> {
        self.process().terminate()?;
        let mut child = self.child.take().context("it does not run")?;
        child.wait()?;
        Ok(())
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn log_end(&self) -> String {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// A token for somebody.
    pub async fn sign_in(&self, email: &str) -> anyhow::Result<String> {
        let body = json!({"email": email, "password": PASSWORD});
        let answer = self.http.post(self.url("/v1/sessions")).json(&body).send().await?;
        let answer: Value = answer.error_for_status()?.json().await?;
        Ok(answer["token"].as_str().context("no token")?.to_owned())
    }

    /// One metric's value, summed over its labels.
    pub async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        Ok(answers::metric(&self.metrics().await?, name))
    }

    async fn metrics(&self) -> anyhow::Result<String> {
        let address = format!("http://127.0.0.1:{}/metrics", self.metrics);
        // On a connection of its own: one that waited while the program stood still is closed by it.
        let request = self.http.get(address).header(CONNECTION, "close");
        Ok(request.send().await?.text().await?)
    }

    /// Until the archive has everything.
    pub async fn until_level(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        while began.elapsed() < READY_WITHIN {
            if self.metric("usher_projector_lag_seconds").await? < 0.001 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("the archive did not become level")
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended already; a frozen one dies too.
            child.kill().ok();
            child.wait().ok();
        }
    }
}

fn client() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().pool_max_idle_per_host(64).build()?)
}

fn copy_all(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let (entry, place) = (entry?.path(), to);
        let place = place.join(entry.file_name().unwrap_or_default());
        if entry.is_dir() {
            fs::create_dir_all(&place)?;
            fs::set_permissions(&place, fs::metadata(&entry)?.permissions())?;
            copy_all(&entry, &place)?;
        } else {
            fs::copy(&entry, &place).with_context(|| place.display().to_string())?;
        }
    }
    Ok(())
}

/// Below the range from which the kernel gives out ports by itself.
pub fn free_port() -> anyhow::Result<u16> {
    for _ in 0..1_000 {
        let port = rand::random_range(20_000..30_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free")
}
