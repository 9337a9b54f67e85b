//! Which node answers a request: this one, if the service it is for runs here or it is for none.

use std::rc::Rc;

use actix_web::Error;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, ServiceConfig};
use metrics::counter;

use super::{Relay, request};
use crate::http::is_webhook;
use crate::metrics::RELAYED;

impl Relay {
    /// `inner` for what this node answers itself. Webhooks have a way of their own.
    pub(crate) fn routes(
        &self,
        config: &mut ServiceConfig,
        inner: impl FnOnce(&mut ServiceConfig),
    ) {
        // Every request has a share in it.
        let relay = Rc::new(self.clone());
        let pass = move |request: ServiceRequest, next: Next<_>| {
            let relay = Rc::clone(&relay);
            async move { relay.dispatched(request, next).await }
        };
        config.service(web::scope("").wrap(from_fn(pass)).configure(inner));
    }

    async fn dispatched<B: MessageBody + 'static>(
        &self,
        mut request: ServiceRequest,
        next: Next<B>,
    ) -> Result<ServiceResponse<BoxBody>, Error> {
        if is_webhook(request.path()) {
            return Ok(next.call(request).await?.map_into_boxed_body());
        }
        let service = self.addressed.by_request(&mut request).await?;
        let service = service.filter(|service| !self.homes.is_here(*service));
        let Some(service) = service else {
            return Ok(next.call(request).await?.map_into_boxed_body());
        };
        let payload = request.extract::<web::Payload>().await?;
        let answer = request::pass_on(self, service, request.request(), payload).await;
        let outcome = if answer.is_ok() { "answered" } else { "refused" };
        counter!(RELAYED, "what" => "request", "outcome" => outcome).increment(1);
        Ok(request.into_response(answer?))
    }
}
