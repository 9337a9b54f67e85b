//! The nodes as processes: their settings, their start and their end.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use super::ground::Place;
use crate::house::{PLATFORM_SECRET, Shop, WEBHOOK_SECRET};
use crate::measure::Process;

/// How many there are.
pub(super) const NODES: usize = 3;
const ENDS_WITHIN: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A program, and which settings it knows: an older one knows fewer.
#[derive(Clone, Debug)]
pub(super) struct Build {
    path: PathBuf,
    keys: String,
}

/// What all nodes are told alike.
#[derive(Clone, Debug)]
pub(super) struct Common {
    pub(super) redis: String,
    pub(super) provider: String,
    pub(super) lease: Duration,
    /// Holds the settings; each node's data is below it.
    pub(super) dir: PathBuf,
}

pub(super) struct Node {
    pub(super) name: String,
    pub(super) place: Place,
    build: Build,
    common: Common,
    store: String,
    http: u16,
    metrics: u16,
    wire: u16,
    child: Option<Child>,
}

impl Build {
    pub(super) fn new(path: &Path) -> anyhow::Result<Self> {
        let told = Command::new(path).arg("print-config").output();
        let told = told.with_context(|| path.display().to_string())?;
        ensure!(
            told.status.success(),
            "{}: {}",
            path.display(),
            String::from_utf8_lossy(&told.stderr)
        );
        let keys = String::from_utf8_lossy(&told.stdout).into_owned();
        Ok(Self { path: path.to_owned(), keys })
    }

    /// Whether every node of it takes what comes, wherever the services are.
    pub(super) fn has_doors(&self) -> bool {
        self.keys.contains("\nadvertise = ")
    }

    /// Whether a node hands over to one that has come, besides when it ends.
    fn rebalances(&self) -> bool {
        self.keys.contains("\nrebalance_after = ")
    }
}

impl Common {
    /// Writes down what is the same for all.
    pub(super) fn write(&self, shop: &Shop) -> anyhow::Result<()> {
        self.file("webhook-secret", WEBHOOK_SECRET)?;
        self.file("platform-secret", PLATFORM_SECRET)?;
        self.file("cluster-secret", "the nodes know each other by this one alone")?;
        for channel in 0..shop.channels.len() {
            self.file(&Shop::api_key(channel), &Shop::api_key(channel))?;
        }
        self.file("service.toml", &shop.text())?;
        let provider = &self.provider;
        let settings = format!(
            "[provider]\nbase_url = \"{provider}\"\nmessages_per_second = 1000\n\
             platform_secret_file = \"platform-secret\"\n\
             [limits]\ncommands_per_second = 1000\ncommands_burst = 1000\nconnections_per_staff = 16\n\
             [log]\nformat = \"human\"\nlevel = \"info\"\n[services]\nfiles = [\"service.toml\"]\n"
        );
        self.file("usher.toml", &settings)
    }

    fn file(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.dir.join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        // Secrets have to be nobody else's to read.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(())
    }
}

impl Node {
    pub(super) fn new(
        name: String,
        mut place: Place,
        build: &Build,
        common: &Common,
        store: String,
    ) -> anyhow::Result<Self> {
        let (http, metrics, wire) = (place.free_port()?, place.free_port()?, place.free_port()?);
        let (build, common) = (build.clone(), common.clone());
        Ok(Self { name, place, build, common, store, http, metrics, wire, child: None })
    }

    pub(super) fn becomes(&mut self, build: &Build) {
        self.build = build.clone();
    }

    pub(super) fn start(&mut self) -> anyhow::Result<()> {
        let name = self.name.clone();
        self.start_as(&name)
    }

    /// Under a name that may be another's.
    pub(super) fn start_as(&mut self, name: &str) -> anyhow::Result<()> {
        ensure!(self.child.is_none(), "{} runs already", self.name);
        let log = fs::File::options().create(true).append(true).open(self.log())?;
        let mut command = self.place.command(&self.build.path.display().to_string());
        command.arg("--config").arg(self.common.dir.join("usher.toml"));
        for set in self.settings(name) {
            command.args(["--set", &set]);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().context("usher could not be started")?);
        Ok(())
    }

    fn settings(&self, name: &str) -> Vec<String> {
        let Self { common, place, .. } = self;
        let ip = place.ip;
        let data = common.dir.join(&self.name);
        let lease = common.lease.as_millis();
        let mut settings = vec![
            format!("data_dir={}", data.display()),
            format!("http.bind={}", self.http()),
            format!("metrics.bind={ip}:{}", self.metrics),
            format!("store.url={}", self.store),
            format!("cluster.redis={}", common.redis),
            format!("cluster.node={name}"),
            format!("cluster.lease={lease}ms"),
        ];
        if self.build.has_doors() {
            let wire = format!("{ip}:{}", self.wire);
            settings.push(format!("cluster.bind={wire}"));
            settings.push(format!("cluster.advertise={wire}"));
            let secret = common.dir.join("cluster-secret");
            settings.push(format!("cluster.secret_file={}", secret.display()));
        }
        if self.build.rebalances() {
            // What moves is to move by the fault alone.
            settings.push("cluster.rebalance_after=1h".to_owned());
        }
        settings
    }

    pub(super) fn http(&self) -> SocketAddr {
        (self.place.ip, self.http).into()
    }

    pub(super) fn metrics(&self) -> SocketAddr {
        (self.place.ip, self.metrics).into()
    }

    pub(super) fn log(&self) -> PathBuf {
        self.common.dir.join(format!("{}.log", self.name))
    }

    pub(super) fn process(&self) -> anyhow::Result<Process> {
        Ok(Process::of(self.child.as_ref().context("it does not run")?.id()))
    }

    pub(super) const fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// Why it does not run though it was started.
    pub(super) fn has_ended(&mut self) -> Option<String> {
        let status = self.child.as_mut()?.try_wait().ok().flatten()?;
        self.child = None;
        Some(format!("{} ended by itself: {status}", self.name))
    }

    /// SIGKILL: no last words.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("it does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// SIGTERM, and until it has ended.
    pub(super) async fn terminate(&mut self) -> anyhow::Result<()> {
        self.process()?.terminate()?;
        let mut child = self.child.take().context("it does not run")?;
        let began = Instant::now();
        while began.elapsed() < ENDS_WITHIN {
            if child.try_wait()?.is_some() {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        child.kill()?;
        child.wait()?;
        bail!("{} did not end when it was told to", self.name)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended already; a frozen one dies too.
            child.kill().ok();
            child.wait().ok();
        }
    }
}
