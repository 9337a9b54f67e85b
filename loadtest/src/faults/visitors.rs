//! The provider: so many webhooks a second, whatever becomes of those before; what was not answered
//! 200 comes again, by way of another node.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::RngExt as _;

use super::balancer::Balancer;
use super::book::Fact;
use crate::drive::wire::{self, Status};
use crate::house::Sent;
use crate::measure::Latencies;
use crate::measure::Schedule;

/// Of a hundred webhooks.
const OPENINGS: u32 = 4;
const RECEIPTS: u32 = 30;
/// Webhooks under way at once; beyond that those that are due wait.
const UNDER_WAY: usize = 20_000;
/// Receipts that wait for their turn.
const STOCK: usize = 50_000;
/// First pause before a webhook comes again; it doubles up to the longest.
const AGAIN_AFTER: Duration = Duration::from_millis(300);
const AGAIN_AT_MOST: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Every so many messages ask for an answer.
pub(super) const ASKS: u64 = 20;
/// What such a message says.
pub(super) const QUESTION: &str = "Will you answer me?";

/// All visitors, and the provider who speaks for them.
pub(super) struct Visitors {
    channels: usize,
    known: Cell<u64>,
    ids: Cell<u64>,
    stock: RefCell<VecDeque<(Sent, Status)>>,
    under_way: Cell<usize>,
    balancer: Rc<Balancer>,
    facts: Sender<(Instant, Fact)>,
    /// Who wrote first when.
    opened: RefCell<Vec<(u64, Instant)>>,
    running: Cell<bool>,
    /// From when a webhook is sent first to its 200.
    latencies: RefCell<Latencies>,
}

/// One webhook, and what its 200 promises.
struct Webhook {
    request: Bytes,
    fact: Fact,
}

impl Visitors {
    pub(super) fn new(
        channels: usize,
        balancer: Rc<Balancer>,
        facts: Sender<(Instant, Fact)>,
    ) -> Rc<Self> {
        Rc::new(Self {
            channels,
            known: Cell::new(0),
            ids: Cell::new(0),
            stock: RefCell::default(),
            under_way: Cell::new(0),
            balancer,
            facts,
            opened: RefCell::default(),
            running: Cell::new(false),
            latencies: RefCell::default(),
        })
    }

    /// Writes until [`stop`](Self::stop).
    pub(super) fn start(self: &Rc<Self>, per_second: u32) {
        self.running.set(true);
        tokio::task::spawn_local(Rc::clone(self).run(Schedule::per_second(per_second.into())));
    }

    pub(super) fn stop(&self) {
        self.running.set(false);
    }

    /// Of what was answered since this was last asked.
    pub(super) fn take_latencies(&self) -> Latencies {
        self.latencies.take()
    }

    /// Webhooks that have no 200 yet.
    pub(super) fn under_way(&self) -> usize {
        self.under_way.get()
    }

    /// Who has written for the first time since this was last asked.
    pub(super) fn opened(&self) -> Vec<(u64, Instant)> {
        self.opened.take()
    }

    /// A message of ours was accepted: receipts will come for it.
    pub(super) fn accepted(&self, sent: Sent) {
        let mut stock = self.stock.borrow_mut();
        if stock.len() < STOCK {
            stock.push_back((sent, Status::Sent));
        }
    }

    async fn run(self: Rc<Self>, schedule: Schedule) {
        let (began, mut done) = (Instant::now(), 0);
        while self.running.get() {
            let due = schedule.due_by(began.elapsed());
            while done < due && self.under_way.get() < UNDER_WAY {
                done += 1;
                self.under_way.set(self.under_way.get() + 1);
                tokio::task::spawn_local(Rc::clone(&self).deliver(self.next()));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn deliver(self: Rc<Self>, webhook: Webhook) {
        let (mut pause, began) = (AGAIN_AFTER, Instant::now());
        loop {
            // Where no node is ready, a balancer answers in their place.
            let door = self.balancer.pick();
            let status = match &door {
                Some(door) => door.post(&webhook.request).await,
                None => None,
            };
            if status == Some(200) {
                break;
            }
            tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
            pause = (pause * 2).min(AGAIN_AT_MOST);
        }
        self.latencies.borrow_mut().add(began.elapsed());
        self.under_way.set(self.under_way.get() - 1);
        // Whoever does not listen any more has all it wanted.
        self.facts.send((Instant::now(), webhook.fact)).ok();
    }

    fn next(&self) -> Webhook {
        let mut chance = rand::rng();
        let draw = chance.random_range(0..100);
        if draw < RECEIPTS
            && let Some(webhook) = self.receipt()
        {
            return webhook;
        }
        let known = self.known.get();
        if draw >= 100 - OPENINGS || known == 0 {
            self.known.set(known + 1);
            self.opened.borrow_mut().push((known, Instant::now()));
            return self.message(known, "Hello, is anybody there?");
        }
        let visitor = chance.random_range(0..known);
        let asks = self.ids.get().is_multiple_of(ASKS);
        self.message(visitor, if asks { QUESTION } else { "Where is my parcel? It is late." })
    }

    fn message(&self, visitor: u64, text: &str) -> Webhook {
        let id = self.ids.get();
        self.ids.set(id + 1);
        let channel = usize::try_from(visitor).unwrap_or_default() % self.channels;
        let request = wire::request(channel, &[wire::text(channel, visitor, id, text)]);
        Webhook { request, fact: Fact::Acknowledged { id } }
    }

    fn receipt(&self) -> Option<Webhook> {
        let mut stock = self.stock.borrow_mut();
        let (sent, status) = stock.pop_front()?;
        let Sent { channel, wa_id, wamid, callback_data, .. } = &sent;
        let change = wire::receipt(*channel, wa_id, wamid, callback_data.as_deref(), status);
        let request = wire::request(*channel, &[change]);
        if let Some(next) = status.next() {
            stock.push_back((sent, next));
        }
        Some(Webhook { request, fact: Fact::Answered })
    }
}
