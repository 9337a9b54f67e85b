//! How a node passes webhooks on for services that others run: several at once, those that come meanwhile
//! together, and what an owner does not take in time into the inbox.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::{join, join_all};
use metrics::{Histogram, counter, histogram};
use tokio::sync::{Mutex, OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};
use usher_domain::ids::ServiceId;
use usher_domain::ownership::placement::NodeId;
use usher_store::{Arrived, Inbox};

use super::batch::{Batch, Heard};
use super::drain::gauge_rows;
use super::shelf::{Marks, Shelf};
use super::way::Way;
use super::{BYTES_MAX, ITEMS_MAX, Reach};
use crate::http::{Kept, Outcome, Whole};
use crate::metrics::{RELAY_REFUSED, RELAY_SECONDS};
use crate::relay::Owner;

/// Requests to the owner under way.
const LANES: usize = 4;
/// From when a webhook is whole to the owner's answer.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_millis(200);
/// Also where it has waited for its turn until then.
const ANSWER_LEAST: Duration = Duration::from_millis(50);
/// Webhooks that go into the inbox by one statement, …
const PUT_MAX: usize = 1_024;
/// … and how many bytes, but for the last one.
const PUT_BYTES: usize = 4 * 1024 * 1024;
/// Of the database. Then the provider hears that it is to deliver again.
const PUT_WITHIN: Duration = Duration::from_secs(2);
/// How soon an owner is found to be there again.
const PROBE_EVERY: Duration = Duration::from_millis(250);
/// Owner's probes to one of the inbox.
const INBOX_EVERY: u32 = 4;

/// A webhook that waits to be kept.
pub(super) struct Item {
    pub(super) whole: Whole,
    pub(super) service: ServiceId,
    pub(super) since: Instant,
    pub(super) told: oneshot::Sender<Outcome>,
    /// Of what may be held at once.
    pub(super) _room: OwnedSemaphorePermit,
}

impl Item {
    /// Whoever waited for it may have gone.
    fn tell(self, outcome: Outcome) {
        self.told.send(outcome).ok();
    }
}

/// What the lanes work with.
pub(super) struct Parts {
    pub(super) on: mpsc::Receiver<Item>,
    pub(super) aside: mpsc::Receiver<Item>,
    /// To the inbox, for what the owner did not take.
    pub(super) then: mpsc::Sender<Item>,
    pub(super) way: Way,
    pub(super) shelf: Shelf,
    pub(super) marks: Arc<Marks>,
    pub(super) reach: watch::Sender<Reach>,
}

/// Until nobody can hand over anything more.
pub(super) async fn run(parts: Parts) {
    let Parts { on, aside, then, way, shelf, marks, reach } = parts;
    let putting = put(aside, shelf.clone(), Arc::clone(&marks));
    let passing = async move {
        let courier =
            Courier { way, then, marks, seconds: histogram!(RELAY_SECONDS, "by" => "request") };
        let on = Mutex::new(on);
        let lanes = join_all((0..LANES).map(|_| lane(&on, &courier)));
        let probes = async {
            tokio::select! {
                () = probe(&courier, &shelf, &reach) => {}
                () = reach.closed() => {}
            }
        };
        join(lanes, probes).await;
    };
    // What is put aside is still put when the last that hands over has ended.
    join(passing, putting).await;
}

/// One request to the owner after the other.
async fn lane(on: &Mutex<mpsc::Receiver<Item>>, courier: &Courier) {
    loop {
        let items = gathered(&mut *on.lock().await, ITEMS_MAX, BYTES_MAX).await;
        if items.is_empty() {
            return;
        }
        courier.deliver(items).await;
    }
}

/// What has come until now, and at least one; none when nobody hands over any more. Not more than
/// `most`, and all but the last have no more than so many bytes.
async fn gathered(from: &mut mpsc::Receiver<Item>, most: usize, bytes: usize) -> Vec<Item> {
    let Some(first) = from.recv().await else { return Vec::new() };
    let mut size = first.whole.body.len();
    let mut items = vec![first];
    while items.len() < most && size <= bytes {
        let Ok(next) = from.try_recv() else { break };
        size += next.whole.body.len();
        items.push(next);
    }
    items
}

/// Brings webhooks to their owners, or else to the inbox.
struct Courier {
    way: Way,
    then: mpsc::Sender<Item>,
    marks: Arc<Marks>,
    seconds: Histogram,
}

impl Courier {
    async fn deliver(&self, items: Vec<Item>) {
        let mut of_each: BTreeMap<Owner, Vec<Item>> = BTreeMap::new();
        let mut of_nobody = Vec::new();
        for item in items {
            match self.way.open(item.service) {
                Some(owner) => of_each.entry(owner).or_default().push(item),
                None => of_nobody.push(item),
            }
        }
        self.put_aside(of_nobody, "nobody");
        join_all(of_each.into_iter().map(|(owner, items)| self.deliver_to(owner, items))).await;
    }

