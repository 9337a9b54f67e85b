//! Keeps the leases of all services as this node sees them, on a thread of its own, so that nothing else
//! delays it; and hands a service over that another node is to have.
//!
//! It decides nothing: it translates between `ownership::keeping` and the doors to Redis and to the database.

mod ask;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use metrics::gauge;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use usher_cluster::{Leases, Nodes};
use usher_domain::ids::ServiceId;
use usher_domain::ownership::Epoch;
use usher_domain::ownership::keeping::{Deed, Keeping as Rules, Word};
use usher_domain::ownership::lease::{Effect, Terms};
use usher_domain::ownership::placement::NodeId;
use usher_domain::time::Timestamp;
use usher_store::Ownership;

use crate::metrics::SERVICES_OWNED;
use crate::relay::{Homes, Owner};

/// Answers that may wait to be heard.
const HEARD_MAX: usize = 1_024;

/// What this node is to do with a service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Order {
    /// Another has it, or nobody.
    Leave,
    /// Under this epoch.
    Run(Epoch),
    /// Finish what runs, and say so: nobody else has it before.
    Drain,
    /// Another may have it from now on.
    LetGo,
}

pub(super) struct Parts {
    pub(super) nodes: Nodes,
    pub(super) leases: Leases,
    pub(super) ownership: Ownership,
    pub(super) terms: Terms,
    /// A node lives so long before a service is handed over to it by one that has it.
    pub(super) settled_after: Duration,
    pub(super) homes: Homes,
}

/// The thread, as the others know it; cheap to clone.
#[derive(Clone)]
pub(super) struct Keeper {
    words: mpsc::Sender<Said>,
}

pub(super) struct Keeping {
    pub(super) keeper: Keeper,
    pub(super) orders: BTreeMap<ServiceId, watch::Receiver<Order>>,
}

enum Said {
    Word(Word),
    /// Nothing runs any more.
    Leave {
        done: oneshot::Sender<()>,
    },
}

impl Keeper {
    pub(super) fn start(parts: Parts) -> anyhow::Result<Keeping> {
        let (words, heard) = mpsc::channel(HEARD_MAX);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = Thread::new(parts, words.clone());
        let orders = thread.orders.iter().map(|(service, order)| (*service, order.subscribe()));
        let orders = orders.collect();
        std::thread::Builder::new()
            .name("leases".to_owned())
            .spawn(move || runtime.block_on(thread.run(heard)))
            .context("no thread for the leases")?;
        Ok(Keeping { keeper: Self { words }, orders })
    }

    /// To be called when the store knows other owners.
    pub(super) fn superseded(&self, services: &[ServiceId]) {
        // Where there is no room, the next renewal finds it out.
        for service in services {
            let word = Word::Superseded { service: *service };
            drop(self.words.try_send(Said::Word(word)));
        }
    }

    /// Nothing of a service runs here any more; or nothing could be made to.
    pub(super) async fn stopped(&self, service: ServiceId) {
        // The thread has ended: nobody waits for it.
        self.words.send(Said::Word(Word::Stopped { service })).await.ok();
    }

    /// Has what runs drained, service by service.
    pub(super) async fn give_up(&self) {
        self.words.send(Said::Word(Word::Leave)).await.ok();
    }

    /// Nothing runs any more: waits until the leases have been handed on, and leaves.
    pub(super) async fn leave(&self, within: Duration) {
        let (done, hears) = oneshot::channel();
        if self.words.send(Said::Leave { done }).await.is_ok()
            && timeout(within, hears).await.is_err()
        {
            tracing::warn!("the leases were not taken back in time; they end by themselves");
        }
    }
}

struct Thread {
    nodes: Nodes,
    leases: Leases,
    ownership: Ownership,
    terms: Terms,
    homes: Homes,
    started: Instant,
    rules: Rules,
    orders: BTreeMap<ServiceId, watch::Sender<Order>>,
    /// Under way.
    releases: JoinSet<()>,
    say: mpsc::Sender<Said>,
}

impl Thread {
    fn new(parts: Parts, say: mpsc::Sender<Said>) -> Self {
        let Parts { nodes, leases, ownership, terms, settled_after, homes } = parts;
        let services: Vec<ServiceId> = homes.all().map(|(service, _)| service).collect();
        let order = |service: &ServiceId| (*service, watch::Sender::new(Order::Leave));
        let orders = services.iter().map(order).collect();
        let me = homes.me().node.clone();
        let rules = Rules::new(Timestamp::default(), (me, settled_after), terms, services);
        let (started, releases) = (Instant::now(), JoinSet::new());
        Self { nodes, leases, ownership, terms, homes, started, rules, orders, releases, say }
    }

