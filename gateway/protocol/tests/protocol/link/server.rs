//! The application behind the server's half: what is durable, and what a restart loses.

use std::collections::BTreeMap;

use usher_domain::ids::MessageId;
use usher_protocol::command::{Command, Key};
use usher_protocol::event::{Event, Head, Level};
use usher_protocol::feed::{FeedServer, Keys, Limits, Outlet, Overrun, Recovery};
use usher_protocol::frame::{ClientFrame, Epoch, Hello, parse_client, reply_ok, snapshot};

use super::app::Digest;
use crate::random::Random;
use crate::samples;

/// Small enough for a ring to run over often.
const LIMITS: Limits = Limits { events: 12, bytes: 900 };

#[derive(Debug)]
pub(super) struct Server {
    // Durable.
    epochs: u64,
    pushed: u64,
    digest: Digest,
    /// What a client must know at each epoch and number.
    pub(super) truth: BTreeMap<(Epoch, u64), Digest>,
    keys: Keys,
    /// How often each keyed sending was executed.
    pub(super) executed: BTreeMap<Key, u32>,
    pub(super) repeats: u32,

    // Lost with a restart.
    pub(super) feed: FeedServer,
    pub(super) waiting: u32,
    pub(super) outlet: Option<Outlet>,
}

impl Server {
    pub(super) fn new() -> Self {
        let mut server = Self {
            epochs: 0,
            pushed: 0,
            digest: Digest::default(),
            truth: BTreeMap::new(),
            keys: Keys::default(),
            executed: BTreeMap::new(),
            repeats: 0,
            feed: FeedServer::new(Epoch::from(0)),
            waiting: 0,
            outlet: None,
        };
        server.restart();
        server
    }

    pub(super) fn restart(&mut self) {
        self.epochs += 1;
        self.feed = FeedServer::with_limits(Epoch::from(self.epochs), LIMITS);
        self.outlet = None;
        self.note();
    }

    fn note(&mut self) {
        let place = (self.feed.epoch().clone(), self.feed.offset());
        self.truth.insert(place, self.digest);
    }

    pub(super) fn publish(&mut self) {
        self.pushed += 1;
        self.digest = self.digest.and(self.pushed);
        let text = self.pushed.to_string();
        self.feed.push(Event::Notice { level: Level::Info, text, enquiry: None }.tail());
        self.note();
    }

    pub(super) fn state(&mut self, waiting: u32) -> Result<(), Overrun> {
        self.waiting = waiting;
        match &mut self.outlet {
            Some(outlet) => outlet.state(&samples::counters(waiting)),
            None => Ok(()),
        }
    }

    /// Takes one frame of the client; says how a greeting went.
    pub(super) fn take(
        &mut self,
        text: &str,
        random: &mut Random,
    ) -> Result<Option<Recovery>, Overrun> {
        match parse_client(text).expect("clients write what servers read") {
            ClientFrame::Hello(hello) => Ok(Some(self.greet(&hello, random))),
            ClientFrame::Command { id, command } => {
                self.execute(&command);
                match &mut self.outlet {
                    Some(outlet) => outlet
                        .answer(reply_ok(id, &BTreeMap::<&str, u8>::new()).unwrap())
                        .map(|()| None),
                    None => panic!("a command before the greeting"),
                }
            }
        }
    }

    fn greet(&mut self, hello: &Hello, random: &mut Random) -> Recovery {
        let recovery = self.feed.resume(hello.resume.as_ref());
        let digest = self.digest.written();
        let count = 1 + random.below(6);
        let heads = (0..count).map(|_| Head {
            first_message: Some(digest.clone()),
            order: count,
            ..samples::head()
        });
        let part_bytes = 300 + random.index(900);
        let mut outlet = Outlet::open(&self.feed, recovery, samples::welcome(), |at| {
            snapshot(heads.map(|head| head.text()), at, part_bytes)
        });
        outlet.state(&samples::counters(self.waiting)).expect("one statement fits");
        self.outlet = Some(outlet);
        recovery
    }

    /// A sending makes an event; its repeat makes none.
    fn execute(&mut self, command: &Command) {
        let Some(key) = command.key().cloned() else { return };
        if self.keys.done(&key).is_some() {
            self.repeats += 1;
            return;
        }
        self.publish();
        self.keys.remember(key.clone(), MessageId::from_number(self.pushed.into()));
        *self.executed.entry(key).or_default() += 1;
    }
}
