//! One live enquiry: what is said in it, its window and idle clock, and who is told of it.
//!
//! The floor decides state and owner and tells; the machine decides window and auto-close. No
//! message is kept in memory.

mod auto;
mod facts;
mod floor;
mod heard;
mod orders;
mod said;

pub(crate) use said::outgoing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use actix::prelude::*;
use usher_domain::access::Sight;
use usher_domain::enquiry::{self, Effect, EnquiryKept, Terms};
use usher_domain::floor::event::FloorEvent;
use usher_domain::floor::place::Place;
use usher_domain::ids::{ChannelId, EnquiryId, MessageId, StaffId, VisitorId};
use usher_domain::message::Delivery;
use usher_domain::record::{After, Event, Record};
use usher_domain::settings::Channel as ChannelSettings;
use usher_domain::time::Timestamp;
use usher_domain::visitor::Visitor;
use usher_protocol::command::Command;
use usher_protocol::event::Event as Telling;
use usher_protocol::refusal::{Code, Refusal};

use crate::inbound::Inbound;
use crate::ledger::{Ack, Release};
use crate::peers::{Guard, Peers};
use crate::service::AnswerTo;
use crate::staff::Gathered;
use crate::timer::Waiter;

/// Something that concerns one enquiry.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) enum Told {
    Visitor {
        visitor: Box<Visitor>,
        update: Inbound,
        ack: Arc<Ack>,
    },
    Floor {
        event: FloorEvent,
        place: Option<Box<Place>>,
    },
    /// A message of ours has come further.
    Message(Became),
    Withdrawn {
        message: MessageId,
    },
    /// A person wants something; `answer` says where the answer goes.
    Order {
        staff: StaffId,
        command: Command,
        answer: AnswerTo,
    },
    VisitorIs(VisitorId),
    MergedAway {
        owner: StaffId,
        into: EnquiryId,
    },
    /// The provider says so.
    WindowLapsed,
    Due,
    /// A person has connected and is to be shown this enquiry.
    ShowTo {
        staff: StaffId,
        gathered: Arc<Gathered>,
    },
    /// Whether this person sees the room; dropped where the enquiry is not live.
    MaySee {
        staff: StaffId,
        answer: tokio::sync::oneshot::Sender<bool>,
    },
    /// The channel has forgotten the enquiry: nothing more comes.
    Stop,
}

#[derive(Clone, Debug)]
pub(crate) struct Became {
    pub(crate) message: MessageId,
    pub(crate) delivery: Delivery,
    pub(crate) failure: Option<(i64, String)>,
    pub(crate) by_receipt: bool,
}

impl Told {
    /// The enquiry is gone.
    pub(crate) fn came_too_late(self, peers: &Peers) {
        if let Self::Order { staff, answer, .. } = self {
            answer.answer(peers, staff, Err(Code::NotFound.into()));
        }
    }
}

/// What an enquiry begins with.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) enquiry: EnquiryId,
    pub(crate) channel: ChannelId,
    pub(crate) visitor: Box<Visitor>,
}

/// What an enquiry goes on with after a restart.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) place: Box<Place>,
    pub(crate) clock: EnquiryKept,
    pub(crate) first_message: Option<String>,
    pub(crate) members: BTreeMap<StaffId, bool>,
    pub(crate) labels: BTreeSet<String>,
    pub(crate) last_inbound: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Enquiry {
    peers: Peers,
    _guard: Guard,
    id: EnquiryId,
    channel: ChannelId,
    visitor: Box<Visitor>,
    machine: enquiry::Enquiry,
    /// As the floor last told; `None` before it first did.
    place: Option<Box<Place>>,
    offers: Vec<facts::Held>,
    /// Were offered it in this walk and no longer are.
    offered_before: Vec<StaffId>,
    /// Colleagues in the room; true = looks on unseen.
    members: BTreeMap<StaffId, bool>,
    former: Vec<(StaffId, Timestamp)>,
    labels: BTreeSet<String>,
    first_message: Option<String>,
    /// Provider's id of the visitor's newest message, for typing and read.
    last_inbound: Option<String>,
    /// Keys of the newest sends, until the archive has them.
    keys: Vec<(StaffId, String, MessageId)>,
    /// Sequence of the newest entry of the room.
    order: u64,
    closed: bool,
}

impl Enquiry {
    pub(crate) fn open(peers: Peers, opened: Opened) -> Self {
        let window = opened.visitor.channels.get(&opened.channel).and_then(|on| on.window_until);
        let machine = enquiry::Enquiry::new(peers.now(), window);
        Self::with(peers, opened, machine)
    }

    pub(crate) fn restore(peers: Peers, opened: Opened, kept: Kept) -> Self {
        let machine = enquiry::Enquiry::restore(kept.clock);
        Self {
            place: Some(kept.place),
            first_message: kept.first_message,
            members: kept.members,
            labels: kept.labels,
            last_inbound: kept.last_inbound,
            ..Self::with(peers, opened, machine)
        }
    }

    fn with(peers: Peers, opened: Opened, machine: enquiry::Enquiry) -> Self {
        let guard = peers.guard("enquiry");
        Self {
            peers,
            _guard: guard,
            id: opened.enquiry,
            channel: opened.channel,
            visitor: opened.visitor,
            machine,
            place: None,
            offers: Vec::new(),
            offered_before: Vec::new(),
            members: BTreeMap::new(),
            former: Vec::new(),
            labels: BTreeSet::new(),
            first_message: None,
            last_inbound: None,
            keys: Vec::new(),
            order: 0,
            closed: false,
        }
    }

    fn settings(&self) -> Option<&ChannelSettings> {
        self.peers.settings.channels.get(&self.channel)
    }

