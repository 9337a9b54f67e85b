//! One channel: which visitor has which live enquiry here, and what waits to leave by its number.

mod hear;
mod leaving;
mod lives;
mod receipts;
mod resume;
mod send;

pub(crate) use hear::received;
pub(crate) use leaving::HoldBack;
pub(crate) use lives::{Live, Rested, Restored};
pub(crate) use resume::OpenFor;

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::prelude::*;
use bytestring::ByteString;
use usher_domain::floor::event::Closer;
use usher_domain::ids::{ChannelId, EnquiryId, MessageId, VisitorId};
use usher_domain::outbox::{self, Outbox};
use usher_domain::time::Timestamp;
use usher_domain::unmatched::Unmatched;
use usher_domain::visitor::{Visitor, survivor};
use usher_store::HeldReceipt;

use crate::directory::Pin;
use crate::enquiry::Told;
use crate::gauges::{Own, Part};
use crate::inbound::{Inbound, InboundReceipt};
use crate::ledger::Ack;
use crate::metrics as names;
use crate::outgoing::{Outgoing, SendOutcome};
use crate::peers::{Due, Guard, Peers, Stepped};
use crate::router::Decide;
use crate::timer::{Alarm, Slice, Waiter};

use leaving::Calls;
use lives::{Lives, LookForSilent};
use receipts::Delivered;
use resume::Waiting;

/// An update from a visitor, seen for the first time.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Heard {
    pub(crate) visitor: Arc<Visitor>,
    pub(crate) update: Inbound,
    pub(crate) ack: Arc<Ack>,
}

#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct ReceiptCame {
    pub(crate) receipt: InboundReceipt,
    pub(crate) raw: Option<ByteString>,
    pub(crate) ack: Arc<Ack>,
}

/// `gone` was the same person as `kept`.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Merged {
    pub(crate) kept: VisitorId,
    pub(crate) gone: VisitorId,
}

/// This visitor's number changed: windows do not move with it.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct WindowsLapsed {
    pub(crate) visitor: VisitorId,
}

/// For one of the channel's live enquiries.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct ToEnquiry {
    pub(crate) enquiry: EnquiryId,
    pub(crate) what: Told,
}

/// Deadlines of these enquiries have come.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct DueIn {
    pub(crate) enquiries: Vec<EnquiryId>,
    pub(crate) slice: Arc<Slice>,
}

/// A message that was journaled as queued is to leave.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct ToSend {
    pub(crate) outgoing: Box<Outgoing>,
    pub(crate) visitor: VisitorId,
    pub(crate) class: outbox::Priority,
    pub(crate) withdraw_at: Option<Timestamp>,
    /// After a restart: it was being sent when Usher went down.
    pub(crate) in_doubt: bool,
}

/// A message's reason has gone.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Withdraw(pub(crate) MessageId);

#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct OutcomeCame {
    pub(crate) message: MessageId,
    pub(crate) outcome: SendOutcome,
}

/// What stopped the channel has been mended.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Resume;

/// An enquiry has closed and its actor ends.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Ended(pub(crate) EnquiryId);

/// The visitor is blocked from now on: live enquiries close silently.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Blocked(pub(crate) VisitorId);

/// Whether this visitor has a live enquiry here.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "bool")]
pub(crate) struct HasLive(pub(crate) VisitorId);

/// The service is rebuilt.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct EndAll;

#[derive(Debug)]
pub(crate) struct Channel {
    peers: Peers,
    _guard: Guard,
    id: ChannelId,
    lives: Lives,
    outbox: Outbox,
    /// What the outbox holds, by message.
    unsent: BTreeMap<MessageId, Leaving>,
    /// Requests to the provider.
    calls: Calls,
    gauges: Gauges,
    delivered: Delivered,
    /// Wrote while the channel opened nothing; their turn comes.
    waiting: Waiting,
    /// Receipts that wait for their messages.
    unmatched: Unmatched,
    alarm: Alarm,
}

/// What the outbox holds, for whom.
#[derive(Debug)]
struct Leaving {
    outgoing: Box<Outgoing>,
    visitor: VisitorId,
    class: outbox::Priority,
}

/// Found once: every message sets them.
struct Gauges {
    up: Own,
    last_inbound: Own,
    pending: Part,
}

impl Gauges {
    fn of(channel: ChannelId) -> Self {
        let channel = channel.to_string();
        Self {
            up: Own::of(names::CHANNEL_UP, "channel", channel.clone()),
            last_inbound: Own::of(names::LAST_INBOUND, "channel", channel.clone()),
            pending: Part::of(metrics::gauge!(names::OUTBOUND_PENDING, "channel" => channel)),
        }
    }
}

impl std::fmt::Debug for Gauges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gauges").finish_non_exhaustive()
    }
}

impl Channel {
    pub(crate) fn new(
        peers: Peers,
        id: ChannelId,
        (restored, held): (Vec<Restored>, Vec<HeldReceipt>),
    ) -> Self {
        let guard = peers.guard("channel");
        let mut channel = Self {
            id,
            lives: Lives::new(peers.clone(), id, restored),
            outbox: Outbox::new(outbox::Limits {
                per_second: peers.messages_per_second,
                in_flight_max: peers.sends_at_once,
                ..outbox::Limits::default()
            }),
            unsent: BTreeMap::new(),
            calls: Calls::default(),
            gauges: Gauges::of(id),
            delivered: Delivered::default(),
            waiting: Waiting::default(),
            unmatched: Unmatched::new(),
            alarm: Alarm::default(),
            _guard: guard,
            peers,
        };
        channel.hold_again(held);
        channel
    }

