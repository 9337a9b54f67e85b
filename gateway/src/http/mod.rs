//! What is answered under which path, and to whom; every limit of the public listener is set here.

mod bots;
mod command;
mod enquiries;
mod health;
mod media;
mod pages;
mod problem;
mod sessions;
mod setup;
mod signed;
mod state;
mod visitors;
mod webhook;

use actix_web::middleware::DefaultHeaders;
use actix_web::web::{self, Data, ServiceConfig};

#[cfg(test)]
pub(crate) use bots::said as bot_said;
pub(crate) use health::{livez, metrics, readyz};
use problem::Problem;
pub(crate) use state::Doors;
pub(crate) use webhook::Webhooks;

use usher_engine::Engine;

use crate::bots::Door;
use crate::socket::Sockets;

/// JSON bodies of our own API; files and webhooks have their own limits.
const JSON_MAX: usize = 256 * 1024;

/// What every worker of the public listener is given.
#[derive(Clone)]
pub(crate) struct Public {
    pub(crate) engine: Data<Engine>,
    pub(crate) doors: Data<Doors>,
    pub(crate) webhooks: Data<Webhooks>,
    pub(crate) bots: Data<Door>,
    pub(crate) sockets: Sockets,
}

impl Public {
    pub(crate) fn routes(&self, config: &mut ServiceConfig) {
        config
            .app_data(self.engine.clone())
            .app_data(self.doors.clone())
            .app_data(self.webhooks.clone())
            .app_data(self.bots.clone())
            .service(
                web::resource("/hooks/360dialog/{channel}")
                    .route(web::post().to(webhook::receive))
                    .route(web::get().to(webhook::greet)),
            )
            .route("/livez", web::get().to(livez))
            .route("/readyz", web::get().to(readyz))
            .configure(|config| self.sockets.routes(config))
            .service(
                web::scope("/v1")
                    .app_data(json_config())
                    .app_data(query_config())
                    .app_data(path_config())
                    .wrap(
                        DefaultHeaders::new()
                            .add(("X-Content-Type-Options", "nosniff"))
                            .add(("X-Frame-Options", "DENY"))
                            .add(("Referrer-Policy", "no-referrer"))
                            .add(("Cache-Control", "no-store")),
                    )
                    .configure(v1)
                    .default_service(web::to(|| async { Problem::not_found() })),
            )
            .default_service(web::to(|| async { Problem::not_found() }));
    }
}

fn v1(config: &mut ServiceConfig) {
    config
        .route("/sessions", web::post().to(sessions::open))
        .route("/sessions/current", web::get().to(sessions::current))
        .route("/sessions/current", web::delete().to(sessions::end))
        .route("/enquiries", web::get().to(enquiries::list))
        .route("/enquiries/{enquiry}", web::get().to(enquiries::one))
        .route("/enquiries/{enquiry}/bot", web::post().to(bots::said))
        .route("/enquiries/{enquiry}/{command}", web::post().to(enquiries::act))
        .route("/visitors/{visitor}", web::get().to(visitors::one))
        .route("/visitors/{visitor}/{command}", web::post().to(visitors::act))
        .route("/presence", web::post().to(visitors::presence))
        .route("/engagements", web::post().to(visitors::start))
        .route("/media", web::post().to(media::upload))
        .route("/media/{media}", web::get().to(media::download))
        .route("/channels", web::get().to(setup::channels))
        .route("/channels/{channel}/templates/sync", web::post().to(setup::sync_templates))
        .route("/channels/{channel}/webhook", web::post().to(setup::register_webhook))
        .route("/templates", web::get().to(setup::templates))
        .route("/routing/explain", web::post().to(setup::explain))
        .route("/outbox", web::get().to(pages::outbox))
        .route("/quarantine", web::get().to(pages::quarantine))
        .route("/stats", web::get().to(pages::stats));
}

fn json_config() -> web::JsonConfig {
    web::JsonConfig::default()
        .limit(JSON_MAX)
        .error_handler(|error, _| Problem::from_json(&error).into())
}

fn query_config() -> web::QueryConfig {
    web::QueryConfig::default().error_handler(|error, _| {
        Problem::malformed(format!("the query was not understood: {error}")).into()
    })
}

/// An id of another kind is an id of nothing.
fn path_config() -> web::PathConfig {
    web::PathConfig::default().error_handler(|_, _| Problem::not_found().into())
}
