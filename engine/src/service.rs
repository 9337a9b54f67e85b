//! One service: its actors' addresses, and the one way back when something breaks — rebuilding
//! everything from what is durable.

mod retention;
mod way_back;

use std::sync::{Arc, Weak};
use std::time::Duration;

use actix::prelude::*;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use usher_domain::access::Sight;
use usher_domain::ids::{ChannelId, EnquiryId, MessageId, ServiceId, SessionId, StaffId};
use usher_domain::record::{Event, Record};
use usher_domain::settings::Settings;
use usher_domain::time::Timestamp;
use usher_protocol::command::Command;
use usher_protocol::refusal::{Code, Refusal};
use usher_store::{Archive, DataDir, Journal, Store, StoreError};

use crate::channel::{Channel, HoldBack, OutcomeCame, ReceiptCame, Resume};
use crate::clock::{Clock, Wall};
use crate::directory::Arrived;
use crate::enquiry::Told;
use crate::handle::{Answer, Attach, ConnectionId, Explain, Explained};
use crate::inbound::{Inbound, InboundBody};
use crate::ledger::{Ack, Credit, Release};
use crate::outgoing::{BotWord, ProviderCall, SendOutcome};
use crate::peers::{InHand, Peers, Stepped};
use crate::poison::{Mark, Poison};
use crate::router::{ExplainThis, Pass};
use crate::staff::{AnswerIs, Commanded, Connect, Disconnect, IsAlive, LetGo, Pulls, SignedOut};

/// Why a service could not be started.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("what was kept could not be read")]
    Store(#[from] StoreError),
    #[error("a thread for the service could not be started")]
    Thread,
    #[error("what was kept breaks the actors that go on from it")]
    Panicked,
}

pub use way_back::Stopped;

/// What a service is made from.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) settings: Arc<Settings>,
    pub(crate) journal: Journal,
    pub(crate) archive: Archive,
    pub(crate) dir: Option<DataDir>,
    /// For what takes its time beside everything else; the engine holds it.
    pub(crate) store: Weak<Store>,
    pub(crate) provider: mpsc::Sender<ProviderCall>,
    pub(crate) messages_per_second: u32,
    pub(crate) sends_at_once: usize,
    pub(crate) credits: Arc<Semaphore>,
}

/// Where the answer to a command goes.
#[derive(Debug)]
pub(crate) enum AnswerTo {
    Connection { connection: ConnectionId, id: u64, credit: Credit, mark: Mark },
    Caller { to: oneshot::Sender<Answer>, credit: Credit, mark: Mark },
}

/// By what a command is known again when it is given once more.
pub(crate) fn mark_of(staff: StaffId, command: &Command) -> Mark {
    Mark::of((staff, format!("{command:?}")))
}

impl AnswerTo {
    /// The command that it answers, should it break whoever takes it.
    pub(crate) const fn mark(&self) -> Mark {
        let (Self::Connection { mark, .. } | Self::Caller { mark, .. }) = self;
        *mark
    }

    /// To be released once what the answer says is durable.
    pub(crate) fn release(self, peers: &Peers, staff: StaffId, answer: Answer) -> Release {
        match (self, peers.staff(staff)) {
            (Self::Caller { to, credit, .. }, _) => Release::Answer { to, answer, credit },
            (Self::Connection { connection, id, credit, .. }, Some(addr)) => Release::AnswerBy {
                staff: addr.clone(),
                answer: AnswerIs { connection, id, answer },
                credit,
            },
            (Self::Connection { .. }, None) => Release::Nothing,
        }
    }

    /// With nothing of its own to write down; a refusal too rests on what others have done, so it
    /// waits until that is durable.
    pub(crate) fn answer(self, peers: &Peers, staff: StaffId, answer: Answer) {
        peers.ledger.release(self.release(peers, staff, answer));
    }
}

macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Message)]
        #[rtype(result = "()")]
        pub(crate) struct $name { $(pub(crate) $field: $type),* }
    )*};
}