    /// For a live enquiry; one that has closed does not need to know.
    fn tell(&mut self, enquiry: EnquiryId, what: Told) {
        self.lives.tell(enquiry, what).ok();
    }

    fn arm(&self) {
        let receipts = self.unmatched.next_deadline();
        let next = self.outbox.next_deadline().into_iter().chain(receipts).min();
        self.alarm.set(&self.peers, Waiter::Channel(self.id), next);
    }

    fn close(&self, enquiry: EnquiryId, by: Closer) {
        let command =
            usher_domain::floor::Command::Close { enquiry, by, silent: true, reason: None };
        self.peers.router.do_send(Decide { command, answer: None });
    }
}

impl Actor for Channel {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.gauges.up.set(1.0);
        self.arm();
        self.look_for_unanswered(ctx);
    }
}

impl Handler<ToEnquiry> for Channel {
    type Result = ();

    fn handle(&mut self, ToEnquiry { enquiry, what }: ToEnquiry, _: &mut Context<Self>) {
        if let Err(what) = self.lives.tell(enquiry, what) {
            what.came_too_late(&self.peers);
        }
    }
}

impl Handler<Rested> for Channel {
    type Result = ();

    fn handle(&mut self, rested: Rested, _: &mut Context<Self>) {
        self.lives.rested(rested);
    }
}

impl Handler<LookForSilent> for Channel {
    type Result = ();

    fn handle(&mut self, _: LookForSilent, _: &mut Context<Self>) {
        self.lives.look_for_silent();
    }
}

impl Handler<DueIn> for Channel {
    type Result = ();

    fn handle(&mut self, DueIn { enquiries, slice }: DueIn, _: &mut Context<Self>) {
        for enquiry in enquiries {
            self.tell(enquiry, Told::Due(Some(Arc::clone(&slice))));
        }
    }
}

impl Handler<Ended> for Channel {
    type Result = ();

    fn handle(&mut self, Ended(enquiry): Ended, _: &mut Context<Self>) {
        self.peers.closing.borrow_mut().remove(&enquiry);
        let Some(visitor) = self.lives.end(enquiry) else { return };
        self.peers.directory.do_send(Pin { visitor, on: false });
    }
}

impl Handler<Merged> for Channel {
    type Result = ();

    fn handle(&mut self, Merged { kept, gone }: Merged, _: &mut Context<Self>) {
        let Some((own, theirs)) = self.lives.merge(kept, gone) else { return };
        let outcome = survivor(own, theirs);
        self.lives.goes_on(kept, outcome.goes_on);
        if let Some(told) = outcome.told {
            self.tell(outcome.closes, Told::MergedAway { owner: told, into: outcome.goes_on });
        }
        self.close(outcome.closes, Closer::Merged);
    }
}

impl Handler<WindowsLapsed> for Channel {
    type Result = ();

    fn handle(&mut self, WindowsLapsed { visitor }: WindowsLapsed, _: &mut Context<Self>) {
        if let Some(enquiry) = self.lives.of(visitor) {
            self.tell(enquiry, Told::WindowLapsed);
        }
    }
}

impl Handler<Blocked> for Channel {
    type Result = ();

    fn handle(&mut self, Blocked(visitor): Blocked, _: &mut Context<Self>) {
        if let Some(enquiry) = self.lives.of(visitor) {
            self.close(enquiry, Closer::Blocked);
        }
    }
}

impl Handler<Due> for Channel {
    type Result = ();

    fn handle(&mut self, _: Due, _: &mut Context<Self>) {
        self.alarm.rang();
        let mut effects = Vec::new();
        self.outbox.expire(self.peers.now(), &mut effects);
        self.look_for_messages();
        self.perform(effects, None);
    }
}

impl Handler<Stepped> for Channel {
    type Result = ();

    fn handle(&mut self, _: Stepped, _: &mut Context<Self>) {
        self.lives.look_at_the_clock();
    }
}

impl Handler<HasLive> for Channel {
    type Result = bool;

    fn handle(&mut self, HasLive(visitor): HasLive, _: &mut Context<Self>) -> bool {
        self.lives.of(visitor).is_some()
    }
}

impl Handler<EndAll> for Channel {
    type Result = ();

    fn handle(&mut self, _: EndAll, ctx: &mut Context<Self>) {
        self.lives.end_all();
        ctx.stop();
    }
}

#[cfg(test)]
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct CrashEnquiries;

/// How many of its enquiries are awake.
#[cfg(test)]
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "usize")]
pub(crate) struct HowManyAwake;

#[cfg(test)]
impl Handler<HowManyAwake> for Channel {
    type Result = usize;

    fn handle(&mut self, _: HowManyAwake, _: &mut Context<Self>) -> usize {
        self.lives.count_awake()
    }
}

/// All of them are asked to rest.
#[cfg(test)]
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct RestAll;

#[cfg(test)]
impl Handler<RestAll> for Channel {
    type Result = ();

    fn handle(&mut self, _: RestAll, _: &mut Context<Self>) {
        self.lives.ask_all_to_rest();
    }
}

#[cfg(test)]
impl Handler<CrashEnquiries> for Channel {
    type Result = ();

    fn handle(&mut self, _: CrashEnquiries, _: &mut Context<Self>) {
        self.lives.crash();
    }
}
