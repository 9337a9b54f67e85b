//! Keeps the leases of all services as this node sees them, on a thread of its own, so that nothing else
//! delays it; and hands a service over that another node is to have.
//!
//! It translates between the machines of `ownership::lease` and the doors to Redis and to the database. What
//! it decides is who comes first: who asks for a service sooner, and for whom one that is given up is kept.

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
use usher_domain::ownership::lease::{Answer, Ask, Command, Lease, Stage, Terms};
use usher_domain::ownership::placement::{self, Node, NodeId};
use usher_domain::time::Timestamp;
use usher_store::Ownership;

use crate::metrics::SERVICES_OWNED;
use crate::relay::{Homes, Owner};

/// Answers that may wait to be heard.
const HEARD_MAX: usize = 1_024;

/// A database that has not answered a node so often in a row cannot be reached by it. The others hear of the
/// first time, so that nobody takes those to be fit that it does not answer either.
const UNANSWERED_MAX: u32 = 2;

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
    words: mpsc::Sender<Word>,
}

pub(super) struct Keeping {
    pub(super) keeper: Keeper,
    pub(super) orders: BTreeMap<ServiceId, watch::Receiver<Order>>,
}

enum Word {
    Heard {
        service: ServiceId,
        ask: Ask,
        answer: Answer,
        holder: Option<NodeId>,
    },
    Claimed {
        service: ServiceId,
        epoch: Epoch,
        taken: bool,
    },
    Live(Vec<Node>),
    /// Whether the database has, this node.
    Answered(bool),
    /// A commit was refused.
    Superseded(Vec<ServiceId>),
    /// Nothing of it runs.
    Stopped(ServiceId),
    /// This node ends: others should have what it has.
    GiveUp,
    Leave {
        done: oneshot::Sender<()>,
    },
}

impl Keeper {
    pub(super) fn start(parts: Parts) -> anyhow::Result<Keeping> {
        let (words, heard) = mpsc::channel(HEARD_MAX);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = Thread::new(parts, words.clone());
        let orders = thread.kept.iter().map(|(service, kept)| (*service, kept.order.subscribe()));
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
        drop(self.words.try_send(Word::Superseded(services.to_vec())));
    }

    /// Nothing of a service runs here any more; or nothing could be made to.
    pub(super) async fn stopped(&self, service: ServiceId) {
        // The thread has ended: nobody waits for it.
        self.words.send(Word::Stopped(service)).await.ok();
    }

    /// Has what runs drained, service by service.
    pub(super) async fn give_up(&self) {
        self.words.send(Word::GiveUp).await.ok();
    }

    /// Nothing runs any more: waits until the leases have been handed on, and leaves.
    pub(super) async fn leave(&self, within: Duration) {
        let (done, hears) = oneshot::channel();
        if self.words.send(Word::Leave { done }).await.is_ok()
            && timeout(within, hears).await.is_err()
        {
            tracing::warn!("the leases were not taken back in time; they end by themselves");
        }
    }
}

/// What is kept of one service.
struct Kept {
    lease: Lease,
    order: watch::Sender<Order>,
}

struct Thread {
    nodes: Nodes,
    leases: Leases,
    ownership: Ownership,
    terms: Terms,
    settled_after: Duration,
    homes: Homes,
    started: Instant,
    kept: BTreeMap<ServiceId, Kept>,
    live: Vec<Node>,
    beat_at: Instant,
    leaving: bool,
    /// How often in a row the database has not answered: what is decided here cannot be kept.
    unanswered: u32,
    /// Under way.
    releases: JoinSet<()>,
    say: mpsc::Sender<Word>,
}

