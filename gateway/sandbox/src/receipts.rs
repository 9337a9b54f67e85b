//! Which receipts a message of the business gets, when, and in which order.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::delivery::{self, Underway};
use crate::errors::failure;
use crate::faults::{Aim, Fault};
use crate::phones::{Entry, Status};
use crate::world::{Provider, World};

/// A message that was accepted and now makes its way.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    pub(crate) number: usize,
    pub(crate) wa_id: String,
    pub(crate) wamid: String,
    /// Set when it was taken with 200 but will fail.
    pub(crate) fails_with: Option<i64>,
}

/// A message's turn to come to the phone: after all that were taken before it for the same
/// conversation, however long the pauses of each.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Ends once the message before has come; nothing is ever sent.
    after: oneshot::Receiver<()>,
    /// Dropped once this one has.
    _before: oneshot::Sender<()>,
}

/// The end of a conversation's line of turns.
#[derive(Debug)]
pub(crate) struct Turns(oneshot::Receiver<()>);

impl Default for Turns {
    fn default() -> Self {
        Self(oneshot::channel().1)
    }
}

impl Turns {
    pub(crate) fn next(&mut self) -> Turn {
        let (before, last) = oneshot::channel();
        Turn { after: std::mem::replace(&mut self.0, last), _before: before }
    }
}

impl Turn {
    async fn come(&mut self) {
        // The only end it has is the sender's.
        (&mut self.after).await.ok();
    }
}

/// Everything that happens to the message after the answer, at the pace of the options.
pub(crate) async fn follow(provider: Arc<Provider>, message: Accepted, turn: Turn) {
    let mut turn = Some(turn);
    for status in plan(&provider, &message) {
        pause(&provider).await;
        let mut turn = turn.take();
        if let Some(turn) = &mut turn {
            turn.come().await;
        }
        if may(&provider, &message, status) {
            drop(emit(&provider, &message, status).await);
        }
    }
}

/// The same without a pause, and done only when the business has been told.
pub(crate) async fn follow_at_once(provider: &Arc<Provider>, message: &Accepted, mut turn: Turn) {
    turn.come().await;
    for status in plan(provider, message) {
        if !may(provider, message, status) {
            continue;
        }
        for underway in emit(provider, message, status).await {
            // Told or not: the answer must not hang on a business that is away.
            drop(timeout(Duration::from_secs(5), underway.tried).await);
        }
    }
}

/// What a phone that came back does with what waited for it.
pub(crate) async fn catch_up(provider: Arc<Provider>, wa_id: String) {
    let waiting = provider.world().known_phone(&wa_id).map(waiting).unwrap_or_default();
    let receipts = &provider.options.receipts;
    let mut steps = Vec::new();
    if receipts.auto_delivered {
        steps.push(Status::Delivered);
    }
    if receipts.auto_read {
        steps.push(Status::Read);
    }
    for message in &waiting {
        for status in &steps {
            if may(&provider, message, *status) {
                drop(emit(&provider, message, *status).await);
            }
        }
    }
}

/// Messages of the business on this phone that it has not read yet.
pub(crate) fn waiting(phone: &mut crate::phones::Phone) -> Vec<Accepted> {
    let wa_id = phone.wa_id.clone();
    let unread = |entry: &&Entry| {
        !entry.from_phone
            && entry.kind != "reaction"
            && matches!(entry.status, Status::Sent | Status::Delivered)
    };
    let all = phone.threads.iter().flat_map(|(number, thread)| {
        thread.entries.iter().filter(unread).map(|entry| (*number, entry.wamid.clone()))
    });
    all.map(|(number, wamid)| Accepted { number, wa_id: wa_id.clone(), wamid, fails_with: None })
        .collect()
}

fn plan(provider: &Provider, message: &Accepted) -> Vec<Status> {
    if message.fails_with.is_some() {
        return vec![Status::Failed];
    }
    let mut world = provider.world();
    let number = world.numbers[message.number].id.clone();
    let reaction =
        world.entry(&message.wamid, message.number).is_none_or(|entry| entry.kind == "reaction");
    let mut plan = vec![Status::Sent];
    // A reaction is sent and never heard of again.
    if !reaction && provider.options.receipts.auto_delivered {
        plan.push(Status::Delivered);
    }
    if !reaction && provider.options.receipts.auto_read {
        plan.push(Status::Read);
    }
    let aim = Aim { number: &number, on: "webhook", to: Some(&message.wa_id) };
    if plan.len() > 1 && world.faults.strikes(Fault::ShuffleWebhooks, aim).is_some() {
        // Never the right order: one step round at least.
        let last = u64::try_from(plan.len() - 1).unwrap_or(1);
        let turns = usize::try_from(world.chance.between(1, last)).unwrap_or(1);
        plan.rotate_left(turns);
    }
    plan
}

