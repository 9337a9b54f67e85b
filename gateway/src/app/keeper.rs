//! Keeps the leases of this node's services, on a thread of its own, so that nothing else delays it.
//!
//! It translates between the machines of `ownership::lease` and the doors to Redis and to the database;
//! that all services go together is decided here: the first one's lease comes first, and who has it may
//! have the others.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use metrics::counter;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use usher_cluster::{Heard, Leases, Nodes};
use usher_domain::ids::ServiceId;
use usher_domain::ownership::Epoch;
use usher_domain::ownership::lease::{Answer, Ask, Command, Effect, Lease, Stage, Terms};
use usher_domain::ownership::placement::{self, Node, NodeId};
use usher_domain::time::Timestamp;
use usher_store::{Held, Ownership, Standing};

use crate::metrics::LEASE_HOLDS;

/// Answers that may wait to be heard.
const HEARD_MAX: usize = 1_024;

/// What this node is to do.
#[derive(Clone, Debug)]
pub(super) enum Order {
    StandBy {
        /// Who has the services, as far as it is known.
        holder: Option<NodeId>,
    },
    /// Under these epochs.
    Run(BTreeMap<ServiceId, u64>),
    /// Finish what runs, and say so: nobody else has the services before.
    Drain,
    /// Another may have the services from now on.
    LetGo,
}

pub(super) struct Parts {
    pub(super) nodes: Nodes,
    pub(super) leases: Leases,
    pub(super) me: NodeId,
    pub(super) ownership: Ownership,
    pub(super) terms: Terms,
    pub(super) services: Vec<ServiceId>,
}

/// The thread, as the others know it.
pub(super) struct Keeper {
    words: mpsc::Sender<Word>,
}

pub(super) struct Keeping {
    pub(super) keeper: Keeper,
    pub(super) orders: watch::Receiver<Order>,
}

enum Word {
    Heard {
        at: usize,
        ask: Ask,
        answer: Answer,
        holder: Option<NodeId>,
    },
    Claimed {
        at: usize,
        epoch: Epoch,
        taken: bool,
    },
    Live(Vec<Node>),
    /// A commit was refused.
    Superseded,
    /// Another node should have the services.
    GiveUp,
    /// What ran has.
    Stopped {
        done: oneshot::Sender<()>,
    },
}

impl Keeper {
    pub(super) fn start(parts: Parts) -> anyhow::Result<Keeping> {
        let (words, heard) = mpsc::channel(HEARD_MAX);
        let (orders, watched) = watch::channel(Order::StandBy { holder: None });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let say = words.clone();
        std::thread::Builder::new()
            .name("leases".to_owned())
            .spawn(move || runtime.block_on(Thread::new(parts, say, orders).run(heard)))
            .context("no thread for the leases")?;
        Ok(Keeping { keeper: Self { words }, orders: watched })
    }

    /// To be called when the store knows another owner.
    pub(super) fn superseded(&self) -> Box<dyn Fn() + Send> {
        let words = self.words.clone();
        // Where there is no room, the next renewal finds it out.
        Box::new(move || drop(words.try_send(Word::Superseded)))
    }

    /// Has what runs drained; an order says so, or that there is nothing left to drain.
    pub(super) async fn give_up(&self) {
        // The thread has ended: its order says that.
        self.words.send(Word::GiveUp).await.ok();
    }

    /// Nothing runs any more: hands the leases to the next node, and leaves.
    pub(super) async fn stopped(self, within: Duration) {
        let (done, hears) = oneshot::channel();
        if self.words.send(Word::Stopped { done }).await.is_ok()
            && tokio::time::timeout(within, hears).await.is_err()
        {
            tracing::warn!("the leases were not taken back in time; they end by themselves");
        }
    }
}

struct Thread {
    parts: Parts,
    started: Instant,
    leases: Vec<Lease>,
    live: Vec<Node>,
    beat_at: Instant,
    leaving: bool,
    /// Under way.
    releases: JoinSet<()>,
    say: mpsc::Sender<Word>,
    orders: watch::Sender<Order>,
}

