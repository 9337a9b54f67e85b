//! The provider's media endpoints: upload, look up, fetch from the rewritten address, delete.

use actix_multipart::Multipart;
use actix_web::web::{Bytes, Data, Path, block};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::TryStreamExt;
use serde_json::json;

use crate::errors::{Check, Invalid, graph, meta, respond};
use crate::faults::Fault;
use crate::gate;
use crate::media::{self, Attachment};
use crate::world::Provider;

/// More than any type may have: reading stops here.
const MOST: usize = 101 * 1024 * 1024;
/// The host clients have to replace.
const HOST: &str = "https://lookaside.fbsbx.com/whatsapp_business/attachments/";

pub(crate) async fn upload(
    request: HttpRequest,
    provider: Data<Provider>,
    form: Multipart,
) -> HttpResponse {
    let number = match gate::pass(&provider, &request, "media", None).await {
        Ok(number) => number,
        Err(answer) => return answer,
    };
    let now_ms = provider.now_ms();
    {
        let mut world = provider.world();
        let uploads = &mut world.numbers[number].uploads;
        if !uploads.ready(now_ms) {
            return meta(429, "You have exceeded the endpoint rate limit.");
        }
        uploads.spend(now_ms);
    }
    let (mime, bytes) = match read_form(form).await {
        Ok(file) => file,
        Err(why) => return why.answer(),
    };
    if let Err(why) = media::check_upload(&mime, &bytes) {
        return why.answer();
    }
    let dir = provider.options.media_dir.clone();
    match block(move || Attachment::keep(bytes, &mime, dir.as_ref())).await {
        Ok(Ok(file)) => {
            let id = provider.world().media.add(number, file, false, now_ms);
            respond(200, &json!({"id": id}))
        }
        _ => graph(500, 131_000, "The file could not be kept."),
    }
}

async fn read_form(mut form: Multipart) -> Check<(String, Bytes)> {
    let broken = |_| Invalid::new(100, "The multipart body is broken.");
    let mut product = Vec::new();
    let mut file = None;
    while let Some(mut field) = form.try_next().await.map_err(broken)? {
        let name = field.name().unwrap_or_default().to_owned();
        let mime = field.content_type().map(ToString::to_string);
        let mut bytes = Vec::new();
        while let Some(chunk) = field.try_next().await.map_err(broken)? {
            if bytes.len() + chunk.len() > MOST {
                return Err(Invalid::new(131_053, "The file is too large."));
            }
            bytes.extend_from_slice(&chunk);
        }
        match name.as_str() {
            "messaging_product" => product = bytes,
            "file" => {
                let none = || Invalid::new(100, "The file has no Content-Type.");
                file = Some((mime.ok_or_else(none)?, Bytes::from(bytes)));
            }
            "type" => {}
            _ => return Err(Invalid::new(100, format!("Unexpected form field \"{name}\"."))),
        }
    }
    if product != b"whatsapp" {
        return Err(Invalid::new(100, "The parameter messaging_product is required."));
    }
    file.ok_or_else(|| Invalid::new(100, "The parameter file is required."))
}

/// Lets a GET on, unless the endpoint is blocked or the file is to be missing.
async fn enter(provider: &Provider, request: &HttpRequest) -> Result<usize, HttpResponse> {
    let number = gate::pass(provider, request, "media", None).await?;
    if provider.world().numbers[number].media_blocked(provider.now_ms()) {
        return Err(meta(403, "The endpoint is blocked"));
    }
    if gate::strikes(provider, number, "media", None, Fault::Media404).is_some() {
        return Err(missing(provider, number, 404));
    }
    Ok(number)
}

fn missing(provider: &Provider, number: usize, http: u16) -> HttpResponse {
    provider.world().numbers[number].media_error(provider.now_ms());
    let text = "Unsupported get request. Object does not exist or cannot be loaded.";
    respond(
        http,
        &json!({"error": {"message": text, "type": "GraphMethodException", "code": 100,
            "error_subcode": 33, "fbtrace_id": "ASandbox"}}),
    )
}

pub(crate) async fn look_up(
    request: HttpRequest,
    provider: Data<Provider>,
    id: Path<String>,
) -> HttpResponse {
    let number = match enter(&provider, &request).await {
        Ok(number) => number,
        Err(answer) => return answer,
    };
    let now_ms = provider.now_ms();
    let shown = {
        let world = provider.world();
        world.media.find(&id, number, now_ms).map(|file| {
            let expires_s = now_ms / 1000 + world.media.url_ttl_s;
            let size = file.held.size();
            json!({
                "messaging_product": "whatsapp",
                "url": format!("{HOST}?{}", world.media.query(&id, false, expires_s)),
                "mime_type": file.mime, "sha256": file.sha_hex(), "id": id.as_str(),
                // Both are seen in the wild.
                "file_size": if file.inbound { json!(size) } else { json!(size.to_string()) },
            })
        })
    };
    match shown {
        Some(shown) => respond(200, &shown),
        None => missing(&provider, number, 400),
    }
}

pub(crate) async fn fetch(request: HttpRequest, provider: Data<Provider>) -> HttpResponse {
    let number = match enter(&provider, &request).await {
        Ok(number) => number,
        Err(answer) => return answer,
    };
    let now_ms = provider.now_ms();
    let found = {
        let world = provider.world();
        let file = world.media.by_query(request.query_string(), number, now_ms);
        file.map(|file| (file.held.clone(), file.mime.clone()))
    };
    let Some((held, mime)) = found else { return missing(&provider, number, 404) };
    match block(move || held.read()).await {
        Ok(Ok(bytes)) => HttpResponse::Ok().content_type(mime).body(bytes),
        _ => missing(&provider, number, 404),
    }
}

pub(crate) async fn delete(
    request: HttpRequest,
    provider: Data<Provider>,
    id: Path<String>,
) -> HttpResponse {
    let number = match gate::pass(&provider, &request, "media", None).await {
        Ok(number) => number,
        Err(answer) => return answer,
    };
    let now_ms = provider.now_ms();
    let mut world = provider.world();
    let own = world.media.find(&id, number, now_ms).is_some();
    if own && world.media.remove(&id) {
        return respond(200, &json!({"success": true}));
    }
    graph(400, 100, "Object does not exist.")
}

/// The address inside a webhook.
pub(crate) fn webhook_url(query: &str) -> String {
    format!("{HOST}?{query}")
}
