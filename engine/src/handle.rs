//! The one way into the engine from outside: a cheap handle that could lead to another node.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[cfg(test)]
use actix::Addr;
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc, oneshot};
use usher_domain::access::Sight;
use usher_domain::floor::place::Stage;
use usher_domain::ids::{
    ChannelId, EnquiryId, MessageId, ServiceId, SessionId, StaffId, VisitorId,
};
use usher_domain::record::Event;
use usher_domain::settings::Settings;
use usher_domain::time::Timestamp;
use usher_domain::trace::Step;
use usher_protocol::command::Command;
use usher_protocol::frame::Resume;
use usher_protocol::refusal::{Code, Refusal};
use usher_store::Store;

use crate::doors::{Door, Doors};
use crate::inbound::Inbound;
use crate::outgoing::{BotWord, ProviderCall, SendOutcome};
use crate::service;
#[cfg(test)]
use crate::service::Service;
use crate::staff::Pulls;

/// What came of a command: what its `ok` holds, or why it was refused.
pub type Answer = Result<serde_json::Value, Refusal>;

/// What the engine is started with.
#[derive(Debug)]
pub struct EngineOptions {
    /// Those that run from the start; others are added.
    pub services: Vec<Arc<Settings>>,
    /// Updates, commands and timer slices of one service under way at once.
    pub credits_per_service: usize,
    /// Threads that services run on; 0 = the present one.
    pub arbiters: usize,
    /// Of one number, in and out together.
    pub messages_per_second: u32,
    /// Of one number: requests to the provider under way.
    pub sends_at_once: usize,
}

/// Nothing can be stored or answered now; worth a repeat.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Unavailable {
    #[error("there is no such service")]
    NoService,
    #[error("too much is under way")]
    Busy,
    #[error("it could not be stored")]
    NotDurable,
}

/// One connection of a staff member.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ConnectionId(pub u64);

/// Who is connecting.
#[derive(Clone, Debug)]
pub struct Attach {
    pub staff: StaffId,
    pub connection: ConnectionId,
    pub session: SessionId,
    pub resume: Option<Resume>,
}

/// A question that changes nothing.
#[derive(Clone, Debug)]
pub struct Explain {
    pub channel: ChannelId,
    /// `None`: a visitor nobody knows.
    pub visitor: Option<VisitorId>,
    /// `None`: now.
    pub at: Option<Timestamp>,
    /// As if everybody enabled were Active and free.
    pub everyone: bool,
}

/// What would happen.
#[derive(Clone, Debug)]
pub struct Explained {
    pub at: Timestamp,
    pub steps: Vec<Step>,
    pub stage: Stage,
}

/// The engine as the doors see it; cheap to clone.
#[derive(Clone)]
pub struct Engine {
    doors: Arc<Doors>,
    store: Arc<Store>,
    makes: Arc<Makes>,
}

/// What every service is made from.
struct Makes {
    provider: mpsc::Sender<ProviderCall>,
    credits: usize,
    messages_per_second: u32,
    sends_at_once: usize,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("services", &self.services().len()).finish_non_exhaustive()
    }
}

impl Engine {
    /// Recovers every service from what is durable and starts its actors. Calls for the providers
    /// leave by `provider`; their outcomes come back by [`Engine::outcome`].
    ///
    /// Has to run inside an actix system; with `arbiters` 0 the services run on its thread.
    pub async fn start(
        options: EngineOptions,
        store: Store,
        provider: mpsc::Sender<ProviderCall>,
    ) -> Result<Self, service::StartError> {
        let makes = Makes {
            provider,
            credits: options.credits_per_service,
            messages_per_second: options.messages_per_second,
            sends_at_once: options.sends_at_once,
        };
        let doors = Arc::new(Doors::new(options.arbiters));
        let engine = Self { doors, store: Arc::new(store), makes: Arc::new(makes) };
        for settings in options.services {
            engine.make(settings).await?;
        }
        Ok(engine)
    }

    /// Starts the actors of a service, which the store has taken before; it is built when this returns.
    pub async fn add(&self, settings: Arc<Settings>) -> Result<(), service::StartError> {
        let id = settings.service;
        if !self.runs(id) {
            self.make(settings).await?;
        }
        if let Ok(door) = self.door(id) {
            // What cannot be built is tried again, and told by `is_ready` and `stopped`.
            drop(door.service.send(service::AreYouUp).await);
        }
        Ok(())
    }

    async fn make(&self, settings: Arc<Settings>) -> Result<(), service::StartError> {
        let (id, credits) = (settings.service, Arc::new(Semaphore::new(self.makes.credits)));
        let start = service::Start {
            settings,
            journal: self.store.journal().clone(),
            archive: self.store.archive().clone(),
            dir: self.store.dir().cloned(),
            store: Arc::downgrade(&self.store),
            provider: self.makes.provider.clone(),
            messages_per_second: self.makes.messages_per_second,
            sends_at_once: self.makes.sends_at_once,
            credits: Arc::clone(&credits),
        };
        let (service, thread) = match self.doors.thread() {
            Some((thread, arbiter)) => (service::start_on(&arbiter, start).await?, thread),
            None => (service::start_here(start)?, 0),
        };
        self.doors.put(id, Door::new(service, credits, thread));
        Ok(())
    }

