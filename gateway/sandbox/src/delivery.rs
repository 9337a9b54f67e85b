//! Carries webhooks to the business: signed, many at once, and again and again until it answers 200.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, sleep};

use crate::faults::{Aim, Fault};
use crate::numbers::Webhook;
use crate::world::Provider;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_hours(1);
const KEEP_TRYING: Duration = Duration::from_hours(7 * 24);
/// How long the provider waits for an answer. The real value is not published.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The most a shuffled webhook is held back.
const SHUFFLE_MS: u64 = 400;

/// One webhook on its way.
#[derive(Debug)]
struct Parcel {
    id: u64,
    number: usize,
    body: Bytes,
    /// What is inside, for the ledger.
    contents: Value,
    redeliver: bool,
}

/// A place in a number's line, taken before the webhook is made so that none is ever dropped.
pub(crate) type Place = OwnedSemaphorePermit;

/// A place if there is one; a phone that gets none has to come back.
pub(crate) fn place(provider: &Provider, number: usize) -> Option<Place> {
    let pending = Arc::clone(&provider.world().numbers[number].pending);
    let place = pending.try_acquire_owned().ok();
    if place.is_none() {
        provider.world().stats.queue_full += 1;
    }
    place
}

/// Waits for a place: receipts are in no hurry.
pub(crate) async fn wait_for_place(provider: &Provider, number: usize) -> Option<Place> {
    let pending = Arc::clone(&provider.world().numbers[number].pending);
    pending.acquire_owned().await.ok()
}

/// What is known once the webhook is on its way.
#[derive(Debug)]
pub(crate) struct Underway {
    pub(crate) id: u64,
    /// Fires after the first attempt, whatever its outcome.
    pub(crate) tried: oneshot::Receiver<()>,
}

/// Sends `body`, twice or late if faults want it so.
pub(crate) fn post(
    provider: &Arc<Provider>,
    number: usize,
    body: &Value,
    place: Place,
) -> Underway {
    let bytes = Bytes::from(body.to_string());
    let (twice, hold_ms) = {
        let mut world = provider.world();
        let id = world.numbers[number].id.clone();
        let aim = Aim { number: &id, on: "webhook", to: None };
        let twice = world.faults.strikes(Fault::DuplicateWebhooks, aim).is_some();
        let shuffled = world.faults.strikes(Fault::ShuffleWebhooks, aim).is_some();
        (twice, if shuffled { world.chance.between(0, SHUFFLE_MS) } else { 0 })
    };
    let contents = contents(body);
    let hold = Duration::from_millis(hold_ms);
    let place = Arc::new(place);
    if twice {
        let copy = Outgoing { bytes: bytes.clone(), contents: contents.clone(), redeliver: true };
        drop(launch(provider, number, copy, hold, Arc::clone(&place)));
    }
    launch(provider, number, Outgoing { bytes, contents, redeliver: true }, hold, place)
}

/// Sends bytes as they are, JSON or not.
pub(crate) fn post_raw(
    provider: &Arc<Provider>,
    number: usize,
    bytes: Bytes,
    redeliver: bool,
    place: Place,
) -> Underway {
    let contents = serde_json::from_slice(&bytes).map_or(Value::Null, |body| contents(&body));
    let outgoing = Outgoing { bytes, contents, redeliver };
    launch(provider, number, outgoing, Duration::ZERO, Arc::new(place))
}

struct Outgoing {
    bytes: Bytes,
    contents: Value,
    redeliver: bool,
}

fn launch(
    provider: &Arc<Provider>,
    number: usize,
    outgoing: Outgoing,
    hold: Duration,
    place: Arc<Place>,
) -> Underway {
    let id = {
        let mut world = provider.world();
        world.stats.deliveries += 1;
        world.stats.deliveries
    };
    let Outgoing { bytes: body, contents, redeliver } = outgoing;
    let parcel = Parcel { id, number, body, contents, redeliver };
    let (done, tried) = oneshot::channel();
    let carrier = Arc::clone(provider);
    provider.spawn(async move {
        sleep(hold).await;
        carry(&carrier, parcel, done).await;
        drop(place);
    });
    Underway { id, tried }
}

async fn carry(provider: &Provider, parcel: Parcel, done: oneshot::Sender<()>) {
    let mut done = Some(done);
    let started = Instant::now();
    let scale = provider.options.time_scale;
    for attempt in 1_u32.. {
        let delivered = attempt_once(provider, &parcel, attempt).await;
        if let Some(done) = done.take() {
            // Nobody may be waiting.
            let _nobody = done.send(());
        }
        if delivered {
            provider.world().stats.delivered += 1;
            return;
        }
        if !parcel.redeliver || started.elapsed() > KEEP_TRYING.mul_f64(scale) {
            break;
        }
        let pause =
            FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(attempt - 1)).min(LONGEST_PAUSE);
        sleep(pause.mul_f64(scale)).await;
    }
    provider.world().stats.given_up += 1;
}

