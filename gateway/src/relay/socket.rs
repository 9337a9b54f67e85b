//! An agent's socket whose session is on another node: what passes is not looked at.
//!
//! It ends with either side, and when the owner is another: the client then comes back, by any node, and
//! resumes.

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Payload};
use actix_web::{HttpRequest, HttpResponse, rt};
use bytes::BytesMut;
use futures_util::{StreamExt as _, stream};
use reqwest::header::{CONNECTION, UPGRADE};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;

use super::request::{Asked, head, put};
use super::{Owner, PATIENCE, Relay, nobody};
use crate::http::Problem;

/// Read at once, and held for each socket.
const PIECE: usize = 4 * 1024;

pub(super) async fn pipe(
    relay: &Relay,
    request: &HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let until = Instant::now() + PATIENCE;
    let mut failed = None;
    let (owner, answer) = loop {
        let owner = relay.owner(failed.as_ref(), until).await?;
        let asked = relay.ask(&owner, request).header(CONNECTION, "upgrade");
        match put(relay, &owner, asked.header(UPGRADE, "websocket")).await {
            Asked::Answered(answer) => break (owner, answer),
            // A socket that was opened for nobody is closed there.
            Asked::NotTaken | Asked::Unknown => failed = Some(owner),
        }
    };
    let mut response = head(&answer);
    if answer.status().as_u16() != StatusCode::SWITCHING_PROTOCOLS.as_u16() {
        return Ok(response.streaming(answer.bytes_stream()));
    }
    let stream = answer.upgrade().await.map_err(|_| nobody())?;
    let (reads, writes) = tokio::io::split(stream);
    rt::spawn(towards(payload, writes));
    Ok(response.upgrade("websocket").streaming(back(relay.clone(), owner, reads)))
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
fn back(
    relay: Relay,
    owner: Owner,
    reads: impl AsyncRead + Unpin,
) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> {
    let start = (relay, owner, reads, BytesMut::new());
    stream::unfold(start, |(relay, owner, mut reads, mut buffer)| async move {
        buffer.reserve(PIECE);
        let read = tokio::select! {
            read = reads.read_buf(&mut buffer) => read,
            () = relay.replaced(&owner) => return None,
        };
        match read {
            Ok(0) => None,
            Ok(_) => Some((Ok(buffer.split().freeze()), (relay, owner, reads, buffer))),
            Err(error) => Some((Err(error), (relay, owner, reads, buffer))),
        }
    })
}