impl Thread {
    fn new(parts: Parts, say: mpsc::Sender<Word>, orders: watch::Sender<Order>) -> Self {
        let started = Instant::now();
        let lease = |_: &ServiceId| Lease::new(Timestamp::default(), parts.terms);
        let leases = parts.services.iter().map(lease).collect();
        Self {
            leases,
            parts,
            started,
            live: Vec::new(),
            beat_at: started,
            leaving: false,
            releases: JoinSet::new(),
            say,
            orders,
        }
    }

    /// Never set, and stands still with the machine: what then goes on too long the store refuses.
    fn now(&self) -> Timestamp {
        Timestamp::default() + self.started.elapsed()
    }

    async fn run(mut self, mut heard: mpsc::Receiver<Word>) {
        loop {
            let due = self.leases.iter().filter_map(Lease::next_deadline).min();
            let due = due.map(|due| self.started + due.since(Timestamp::default()));
            let wake = due.map_or(self.beat_at, |due| due.min(self.beat_at));
            let word = tokio::select! {
                word = heard.recv() => word,
                () = tokio::time::sleep_until(wake) => None,
            };
            if let Some(Word::Stopped { done }) = word {
                self.leave().await;
                // Whoever asked may have gone.
                done.send(()).ok();
                return;
            }
            self.take(word);
            if self.beat_at <= Instant::now() {
                self.beat();
            }
            for at in 0..self.leases.len() {
                let mut effects = Vec::new();
                let now = self.now();
                if let Some(lease) = self.leases.get_mut(at) {
                    lease.expire(now, &mut effects);
                }
                self.perform(at, effects);
            }
            self.want_the_next();
            self.order();
        }
    }

    fn take(&mut self, word: Option<Word>) {
        match word {
            Some(Word::Heard { at, ask, answer, holder }) => {
                let mine = holder.as_ref() == Some(&self.parts.me);
                if at == 0 && !mine && matches!(answer, Answer::Held { .. }) {
                    self.stand_by(holder);
                }
                self.apply(at, Command::Hear { ask, answer });
            }
            Some(Word::Claimed { at, epoch, taken: true }) => {
                self.apply(at, Command::Claimed { epoch });
            }
            Some(Word::Claimed { at, epoch, taken: false }) => {
                self.apply(at, Command::NotClaimed { epoch });
            }
            Some(Word::Live(live)) => self.heard_of(live),
            Some(Word::Superseded) => self.superseded(),
            Some(Word::GiveUp) => self.give_up(),
            Some(Word::Stopped { .. }) | None => {}
        }
    }

    fn heard_of(&mut self, live: Vec<Node>) {
        let rank = placement::rank(self.first(), &live, &self.parts.me);
        self.live = live;
        if !self.leaving {
            let patience = self.parts.terms.pause() * u32::try_from(rank).unwrap_or(u32::MAX);
            self.apply(0, Command::Want { patience });
        }
    }

    /// The others hear of it at once, so that one of them is next.
    fn give_up(&mut self) {
        self.leaving = true;
        self.beat_at = Instant::now();
        for at in 0..self.leases.len() {
            self.apply(at, Command::GiveUp);
        }
        self.orders.send_if_modified(|order| {
            let runs = matches!(order, Order::Run(_));
            if runs {
                *order = Order::Drain;
            }
            runs
        });
    }

    /// Of whichever service: they go together.
    fn superseded(&mut self) {
        for at in 0..self.leases.len() {
            let stage = self.leases.get(at).map(Lease::stage);
            if let Some(Stage::Owning { epoch, .. } | Stage::HandingOver { epoch, .. }) = stage {
                self.apply(at, Command::Superseded { epoch });
            }
        }
    }

    fn first(&self) -> ServiceId {
        self.parts.services.first().copied().unwrap_or(ServiceId::from_number(0))
    }