/// Where a number's webhooks go at this moment; it may change between attempts.
fn target(provider: &Provider, number: usize) -> (Option<Webhook>, Option<String>) {
    let world = provider.world();
    let number = &world.numbers[number];
    (number.webhook.clone(), number.signing_secret.clone())
}

async fn attempt_once(provider: &Provider, parcel: &Parcel, attempt: u32) -> bool {
    let in_flight = Arc::clone(&provider.world().numbers[parcel.number].in_flight);
    let turn = in_flight.acquire_owned().await;
    let (webhook, secret) = target(provider, parcel.number);
    let at_ms = provider.now_ms();
    let started = Instant::now();
    let outcome = match &webhook {
        Some(webhook) => request(provider, webhook, secret.as_deref(), parcel).await,
        None => Err("no_webhook".to_owned()),
    };
    drop(turn);
    let took = started.elapsed();

    let mut world = provider.world();
    world.stats.attempts += 1;
    let delivered = outcome == Ok(200);
    if outcome.is_ok() {
        world.stats.answered(took.as_micros());
    }
    if !delivered {
        world.stats.failed_attempts += 1;
    }
    let number = world.numbers[parcel.number].id.clone();
    world.ledger.write(
        provider.now_ms(),
        "webhook",
        json!({
            "delivery": parcel.id, "attempt": attempt, "number": number,
            "outcome": match &outcome { Ok(status) => status.to_string(), Err(why) => why.clone() },
            "delivered": delivered, "begun_ms": at_ms,
            "latency_ms": took.as_secs_f64() * 1000.0,
            "messages": parcel.contents["messages"], "statuses": parcel.contents["statuses"],
        }),
    );
    delivered
}

async fn request(
    provider: &Provider,
    webhook: &Webhook,
    secret: Option<&str>,
    parcel: &Parcel,
) -> Result<u16, String> {
    let mut request = provider
        .client
        .post(&webhook.url)
        .header("Content-Type", "application/json")
        .header("User-Agent", "usher-sandbox")
        .body(parcel.body.clone());
    for (name, value) in &webhook.headers {
        request = request.header(name, value);
    }
    if let Some(secret) = secret {
        request = request.header("x-360dialog-signature", signature(secret, &parcel.body));
    }
    match request.send().await {
        Ok(answer) => {
            let status = answer.status().as_u16();
            // Read to the end, or the connection cannot be used again.
            match answer.bytes().await {
                Ok(_) => Ok(status),
                Err(_) => Err("answer_broken".to_owned()),
            }
        }
        Err(error) if error.is_timeout() => Err("timeout".to_owned()),
        Err(error) if error.is_connect() => Err("refused".to_owned()),
        Err(_) => Err("broken".to_owned()),
    }
}

/// Lower-case hex of HMAC-SHA256 over the raw body.
pub(crate) fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

/// The ids of the messages and the ids and names of the receipts in an envelope.
fn contents(body: &Value) -> Value {
    let mut messages = Vec::new();
    let mut statuses = Vec::new();
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    for change in list(body, "entry").iter().flat_map(|entry| list(entry, "changes")) {
        let value = &change["value"];
        messages.extend(list(value, "messages").iter().map(|message| message["id"].clone()));
        statuses.extend(
            list(value, "statuses").iter().map(|s| json!({"id": s["id"], "status": s["status"]})),
        );
    }
    json!({"messages": messages, "statuses": statuses})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_lower_case_hex_over_the_raw_body() {
        assert_eq!(
            signature("platform_secret", br#"{"hello":"world"}"#),
            "815793eb101f25311f31fefc551edee74f261ed54a7565c70afe934fe4bdf0eb"
        );
    }

    #[test]
    fn the_ledger_names_what_was_inside() {
        let body = json!({"entry": [{"changes": [
            {"value": {"messages": [{"id": "a"}, {"id": "b"}]}},
            {"value": {"statuses": [{"id": "c", "status": "sent"}]}}]}]});
        let found = contents(&body);
        assert_eq!(found["messages"], json!(["a", "b"]));
        assert_eq!(found["statuses"], json!([{"id": "c", "status": "sent"}]));
        assert_eq!(contents(&json!([1]))["messages"], json!([]));
    }
}
