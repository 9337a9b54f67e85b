//! What a node answers while another runs the services: that it lives, and that it is not to be asked.

use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::web::{self, Data, ServiceConfig};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;
use usher_config::Config;

use super::keeper::Order;
use super::{Listeners, serve, serve_metrics};
use crate::http::{self, Problem};

/// A client that tries again so soon may have another node before it.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

pub(super) struct Standby {
    servers: Vec<ServerHandle>,
}

impl Standby {
    pub(super) fn start(
        config: &Config,
        listeners: Listeners,
        recorder: &PrometheusHandle,
        orders: watch::Receiver<Order>,
    ) -> anyhow::Result<Self> {
        let orders = Data::new(orders);
        let routes = move |config: &mut ServiceConfig| {
            config
                .app_data(orders.clone())
                .route("/livez", web::get().to(http::livez))
                .route("/readyz", web::get().to(readyz))
                .default_service(web::to(refused));
        };
        let mut servers = vec![serve(config, listeners.http, 1, routes.clone())?];
        if let Some(listener) = listeners.metrics {
            servers.push(serve_metrics(listener, recorder.clone(), routes)?.1);
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

/// Webhooks and sockets alike: whoever asks comes again, and to the node that is ready.
async fn refused() -> Problem {
    let detail = "This node stands by; ask the one that is ready.";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "standing_by", detail).after(AGAIN_AFTER)
}
