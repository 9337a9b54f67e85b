//! One live enquiry: what is said in it, its window and idle clock, and who is told of it.
//!
//! The floor decides state and owner and tells; the machine decides window and auto-close. No
//! message is kept in memory.

mod auto;
mod bot;
mod facts;
mod floor;
mod heard;
mod orders;
mod rare;
mod recovered;
mod rest;
mod said;

pub(crate) use heard::Waited;
pub(crate) use rest::{AtRest, Rest};
pub(crate) use said::outgoing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::oneshot;
use usher_domain::access::Sight;
use usher_domain::bot::{Talk, TalkKept};
use usher_domain::enquiry::{self, Effect, EnquiryKept, Terms};
use usher_domain::floor::event::FloorEvent;
use usher_domain::floor::place::PlaceThen;
use usher_domain::ids::{ChannelId, EnquiryId, MessageId, StaffId, VisitorId};
use usher_domain::message::Delivery;
use usher_domain::record::{After, Event, Record};
use usher_domain::settings::Channel as ChannelSettings;
use usher_domain::time::Timestamp;
use usher_domain::visitor::Visitor;
use usher_protocol::command::Command;
use usher_protocol::event::Event as Telling;
use usher_protocol::refusal::{Code, Refusal};

use crate::directory::Bounced;
use crate::handle::Answer;
use crate::inbound::Inbound;
use crate::ledger::{Ack, Credit, Release};
use crate::outgoing::BotWord;
use crate::peers::{Guard, Peers};
use crate::service::AnswerTo;
use crate::staff::Gathered;
use crate::timer::{Alarm, Slice, Waiter};

use rare::Rare;

/// Something that concerns one enquiry.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) enum Told {
    Visitor {
        visitor: Arc<Visitor>,
        update: Box<Inbound>,
        ack: Arc<Ack>,
    },
    /// What the floor has decided of it in one turn.
    Floor {
        events: Vec<FloorEvent>,
        place: Option<PlaceThen>,
    },
    /// A message of ours has come further.
    Message(Became),
    Withdrawn {
        message: MessageId,
    },
    /// A person wants something; `answer` says where the answer goes.
    Order {
        staff: StaffId,
        command: Box<Command>,
        answer: AnswerTo,
    },
    Bot {
        word: Box<BotWord>,
        answer: oneshot::Sender<Answer>,
        credit: Credit,
    },
    VisitorIs(VisitorId),
    MergedAway {
        owner: StaffId,
        into: EnquiryId,
    },
    /// The provider says so.
    WindowLapsed,
    /// A deadline may have come.
    Due(Option<Arc<Slice>>),
    /// After a restart: its opening message, of this provider time, had not reached the floor.
    Route {
        provider_at: Timestamp,
        waited: bool,
    },
    /// Opened by what was said while the channel opened nothing.
    Waited(Box<Waited>),
    /// A person has connected and is to be shown this enquiry.
    ShowTo {
        staff: StaffId,
        gathered: Arc<Gathered>,
    },
    /// Somebody is to be shown it as every member of its groups sees it: waiting, or missed.
    ShowUnserved {
        gathered: Arc<Gathered>,
    },
    /// Whether this person sees the room; dropped where the enquiry is not live.
    MaySee {
        staff: StaffId,
        answer: oneshot::Sender<Sight>,
    },
    /// The channel has forgotten the enquiry: nothing more comes.
    Stop,
}

/// What was sent under a key.
#[derive(Clone, Copy, Debug)]
struct Sent {
    message: MessageId,
    /// Of its content: a repeat has the same.
    digest: u64,
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
        } else if let Self::Bot { answer, .. } = self {
            // Whoever asked may have gone.
            answer.send(Err(Code::NotFound.into())).ok();
        }
    }
}

/// What an enquiry begins with.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) enquiry: EnquiryId,
    pub(crate) channel: ChannelId,
    pub(crate) visitor: Arc<Visitor>,
}