    /// Tells the machine; what comes back is done by [`Enquiry::perform`].
    fn ask(&mut self, command: enquiry::Command) -> Result<Vec<Effect>, enquiry::Refusal> {
        let settings = Arc::clone(&self.peers.settings);
        let terms = Terms {
            auto_close: settings.auto_close_of(self.channel),
            stale_close: settings.stale_close,
        };
        let mut effects = Vec::new();
        self.machine.apply(&terms, self.peers.now(), command, &mut effects)?;
        Ok(effects)
    }

    /// As [`Enquiry::ask`], where a refusal means that there is nothing to do.
    fn note(&mut self, command: enquiry::Command) {
        match self.ask(command) {
            Ok(effects) => self.perform(effects),
            Err(refused) => tracing::debug!(%refused, "the enquiry's clock was told in vain"),
        }
    }

    fn let_expire(&mut self) {
        let settings = Arc::clone(&self.peers.settings);
        let terms = Terms {
            auto_close: settings.auto_close_of(self.channel),
            stale_close: settings.stale_close,
        };
        let mut effects = Vec::new();
        self.machine.expire(&terms, self.peers.now(), &mut effects);
        self.perform(effects);
    }

    fn arm(&self) {
        let settings = &self.peers.settings;
        let terms = Terms {
            auto_close: settings.auto_close_of(self.channel),
            stale_close: settings.stale_close,
        };
        let next = if self.closed { None } else { self.machine.next_deadline(&terms) };
        self.peers.arm(Waiter::Enquiry(self.channel, self.id), next);
    }

    /// The machine's state as a restart goes on from it.
    fn kept(&self) -> After {
        let kept = (!self.closed).then(|| Box::new(self.machine.kept().clone()));
        After::Enquiry { enquiry: self.id, kept }
    }

    /// Writes events down, the machine's newest state with the last one.
    fn write(&mut self, events: Vec<Event>, releases: Vec<Release>) {
        let now = self.peers.now();
        let mut records: Vec<Record> =
            events.into_iter().map(|event| Record::new(now, event)).collect();
        if let Some(last) = records.pop() {
            records.push(last.leaving(self.kept()));
        }
        self.order = self.peers.ledger.append(records, releases);
        self.arm();
    }

    /// Tells the others which rooms people are in besides their own.
    fn sync_joined(&self) {
        let mut joined = self.peers.joined.borrow_mut();
        joined.retain(|staff, rooms| {
            if self.closed || !self.members.contains_key(staff) {
                rooms.remove(&self.id);
            }
            !rooms.is_empty()
        });
        for staff in self.members.keys().filter(|_| !self.closed) {
            joined.entry(*staff).or_default().insert(self.id);
        }
    }

    /// What is told to people, once everything before it is durable.
    fn tell(&self, to: Vec<StaffId>, telling: &Telling) {
        if !to.is_empty() {
            self.peers.ledger.release(Release::Feed { to, tail: telling.tail() });
        }
    }

    fn refuse(&self, staff: StaffId, answer: AnswerTo, refusal: impl Into<Refusal>) {
        answer.answer(&self.peers, staff, Err(refusal.into()));
    }

    fn accept(&self, staff: StaffId, answer: AnswerTo, ok: serde_json::Value) {
        self.peers.ledger.release(answer.release(&self.peers, staff, Ok(ok)));
    }
}

impl Actor for Enquiry {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        if self.place.is_some() {
            self.sync_joined();
            self.note(enquiry::Command::Recovered);
            self.arm();
        }
    }
}

impl Handler<Told> for Enquiry {
    type Result = ();

    fn handle(&mut self, told: Told, ctx: &mut Context<Self>) {
        if self.closed {
            return self.after_the_end(told, ctx);
        }
        match told {
            Told::Visitor { visitor, update, ack } => self.hear(visitor, update, ack),
            Told::Floor { event, place } => self.on_floor(event, place),
            Told::Message(became) => self.became(became),
            Told::Withdrawn { message } => self.notification_withdrawn(message),
            Told::Order { staff, command, answer } => self.order(staff, command, answer),
            Told::VisitorIs(visitor) => self.visitor.id = visitor,
            Told::MergedAway { owner, into } => self.merged_away(owner, into),
            Told::WindowLapsed => {
                let at = self.peers.now();
                self.note(enquiry::Command::WindowLapsedByProvider { at });
                self.arm();
            }
            Told::Due => {
                self.let_expire();
                self.arm();
            }
            Told::ShowTo { staff, gathered } => self.show(staff, &gathered),
            Told::MaySee { staff, answer } => {
                let seen = matches!(
                    self.sight_of(staff),
                    Sight::Whole | Sight::ReadOnly | Sight::ReadOnlyUntil(_)
                );
                // Whoever asked may have gone.
                answer.send(seen).ok();
            }
            Told::Stop => ctx.stop(),
        }
    }
}

impl Enquiry {
    /// Closed, and the channel does not know it yet: what comes for the visitor goes back.
    fn after_the_end(&self, told: Told, ctx: &mut Context<Self>) {
        match told {
            Told::Visitor { visitor, update, ack } => {
                if let Some(channel) = self.peers.channel(self.channel) {
                    channel.do_send(crate::channel::Heard { visitor, update, ack });
                }
            }
            Told::Order { staff, answer, .. } => {
                answer.answer(&self.peers, staff, Err(Code::Closed.into()));
            }
            Told::Stop => ctx.stop(),
            Told::Floor { .. }
            | Told::Message(_)
            | Told::Withdrawn { .. }
            | Told::VisitorIs(_)
            | Told::MergedAway { .. }
            | Told::WindowLapsed
            | Told::Due
            | Told::MaySee { .. }
            | Told::ShowTo { .. } => {}
        }
    }
}
