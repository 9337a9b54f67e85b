//! Webhooks on a node that does not run the services: the owner keeps them, or, where it cannot be reached
//! in time, the inbox in the database does, so that some door is always open.
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

use std::sync::Arc;

use actix_web::web::{Bytes, Data, ServiceConfig};
use anyhow::Context as _;
use metrics::counter;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;
use usher_config::Loaded;
use usher_domain::ownership::placement::NodeId;
use usher_engine::Clock;
use usher_store::Inbox;

use super::Relay;
use crate::http::{self, Door, Gate, Hook, Outcome, Webhooks, Whole};
use crate::metrics::RELAY_REFUSED;
pub(crate) use inlet::Inlet;
use lanes::{Item, Parts};
use shelf::{Mark, Shelf};
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
    pub(crate) owner: Option<NodeId>,
    /// The owner takes webhooks.
    pub(crate) answers: bool,
    /// The inbox does.
    pub(crate) inbox: bool,
}

/// The door of a node that does not run the services.
pub(crate) struct Outer {
    gate: Gate,
    clock: Clock,
    room: Arc<Semaphore>,
    on: mpsc::Sender<Item>,
    aside: mpsc::Sender<Item>,
    way: Way,
}

/// What a node keeps of webhooks whether it runs the services or not; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Inboxed {
    /// Each with a connection of its own: what is taken out holds up nobody who puts.
    puts: Shelf,
    takes: Shelf,
    mark: Arc<Mark>,
}

impl Inboxed {
    pub(crate) fn new(inbox: Inbox) -> Self {
        let takes = Shelf::new(inbox.another());
        Self { puts: Shelf::new(inbox), takes, mark: Arc::default() }
    }

    /// For the node that runs the services from now on.
    pub(crate) fn inlet(self, webhooks: Data<Webhooks>) -> Inlet {
        Inlet::new(webhooks, self.takes, self.mark)
    }
}

/// A door, and what it can reach.
#[derive(Clone)]
pub(crate) struct Opened {
    pub(crate) door: Data<Outer>,
    pub(crate) reach: watch::Receiver<Reach>,
}

impl Outer {
    /// Everything behind it happens on a thread of its own: it goes on while this node takes the
    /// services over, and as long as there is a door.
    pub(crate) fn open(loaded: &Loaded, relay: &Relay, inbox: Inboxed) -> anyhow::Result<Opened> {
        let gate = Gate::new(&loaded.config, &loaded.services)?;
        let way = Way::new(super::client()?, relay.owners.clone(), relay.secret.clone());
        let (on, lane) = mpsc::channel(WAITING_MAX);
        let (aside, putting) = mpsc::channel(WAITING_MAX);
        let (say, reach) = watch::channel(Reach::default());
        let parts = Parts {
            on: lane,
            aside: putting,
            then: aside.clone(),
            way: way.clone(),
            shelf: inbox.puts,
            mark: inbox.mark,
            reach: say,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new()
            .name("webhooks".to_owned())
            .spawn(move || runtime.block_on(lanes::run(parts)))
            .context("no thread for webhooks")?;
        let (clock, room) = (Clock::system(), Arc::new(Semaphore::new(ROOM)));
        let door = Data::new(Self { gate, clock, room, on, aside, way });
        Ok(Opened { door, reach })
    }

    /// `None`: too much waits already.
    fn hand_over(&self, hook: &Hook, body: Bytes) -> Option<oneshot::Receiver<Outcome>> {
        let units = u32::try_from(body.len() / UNIT + 1).ok()?;
        let room = Arc::clone(&self.room).try_acquire_many_owned(units).ok()?;
        let (told, hears) = oneshot::channel();
        let whole = Whole { channel: hook.channel, received_at: self.clock.now(), body };
        let since = Instant::now();
        let item = Item { whole, service: hook.service, since, told, _room: room };
        let lane = if self.way.is_open() { &self.on } else { &self.aside };
        lane.try_send(item).ok()?;
        Some(hears)
    }
}

impl Door for Outer {
    fn gate(&self) -> &Gate {
        &self.gate
    }

    async fn keep(&self, hook: &Hook, body: Bytes) -> Outcome {
        let Some(hears) = self.hand_over(hook, body) else {
            counter!(RELAY_REFUSED, "why" => "full").increment(1);
            return Outcome::Unavailable;
        };
        hears.await.unwrap_or(Outcome::Unavailable)
    }
}

impl Opened {
    pub(crate) fn routes(&self, config: &mut ServiceConfig) {
        http::webhook_routes(&self.door, config);
    }
}
