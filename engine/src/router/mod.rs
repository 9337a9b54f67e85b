//! The router: asks the floor, writes down what it decided, passes the word on.

mod index;
mod report;
mod show;
mod tell;

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::prelude::*;
use serde_json::json;
use tokio::sync::oneshot;
use usher_domain::floor::event::{FloorEvent, PresenceWhy};
use usher_domain::floor::{Command, Effect, Floor, Refusal, Route};
use usher_domain::ids::{ChannelId, EnquiryId, GroupId, StaffId, VisitorId};
use usher_domain::presence::Presence;
use usher_domain::record::{After, Event, Record};
use usher_domain::trace::Step;
use usher_domain::visitor::{Identities, Visitor};
use usher_protocol::refusal::Code;

use crate::channel::ToEnquiry;
use crate::directory::WhoIs;
use crate::enquiry::Told;
use crate::handle::{Explain, Explained};
use crate::metrics as names;
use crate::peers::{Due, Guard, Peers, Stepped};
use crate::service::AnswerTo;
use crate::staff::PresenceIs;
use crate::timer::{Alarm, Waiter};

pub(crate) use show::{Board, Show, Shown};

use index::Index;
use show::Turns;

/// Something for the floor to judge; `answer`: who asked, and where the answer goes.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Decide {
    pub(crate) command: Command,
    pub(crate) answer: Option<(StaffId, AnswerTo)>,
}

/// For a live enquiry, whichever channel it is on.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Pass {
    pub(crate) enquiry: EnquiryId,
    pub(crate) what: Told,
}

/// A missed enquiry is taken up by writing to it: first the pick-up, then the command.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct TakeUp {
    pub(crate) enquiry: EnquiryId,
    pub(crate) staff: StaffId,
    pub(crate) command: usher_protocol::command::Command,
    pub(crate) answer: AnswerTo,
}

/// Whether this person owns, or has joined, a live enquiry of this visitor.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "bool")]
pub(crate) struct Serves {
    pub(crate) staff: StaffId,
    pub(crate) visitor: VisitorId,
}

/// Tells this person how things are, after they have connected.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct TellTo(pub(crate) StaffId);

/// A person as attendance knows them after a restart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Present {
    pub(crate) staff: StaffId,
    pub(crate) presence: Presence,
    /// Expected back within the grace.
    pub(crate) reloading: bool,
}

/// How many live enquiries this person owns.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "usize")]
pub(crate) struct HowMany(pub(crate) StaffId);

/// This person signs out and lets others take what they own.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct HandOver(pub(crate) StaffId);

/// What would happen; nothing is changed.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct ExplainThis {
    pub(crate) explain: Explain,
    pub(crate) answer: oneshot::Sender<Explained>,
}

#[derive(Debug)]
pub(crate) struct Router {
    peers: Peers,
    _guard: Guard,
    floor: Floor,
    index: Index,
    turns: Turns,
    member_of: BTreeMap<StaffId, Vec<GroupId>>,
    told: tell::Told,
    /// Who is there at the start.
    present: Vec<Present>,
    /// The gauges and statements of lines are due to be told again.
    stale: bool,
    alarm: Alarm,
}

impl Router {
    pub(crate) fn new(peers: Peers, floor: Floor, present: Vec<Present>) -> Self {
        let guard = peers.guard("router");
        let mut index = Index::default();
        for (enquiry, place) in floor.live() {
            index.note(enquiry, Some(place.clone()));
        }
        let mut member_of: BTreeMap<StaffId, Vec<GroupId>> = BTreeMap::new();
        for group in peers.settings.groups.values() {
            for staff in &group.members {
                member_of.entry(*staff).or_default().push(group.id);
            }
        }
        Self {
            peers,
            _guard: guard,
            floor,
            index,
            turns: Turns::default(),
            member_of,
            told: tell::Told::default(),
            present,
            stale: true,
            alarm: Alarm::default(),
        }
    }

    /// One turn, one record group.
    fn carry_out(&mut self, effects: Vec<Effect>, answer: Option<(StaffId, AnswerTo)>) {
        let now = self.peers.now();
        let mut records: Vec<Record> = Vec::new();
        let mut happened = Vec::new();
        let mut closed = BTreeMap::new();
        for effect in effects {
            match effect {
                Effect::Happened(event) => {
                    records.push(Record::new(now, Event::Floor(event.clone())));
                    happened.push(event);
                }
                Effect::Keep(after) => {
                    if let After::Place { enquiry, place } = &after {
                        let channel = self.index.note(*enquiry, place.clone());
                        self.peers.board.forget(*enquiry);
                        closed.extend(channel.map(|channel| (*enquiry, channel)));
                    }
                    match records.last_mut() {
                        Some(last) => last.after.push(after),
                        None => records.push(Record::new(now, Event::FloorKept {}).leaving(after)),
                    }
                }
            }
        }
        let release =
            answer.map(|(staff, answer)| answer.release(&self.peers, staff, Ok(json!({}))));
        self.peers.ledger.append(records, release);
        self.pass_on(happened, &closed);
        self.stale = true;
        self.alarm.set(&self.peers, Waiter::Router, self.floor.next_deadline());
    }

