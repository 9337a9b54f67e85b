//! Hands one message over to 360dialog, once, and tells the engine what came of it.

use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use dialog360::client::{self, CallError};
use dialog360::media::Kind;
use metrics::histogram;
use thiserror::Error;
use tokio::time::Instant;
use usher_domain::ids::{MediaId, ServiceId};
use usher_domain::message::{Content, Media, MediaKind};
use usher_domain::template::{Header, Template};
use usher_engine::{Engine, Outgoing, SendOutcome};
use usher_store::{MediaRow, StoreError};

use super::count_error;
use super::line::Line;
use super::outbound::{self, Unsendable};
use crate::metrics::OUTBOUND_SECONDS;

pub(super) async fn send(engine: Engine, line: Arc<Line>, outgoing: Box<Outgoing>) {
    let Ok(_permit) = line.sends.acquire().await else { return };
    let began = Instant::now();
    let outcome = attempt(&engine, &line, &outgoing).await;
    histogram!(OUTBOUND_SECONDS, "outcome" => label(&outcome))
        .record(began.elapsed().as_secs_f64());
    engine.outcome(outgoing.service, outgoing.channel, outgoing.message, outcome);
}

const fn label(outcome: &SendOutcome) -> &'static str {
    match outcome {
        SendOutcome::Accepted { .. } => "accepted",
        SendOutcome::Refused { .. } => "refused",
        SendOutcome::Ambiguous => "ambiguous",
        SendOutcome::NotSent => "not_sent",
    }
}

async fn attempt(engine: &Engine, line: &Line, outgoing: &Outgoing) -> SendOutcome {
    let file = match shown(&outgoing.content) {
        Some(shown) => match uploaded(engine, line, shown).await {
            Ok(provider_id) => Some(provider_id),
            Err(failed) => return failed.outcome(line),
        },
        None => None,
    };
    let prepared = match outbound::prepare(outgoing, file.as_deref()) {
        Ok(prepared) => prepared,
        Err(why) => return outbound::refused(&why),
    };
    match line.client.send(&prepared).await {
        client::SendOutcome::Accepted(accepted) => SendOutcome::Accepted {
            provider_id: accepted.message_id,
            wa_id: accepted.wa_id,
            user_id: accepted.user_id,
        },
        client::SendOutcome::Failed(failure) => {
            if let Some(file) = &file {
                line.forget_upload(file);
            }
            count_error(failure.class);
            if failure.class.alerts() {
                tracing::error!(channel = %line.channel, code = failure.code, "the number cannot be used until somebody acts");
            }
            outbound::refusal(&failure)
        }
        client::SendOutcome::Ambiguous(error) => {
            count_error(error.class());
            tracing::warn!(message = %outgoing.message, %error, "it may have been sent");
            SendOutcome::Ambiguous
        }
        client::SendOutcome::NotSent(error) => {
            count_error(error.class());
            SendOutcome::NotSent
        }
    }
}

/// A file that a message shows.
struct Shown<'a> {
    file: Option<MediaId>,
    sort: MediaKind,
    filename: Option<&'a str>,
}

fn shown(content: &Content) -> Option<Shown<'_>> {
    match content {
        Content::Media(Media { file, sort, filename, .. })
        | Content::Template(Template {
            header: Some(Header::Media { file, sort, filename }),
            ..
        }) => Some(Shown { file: *file, sort: *sort, filename: filename.as_deref() }),
        _ => None,
    }
}

/// Why a file is not with the provider.
#[derive(Debug, Error)]
enum NotUploaded {
    #[error("the file is not here")]
    Gone,
    #[error("the file cannot be read")]
    Store(#[source] StoreError),
    #[error("the file was not taken")]
    Call(#[source] CallError),
}

impl NotUploaded {
    /// The message itself has not left in any of these cases.
    fn outcome(&self, line: &Line) -> SendOutcome {
        // The provider's code for a file that it could not have.
        const MEDIA_UPLOAD: i64 = 131_053;
        match self {
            Self::Gone | Self::Call(CallError::Unfit(_) | CallError::MediaId) => {
                let title = Unsendable::Kind.to_string();
                SendOutcome::Refused { code: MEDIA_UPLOAD, title, then: outbound::FINAL }
            }
            Self::Call(CallError::Refused(failure)) if failure.class.label() != "ambiguous" => {
                count_error(failure.class);
                outbound::refusal(failure)
            }
            Self::Call(error) => {
                count_error(error.class());
                SendOutcome::NotSent
            }
            Self::Store(error) => {
                let error = error as &dyn std::error::Error;
                tracing::error!(channel = %line.channel, error, "a file was not read");
                SendOutcome::NotSent
            }
        }
    }
}

/// The provider's id of a file of ours, uploaded now unless it is there already.
async fn uploaded(engine: &Engine, line: &Line, shown: Shown<'_>) -> Result<String, NotUploaded> {
    let row = match shown.file {
        Some(file) => described(engine, line.service, file).await?,
        None => return Err(NotUploaded::Gone),
    };
    let kind: Kind = outbound::upload_kind(shown.sort, row.bytes);
    if let Some(provider_id) = line.uploaded(&row.sha256, kind) {
        return Ok(provider_id);
    }
    let bytes = read(engine, row.sha256.clone()).await?;
    let filename = shown.filename.or(row.filename.as_deref()).unwrap_or("file");
    let uploaded = line.client.upload(kind, &row.mime_type, filename, bytes).await;
    let provider_id = uploaded.map_err(NotUploaded::Call)?;
    line.remember_upload(&row.sha256, kind, provider_id.clone());
    Ok(provider_id)
}

async fn described(
    engine: &Engine,
    service: ServiceId,
    file: MediaId,
) -> Result<MediaRow, NotUploaded> {
    let archive = engine.store().archive().clone();
    let look_up = move || archive.reader()?.media(service, file);
    let row = tokio::task::spawn_blocking(look_up).await.map_err(|_| NotUploaded::Gone)?;
    row.map_err(NotUploaded::Store)?.ok_or(NotUploaded::Gone)
}

async fn read(engine: &Engine, sha256: String) -> Result<Bytes, NotUploaded> {
    let store = engine.store().media().clone();
    let read = move || -> Result<Option<Vec<u8>>, StoreError> {
        let Some(mut file) = store.get(&sha256)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(|source| StoreError::File { path: sha256.into(), source })?;
        Ok(Some(bytes))
    };
    let bytes = tokio::task::spawn_blocking(read).await.map_err(|_| NotUploaded::Gone)?;
    bytes.map_err(NotUploaded::Store)?.map(Bytes::from).ok_or(NotUploaded::Gone)
}
