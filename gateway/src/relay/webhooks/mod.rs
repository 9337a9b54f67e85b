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
mod link;
mod links;
mod shelf;
mod way;

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::web::{Bytes, Data};
use anyhow::Context as _;
use metrics::counter;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use usher_domain::ids::ServiceId;
use usher_domain::ownership::placement::NodeId;
use usher_engine::Clock;
use usher_store::Inbox;

use super::{Homes, Others, Owner};
use crate::http::{Door, Gate, Hook, Kept, Outcome, Webhooks, Whole};
use crate::metrics::RELAY_REFUSED;
pub(crate) use inlet::Inlet;
use lanes::{ANSWER_WITHIN, Item, Parts};
use link::Link;
use links::Links;
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

/// What the doors of all workers share.
struct Hall {
    homes: Homes,
    inlet: Inlet,
    clock: Clock,
    room: Arc<Semaphore>,
    /// To the owner by requests, …
    on: mpsc::Sender<Item>,
    /// … and into the inbox.
    aside: mpsc::Sender<Item>,
    way: Way,
    marks: Arc<Marks>,
}

/// What doors are made of, and what they can reach.
#[derive(Clone)]
pub(crate) struct Opened {
    hall: Arc<Hall>,
    pub(crate) inlet: Inlet,
    pub(crate) reach: watch::Receiver<Reach>,
}

/// The door of a node that has others beside it, on one worker.
pub(crate) struct Outer {
    hall: Arc<Hall>,
    links: Links,
}

impl Opened {
    /// What does not go by a standing connection is passed on by a thread of its own, as long as there are
    /// doors.
    pub(crate) fn open(
        others: Others,
        homes: &Homes,
        webhooks: Data<Webhooks>,
        inbox: Inbox,
    ) -> anyhow::Result<Self> {
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
            marks: Arc::clone(&marks),
            reach: say,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new()
            .name("webhooks".to_owned())
            .spawn(move || runtime.block_on(lanes::run(parts)))
            .context("no thread for webhooks")?;
        let (clock, room) = (Clock::system(), Arc::new(Semaphore::new(ROOM)));
        let (homes, behind) = (homes.clone(), inlet.clone());
        let hall = Hall { homes, inlet: behind, clock, room, on, aside, way, marks };
        Ok(Self { hall: Arc::new(hall), inlet, reach })
    }

    /// The door of the worker that calls this.
    pub(crate) fn door(&self) -> Data<Outer> {
        let hall = Arc::clone(&self.hall);
        let links = Links::new(hall.way.clone());
        Data::new(Outer { hall, links })
    }
}

impl Outer {
    async fn pass_on(&self, hook: &Hook, body: Bytes) -> Outcome {
        let outcome = self.passed_on(hook, body).await;
        outcome.unwrap_or_else(|| {
            counter!(RELAY_REFUSED, "why" => "full").increment(1);
            Outcome::Unavailable
        })
    }

    /// `None`: too much waits already.
    async fn passed_on(&self, hook: &Hook, body: Bytes) -> Option<Outcome> {
        let Hall { clock, room, on, aside, way, .. } = &*self.hall;
        let units = u32::try_from(body.len() / UNIT + 1).ok()?;
        let room = Arc::clone(room).try_acquire_many_owned(units).ok()?;
        let since = Instant::now();
        let whole = Whole { channel: hook.channel, received_at: clock.now(), body };
        let lane = match way.open(hook.service) {
            None => aside,
            Some(owner) => match self.link(&owner, hook.service) {
                None => on,
                Some(link) if self.is_kept(&link, &owner, hook.service, &whole).await => {
                    return Some(Outcome::Relayed);
                }
                Some(_) => aside,
            },
        };
        let (told, hears) = oneshot::channel();
        let item = Item { whole, service: hook.service, since, told, _room: room };
        lane.try_send(item).ok()?;
        Some(hears.await.unwrap_or(Outcome::Unavailable))
    }

    /// What stands in the inbox goes before all else, and links know nothing of it.
    fn link(&self, owner: &Owner, service: ServiceId) -> Option<Link> {
        let stands = !self.hall.marks.stand([service]).is_empty();
        if stands { None } else { self.links.to(owner) }
    }

    /// By the owner, durably.
    async fn is_kept(&self, link: &Link, owner: &Owner, service: ServiceId, whole: &Whole) -> bool {
        let why = match timeout(ANSWER_WITHIN, link.keep(whole.clone())).await {
            Ok(Some(Kept::Durably)) => return true,
            // Where the owner does not know the channel, another owner may.
            Ok(Some(Kept::NotNow | Kept::Nowhere)) => {
                self.hall.way.doubt([service]);
                "late"
            }
            Ok(None) => {
                self.hall.way.shut(owner);
                "refused"
            }
            Err(_) => {
                self.hall.way.shut(owner);
                "silent"
            }
        };
        counter!(RELAY_REFUSED, "why" => why).increment(1);
        false
    }
}

impl Door for Outer {
    fn gate(&self) -> &Gate {
        self.hall.inlet.gate()
    }

    async fn keep(&self, hook: &Hook, body: Bytes) -> Outcome {
        if !self.hall.homes.is_here(hook.service) {
            return self.pass_on(hook, body).await;
        }
        let outcome = self.hall.inlet.keep(hook, body.clone()).await;
        // Handed over meanwhile: whoever has it now may take it, and takes it once.
        if outcome == Outcome::Unavailable && !self.hall.homes.is_here(hook.service) {
            return self.pass_on(hook, body).await;
        }
        outcome
    }
}
