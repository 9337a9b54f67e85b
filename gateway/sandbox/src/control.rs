//! The control side: how demos, tests and the load test move the pretend phones and read the ledger.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::{Bytes, Data, Json, Path, Query, block};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::compose::{self, Composed, Origin};
use crate::delivery;
use crate::errors::{Refusal, control, respond};
use crate::media::Attachment;
use crate::numbers::Number;
use crate::options::NumberOptions;
use crate::phones::{Phone, Status};
use crate::receipts::{self, Accepted, envelope};
use crate::templates::Page;
use crate::world::Provider;

const LONGEST_WAIT_MS: u64 = 60_000;
/// Updates in one webhook, as at the provider.
const BATCH: usize = 1000;
/// Messages in one change of a batch.
const PER_CHANGE: usize = 100;

type Answer = Result<HttpResponse, Refusal>;

fn bad(text: impl Into<String>) -> Refusal {
    control(400, text)
}

fn full() -> Refusal {
    control(503, "too many webhooks are waiting for this number")
}

fn number_of(provider: &Provider, id: Option<&Value>) -> Result<usize, Refusal> {
    let world = provider.world();
    match id.and_then(Value::as_str) {
        Some(id) => world.number(id).ok_or_else(|| control(404, format!("no number {id}"))),
        // The only one needs no name.
        None if world.numbers.len() == 1 => Ok(0),
        None => Err(bad("number (a phone_number_id) is needed")),
    }
}

pub(crate) async fn numbers(provider: Data<Provider>) -> HttpResponse {
    let shown: Vec<Value> = provider.world().numbers.iter().map(Number::show).collect();
    respond(200, &json!(shown))
}

pub(crate) async fn add_number(provider: Data<Provider>, body: Json<NumberOptions>) -> Answer {
    let mut world = provider.world();
    let taken = world.number(&body.phone_number_id).is_some();
    if taken || world.number_of_key(&body.api_key).is_some() {
        return Err(control(409, "the number or its key is there already"));
    }
    let number = Number::new(&body);
    let shown = number.show();
    world.numbers.push(number);
    Ok(respond(201, &shown))
}

/// `{health?, api_key?}`: what the provider's side can do to a number.
pub(crate) async fn change_number(
    provider: Data<Provider>,
    id: Path<String>,
    body: Json<Value>,
) -> Answer {
    let number = number_of(&provider, Some(&json!(id.as_str())))?;
    let mut world = provider.world();
    if let Some(health) = body["health"].as_str() {
        if !["AVAILABLE", "LIMITED", "BLOCKED"].contains(&health) {
            return Err(bad("health must be AVAILABLE, LIMITED or BLOCKED"));
        }
        health.clone_into(&mut world.numbers[number].health);
    }
    if let Some(key) = body["api_key"].as_str() {
        key.clone_into(&mut world.numbers[number].api_key);
    }
    Ok(respond(200, &world.numbers[number].show()))
}

/// Puts the bytes of a media message away; a tiny picture when it brings none.
async fn attachment(provider: &Provider, spec: &Value) -> Result<Option<Attachment>, Refusal> {
    let habit = match spec["type"].as_str() {
        Some("image") => "image/png",
        Some("video") => "video/mp4",
        Some("audio") => "audio/ogg; codecs=opus",
        Some("document") => "application/pdf",
        Some("sticker") => "image/webp",
        _ => return Ok(None),
    };
    let bytes = match spec["data"].as_str() {
        Some(data) => STANDARD.decode(data).map_err(|_| bad("data is not base64"))?,
        None => STANDARD.decode(DOT).map_err(|_| bad("no sample"))?,
    };
    let mime = spec["mime"].as_str().unwrap_or(habit).to_owned();
    let dir = provider.world().media.dir.clone();
    match block(move || Attachment::keep(Bytes::from(bytes), &mime, dir.as_ref())).await {
        Ok(Ok(kept)) => Ok(Some(kept)),
        _ => Err(control(500, "the file could not be kept")),
    }
}

/// A picture of one pixel.
const DOT: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