messages! {
    /// Updates of one webhook.
    Receive { channel: ChannelId, updates: Vec<Inbound>, durable: oneshot::Sender<()>, credit: OwnedSemaphorePermit }
    Outcome { channel: ChannelId, message: MessageId, became: SendOutcome }
    ResumeChannel { channel: ChannelId }
    /// A bot says something to an enquiry.
    BotSpeaks { enquiry: EnquiryId, word: BotWord, answer: oneshot::Sender<Answer>, credit: Credit }
    /// A command of a person's.
    Order { staff: StaffId, command: Command, to: AnswerTo }
    /// A command that the door could not take.
    Refuse { staff: StaffId, to: AnswerTo, refusal: Refusal }
    AttachTo { attach: Attach, done: oneshot::Sender<Pulls> }
    Alive { staff: StaffId, connection: ConnectionId }
    DetachFrom { staff: StaffId, connection: ConnectionId }
    EndSession { staff: StaffId, session: SessionId }
    /// Something the doors have done.
    WriteDown { event: Event, durable: oneshot::Sender<u64> }
    ExplainIt { wanted: Explain, answer: oneshot::Sender<Explained> }
    /// How much of a room a person sees.
    SightOf { staff: StaffId, enquiry: EnquiryId, answer: oneshot::Sender<Sight> }
    /// Something has broken: the service is rebuilt.
    Broken { actor: &'static str, build: u64 }
}

/// Whether it takes work; `Err`: it never will.
#[derive(Debug, Message)]
#[rtype(result = "Result<bool, Stopped>")]
pub(crate) struct AreYouUp;

#[derive(Debug, Message)]
#[rtype(result = "u64")]
pub(crate) struct LastSequence;

/// Lets every connection go and finishes what is being committed.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Stop;

/// Nothing more leaves by the provider's door; answered once nothing that has is under way.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct SendNoMore;

/// The service ends in this process, at once.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct End;

#[derive(Debug)]
pub(crate) struct Service {
    start: Start,
    /// `None` while it is rebuilt.
    peers: Option<Peers>,
    clock: Clock,
    /// How often the service was built.
    build: u64,
    built_at: Timestamp,
    in_hand: InHand,
    /// Updates that have broken an actor, and how often.
    poison: Poison,
    wall: Wall,
    /// How often it broke in a row without having done anything.
    strikes: u8,
    /// It is not built again.
    stopped: Option<Stopped>,
    /// Tells what runs beside the actors (the ledger, the watch on the archive) to end.
    running: Vec<SpawnHandle>,
}

/// Starts a service on the present thread.
pub(crate) fn start_here(start: Start) -> Result<Addr<Service>, StartError> {
    let clock = Clock::system();
    // What was kept is read once before anything is promised, so that a broken store is an error.
    start.archive.reader()?.position(start.settings.service)?;
    let service = Service {
        start,
        peers: None,
        clock,
        build: 0,
        built_at: Timestamp::default(),
        in_hand: InHand::default(),
        poison: Poison::default(),
        wall: Wall::new(),
        strikes: 0,
        stopped: None,
        running: Vec::new(),
    };
    Ok(service.start())
}

/// Starts a service on a thread of its own.
pub(crate) async fn start_on(
    arbiter: &ArbiterHandle,
    start: Start,
) -> Result<Addr<Service>, StartError> {
    let (told, hears) = oneshot::channel();
    let spawned = arbiter.spawn_fn(move || {
        // What operators see of the thread; nothing depends on it.
        rustix::thread::set_name(c"service").ok();
        // The caller waits; if it has gone, so will the service.
        told.send(start_here(start)).ok();
    });
    if !spawned {
        return Err(StartError::Thread);
    }
    hears.await.map_err(|_| StartError::Thread)?
}

impl Service {
    #[cfg(test)]
    pub(crate) fn peers(&self) -> Option<&Peers> {
        self.peers.as_ref()
    }

    fn id(&self) -> ServiceId {
        self.start.settings.service
    }
}

impl Service {
    /// A step moves no deadline; rules, windows and stamps follow it.
    fn watch_wall_clock(&mut self) {
        let Some(millis) = self.wall.follow() else { return };
        tracing::warn!(service = %self.id(), millis, "the wall clock has stepped");
        metrics::counter!(crate::metrics::WALL_STEPS).increment(1);
        if let Some(peers) = &self.peers {
            peers.router.do_send(Stepped);
            for channel in peers.channels.values() {
                channel.do_send(Stepped);
            }
        }
    }

    /// What broke an actor twice is kept aside instead of being tried again.
    fn without_poison(&self, peers: &Peers, received: Received<'_>) -> Vec<Inbound> {
        let Received { channel, updates, ack } = received;
        if self.poison.is_empty() {
            return updates;
        }
        let (bad, good): (Vec<_>, Vec<_>) =
            updates.into_iter().partition(|update| self.poison.holds_update(update));
        for update in bad {
            tracing::error!(%channel, mark = ?update.body.mark(), "an update that broke twice is kept aside");
            metrics::counter!(crate::metrics::QUARANTINED).increment(1);
            let raw =
                update.raw.map_or_else(|| format!("{:?}", update.body), |raw| raw.to_string());
            let why = "it broke whoever took it, twice".to_owned();
            let event = Event::Quarantined { channel, why, raw };
            let record = Record::new(peers.now(), event);
            peers.ledger.append([record], [Release::Ack(Arc::clone(ack))]);
        }
        good
    }
}

/// Updates of one webhook, on their way to the directory.
struct Received<'a> {
    channel: ChannelId,
    updates: Vec<Inbound>,
    ack: &'a Arc<Ack>,
}

