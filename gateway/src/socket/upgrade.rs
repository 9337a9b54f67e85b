//! From an HTTP request to a session: path, origin, sub-protocol and token are judged before the upgrade.

use std::future::ready;
use std::time::Duration;

use actix::{AsyncContext as _, Context};
use actix_http::body::BoxBody;
use actix_http::ws::HandshakeError;
use actix_http::{Request, RequestHead, Response, ws};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap};
use actix_web::{HttpResponse, ResponseError as _};
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use usher_protocol::SUB_PROTOCOL;
use usher_protocol::frame::Token;

use super::session::Session;
use super::wire::Wire;
use super::{PATH, Sockets};
use crate::accounts::NotNow;
use crate::http::Problem;
use crate::upgrade::{Opened, Upgrade};

/// A program that is being stopped may have been replaced by then.
const STOPPED_RETRY: Duration = Duration::from_secs(5);

impl Sockets {
    /// Takes a connection that leaves HTTP, and is done with it when it has ended.
    pub(crate) fn upgraded(self, upgrade: Upgrade) -> LocalBoxFuture<'static, ()> {
        match self.judged(upgrade.head()) {
            Ok((answer, token)) => match accepted(upgrade, answer) {
                Some((_, opened)) => self.serve(opened, token),
                None => ready(()).boxed_local(),
            },
            Err(refused) => upgrade.refuse(refused.answer()).boxed_local(),
        }
    }

    /// Upgrades a connection whose greeting is to say whose it is. `None`: it was refused, and is over.
    pub(crate) async fn accept(&self, upgrade: Upgrade) -> Option<(Request, Opened)> {
        match self.judged(upgrade.head()) {
            Ok((answer, _)) => accepted(upgrade, answer),
            Err(refused) => {
                upgrade.refuse(refused.answer()).await;
                None
            }
        }
    }

    /// All that a session needs as long as it lasts is in this box: what an answer takes is not.
    pub(crate) fn serve(self, opened: Opened, token: Option<Token>) -> LocalBoxFuture<'static, ()> {
        let mut context = Context::new();
        context.spawn(Wire::new(opened, self.shared.limits.frame_max));
        context.into_future(Session::new(self, token)).boxed_local()
    }

    /// What is answered, and the token of the upgrade if there is one; otherwise it is in the first frame.
    fn judged(&self, head: &RequestHead) -> Result<(Response<()>, Option<Token>), Refused> {
        if head.uri.path() != PATH {
            return Err(Refused::Path);
        }
        if self.shared.registry.is_stopping() {
            return Err(Refused::Stopping);
        }
        if !self.shared.origins.allow(head.headers()) {
            return Err(Refused::Origin);
        }
        if !offers_protocol(head.headers()) {
            return Err(Refused::SubProtocol);
        }
        let token = self.token(head.headers())?;
        let mut answer = ws::handshake(head).map_err(Refused::Handshake)?;
        answer.insert_header((header::SEC_WEBSOCKET_PROTOCOL, SUB_PROTOCOL));
        Ok((answer.finish().drop_body(), token))
    }

    fn token(&self, headers: &HeaderMap) -> Result<Option<Token>, Refused> {
        let Some(authorization) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
        let token = authorization.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
        let token = token.ok_or(Refused::Token)?;
        match self.shared.people.authenticate(token, self.shared.clock.now()) {
            Ok(Some(_)) => Ok(Some(Token::new(token))),
            Ok(None) => Err(Refused::Token),
            Err(NotNow) => Err(Refused::NotNow),
        }
    }
}

fn accepted(upgrade: Upgrade, answer: Response<()>) -> Option<(Request, Opened)> {
    let accepted = upgrade.accept(answer);
    accepted.inspect_err(|error| tracing::error!(%error, "an upgrade could not be answered")).ok()
}

/// Who asks for the socket without asking for an upgrade.
pub(super) async fn not_upgraded() -> HttpResponse {
    Refused::Handshake(HandshakeError::NoWebsocketUpgrade).answer()
}

/// Why there is no upgrade.
#[derive(Clone, Copy, Debug)]
enum Refused {
    Path,
    Stopping,
    Origin,
    SubProtocol,
    Token,
    /// Whose the token is cannot be said.
    NotNow,
    /// Against RFC 6455 §4.2.1.
    Handshake(HandshakeError),
}

impl Refused {
    fn answer(self) -> HttpResponse {
        let (status, code, detail) = match self {
            Self::Path => return Problem::not_found().error_response(),
            Self::NotNow => return Problem::unavailable().error_response(),
            Self::Handshake(error) => return misshapen(error),
            Self::Stopping => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "The program is being stopped.")
            }
            Self::Origin => (
                StatusCode::FORBIDDEN,
                "origin_refused",
                "Pages of this origin may not open the agent socket.",
            ),
            Self::SubProtocol => (
                StatusCode::BAD_REQUEST,
                "sub_protocol",
                "The client has to offer the sub-protocol usher.v1.",
            ),
            Self::Token => {
                (StatusCode::UNAUTHORIZED, "token_refused", "Sign in: the token was refused.")
            }
        };
        let problem = Problem::new(status, code, detail);
        match self {
            Self::Stopping => problem.after(STOPPED_RETRY).error_response(),
            _ => problem.error_response(),
        }
    }
}

/// The library knows the headers that say what would have been right.
fn misshapen(error: HandshakeError) -> HttpResponse {
    let library = Response::<BoxBody>::from(error);
    let problem = Problem::new(library.status(), "handshake", error.to_string());
    let mut answer = problem.error_response();
    for (name, value) in library.headers() {
        answer.headers_mut().insert(name.clone(), value.clone());
    }
    answer
}

fn offers_protocol(headers: &HeaderMap) -> bool {
    let offers = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let mut offers = offers.filter_map(|offer| offer.to_str().ok()).flat_map(|all| all.split(','));
    offers.any(|offer| offer.trim() == SUB_PROTOCOL)
}
