//! How an owner takes in what other nodes have put into the inbox: in order, and forgotten only once it is
//! durable, so that a webhook may be taken in twice but never lost. What has an id is known the second time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_web::web::Data;
use metrics::{counter, gauge};
use tokio::sync::Mutex;
use tokio::time::{MissedTickBehavior, interval, timeout};
use usher_domain::ids::{ChannelId, ServiceId};
use usher_store::{Inbox, InboxRow, Portion};

use super::shelf::Shelf;
use crate::http::{Door as _, Kept, Webhooks, Whole};
use crate::metrics::{INBOX_ROWS, INBOX_TAKEN};

/// How long something may stand in the inbox of an owner that runs.
const EVERY: Duration = Duration::from_millis(200);
/// Before a service is served; what is left is then taken in beside what comes.
const FIRST_WITHIN: Duration = Duration::from_secs(10);
/// Of the database, for one portion.
const ANSWERED_WITHIN: Duration = Duration::from_secs(35);
const PORTION: Portion = Portion { rows: 256, bytes: 4 * 1024 * 1024 };
/// Looks after which it is counted what stands there, also if nothing was taken.
const COUNTED_EVERY: u32 = 25;

pub(crate) struct Drain {
    webhooks: Data<Webhooks>,
    shelf: Shelf,
    channels: Vec<(ServiceId, ChannelId)>,
    /// Times that somebody began to empty the inbox.
    begun: AtomicU64,
    /// Held by whoever empties it.
    turn: Mutex<Turn>,
}

#[derive(Debug)]
struct Turn {
    /// The last one of those begun that was ended.
    ended: u64,
    left: Left,
    /// Rows to be taken at once. Fewer after a failure: the credits may not be enough for many.
    rows: u64,
}

/// Services whose webhooks still stand in the inbox, since they cannot be taken in now.
pub(super) type Left = BTreeSet<ServiceId>;

impl Drain {
    pub(super) fn new(webhooks: Data<Webhooks>, shelf: Shelf) -> Arc<Self> {
        let channels = webhooks.gate().channels().collect();
        let turn = Mutex::new(Turn { ended: 0, left: Left::new(), rows: PORTION.rows });
        Arc::new(Self { webhooks, shelf, channels, begun: AtomicU64::new(0), turn })
    }

    /// As far as it can be done before a service is served.
    pub(crate) async fn first(&self) {
        match timeout(FIRST_WITHIN, self.empty()).await {
            Ok(Ok(left)) if left.is_empty() => {}
            Ok(Ok(left)) => tracing::warn!(?left, "the inbox could not be emptied yet"),
            Ok(Err(cause)) => tracing::warn!(?cause, "the inbox could not be read yet"),
            Err(_) => tracing::warn!("the inbox holds more than is taken in at the start"),
        }
    }

    /// Until it is dropped.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = 0;
        loop {
            ticks.tick().await;
            match self.empty().await {
                Ok(left) if left.is_empty() => {}
                Ok(left) => tracing::debug!(?left, "the inbox could not be emptied"),
                Err(cause) => tracing::debug!(?cause, "the inbox could not be read"),
            }
            if looks == 0 {
                self.count().await;
            }
            looks = (looks + 1) % COUNTED_EVERY;
        }
    }

    async fn count(&self) {
        if let Ok(held) = self.shelf.ask(ANSWERED_WITHIN, Inbox::held).await {
            gauge_rows(held);
        }
    }

    /// Returns once everything that stood in the inbox when this was called has been taken in, but for
    /// what is left.
    pub(super) async fn empty(&self) -> anyhow::Result<Left> {
        let before = self.begun.load(Ordering::Acquire);
        let mut turn = self.turn.lock().await;
        if turn.ended > before {
            return Ok(turn.left.clone());
        }
        let began = self.begun.fetch_add(1, Ordering::AcqRel) + 1;
        let mut left = Left::new();
        while self.take_some(&mut turn.rows, &mut left).await? {}
        (turn.ended, turn.left) = (began, left.clone());
        Ok(left)
    }

    /// Whether there was any of services that are not `left`.
    async fn take_some(&self, most: &mut u64, left: &mut Left) -> anyhow::Result<bool> {
        let engine = self.webhooks.engine();
        let may = |service: &ServiceId| !left.contains(service) && engine.runs(*service);
        let channels = self.channels.iter().filter(|(service, _)| may(service));
        let channels: Vec<ChannelId> = channels.map(|(_, channel)| *channel).collect();
        if channels.is_empty() {
            return Ok(false);
        }
        let portion = Portion { rows: *most, ..PORTION };
        let taken = move |inbox: &Inbox| inbox.take(&channels, portion);
        let rows = self.shelf.ask(ANSWERED_WITHIN, taken).await?;
        if rows.is_empty() {
            return Ok(false);
        }
        let all: Vec<Whole> = rows.iter().map(whole).collect();
        let kept = self.webhooks.keep_all(&all).await;
        let mut done: BTreeMap<ServiceId, Vec<u64>> = BTreeMap::new();
        for (row, kept) in rows.iter().zip(kept) {
            if kept == Kept::Durably {
                done.entry(row.arrived.service).or_default().push(row.id);
            } else {
                left.insert(row.arrived.service);
            }
        }
        *most = if left.is_empty() { PORTION.rows } else { (*most / 2).max(1) };
        for (service, ids) in done {
            let taken = ids.len() as u64;
            let forgotten = move |inbox: &Inbox| inbox.done(service, &ids);
            self.shelf.ask(ANSWERED_WITHIN, forgotten).await?;
            counter!(INBOX_TAKEN).increment(taken);
        }
        Ok(true)
    }
}

fn whole(row: &InboxRow) -> Whole {
    let arrived = &row.arrived;
    let (channel, received_at) = (arrived.channel, arrived.received_at);
    Whole { channel, received_at, body: arrived.body.clone() }
}

#[expect(clippy::cast_precision_loss, reason = "a metric")]
pub(super) fn gauge_rows(held: u64) {
    gauge!(INBOX_ROWS).set(held as f64);
}