/// What an enquiry goes on with after a restart.
#[derive(Debug)]
pub(crate) struct Kept {
    /// `None`: it had not reached the floor, or has closed.
    pub(crate) place: Option<PlaceThen>,
    pub(crate) clock: EnquiryKept,
    pub(crate) talk: Option<Box<TalkKept>>,
    pub(crate) first_message: Option<String>,
    pub(crate) members: BTreeMap<StaffId, bool>,
    pub(crate) labels: BTreeSet<String>,
}

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, told once")]
#[derive(Debug)]
pub(crate) struct Enquiry {
    peers: Peers,
    _guard: Guard,
    id: EnquiryId,
    channel: ChannelId,
    visitor: Arc<Visitor>,
    machine: enquiry::Enquiry,
    rare: Rare,
    /// The talk is to be written down with the next record.
    talk_changed: bool,
    /// As the floor last told; `None` before it first did.
    place: Option<PlaceThen>,
    offers: Vec<facts::Held>,
    /// Somebody who connected was shown that it waits: its groups are told when it no longer does.
    shown_waiting: bool,
    /// Everybody in its groups was told that it waits.
    told_waiting: bool,
    /// After a restart they are read when somebody asks who may be one of them.
    former_known: bool,
    first_message: Option<Box<str>>,
    /// Provider's id of the visitor's newest message, for typing and read.
    last_inbound: Option<String>,
    /// Keys of the newest sends, until the archive has them, and what was sent.
    keys: Vec<(StaffId, String, Sent)>,
    /// Sequence of the newest entry of the room.
    order: u64,
    /// Its opening is not written down yet: it is, with its first message.
    unopened: bool,
    /// The floor was asked to route it.
    routed: bool,
    closed: bool,
    alarm: Alarm,
    /// Read once a turn, so that the clock and the record say the same.
    now: Timestamp,
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
            routed: kept.place.is_some(),
            place: kept.place,
            rare: Rare::of(kept.talk.map(|talk| Talk::restore(*talk)), kept.members, kept.labels),
            unopened: false,
            former_known: false,
            first_message: kept.first_message.map(String::into_boxed_str),
            ..Self::with(peers, opened, machine)
        }
    }

    fn with(peers: Peers, opened: Opened, machine: enquiry::Enquiry) -> Self {
        let guard = peers.guard("enquiry");
        let now = peers.now();
        Self {
            peers,
            _guard: guard,
            id: opened.enquiry,
            channel: opened.channel,
            visitor: opened.visitor,
            machine,
            rare: Rare::default(),
            talk_changed: false,
            place: None,
            offers: Vec::new(),
            former_known: true,
            shown_waiting: false,
            told_waiting: false,
            first_message: None,
            last_inbound: None,
            keys: Vec::new(),
            order: 0,
            unopened: true,
            routed: false,
            closed: false,
            alarm: Alarm::default(),
            now,
        }
    }

    /// By the wall clock, as people read it.
    fn stamp(&self) -> Timestamp {
        self.peers.on_the_wall(self.now)
    }

    /// A turn begins.
    fn look_at_the_clock(&mut self) {
        self.now = self.peers.now();
        self.machine.follow(self.peers.wall.ahead());
    }

    fn settings(&self) -> Option<&ChannelSettings> {
        self.peers.settings.channels.get(&self.channel)
    }

    /// Tells the machine; what comes back is done by [`Enquiry::perform`].
    fn ask(&mut self, command: enquiry::Command) -> Result<Vec<Effect>, enquiry::Refusal> {
        let terms = terms(&self.peers, self.channel);
        let mut effects = Vec::new();
        self.machine.apply(&terms, self.now, command, &mut effects)?;
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
        let terms = terms(&self.peers, self.channel);
        let mut effects = Vec::new();
        self.machine.expire(&terms, self.now, &mut effects);
        self.perform(effects);
    }

    fn arm(&self) {
        let terms = terms(&self.peers, self.channel);
        let talk = self.rare.talk.as_ref().and_then(Talk::next_deadline);
        let next = self.machine.next_deadline(&terms).into_iter().chain(talk).min();
        let next = next.filter(|_| !self.closed);
        self.alarm.set(&self.peers, Waiter::Enquiry(self.channel, self.id), next);
    }

    /// The machine's state as a restart goes on from it.
    fn kept(&self) -> After {
        let kept = (!self.closed).then(|| Box::new(self.machine.kept().clone()));
        After::Enquiry { enquiry: self.id, kept }
    }

    /// Writes events down, the machine's newest state with the last one.
    fn write(
        &mut self,
        events: impl IntoIterator<Item = Event>,
        releases: impl IntoIterator<Item = Release>,
    ) {
        let now = self.now;
        let mut events = events.into_iter().peekable();
        let changes = events.peek().is_some() && std::mem::take(&mut self.talk_changed);
        let talk = changes.then(|| self.talk_kept());
        let mut after = Some(self.kept()).into_iter().chain(talk);
        let records = std::iter::from_fn(|| {
            let record = Record::new(now, events.next()?);
            let is_last = events.peek().is_none();
            Some(if is_last { after.by_ref().fold(record, Record::leaving) } else { record })
        });
        self.order = self.peers.ledger.append(records, releases);
        self.arm();
    }

    /// Tells the others which rooms people are in besides their own.
    fn sync_joined(&self) {
        let mut joined = self.peers.joined.borrow_mut();
        joined.retain(|staff, rooms| {
            if self.closed || !self.rare.members.contains_key(staff) {
                rooms.remove(&self.id);
            }
            !rooms.is_empty()
        });
        for staff in self.rare.members.keys().filter(|_| !self.closed) {
            joined.entry(*staff).or_default().insert(self.id);
        }
    }

    /// What is told to people, once everything before it is durable.
    fn tell(&self, to: Vec<StaffId>, telling: &Telling) {
        if !to.is_empty() {
            let may_wait = telling.may_wait();
            self.peers.ledger.release(Release::Feed { to, tail: telling.tail(), may_wait });
        }
    }

    fn refuse(&self, staff: StaffId, answer: AnswerTo, refusal: impl Into<Refusal>) {
        answer.answer(&self.peers, staff, Err(refusal.into()));
    }

    fn accept(&self, staff: StaffId, answer: AnswerTo, ok: serde_json::Value) {
        self.peers.ledger.release(answer.release(&self.peers, staff, Ok(ok)));
    }
}