fn wa_id(text: &str) -> Result<String, Refusal> {
    let plain = (7..=15).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if plain { Ok(text.to_owned()) } else { Err(bad("a phone is 7 to 15 digits")) }
}

async fn composed(provider: &Provider, wa_id: &str, spec: &Value) -> Result<Composed, Refusal> {
    let number = number_of(provider, spec.get("number"))?;
    let file = attachment(provider, spec).await?;
    let now_ms = provider.now_ms();
    let from = Origin { number, wa_id, now_ms };
    compose::compose(&mut provider.world(), from, spec, file).map_err(bad)
}

pub(crate) async fn phone_sends(
    provider: Data<Provider>,
    phone: Path<String>,
    spec: Json<Value>,
) -> Answer {
    let provider = provider.into_inner();
    let wa_id = wa_id(&phone)?;
    let number = number_of(&provider, spec.get("number"))?;
    let place = delivery::place(&provider, number).ok_or_else(full)?;
    let message = composed(&provider, &wa_id, &spec).await?;
    let id = message.wamid.clone();
    let body = {
        let world = provider.world();
        envelope(&world, number, "messages", &compose::value(&world, number, &[message]))
    };
    let underway = delivery::post(&provider, number, &body, place);
    Ok(respond(200, &json!({"id": id, "delivery": underway.id})))
}

/// Many messages in one webhook; each brings its `from` and, if numbers are mixed, its `number`.
pub(crate) async fn batch(provider: Data<Provider>, specs: Json<Vec<Value>>) -> Answer {
    let provider = provider.into_inner();
    if specs.is_empty() || specs.len() > BATCH {
        return Err(bad(format!("a batch has 1 to {BATCH} messages")));
    }
    let first = number_of(&provider, specs[0].get("number"))?;
    let place = delivery::place(&provider, first).ok_or_else(full)?;
    let mut groups: Vec<Vec<Composed>> = Vec::new();
    let mut ids = Vec::new();
    for spec in specs.iter() {
        let from = wa_id(spec["from"].as_str().unwrap_or_default())?;
        let message = composed(&provider, &from, spec).await?;
        ids.push(message.wamid.clone());
        match groups.last_mut() {
            Some(group) if group[0].number == message.number && group.len() < PER_CHANGE => {
                group.push(message);
            }
            _ => groups.push(vec![message]),
        }
    }
    let body = {
        let world = provider.world();
        let entries: Vec<Value> = groups
            .iter()
            .map(|group| {
                let number = group[0].number;
                let value = compose::value(&world, number, group);
                json!({"id": world.numbers[number].waba,
                    "changes": [{"field": "messages", "value": value}]})
            })
            .collect();
        json!({"object": "whatsapp_business_account", "entry": entries})
    };
    let underway = delivery::post(&provider, first, &body, place);
    Ok(respond(200, &json!({"ids": ids, "delivery": underway.id})))
}

/// `{number, body | text, once?}`: any JSON, or any text at all.
pub(crate) async fn raw(provider: Data<Provider>, spec: Json<Value>) -> Answer {
    let provider = provider.into_inner();
    let number = number_of(&provider, spec.get("number"))?;
    let bytes = match (spec.get("body"), spec["text"].as_str()) {
        (Some(body), _) => body.to_string(),
        (None, Some(text)) => text.to_owned(),
        (None, None) => return Err(bad("body or text is needed")),
    };
    let place = delivery::place(&provider, number).ok_or_else(full)?;
    let redeliver = spec["once"] != true;
    let underway = delivery::post_raw(&provider, number, Bytes::from(bytes), redeliver, place);
    Ok(respond(200, &json!({"delivery": underway.id})))
}

pub(crate) async fn phones(provider: Data<Provider>) -> HttpResponse {
    let shown: Vec<Value> = provider.world().phones().take(1000).map(Phone::show).collect();
    respond(200, &json!(shown))
}

#[derive(Debug, Deserialize)]
pub(crate) struct Looking {
    number: Option<String>,
    #[serde(default)]
    after: u64,
    #[serde(default)]
    wait_ms: u64,
}

