//! Files: which are taken, and who may have them.

use std::io::{Read as _, Take};
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{self, Bytes, Data, Path, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use dialog360::media::{Kind, Unfit, check};
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;
use usher_domain::ids::{EnquiryId, MediaId, MessageId, ServiceId};
use usher_domain::message::MediaKind;
use usher_domain::record::Event;
use usher_domain::settings::Role;
use usher_domain::time::Timestamp;
use usher_store::{ArchiveReader, MediaRow, StoreError};
use uuid::Uuid;

use super::command::whole;
use super::problem::Problem;
use super::signed::Signed;
use super::state::Doors;
use crate::provider::upload_kind;

const FILENAME_CHARS_MAX: usize = 200;
/// For a file to arrive; a slow one holds up others.
const WITHIN: Duration = Duration::from_mins(5);
/// Of a file on its way out, held in memory at once.
const CHUNK: usize = 64 * 1024;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Upload {
    /// What it will be sent as; by its type where it is not said.
    sort: Option<MediaKind>,
    filename: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Download {
    /// A message that the file stands in; needed for files of ours.
    message: Option<MessageId>,
}

/// Takes a file as the body, its type as `Content-Type`. Whether WhatsApp would take it is judged
/// before anything is stored.
pub(super) async fn upload(
    doors: Data<Doors>,
    signed: Signed,
    request: HttpRequest,
    wanted: Query<Upload>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let Upload { sort, filename } = wanted.into_inner();
    let mime_type = mime_type(&request)?;
    let sort = sort.unwrap_or_else(|| sort_of(&mime_type));
    let filename = filename.map(|name| clean(&name)).filter(|name| !name.is_empty());
    // The type first: a file of the wrong one need not come at all.
    check(upload_kind(sort, 1), &mime_type, 1).map_err(unfit)?;
    let largest = upload_kind(sort, u64::MAX).size_max();
    let _transfer = doors.transfers.acquire().await.map_err(|_| Problem::unavailable())?;
    let body = whole(payload, usize::try_from(largest).unwrap_or(usize::MAX), WITHIN).await?;
    let bytes = body.len() as u64;
    check(upload_kind(sort, bytes), &mime_type, bytes).map_err(unfit)?;
    let store = doors.engine.store().media().clone();
    let stored = web::block(move || store.put(&body[..])).await??;
    let (media, service) = (MediaId::new(Uuid::now_v7()), signed.0.service);
    let event = Event::MediaStored {
        media,
        message: None,
        sha256: stored.sha256,
        mime_type: mime_type.clone(),
        bytes,
        filename: filename.clone(),
    };
    let seq = doors.engine.record(service, event).await?;
    // It is to be found by whoever sends it next.
    doors.engine.store().archive().wait(service, seq).await.ok();
    Ok(HttpResponse::Created().json(json!({
        "id": media, "sort": sort, "mime_type": mime_type, "bytes": bytes, "filename": filename,
    })))
}

fn mime_type(request: &HttpRequest) -> Result<String, Problem> {
    let given = request.headers().get(header::CONTENT_TYPE).and_then(|given| given.to_str().ok());
    given
        .map(str::to_owned)
        .ok_or_else(|| unfit(Unfit::Type { kind: Kind::Document, allowed: &[] }))
}

fn sort_of(mime_type: &str) -> MediaKind {
    match Kind::of(mime_type) {
        Kind::Image => MediaKind::Image,
        Kind::StaticSticker | Kind::AnimatedSticker => MediaKind::Sticker,
        Kind::Audio => MediaKind::Audio,
        Kind::Video => MediaKind::Video,
        Kind::Document => MediaKind::Document,
    }
}

/// A name that is good as a name everywhere.
fn clean(name: &str) -> String {
    let fits = |c: &char| !c.is_control() && !matches!(c, '/' | '\\' | '"');
    name.chars().filter(fits).take(FILENAME_CHARS_MAX).collect()
}

fn unfit(unfit: Unfit) -> Problem {
    match unfit {
        Unfit::Size { limit, .. } => Problem::too_large(limit),
        Unfit::Type { .. } => Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            format!("WhatsApp does not take this file: {unfit}"),
        ),
        Unfit::Empty => Problem::malformed("the file is empty"),
    }
}

/// A file goes to whoever may see the enquiry that it stands in.
pub(super) async fn download(
    doors: Data<Doors>,
    signed: Signed,
    media: Path<MediaId>,
    wanted: Query<Download>,
) -> Result<HttpResponse, Problem> {
    let (person, media) = (signed.0, media.into_inner());
    let (service, message) = (person.service, wanted.message);
    let found = doors.read(service, move |reader| found(reader, service, media, message)).await?;
    let (row, enquiry) = found.ok_or_else(Problem::not_found)?;
    let may = match enquiry {
        // Who was in the room before sees what was sent until then.
        Some((enquiry, at)) => doors.sight(&person, enquiry).await?.shows(at),
        None => person.role == Role::Administrator,
    };
    if !may {
        return Err(Problem::not_found());
    }
    let (store, sha256) = (doors.engine.store().media().clone(), row.sha256.clone());
    let file = web::block(move || store.get(&sha256)).await??.ok_or_else(Problem::not_found)?;
    Ok(answer(&row, file))
}

/// A file, and the enquiry by which it may be seen: when it was said there.
type Found = (MediaRow, Option<(EnquiryId, Timestamp)>);

fn found(
    reader: &ArchiveReader,
    service: ServiceId,
    media: MediaId,
    message: Option<MessageId>,
) -> Result<Option<Found>, StoreError> {
    let Some(row) = reader.media(service, media)? else { return Ok(None) };
    let message = match row.message.or(message) {
        Some(message) => reader.message(service, message)?,
        None => None,
    };
    let held = message.filter(|message| message.content.file() == Some(media));
    let enquiry = held.and_then(|message| Some((message.enquiry?, message.at)));
    Ok(Some((row, enquiry)))
}

fn answer(row: &MediaRow, file: std::fs::File) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    let kind = HeaderValue::from_str(&row.mime_type)
        .unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream"));
    let name = row.filename.as_deref().map(clean).filter(|name| name.is_ascii());
    let disposition = match name {
        Some(name) => format!("attachment; filename=\"{name}\""),
        None => "attachment".to_owned(),
    };
    response
        .insert_header((header::CONTENT_TYPE, kind))
        .insert_header((header::CONTENT_DISPOSITION, disposition))
        // Whatever a visitor sends, it does nothing in a browser.
        .insert_header((header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"))
        .insert_header((header::CONTENT_LENGTH, row.bytes))
        .no_chunking(row.bytes);
    response.streaming(stream::try_unfold(file.take(row.bytes), next))
}

async fn next(
    mut file: Take<std::fs::File>,
) -> Result<Option<(Bytes, Take<std::fs::File>)>, actix_web::Error> {
    let read = web::block(move || {
        let mut chunk = Vec::with_capacity(CHUNK);
        file.by_ref().take(CHUNK as u64).read_to_end(&mut chunk).map(|_| (chunk, file))
    });
    let (chunk, file) = read.await??;
    Ok((!chunk.is_empty()).then(|| (Bytes::from(chunk), file)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_what_would_mean_something_elsewhere() {
        assert_eq!(clean("../a\"b\\c\r\nd.pdf"), "..abcd.pdf");
        assert_eq!(clean(&"x".repeat(500)).len(), FILENAME_CHARS_MAX);
    }

    #[test]
    fn a_type_says_what_it_is_sent_as() {
        assert_eq!(sort_of("image/png"), MediaKind::Image);
        assert_eq!(sort_of("image/webp"), MediaKind::Sticker);
        assert_eq!(sort_of("application/pdf"), MediaKind::Document);
    }
}
