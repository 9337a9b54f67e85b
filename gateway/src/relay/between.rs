//! The listener that other nodes come in by: it takes whom it knows, and only what is meant for this node.

use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, ServiceConfig};
use actix_web::{Error, HttpMessage as _};
use dialog360::signature::Expected;
use metrics::counter;
use usher_config::Between;
use usher_domain::ownership::placement::NodeId;

use super::{NODE, SECRET};
use crate::http::Problem;
use crate::metrics::{AUTH_FAILURES, RELAY_STALE};

/// A request that another node has passed on: what it says of the client is believed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FromNode;

/// Who may come in, and for whom; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<Known>);

#[derive(Debug)]
struct Known {
    secret: Expected,
    me: NodeId,
}

impl Gate {
    pub(crate) fn new(between: &Between, me: NodeId) -> Self {
        Self(Arc::new(Known { secret: Expected::value(&between.secret), me }))
    }

    /// Whether a question is a node's, and for this one.
    pub(crate) fn judge(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let said =
            |name: &str| headers.get(name).map(actix_web::http::header::HeaderValue::as_bytes);
        if !said(SECRET).is_some_and(|secret| self.0.secret.is(secret)) {
            counter!(AUTH_FAILURES, "door" => "cluster").increment(1);
            return Err(Problem::unauthorized(
                "Only nodes that know the cluster's secret come in here.",
            ));
        }
        if said(NODE) != Some(self.0.me.0.as_bytes()) {
            counter!(RELAY_STALE).increment(1);
            return Err(not_the_owner());
        }
        Ok(())
    }

    /// `inner` for those who may.
    pub(crate) fn routes(
        &self,
        config: &mut ServiceConfig,
        inner: impl FnOnce(&mut ServiceConfig),
    ) {
        let gate = self.clone();
        let judge =
            move |request: ServiceRequest, next: Next<_>| judged(gate.clone(), request, next);
        config.service(web::scope("").wrap(from_fn(judge)).configure(inner));
    }
}

async fn judged<B: MessageBody + 'static>(
    gate: Gate,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    gate.judge(request.headers())?;
    request.extensions_mut().insert(FromNode);
    next.call(request).await
}

/// To every question, as long as this node does not run the services.
pub(crate) fn closed(config: &mut ServiceConfig) {
    config.default_service(web::to(|| async {
        counter!(RELAY_STALE).increment(1);
        not_the_owner()
    }));
}

fn not_the_owner() -> Problem {
    let detail = "This node does not run the services, or not under this name.";
    Problem::new(StatusCode::MISDIRECTED_REQUEST, "not_the_owner", detail)
}
