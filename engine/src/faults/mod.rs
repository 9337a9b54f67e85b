//! What has to hold when something breaks: one service on a paused clock, its actors broken at will.

mod broken;
mod clocks;
mod comings;
mod crowds;
mod paths;
mod receipts;
mod rest;
mod retention;
mod rights;
#[path = "../../tests/stores/mod.rs"]
pub(crate) mod stores;
mod suspended;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use usher_config::{Config, LoadOptions};
use usher_domain::floor::event::FloorEvent;
use usher_domain::ids::{ChannelId, EnquiryId, ServiceId, SessionId, StaffId};
use usher_domain::message::{Content, Counts};
use usher_domain::record::Event as Recorded;
use usher_domain::settings::Settings;
use usher_domain::time::Timestamp;
use usher_domain::wall::Ahead;
use usher_protocol::command::Command;
use usher_protocol::feed::Pulled;
use usher_protocol::frame::Resume;
use usher_store::{ArchiveReader, Cursor, EnquiryFilter, EnquiryRow, MessageRow, RoomEntry, Store};

use crate::handle::{Attach, ConnectionId, Engine, EngineOptions, Unavailable};
use crate::inbound::{Inbound, InboundBody, InboundMessage, Sender};
use crate::outgoing::{ProviderCall, SendOutcome};
use crate::staff::Given;

pub(crate) const VISITOR: &str = "4915112345678";

/// The actor breaks when it hears this.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Crash;

/// One actor of this kind breaks.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) enum Break {
    Directory,
    Router,
    Timer,
    Channel(ChannelId),
    Staff(StaffId),
    Enquiry(ChannelId),
}

impl Handler<Break> for crate::service::Service {
    type Result = ();

    fn handle(&mut self, which: Break, _: &mut Context<Self>) {
        let peers = self.peers().unwrap();
        match which {
            Break::Directory => peers.directory.do_send(Crash),
            Break::Router => peers.router.do_send(Crash),
            Break::Timer => peers.timer.do_send(Crash),
            Break::Channel(channel) => peers.channel(channel).unwrap().do_send(Crash),
            Break::Staff(staff) => peers.staff(staff).unwrap().do_send(Crash),
            Break::Enquiry(channel) => {
                peers.channel(channel).unwrap().do_send(crate::channel::CrashEnquiries);
            }
        }
    }
}

