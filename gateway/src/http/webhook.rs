//! The webhook door: whoever may deliver is answered 200 once what they deliver is kept durably.
//!
//! Who may is judged in the same way on every node; what keeping means, each kind of door decides.

mod body;
mod gate;
mod keep;

use actix_web::http::Method;
use actix_web::web::{self, Bytes, Data, Payload, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use tokio::time::Instant;

pub(crate) use gate::{Gate, Hook, Outcome};
pub(crate) use keep::{Kept, Webhooks, Whole};

use super::problem::Problem;

const PATH: &str = "/hooks/360dialog";

/// Where webhooks are taken in.
pub(crate) trait Door: 'static {
    fn gate(&self) -> &Gate;

    /// Keeps what was judged to be good; what became of it is known once it is durable.
    async fn keep(&self, hook: &Hook, body: Bytes) -> Outcome;
}

/// Whether this is the way to a channel's door.
pub(crate) fn is_webhook(path: &str) -> bool {
    path.starts_with(PATH)
}

/// One scope for all channels: what follows is looked up, not compared with a route for each.
pub(crate) fn routes<D: Door>(door: &Data<D>, config: &mut ServiceConfig) {
    let door = door.clone();
    let take = move |request, payload| receive(door.clone(), request, payload);
    config.service(web::scope(PATH).default_service(web::to(take)));
}

async fn receive<D: Door>(
    door: Data<D>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let rest = request.match_info().unprocessed();
    let channel = rest.strip_prefix('/').filter(|channel| !channel.is_empty());
    let channel =
        channel.filter(|channel| !channel.contains('/')).ok_or_else(Problem::not_found)?;
    if *request.method() != Method::POST {
        return Ok(greet(request.method()));
    }
    let began = Instant::now();
    let outcome = match door.gate().whole(channel.parse().ok(), &request, payload).await {
        Ok((hook, body)) => door.keep(hook, body).await,
        Err(outcome) => outcome,
    };
    Ok(door.gate().answer(outcome, began.elapsed()))
}

/// Whoever looks whether the address is there hears that it is.
fn greet(method: &Method) -> HttpResponse {
    match *method {
        Method::GET => HttpResponse::Ok().finish(),
        _ => HttpResponse::MethodNotAllowed().finish(),
    }
}
