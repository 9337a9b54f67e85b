//! Decides when an enquiry can rest, and what is left of it while it does: no actor, and nothing that
//! the archive shows.

use std::sync::Arc;

use actix::prelude::*;
use usher_domain::enquiry::{self, EnquiryKept};
use usher_domain::floor::place::PlaceThen;
use usher_domain::ids::{ChannelId, EnquiryId, StaffId};
use usher_domain::time::Timestamp;
use usher_domain::visitor::Visitor;

use super::rare::Unshown;
use super::{Enquiry, Opened, Rare};
use crate::channel::Rested;
use crate::peers::Peers;
use crate::timer::{Alarm, Waiter};

/// It is asked to rest, if it can.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Rest;

/// An enquiry at rest. Its deadline stays with the timer.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, told once")]
#[derive(Debug)]
pub(crate) struct AtRest {
    visitor: Arc<Visitor>,
    place: Option<PlaceThen>,
    clock: EnquiryKept,
    rare: Rare,
    first_message: Option<Box<str>>,
    order: u64,
    alarm: Alarm,
    former_known: bool,
    shown_waiting: bool,
    told_waiting: bool,
}

impl Enquiry {
    pub(crate) const fn id(&self) -> EnquiryId {
        self.id
    }

    pub(crate) fn opened_at(&self) -> Timestamp {
        self.machine.kept().opened_at
    }

    /// Whether nothing is under way that only its actor knows of.
    fn can_rest(&self) -> bool {
        let opened = !self.unopened && self.routed;
        let nothing_said = self.rare.talk.is_none() && self.rare.held_back.is_empty();
        let over = self.closed || self.is_closing();
        opened && !over && nothing_said && !self.talk_changed && self.offers.is_empty()
    }

    /// Its state, where it can rest: nothing is told to what is left here.
    pub(crate) fn rest(&mut self) -> Option<Box<AtRest>> {
        if !self.can_rest() {
            return None;
        }
        let keys = std::mem::take(&mut self.keys);
        let last_inbound = self.last_inbound.take();
        if self.peers.archive.reached(self.peers.id).seq >= self.order {
            self.rare.forget_shown();
        } else if !keys.is_empty() || last_inbound.is_some() {
            self.rare.write().unshown = Some(Unshown { keys, last_inbound });
        }
        Some(Box::new(AtRest {
            visitor: Arc::clone(&self.visitor),
            place: self.place.take(),
            clock: self.machine.kept().clone(),
            rare: std::mem::take(&mut self.rare),
            first_message: self.first_message.take(),
            order: self.order,
            alarm: std::mem::take(&mut self.alarm),
            former_known: self.former_known,
            shown_waiting: self.shown_waiting,
            told_waiting: self.told_waiting,
        }))
    }
}

impl AtRest {
    pub(crate) const fn opened_at(&self) -> Timestamp {
        self.clock.opened_at
    }

    pub(crate) fn owner(&self) -> Option<StaffId> {
        self.place.as_ref().and_then(|place| place.stage.owner())
    }

    /// The timer is to tell it soon, whatever its deadline was.
    pub(crate) fn ring_now(&self, peers: &Peers, (enquiry, channel): (EnquiryId, ChannelId)) {
        self.alarm.set(peers, Waiter::Enquiry(channel, enquiry), Some(peers.now()));
    }

    /// As it lay down; what is left here is of no use.
    pub(crate) fn wake(
        &mut self,
        peers: Peers,
        (enquiry, channel): (EnquiryId, ChannelId),
    ) -> Enquiry {
        let mut rare = std::mem::take(&mut self.rare);
        let unshown = rare.existing().and_then(|parts| parts.unshown.take()).unwrap_or_default();
        let machine = enquiry::Enquiry::restore(self.clock.clone());
        let opened = Opened { enquiry, channel, visitor: Arc::clone(&self.visitor) };
        Enquiry {
            place: self.place.take(),
            rare,
            keys: unshown.keys,
            last_inbound: unshown.last_inbound,
            first_message: self.first_message.take(),
            order: self.order,
            alarm: std::mem::take(&mut self.alarm),
            former_known: self.former_known,
            shown_waiting: self.shown_waiting,
            told_waiting: self.told_waiting,
            unopened: false,
            routed: true,
            ..Enquiry::with(peers, opened, machine)
        }
    }
}

impl Handler<Rest> for Enquiry {
    type Result = ();

    fn handle(&mut self, _: Rest, ctx: &mut Context<Self>) {
        let state = self.rest();
        if state.is_some() {
            ctx.stop();
        }
        if let Some(channel) = self.peers.channel(self.channel) {
            channel.do_send(Rested { enquiry: self.id, state });
        }
    }
}
