//! Fetches a file that came in and stores it here; a file that cannot be had is said to be so.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dialog360::client::{CallError, Download};
use dialog360::media::{DigestCheck, Kind, check_digest};
use usher_domain::ids::{MediaId, MessageId, ServiceId};
use usher_domain::record::Event;
use usher_engine::Engine;
use usher_store::StoredFile;
use uuid::Uuid;

use super::count_error;
use super::line::Line;

/// Waits before each further try; afterwards the file is given up.
const AGAIN_AFTER: [Duration; 5] = [
    Duration::from_secs(2),
    Duration::from_secs(15),
    Duration::from_mins(2),
    Duration::from_mins(15),
    Duration::from_hours(1),
];

/// Tries to write down what was fetched.
const RECORD_TRIES: u32 = 10;

/// A file of a visitor's message.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) message: MessageId,
    pub(super) provider_id: String,
    pub(super) mime_type: String,
    pub(super) filename: Option<String>,
    /// As the webhook gave it.
    pub(super) sha256: Option<String>,
}

pub(super) async fn fetch(engine: Engine, line: Arc<Line>, wanted: Wanted) {
    let event = match downloaded(&line, &wanted).await {
        Ok(download) => stored(&engine, wanted, download).await,
        Err(error) => {
            let why = reason(&error).to_owned();
            tracing::warn!(message = %wanted.message, %error, "a file cannot be had");
            Event::MediaUnavailable { message: wanted.message, why }
        }
    };
    record(&engine, line.service, event).await;
}

async fn downloaded(line: &Line, wanted: &Wanted) -> Result<Download, CallError> {
    let mut waits = AGAIN_AFTER.iter();
    loop {
        line.media_errors.waited_out().await;
        let fetched = {
            let _permit = line.fetches.acquire().await;
            line.client.fetch_media(&wanted.provider_id, Kind::Document.size_max()).await
        };
        let error = match fetched {
            Ok(download) => return Ok(download),
            Err(error) => error,
        };
        count_error(error.class());
        if matches!(error, CallError::Refused(_) | CallError::Unexpected { .. }) {
            line.media_errors.note();
        }
        match waits.next().filter(|_| may_pass(&error)) {
            Some(wait) => tokio::time::sleep(*wait).await,
            None => return Err(error),
        }
    }
}

/// A file that is not there will not come; everything else may.
fn may_pass(error: &CallError) -> bool {
    match error {
        CallError::NotSent(_) | CallError::Lost(_) | CallError::Unexpected { .. } => true,
        CallError::Refused(failure) => {
            failure.class.retries()
                || failure.class.alerts()
                || matches!(failure.http_status, 401 | 403 | 408 | 429 | 500..)
        }
        CallError::TooLarge { .. }
        | CallError::ForeignHost
        | CallError::MediaId
        | CallError::Unfit(_) => false,
    }
}

/// For the room.
const fn reason(error: &CallError) -> &'static str {
    match error {
        CallError::TooLarge { .. } => "the file is too large",
        CallError::Refused(_) => "WhatsApp does not have the file (any more)",
        CallError::ForeignHost | CallError::MediaId | CallError::Unfit(_) => {
            "WhatsApp described the file in a way that cannot be followed"
        }
        CallError::NotSent(_) | CallError::Lost(_) | CallError::Unexpected { .. } => {
            "WhatsApp could not be reached for the file"
        }
    }
}

async fn stored(engine: &Engine, wanted: Wanted, download: Download) -> Event {
    let Wanted { message, mime_type, filename, sha256, .. } = wanted;
    if check_digest(&download.bytes, sha256.as_deref()) == DigestCheck::Differs {
        tracing::warn!(%message, "a file is not the one that its webhook told of");
    }
    let Some(StoredFile { sha256, bytes, .. }) = keep(engine, download.bytes).await else {
        let why = "the file could not be stored".to_owned();
        return Event::MediaUnavailable { message, why };
    };
    Event::MediaStored {
        media: MediaId::new(Uuid::now_v7()),
        message: Some(message),
        sha256,
        mime_type: download.mime_type.unwrap_or(mime_type),
        bytes,
        filename,
    }
}

async fn keep(engine: &Engine, bytes: Bytes) -> Option<StoredFile> {
    let store = engine.store().media().clone();
    match tokio::task::spawn_blocking(move || store.put(&bytes[..])).await {
        Ok(Ok(stored)) => Some(stored),
        Ok(Err(error)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a file was not stored");
            None
        }
        Err(_) => None,
    }
}

/// Writes down what became of a file; while nothing can be stored it is tried again.
pub(super) async fn record(engine: &Engine, service: ServiceId, event: Event) {
    for attempt in 1..=RECORD_TRIES {
        if engine.record(service, event.clone()).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_secs(u64::from(attempt))).await;
    }
    tracing::error!(%service, "what became of a file was not recorded");
}
