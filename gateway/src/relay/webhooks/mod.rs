//! Webhooks for services that other nodes run: the owner keeps them, or, where it cannot be reached in time,
//! the inbox in the database does, so that some door is always open.
//!
//! What a node has put into the inbox goes before what it passes on later: it asks the owner to empty the
//! inbox first, until it has heard that this was done. So who writes one thing after the other by the same
//! door is read in that order, whoever was the owner.

mod batch;
mod drain;
mod inlet;
mod lanes;
mod shelf;
mod way;

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::web::{Bytes, Data};
use anyhow::Context as _;
use metrics::counter;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;
use usher_domain::ownership::placement::NodeId;
use usher_engine::Clock;
use usher_store::Inbox;

use super::{Homes, Others};
use crate::http::{Door, Gate, Hook, Outcome, Webhooks, Whole};
use crate::metrics::RELAY_REFUSED;
pub(crate) use inlet::Inlet;
use lanes::{Item, Parts};
use shelf::{Marks, Shelf};
use way::Way;

/// Where the owner takes them in, on its listener between nodes.
const PATH: &str = "/cluster/webhooks";
/// Webhooks in one request between nodes, …
const ITEMS_MAX: usize = 256;
/// … and how many bytes, but for the last one.
const BYTES_MAX: usize = 1024 * 1024;
/// Webhooks that may wait for either way.
const WAITING_MAX: usize = 8_192;
/// How much may be held at once, over both ways, in units: 64 MiB.
const ROOM: usize = 64 * 1024;
/// Bytes.
const UNIT: usize = 1_024;

/// What a node that takes webhooks can reach.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Reach {
    /// Other nodes that have services, and whether they take webhooks.
    pub(crate) owners: BTreeMap<NodeId, bool>,
    /// The inbox does.
    pub(crate) inbox: bool,
}

/// The door of a node that has others beside it.
pub(crate) struct Outer {
    homes: Homes,
    inlet: Inlet,
    clock: Clock,
    room: Arc<Semaphore>,
    on: mpsc::Sender<Item>,
    aside: mpsc::Sender<Item>,
    way: Way,
}

/// A door, and what it can reach.
#[derive(Clone)]
pub(crate) struct Opened {
    pub(crate) door: Data<Outer>,
    pub(crate) inlet: Inlet,
    pub(crate) reach: watch::Receiver<Reach>,
}

impl Outer {
    /// What is passed on is passed on by a thread of its own, as long as there is a door.
    pub(crate) fn open(
        others: Others,
        homes: &Homes,
        webhooks: Data<Webhooks>,
        inbox: Inbox,
    ) -> anyhow::Result<Opened> {
        let way = Way::new(others, homes.clone());
        let marks = Arc::new(Marks::new(homes.all().map(|(service, _)| service)));
        // Each with a connection of its own: what is taken out holds up nobody who puts.
        let (takes, puts) = (Shelf::new(inbox.another()), Shelf::new(inbox));
        let inlet = Inlet::new(webhooks, takes, Arc::clone(&marks));
        let (on, lane) = mpsc::channel(WAITING_MAX);
        let (aside, putting) = mpsc::channel(WAITING_MAX);
        let (say, reach) = watch::channel(Reach::default());
        let parts = Parts {
            on: lane,
            aside: putting,
            then: aside.clone(),
            way: way.clone(),
            shelf: puts,
            marks,
            reach: say,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new()
            .name("webhooks".to_owned())
            .spawn(move || runtime.block_on(lanes::run(parts)))
            .context("no thread for webhooks")?;
        let (clock, room) = (Clock::system(), Arc::new(Semaphore::new(ROOM)));
        let (homes, door) = (homes.clone(), inlet.clone());
        let door = Data::new(Self { homes, inlet: door, clock, room, on, aside, way });
        Ok(Opened { door, inlet, reach })
    }

    /// `None`: too much waits already.
    fn hand_over(&self, hook: &Hook, body: Bytes) -> Option<oneshot::Receiver<Outcome>> {
        let units = u32::try_from(body.len() / UNIT + 1).ok()?;
        let room = Arc::clone(&self.room).try_acquire_many_owned(units).ok()?;
        let (told, hears) = oneshot::channel();
        let whole = Whole { channel: hook.channel, received_at: self.clock.now(), body };
        let since = Instant::now();
        let item = Item { whole, service: hook.service, since, told, _room: room };
        let lane = if self.way.open(hook.service).is_some() { &self.on } else { &self.aside };
        lane.try_send(item).ok()?;
        Some(hears)
    }

    async fn pass_on(&self, hook: &Hook, body: Bytes) -> Outcome {
        let Some(hears) = self.hand_over(hook, body) else {
            counter!(RELAY_REFUSED, "why" => "full").increment(1);
            return Outcome::Unavailable;
        };
        hears.await.unwrap_or(Outcome::Unavailable)
    }
}

impl Door for Outer {
    fn gate(&self) -> &Gate {
        self.inlet.gate()
    }

    async fn keep(&self, hook: &Hook, body: Bytes) -> Outcome {
        if !self.homes.is_here(hook.service) {
            return self.pass_on(hook, body).await;
        }
        let outcome = self.inlet.keep(hook, body.clone()).await;
        // Handed over meanwhile: whoever has it now may take it, and takes it once.
        if outcome == Outcome::Unavailable && !self.homes.is_here(hook.service) {
            return self.pass_on(hook, body).await;
        }
        outcome
    }
}
