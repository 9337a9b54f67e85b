//! What a request to the provider meets before it is looked at: the key check and the request faults.

use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use actix_web::dev::Extensions;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;
use tokio::time::sleep;

use crate::errors::{html_502, meta};
use crate::faults::{Aim, Fault};
use crate::numbers::key_of;
use crate::world::Provider;

/// A second handle on a connection's socket, to cut it without a word.
#[derive(Debug)]
pub(crate) struct Line(TcpStream);

/// Remembers the socket of a new connection.
pub(crate) fn remember(connection: &dyn std::any::Any, extensions: &mut Extensions) {
    let Some(stream) = connection.downcast_ref::<actix_web::rt::net::TcpStream>() else { return };
    if let Ok(fd) = stream.as_fd().try_clone_to_owned() {
        extensions.insert(Line(TcpStream::from(fd)));
    }
}

fn cut(request: &HttpRequest) {
    if let Some(line) = request.conn_data::<Line>() {
        // Already gone is as good as cut.
        drop(line.0.shutdown(Shutdown::Both));
    }
}

/// The number whose key the request carries, once no fault stands in the way.
pub(crate) async fn pass(
    provider: &Provider,
    request: &HttpRequest,
    on: &str,
    to: Option<&str>,
) -> Result<usize, HttpResponse> {
    let number = {
        let world = provider.world();
        key_of(request).and_then(|key| world.number_of_key(key))
    };
    let Some(number) = number else { return Err(meta(401, "Invalid api_key")) };
    if let Some(ms) = strikes(provider, number, on, to, Fault::Slow) {
        sleep(Duration::from_millis(ms)).await;
    }
    if strikes(provider, number, on, to, Fault::DropConnection).is_some() {
        cut(request);
        return Err(meta(500, "connection dropped"));
    }
    if strikes(provider, number, on, to, Fault::Html502).is_some() {
        return Err(html_502());
    }
    if strikes(provider, number, on, to, Fault::Meta403).is_some() {
        return Err(meta(403, "No permission for that number"));
    }
    if strikes(provider, number, on, to, Fault::BadKey401).is_some() {
        return Err(meta(401, "Invalid api_key"));
    }
    if let Some(after) = strikes(provider, number, on, to, Fault::Rate429) {
        let mut answer = meta(429, "You have exceeded the endpoint rate limit.");
        if after > 0 {
            answer.headers_mut().insert(actix_web::http::header::RETRY_AFTER, after.into());
        }
        return Err(answer);
    }
    Ok(number)
}

/// Whether a fault strikes; the ledger keeps that it did.
pub(crate) fn strikes(
    provider: &Provider,
    number: usize,
    on: &str,
    to: Option<&str>,
    fault: Fault,
) -> Option<u64> {
    let now_ms = provider.now_ms();
    let mut world = provider.world();
    let id = world.numbers[number].id.clone();
    let value = world.faults.strikes(fault, Aim { number: &id, on, to })?;
    let fields = json!({"fault": format!("{fault:?}"), "number": id, "on": on, "to": to});
    world.ledger.write(now_ms, "fault", fields);
    Some(value)
}
