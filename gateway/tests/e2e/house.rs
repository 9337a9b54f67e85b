//! A running house: the program in a directory of its own, and the pretend 360dialog beside it.

use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use usher_sandbox::{NumberOptions, Sandbox, SandboxHandle, SandboxOptions};
use usher_store::{Postgres, Store, StoreOptions};

use crate::shop::{PASSWORD, Shop, WEBHOOK_SECRET};
use crate::wait::{until, until_within};

pub(crate) struct House {
    pub(crate) shop: Shop,
    pub(crate) http: Client,
    pub(crate) port: u16,
    pub(crate) metrics: u16,
    pub(crate) sandbox: SandboxHandle,
    dir: TempDir,
    /// The database that its records are in; `None`: files.
    database: Option<String>,
    usher: Option<Child>,
}

impl House {
    pub(crate) async fn open(shop: Shop) -> Self {
        Self::build(&[shop], |_| ()).run().await
    }

    /// Several services on one node; the first is the one that is meant where none is named.
    pub(crate) async fn open_with(shops: &[Shop]) -> Self {
        Self::build(shops, |_| ()).run().await
    }

    /// Everything but the program.
    pub(crate) fn build(shops: &[Shop], tweak: impl FnOnce(&mut SandboxOptions)) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let (port, metrics) = (free_port(), free_port());
        let every = |shop: &'_ Shop| {
            let shop = shop.clone();
            (0..shop.channels).map(move |index| number(&shop, index, port))
        };
        let numbers = shops.iter().flat_map(every).collect();
        let mut options = SandboxOptions { numbers, time_scale: 0.02, ..SandboxOptions::default() };
        tweak(&mut options);
        let sandbox = Sandbox::start(options).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let house = Self {
            shop: shops[0].clone(),
            http: Client::builder().pool_max_idle_per_host(64).build().unwrap(),
            port,
            metrics,
            sandbox,
            dir,
            database: usher_tests::postgres::wanted(),
            usher: None,
        };
        house.write("webhook-secret", WEBHOOK_SECRET);
        for shop in shops {
            for index in 0..shop.channels {
                house.write(&shop.api_key_of(index), &shop.api_key_of(index));
            }
            house.write(&format!("{}.toml", shop.key), &shop.text());
        }
        house.write("usher.toml", &house.settings(shops));
        house
    }

    fn settings(&self, shops: &[Shop]) -> String {
        let files: Vec<String> = shops.iter().map(|shop| format!("{}.toml", shop.key)).collect();
        let Self { port, metrics, .. } = self;
        let provider = self.sandbox.base_url();
        let database = self.database.as_deref().unwrap_or_default();
        format!(
            "data_dir = \"data\"\n[store]\nurl = \"{database}\"\n[http]\nbind = \"127.0.0.1:{port}\"\nstop_grace = \"2s\"\n\
             [metrics]\nbind = \"127.0.0.1:{metrics}\"\n\
             [limits]\ncommands_per_second = 1000\ncommands_burst = 1000\n\
             [provider]\nbase_url = \"{provider}\"\nmessages_per_second = 1000\ntimeout = \"5s\"\n\
             [log]\nformat = \"human\"\nlevel = \"info\"\n[services]\nfiles = {files:?}\n"
        )
    }

    /// Where its records are from its next start on; `None`: in files.
    pub(crate) fn is_kept_in(&mut self, database: Option<String>) {
        self.database = database;
        self.write("usher.toml", &self.settings(std::slice::from_ref(&self.shop)));
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    async fn run(mut self) -> Self {
        self.start().await;
        self
    }

    /// Starts the program, and returns once it is ready.
    pub(crate) async fn start(&mut self) {
        self.start_as(Command::new(env!("CARGO_BIN_EXE_usher"))).await;
    }

    /// Starts it by a command that ends in the program's own path.
    pub(crate) async fn start_as(&mut self, mut command: Command) {
        assert!(self.usher.is_none(), "it runs already");
        let log = fs::File::options().create(true).append(true).open(self.path("log")).unwrap();
        command
            .arg("--config")
            .arg(self.path("usher.toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.usher = Some(command.spawn().unwrap());
        let ready = self.url("/readyz");
        until_within(Duration::from_mins(1), "program that is ready", async || {
            match self.http.get(&ready).send().await {
                Ok(answer) if answer.status().is_success() => Ok(()),
                Ok(answer) => Err(answer.status().to_string()),
                Err(error) => Err(format!("{error:?}\n{}", self.log_end())),
            }
        })
        .await;
    }

    pub(crate) fn pid(&self) -> u32 {
        self.usher.as_ref().expect("it runs").id()
    }

    /// SIGKILL: no last words, nothing flushed.
    pub(crate) fn kill(&mut self) {
        let mut usher = self.usher.take().expect("it runs");
        usher.kill().unwrap();
        usher.wait().unwrap();
    }

    /// SIGTERM, and how it ended.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        let mut usher = self.usher.take().expect("it runs");
        signal(usher.id(), "TERM");
        until("end after SIGTERM", async || match usher.try_wait().unwrap() {
            Some(status) => Ok(status),
            None => Err(self.log_end()),
        })
        .await
    }

    /// A sub-command of the program on the same settings.
    pub(crate) fn command(&self, name: &str) -> ExitStatus {
        Command::new(env!("CARGO_BIN_EXE_usher"))
            .arg(name)
            .arg("--config")
            .arg(self.path("usher.toml"))
            .status()
            .unwrap()
    }

    /// What is kept, while the program does not run.
    pub(crate) fn store(&self) -> Store {
        assert!(self.usher.is_none(), "it still runs");
        let postgres = self.database.as_deref().map(|url| Postgres::new(url, None).unwrap());
        Store::open(&self.data(), StoreOptions { postgres, ..StoreOptions::default() }).unwrap()
    }

    /// The whole archive as text.
    pub(crate) fn archive(&self) -> String {
        self.store().archive().reader().unwrap().dump().unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn hook(&self) -> String {
        self.url(&format!("/hooks/360dialog/{}", self.shop.channel()))
    }

    /// Posts a webhook as 360dialog would.
    pub(crate) async fn post_webhook(
        &self,
        body: impl Into<reqwest::Body>,
    ) -> reqwest::Result<StatusCode> {
        let request = self
            .http
            .post(self.hook())
            .header("content-type", "application/json")
            .header("x-usher-secret", WEBHOOK_SECRET);
        Ok(request.body(body).send().await?.status())
    }

    /// A token for somebody of the shop.
    pub(crate) async fn sign_in(&self, name: &str) -> String {
        self.sign_in_to(&self.shop, name).await
    }

    pub(crate) async fn sign_in_to(&self, shop: &Shop, name: &str) -> String {
        let body = json!({ "email": shop.email(name), "password": PASSWORD });
        let answer = self.http.post(self.url("/v1/sessions")).json(&body).send().await.unwrap();
        let status = answer.status();
        let body: Value = answer.json().await.unwrap();
        assert!(status.is_success(), "{body}");
        body["token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn get(&self, token: &str, path: &str) -> Response {
        self.http.get(self.url(path)).bearer_auth(token).send().await.unwrap()
    }

    pub(crate) async fn post(&self, token: &str, path: &str, body: &Value) -> Response {
        self.http.post(self.url(path)).bearer_auth(token).json(body).send().await.unwrap()
    }

    /// One metric's value, summed over its labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let address = format!("http://127.0.0.1:{}/metrics", self.metrics);
        let text = self.http.get(address).send().await.unwrap().text().await.unwrap();
        let of_name =
            |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
        let values = text.lines().filter(of_name).filter_map(|line| line.rsplit(' ').next());
        values.map(|value| value.parse::<f64>().unwrap()).sum()
    }

    /// Everything the pretend 360dialog wrote down of one kind.
    pub(crate) async fn ledger(&self, kind: &str) -> Vec<Value> {
        let mut entries = Vec::new();
        let mut after = 0;
        loop {
            let path = format!("/sandbox/api/ledger?after={after}&limit=5000&kind={kind}");
            let address = format!("{}{path}", self.sandbox.base_url());
            let page: Value = self.http.get(address).send().await.unwrap().json().await.unwrap();
            let more = page["entries"].as_array().unwrap().clone();
            let is_last = more.len() < 5000;
            entries.extend(more);
            after = page["next"].as_u64().unwrap();
            if is_last {
                return entries;
            }
        }
    }

    /// Asks the pretend 360dialog to do something.
    pub(crate) async fn sandbox_post(&self, path: &str, body: &Value) -> Value {
        let address = format!("{}/sandbox/api/{path}", self.sandbox.base_url());
        let answer = self.http.post(address).json(body).send().await.unwrap();
        let status = answer.status();
        let said: Value = answer.json().await.unwrap();
        assert!(status.is_success(), "{path}: {said}");
        said
    }

    /// The end of the program's log, for whoever looks for the reason of a failure.
    pub(crate) fn log_end(&self) -> String {
        let mut log = String::new();
        if let Ok(mut file) = fs::File::open(self.path("log")) {
            file.read_to_string(&mut log).ok();
        }
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(mut usher) = self.usher.take() {
            usher.kill().ok();
            usher.wait().ok();
        }
        if std::thread::panicking() {
            eprintln!("--- log ---\n{}", self.log_end());
        }
    }
}

fn number(shop: &Shop, index: u32, port: u16) -> NumberOptions {
    let id = shop.phone_number_id_of(index);
    let display = format!("+1 555 01{index:02}");
    let mut number = NumberOptions::new(&id, &display, &shop.source(), &shop.api_key_of(index));
    let channel = shop.channel_of(index);
    number.webhook_url = Some(format!("http://127.0.0.1:{port}/hooks/360dialog/{channel}"));
    number.webhook_headers = vec![("x-usher-secret".to_owned(), WEBHOOK_SECRET.to_owned())];
    number.mps = 100_000;
    number
}

/// Below the range from which the kernel gives out ports by itself.
pub(crate) fn free_port() -> u16 {
    loop {
        let port = rand::random_range(20_000..30_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

pub(crate) fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().unwrap();
    assert!(sent.success());
}

/// Whether a program is there to be used.
pub(crate) fn has(program: &str) -> bool {
    let looked = Command::new(program).arg("--version").stdout(Stdio::null()).status();
    looked.is_ok_and(|status| status.success())
}
