//! Every deadline of a service, behind one armed timer; what is due is told in bounded slices.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::OwnedSemaphorePermit;
use usher_domain::ids::{ChannelId, EnquiryId, ServiceId, StaffId};
use usher_domain::time::Timestamp;

use crate::channel::DueIn;
use crate::gauges::Part;
use crate::ledger::Release;
use crate::peers::{Due, Guard, Peers};

/// Most deadlines told at once. The next ones are told when these have been worked off, so that of
/// a storm of them a visitor waits for no more than this.
const SLICE: usize = 50;

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

/// The deadlines of everybody, in their order; all who have one set it themselves.
#[derive(Debug)]
pub(crate) struct Deadlines {
    order: RefCell<BTreeSet<(Timestamp, Waiter)>>,
    /// How many there are, for who looks from outside.
    armed: Part,
    /// When the timer looks next by itself.
    looks_at: Cell<Option<Timestamp>>,
}

impl Deadlines {
    pub(crate) fn of(service: ServiceId) -> Self {
        let armed = metrics::gauge!(crate::metrics::TIMER_ARMED, "service" => service.to_string());
        let armed = Part::of(armed);
        Self { order: RefCell::default(), armed, looks_at: Cell::default() }
    }

    #[expect(clippy::cast_precision_loss, reason = "a metric")]
    fn count(&self, order: &BTreeSet<(Timestamp, Waiter)>) {
        self.armed.set(order.len() as f64);
    }

    /// `true`: the timer does not know yet that it has to look so early.
    fn set(&self, waiter: Waiter, before: Option<Timestamp>, at: Option<Timestamp>) -> bool {
        let mut order = self.order.borrow_mut();
        if let Some(before) = before {
            order.remove(&(before, waiter));
        }
        if let Some(at) = at {
            order.insert((at, waiter));
        }
        self.count(&order);
        let Some(at) = at else { return false };
        self.looks_at.get().is_none_or(|looks_at| at < looks_at)
    }

    fn first(&self) -> Option<Timestamp> {
        self.order.borrow().first().map(|&(at, _)| at)
    }

    /// Takes the next one out, if it is due.
    fn take_due(&self, now: Timestamp) -> Option<(Timestamp, Waiter)> {
        let mut order = self.order.borrow_mut();
        if order.first().is_none_or(|&(at, _)| at > now) {
            return None;
        }
        let due = order.pop_first();
        self.count(&order);
        due
    }
}

/// One waiter's own word on when it is woken, so that few of its deadlines are set anew.
///
/// Most deadlines are put off by the next message, again and again: the timer then still rings for
/// the first of them, and whoever it wakes too early sets the alarm anew.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    /// When the timer rings.
    rings_at: Cell<Option<Timestamp>>,
}

impl Alarm {
    pub(crate) fn set(&self, peers: &Peers, waiter: Waiter, at: Option<Timestamp>) {
        let rings_at = self.rings_at.get();
        let early_enough = match (rings_at, at) {
            (Some(rings), Some(at)) => rings <= at,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if early_enough {
            return;
        }
        self.rings_at.set(at);
        if peers.deadlines.set(waiter, rings_at, at) {
            // Until it has looked, those who set earlier ones need not tell it too.
            peers.deadlines.looks_at.set(at);
            peers.timer.do_send(Look);
        }
    }

    /// It has rung: nothing is set until it is set again.
    pub(crate) fn rang(&self) {
        self.rings_at.set(None);
    }
}

/// A deadline comes earlier than the timer looks.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Look;

/// Deadlines told together: worked off when the last who was told lets go.
#[derive(Debug)]
pub(crate) struct Slice {
    timer: Addr<Timer>,
    credit: Option<OwnedSemaphorePermit>,
}

impl Drop for Slice {
    fn drop(&mut self) {
        if let Some(credit) = self.credit.take() {
            self.timer.do_send(WorkedOff(credit));
        }
    }
}

#[derive(Debug, Message)]
#[rtype(result = "()")]
struct WorkedOff(OwnedSemaphorePermit);

#[derive(Debug)]
pub(crate) struct Timer {
    peers: Peers,
    _guard: Guard,
    /// The one timer of the runtime.
    running: Option<SpawnHandle>,
    /// What was told is not worked off yet.
    telling: bool,
}

impl Timer {
    pub(crate) fn new(peers: Peers) -> Self {
        let guard = peers.guard("timer");
        Self { peers, _guard: guard, running: None, telling: false }
    }

