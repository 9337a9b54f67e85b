//! For which service a request is: by what it carries, before anybody has judged it.
//!
//! What is found is believed for the choice of a node alone. What names no service is answered by the node
//! that was asked, and refused there if it should have named one.

use actix_web::dev::{Payload, ServiceRequest};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web;
use serde::Deserialize;
use usher_domain::ids::{BotId, ServiceId};

use crate::accounts::People;
use crate::bots::Door as BotDoor;
use crate::http::{BOT, JSON_MAX, Problem};

/// Where people sign in: the body names them.
const SIGN_IN: &str = "/v1/sessions";

/// Knows the services of people and bots; cheap to clone.
#[derive(Clone)]
pub(crate) struct Addressed {
    people: People,
    bots: BotDoor,
}

#[derive(Deserialize)]
struct SignIn {
    email: String,
}

impl Addressed {
    pub(crate) const fn new(people: People, bots: BotDoor) -> Self {
        Self { people, bots }
    }

    /// `None`: for none, or for one that is unknown.
    pub(super) async fn by_request(
        &self,
        request: &mut ServiceRequest,
    ) -> Result<Option<ServiceId>, Problem> {
        if *request.method() == Method::POST && request.path() == SIGN_IN {
            return self.by_body(request).await;
        }
        Ok(self.by_headers(request.headers()).await)
    }

    pub(super) async fn by_headers(&self, headers: &HeaderMap) -> Option<ServiceId> {
        let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(bot) = said(BOT).and_then(|id| id.parse::<BotId>().ok()) {
            return self.bots.service_of(bot);
        }
        let (scheme, token) = said(header::AUTHORIZATION.as_str())?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        self.by_token(token.trim()).await
    }

    pub(crate) async fn by_token(&self, token: &str) -> Option<ServiceId> {
        self.people.service_of_token(token).await
    }

    /// The body is there for whoever comes after.
    async fn by_body(&self, request: &mut ServiceRequest) -> Result<Option<ServiceId>, Problem> {
        let payload = request.extract::<web::Payload>().await;
        let payload = payload.map_err(|_| Problem::unavailable())?;
        let body = payload.to_bytes_limited(JSON_MAX).await;
        let body = body.map_err(|_| Problem::too_large(JSON_MAX as u64))?;
        let body = body.map_err(|_| Problem::cut_off())?;
        let email = serde_json::from_slice(&body).ok().map(|SignIn { email }| email);
        request.set_payload(Payload::from(body));
        Ok(email.and_then(|email| self.people.service_of_email(&email)))
    }
}
