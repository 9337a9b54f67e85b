//! From an HTTP request to a session: origin, sub-protocol and token are judged before the upgrade.

use std::rc::Rc;

use actix_web::body::{BoxBody, MessageBody as _};
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use actix_web_actors::ws::WsResponseBuilder;
use usher_protocol::SUB_PROTOCOL;
use usher_protocol::frame::Token;

use super::Sockets;
use super::body::{Feed, Outgoing};
use super::gate::{Gate, Passage};
use super::session::Session;

pub(super) async fn upgrade(
    request: HttpRequest,
    input: web::Payload,
    sockets: web::Data<Sockets>,
) -> Result<HttpResponse, actix_web::Error> {
    let sockets = sockets.get_ref().clone();
    let token = match judged(&request, &sockets) {
        Ok(token) => token,
        Err(refused) => return Ok(refused.answer()),
    };
    let passage = Rc::new(Passage::default());
    let feed = Rc::new(Feed::default());
    let frame_max = sockets.shared.limits.frame_max;
    let engine = sockets.shared.engine.clone();
    let session = Session::new(sockets, token, Rc::clone(&passage), Rc::clone(&feed));
    let input = Gate::new(input, passage, frame_max);
    let (address, response) = WsResponseBuilder::new(session, &request, input)
        .protocols(&[SUB_PROTOCOL])
        .frame_size(frame_max)
        .start_with_addr()?;
    Ok(response.map_body(|_, own| Outgoing::new(own, address, engine, feed).boxed()))
}

/// The token of the upgrade, if there is one; otherwise it is in the first frame.
fn judged(request: &HttpRequest, sockets: &Sockets) -> Result<Option<Token>, Refused> {
    let shared = &sockets.shared;
    if shared.registry.is_stopping() {
        return Err(Refused::Stopping);
    }
    if !shared.origins.allow(request) {
        return Err(Refused::Origin);
    }
    if !offers_protocol(request) {
        return Err(Refused::SubProtocol);
    }
    let Some(authorization) = request.headers().get(header::AUTHORIZATION) else { return Ok(None) };
    let token = authorization.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
    token
        .filter(|token| shared.people.authenticate(token, shared.clock.now()).is_some())
        .map(|token| Some(Token::new(token)))
        .ok_or(Refused::Token)
}

/// Why there is no upgrade.
#[derive(Clone, Copy, Debug)]
enum Refused {
    Stopping,
    Origin,
    SubProtocol,
    Token,
}

impl Refused {
    /// RFC 9457.
    fn answer(self) -> HttpResponse<BoxBody> {
        let (status, code, detail) = match self {
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
        let body = serde_json::json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or_default(),
            "status": status.as_u16(),
            "code": code,
            "detail": detail,
        });
        let mut response = HttpResponse::build(status);
        match self {
            Self::Stopping => response.insert_header((header::RETRY_AFTER, "5")),
            Self::Token => response.insert_header((header::WWW_AUTHENTICATE, "Bearer")),
            Self::Origin | Self::SubProtocol => &mut response,
        };
        response.content_type("application/problem+json").body(body.to_string())
    }
}

fn offers_protocol(request: &HttpRequest) -> bool {
    let offers = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let mut offers = offers.filter_map(|offer| offer.to_str().ok()).flat_map(|all| all.split(','));
    offers.any(|offer| offer.trim() == SUB_PROTOCOL)
}