    /// Tells what is due, or waits until something is.
    fn look(&mut self, ctx: &mut Context<Self>) {
        if self.telling {
            return;
        }
        let first = self.peers.deadlines.first();
        let Some(first) = first else { return self.wait(None, ctx) };
        let left = self.peers.clock.until(first);
        if left > Duration::ZERO {
            return self.wait(Some((first, left)), ctx);
        }
        let Ok(credit) = Arc::clone(&self.peers.credits).try_acquire_owned() else {
            // Later is no harm, and lateness is counted.
            metrics::counter!(crate::metrics::MAILBOX_FULL, "actor" => "timer").increment(1);
            return self.wait(Some((Timestamp::default(), FULL)), ctx);
        };
        self.tell_due(credit, ctx);
    }

    fn wait(&mut self, next: Option<(Timestamp, Duration)>, ctx: &mut Context<Self>) {
        if let Some(handle) = self.running.take() {
            ctx.cancel_future(handle);
        }
        self.peers.deadlines.looks_at.set(next.map(|(at, _)| at));
        self.running = next.map(|(_, left)| {
            ctx.run_later(left, |timer, ctx| {
                timer.running = None;
                timer.look(ctx);
            })
        });
    }

    fn tell_due(&mut self, credit: OwnedSemaphorePermit, ctx: &mut Context<Self>) {
        self.telling = true;
        // Until these are worked off nothing earlier is told, and then it looks anyway.
        self.peers.deadlines.looks_at.set(Some(Timestamp::default()));
        let now = self.peers.clock.now();
        let mut enquiries: BTreeMap<ChannelId, Vec<EnquiryId>> = BTreeMap::new();
        for _ in 0..SLICE {
            let Some((at, waiter)) = self.peers.deadlines.take_due(now) else { break };
            let lateness = now.since(at).as_secs_f64();
            metrics::histogram!(crate::metrics::TIMER_LATENESS, "kind" => waiter.kind())
                .record(lateness);
            match waiter {
                Waiter::Router => self.peers.router.do_send(Due),
                Waiter::Channel(channel) => {
                    if let Some(channel) = self.peers.channel(channel) {
                        channel.do_send(Due);
                    }
                }
                Waiter::Enquiry(channel, enquiry) => {
                    enquiries.entry(channel).or_default().push(enquiry);
                }
                Waiter::Staff(staff) => {
                    if let Some(staff) = self.peers.staff(staff) {
                        staff.do_send(Due);
                    }
                }
            }
        }
        let slice = Arc::new(Slice { timer: ctx.address(), credit: Some(credit) });
        for (channel, enquiries) in enquiries {
            if let Some(channel) = self.peers.channel(channel) {
                channel.do_send(DueIn { enquiries, slice: Arc::clone(&slice) });
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

impl Handler<Look> for Timer {
    type Result = ();

    fn handle(&mut self, _: Look, ctx: &mut Context<Self>) {
        self.look(ctx);
    }
}

impl Handler<WorkedOff> for Timer {
    type Result = ();

    fn handle(&mut self, WorkedOff(credit): WorkedOff, ctx: &mut Context<Self>) {
        // It comes back once what the slice has led to is durable.
        self.peers.ledger.release(Release::Credit(credit));
        self.telling = false;
        // While the archive is behind, what Usher does by itself waits as visitors do.
        match self.peers.archive.slow_down() {
            Some(rest) => self.wait(Some((Timestamp::default(), rest)), ctx),
            None => self.look(ctx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn the_timer_hears_only_of_what_comes_before_it_looks() {
        let deadlines = Deadlines::of(ServiceId::from_number(1));
        let enquiry = |n| Waiter::Enquiry(ChannelId::from_number(1), EnquiryId::from_number(n));
        assert!(deadlines.set(enquiry(1), None, Some(at(50))), "it did not look at all");
        deadlines.looks_at.set(Some(at(50)));
        assert!(!deadlines.set(enquiry(2), None, Some(at(60))));
        assert!(deadlines.set(enquiry(2), Some(at(60)), Some(at(40))));
        assert!(!deadlines.set(enquiry(1), Some(at(50)), None));
        assert_eq!(deadlines.first(), Some(at(40)));
        assert_eq!(deadlines.take_due(at(39)), None);
        assert_eq!(deadlines.take_due(at(40)), Some((at(40), enquiry(2))));
        assert_eq!(deadlines.first(), None);
    }
}