thread_local! {
    static BREAKS_AT_THE_START: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    static WALL: std::cell::Cell<i64> = const { std::cell::Cell::new(0) };
    static WRITTEN: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Somebody sets the wall clock: so many milliseconds ahead of what it is.
pub(crate) fn set_the_wall(ahead: i64) {
    WALL.set(ahead);
}

pub(crate) fn as_set(read: Timestamp) -> Timestamp {
    Ahead::from_millis(WALL.get()).wall(read)
}

/// The head of an enquiry that nobody serves was written for whoever asks.
pub(crate) fn a_head_was_written() {
    WRITTEN.set(WRITTEN.get() + 1);
}

/// From now on what is kept breaks whoever goes on from it, in the services on this thread.
pub(crate) fn break_at_the_start(on: bool) {
    BREAKS_AT_THE_START.set(on);
}

pub(crate) fn trip_at_the_start() {
    assert!(!BREAKS_AT_THE_START.get(), "broken at the start");
}

/// Whether this person has a connection open.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "bool")]
pub(crate) struct Open(pub(crate) StaffId);

impl Handler<Open> for crate::service::Service {
    type Result = bool;

    fn handle(&mut self, Open(staff): Open, _: &mut Context<Self>) -> bool {
        self.peers().is_some_and(|peers| peers.is_connected(staff))
    }
}

/// A channel's actor.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Option<Addr<crate::channel::Channel>>")]
pub(crate) struct ActorOf(pub(crate) ChannelId);

impl Handler<ActorOf> for crate::service::Service {
    type Result = Option<Addr<crate::channel::Channel>>;

    fn handle(&mut self, ActorOf(channel): ActorOf, _: &mut Context<Self>) -> Self::Result {
        self.peers()?.channel(channel).cloned()
    }
}

/// Breaks whoever takes a message of such an id.
pub(crate) fn trip(provider_id: &str) {
    assert!(!provider_id.starts_with("wamid.poison"), "poison");
}

pub(crate) struct Shop {
    pub(crate) engine: Engine,
    pub(crate) settings: Arc<Settings>,
    pub(crate) provider: mpsc::Receiver<ProviderCall>,
    sent: u32,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::with(stores::fresh(), 1_000).await
    }

    pub(crate) fn settings() -> Settings {
        let options = LoadOptions {
            overrides: [("services.demo".to_owned(), "true".to_owned())].into(),
            ..LoadOptions::default()
        };
        Config::load(&options).unwrap().services[0].settings.clone()
    }

    pub(crate) async fn with(store: Store, calls_max: usize) -> Self {
        Self::set(store, calls_max, Self::settings()).await
    }

    pub(crate) async fn set(store: Store, calls_max: usize, settings: Settings) -> Self {
        let settings = Arc::new(settings);
        let store = stores::owned(store, settings.service);
        let (calls, provider) = mpsc::channel(calls_max);
        let options = EngineOptions {
            services: vec![Arc::clone(&settings)],
            credits_per_service: 64,
            arbiters: 0,
            messages_per_second: 80,
            sends_at_once: 32,
        };
        let engine = Engine::start(options, store, calls).await.unwrap();
        Self { engine, settings, provider, sent: 0 }
    }

    pub(crate) fn service(&self) -> ServiceId {
        self.settings.service
    }

    pub(crate) fn channel(&self) -> ChannelId {
        self.settings.channels.values().find(|channel| channel.name == "Support").unwrap().id
    }

    pub(crate) fn staff(&self, first_name: &str) -> StaffId {
        self.settings.staff.values().find(|person| person.first_name == first_name).unwrap().id
    }

    pub(crate) fn reader(&self) -> ArchiveReader {
        self.engine.store().archive().reader().unwrap()
    }

    pub(crate) async fn write(&self, provider_id: &str, text: &str) -> Result<(), Unavailable> {
        self.deliver(vec![message(provider_id, text)]).await
    }

    pub(crate) async fn deliver(&self, updates: Vec<Inbound>) -> Result<(), Unavailable> {
        self.engine.receive(self.service(), self.channel(), updates).await
    }

    /// As a provider does: again until it is taken.
    pub(crate) async fn write_until_taken(&self, provider_id: &str, text: &str) -> u32 {
        for refused in 0..100 {
            if self.write(provider_id, text).await.is_ok() {
                return refused;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        panic!("never taken");
    }

    pub(crate) async fn does(&self, staff: &str, command: Value) -> Result<Value, String> {
        let command: Command = serde_json::from_value(command).unwrap();
        let answer = self.engine.command(self.service(), self.staff(staff), command).await;
        answer.map_err(|refusal| refusal.code.name().to_owned())
    }

    pub(crate) async fn breaks(&self, which: Break) {
        self.engine.service_of(self.service()).send(which).await.unwrap();
        // Broken and built again takes a few turns and no time.
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn until_ready(&self) {
        for _ in 0..100 {
            if self.engine.is_ready().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("never ready again");
    }

    /// Connects and keeps connected, reading everything.
    pub(crate) async fn connect(&self, first_name: &str, connection: u64) -> Screen {
        self.connect_at(first_name, connection, None).await
    }

    pub(crate) async fn connect_at(
        &self,
        first_name: &str,
        connection: u64,
        resume: Option<Resume>,
    ) -> Screen {
        let (staff, service) = (self.staff(first_name), self.service());
        let connection = ConnectionId(connection);
        let session = SessionId::from_number(connection.0.into());
        let attach = Attach { staff, connection, session, resume };
        let mut pulls = self.engine.attach(service, attach).await.unwrap();
        let (shown, frames) = mpsc::channel(10_000);
        let engine = self.engine.clone();
        actix::spawn(async move {
            let mut pong = tokio::time::interval(Duration::from_secs(20));
            loop {
                tokio::select! {
                    pulled = pulls.next() => {
                        let Ok(Given { pulled: Pulled::Frames(frames), ask }) = pulled else { break };
                        if ask {
                            engine.alive(service, staff, connection);
                        }
                        for frame in frames {
                            // The test may be over.
                            shown.send(serde_json::from_str(&frame).unwrap()).await.ok();
                        }
                    }
                    _ = pong.tick() => engine.alive(service, staff, connection),
                }
            }
        });
        Screen { frames, epoch: Value::Null, at: 0 }
    }

    /// The next message that leaves as a text; the provider takes it.
    pub(crate) async fn sends(&mut self) -> String {
        loop {
            let ProviderCall::Send(outgoing) = self.provider.recv().await.unwrap() else {
                continue;
            };
            self.sent += 1;
            let provider_id = format!("wamid.OUT{}", self.sent);
            let outcome = SendOutcome::Accepted { provider_id, wa_id: None, user_id: None };
            self.engine.outcome(outgoing.service, outgoing.channel, outgoing.message, outcome);
            let Content::Text { body } = outgoing.content else { continue };
            return body;
        }
    }

    /// What has left by now, as texts.
    pub(crate) async fn sent_by_now(&mut self) -> Vec<String> {
        let mut sent = Vec::new();
        while let Ok(text) = tokio::time::timeout(Duration::from_secs(2), self.sends()).await {
            sent.push(text);
        }
        sent
    }

    pub(crate) async fn enquiries(&self) -> Vec<EnquiryRow> {
        self.engine.archive_is_level(self.service()).await.unwrap();
        self.reader().enquiries(self.service(), &EnquiryFilter::default(), 100).unwrap()
    }

    pub(crate) fn room(&self, enquiry: EnquiryId) -> Vec<RoomEntry> {
        self.reader().room(self.service(), enquiry, Cursor::Latest, 200).unwrap()
    }

    /// What the visitor said in a room.
    pub(crate) fn heard_in(&self, enquiry: EnquiryId) -> Vec<MessageRow> {
        let inbound = |entry| match entry {
            RoomEntry::Message(row) if row.author.is_none() => Some(*row),
            RoomEntry::Message(_) | RoomEntry::Event(_) => None,
        };
        self.room(enquiry).into_iter().filter_map(inbound).collect()
    }

    pub(crate) fn offers_in(&self, enquiry: EnquiryId) -> usize {
        let offered = |entry: &RoomEntry| {
            matches!(entry, RoomEntry::Event(row)
                if matches!(row.event, Recorded::Floor(FloorEvent::Offered { .. })))
        };
        self.room(enquiry).iter().filter(|entry| offered(entry)).count()
    }

    /// When the floor closed it, in the room's order.
    pub(crate) fn closed_at(&self, enquiry: EnquiryId) -> Option<u64> {
        self.room(enquiry).into_iter().find_map(|entry| match entry {
            RoomEntry::Event(row)
                if matches!(row.event, Recorded::Floor(FloorEvent::Closed { .. })) =>
            {
                Some(row.seq)
            }
            RoomEntry::Event(_) | RoomEntry::Message(_) => None,
        })
    }
}

pub(crate) fn message(provider_id: &str, text: &str) -> Inbound {
    from(VISITOR, provider_id, text)
}

pub(crate) fn from(wa_id: &str, provider_id: &str, text: &str) -> Inbound {
    let message = InboundMessage {
        sender: Sender {
            wa_id: Some(wa_id.into()),
            name: Some("Vera".into()),
            ..Sender::default()
        },
        provider_id: provider_id.into(),
        provider_at: None,
        counts: Counts::Message,
        content: Content::Text { body: text.into() },
        reply_to: None,
        referral: None,
        forwarded: false,
    };
    let raw = Some(format!("{{\"id\":\"{provider_id}\"}}").into());
    Inbound { body: InboundBody::Message(Box::new(message)), raw }
}

/// One connection, and what it was sent.
pub(crate) struct Screen {
    frames: mpsc::Receiver<Value>,
    epoch: Value,
    /// The number of the newest event.
    at: u64,
}

impl Screen {
    pub(crate) async fn frame(&mut self) -> Value {
        let next = tokio::time::timeout(Duration::from_hours(1), self.frames.recv());
        let frame = next.await.expect("nothing came").expect("the connection was let go");
        if let Some(epoch) = frame["welcome"].get("epoch") {
            self.epoch = epoch.clone();
        }
        self.at = frame["at"].as_u64().unwrap_or(self.at);
        frame
    }

    /// Where in the feed it is, once nothing more comes.
    pub(crate) async fn position(&mut self) -> (Value, u64) {
        while let Ok(frame) = tokio::time::timeout(Duration::from_secs(2), self.frame()).await {
            drop(frame);
        }
        (self.epoch.clone(), self.at)
    }

    pub(crate) async fn event(&mut self, name: &str) -> Value {
        loop {
            let mut frame = self.frame().await;
            if frame["event"] == name {
                return frame["data"].take();
            }
        }
    }

    /// The names of the events told by now.
    pub(crate) async fn told_by_now(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        while let Ok(Some(frame)) =
            tokio::time::timeout(Duration::from_secs(2), self.frames.recv()).await
        {
            told.extend(frame["event"].as_str().map(str::to_owned));
        }
        told
    }

    /// The enquiry's head in the snapshot.
    pub(crate) async fn head(&mut self, enquiry: EnquiryId) -> Value {
        let wanted = json!(enquiry);
        loop {
            let frame = self.frame().await;
            let heads = frame["snapshot"]["heads"].as_array().cloned().unwrap_or_default();
            if let Some(head) = heads.into_iter().find(|head| head["id"] == wanted) {
                return head;
            }
        }
    }
}

pub(crate) fn enquiry_of(data: &Value) -> EnquiryId {
    serde_json::from_value(data["enquiry"]["id"].clone()).unwrap()
}
