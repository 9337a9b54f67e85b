//! What every actor of one service knows of the others: their addresses, the clock, the ledger.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use actix::{Addr, Message};
use tokio::sync::Semaphore;
use usher_domain::ids::{ChannelId, EnquiryId, MessageId, ServiceId, StaffId, VisitorId};
use usher_domain::settings::{Channel as ChannelSettings, Settings};
use usher_domain::time::Timestamp;
use usher_protocol::event::Now;
use usher_store::{Archive, ArchiveReader};
use uuid::Uuid;

use crate::channel::Channel;
use crate::clock::{Clock, Wall};
use crate::directory::Directory;
use crate::enquiry::Enquiry;
use crate::gauges::Own;
use crate::inbound::InboundBody;
use crate::ledger::{Ledger, Release};
use crate::poison::Mark;
use crate::router::{Board, Router};
use crate::service::{Broken, Service};
use crate::staff::{Staff, StaffAddrs, State};
use crate::timer::{Deadlines, Timer};

/// A deadline has come.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Due;

/// The wall clock has stepped.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Stepped;

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

        #[cfg(test)]
        impl actix::Handler<crate::faults::Crash> for $actor {
            type Result = ();

            fn handle(&mut self, _: crate::faults::Crash, _: &mut actix::Context<Self>) {
                panic!("broken on purpose");
            }
        }
    )*};
}

ends!(Directory, Router, Timer, Channel, Staff, Enquiry);

/// By person and key: the message, or `None` while it is under way.
pub(crate) type Starts = BTreeMap<(StaffId, String), Option<MessageId>>;

/// The other actors of a service, and what they share; all live on one arbiter.
///
/// A handle: every live enquiry holds one.
#[derive(Clone, Debug)]
pub(crate) struct Peers(Rc<Known>);

impl Peers {
    pub(crate) fn new(known: Known) -> Self {
        Self(Rc::new(known))
    }
}

impl Deref for Peers {
    type Target = Known;

    fn deref(&self) -> &Known {
        &self.0
    }
}

#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) id: ServiceId,
    /// Which building of the service this is; what older ones say is not listened to.
    pub(crate) build: u64,
    pub(crate) clock: Clock,
    pub(crate) wall: Wall,
    pub(crate) settings: Arc<Settings>,
    /// Of one number, in and out together.
    pub(crate) messages_per_second: u32,
    pub(crate) sends_at_once: usize,
    /// Updates, commands and timer slices under way.
    pub(crate) credits: Arc<Semaphore>,
    pub(crate) ledger: Ledger,
    pub(crate) archive: Archive,
    pub(crate) reader: Rc<ArchiveReader>,
    pub(crate) service: Addr<Service>,
    pub(crate) directory: Addr<Directory>,
    pub(crate) router: Addr<Router>,
    pub(crate) timer: Addr<Timer>,
    /// Everybody's, told by the timer.
    pub(crate) deadlines: Deadlines,
    pub(crate) channels: Rc<BTreeMap<ChannelId, Addr<Channel>>>,
    pub(crate) staff: StaffAddrs,
    /// Whether anybody at all is Active, as the router last saw it.
    pub(crate) staffed: Rc<Cell<bool>>,
    /// What people are writing first, or have: by their keys.
    pub(crate) starting: Rc<RefCell<Starts>>,
    /// Who has a connection open: how things are is told to nobody else.
    pub(crate) connected: Rc<RefCell<BTreeSet<StaffId>>>,
    /// Decided to be closed by the router, and not yet told so: nothing more is said in them.
    pub(crate) closing: Rc<RefCell<BTreeSet<EnquiryId>>>,
    /// The update that is being taken now, to know it again should it break whoever takes it.
    pub(crate) in_hand: InHand,
    pub(crate) in_time: Rc<InTime>,
    /// Rooms that people were added to or joined, as the enquiries say.
    pub(crate) joined: Rc<RefCell<BTreeMap<StaffId, BTreeSet<EnquiryId>>>>,
    /// Heads of what nobody serves, written once for all who see them.
    pub(crate) board: Board,
}

impl Peers {
    /// By the clock that deadlines run on, which is never set.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// By the wall clock: for time rules, windows, and what people and records read.
    pub(crate) fn wall_now(&self) -> Timestamp {
        self.on_the_wall(self.now())
    }

    pub(crate) fn on_the_wall(&self, at: Timestamp) -> Timestamp {
        self.wall.ahead().wall(at)
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

    pub(crate) fn is_connected(&self, staff: StaffId) -> bool {
        self.connected.borrow().contains(&staff)
    }

    /// Tells a person how something is, once that is durable; the latest holds.
    pub(crate) fn state(&self, staff: StaffId, now: &Now) {
        let state = State { key: now.key(), frame: now.encode() };
        self.ledger.release(Release::State { to: staff, state });
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

    /// Something that cannot go on without what it asked for: the service is rebuilt.
    pub(crate) fn broken(&self, actor: &'static str) {
        self.service.do_send(Broken { actor, build: self.build });
    }

    /// One more enquiry was picked up, in time or not, or missed.
    pub(crate) fn service_level(&self, in_time: bool) {
        self.in_time.count(in_time);
    }

    pub(crate) fn guard(&self, actor: &'static str) -> Guard {
        Guard { actor, peers: self.clone() }
    }
}

/// Enquiries picked up in time, and all that count, since the start.
#[derive(Debug)]
pub(crate) struct InTime {
    counts: Cell<(u64, u64)>,
    ratio: Own,
}

impl InTime {
    pub(crate) fn of(service: ServiceId) -> Self {
        let ratio = Own::of(crate::metrics::SERVICE_LEVEL, "service", service.to_string());
        Self { counts: Cell::default(), ratio }
    }

    #[expect(clippy::cast_precision_loss, reason = "a metric")]
    fn count(&self, in_time: bool) {
        let (good, all) = self.counts.get();
        let (good, all) = (good + u64::from(in_time), all + 1);
        self.counts.set((good, all));
        self.ratio.set(good as f64 / all as f64);
    }
}

/// Which update is being taken; outlives the actors, so that one that breaks them is known again.
#[derive(Clone, Debug, Default)]
pub(crate) struct InHand(Rc<Cell<Option<Mark>>>);

impl InHand {
    /// Takes it in hand; it is put down when the returned value is dropped, but not by a panic.
    pub(crate) fn take(&self, update: &InboundBody) -> Taken {
        self.take_mark(update.mark())
    }

    pub(crate) fn take_mark(&self, mark: Mark) -> Taken {
        self.0.set(Some(mark));
        Taken(self.clone())
    }

    /// What was in hand when an actor broke.
    pub(crate) fn left_behind(&self) -> Option<Mark> {
        self.0.take()
    }
}

/// Puts the update down again.
#[derive(Debug)]
pub(crate) struct Taken(InHand);

impl Drop for Taken {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.0.0.take();
        }
    }
}

/// Tells the service when the actor that holds it ends by a panic.
#[derive(Debug)]
pub(crate) struct Guard {
    actor: &'static str,
    peers: Peers,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.peers.broken(self.actor);
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