    /// What a turn decided of one enquiry is told together. `closed`: where those were before this
    /// turn that are off the floor by now.
    fn pass_on(&self, happened: Vec<FloorEvent>, closed: &BTreeMap<EnquiryId, ChannelId>) {
        let mut happened = happened.into_iter().peekable();
        while let Some(event) = happened.next() {
            self.note(&event);
            let Some(enquiry) = event.enquiry() else { continue };
            let mut events = vec![event];
            while let Some(event) = happened.next_if(|next| next.enquiry() == Some(enquiry)) {
                self.note(&event);
                events.push(event);
            }
            let place = self.floor.place_now(enquiry);
            let channel = place.as_ref().map(|place| place.channel);
            let channel = channel.or_else(|| closed.get(&enquiry).copied());
            if let Some(addr) = channel.and_then(|channel| self.peers.channel(channel)) {
                addr.do_send(ToEnquiry { enquiry, what: Told::Floor { events, place } });
            }
        }
    }

    fn note(&self, event: &FloorEvent) {
        match *event {
            FloorEvent::PresenceChanged { staff, presence, why } => {
                if let Some(addr) = self.peers.staff(staff) {
                    addr.do_send(PresenceIs { presence, why });
                }
                self.note_staffed();
            }
            FloorEvent::Decided { ref steps, .. } => count_decision(steps),
            FloorEvent::BotLeft { bot, failed: true, .. } => {
                if self.floor.was_one_failure_too_many(bot) {
                    report::failing_bot(&self.peers, bot);
                }
            }
            FloorEvent::Closed { enquiry, .. } => {
                // From now on nothing is said in it, though it has not heard yet.
                self.peers.closing.borrow_mut().insert(enquiry);
            }
            FloorEvent::Offered { .. }
            | FloorEvent::OfferEnded { .. }
            | FloorEvent::Waiting { .. }
            | FloorEvent::PickedUp { .. }
            | FloorEvent::BotTook { .. }
            | FloorEvent::BotLeft { .. }
            | FloorEvent::Missed { .. }
            | FloorEvent::WalkEnded { .. }
            | FloorEvent::TransferOffered { .. }
            | FloorEvent::TransferEnded { .. }
            | FloorEvent::OwnerGone { .. }
            | FloorEvent::NobodyTookOver { .. }
            | FloorEvent::Held { .. } => {}
        }
    }

    fn note_staffed(&self) {
        let anybody = self.peers.settings.staff.keys().any(|staff| {
            self.floor.seat(*staff).is_some_and(|seat| seat.presence == Presence::Active)
        });
        self.peers.staffed.set(anybody);
    }

    fn expire(&mut self) {
        let mut effects = Vec::new();
        self.floor.expire(self.peers.now(), &mut effects);
        self.carry_out(effects, None);
    }

    fn explain(&self, explain: &Explain, visitor: Option<Visitor>) -> Explained {
        let nobody = || Visitor::new(VisitorId::from_number(0), Identities::default());
        let visitor = visitor.unwrap_or_else(nobody);
        let at = explain.at.unwrap_or_else(|| self.peers.wall_now());
        let country = visitor.country().map(Box::from);
        let route = Route {
            enquiry: EnquiryId::from_number(0),
            channel: explain.channel,
            visitor,
            country,
            window_until: at + std::time::Duration::from_hours(24),
            delayed: false,
            lapsed: false,
        };
        let (steps, stage) = self.floor.explain(route, at, explain.everyone);
        Explained { at, steps, stage }
    }
}

fn count_decision(steps: &[Step]) {
    let outcome = if steps.contains(&Step::Missed) { "missed" } else { "decided" };
    let shape = steps.iter().find_map(|step| match step {
        Step::Percentage { .. } => Some("percentage"),
        Step::Time { .. } => Some("time"),
        Step::Binding { .. } => Some("binding"),
        _ => None,
    });
    metrics::counter!(names::DECISIONS, "rule" => shape.unwrap_or("alternative"), "outcome" => outcome).increment(1);
}

const fn code_of(refusal: Refusal) -> Code {
    match refusal {
        Refusal::NotFound => Code::NotFound,
        Refusal::AlreadyTaken => Code::AlreadyTaken,
        Refusal::Elsewhere => Code::Elsewhere,
        Refusal::NotOffered => Code::NotOffered,
        Refusal::AtCapacity => Code::AtCapacity,
        Refusal::NotOwner => Code::NotOwner,
        Refusal::TransferPending => Code::TransferPending,
        Refusal::NobodyAvailable => Code::NobodyAvailable,
    }
}