/// What is left: messages and the like.
fn tell_of_receipts(
    channel: &Addr<Channel>,
    updates: Vec<Inbound>,
    ack: &Arc<Ack>,
) -> Vec<Inbound> {
    let mut others = Vec::new();
    for Inbound { body, raw } in updates {
        match body {
            InboundBody::Receipt(receipt) => {
                channel.do_send(ReceiptCame { receipt, raw, ack: Arc::clone(ack) });
            }
            body => others.push(Inbound { body, raw }),
        }
    }
    others
}

impl Handler<Receive> for Service {
    type Result = ();

    fn handle(&mut self, message: Receive, _: &mut Context<Self>) {
        // While the service is rebuilt, what comes is dropped, and the door hears of it.
        let Some(peers) = &self.peers else { return };
        let Receive { channel, updates, durable, credit } = message;
        let ack = Ack::new(updates.len(), durable, credit);
        let updates = self.without_poison(peers, Received { channel, updates, ack: &ack });
        // Most of all updates are receipts, and it does not matter whose they are.
        let updates = match peers.channel(channel) {
            Some(addr) => tell_of_receipts(addr, updates, &ack),
            None => updates,
        };
        if !updates.is_empty() {
            peers.directory.do_send(Arrived { channel, updates, ack });
        }
    }
}

impl Actor for Service {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.build(ctx);
        ctx.run_interval(Duration::from_secs(1), |service, _| service.watch_wall_clock());
        Self::prune_daily(ctx);
    }
}

macro_rules! pass_on {
    ($($name:ident => |$message:ident, $peers:ident $(, $poison:ident)?| $do:block)*) => {$(
        impl Handler<$name> for Service {
            type Result = ();

            fn handle(&mut self, $message: $name, _: &mut Context<Self>) {
                // While the service is rebuilt, what comes is dropped, and the door hears of it.
                let Some($peers) = &self.peers else { return };
                $(let $poison = &self.poison;)?
                $do
            }
        }
    )*};
}

