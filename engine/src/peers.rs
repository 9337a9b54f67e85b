//! What every actor of one service knows of the others: their addresses, the clock, the ledger.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use actix::{Addr, Message};
use usher_domain::ids::{ChannelId, EnquiryId, MessageId, ServiceId, StaffId, VisitorId};
use usher_domain::settings::{Channel as ChannelSettings, Settings};
use usher_domain::time::Timestamp;
use usher_protocol::event::Now;
use usher_store::{Archive, ArchiveReader};
use uuid::Uuid;

use crate::channel::Channel;
use crate::clock::Clock;
use crate::directory::Directory;
use crate::enquiry::Enquiry;
use crate::ledger::Ledger;
use crate::router::Router;
use crate::service::{Broken, Service};
use crate::staff::{Staff, StaffAddrs, State};
use crate::timer::{Arm, Timer, Waiter};

/// A deadline has come.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Due;

/// The service is rebuilt: its old actors end.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct End;

macro_rules! ends {
    ($($actor:ty),*) => {$(
        impl actix::Handler<End> for $actor {
            type Result = ();

            fn handle(&mut self, _: End, ctx: &mut actix::Context<Self>) {
                actix::ActorContext::stop(ctx);
            }
        }
    )*};
}

ends!(Directory, Router, Timer, Channel, Staff, Enquiry);

/// The other actors of a service; all live on one arbiter.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    pub(crate) id: ServiceId,
    pub(crate) clock: Clock,
    pub(crate) settings: Arc<Settings>,
    pub(crate) ledger: Ledger,
    pub(crate) archive: Archive,
    pub(crate) reader: Rc<ArchiveReader>,
    pub(crate) service: Addr<Service>,
    pub(crate) directory: Addr<Directory>,
    pub(crate) router: Addr<Router>,
    pub(crate) timer: Addr<Timer>,
    pub(crate) channels: Rc<BTreeMap<ChannelId, Addr<Channel>>>,
    pub(crate) staff: StaffAddrs,
    /// Whether anybody at all is Active, as the router last saw it.
    pub(crate) staffed: Rc<Cell<bool>>,
    /// Rooms that people were added to or joined, as the enquiries say.
    pub(crate) joined: Rc<RefCell<BTreeMap<StaffId, BTreeSet<EnquiryId>>>>,
}

impl Peers {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn channel(&self, channel: ChannelId) -> Option<&Addr<Channel>> {
        self.channels.get(&channel)
    }

    pub(crate) fn channel_settings(&self, channel: ChannelId) -> Option<&ChannelSettings> {
        self.settings.channels.get(&channel)
    }

    pub(crate) fn staff(&self, staff: StaffId) -> Option<&Addr<Staff>> {
        self.staff.get(&staff)
    }

    /// `First Last`, as colleagues see a person.
    pub(crate) fn name_of(&self, staff: StaffId) -> String {
        self.settings.staff.get(&staff).map_or_else(
            || "(deleted)".to_owned(),
            |person| format!("{} {}", person.first_name, person.last_name).trim().to_owned(),
        )
    }

    pub(crate) fn arm(&self, waiter: Waiter, at: Option<Timestamp>) {
        self.timer.do_send(Arm { waiter, at });
    }

    /// Tells a person how something is; the latest holds.
    pub(crate) fn state(&self, staff: StaffId, now: &Now) {
        if let Some(addr) = self.staff(staff) {
            addr.do_send(State { key: now.key(), frame: now.encode() });
        }
    }

    /// Ends every actor; the channels end their enquiries.
    pub(crate) fn end(&self) {
        self.timer.do_send(End);
        self.directory.do_send(End);
        self.router.do_send(End);
        for channel in self.channels.values() {
            channel.do_send(crate::channel::EndAll);
        }
        for staff in self.staff.values() {
            staff.do_send(End);
        }
    }

    pub(crate) fn guard(&self, actor: &'static str) -> Guard {
        Guard { actor, service: self.service.clone() }
    }
}

/// Tells the service when the actor that holds it ends by a panic.
#[derive(Debug)]
pub(crate) struct Guard {
    actor: &'static str,
    service: Addr<Service>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.service.do_send(Broken { actor: self.actor });
        }
    }
}

pub(crate) fn new_enquiry() -> EnquiryId {
    EnquiryId::new(Uuid::now_v7())
}

pub(crate) fn new_message() -> MessageId {
    MessageId::new(Uuid::now_v7())
}

pub(crate) fn new_visitor() -> VisitorId {
    VisitorId::new(Uuid::now_v7())
}
