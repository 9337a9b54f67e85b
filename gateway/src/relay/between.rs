//! The listener that other nodes come in by: it takes whom it knows, and only what is meant for this node.

use std::rc::Rc;
use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderValue};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, ServiceConfig};
use actix_web::{Error, HttpMessage as _, ResponseError as _};
use dialog360::signature::Expected;
use metrics::counter;
use tokio::time::Instant;
use usher_config::Between;
use usher_domain::ids::ServiceId;

use super::webhooks::Inlet;
use super::{Addressed, Homes, NODE, PATIENCE, SECRET};
use crate::http::Problem;
use crate::metrics::{AUTH_FAILURES, RELAY_STALE};
use crate::socket::Sockets;
use crate::upgrade::Upgrade;

/// A request that another node has passed on: what it says of the client is believed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FromNode;

/// Who may come in, and for which services; cheap to clone.
#[derive(Clone)]
pub(crate) struct Gate {
    secret: Arc<Expected>,
    homes: Homes,
    addressed: Addressed,
    inlet: Inlet,
}

impl Gate {
    pub(crate) fn new(between: &Between, homes: Homes, addressed: Addressed, inlet: Inlet) -> Self {
        Self { secret: Arc::new(Expected::value(&between.secret)), homes, addressed, inlet }
    }

    /// `inner` for those who may.
    pub(crate) fn routes(
        &self,
        config: &mut ServiceConfig,
        inner: impl FnOnce(&mut ServiceConfig),
    ) {
        let gate = Rc::new(self.clone());
        let judge = move |request: ServiceRequest, next: Next<_>| {
            let gate = Rc::clone(&gate);
            async move { gate.judged(request, next).await }
        };
        config.service(web::scope("").wrap(from_fn(judge)).configure(inner));
    }

    async fn judged<B: MessageBody + 'static>(
        &self,
        mut request: ServiceRequest,
        next: Next<B>,
    ) -> Result<ServiceResponse<B>, Error> {
        self.judge(request.headers())?;
        request.extensions_mut().insert(FromNode);
        let service = self.addressed.by_request(&mut request).await?;
        self.runs(service).await?;
        next.call(request).await
    }

    /// What webhooks come by, or an agent's socket. Whose greeting alone says whose it is, the session judges.
    pub(crate) async fn upgraded(self, sockets: Sockets, upgrade: Upgrade) {
        match self.judged_upgrade(upgrade.head().headers()).await {
            Ok(()) if Inlet::is_for(upgrade.head()) => self.inlet.upgraded(upgrade).await,
            Ok(()) => sockets.upgraded(upgrade).await,
            Err(problem) => upgrade.refuse(problem.error_response()).await,
        }
    }

    async fn judged_upgrade(&self, headers: &HeaderMap) -> Result<(), Problem> {
        self.judge(headers)?;
        self.runs(self.addressed.by_headers(headers).await).await
    }

    /// Whether a question is a node's, and for this one.
    fn judge(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let said = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
        if !said(SECRET).is_some_and(|secret| self.secret.is(secret)) {
            counter!(AUTH_FAILURES, "door" => "cluster").increment(1);
            return Err(Problem::unauthorized(
                "Only nodes that know the cluster's secret come in here.",
            ));
        }
        if said(NODE) == Some(self.homes.me().node.0.as_bytes()) { Ok(()) } else { Err(stale()) }
    }

    /// Who is asked for a service that is about to run here asks once, and waits.
    async fn runs(&self, service: Option<ServiceId>) -> Result<(), Problem> {
        let Some(service) = service else { return Ok(()) };
        let until = Instant::now() + PATIENCE;
        if self.homes.comes_here(service, until).await { Ok(()) } else { Err(stale()) }
    }
}

fn stale() -> Problem {
    counter!(RELAY_STALE).increment(1);
    let detail = "This node does not run the service, or not under this name.";
    Problem::new(StatusCode::MISDIRECTED_REQUEST, "not_the_owner", detail)
}