/// What the machine goes by.
fn terms(peers: &Peers, channel: ChannelId) -> Terms<'_> {
    let settings = &peers.settings;
    Terms { auto_close: settings.auto_close_of(channel), stale_close: settings.stale_close }
}

impl Actor for Enquiry {
    type Context = Context<Self>;
}

impl Handler<Told> for Enquiry {
    type Result = ();

    fn handle(&mut self, told: Told, ctx: &mut Context<Self>) {
        self.look_at_the_clock();
        if self.closed {
            return self.after_the_end(told, ctx);
        }
        // What has come due happens before what is told now, and its effects are never lost to a
        // refusal: a grace that has just run out closes, and what comes opens another enquiry.
        self.let_expire();
        match told {
            Told::Visitor { visitor, update, ack } if self.is_closing() => {
                self.visitor = visitor;
                self.rare.write().held_back.push((*update, ack));
            }
            Told::Visitor { visitor, update, ack } => {
                let _taken = self.peers.in_hand.take(&update.body);
                self.hear(visitor, *update, ack);
            }
            Told::Route { provider_at, waited } => self.route(provider_at, waited),
            Told::Waited(waited) => self.take_up_what_waited(*waited),
            Told::Floor { events, place } => self.on_floor(events, place),
            Told::Message(became) => self.became(became),
            Told::Withdrawn { message } => self.notification_withdrawn(message),
            Told::Order { staff, command, answer } => {
                let _taken = self.peers.in_hand.take_mark(answer.mark());
                self.order(staff, *command, answer);
            }
            Told::Bot { word, answer, credit } => self.bot_speaks(*word, answer, credit),
            Told::VisitorIs(visitor) => Arc::make_mut(&mut self.visitor).id = visitor,
            Told::MergedAway { owner, into } => self.merged_away(owner, into),
            Told::WindowLapsed => {
                let at = self.stamp();
                self.note(enquiry::Command::WindowLapsedByProvider { at });
                self.arm();
            }
            Told::Due(_told) => {
                self.alarm.rang();
                self.let_talk_expire();
                self.arm();
            }
            Told::ShowTo { staff, gathered } => self.show(staff, &gathered),
            Told::ShowUnserved { gathered } => self.show_unserved(&gathered),
            Told::MaySee { staff, answer } => {
                self.know_former();
                // Whoever asked may have gone.
                answer.send(self.sight_of(staff)).ok();
            }
            Told::Stop => ctx.stop(),
        }
    }
}

impl Enquiry {
    /// The floor has decided it, or was asked to and will: what comes opens a new enquiry.
    fn is_closing(&self) -> bool {
        self.machine.is_closed() || self.peers.closing.borrow().contains(&self.id)
    }

    fn bounce(&self, visitor: Arc<Visitor>, update: Inbound, ack: Arc<Ack>) {
        let channel = self.channel;
        self.peers.directory.do_send(Bounced { channel, visitor, update, ack });
    }

    /// The channel has been told of the end: what came too late for this enquiry opens another.
    fn bounce_held_back(&mut self) {
        let held_back = self.rare.existing().map(|parts| std::mem::take(&mut parts.held_back));
        for (update, ack) in held_back.into_iter().flatten() {
            self.bounce(Arc::clone(&self.visitor), update, ack);
        }
    }

    /// Closed, and the channel does not know it yet: what comes for the visitor goes back.
    fn after_the_end(&self, told: Told, ctx: &mut Context<Self>) {
        match told {
            Told::Visitor { visitor, update, ack } => self.bounce(visitor, *update, ack),
            Told::Order { staff, command, answer } => {
                // What is not theirs to see answers as what does not exist.
                let refusal = self.allowed(staff, &command).err().unwrap_or(Code::Closed.into());
                answer.answer(&self.peers, staff, Err(refusal));
            }
            Told::Bot { answer, .. } => {
                // Whoever asked may have gone.
                answer.send(Err(Code::Closed.into())).ok();
            }
            Told::Stop => ctx.stop(),
            Told::Floor { .. }
            | Told::Message(_)
            | Told::Withdrawn { .. }
            | Told::VisitorIs(_)
            | Told::MergedAway { .. }
            | Told::WindowLapsed
            | Told::Due(_)
            | Told::Route { .. }
            | Told::Waited(_)
            | Told::MaySee { .. }
            | Told::ShowTo { .. }
            | Told::ShowUnserved { .. } => {}
        }
    }
}
