//! `POST /messages`: takes or refuses what the business sends, as the number's state allows.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::errors::{Check, Invalid, graph, respond};
use crate::faults::{Aim, Fault};
use crate::gate;
use crate::phones::{Entry, Status};
use crate::receipts::{self, Accepted, Turn};
use crate::validate::{self, Message, Recipient};
use crate::world::{Provider, World};

const TYPING_MS: u64 = 25_000;
/// How long an answer that never comes is kept open.
const NEVER: Duration = Duration::from_mins(2);

pub(crate) async fn send(
    request: HttpRequest,
    provider: Data<Provider>,
    bytes: Bytes,
) -> HttpResponse {
    let provider = provider.into_inner();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let to = body["to"].as_str().map(|to| to.replace(|c: char| !c.is_ascii_digit(), ""));
    let number = match gate::pass(&provider, &request, "messages", to.as_deref()).await {
        Ok(number) => number,
        Err(answer) => return answer,
    };
    if request
        .headers()
        .get("content-type")
        .is_none_or(|kind| !kind.as_bytes().starts_with(b"application/json"))
    {
        return graph(400, 100, "Content-Type must be application/json.");
    }
    if body.is_null() {
        return graph(400, 100, "The request body is not valid JSON.");
    }
    if body.get("status").is_some() {
        return match read(&provider, number, &body) {
            Ok(()) => respond(200, &json!({"success": true})),
            Err(why) => why.answer(),
        };
    }
    match take(&provider, number, &body) {
        Ok((accepted, turn, answer)) => finish(&provider, accepted, turn, answer).await,
        Err(why) => {
            refuse(&provider, number, &body, &why);
            why.answer()
        }
    }
}

/// Answers an accepted message: well, wrongly, or never.
async fn finish(
    provider: &Arc<Provider>,
    accepted: Accepted,
    turn: Turn,
    answer: Value,
) -> HttpResponse {
    let number = accepted.number;
    let to = accepted.wa_id.clone();
    let strikes = |fault| gate::strikes(provider, number, "messages", Some(&to), fault).is_some();
    if strikes(Fault::StatusBeforeResponse) {
        receipts::follow_at_once(provider, &accepted, turn).await;
    } else {
        provider.spawn(receipts::follow(Arc::clone(provider), accepted, turn));
    }
    if strikes(Fault::Ambiguous5xx) {
        return graph(500, 131_000, "An unknown error occurred.");
    }
    if strikes(Fault::AcceptThenTimeout) {
        sleep(NEVER).await;
        return graph(504, 131_016, "Timed out.");
    }
    respond(200, &answer)
}

fn refuse(provider: &Provider, number: usize, body: &Value, why: &Invalid) {
    let now_ms = provider.now_ms();
    let mut world = provider.world();
    world.stats.refused += 1;
    let number = world.numbers[number].id.clone();
    let fields = json!({
        "number": number, "code": why.code, "details": why.details, "to": body["to"],
        "callback_data": body["biz_opaque_callback_data"], "body": body,
    });
    world.ledger.write(now_ms, "refused", fields);
}

fn read(provider: &Provider, number: usize, body: &Value) -> Check {
    let reading = validate::reading(body)?;
    let now_ms = provider.now_ms();
    let mut world = provider.world();
    let change = world.next_change();
    let unknown = || Invalid::new(131_009, "message_id is not a message from a user.");
    let phone = world.phone_of(&reading.message_id).ok_or_else(unknown)?;
    let thread = phone.threads.get_mut(&number).ok_or_else(unknown)?;
    let at = thread
        .entries
        .iter()
        .position(|entry| entry.wamid == reading.message_id && entry.from_phone)
        .ok_or_else(unknown)?;
    // Everything before it is read as well.
    for entry in thread.entries.iter_mut().take(at + 1) {
        if entry.from_phone && !entry.read_by_business {
            entry.read_by_business = true;
            entry.changed = change;
        }
    }
    if reading.typing {
        thread.typing_until_ms = now_ms + TYPING_MS;
    }
    phone.changed.notify_waiters();
    let fields = json!({"number": world.numbers[number].id.clone(), "wamid": reading.message_id,
        "typing": reading.typing});
    world.ledger.write(now_ms, "read", fields);
    Ok(())
}