    /// In order: nothing new, what is under way ends, connections are let go, all of it is durable; then
    /// its actors end. Others are not touched. Waits no longer than three times `ENDS_WITHIN`; a request
    /// to the provider that is under way even then is in doubt for whoever has the service next.
    pub async fn remove(&self, service: ServiceId) {
        let Some(door) = self.doors.open(service) else { return };
        door.shut();
        let all = u32::try_from(self.makes.credits).unwrap_or(u32::MAX);
        // As long as they are lent to this, no deadline is told.
        let lent = within(door.credits.acquire_many(all)).await;
        within(door.service.send(service::SendNoMore)).await;
        within(door.service.send(service::Stop)).await;
        drop(lent);
        self.doors.take_this(service, &door);
        door.service.do_send(service::End);
    }

    /// At once: its door is gone, connections are let go, its actors end, nothing is waited for. To be
    /// called when the service is another's.
    pub fn abandon(&self, service: ServiceId) {
        if let Some(door) = self.doors.take(service) {
            door.service.do_send(service::End);
        }
    }

    fn door(&self, service: ServiceId) -> Result<Arc<Door>, Unavailable> {
        self.doors.open(service).ok_or(Unavailable::NoService)
    }

    #[cfg(test)]
    pub(crate) fn service_of(&self, service: ServiceId) -> Addr<Service> {
        self.doors.any(service).unwrap().service.clone()
    }

    #[cfg(test)]
    pub(crate) fn credits_of(&self, service: ServiceId) -> Arc<Semaphore> {
        Arc::clone(&self.doors.any(service).unwrap().credits)
    }

    #[cfg(test)]
    pub(crate) fn thread_of(&self, service: ServiceId) -> usize {
        self.doors.any(service).unwrap().thread
    }

    /// Those that run now.
    pub fn services(&self) -> Vec<ServiceId> {
        self.doors.services()
    }

