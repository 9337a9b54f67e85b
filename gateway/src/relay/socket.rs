//! An agent's socket whose session is on another node: but for its end, what passes is not looked at.
//!
//! It ends with either side. An owner that goes without a goodbye is waited for: once there is another, the
//! client is let go, comes back by any node and resumes, instead of asking again and again meanwhile.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Payload};
use actix_web::{HttpRequest, HttpResponse, rt};
use bytes::BytesMut;
use futures_util::{StreamExt as _, stream};
use reqwest::header::{CONNECTION, UPGRADE};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use super::frames::Frames;
use super::request::{Asked, head, put};
use super::{Owner, Relay, nobody};
use crate::http::Problem;

/// Read at once, and held for each socket.
const PIECE: usize = 4 * 1024;
/// So long there may be no owner before a client has to ask again: a lease, and a start.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn pipe(
    relay: &Relay,
    request: &HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let until = Instant::now() + PATIENCE;
    let (owner, answer) = loop {
        let owner = relay.owner(until).await?;
        let asked = relay.ask(&owner, request).header(CONNECTION, "upgrade");
        match put(relay, &owner, asked.header(UPGRADE, "websocket")).await {
            Asked::Answered(answer) => break (owner, answer),
            // A socket that was opened for nobody is closed there.
            Asked::NotTaken | Asked::Unknown => relay.breathe(until).await?,
        }
    };
    let mut response = head(&answer);
    if answer.status().as_u16() != StatusCode::SWITCHING_PROTOCOLS.as_u16() {
        return Ok(response.streaming(answer.bytes_stream()));
    }
    let stream = answer.upgrade().await.map_err(|_| nobody())?;
    let (reads, writes) = tokio::io::split(stream);
    rt::spawn(towards(payload, writes));
    let (relay, frames, buffer) = (relay.clone(), Frames::default(), BytesMut::new());
    let back = Back { relay, owner, reads, frames, buffer };
    Ok(response.upgrade("websocket").streaming(stream::unfold(back, Back::next)))
}

/// What the client writes.
async fn towards(mut payload: Payload, mut writes: impl AsyncWrite + Unpin) {
    while let Some(Ok(piece)) = payload.next().await {
        if writes.write_all(&piece).await.is_err() {
            break;
        }
    }
    // The other side may have gone before.
    writes.shutdown().await.ok();
}

/// What the owner writes, as fast as the client takes it.
struct Back<R> {
    relay: Relay,
    owner: Owner,
    reads: R,
    frames: Frames,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> Back<R> {
    async fn next(mut self) -> Option<(std::io::Result<Bytes>, Self)> {
        self.buffer.reserve(PIECE);
        let read = tokio::select! {
            read = self.reads.read_buf(&mut self.buffer) => read,
            () = self.relay.replaced(&self.owner) => return None,
        };
        if !matches!(read, Ok(1..)) {
            if !self.frames.have_closed() {
                drop(timeout(PATIENCE, self.relay.replaced(&self.owner)).await);
            }
            return None;
        }
        let some = self.buffer.split().freeze();
        self.frames.pass(&some);
        Some((Ok(some), self))
    }
}