/// Everything between a well-shaped body and its wamid.
fn take(provider: &Provider, number: usize, body: &Value) -> Check<(Accepted, Turn, Value)> {
    let message = validate::message(body)?;
    let now_ms = provider.now_ms();
    let mut world = provider.world();
    let wa_id = addressee(&mut world, number, &message)?;
    if !world.numbers[number].throughput.ready(now_ms) {
        return Err(Invalid::new(130_429, "Cloud API message throughput has been reached."));
    }
    world.media.check(&message.media, number, now_ms)?;
    let category = category(&mut world, number, &message)?;
    let window_open = {
        let thread = thread(&mut world, &wa_id, number)?;
        if !thread.pair.ready(now_ms) {
            return Err(Invalid::new(
                131_056,
                "Too many messages sent from this phone number to the same phone number.",
            ));
        }
        thread.pair.spend(now_ms);
        thread.typing_until_ms = 0;
        thread.window_open(now_ms)
    };
    world.numbers[number].throughput.spend(now_ms);
    let fails_with = fate(&mut world, number, &wa_id, &message, window_open);
    let wamid = world.mint(&wa_id);
    let answer = answer(&mut world, &wa_id, &wamid, &message);
    world.stats.accepted += 1;
    let fields = json!({
        "number": world.numbers[number].id, "to": wa_id, "wamid": wamid,
        "callback_data": message.callback_data, "type": message.kind,
        "fails_with": fails_with, "body": body,
    });
    world.ledger.write(now_ms, "message", fields);
    let entry = Entry {
        changed: world.next_change(),
        wamid: wamid.clone(),
        from_phone: false,
        kind: message.kind.to_owned(),
        body: body.clone(),
        at_ms: now_ms,
        status: Status::Accepted,
        error: None,
        callback_data: message.callback_data,
        category,
        by_user_id: matches!(message.recipient, Recipient::UserId(_)),
        read_by_business: false,
    };
    let thread = thread(&mut world, &wa_id, number)?;
    thread.push(entry);
    let turn = thread.turns.next();
    if let Some(phone) = world.known_phone(&wa_id) {
        phone.changed.notify_waiters();
    }
    Ok((Accepted { number, wa_id, wamid, fails_with }, turn, answer))
}

fn addressee(world: &mut World, number: usize, message: &Message) -> Check<String> {
    let wa_id = match &message.recipient {
        Recipient::Phone(digits) => digits.clone(),
        Recipient::UserId(id) => world
            .wa_id_of(id)
            .ok_or_else(|| Invalid::new(131_026, "No user with this business-scoped user id."))?,
    };
    if wa_id == world.numbers[number].digits() {
        return Err(Invalid::new(131_021, "Recipient phone number cannot be the sender's."));
    }
    Ok(wa_id)
}

fn thread<'a>(
    world: &'a mut World,
    wa_id: &str,
    number: usize,
) -> Check<&'a mut crate::phones::Thread> {
    let full = || Invalid::new(131_016, "The sandbox has as many phones as it can hold.");
    Ok(world.phone(wa_id).ok_or_else(full)?.thread(number))
}

fn category(world: &mut World, number: usize, message: &Message) -> Check<String> {
    let Some(sent) = &message.template else { return Ok("service".to_owned()) };
    let waba = world.numbers[number].waba.clone();
    let category = world.templates.fit(&waba, sent)?;
    if category == "authentication" && matches!(message.recipient, Recipient::UserId(_)) {
        return Err(Invalid::new(131_062, "Authentication templates need a phone number."));
    }
    Ok(category)
}

/// The code a message accepted with 200 will fail with, if it will.
fn fate(
    world: &mut World,
    number: usize,
    wa_id: &str,
    message: &Message,
    window_open: bool,
) -> Option<i64> {
    let id = world.numbers[number].id.clone();
    let aim = Aim { number: &id, on: "messages", to: Some(wa_id) };
    if let Some(code) = world.faults.strikes(Fault::FailWith, aim) {
        return i64::try_from(code).ok();
    }
    if message.template.is_none() && !window_open {
        return Some(131_047);
    }
    let target = message.reacts_to.as_ref()?;
    let known = world.known_phone(wa_id)?.thread(number).find(target).is_some();
    if known { None } else { Some(131_009) }
}

fn answer(world: &mut World, wa_id: &str, wamid: &str, message: &Message) -> Value {
    let user_id = world.known_phone(wa_id).map(|phone| phone.user_id.clone());
    let contact = match &message.recipient {
        Recipient::Phone(_) => json!({"input": message.input, "wa_id": wa_id, "user_id": user_id}),
        Recipient::UserId(id) => json!({"input": message.input, "user_id": id}),
    };
    let mut sent = json!({"id": wamid});
    if message.template.is_some() {
        sent["message_status"] = json!("accepted");
    }
    json!({"messaging_product": "whatsapp", "contacts": [contact], "messages": [sent]})
}
