//! A provider that accepts every message at once and says so, for benches in which the provider is
//! not what is measured; the sandbox judges, this does not.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use anyhow::Context as _;
use serde_json::{Value, json};

const KEEP_ALIVE: Duration = Duration::from_hours(1);

/// A message that was accepted.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The number's place among the shop's channels.
    pub channel: usize,
    pub wa_id: String,
    pub wamid: String,
    pub callback_data: Option<String>,
    /// What it said; empty where it was no text.
    pub text: String,
}

/// The provider, on a thread of its own.
#[derive(Debug)]
pub struct Provider {
    pub url: String,
    sent: Receiver<Sent>,
    server: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

struct Book {
    told: Sender<Sent>,
    last: AtomicU64,
}

impl Provider {
    pub fn start() -> anyhow::Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST)
    }

    pub fn start_at(ip: Ipv4Addr) -> anyhow::Result<Self> {
        let (told, sent) = channel();
        let (ready, started) = channel();
        let book = Data::new(Book { told, last: AtomicU64::new(0) });
        let serve = move || actix_rt::System::new().block_on(serve(ip, book, ready));
        let thread = std::thread::Builder::new().name("provider".to_owned()).spawn(serve)?;
        let (address, server) = started.recv().context("the provider did not start")?;
        let url = format!("http://{}", address.context("the provider has no address")?);
        Ok(Self { url, sent, server, thread: Some(thread) })
    }

    /// What was accepted since it was last asked.
    pub fn take(&self) -> impl Iterator<Item = Sent> {
        self.sent.try_iter()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        // It stops by itself; there is nothing to wait for.
        drop(self.server.stop(false));
        drop(self.thread.take());
    }
}

async fn serve(ip: Ipv4Addr, book: Data<Book>, ready: Sender<(Option<SocketAddr>, ServerHandle)>) {
    let server = HttpServer::new(move || {
        App::new()
            .app_data(book.clone())
            .route("/messages", web::post().to(accept))
            .default_service(web::to(nothing))
    });
    // A connection closed just as it is used again would be an ambiguous send.
    let server = server.keep_alive(KEEP_ALIVE).client_request_timeout(Duration::ZERO);
    let Ok(server) = server.workers(1).disable_signals().bind((ip, 0)) else { return };
    let address = server.addrs().first().copied();
    let server = server.run();
    // Nobody waits where it could not start.
    ready.send((address, server.handle())).ok();
    server.await.ok();
}

/// Templates and the like: there are none.
async fn nothing() -> HttpResponse {
    HttpResponse::Ok()
        .json(json!({"waba_templates": [], "count": 0, "total": 0, "limit": 100, "offset": 0}))
}

async fn accept(request: HttpRequest, body: Bytes, book: Data<Book>) -> HttpResponse {
    let Ok(message) = serde_json::from_slice::<Value>(&body) else {
        return HttpResponse::BadRequest().finish();
    };
    // Read and typing marks are no messages.
    let Some(to) = message["to"].as_str().or(message["recipient"].as_str()) else {
        return HttpResponse::Ok().json(json!({"success": true}));
    };
    let wa_id = to.trim_start_matches('+').to_owned();
    let number = book.last.fetch_add(1, Ordering::Relaxed);
    let wamid = format!("wamid.HBgNNDkxNTEwMDAwMDAwMBUCABEYEk{number:016X}");
    let key = request.headers().get("d360-api-key").and_then(|key| key.to_str().ok());
    let channel = key.and_then(|key| key.strip_prefix("key-")?.parse().ok()).unwrap_or_default();
    let callback_data = message["biz_opaque_callback_data"].as_str().map(str::to_owned);
    let text = message["text"]["body"].as_str().unwrap_or_default().to_owned();
    let answer = json!({
        "messaging_product": "whatsapp",
        "contacts": [{"input": to, "wa_id": wa_id}],
        "messages": [{"id": wamid}],
    });
    // Whoever does not look at what was sent is gone.
    book.told.send(Sent { channel, wa_id, wamid, callback_data, text }).ok();
    HttpResponse::Ok().json(answer)
}
