//! What operators ask: is it alive, can it work, how is it doing.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpResponse, HttpResponseBuilder};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use tokio::sync::watch;
use usher_engine::Engine;

use super::problem::Problem;
use crate::metrics::look;
use crate::relay::webhooks::Reach;
use crate::relay::{Home, Homes};

const READY_WITHIN: Duration = Duration::from_secs(1);

/// Answers operators; cheap to clone.
#[derive(Clone)]
pub(crate) struct Health {
    engine: Engine,
    /// `None`: this node is alone.
    together: Option<Together>,
}

/// What a node knows of those beside it.
#[derive(Clone)]
pub(crate) struct Together {
    pub(crate) homes: Homes,
    pub(crate) reach: watch::Receiver<Reach>,
    /// This node ends.
    pub(crate) leaving: watch::Receiver<bool>,
}

/// What a node says of itself that has others beside it.
#[derive(Serialize)]
struct Told {
    node: String,
    /// Services that run on this node.
    here: usize,
    /// Other nodes that have services.
    elsewhere: BTreeMap<String, Elsewhere>,
    /// Services that no node is known to run.
    nowhere: usize,
    /// Webhooks can be put into the inbox.
    inbox: bool,
}

#[derive(Default, Serialize)]
struct Elsewhere {
    services: usize,
    /// It takes webhooks.
    answers: bool,
}

impl Health {
    pub(crate) const fn new(engine: Engine, together: Option<Together>) -> Self {
        Self { engine, together }
    }

    pub(crate) fn routes(&self, config: &mut ServiceConfig) {
        config
            .app_data(Data::new(self.clone()))
            .route("/livez", web::get().to(livez))
            .route("/readyz", web::get().to(readyz));
    }

    /// Every service that runs here has recovered and takes work.
    async fn works(&self) -> bool {
        tokio::time::timeout(READY_WITHIN, self.engine.is_ready()).await.unwrap_or(false)
    }

    /// A service that has stopped names the record; the others come back by themselves.
    async fn why_not(&self) -> Problem {
        let stopped = tokio::time::timeout(READY_WITHIN, self.engine.stopped()).await;
        let words: Vec<String> =
            stopped.unwrap_or_default().iter().map(ToString::to_string).collect();
        if words.is_empty() {
            return Problem::unavailable();
        }
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopped", words.join("; "))
    }
}

impl Together {
    fn told(&self) -> Told {
        let Reach { owners, inbox } = self.reach.borrow().clone();
        let node = self.homes.me().node.to_string();
        let mut told = Told { node, here: 0, elsewhere: BTreeMap::new(), nowhere: 0, inbox };
        for (_, home) in self.homes.all() {
            match home {
                Home::Here => told.here += 1,
                Home::Unknown | Home::Coming => told.nowhere += 1,
                Home::There(owner) => {
                    let answers = owners.get(&owner.node).copied().unwrap_or(false);
                    let of = told.elsewhere.entry(owner.node.to_string()).or_default();
                    (of.services, of.answers) = (of.services + 1, answers);
                }
            }
        }
        told
    }
}

impl Told {
    /// What is acknowledged here is kept durably, by an owner or in the inbox.
    fn takes_all(&self) -> bool {
        self.inbox || (self.nowhere == 0 && self.elsewhere.values().all(|other| other.answers))
    }
}

async fn livez() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("alive\n")
}

async fn readyz(health: Data<Health>) -> Result<HttpResponse, Problem> {
    if !health.works().await {
        return Err(health.why_not().await);
    }
    let Some(together) = &health.together else {
        return Ok(HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ready\n"));
    };
    let told = together.told();
    let is_ready = told.takes_all() && !*together.leaving.borrow();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok(HttpResponseBuilder::new(status).json(told))
}

/// Without gauges of what is not on this node any more, which are not a number.
fn known(shown: &str) -> String {
    let known = |line: &&str| line.starts_with('#') || !line.ends_with(" NaN");
    shown.split_inclusive('\n').filter(|line| known(&line.trim_end())).collect()
}

pub(crate) async fn metrics(handle: Data<PrometheusHandle>) -> Result<HttpResponse, Problem> {
    let shown = web::block(move || {
        look();
        known(&handle.render())
    });
    let text = shown.await?;
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_on_this_node_is_left_out() {
        let shown = "# TYPE up gauge\nup{channel=\"a\"} 1\nup{channel=\"b\"} NaN\n\nn 2\n";
        assert_eq!(known(shown), "# TYPE up gauge\nup{channel=\"a\"} 1\n\nn 2\n");
    }
}