impl Thread {
    fn new(parts: Parts, say: mpsc::Sender<Word>) -> Self {
        let Parts { nodes, leases, ownership, terms, settled_after, homes } = parts;
        let started = Instant::now();
        let kept = |(service, _)| {
            let lease = Lease::new(Timestamp::default(), terms);
            (service, Kept { lease, order: watch::Sender::new(Order::Leave) })
        };
        Self {
            nodes,
            leases,
            ownership,
            terms,
            settled_after,
            kept: homes.all().map(kept).collect(),
            homes,
            started,
            live: Vec::new(),
            beat_at: started,
            leaving: false,
            unanswered: 0,
            releases: JoinSet::new(),
            say,
        }
    }

    /// Never set, and stands still with the machine: what then goes on too long the store refuses.
    fn now(&self) -> Timestamp {
        Timestamp::default() + self.started.elapsed()
    }

    const fn me(&self) -> &NodeId {
        &self.homes.me().node
    }

    const fn is_fit(&self) -> bool {
        self.unanswered < UNANSWERED_MAX
    }

    fn services(&self) -> Vec<ServiceId> {
        self.kept.keys().copied().collect()
    }

    async fn run(mut self, mut heard: mpsc::Receiver<Word>) {
        loop {
            let due = self.kept.values().filter_map(|kept| kept.lease.next_deadline()).min();
            let due = due.map(|due| self.started + due.since(Timestamp::default()));
            let wake = due.map_or(self.beat_at, |due| due.min(self.beat_at));
            let word = tokio::select! {
                word = heard.recv() => word,
                () = tokio::time::sleep_until(wake) => None,
            };
            if let Some(Word::Leave { done }) = word {
                self.leave().await;
                // Whoever asked may have gone.
                done.send(()).ok();
                return;
            }
            self.take(word);
            if self.beat_at <= Instant::now() {
                self.beat();
            }
            self.expire();
        }
    }

    fn expire(&mut self) {
        let (now, mut due) = (self.now(), Vec::new());
        for (service, kept) in &mut self.kept {
            let mut effects = Vec::new();
            kept.lease.expire(now, &mut effects);
            if !effects.is_empty() {
                due.push((*service, effects));
            }
        }
        for (service, effects) in due {
            self.perform(service, effects);
        }
    }

    fn take(&mut self, word: Option<Word>) {
        match word {
            Some(Word::Heard { service, ask, answer, holder }) => {
                if matches!(answer, Answer::Held { .. }) && holder.as_ref() != Some(self.me()) {
                    self.homes.tell_of_another(service, holder.and_then(Owner::of));
                }
                self.apply(service, Command::Hear { ask, answer });
            }
            Some(Word::Claimed { service, epoch, taken: true }) => {
                self.apply(service, Command::Claimed { epoch });
            }
            Some(Word::Claimed { service, epoch, taken: false }) => {
                self.apply(service, Command::NotClaimed { epoch });
            }
            Some(Word::Live(live)) => self.heard_of(live),
            Some(Word::Answered(true)) => self.unanswered = 0,
            Some(Word::Answered(false)) => self.unanswered_again(),
            Some(Word::Superseded(services)) => {
                for service in services {
                    self.superseded(service);
                }
            }
            Some(Word::Stopped(service)) => {
                self.order(service, Order::Leave);
                self.apply(service, Command::Stopped);
            }
            Some(Word::GiveUp) => {
                self.leaving = true;
                // The others hear of it at once, so that one of them is next.
                self.beat_at = Instant::now();
                for service in self.services() {
                    self.apply(service, Command::GiveUp);
                }
            }
            Some(Word::Leave { .. }) | None => {}
        }
    }

    fn heard_of(&mut self, live: Vec<Node>) {
        self.live = live;
        if self.leaving {
            return;
        }
        if !self.is_fit() {
            return self.give_all_over();
        }
        for service in self.services() {
            let rank = placement::rank(service, &self.live, self.me());
            let patience = self.terms.pause() * u32::try_from(rank).unwrap_or(u32::MAX);
            self.apply(service, Command::Want { patience });
        }
        self.hand_one_over();
    }