    async fn deliver_to(&self, owner: Owner, items: Vec<Item>) {
        let now = Instant::now();
        let oldest = items.iter().map(|item| item.since).min().unwrap_or(now);
        let until = (oldest + ANSWER_WITHIN).max(now + ANSWER_LEAST);
        let services: BTreeSet<ServiceId> = items.iter().map(|item| item.service).collect();
        let all = items.iter().map(|item| item.whole.clone()).collect();
        let heard = timeout_at(until, self.ask(&owner, services, all)).await;
        self.seconds.record(now.elapsed().as_secs_f64());
        match heard {
            Ok(Ok(heard)) => self.tell(items, heard),
            Ok(Err(cause)) => {
                tracing::debug!(?cause, node = %owner.node, "webhooks were not taken");
                self.way.shut(&owner);
                self.put_aside(items, "refused");
            }
            Err(_) => {
                self.way.shut(&owner);
                self.put_aside(items, "silent");
            }
        }
    }

    async fn ask(
        &self,
        owner: &Owner,
        services: impl IntoIterator<Item = ServiceId>,
        all: Vec<Whole>,
    ) -> anyhow::Result<Heard> {
        let (stood, sent) = (self.marks.stand(services), all.len());
        let batch = Batch { after_inbox: !stood.is_empty(), all };
        let answer = self.way.ask(owner, batch.written()).await?;
        let heard = Heard::read(&answer, sent).context("it is not an answer to webhooks")?;
        if heard.inbox_was_emptied {
            self.marks.emptied(&stood);
        }
        Ok(heard)
    }

    fn tell(&self, items: Vec<Item>, heard: Heard) {
        let mut late = Vec::new();
        for (item, kept) in items.into_iter().zip(heard.kept) {
            match kept {
                Kept::Durably => item.tell(Outcome::Relayed),
                // Where the owner does not know the channel, another owner may.
                Kept::NotNow | Kept::Nowhere => late.push(item),
            }
        }
        self.way.doubt(late.iter().map(|item| item.service));
        self.put_aside(late, "late");
    }

    fn put_aside(&self, items: Vec<Item>, why: &'static str) {
        if items.is_empty() {
            return;
        }
        counter!(RELAY_REFUSED, "why" => why).increment(items.len() as u64);
        for item in items {
            if let Err(full) = self.then.try_send(item) {
                full.into_inner().tell(Outcome::Unavailable);
            }
        }
    }
}

/// One statement after the other, each with all that has come meanwhile.
async fn put(mut aside: mpsc::Receiver<Item>, shelf: Shelf, marks: Arc<Marks>) {
    loop {
        let items = gathered(&mut aside, PUT_MAX, PUT_BYTES).await;
        if items.is_empty() {
            return;
        }
        let arrived: Vec<Arrived> = items.iter().map(arrived).collect();
        let room = shelf.ask(PUT_WITHIN, move |inbox| inbox.put(&arrived)).await;
        if let Err(cause) = &room {
            tracing::warn!(?cause, "webhooks could not be put into the inbox");
        }
        let room: Vec<ServiceId> = room.unwrap_or_default();
        for service in &room {
            marks.put(*service);
        }
        for item in items {
            let has_room = room.contains(&item.service);
            item.tell(if has_room { Outcome::Inboxed } else { Outcome::Unavailable });
        }
    }
}

fn arrived(Item { whole, service, .. }: &Item) -> Arrived {
    let Whole { channel, received_at, body } = whole;
    let (channel, received_at) = (*channel, *received_at);
    Arrived { service: *service, channel, received_at, body: body.clone() }
}

/// Looks whether owners and inbox can be reached, for as long as it is polled.
async fn probe(courier: &Courier, shelf: &Shelf, reach: &watch::Sender<Reach>) {
    let mut ticks = interval(PROBE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks = 0;
    loop {
        ticks.tick().await;
        let owners = join_all(courier.way.known().into_iter().map(|owner| courier.finds(owner)));
        let owners = owners.await.into_iter().collect();
        let writable = if looks == 0 { writable(shelf).await } else { reach.borrow().inbox };
        looks = (looks + 1) % INBOX_EVERY;
        reach.send_replace(Reach { owners, inbox: writable });
    }
}

impl Courier {
    /// By webhooks of which there are none.
    async fn finds(&self, owner: Owner) -> (NodeId, bool) {
        let services = self.way.services_of(&owner);
        let asked =
            timeout(ANSWER_WITHIN, self.ask(&owner, services.iter().copied(), Vec::new())).await;
        let answers = asked.is_ok_and(|heard| heard.is_ok());
        if answers {
            self.way.is_open_to(&owner);
        } else {
            self.way.shut(&owner);
            self.way.doubt(services);
        }
        (owner.node, answers)
    }
}

async fn writable(shelf: &Shelf) -> bool {
    let asked = shelf.ask(PUT_WITHIN, |inbox: &Inbox| Ok((inbox.is_writable()?, inbox.held()?)));
    match asked.await {
        Ok((writable, held)) => {
            gauge_rows(held);
            writable
        }
        Err(_) => false,
    }
}