    /// Never set, and stands still with the machine: what then goes on too long the store refuses.
    fn now(&self) -> Timestamp {
        Timestamp::default() + self.started.elapsed()
    }

    async fn run(mut self, mut heard: mpsc::Receiver<Said>) {
        let mut doubts = self.homes.doubts();
        loop {
            let due = self.rules.next_deadline().since(Timestamp::default());
            let said = tokio::select! {
                said = heard.recv() => said,
                // The sender is held here.
                _ = doubts.changed() => None,
                () = tokio::time::sleep_until(self.started + due) => None,
            };
            match said {
                Some(Said::Word(word)) => self.hear(word),
                Some(Said::Leave { done }) => {
                    self.leave().await;
                    // Whoever asked may have gone.
                    done.send(()).ok();
                    return;
                }
                None => {}
            }
            for service in self.homes.doubted() {
                self.hear(Word::Doubted { service });
            }
            let mut deeds = Vec::new();
            self.rules.expire(self.now(), &mut deeds);
            self.perform(deeds);
        }
    }

    fn hear(&mut self, word: Word) {
        if let Word::Stopped { service } = word {
            self.order(service, Order::Leave);
        }
        let mut deeds = Vec::new();
        self.rules.hear(self.now(), word, &mut deeds);
        self.perform(deeds);
    }

    fn perform(&mut self, deeds: Vec<Deed>) {
        for deed in deeds {
            match deed {
                Deed::Lease { service, effect, next } => {
                    tracing::debug!(%service, ?effect, "a lease");
                    self.perform_for(service, effect, next);
                }
                Deed::Elsewhere { service, node } => {
                    self.homes.tell_of_another(service, node.and_then(Owner::of));
                }
                Deed::Kept { service, by_store: true } => {
                    tracing::warn!(%service, "Redis keeps a lease no more; the database does");
                }
                Deed::Kept { service, by_store: false } => {
                    tracing::info!(%service, "the database need not keep a lease any more");
                }
                Deed::Beat { leaving } => self.beat(leaving),
                Deed::Refused { service, refusal } => {
                    tracing::debug!(%service, %refusal, "a lease");
                }
            }
        }
    }

    fn perform_for(&mut self, service: ServiceId, effect: Effect, next: Option<NodeId>) {
        match effect {
            Effect::Acquire { ask } => self.acquire(service, ask),
            Effect::Renew { ask, epoch } => {
                let leases = self.leases.clone();
                self.ask(service, ask, async move { Ok(leases.renew(service, epoch).await?) });
            }
            Effect::Hold { ask, epoch } => self.hold(service, (ask, epoch)),
            Effect::Reassert { ask, epoch } => {
                let leases = self.leases.clone();
                let told = async move { Ok(leases.reassert(service, epoch).await?) };
                self.ask(service, ask, told);
            }
            Effect::Claim { epoch, over } => self.claim(service, epoch, over),
            Effect::Start { epoch } => self.order(service, Order::Run(epoch)),
            Effect::Drain => {
                tracing::info!(%service, is_fit = self.rules.is_fit(), "another node is to have it");
                self.order(service, Order::Drain);
            }
            Effect::Stop { why } => {
                tracing::warn!(%service, ?why, "not owned any more");
                self.order(service, Order::LetGo);
            }
            Effect::Release { epoch } => self.release(service, epoch, next),
        }
    }

    fn order(&self, service: ServiceId, order: Order) {
        if let Some(orders) = self.orders.get(&service) {
            orders.send_replace(order);
        }
        let runs = self.orders.values().filter(|order| *order.borrow() != Order::Leave);
        #[expect(clippy::cast_precision_loss, reason = "a metric")]
        gauge!(SERVICES_OWNED).set(runs.count() as f64);
    }

    /// Releases what there is, and is not heard of any more.
    async fn leave(mut self) {
        for service in self.orders.keys().copied().collect::<Vec<_>>() {
            self.hear(Word::Stopped { service });
        }
        while self.releases.join_next().await.is_some() {}
        if let Err(error) = self.nodes.leave().await {
            tracing::debug!(%error, "Redis was not told that this node leaves");
        }
    }
}
