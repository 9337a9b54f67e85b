//! One service under test, Usher or a peer, with the store it needs: started, killed, started again.

use std::fs;
use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;
use usher_protocol::SUB_PROTOCOL;
use usher_sandbox::NumberOptions;

use super::agents::Link;
use super::desk::{Desk, SimpleDesk, UsherDesk};
use super::poster::Door;
use super::{install, settings};
use crate::house::{answers, free_port};
use crate::measure::Process;

const SECRET: &str = "the-platform's-secret";
const TOKEN: &str = "the-agents'-token";
const PATIENCE: Duration = Duration::from_mins(1);

/// What is compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Usher,
    NodeWs,
    NodeBullmq,
    PythonFastapi,
}

impl Kind {
    pub(super) const ALL: [Self; 4] =
        [Self::Usher, Self::NodeWs, Self::NodeBullmq, Self::PythonFastapi];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Usher => "usher",
            Self::NodeWs => "node-ws",
            Self::NodeBullmq => "node-bullmq",
            Self::PythonFastapi => "python-fastapi",
        }
    }

    /// Its number at the sandbox.
    pub(super) fn number(self) -> String {
        format!("90010020030{}", self as u8)
    }

    pub(super) fn api_key(self) -> String {
        format!("key-of-{}", self.name())
    }

    fn source(self) -> PathBuf {
        install::sources().join(self.name())
    }

    /// Brings in what it needs.
    pub(super) fn install(self) -> anyhow::Result<()> {
        match self {
            Self::Usher => Ok(()),
            Self::NodeWs | Self::NodeBullmq => install::redis().and(install::node(&self.source())),
            Self::PythonFastapi => install::redis().and(install::venv(&self.source())),
        }
    }
}

/// The same for all.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) agents: usize,
    pub(super) capacity: usize,
    /// Silence before the notification, and from there to the closure.
    pub(super) idle: Duration,
    pub(super) grace: Duration,
}

/// A program that ends with its owner.
#[derive(Debug)]
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// One of them, with its directory.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) kind: Kind,
    terms: Terms,
    usher: PathBuf,
    dir: TempDir,
    port: u16,
    /// Of the peers' store; Usher has none, and tells its metrics there.
    store_port: u16,
    program: Option<Running>,
    store: Option<Running>,
    http: Client,
}

impl Service {
    /// Not yet started: the sandbox has to know its address first.
    pub(super) fn new(kind: Kind, terms: &Terms, usher: PathBuf) -> anyhow::Result<Self> {
        Ok(Self {
            kind,
            terms: terms.clone(),
            usher,
            dir: tempfile::tempdir().context("no directory for the service")?,
            port: free_port()?,
            store_port: free_port()?,
            program: None,
            store: None,
            http: Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?,
        })
    }

    /// Its number, whose webhooks come here.
    pub(super) fn number(&self) -> NumberOptions {
        let door = self.door();
        let source = format!("20010020030{}", self.kind as u8);
        let mut number =
            NumberOptions::new(&door.phone_number_id, "4930111222", &source, &self.kind.api_key());
        number.webhook_url = Some(format!("http://127.0.0.1:{}{}", door.port, door.path));
        number.webhook_headers = door.header.into_iter().collect();
        number.signing_secret = Some(door.secret);
        number.mps = 100_000;
        number
    }

    pub(super) fn door(&self) -> Door {
        let is_usher = self.kind == Kind::Usher;
        let header = ("x-usher-secret".to_owned(), settings::WEBHOOK_SECRET.to_owned());
        Door {
            port: self.port,
            path: if is_usher { settings::hook() } else { "/webhook".to_owned() },
            secret: SECRET.to_owned(),
            header: is_usher.then_some(header),
            phone_number_id: self.kind.number(),
        }
    }

    pub(super) fn link(&self) -> Link {
        let port = self.port;
        if self.kind == Kind::Usher {
            let address = format!("ws://127.0.0.1:{port}/v1/agent/socket");
            return Link { address, protocol: Some(SUB_PROTOCOL) };
        }
        Link { address: format!("ws://127.0.0.1:{port}/agent"), protocol: None }
    }

    /// One desk for each agent; Usher's have to sign in.
    pub(super) async fn desks(&self) -> anyhow::Result<Vec<Box<dyn Desk>>> {
        let mut desks: Vec<Box<dyn Desk>> = Vec::new();
        for agent in 0..self.terms.agents {
            let name = settings::agent(agent);
            if self.kind != Kind::Usher {
                desks.push(Box::new(SimpleDesk::new(&name, TOKEN)));
                continue;
            }
            let body = json!({ "email": settings::email(&name), "password": settings::PASSWORD });
            let address = format!("http://127.0.0.1:{}/v1/sessions", self.port);
            let answer = self.http.post(address).json(&body).send().await?.error_for_status()?;
            let answer: Value = answer.json().await?;
            let token = answer["token"].as_str().context("the sign-in brought no token")?;
            desks.push(Box::new(UsherDesk::new(token)));
        }
        Ok(desks)
    }