impl Actor for Router {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        #[cfg(test)]
        crate::faults::trip_at_the_start();
        let mut effects = Vec::new();
        let now = self.peers.now();
        // Who was here is expected back, and nothing is offered to anybody before that.
        for Present { staff, presence, reloading } in std::mem::take(&mut self.present) {
            let why = PresenceWhy::NoConnection;
            for command in [
                Command::Reloading { staff, on: reloading },
                Command::Presence { staff, presence, why },
            ] {
                // Neither is ever refused.
                self.floor.apply(now, command, &mut effects).ok();
            }
        }
        self.floor.resume(now, &mut effects);
        self.note_staffed();
        self.carry_out(effects, None);
        ctx.run_interval(std::time::Duration::from_secs(1), |router, _| router.tell_state());
    }
}

impl Handler<Decide> for Router {
    type Result = ();

    fn handle(&mut self, Decide { command, answer }: Decide, _: &mut Context<Self>) {
        let mark = answer.as_ref().map(|(_, answer)| answer.mark());
        let _taken = mark.map(|mark| self.peers.in_hand.take_mark(mark));
        let mut effects = Vec::new();
        match self.floor.apply(self.peers.now(), command, &mut effects) {
            Ok(()) => self.carry_out(effects, answer),
            Err(refused) => {
                self.carry_out(effects, None);
                if let Some((staff, answer)) = answer {
                    answer.answer(&self.peers, staff, Err(code_of(refused).into()));
                }
            }
        }
    }
}

impl Handler<Due> for Router {
    type Result = ();

    fn handle(&mut self, _: Due, _: &mut Context<Self>) {
        self.alarm.rang();
        self.expire();
    }
}

impl Handler<Pass> for Router {
    type Result = ();

    fn handle(&mut self, Pass { enquiry, what }: Pass, _: &mut Context<Self>) {
        let channel = self.floor.place(enquiry).and_then(|place| self.peers.channel(place.channel));
        match channel {
            Some(channel) => channel.do_send(ToEnquiry { enquiry, what }),
            None => what.came_too_late(&self.peers),
        }
    }
}

impl Handler<TakeUp> for Router {
    type Result = ();

    fn handle(&mut self, take_up: TakeUp, _: &mut Context<Self>) {
        let TakeUp { enquiry, staff, command, answer } = take_up;
        let _taken = self.peers.in_hand.take_mark(answer.mark());
        let mut effects = Vec::new();
        let pick_up = Command::PickUp { enquiry, staff };
        let outcome = self.floor.apply(self.peers.now(), pick_up, &mut effects);
        self.carry_out(effects, None);
        let channel = self.floor.place(enquiry).and_then(|place| self.peers.channel(place.channel));
        match (outcome, channel) {
            (Ok(()), Some(channel)) => {
                let what = Told::Order { staff, command: Box::new(command), answer };
                channel.do_send(ToEnquiry { enquiry, what });
            }
            (Ok(()), None) => answer.answer(&self.peers, staff, Err(Code::NotFound.into())),
            (Err(refused), _) => answer.answer(&self.peers, staff, Err(code_of(refused).into())),
        }
    }
}

impl Handler<Serves> for Router {
    type Result = bool;

    fn handle(&mut self, Serves { staff, visitor }: Serves, _: &mut Context<Self>) -> bool {
        let joined = self.peers.joined.borrow().get(&staff).cloned().unwrap_or_default();
        let mut theirs = self.floor.owned_by(staff).chain(joined);
        theirs
            .any(|enquiry| self.floor.place(enquiry).is_some_and(|place| place.visitor == visitor))
    }
}

impl Handler<TellTo> for Router {
    type Result = ();

    fn handle(&mut self, TellTo(staff): TellTo, _: &mut Context<Self>) {
        self.tell_lines(staff);
    }
}

impl Handler<HowMany> for Router {
    type Result = usize;

    fn handle(&mut self, HowMany(staff): HowMany, _: &mut Context<Self>) -> usize {
        self.floor.owned_by(staff).count()
    }
}

impl Handler<HandOver> for Router {
    type Result = ();

    fn handle(&mut self, HandOver(staff): HandOver, _: &mut Context<Self>) {
        let mut effects = Vec::new();
        // Handing over is never refused: what nobody takes stays where it is.
        self.floor.apply(self.peers.now(), Command::HandOver { staff }, &mut effects).ok();
        self.carry_out(effects, None);
    }
}

impl Handler<ExplainThis> for Router {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(
        &mut self,
        ExplainThis { explain, answer }: ExplainThis,
        _: &mut Context<Self>,
    ) -> Self::Result {
        let directory = self.peers.directory.clone();
        let wanted = explain.visitor;
        let found = async move {
            match wanted {
                Some(visitor) => directory.send(WhoIs(visitor)).await.ok().flatten(),
                None => None,
            }
        };
        let explained = found.into_actor(self).map(move |visitor, router, _| {
            let explained = router.explain(&explain, visitor.map(Arc::unwrap_or_clone));
            // Whoever asked may have gone.
            answer.send(explained).ok();
        });
        Box::pin(explained)
    }
}

impl Handler<Stepped> for Router {
    type Result = ();

    fn handle(&mut self, _: Stepped, _: &mut Context<Self>) {
        self.floor.follow(self.peers.wall.ahead());
        self.stale = true;
    }
}