/// An unreachable phone receives nothing; that is asked at the moment itself.
fn may(provider: &Provider, message: &Accepted, status: Status) -> bool {
    match status {
        Status::Delivered | Status::Read | Status::Played => {
            provider.world().known_phone(&message.wa_id).is_some_and(|phone| phone.reachable())
        }
        Status::Accepted | Status::Sent | Status::Failed => true,
    }
}

async fn pause(provider: &Provider) {
    let (low, high) = provider.options.receipts.delay_ms;
    let pause = provider.world().chance.between(low, high);
    sleep(Duration::from_millis(pause)).await;
}

/// Moves the message on and tells the business, twice if a fault wants it so.
pub(crate) async fn emit(
    provider: &Arc<Provider>,
    message: &Accepted,
    status: Status,
) -> Vec<Underway> {
    let now_ms = provider.now_ms();
    let Some((body, times)) = step(&mut provider.world(), message, status, now_ms) else {
        return Vec::new();
    };
    let mut underway = Vec::new();
    for _ in 0..times {
        let Some(place) = delivery::wait_for_place(provider, message.number).await else { break };
        underway.push(delivery::post(provider, message.number, &body, place));
    }
    underway
}

fn step(
    world: &mut World,
    message: &Accepted,
    status: Status,
    now_ms: u64,
) -> Option<(Value, usize)> {
    let number = world.numbers[message.number].id.clone();
    let aim = Aim { number: &number, on: "webhook", to: Some(&message.wa_id) };
    let ms = world.faults.strikes(Fault::MsTimestamps, aim).is_some();
    let hidden = world.faults.strikes(Fault::BsuidOnly, aim).is_some();
    let times = if world.faults.strikes(Fault::DuplicateStatuses, aim).is_some() { 2 } else { 1 };
    let change = world.next_change();

    let phone = world.phone_of(&message.wamid)?;
    let hidden = hidden || phone.hidden;
    let (wa_id, user_id) = (phone.wa_id.clone(), phone.user_id.clone());
    let entry = phone.threads.get_mut(&message.number)?.find(&message.wamid)?;
    if status > entry.status {
        entry.status = status;
        entry.changed = change;
        entry.error = message.fails_with;
    }
    let mut told = json!({
        "id": message.wamid, "status": status.name(), "timestamp": stamp(now_ms, ms),
        "recipient_user_id": user_id,
    });
    if !hidden && !entry.by_user_id {
        told["recipient_id"] = json!(wa_id);
    }
    if let Some(data) = &entry.callback_data {
        told["biz_opaque_callback_data"] = json!(data);
    }
    if matches!(status, Status::Sent | Status::Delivered) {
        told["pricing"] = pricing(&entry.category);
    }
    if let (Status::Failed, Some(code)) = (status, message.fails_with) {
        told["errors"] = json!([failure(code)]);
    }
    phone.changed.notify_waiters();
    let value = json!({
        "messaging_product": "whatsapp",
        "metadata": metadata(world, message.number),
        "statuses": [told],
    });
    Some((envelope(world, message.number, "messages", &value), times))
}

fn pricing(category: &str) -> Value {
    let service = category == "service";
    json!({
        "billable": !service, "pricing_model": "PMP", "category": category,
        "type": if service { "free_customer_service" } else { "regular" },
    })
}

/// Seconds as a string; milliseconds when that fault is on.
pub(crate) fn stamp(at_ms: u64, ms: bool) -> String {
    if ms { at_ms.to_string() } else { (at_ms / 1000).to_string() }
}

pub(crate) fn metadata(world: &World, number: usize) -> Value {
    let number = &world.numbers[number];
    json!({"display_phone_number": number.digits(), "phone_number_id": number.id})
}

pub(crate) fn envelope(world: &World, number: usize, field: &str, value: &Value) -> Value {
    json!({"object": "whatsapp_business_account", "entry": [
        {"id": world.numbers[number].waba, "changes": [{"field": field, "value": value}]}]})
}