    /// Starts store and program, and returns once they answer.
    pub(super) async fn start(&mut self, provider: &str) -> anyhow::Result<()> {
        if self.kind == Kind::Usher {
            self.write_settings(provider)?;
        } else {
            self.start_store().await?;
        }
        let command = self.command(provider);
        self.program = Some(self.spawn(command)?);
        let path = if self.kind == Kind::Usher { "/readyz" } else { "/health" };
        let ready = format!("http://127.0.0.1:{}{path}", self.port);
        let begun = Instant::now();
        loop {
            let answer = self.http.get(&ready).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                bail!("{} does not come up:\n{}", self.kind.name(), self.log_end());
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// SIGKILL to program and store: no last words.
    pub(super) fn kill(&mut self) {
        self.program = None;
        self.store = None;
    }

    /// Processor time of program and store so far, user and system.
    pub(super) fn cpu(&self) -> Duration {
        let running = [&self.program, &self.store].into_iter().flatten();
        // What has just ended has used nothing more.
        running.map(|it| Process::of(it.0.id()).cpu().unwrap_or_default()).sum()
    }

    /// Messages whose sending ended with an unknown outcome, where that is told.
    pub(super) async fn unknown(&self) -> anyhow::Result<Option<u64>> {
        if self.kind != Kind::Usher {
            return Ok(None);
        }
        let address = format!("http://127.0.0.1:{}/metrics", self.store_port);
        let text = self.http.get(address).send().await?.text().await?;
        let told = answers::metric(&text, "usher_outbound_unknown_total");
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let count = told as u64;
        Ok(Some(count))
    }

    pub(super) fn log_end(&self) -> String {
        let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn command(&self, provider: &str) -> Command {
        let source = self.kind.source();
        let mut command = match self.kind {
            Kind::Usher => {
                let mut command = Command::new(&self.usher);
                command.arg("--config").arg(self.dir.path().join("usher.toml"));
                return command;
            }
            Kind::NodeWs | Kind::NodeBullmq => {
                let mut command = Command::new("node");
                command.arg("server.js").env("NODE_ENV", "production");
                command
            }
            Kind::PythonFastapi => {
                let mut command = Command::new(install::python(&source));
                let uvicorn = "-m uvicorn server:app --host 127.0.0.1 --no-access-log \
                               --log-level warning --loop uvloop --http httptools";
                command.args(uvicorn.split_whitespace()).arg("--port").arg(self.port.to_string());
                command.env("PYTHONDONTWRITEBYTECODE", "1");
                command
            }
        };
        let Terms { capacity, idle, grace, .. } = &self.terms;
        command
            .current_dir(source)
            .env("PORT", self.port.to_string())
            .env("REDIS_PORT", self.store_port.to_string())
            .env("PROVIDER_URL", provider)
            .env("PROVIDER_KEY", self.kind.api_key())
            .env("WEBHOOK_SECRET", SECRET)
            .env("AGENT_TOKEN", TOKEN)
            .env("CAPACITY", capacity.to_string())
            .env("IDLE_MS", idle.as_millis().to_string())
            .env("GRACE_MS", grace.as_millis().to_string());
        command
    }

    fn spawn(&self, mut command: Command) -> anyhow::Result<Running> {
        let log = File::options().create(true).append(true).open(self.dir.path().join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(Running(command.spawn().with_context(|| format!("cannot run {command:?}"))?))
    }

    /// Redis with an append-only file flushed every second: what its manual recommends.
    async fn start_store(&mut self) -> anyhow::Result<()> {
        let mut command = Command::new("redis-server");
        let port = self.store_port.to_string();
        command
            .args(["--port", &port, "--bind", "127.0.0.1", "--appendonly", "yes"])
            .args(["--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction"])
            .arg("--dir")
            .arg(self.dir.path());
        self.store = Some(self.spawn(command)?);
        let begun = Instant::now();
        while !is_loaded(self.store_port).await {
            if begun.elapsed() > PATIENCE {
                bail!("Redis does not come up:\n{}", self.log_end());
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    fn write_settings(&self, provider: &str) -> anyhow::Result<()> {
        let secrets = [
            ("platform-secret", SECRET.to_owned()),
            ("webhook-secret", settings::WEBHOOK_SECRET.to_owned()),
            ("api-key", self.kind.api_key()),
        ];
        let node = settings::node(self.port, self.store_port, provider);
        let service = settings::service(&self.terms, &self.kind.number());
        let texts = [("usher.toml", node), ("desk.toml", service)];
        for (name, text) in secrets.into_iter().chain(texts) {
            let path = self.dir.path().join(name);
            fs::write(&path, text)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        }
        Ok(())
    }
}

async fn is_loaded(port: u16) -> bool {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let Ok(mut stream) = tokio::net::TcpStream::connect(("127.0.0.1", port)).await else {
        return false;
    };
    let mut said = [0; 5];
    stream.write_all(b"PING\r\n").await.is_ok()
        && stream.read_exact(&mut said).await.is_ok()
        && said == *b"+PONG"
}