    fn apply(&mut self, at: usize, command: Command) {
        let (now, mut effects) = (self.now(), Vec::new());
        let Some(lease) = self.leases.get_mut(at) else { return };
        let was_held = lease.is_held();
        if let Err(refusal) = lease.apply(now, command, &mut effects) {
            tracing::debug!(%refusal, ?command, "a lease");
        }
        match (was_held, lease.is_held()) {
            (false, true) => tracing::warn!(at, "Redis keeps a lease no more; the database does"),
            (true, false) => tracing::info!(at, "the database need not keep a lease any more"),
            (true, true) | (false, false) => {}
        }
        self.perform(at, effects);
    }

    fn want_the_next(&mut self) {
        if self.leaving {
            return;
        }
        let owns = |lease: &Lease| matches!(lease.stage(), Stage::Owning { .. });
        let first_without = self.leases.iter().position(|lease| !owns(lease));
        if let Some(at) = first_without.filter(|at| *at > 0) {
            self.apply(at, Command::Want { patience: Duration::ZERO });
        }
    }

    /// Once all services are this node's, they run.
    fn order(&self) {
        if self.leaving {
            return;
        }
        let now = self.now();
        let epochs = self.parts.services.iter().zip(&self.leases);
        let epochs = epochs.map(|(service, lease)| Some((*service, lease.acts(now)?.0)));
        let all: Option<BTreeMap<ServiceId, u64>> = epochs.collect();
        self.orders.send_if_modified(|order| match (&order, all) {
            (Order::StandBy { .. }, Some(all)) => {
                *order = Order::Run(all);
                true
            }
            _ => false,
        });
    }

    fn stand_by(&self, found: Option<NodeId>) {
        self.orders.send_if_modified(|order| match order {
            Order::StandBy { holder } if *holder != found => {
                *holder = found;
                true
            }
            Order::StandBy { .. } | Order::Run(_) | Order::Drain | Order::LetGo => false,
        });
    }

    fn perform(&mut self, at: usize, effects: Vec<Effect>) {
        let Some(service) = self.parts.services.get(at).copied() else { return };
        for effect in effects {
            tracing::debug!(%service, ?effect, "a lease");
            match effect {
                Effect::Acquire { ask } => self.acquire(at, service, ask),
                Effect::Renew { ask, epoch } => {
                    let leases = self.parts.leases.clone();
                    self.hear(at, ask, async move { Ok(leases.renew(service, epoch).await?) });
                }
                Effect::Hold { ask, epoch } => self.hold(at, service, (ask, epoch)),
                Effect::Reassert { ask, epoch } => {
                    let leases = self.parts.leases.clone();
                    self.hear(at, ask, async move { Ok(leases.reassert(service, epoch).await?) });
                }
                Effect::Claim { epoch, over } => self.claim(at, service, epoch, over),
                Effect::Start { epoch } => tracing::info!(%service, %epoch, "owned"),
                // All services go together, and are told once.
                Effect::Drain => tracing::debug!(%service, "handed over once it has stopped"),
                Effect::Stop { why } => self.let_go(at, service, why),
                Effect::Release { epoch } => self.release(service, epoch),
            }
        }
    }

    /// What runs stops at once; what has not begun to is over already.
    fn let_go(&mut self, at: usize, service: ServiceId, why: impl std::fmt::Debug) {
        tracing::warn!(%service, ?why, "not owned any more");
        let ran = self.orders.send_if_modified(|order| {
            let runs = matches!(order, Order::Run(_) | Order::Drain);
            if runs {
                *order = Order::LetGo;
            }
            runs
        });
        if !ran {
            self.apply(at, Command::Stopped);
        }
    }

    /// What is held in the store is not asked for in Redis (H1 of `ownership::lease`).
    fn acquire(&self, at: usize, service: ServiceId, ask: Ask) {
        let (ownership, leases) = (self.parts.ownership.clone(), self.parts.leases.clone());
        self.hear(at, ask, async move {
            let Standing { epoch, held } = ownership.standing(service).await?;
            if let Some(Held { by, left }) = held {
                return Ok(Heard { answer: Answer::Held { left }, holder: Some(NodeId(by)) });
            }
            Ok(leases.acquire(service, Epoch(epoch)).await?)
        });
    }

