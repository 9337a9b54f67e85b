//! What is answered under which path, and to whom; every limit of the public listener is set here.

mod bots;
mod client;
mod command;
mod docs;
mod enquiries;
mod health;
mod media;
mod outbox;
mod pages;
mod problem;
mod sessions;
mod setup;
mod signed;
mod state;
mod stats;
mod visitors;
mod webhook;

use actix_web::middleware::DefaultHeaders;
use actix_web::web::{self, Data, ServiceConfig};

pub(crate) use bots::BOT;
#[cfg(test)]
pub(crate) use bots::said as bot_said;
pub(crate) use client::Proxies;
pub(crate) use health::{Health, Together, metrics};
pub(crate) use problem::Problem;
pub(crate) use state::Doors;
pub(crate) use webhook::{Door, Gate, Hook, Kept, Outcome, Webhooks, Whole, is_webhook};

use usher_engine::Engine;

use crate::bots::Door as BotDoor;
use crate::relay::webhooks::Opened;
use crate::socket::Sockets;

/// JSON bodies of our own API; files and webhooks have their own limits.
pub(crate) const JSON_MAX: usize = 256 * 1024;

/// What every worker of the public listener is given.
#[derive(Clone)]
pub(crate) struct Public {
    pub(crate) engine: Data<Engine>,
    pub(crate) doors: Data<Doors>,
    pub(crate) webhooks: Hooks,
    pub(crate) bots: Data<BotDoor>,
    pub(crate) sockets: Sockets,
    pub(crate) health: Health,
}

/// Where webhooks are taken in.
#[derive(Clone)]
pub(crate) enum Hooks {
    Alone(Data<Webhooks>),
    /// With nodes beside this one that take them too.
    Shared(Opened),
}

impl Hooks {
    fn routes(&self, config: &mut ServiceConfig) {
        match self {
            Self::Alone(webhooks) => webhook::routes(webhooks, config),
            Self::Shared(opened) => webhook::routes(&opened.door(), config),
        }
    }
}

impl Public {
    /// As other nodes see it.
    pub(crate) fn routes_between(&self, config: &mut ServiceConfig) {
        if let Hooks::Shared(opened) = &self.webhooks {
            opened.inlet.routes(config);
        }
        self.routes(config);
    }

    pub(crate) fn routes(&self, config: &mut ServiceConfig) {
        config
            .app_data(self.engine.clone())
            .app_data(self.doors.clone())
            .app_data(self.bots.clone())
            .configure(|config| self.webhooks.routes(config))
            .configure(|config| self.health.routes(config))
            .configure(Sockets::routes)
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

macro_rules! routes {
    ($($method:ident $path:literal => $handler:path;)*) => {
        /// Everything under `/v1` but the agent socket: what the OpenAPI document has to describe.
        #[cfg(test)]
        const ROUTES: &[(&str, &str)] = &[$((stringify!($method), $path)),*];

        fn v1(config: &mut ServiceConfig) {
            config$(.route($path, web::$method().to($handler)))*;
        }
    };
}

routes! {
    post "/sessions" => sessions::open;
    get "/sessions/current" => sessions::current;
    delete "/sessions/current" => sessions::end;
    get "/enquiries" => enquiries::list;
    get "/enquiries/unserved" => enquiries::unserved;
    get "/enquiries/{enquiry}" => enquiries::one;
    post "/enquiries/{enquiry}/bot" => bots::said;
    post "/enquiries/{enquiry}/{command}" => enquiries::act;
    get "/visitors/{visitor}" => visitors::one;
    post "/visitors/{visitor}/{command}" => visitors::act;
    post "/presence" => visitors::presence;
    post "/engagements" => visitors::start;
    post "/media" => media::upload;
    get "/media/{media}" => media::download;
    get "/channels" => setup::channels;
    post "/channels/{channel}/templates/sync" => setup::sync_templates;
    post "/channels/{channel}/webhook" => setup::register_webhook;
    get "/templates" => setup::templates;
    post "/routing/explain" => setup::explain;
    get "/outbox" => outbox::list;
    post "/outbox/{message}/resend" => outbox::resend;
    get "/quarantine" => pages::quarantine;
    get "/stats" => stats::stats;
    get "/openapi.json" => docs::openapi;
    get "/docs" => docs::page;
    get "/docs/{file}" => docs::file;
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
