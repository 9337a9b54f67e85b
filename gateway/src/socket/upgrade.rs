//! From an HTTP request to a session: origin, sub-protocol and token are judged before the upgrade.

use std::cell::RefCell;
use std::rc::Rc;

use actix_web::body::{BoxBody, MessageBody as _};
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use actix_web_actors::ws::WsResponseBuilder;
use usher_protocol::SUB_PROTOCOL;
use usher_protocol::frame::Token;

use super::Sockets;
use super::body::Outgoing;
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
        Err(refusal) => return Ok(refusal),
    };
    let passage = Rc::new(Passage::default());
    let feed = Rc::new(RefCell::new(None));
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
fn judged(request: &HttpRequest, sockets: &Sockets) -> Result<Option<Token>, HttpResponse> {
    let shared = &sockets.shared;
    if shared.registry.is_stopping() {
        return Err(problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "The program stops."));
    }
    if !shared.origins.allow(request) {
        let detail = "Pages of this origin may not open the agent socket.";
        return Err(problem(StatusCode::FORBIDDEN, "origin_refused", detail));
    }
    if !offers_protocol(request) {
        let detail = "The client has to offer the sub-protocol usher.v1.";
        return Err(problem(StatusCode::BAD_REQUEST, "sub_protocol", detail));
    }
    let Some(authorization) = request.headers().get(header::AUTHORIZATION) else { return Ok(None) };
    let token = authorization.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
    token
        .filter(|token| shared.people.authenticate(token, shared.clock.now()).is_some())
        .map(|token| Some(Token::new(token)))
        .ok_or_else(|| {
            problem(StatusCode::UNAUTHORIZED, "token_refused", "Sign in: the token was refused.")
        })
}

fn offers_protocol(request: &HttpRequest) -> bool {
    let offers = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let mut offers = offers.filter_map(|offer| offer.to_str().ok()).flat_map(|all| all.split(','));
    offers.any(|offer| offer.trim() == SUB_PROTOCOL)
}

/// RFC 9457.
fn problem(status: StatusCode, code: &str, detail: &str) -> HttpResponse<BoxBody> {
    let body = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or_default(),
        "status": status.as_u16(),
        "code": code,
        "detail": detail,
    });
    let mut response = HttpResponse::build(status);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.insert_header((header::RETRY_AFTER, "5"));
    }
    if status == StatusCode::UNAUTHORIZED {
        response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
    }
    response.content_type("application/problem+json").body(body.to_string())
}
