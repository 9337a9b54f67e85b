//! How a webhook's body is taken in: whole, within its size and its time.

use std::time::Duration;

use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt as _;

/// For a body to arrive whole.
const WITHIN: Duration = Duration::from_secs(30);

/// Why there is no body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cut {
    TooLarge,
    /// The connection broke, or was too slow.
    Lost,
}

/// The whole body, of at most so many bytes.
pub(super) async fn whole(payload: Payload, most: usize) -> Result<Bytes, Cut> {
    let whole = tokio::time::timeout(WITHIN, pieces(payload, most)).await;
    whole.unwrap_or(Err(Cut::Lost))
}

/// What comes in one piece, as most bodies do, is not copied.
async fn pieces(mut payload: Payload, most: usize) -> Result<Bytes, Cut> {
    let (mut first, mut more) = (Bytes::new(), BytesMut::new());
    while let Some(piece) = payload.next().await {
        let piece = piece.map_err(|_| Cut::Lost)?;
        if first.len().max(more.len()) + piece.len() > most {
            return Err(Cut::TooLarge);
        }
        if first.is_empty() {
            first = piece;
            continue;
        }
        if more.is_empty() {
            more.extend_from_slice(&first);
        }
        more.extend_from_slice(&piece);
    }
    Ok(if more.is_empty() { first } else { more.freeze() })
}
