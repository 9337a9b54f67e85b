//! Which path leads where, and how the sandbox is started and stopped.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use actix_web::web::{self, Data, JsonConfig, PayloadConfig, ServiceConfig};
use actix_web::{App, HttpResponse, HttpServer};
use tokio::sync::watch;

use crate::errors;
use crate::options::SandboxOptions;
use crate::world::Provider;
use crate::{configs, control, delivery, files, gate, messages};

/// Enough for the largest document in base64.
const LARGEST_BODY: usize = 140 * 1024 * 1024;

/// Why the sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error("the sandbox listens on loopback only, not on {0}")]
    NotLoopback(SocketAddr),
    #[error("two numbers have the same id or key: {0}")]
    Twice(String),
    #[error("the sandbox cannot listen")]
    Listen(#[source] std::io::Error),
    #[error("the sandbox cannot send webhooks")]
    Client(#[source] reqwest::Error),
}

/// The local 360dialog.
#[derive(Debug)]
pub struct Sandbox;

/// A running sandbox. Dropping it stops the webhooks; [`stop`](Self::stop) ends all of it.
#[derive(Debug)]
pub struct SandboxHandle {
    address: SocketAddr,
    server: ServerHandle,
    closed: watch::Sender<bool>,
}

impl Sandbox {
    /// Starts listening. Has to be called inside a tokio (or actix) runtime, which it keeps using.
    pub fn start(options: SandboxOptions) -> Result<SandboxHandle, SandboxError> {
        if !options.bind.ip().is_loopback() {
            return Err(SandboxError::NotLoopback(options.bind));
        }
        distinct(&options)?;
        // Another part of the program may have installed it before.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder()
            .timeout(delivery::ANSWER_WITHIN)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(SandboxError::Client)?;
        let listener = TcpListener::bind(options.bind).map_err(SandboxError::Listen)?;
        let address = listener.local_addr().map_err(SandboxError::Listen)?;
        let (closed, closing) = watch::channel(false);
        let provider = Data::from(Arc::new(Provider::new(options, client, closing)));
        let server =
            HttpServer::new(move || App::new().app_data(provider.clone()).configure(routes))
                .on_connect(gate::remember)
                .workers(2)
                .disable_signals()
                .listen(listener)
                .map_err(SandboxError::Listen)?
                .run();
        let handle = server.handle();
        drop(tokio::spawn(server));
        tracing::info!(%address, "sandbox listens");
        Ok(SandboxHandle { address, server: handle, closed })
    }
}

impl SandboxHandle {
    /// `http://127.0.0.1:PORT`, to be used where the provider's base address goes.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends the sandbox with everything that is under way.
    pub async fn stop(self) {
        // Without a listener there is nothing to end.
        let _none = self.closed.send(true);
        self.server.stop(false).await;
    }
}

fn distinct(options: &SandboxOptions) -> Result<(), SandboxError> {
    for (i, number) in options.numbers.iter().enumerate() {
        let twice = options.numbers.iter().skip(i + 1).any(|other| {
            other.phone_number_id == number.phone_number_id || other.api_key == number.api_key
        });
        if twice {
            return Err(SandboxError::Twice(number.phone_number_id.clone()));
        }
    }
    Ok(())
}

fn routes(config: &mut ServiceConfig) {
    let json = JsonConfig::default()
        .limit(LARGEST_BODY)
        .content_type_required(false)
        .error_handler(|error, _| errors::control(400, error.to_string()).into());
    config.app_data(PayloadConfig::new(LARGEST_BODY)).app_data(json);
    control_side(config);
    provider_side(config);
}

fn provider_side(config: &mut ServiceConfig) {
    config
        .route("/messages", web::post().to(messages::send))
        .route("/v1/messages", web::post().to(messages::send))
        .route("/media", web::post().to(files::upload))
        .route("/whatsapp_business/attachments/", web::get().to(files::fetch))
        .route("/v1/configs/webhook", web::get().to(configs::show_webhook))
        .route("/v1/configs/webhook", web::post().to(configs::set_webhook))
        .route("/v1/configs/templates", web::get().to(configs::templates))
        .route("/v1/configs/templates", web::post().to(configs::create_template))
        .route("/v1/configs/templates/{name}", web::delete().to(configs::delete_template))
        .route("/health_status", web::get().to(configs::health))
        .route("/{media:[0-9]+}", web::get().to(files::look_up))
        .route("/{media:[0-9]+}", web::delete().to(files::delete))
        .default_service(web::to(|| async {
            errors::graph(404, 2500, "Unknown path components.")
        }));
}

fn control_side(config: &mut ServiceConfig) {
    config
        .route("/sandbox", web::get().to(page))
        .route("/sandbox/page.js", web::get().to(script))
        .route("/sandbox/page.css", web::get().to(style))
        .route("/sandbox/api/numbers", web::get().to(control::numbers))
        .route("/sandbox/api/numbers", web::post().to(control::add_number))
        .route("/sandbox/api/numbers/{id}", web::post().to(control::change_number))
        .route("/sandbox/api/phones", web::get().to(control::phones))
        .route("/sandbox/api/phones/{wa_id}/messages", web::post().to(control::phone_sends))
        .route("/sandbox/api/phones/{wa_id}/thread", web::get().to(control::thread))
        .route("/sandbox/api/phones/{wa_id}/read", web::post().to(control::read))
        .route("/sandbox/api/phones/{wa_id}/state", web::post().to(control::state))
        .route("/sandbox/api/batch", web::post().to(control::batch))
        .route("/sandbox/api/raw", web::post().to(control::raw))
        .route("/sandbox/api/statuses", web::post().to(control::status))
        .route("/sandbox/api/templates", web::get().to(control::templates))
        .route("/sandbox/api/media/{id}", web::get().to(control::media))
        .route("/sandbox/api/templates/{name}", web::post().to(control::judge_template))
        .route("/sandbox/api/ledger", web::get().to(control::ledger))
        .route("/sandbox/api/stats", web::get().to(control::stats))
        .route("/sandbox/api/faults", web::get().to(control::faults))
        .route("/sandbox/api/faults", web::post().to(control::set_faults))
        .route("/sandbox/api/faults", web::delete().to(control::clear_faults));
}

async fn page() -> HttpResponse {
    shown("text/html", include_str!("page/index.html"))
}

async fn script() -> HttpResponse {
    shown("text/javascript", include_str!("page/page.js"))
}

async fn style() -> HttpResponse {
    shown("text/css", include_str!("page/page.css"))
}

fn shown(mime: &str, text: &'static str) -> HttpResponse {
    HttpResponse::Ok().content_type(format!("{mime}; charset=utf-8")).body(text)
}