pass_on! {
    Outcome => |message, peers| {
        let Outcome { channel, message, became } = message;
        if let Some(channel) = peers.channel(channel) {
            channel.do_send(OutcomeCame { message, outcome: became });
        }
    }
    ResumeChannel => |message, peers| {
        if let Some(channel) = peers.channel(message.channel) {
            channel.do_send(Resume);
        }
    }
    BotSpeaks => |message, peers| {
        let BotSpeaks { enquiry, word, answer, credit } = message;
        let what = Told::Bot { word: Box::new(word), answer, credit };
        peers.router.do_send(Pass { enquiry, what });
    }
    Order => |message, peers, poison| {
        let Order { staff, command, to } = message;
        match peers.staff(staff) {
            Some(_) if poison.holds(to.mark()) => {
                let text = "This has broken the service twice, and is not tried again.";
                to.answer(peers, staff, Err(Refusal::saying(Code::Malformed, text)));
            }
            Some(addr) => addr.do_send(Commanded { command, answer: to }),
            None => to.answer(peers, staff, Err(Code::NotFound.into())),
        }
    }
    Refuse => |message, peers| {
        message.to.answer(peers, message.staff, Err(message.refusal));
    }
    AttachTo => |message, peers| {
        let AttachTo { attach: Attach { staff, connection, session, resume }, done } = message;
        if let Some(addr) = peers.staff(staff) {
            addr.do_send(Connect { connection, session, resume, done });
        }
    }
    Alive => |message, peers| {
        if let Some(addr) = peers.staff(message.staff) {
            addr.do_send(IsAlive(message.connection));
        }
    }
    DetachFrom => |message, peers| {
        if let Some(addr) = peers.staff(message.staff) {
            addr.do_send(Disconnect(message.connection));
        }
    }
    EndSession => |message, peers| {
        if let Some(addr) = peers.staff(message.staff) {
            addr.do_send(SignedOut(message.session));
        }
    }
    WriteDown => |message, peers| {
        let WriteDown { event, durable } = message;
        let seq = peers.ledger.append(vec![Record::new(peers.now(), event)], Vec::new());
        peers.ledger.release(Release::Durable { to: durable, seq });
    }
    ExplainIt => |message, peers| {
        let ExplainIt { wanted: explain, answer } = message;
        peers.router.do_send(ExplainThis { explain, answer });
    }
    SightOf => |message, peers| {
        let SightOf { staff, enquiry, answer } = message;
        let peers = peers.clone();
        actix::spawn(async move {
            let seen = crate::history::sight_of(&peers, staff, enquiry).await;
            // Whoever asked may have gone.
            answer.send(seen).ok();
        });
    }
}

impl Handler<Broken> for Service {
    type Result = ();

    fn handle(&mut self, Broken { actor, build }: Broken, ctx: &mut Context<Self>) {
        // Actors of an earlier building may still break while they end.
        if build == self.build {
            self.rebuild(actor, ctx);
        }
    }
}

impl Handler<AreYouUp> for Service {
    type Result = Result<bool, Stopped>;

    fn handle(&mut self, _: AreYouUp, _: &mut Context<Self>) -> Self::Result {
        match &self.stopped {
            Some(stopped) => Err(stopped.clone()),
            None => Ok(self.peers.is_some()),
        }
    }
}

impl Handler<LastSequence> for Service {
    type Result = u64;

    fn handle(&mut self, _: LastSequence, _: &mut Context<Self>) -> u64 {
        self.peers.as_ref().map_or(0, |peers| peers.ledger.last())
    }
}

impl Handler<Stop> for Service {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Stop, _: &mut Context<Self>) -> Self::Result {
        let Some(peers) = self.peers.clone() else { return Box::pin(async {}) };
        for staff in peers.staff.values() {
            staff.do_send(LetGo);
        }
        let (told, hears) = oneshot::channel();
        let seq = peers.ledger.last();
        peers.ledger.release(Release::Durable { to: told, seq });
        Box::pin(async move {
            // A ledger that has failed has nothing more to finish.
            hears.await.ok();
        })
    }
}

impl Handler<SendNoMore> for Service {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: SendNoMore, _: &mut Context<Self>) -> Self::Result {
        let Some(peers) = &self.peers else { return Box::pin(async {}) };
        let held: Vec<_> = peers.channels.values().map(|channel| channel.send(HoldBack)).collect();
        Box::pin(async move {
            for held in held {
                // A channel that is gone sends nothing.
                held.await.ok();
            }
        })
    }
}

impl Handler<End> for Service {
    type Result = ();

    fn handle(&mut self, _: End, ctx: &mut Context<Self>) {
        if let Some(peers) = self.peers.take() {
            tracing::info!(service = %self.id(), "the service runs here no more");
            self.end(&peers, ctx);
        }
        ctx.stop();
    }
}
