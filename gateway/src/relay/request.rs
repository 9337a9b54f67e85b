//! One request, passed on to the owner, and its answer.

use actix_web::http::{Method, StatusCode, header};
use actix_web::web::{Bytes, Payload};
use actix_web::{HttpRequest, HttpResponse, rt};
use futures_util::{StreamExt as _, stream};
use reqwest::{Body, RequestBuilder};
use tokio::sync::mpsc;
use usher_domain::ids::ServiceId;

use super::{NODE, Owner, PATIENCE, Relay, SECRET, Wanted};
use crate::http::Problem;

/// A body no longer than this is read first, and may then be sent to another node too.
const KEPT_MAX: usize = 256 * 1024;
/// Pieces of a longer one that are on their way.
const PIECES: usize = 4;

/// What belongs to one connection, and what nodes alone say.
const OWN: [&str; 12] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
    "forwarded",
    "x-forwarded-for",
    NODE,
    SECRET,
];

pub(super) fn passes(name: &str) -> bool {
    !OWN.contains(&name)
}

pub(super) async fn pass_on(
    relay: &Relay,
    service: ServiceId,
    request: &HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let wanted = Wanted::new(&relay.homes, service, PATIENCE);
    let mut body = Sent::of(request, payload).await?;
    let question = |owner: &Owner| body.put_into(relay.ask(owner, request.head()));
    // It may have been done; only what changes nothing is asked again.
    let (_, answer) = wanted.asked(request.method().is_safe(), question).await?;
    Ok(give(answer))
}

fn give(answer: reqwest::Response) -> HttpResponse {
    let mut response = head(&answer);
    if answer.content_length() == Some(0) {
        return response.finish();
    }
    // With its length, where there is one, or it would be sent in chunks.
    match answer.content_length() {
        Some(length) => response.no_chunking(length).streaming(answer.bytes_stream()),
        None => response.streaming(answer.bytes_stream()),
    }
}

/// Status and headers of an answer.
pub(super) fn head(answer: &reqwest::Response) -> actix_web::HttpResponseBuilder {
    let status = StatusCode::from_u16(answer.status().as_u16());
    let mut response = HttpResponse::build(status.unwrap_or(StatusCode::BAD_GATEWAY));
    for header in passed(answer).filter(|(name, _)| *name != header::CONTENT_LENGTH.as_str()) {
        response.append_header(header);
    }
    response
}

/// What of an answer's headers is the client's.
pub(super) fn passed(answer: &reqwest::Response) -> impl Iterator<Item = (&str, &[u8])> {
    let headers = answer.headers().iter();
    let headers = headers.map(|(name, value)| (name.as_str(), value.as_bytes()));
    headers.filter(|(name, _)| passes(name))
}

/// A request's body on its way.
enum Sent {
    /// Empty: none.
    Kept(Bytes),
    /// Can be sent once.
    Passing(Option<Body>),
}

impl Sent {
    async fn of(request: &HttpRequest, payload: Payload) -> Result<Self, Problem> {
        let length = request.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let is_chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
        if is_chunked || length.is_some_and(|length| length > KEPT_MAX) {
            return Ok(Self::Passing(Some(passing(payload))));
        }
        if length.unwrap_or(0) == 0 || *request.method() == Method::HEAD {
            return Ok(Self::Kept(Bytes::new()));
        }
        let whole = payload.to_bytes_limited(KEPT_MAX).await;
        let whole = whole.map_err(|_| Problem::too_large(KEPT_MAX as u64))?;
        Ok(Self::Kept(whole.map_err(|_| Problem::cut_off())?))
    }

    /// `None`: it has gone with a question before.
    fn put_into(&mut self, asked: RequestBuilder) -> Option<RequestBuilder> {
        match self {
            Self::Kept(bytes) if bytes.is_empty() => Some(asked),
            Self::Kept(bytes) => Some(asked.body(bytes.clone())),
            Self::Passing(body) => body.take().map(|body| asked.body(body)),
        }
    }
}

/// The client of other nodes runs on any thread; a body is read on the one it came to.
fn passing(mut payload: Payload) -> Body {
    let (pieces, mut taken) = mpsc::channel(PIECES);
    rt::spawn(async move {
        while let Some(piece) = payload.next().await {
            let cut = piece.is_err();
            let piece = piece.map_err(|error| std::io::Error::other(error.to_string()));
            if pieces.send(piece).await.is_err() || cut {
                break;
            }
        }
    });
    Body::wrap_stream(stream::poll_fn(move |context| taken.poll_recv(context)))
}