    /// To a node that has been there for a while and should have it; one after the other, so that few
    /// people at once come back elsewhere.
    fn hand_one_over(&mut self) {
        let stage = |kept: &Kept| kept.lease.stage();
        if self.kept.values().any(|kept| matches!(stage(kept), Stage::HandingOver { .. })) {
            return;
        }
        let owned =
            self.kept.iter().filter(|(_, kept)| matches!(stage(kept), Stage::Owning { .. }));
        let mut owned = owned.map(|(service, _)| *service);
        if let Some(service) = owned.find(|service| self.next(*service).is_some()) {
            tracing::info!(%service, "another node is to have it");
            self.apply(service, Command::GiveUp);
        }
    }

    /// The others hear of it soon, and this node whether it is the same for them.
    fn unanswered_again(&mut self) {
        self.unanswered = self.unanswered.saturating_add(1);
        let sooner = self.terms.renew_every().saturating_sub(self.terms.patience());
        self.beat_at -= sooner;
    }

    /// What cannot be kept here is for nodes that can; where none can, it stays.
    fn give_all_over(&mut self) {
        for service in self.services() {
            let owns = |kept: &Kept| matches!(kept.lease.stage(), Stage::Owning { .. });
            if self.kept.get(&service).is_some_and(owns) && self.next(service).is_some() {
                tracing::warn!(%service, "the database does not answer this node; another is to have it");
                self.apply(service, Command::GiveUp);
            }
        }
    }

    /// Who should have a service instead of this node, if somebody should.
    fn next(&self, service: ServiceId) -> Option<NodeId> {
        if self.leaving || !self.is_fit() {
            let others = self.live.iter().filter(|node| node.id() != self.me());
            let others: Vec<Node> = others.cloned().collect();
            return placement::owner(service, &others, None, Duration::ZERO).cloned();
        }
        // What it has said of itself when it missed an answer is not yet put right.
        let seems_unfit = |node: &Node| node.id() == self.me() && node.is_leaving();
        if self.live.iter().any(seems_unfit) {
            return None;
        }
        let next = placement::owner(service, &self.live, Some(self.me()), self.settled_after);
        next.filter(|next| *next != self.me()).cloned()
    }

    fn superseded(&mut self, service: ServiceId) {
        let stage = self.kept.get(&service).map(|kept| kept.lease.stage());
        if let Some(Stage::Owning { epoch, .. } | Stage::HandingOver { epoch, .. }) = stage {
            self.apply(service, Command::Superseded { epoch });
        }
    }

    fn apply(&mut self, service: ServiceId, command: Command) {
        let (now, mut effects) = (self.now(), Vec::new());
        let Some(Kept { lease, .. }) = self.kept.get_mut(&service) else { return };
        let was_held = lease.is_held();
        if let Err(refusal) = lease.apply(now, command, &mut effects) {
            tracing::debug!(%refusal, ?command, "a lease");
        }
        match (was_held, lease.is_held()) {
            (false, true) => {
                tracing::warn!(%service, "Redis keeps a lease no more; the database does");
            }
            (true, false) => {
                tracing::info!(%service, "the database need not keep a lease any more");
            }
            (true, true) | (false, false) => {}
        }
        self.perform(service, effects);
    }

    fn order(&self, service: ServiceId, order: Order) {
        if let Some(kept) = self.kept.get(&service) {
            kept.order.send_replace(order);
        }
        let runs = self.kept.values().filter(|kept| *kept.order.borrow() != Order::Leave);
        #[expect(clippy::cast_precision_loss, reason = "a metric")]
        gauge!(SERVICES_OWNED).set(runs.count() as f64);
    }

    /// Releases what there is, and is not heard of any more.
    async fn leave(mut self) {
        for service in self.services() {
            self.apply(service, Command::Stopped);
        }
        while self.releases.join_next().await.is_some() {}
        if let Err(error) = self.nodes.leave().await {
            tracing::debug!(%error, "Redis was not told that this node leaves");
        }
    }
}
