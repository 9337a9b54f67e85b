//! A sandbox with one number, a webhook receiver that answers as told, and a client for both sides.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_web::web::{Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::{Value, json};
use tokio::sync::watch;
use usher_sandbox::{NumberOptions, Sandbox, SandboxHandle, SandboxOptions};

pub(crate) const KEY: &str = "key-1";
pub(crate) const PHONE: &str = "4915550001111";
const PATIENCE: Duration = Duration::from_secs(20);

/// One webhook as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Bytes,
}

#[derive(Debug, Clone, Default)]
struct State {
    seen: Vec<Seen>,
    answers: VecDeque<u16>,
}

/// The business's endpoint; 200 unless told otherwise.
#[derive(Debug)]
pub(crate) struct Hook {
    state: watch::Sender<State>,
    url: String,
}

impl Hook {
    fn start() -> (Arc<Self>, actix_web::dev::ServerHandle) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let hook = Arc::new(Self { state: watch::Sender::new(State::default()), url });
        let data = Data::from(Arc::clone(&hook));
        let server = HttpServer::new(move || {
            App::new().app_data(data.clone()).route("/hook", web::post().to(receive))
        })
        .workers(1)
        .disable_signals()
        .listen(listener)
        .unwrap()
        .run();
        let handle = server.handle();
        tokio::spawn(server);
        (hook, handle)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn answer_next(&self, answers: &[u16]) {
        self.state.send_modify(|state| state.answers.extend(answers));
    }

    pub(crate) fn received(&self) -> Vec<Seen> {
        self.state.borrow().seen.clone()
    }

    /// Every `value` of every change, in order of arrival.
    pub(crate) fn values(&self) -> Vec<Value> {
        let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
        let all = self.received();
        let bodies = all.iter().map(|seen| serde_json::from_slice(&seen.body).unwrap_or_default());
        let entries = bodies.flat_map(|body: Value| list(&body, "entry"));
        let changes = entries.flat_map(|entry| list(&entry, "changes"));
        changes.map(|change| change["value"].clone()).collect()
    }
}

async fn receive(request: HttpRequest, hook: Data<Hook>, body: Bytes) -> HttpResponse {
    let headers = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    let mut answer = 200;
    hook.state.send_modify(|state| {
        state.seen.push(Seen { headers, body });
        answer = state.answers.pop_front().unwrap_or(200);
    });
    HttpResponse::build(answer.try_into().unwrap()).finish()
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
    pub(crate) bytes: Bytes,
}

impl Answer {
    pub(crate) fn code(&self) -> i64 {
        self.body["error"]["code"].as_i64().unwrap_or(0)
    }
}

pub(crate) struct Bench {
    sandbox: SandboxHandle,
    pub(crate) hook: Arc<Hook>,
    server: actix_web::dev::ServerHandle,
    pub(crate) client: reqwest::Client,
    pub(crate) base: String,
}

impl Bench {
    pub(crate) fn start(change: impl FnOnce(&mut SandboxOptions)) -> Self {
        let (hook, server) = Hook::start();
        let mut number = NumberOptions::new("106540352242922", "+49 30 901820", "10229", KEY);
        number.webhook_url = Some(hook.url().to_owned());
        let mut options = SandboxOptions { numbers: vec![number], ..SandboxOptions::default() };
        change(&mut options);
        let sandbox = Sandbox::start(options).unwrap();
        let base = sandbox.base_url();
        Self { sandbox, hook, server, client: reqwest::Client::new(), base }
    }

    pub(crate) async fn stop(self) {
        self.sandbox.stop().await;
        self.server.stop(false).await;
    }

    pub(crate) fn now_s() -> u64 {
        #[expect(clippy::disallowed_methods, reason = "the sandbox lives by real time")]
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
    }

    pub(crate) async fn answer(&self, request: reqwest::RequestBuilder) -> Answer {
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let bytes = answer.bytes().await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status, headers, body, bytes }
    }

    pub(crate) fn post(&self, path: &str, key: &str, body: &Value) -> reqwest::RequestBuilder {
        self.client.post(format!("{}/{path}", self.base)).header("D360-API-KEY", key).json(body)
    }

    pub(crate) async fn provider(&self, path: &str, body: Value) -> Answer {
        self.answer(self.post(path, KEY, &body)).await
    }

    pub(crate) async fn with_key(&self, key: &str, body: Value) -> Answer {
        self.answer(self.post("messages", key, &body)).await
    }

    pub(crate) async fn read(&self, path: &str) -> Answer {
        let request = self.client.get(format!("{}/{path}", self.base));
        self.answer(request.header("D360-API-KEY", KEY)).await
    }

    pub(crate) async fn control(&self, path: &str, body: Value) -> Value {
        let answer = self.answer(self.post(&format!("sandbox/api/{path}"), "", &body)).await;
        assert_eq!(answer.status, 200, "{path} {body}: {answer:?}");
        answer.body
    }

    pub(crate) async fn control_status(&self, path: &str, body: Value) -> u16 {
        self.answer(self.post(&format!("sandbox/api/{path}"), "", &body)).await.status
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.read(&format!("sandbox/api/{path}")).await.body
    }

    /// The phone writes once; its wamid.
    pub(crate) async fn open_window(&self) -> Value {
        self.control(&format!("phones/{PHONE}/messages"), json!({"text": "hi"})).await["id"].clone()
    }

    /// Waits until `done`, asked again at every webhook and at least every 10 ms.
    pub(crate) async fn until(&self, done: impl AsyncFn() -> bool) {
        let mut hooks = self.hook.state.subscribe();
        let wait = async {
            while !done().await {
                let _either =
                    tokio::time::timeout(Duration::from_millis(10), hooks.changed()).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("it never happened");
    }

    /// The delivery attempts of a message from a phone, once there are `count`.
    pub(crate) async fn attempts(&self, wamid: &Value, count: usize) -> Vec<Value> {
        let ours = async || -> Vec<Value> {
            let ledger = self.get("ledger?kind=webhook").await;
            let all = ledger["entries"].as_array().unwrap().clone();
            all.into_iter()
                .filter(|entry| entry["messages"].as_array().is_some_and(|ids| ids.contains(wamid)))
                .collect()
        };
        self.until(async || ours().await.len() >= count).await;
        ours().await
    }

    /// The receipts of a message of ours, in order of arrival, once there are `count`.
    pub(crate) async fn statuses(&self, wamid: &Value, count: usize) -> Vec<Value> {
        let ours = || -> Vec<Value> {
            let lists =
                self.hook.values().into_iter().filter_map(|v| v["statuses"].as_array().cloned());
            lists.flatten().filter(|status| status["id"] == *wamid).collect()
        };
        self.until(async || ours().len() >= count).await;
        ours()
    }
}

pub(crate) fn text_to(to: &str, text: &str) -> Value {
    json!({"messaging_product": "whatsapp", "recipient_type": "individual", "to": to,
        "type": "text", "text": {"body": text}})
}
