//! Staff who go on working whatever happens: they pick up, answer, note and close, and come back.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep, timeout_at};
use usher_domain::ids::{EnquiryId, MessageId};
use usher_protocol::command::{Command, Key, Outgoing};
use usher_protocol::event::{Event, Relation};

use crate::agent::Agent;
use crate::house::House;

/// One command of each person's own accord; with ten people some 70 a second.
const EVERY: Duration = Duration::from_millis(140);

/// Visitors somebody has to hold to answer them.
const HELD_MIN: usize = 8;

/// What one or all of them know to have been done.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// Texts whose `send` was answered with ok.
    pub(crate) acknowledged: BTreeSet<String>,
    /// Texts whose `send` was refused.
    pub(crate) refused: BTreeMap<String, &'static str>,
    /// Messages that were shown to somebody.
    pub(crate) seen: BTreeSet<MessageId>,
    /// Commands without an answer at the end.
    pub(crate) unanswered: usize,
}

pub(crate) struct Staff {
    people: Vec<JoinHandle<Said>>,
    commands: Arc<AtomicU64>,
}

impl Staff {
    pub(crate) async fn start(house: &House, people: usize, stop: &watch::Receiver<bool>) -> Self {
        let commands = Arc::new(AtomicU64::new(0));
        let mut tasks = Vec::new();
        for number in 0..people {
            let agent = Agent::arrives(house, &format!("agent{number}")).await;
            let person = Person {
                agent,
                number,
                held: BTreeSet::new(),
                last: None,
                looked: 0,
                texts: BTreeMap::new(),
                said: Said::default(),
                turn: 0,
                commands: Arc::clone(&commands),
            };
            tasks.push(tokio::spawn(person.work(stop.clone())));
        }
        Self { people: tasks, commands }
    }

    /// Commands that were answered.
    pub(crate) fn commands(&self) -> u64 {
        self.commands.load(Ordering::Relaxed)
    }

    pub(crate) async fn finish(self) -> Said {
        let mut all = Said::default();
        for person in self.people {
            let said = person.await.unwrap();
            all.acknowledged.extend(said.acknowledged);
            all.refused.extend(said.refused);
            all.seen.extend(said.seen);
            all.unanswered += said.unanswered;
        }
        all
    }
}

struct Person {
    agent: Agent,
    number: usize,
    held: BTreeSet<EnquiryId>,
    /// The one dealt with last.
    last: Option<EnquiryId>,
    /// Events looked at.
    looked: usize,
    /// Texts under way, by the number of their command.
    texts: BTreeMap<u64, String>,
    said: Said,
    turn: u64,
    commands: Arc<AtomicU64>,
}

impl Person {
    async fn work(mut self, stop: watch::Receiver<bool>) -> Said {
        self.look_at_heads().await;
        let mut turns = interval(EVERY);
        while !*stop.borrow() {
            let turn = turns.tick().await;
            self.act().await;
            self.hear_until(turn + EVERY).await;
        }
        // What is under way is waited for.
        let last = Instant::now() + Duration::from_secs(20);
        while self.agent.feed.pending() > 0 && Instant::now() < last {
            self.hear_until((Instant::now() + EVERY).min(last)).await;
        }
        self.said.unanswered = self.agent.feed.pending();
        self.said
    }

    async fn hear_until(&mut self, end: Instant) {
        while let Ok(heard) = timeout_at(end, self.agent.hear()).await {
            if heard.is_err() && !self.come_back(end).await {
                return;
            }
            self.look().await;
        }
    }

    /// Whether the connection is there again.
    async fn come_back(&mut self, end: Instant) -> bool {
        if self.agent.comes_back().await.is_err() {
            sleep(Duration::from_millis(50).min(end - Instant::now().min(end))).await;
            return false;
        }
        if !self.agent.welcome.as_ref().is_some_and(|welcome| welcome.recovered) {
            self.look_at_heads().await;
        }
        true
    }

    async fn look_at_heads(&mut self) {
        let heads = std::mem::take(&mut self.agent.heads);
        let is_held = |relation| relation == Relation::Owner;
        self.held =
            heads.iter().filter(|head| is_held(head.relation)).map(|head| head.id).collect();
        for head in heads.iter().filter(|head| head.offer.is_some()) {
            self.ask(Command::PickUp { enquiry: head.id }).await;
        }
    }

    async fn look(&mut self) {
        for (id, outcome) in self.agent.take_answers() {
            self.commands.fetch_add(1, Ordering::Relaxed);
            let Some(text) = self.texts.remove(&id) else { continue };
            match outcome {
                Ok(_) => drop(self.said.acknowledged.insert(text)),
                Err(refusal) => drop(self.said.refused.insert(text, refusal.code.name())),
            }
        }
        let me = self.agent.welcome.as_ref().map(|welcome| welcome.staff.id);
        let mut offered = Vec::new();
        for (_, event) in self.agent.events.get(self.looked..).unwrap_or_default() {
            match event {
                Event::Offered { enquiry, .. } => offered.push(enquiry.id),
                Event::PickedUp { enquiry, by, .. } if Some(by.id) == me => {
                    self.held.insert(enquiry.id);
                }
                Event::PickedUp { enquiry, .. } => drop(self.held.remove(&enquiry.id)),
                Event::Closed { enquiry, .. } => drop(self.held.remove(enquiry)),
                Event::Received { message } | Event::Sent { message } => {
                    self.said.seen.insert(message.id);
                }
                _ => {}
            }
        }
        self.looked = self.agent.events.len();
        for enquiry in offered {
            self.ask(Command::PickUp { enquiry }).await;
        }
    }

    /// One command of one's own accord.
    async fn act(&mut self) {
        self.turn += 1;
        let after = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.held.range((after, Bound::Unbounded)).next().or(self.held.first());
        let Some(enquiry) = next.copied() else { return };
        self.last = Some(enquiry);
        // Who holds few would run into the limit of messages to one phone.
        let turn = if self.held.len() < HELD_MIN { 3 } else { self.turn % 20 };
        match turn {
            0 => {
                self.held.remove(&enquiry);
                let reason = Some("done".to_owned());
                self.ask(Command::Close { enquiry, silent: self.turn.is_multiple_of(40), reason })
                    .await;
            }
            3 | 9 | 15 => {
                let text = format!("note {}-{}", self.number, self.turn);
                self.ask(Command::Note { enquiry, text }).await;
            }
            _ => {
                let body = format!("reply {}-{}", self.number, self.turn);
                let key = Key::try_from(format!("k{}-{}", self.number, self.turn)).unwrap();
                let content = Outgoing::Text { body: body.clone() };
                let send = Command::Send { enquiry, key, content, reply_to: None };
                if let Some(id) = self.ask(send).await {
                    self.texts.insert(id, body);
                }
            }
        }
    }

    /// Nobody can ask for anything but keyed sends while away.
    async fn ask(&mut self, command: Command) -> Option<u64> {
        self.agent.try_asks(command).await
    }
}
