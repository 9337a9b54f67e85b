//! What a node does while another runs the services: it is a door to them.

use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::web::{self, Data, ServiceConfig};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;
use usher_config::Config;

use super::keeper::Order;
use super::server::{Side, UNASKED, serve};
use super::{Listeners, serve_metrics};
use crate::http::{self, Problem};
use crate::relay::{Relay, between};

/// A client that tries again so soon may have another node before it.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What a door is made of.
pub(super) struct Doors {
    pub(super) relay: Relay,
    pub(super) orders: watch::Receiver<Order>,
    pub(super) recorder: PrometheusHandle,
}

pub(super) struct Standby {
    servers: Vec<ServerHandle>,
}

impl Standby {
    pub(super) fn start(
        config: &Config,
        listeners: Listeners,
        doors: Doors,
    ) -> anyhow::Result<Self> {
        let Doors { relay, orders, recorder } = doors;
        let orders = Data::new(orders);
        let health = move |config: &mut ServiceConfig| {
            config
                .app_data(orders.clone())
                .route("/livez", web::get().to(http::livez))
                .route("/readyz", web::get().to(readyz));
        };
        let asked = health.clone();
        let routes = move |config: &mut ServiceConfig| {
            config.configure(&asked).configure(|config| relay.routes(config));
        };
        let mut servers = vec![serve(config, listeners.http, Side::Public, routes, UNASKED)?];
        if let Some(listener) = listeners.between {
            servers.push(serve(config, listener, Side::Between, between::closed, UNASKED)?);
        }
        if let Some(listener) = listeners.metrics {
            servers.push(serve_metrics(listener, recorder, health)?.1);
        }
        Ok(Self { servers })
    }

    pub(super) async fn stop(self) {
        for server in self.servers {
            server.stop(false).await;
        }
    }
}

async fn readyz(orders: Data<watch::Receiver<Order>>) -> Problem {
    let detail = match &*orders.borrow() {
        Order::StandBy { holder: Some(holder) } => {
            format!("Standing by; {holder} has the services.")
        }
        Order::StandBy { holder: None } => "Standing by; nobody has the services.".to_owned(),
        Order::Run(_) => "Taking the services over.".to_owned(),
        Order::LetGo => "Letting the services go.".to_owned(),
    };
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "standing_by", detail).after(AGAIN_AFTER)
}