/// What the phone shows; waits for something new if there is nothing.
pub(crate) async fn thread(
    provider: Data<Provider>,
    phone: Path<String>,
    looking: Query<Looking>,
) -> Answer {
    let wa_id = wa_id(&phone)?;
    let number = number_of(&provider, looking.number.as_ref().map(|id| json!(id)).as_ref())?;
    let until = Instant::now() + Duration::from_millis(looking.wait_ms.min(LONGEST_WAIT_MS));
    let none = || control(503, "there are as many phones as there can be");
    let notify = {
        let mut world = provider.world();
        Arc::clone(&world.phone(&wa_id).ok_or_else(none)?.changed)
    };
    loop {
        let mut notified = std::pin::pin!(notify.notified());
        // From here on no change is missed, even one before the wait begins.
        notified.as_mut().enable();
        let now_ms = provider.now_ms();
        let mut shown = {
            let mut world = provider.world();
            let phone = world.phone(&wa_id).ok_or_else(none)?;
            let mut shown = phone.thread(number).show(looking.after, now_ms);
            shown["phone"] = phone.show();
            shown
        };
        let empty = shown["entries"].as_array().is_none_or(Vec::is_empty);
        if !empty || timeout_at(until, notified).await.is_err() {
            shown["wa_id"] = json!(wa_id);
            return Ok(respond(200, &shown));
        }
    }
}

/// `{number?, played?}`: the person opens the conversation.
pub(crate) async fn read(
    provider: Data<Provider>,
    phone: Path<String>,
    spec: Json<Value>,
) -> Answer {
    let provider = provider.into_inner();
    let wa_id = wa_id(&phone)?;
    let number = number_of(&provider, spec.get("number"))?;
    let mut waiting = {
        let mut world = provider.world();
        let phone = world.known_phone(&wa_id).ok_or_else(|| control(404, "no such phone"))?;
        if !phone.reachable() {
            return Err(control(409, "the phone is offline or has blocked the business"));
        }
        receipts::waiting(phone)
    };
    waiting.retain(|message| message.number == number);
    let status = if spec["played"] == true { Status::Played } else { Status::Read };
    for message in &waiting {
        drop(receipts::emit(&provider, message, status).await);
    }
    let ids: Vec<&str> = waiting.iter().map(|message| message.wamid.as_str()).collect();
    Ok(respond(200, &json!({"ids": ids})))
}

/// `{online?, blocked?}`; what waited is received when the phone comes back.
pub(crate) async fn state(
    provider: Data<Provider>,
    phone: Path<String>,
    spec: Json<Value>,
) -> Answer {
    let provider = provider.into_inner();
    let wa_id = wa_id(&phone)?;
    let (back, shown) = {
        let mut world = provider.world();
        let phone = world.phone(&wa_id).ok_or_else(full)?;
        let before = phone.reachable();
        if let Some(online) = spec["online"].as_bool() {
            phone.online = online;
        }
        if let Some(blocked) = spec["blocked"].as_bool() {
            phone.blocked = blocked;
        }
        (!before && phone.reachable(), phone.show())
    };
    if back {
        provider.spawn(receipts::catch_up(Arc::clone(&provider), wa_id));
    }
    Ok(respond(200, &shown))
}

/// `{number?, wamid, status, code?}`: one receipt by hand, in any order.
pub(crate) async fn status(provider: Data<Provider>, spec: Json<Value>) -> Answer {
    let provider = provider.into_inner();
    let number = number_of(&provider, spec.get("number"))?;
    let wamid = spec["wamid"].as_str().unwrap_or_default().to_owned();
    let status = spec["status"].as_str().and_then(Status::named);
    let status =
        status.ok_or_else(|| bad("status must be sent, delivered, read, played or failed"))?;
    let wa_id = {
        let mut world = provider.world();
        let known = world.entry(&wamid, number).is_some_and(|entry| !entry.from_phone);
        let phone = world.phone_of(&wamid).filter(|_| known);
        phone.ok_or_else(|| control(404, "no such message"))?.wa_id.clone()
    };
    let failed = status == Status::Failed;
    let fails_with = failed.then(|| spec["code"].as_i64().unwrap_or(131_026));
    let message = Accepted { number, wa_id, wamid, fails_with };
    let underway = receipts::emit(&provider, &message, status).await;
    let deliveries: Vec<u64> = underway.iter().map(|one| one.id).collect();
    Ok(respond(200, &json!({"deliveries": deliveries})))
}