    fn hold(&self, at: usize, service: ServiceId, (ask, epoch): (Ask, Epoch)) {
        let ownership = self.parts.ownership.clone();
        self.hear(at, ask, async move {
            let held = ownership.hold(service, epoch.0).await;
            let (answer, outcome) = match &held {
                Ok(true) => (Answer::Holding, "held"),
                Ok(false) => (Answer::Superseded, "superseded"),
                Err(_) => (Answer::Failed, "failed"),
            };
            counter!(LEASE_HOLDS, "outcome" => outcome).increment(1);
            if let Err(error) = held {
                tracing::warn!(%service, cause = ?error, "neither Redis nor the database keeps it");
            }
            Ok(Heard { answer, holder: None })
        });
    }

    /// First where others look first, and in Redis for whom it is to be next.
    fn release(&mut self, service: ServiceId, epoch: Epoch) {
        let (ownership, leases) = (self.parts.ownership.clone(), self.parts.leases.clone());
        let next = if self.leaving { self.next() } else { None };
        self.releases.spawn(async move {
            if let Err(error) = ownership.release(service, epoch.0).await {
                tracing::debug!(cause = ?error, %service, "a hold was not taken back");
            }
            if let Err(error) = leases.release(service, epoch, next.as_ref()).await {
                tracing::warn!(%error, %service, "a lease was not taken back; it ends by itself");
            }
        });
    }

    /// Of those that stay.
    fn next(&self) -> Option<NodeId> {
        let others = self.live.iter().filter(|node| *node.id() != self.parts.me);
        let others: Vec<Node> = others.cloned().collect();
        placement::owner(self.first(), &others, None, Duration::ZERO).cloned()
    }

    /// Asks, and says what came of it; what failed may have been done.
    fn hear(
        &self,
        at: usize,
        ask: Ask,
        question: impl Future<Output = anyhow::Result<Heard>> + Send + 'static,
    ) {
        let say = self.say.clone();
        drop(tokio::spawn(async move {
            let Heard { answer, holder } = question.await.unwrap_or_else(|error| {
                tracing::debug!(cause = ?error, "a lease was not asked for");
                Heard { answer: Answer::Failed, holder: None }
            });
            // The thread has ended: nobody waits for it.
            say.send(Word::Heard { at, ask, answer, holder }).await.ok();
        }));
    }

    fn claim(&self, at: usize, service: ServiceId, epoch: Epoch, over: Epoch) {
        let (ownership, say) = (self.parts.ownership.clone(), self.say.clone());
        drop(tokio::spawn(async move {
            let claimed = ownership.claim(service, epoch.0, over.0).await;
            let taken = claimed.unwrap_or_else(|error| {
                tracing::warn!(cause = ?error, %service, "a service could not be claimed");
                false
            });
            say.send(Word::Claimed { at, epoch, taken }).await.ok();
        }));
    }

    fn beat(&mut self) {
        self.beat_at = Instant::now() + self.parts.terms.renew_every();
        let (nodes, say) = (self.parts.nodes.clone(), self.say.clone());
        let leaving = self.leaving;
        drop(tokio::spawn(async move {
            match nodes.heartbeat(leaving).await {
                Ok(live) => drop(say.send(Word::Live(live)).await),
                Err(error) => tracing::warn!(%error, "Redis is not to be asked"),
            }
        }));
    }

    /// Releases what there is, and is not heard of any more.
    async fn leave(mut self) {
        for at in 0..self.leases.len() {
            self.apply(at, Command::Stopped);
        }
        while self.releases.join_next().await.is_some() {}
        if let Err(error) = self.parts.nodes.leave().await {
            tracing::debug!(%error, "Redis was not told that this node leaves");
        }
    }
}
