//! What a node does while another runs the services: it is a door to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServerHandle, ServiceRequest, ServiceResponse};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{Error, HttpResponse};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use usher_config::Config;

use super::server::{Side, UNASKED, serve};
use super::{Listeners, serve_metrics};
use crate::relay::webhooks::{Opened, Reach};
use crate::relay::{Relay, between};
use crate::{http, metrics};

/// For connections that are idle when this node takes the services over.
const LINGERS: Duration = Duration::from_secs(10);

/// What a door is made of.
pub(super) struct Doors {
    pub(super) relay: Relay,
    pub(super) webhooks: Opened,
    pub(super) recorder: PrometheusHandle,
}

pub(super) struct Standby {
    public: ServerHandle,
    others: Vec<ServerHandle>,
    keep_up: JoinHandle<()>,
    /// Connections are given up as soon as they are idle.
    leaves: Arc<AtomicBool>,
}

impl Standby {
    pub(super) fn start(
        config: &Config,
        listeners: Listeners,
        doors: Doors,
    ) -> anyhow::Result<Self> {
        let Doors { relay, webhooks, recorder } = doors;
        let leaves = Arc::new(AtomicBool::new(false));
        let reach = Data::new(webhooks.reach.clone());
        let health = move |config: &mut ServiceConfig| {
            config
                .app_data(reach.clone())
                .route("/livez", web::get().to(http::livez))
                .route("/readyz", web::get().to(readyz));
        };
        let (asked, leaving) = (health.clone(), Arc::clone(&leaves));
        let routes = move |config: &mut ServiceConfig| {
            let leaving = Arc::clone(&leaving);
            let last = move |request, next: Next<_>| last(leaving.clone(), request, next);
            let all = web::scope("")
                .wrap(from_fn(last))
                .configure(&asked)
                .configure(|config| webhooks.routes(config))
                .configure(|config| relay.routes(config));
            config.service(all);
        };
        let public = serve(config, listeners.http, Side::Public, routes, UNASKED)?;
        let mut others = Vec::new();
        if let Some(listener) = listeners.between {
            others.push(serve(config, listener, Side::Between, between::closed, UNASKED)?);
        }
        let keep_up = tokio::spawn(metrics::keep_up(recorder.clone(), config.data_dir.clone()));
        if let Some(listener) = listeners.metrics {
            others.push(serve_metrics(listener, recorder, health)?.1);
        }
        Ok(Self { public, others, keep_up, leaves })
    }

    /// This node runs the services from now on. Nobody new comes in here; who is here is asked to come
    /// again with the next answer, and let go of once they have said nothing for long enough.
    pub(super) async fn leave(self) {
        self.leaves.store(true, Ordering::Release);
        self.public.pause().await;
        for server in self.others {
            server.stop(false).await;
        }
        self.keep_up.abort();
        tokio::time::sleep(LINGERS).await;
        self.public.stop(true).await;
    }

    pub(super) async fn stop(self) {
        for server in self.others.into_iter().chain([self.public]) {
            server.stop(false).await;
        }
        self.keep_up.abort();
    }
}

/// Whoever is answered comes again by another connection, once this door `leaves`.
async fn last<B: MessageBody>(
    leaves: Arc<AtomicBool>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let mut response = next.call(request).await?;
    let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if leaves.load(Ordering::Acquire) && !switches {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}

/// Ready: what is acknowledged here is kept durably, by the owner or in the inbox.
async fn readyz(reach: Data<watch::Receiver<Reach>>) -> HttpResponse {
    let Reach { owner, answers, inbox } = reach.borrow().clone();
    let owner = owner.map(|owner| owner.to_string());
    let body =
        json!({ "stands_by": true, "owner": owner, "owner_answers": answers, "inbox": inbox });
    let status = if answers || inbox { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    HttpResponse::build(status).json(body)
}