/// `{number?, status}`: the verdict on a template, told by webhook.
pub(crate) async fn judge_template(
    provider: Data<Provider>,
    name: Path<String>,
    spec: Json<Value>,
) -> Answer {
    let provider = provider.into_inner();
    let number = number_of(&provider, spec.get("number"))?;
    let status = spec["status"].as_str().ok_or_else(|| bad("status is needed"))?;
    let place = delivery::place(&provider, number).ok_or_else(full)?;
    let body = {
        let mut world = provider.world();
        let waba = world.numbers[number].waba.clone();
        let template = world.templates.judge(&waba, &name, status);
        let template = template.ok_or_else(|| control(404, "no such template"))?;
        let value = json!({
            "event": status.to_uppercase(),
            "message_template_id": template["id"].as_str().and_then(|id| id.parse::<u64>().ok()),
            "message_template_name": name.as_str(),
            "message_template_language": template["language"], "reason": "NONE",
            "message_template_category": template["category"],
        });
        let mut body = envelope(&world, number, "message_template_status_update", &value);
        body["entry"][0]["time"] = json!(provider.now_ms() / 1000);
        body
    };
    let underway = delivery::post(&provider, number, &body, place);
    Ok(respond(200, &json!({"delivery": underway.id})))
}

#[derive(Debug, Deserialize)]
pub(crate) struct OfNumber {
    number: Option<String>,
}

/// All templates of a number's account, as the provider would list them.
pub(crate) async fn templates(provider: Data<Provider>, of: Query<OfNumber>) -> Answer {
    let number = number_of(&provider, of.number.as_ref().map(|id| json!(id)).as_ref())?;
    let page = Page { limit: 1000, offset: 0, sort: None, filters: json!({}) };
    let mut world = provider.world();
    let waba = world.numbers[number].waba.clone();
    Ok(respond(200, &world.templates.page(&waba, &page)))
}

/// A file that was sent, either way, as the phone shows it.
pub(crate) async fn media(
    provider: Data<Provider>,
    id: Path<String>,
    of: Query<OfNumber>,
) -> Answer {
    let number = number_of(&provider, of.number.as_ref().map(|id| json!(id)).as_ref())?;
    let now_ms = provider.now_ms();
    let found = {
        let world = provider.world();
        let file = world.media.find(&id, number, now_ms);
        file.map(|file| (file.held.clone(), file.mime.clone()))
    };
    let (held, mime) = found.ok_or_else(|| control(404, "no such file"))?;
    match block(move || held.read()).await {
        // Whatever it says it is, it is no page of ours.
        Ok(Ok(bytes)) => Ok(HttpResponse::Ok()
            .content_type(mime)
            .insert_header(("X-Content-Type-Options", "nosniff"))
            .insert_header(("Content-Security-Policy", "sandbox"))
            .body(bytes)),
        _ => Err(control(404, "the file has gone")),
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Reading {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
    kind: Option<String>,
}

pub(crate) async fn ledger(provider: Data<Provider>, reading: Query<Reading>) -> HttpResponse {
    let limit = reading.limit.unwrap_or(1000).clamp(1, 10_000);
    respond(200, &provider.world().ledger.page(reading.after, limit, reading.kind.as_deref()))
}

pub(crate) async fn stats(provider: Data<Provider>) -> HttpResponse {
    respond(200, &provider.world().show_stats())
}

pub(crate) async fn faults(provider: Data<Provider>) -> HttpResponse {
    respond(200, &provider.world().faults.show())
}

pub(crate) async fn set_faults(provider: Data<Provider>, spec: Json<Value>) -> Answer {
    let mut world = provider.world();
    world.faults.set(&spec).map_err(bad)?;
    Ok(respond(200, &world.faults.show()))
}

pub(crate) async fn clear_faults(provider: Data<Provider>) -> HttpResponse {
    provider.world().faults.clear();
    respond(200, &json!({}))
}