    pub fn runs(&self, service: ServiceId) -> bool {
        self.doors.open(service).is_some()
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Takes the updates of one webhook; returns once all of them are durable.
    pub async fn receive(
        &self,
        service: ServiceId,
        channel: ChannelId,
        updates: Vec<Inbound>,
    ) -> Result<(), Unavailable> {
        if updates.is_empty() {
            return Ok(());
        }
        let door = self.door(service)?;
        if self.store.archive().is_lagging() {
            return Err(Unavailable::Busy);
        }
        if let Some(wait) = self.store.archive().slow_down() {
            metrics::counter!(crate::metrics::SLOWED).increment(1);
            tokio::time::sleep(wait).await;
        }
        let wanted = u32::try_from(updates.len()).unwrap_or(u32::MAX);
        let credit = Arc::clone(&door.credits)
            .try_acquire_many_owned(wanted)
            .map_err(|_| Unavailable::Busy)?;
        let (durable, hears) = oneshot::channel();
        door.service.do_send(service::Receive { channel, updates, durable, credit });
        hears.await.map_err(|_| Unavailable::NotDurable)
    }

    /// What became of a message that left by the provider's door.
    pub fn outcome(
        &self,
        service: ServiceId,
        channel: ChannelId,
        message: MessageId,
        outcome: SendOutcome,
    ) {
        if let Some(door) = self.doors.any(service) {
            door.service.do_send(service::Outcome { channel, message, became: outcome });
        }
    }

    /// What a bot says to the enquiry that it holds; returns once that is durable. `ok` lists the
    /// messages that it made.
    pub async fn bot_said(&self, service: ServiceId, enquiry: EnquiryId, word: BotWord) -> Answer {
        let unavailable = || Refusal::from(Code::Unavailable);
        // Answers are as many as there are calls, and must not be lost.
        let door = match word.call {
            Some(_) => self.doors.any(service).ok_or_else(unavailable)?,
            None => self.door(service).map_err(|_| unavailable())?,
        };
        let credit = match word.call {
            Some(_) => None,
            None => Some(Arc::clone(&door.credits).try_acquire_owned().map_err(|_| unavailable())?),
        };
        let (answer, hears) = oneshot::channel();
        door.service.do_send(service::BotSpeaks { enquiry, word, answer, credit });
        hears.await.unwrap_or_else(|_| Err(unavailable()))
    }

    /// A channel that was stopped may send again.
    pub fn resume_channel(&self, service: ServiceId, channel: ChannelId) {
        if let Ok(door) = self.door(service) {
            door.service.do_send(service::ResumeChannel { channel });
        }
    }

    /// Carries out a command for a person and waits for what came of it.
    pub async fn command(&self, service: ServiceId, staff: StaffId, command: Command) -> Answer {
        let unavailable = || Refusal::from(Code::Unavailable);
        let door = self.door(service).map_err(|_| unavailable())?;
        let credit = Arc::clone(&door.credits).try_acquire_owned().map_err(|_| unavailable())?;
        let (answer, hears) = oneshot::channel();
        let mark = service::mark_of(staff, &command);
        let to = service::AnswerTo::Caller { to: answer, credit: Some(credit), mark };
        door.service.do_send(service::Order { staff, command, to });
        hears.await.unwrap_or_else(|_| Err(unavailable()))
    }

    /// Carries out a command that came by a connection; its answer leaves by the same connection.
    pub fn order(
        &self,
        service: ServiceId,
        staff: StaffId,
        connection: ConnectionId,
        id: u64,
        command: Command,
    ) {
        let Ok(door) = self.door(service) else { return };
        let credit = Arc::clone(&door.credits).try_acquire_owned().ok();
        let taken = credit.is_some();
        let mark = service::mark_of(staff, &command);
        let to = service::AnswerTo::Connection { connection, id, credit, mark };
        if taken {
            door.service.do_send(service::Order { staff, command, to });
        } else {
            let refusal = Refusal::from(Code::Unavailable);
            door.service.do_send(service::Refuse { staff, to, refusal });
        }
    }

    /// Connects a person; what they are to be told is then pulled.
    pub async fn attach(&self, service: ServiceId, attach: Attach) -> Result<Pulls, Unavailable> {
        let door = self.door(service)?;
        let (done, hears) = oneshot::channel();
        door.service.do_send(service::AttachTo { attach, done });
        hears.await.map_err(|_| Unavailable::Busy)
    }

    /// The client answered a ping: its connection is alive.
    pub fn alive(&self, service: ServiceId, staff: StaffId, connection: ConnectionId) {
        if let Ok(door) = self.door(service) {
            door.service.do_send(service::Alive { staff, connection });
        }
    }

    /// A session was signed out, or has expired: its sockets end.
    pub fn end_session(&self, service: ServiceId, staff: StaffId, session: SessionId) {
        if let Ok(door) = self.door(service) {
            door.service.do_send(service::EndSession { staff, session });
        }
    }

    pub fn detach(&self, service: ServiceId, staff: StaffId, connection: ConnectionId) {
        if let Ok(door) = self.door(service) {
            door.service.do_send(service::DetachFrom { staff, connection });
        }
    }

    /// Writes down something that the doors have done (a session opened, a file stored, templates
    /// synced); returns its sequence once it is durable.
    pub async fn record(&self, service: ServiceId, event: Event) -> Result<u64, Unavailable> {
        let door = self.door(service)?;
        let (durable, hears) = oneshot::channel();
        door.service.do_send(service::WriteDown { event, durable });
        hears.await.map_err(|_| Unavailable::NotDurable)
    }

    /// What would happen to a message from a visitor; nothing is changed.
    pub async fn explain(
        &self,
        service: ServiceId,
        explain: Explain,
    ) -> Result<Explained, Unavailable> {
        let door = self.door(service)?;
        let (answer, hears) = oneshot::channel();
        door.service.do_send(service::ExplainIt { wanted: explain, answer });
        hears.await.map_err(|_| Unavailable::Busy)
    }

    /// How much of an enquiry's room a person sees now.
    pub async fn sight(
        &self,
        service: ServiceId,
        staff: StaffId,
        enquiry: EnquiryId,
    ) -> Result<Sight, Unavailable> {
        let door = self.door(service)?;
        let (answer, hears) = oneshot::channel();
        door.service.do_send(service::SightOf { staff, enquiry, answer });
        hears.await.map_err(|_| Unavailable::Busy)
    }

    /// Whether every service runs.
    pub async fn is_ready(&self) -> bool {
        for door in self.doors.all() {
            if !matches!(door.service.send(service::AreYouUp).await, Ok(Ok(true))) {
                return false;
            }
        }
        true
    }

    /// Services that take no work any more, and why.
    pub async fn stopped(&self) -> Vec<service::Stopped> {
        let mut stopped = Vec::new();
        for door in self.doors.all() {
            if let Ok(Err(found)) = door.service.send(service::AreYouUp).await {
                stopped.push(found);
            }
        }
        stopped
    }

    /// Waits until the archive shows everything recorded so far for a service.
    pub async fn archive_is_level(&self, service: ServiceId) -> Result<(), Unavailable> {
        let door = self.door(service)?;
        let last = door.service.send(service::LastSequence).await.map_err(|_| Unavailable::Busy)?;
        self.store.archive().wait(service, last).await.map_err(|_| Unavailable::Busy)
    }

    /// Tells every connection to come back, and finishes what is being committed.
    pub async fn stop(&self) {
        for door in self.doors.all() {
            // A service that is gone has nothing left to finish.
            door.service.send(service::Stop).await.ok();
        }
    }
}

/// Whatever a service waits for when it goes.
const ENDS_WITHIN: Duration = Duration::from_secs(3);

async fn within<T>(what: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(ENDS_WITHIN, what).await.ok()
}
