//! Every deadline of a service, behind one armed timer; what is due is told in bounded slices.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use usher_domain::ids::{ChannelId, EnquiryId, StaffId};
use usher_domain::time::Timestamp;

use crate::peers::{Due, Guard, Peers};
use crate::router::GiveBack;

/// Most deadlines told in one turn, so that a storm of them leaves room for webhooks between.
const SLICE: usize = 1_000;

/// With no credit left, until it is tried again.
const FULL: Duration = Duration::from_millis(10);

/// Who waits for a deadline.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Waiter {
    Router,
    Channel(ChannelId),
    Enquiry(ChannelId, EnquiryId),
    Staff(StaffId),
}

/// The next deadline of `waiter`, in place of the one before; `None` = none.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Arm {
    pub(crate) waiter: Waiter,
    pub(crate) at: Option<Timestamp>,
}

/// One waiter's own word on when it is woken, so that the timer hears of few of its deadlines.
///
/// Most deadlines are put off by the next message, again and again: the timer then still rings for
/// the first of them, and whoever it wakes too early sets the alarm anew.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    /// When the timer rings, as far as it was told.
    rings_at: Cell<Option<Timestamp>>,
}

impl Alarm {
    pub(crate) fn set(&self, peers: &Peers, waiter: Waiter, at: Option<Timestamp>) {
        let early_enough = match (self.rings_at.get(), at) {
            (Some(rings), Some(at)) => rings <= at,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !early_enough {
            self.rings_at.set(at);
            peers.arm(waiter, at);
        }
    }

    /// It has rung: nothing is armed until it is set again.
    pub(crate) fn rang(&self) {
        self.rings_at.set(None);
    }
}

#[derive(Debug)]
pub(crate) struct Timer {
    peers: Peers,
    _guard: Guard,
    order: BTreeSet<(Timestamp, Waiter)>,
    armed: BTreeMap<Waiter, Timestamp>,
    /// The one timer of the runtime, and for when.
    running: Option<(Timestamp, SpawnHandle)>,
}

impl Timer {
    pub(crate) fn new(peers: Peers) -> Self {
        let guard = peers.guard("timer");
        Self { peers, _guard: guard, order: BTreeSet::new(), armed: BTreeMap::new(), running: None }
    }

    fn set(&mut self, waiter: Waiter, at: Option<Timestamp>) {
        if let Some(old) = self.armed.remove(&waiter) {
            self.order.remove(&(old, waiter));
        }
        if let Some(at) = at {
            self.armed.insert(waiter, at);
            self.order.insert((at, waiter));
        }
    }

    fn rearm(&mut self, ctx: &mut Context<Self>) {
        let first = self.order.first().map(|&(at, _)| at);
        // What runs earlier looks again when it comes; a slice that waits for a credit is such.
        if self.running.as_ref().is_some_and(|(at, _)| first.is_none_or(|first| *at <= first)) {
            return;
        }
        if let Some((_, handle)) = self.running.take() {
            ctx.cancel_future(handle);
        }
        if let Some(at) = first {
            let handle = ctx.run_later(self.peers.clock.until(at), Self::tell_due);
            self.running = Some((at, handle));
        }
    }

    fn tell_due(&mut self, ctx: &mut Context<Self>) {
        let now = self.peers.clock.now();
        let Ok(credit) = Arc::clone(&self.peers.credits).try_acquire_owned() else {
            // Later is no harm, and lateness is counted.
            metrics::counter!(crate::metrics::MAILBOX_FULL, "actor" => "timer").increment(1);
            self.running = Some((now, ctx.run_later(FULL, Self::tell_due)));
            return;
        };
        self.running = None;
        for _ in 0..SLICE {
            let Some(&(at, waiter)) = self.order.first() else { break };
            if now < at {
                break;
            }
            self.set(waiter, None);
            let lateness = now.since(at);
            metrics::histogram!(crate::metrics::TIMER_LATENESS, "kind" => waiter.kind())
                .record(lateness.as_secs_f64());
            self.tell(waiter);
        }
        // It comes back once what the slice has led to is durable.
        self.peers.router.do_send(GiveBack(credit));
        self.rearm(ctx);
    }

    fn tell(&self, waiter: Waiter) {
        match waiter {
            Waiter::Router => self.peers.router.do_send(Due),
            Waiter::Channel(channel) => {
                if let Some(channel) = self.peers.channel(channel) {
                    channel.do_send(Due);
                }
            }
            Waiter::Enquiry(channel, enquiry) => {
                if let Some(channel) = self.peers.channel(channel) {
                    channel.do_send(crate::channel::ToEnquiry {
                        enquiry,
                        what: crate::enquiry::Told::Due,
                    });
                }
            }
            Waiter::Staff(staff) => {
                if let Some(staff) = self.peers.staff(staff) {
                    staff.do_send(Due);
                }
            }
        }
    }
}

impl Waiter {
    const fn kind(self) -> &'static str {
        match self {
            Self::Router => "router",
            Self::Channel(_) => "outbox",
            Self::Enquiry(..) => "enquiry",
            Self::Staff(_) => "staff",
        }
    }
}

impl Actor for Timer {
    type Context = Context<Self>;
}

impl Handler<Arm> for Timer {
    type Result = ();

    fn handle(&mut self, Arm { waiter, at }: Arm, ctx: &mut Context<Self>) {
        self.set(waiter, at);
        self.rearm(ctx);
    }
}
