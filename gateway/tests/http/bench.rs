//! One program with a data directory of its own, and a client for both of its sides.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const PHONE: &str = "4915550001111";
/// The demo's numbers.
pub(crate) const SUPPORT: &str = "100000000000001";
pub(crate) const SALES: &str = "100000000000002";
pub(crate) const PASSWORD: &str = "usher-demo";

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Bench {
    running: Running,
    dir: TempDir,
    settings: Vec<String>,
    pub(crate) client: Client,
}

/// The program, and where it said it could be reached; killed with this.
struct Running {
    child: Child,
    gateway: String,
    sandbox: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    pub(crate) fn code(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or_default())
    }
}

impl Bench {
    /// The built-in demo.
    pub(crate) fn demo() -> Self {
        Self::with(None, &[])
    }

    /// The built-in demo, with some settings of one's own.
    pub(crate) fn demo_with(settings: &[&str]) -> Self {
        Self::open(None, &[], settings)
    }

    /// With a service file instead, and files beside it for what it names in `{dir}`.
    pub(crate) fn with(file: Option<&str>, beside: &[(&str, &str)]) -> Self {
        Self::open(file, beside, &[])
    }

    /// The built-in demo without its pretend phones, and files beside it for what the settings
    /// name in `{dir}`.
    pub(crate) fn without_phones(beside: &[(&str, &str)], settings: &[&str]) -> Self {
        Self::open(None, beside, &[settings, &["sandbox.on=false"]].concat())
    }

    fn open(file: Option<&str>, beside: &[(&str, &str)], settings: &[&str]) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in beside {
            write_private(&dir.path().join(name), text);
        }
        if let Some(file) = file {
            let text = file.replace("{dir}", &dir.path().display().to_string());
            std::fs::write(dir.path().join("service.toml"), text).unwrap();
        }
        let services = match file {
            Some(_) => format!("services.files={}", dir.path().join("service.toml").display()),
            None => "services.demo=true".to_owned(),
        };
        let here = dir.path().display().to_string();
        let settings = settings.iter().map(|setting| setting.replace("{dir}", &here));
        let settings: Vec<String> = settings.chain([services]).collect();
        let running = start(dir.path(), &settings);
        Self { running, dir, settings, client: Client::new() }
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) async fn stop(&mut self) -> ExitStatus {
        let pid = self.running.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let mut child = || self.running.child.try_wait().unwrap();
        let waited = async {
            loop {
                if let Some(status) = child() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waited).await.expect("it never stopped")
    }

    /// Stops and starts again over the same data.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.running = start(self.dir.path(), &self.settings);
    }

    pub(crate) fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.running.gateway))
    }

    pub(crate) async fn answer(&self, request: RequestBuilder) -> Answer {
        let answer = request.timeout(PATIENCE).send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let bytes = answer.bytes().await.unwrap().to_vec();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status, headers, body, bytes }
    }

    pub(crate) async fn get(&self, token: &str, path: &str) -> Answer {
        self.answer(self.request(Method::GET, path).bearer_auth(token)).await
    }

    pub(crate) async fn post(&self, token: &str, path: &str, body: Value) -> Answer {
        self.answer(self.request(Method::POST, path).bearer_auth(token).json(&body)).await
    }

    pub(crate) async fn sign_in(&self, name: &str, password: &str) -> Answer {
        let body = json!({"email": format!("{name}@demo.example"), "password": password});
        self.answer(self.request(Method::POST, "/v1/sessions").json(&body)).await
    }

    pub(crate) async fn token(&self, name: &str) -> String {
        let answer = self.sign_in(name, PASSWORD).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.body["token"].as_str().unwrap().to_owned()
    }

    /// Something done at the pretend phones.
    pub(crate) async fn sandbox(&self, path: &str, body: Value) -> Value {
        let url = format!("{}/api/{path}", self.running.sandbox);
        let answer = self.answer(self.client.post(url).json(&body)).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.body
    }

    /// Where the pretend phones are to be seen.
    pub(crate) fn sandbox_page(&self) -> &str {
        &self.running.sandbox
    }

    pub(crate) async fn phone_writes(&self, message: Value) {
        self.sandbox(&format!("phones/{PHONE}/messages"), message).await;
    }

    pub(crate) async fn phone_shows(&self, number: &str) -> Value {
        let base = &self.running.sandbox;
        let url = format!("{base}/api/phones/{PHONE}/thread?number={number}");
        self.answer(self.client.get(url)).await.body
    }

    /// Asks again until there is something.
    pub(crate) async fn until<T>(&self, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
        let asked = async {
            loop {
                if let Some(found) = ask().await {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.expect("it never happened")
    }

    /// The one live enquiry, once it is there.
    pub(crate) async fn enquiry(&self, token: &str) -> String {
        self.until(async || {
            let answer = self.get(token, "/v1/enquiries").await;
            answer.body["enquiries"][0]["id"].as_str().map(str::to_owned)
        })
        .await
    }

    pub(crate) async fn channel(&self, token: &str, name: &str) -> String {
        let answer = self.get(token, "/v1/channels").await;
        let channels = answer.body["channels"].as_array().unwrap();
        let found = channels.iter().find(|channel| channel["name"] == name).unwrap();
        found["id"].as_str().unwrap().to_owned()
    }
}

fn start(dir: &std::path::Path, more: &[String]) -> Running {
    let data = format!("data_dir={}", dir.join("data").display());
    let settings = [
        data.as_str(),
        "http.bind=127.0.0.1:0",
        "metrics.bind=",
        "sandbox.on=true",
        "sandbox.bind=127.0.0.1:0",
        "log.level=warn",
    ];
    let settings = settings.into_iter().chain(more.iter().map(String::as_str));
    let mut child = Command::new(env!("CARGO_BIN_EXE_usher"))
        .args(settings.flat_map(|setting| ["--set", setting]))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    while !said.contains("Ctrl-C") {
        assert_ne!(out.read_line(&mut said).unwrap(), 0, "it did not start: {said}");
    }
    let mut addresses = said.split_whitespace().filter(|word| word.starts_with("http"));
    let mut next = || addresses.next().unwrap_or_default().to_owned();
    Running { child, gateway: next(), sandbox: next() }
}

/// Secrets have to be nobody else's to read.
fn write_private(path: &std::path::Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
