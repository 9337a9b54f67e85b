//! The router: asks the floor, writes down what it decided, passes the word on.

use actix::prelude::*;
use serde_json::json;
use tokio::sync::oneshot;
use usher_domain::floor::event::FloorEvent;
use usher_domain::floor::{Command, Effect, Floor, Refusal, Route};
use usher_domain::ids::{ChannelId, EnquiryId, StaffId, VisitorId};
use usher_domain::presence::Presence;
use usher_domain::record::{Event, Record};
use usher_domain::time::Timestamp;
use usher_domain::trace::Step;
use usher_domain::visitor::{Identities, Visitor};
use usher_protocol::event::{Counters, Now, QueueNow};
use usher_protocol::refusal::Code;

use crate::channel::ToEnquiry;
use crate::directory::WhoIs;
use crate::enquiry::Told;
use crate::handle::{Explain, Explained};
use crate::metrics as names;
use crate::peers::{Due, Guard, Peers};
use crate::service::AnswerTo;
use crate::staff::{Gathered, PresenceIs};
use crate::timer::Waiter;

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

/// Every enquiry that this person is to be shown shows itself.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct ShowAll {
    pub(crate) staff: StaffId,
    pub(crate) gathered: std::sync::Arc<Gathered>,
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
    /// The gauges and statements of lines are due to be told again.
    stale: bool,
}

impl Router {
    /// `resumed`: what the floor decided on going on after a restart.
    pub(crate) fn new(peers: Peers, floor: Floor) -> Self {
        let guard = peers.guard("router");
        Self { peers, _guard: guard, floor, stale: true }
    }

    /// One turn, one record group.
    fn carry_out(&mut self, effects: Vec<Effect>, answer: Option<(StaffId, AnswerTo)>) {
        let now = self.peers.now();
        let mut records: Vec<Record> = Vec::new();
        let mut happened = Vec::new();
        for effect in effects {
            match effect {
                Effect::Happened(event) => {
                    records.push(Record::new(now, Event::Floor(event.clone())));
                    happened.push(event);
                }
                Effect::Keep(after) => match records.last_mut() {
                    Some(last) => last.after.push(after),
                    None => records.push(Record::new(now, Event::FloorKept {}).leaving(after)),
                },
            }
        }
        let releases = answer
            .map(|(staff, answer)| answer.release(&self.peers, staff, Ok(json!({}))))
            .into_iter()
            .collect();
        self.peers.ledger.append(records, releases);
        for event in happened {
            self.pass_on(&event);
        }
        self.stale = true;
        self.peers.arm(Waiter::Router, self.floor.next_deadline());
    }

    fn pass_on(&self, event: &FloorEvent) {
        if let FloorEvent::PresenceChanged { staff, presence, why } = *event {
            if let Some(addr) = self.peers.staff(staff) {
                addr.do_send(PresenceIs { presence, why });
            }
            self.note_staffed();
            return;
        }
        if let FloorEvent::Decided { steps, .. } = event {
            count_decision(steps);
        }
        let Some(enquiry) = event.enquiry() else { return };
        let place = self.floor.place(enquiry).cloned().map(Box::new);
        // Closed ones are off the floor; the channel that they are on is the one that still has them.
        let channels: Vec<ChannelId> = match &place {
            Some(place) => vec![place.channel],
            None => self.peers.channels.keys().copied().collect(),
        };
        for channel in channels {
            if let Some(addr) = self.peers.channel(channel) {
                let what = Told::Floor { event: event.clone(), place: place.clone() };
                addr.do_send(ToEnquiry { enquiry, what });
            }
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

    /// Lines, counters and gauges, at most once a second.
    fn tell_state(&mut self) {
        if !std::mem::take(&mut self.stale) {
            return;
        }
        self.gauge_states();
        let settings = std::sync::Arc::clone(&self.peers.settings);
        let lengths: std::collections::BTreeMap<_, _> = self.floor.line_lengths().collect();
        let queues = settings.queues.values().map(|queue| {
            (usher_domain::rule::Destination::Queue(queue.id), queue.name.clone(), queue.group)
        });
        let groups = settings.groups.values().map(|group| {
            (usher_domain::rule::Destination::Group(group.id), group.name.clone(), group.id)
        });
        for (destination, name, group) in groups.chain(queues) {
            let length = lengths.get(&destination).copied().unwrap_or(0);
            let first = self.floor.line(destination).first().copied();
            let oldest =
                first.and_then(|enquiry| self.floor.place(enquiry)).map(|place| place.opened_at);
            self.gauge_line(&name, length, oldest);
            let now = Now::Queue(QueueNow {
                destination,
                name,
                length: u32::try_from(length).unwrap_or(u32::MAX),
                oldest: oldest.map(Into::into),
            });
            for staff in settings.groups.get(&group).map_or(&[][..], |group| &group.members) {
                self.peers.state(*staff, &now);
            }
        }
        for staff in settings.staff.keys() {
            self.tell_counters(*staff);
        }
    }

    fn tell_counters(&self, staff: StaffId) {
        let Some(seat) = self.floor.seat(staff) else { return };
        let now = Now::Counters(Counters {
            load: seat.used,
            capacity: seat.capacity,
            offers: u16::try_from(seat.offers.len()).unwrap_or(u16::MAX),
            waiting: 0,
            missed: 0,
        });
        self.peers.state(staff, &now);
    }

    #[expect(clippy::cast_precision_loss, reason = "metrics")]
    fn gauge_line(&self, name: &str, length: usize, oldest: Option<Timestamp>) {
        let destination = name.to_owned();
        metrics::gauge!(names::QUEUE_LENGTH, "destination" => destination.clone())
            .set(length as f64);
        let waited = oldest.map_or(0.0, |since| self.peers.now().since(since).as_secs_f64());
        metrics::gauge!(names::OLDEST_WAITING, "destination" => destination).set(waited);
    }

    #[expect(clippy::cast_precision_loss, reason = "metrics")]
    fn gauge_states(&self) {
        let mut states = std::collections::BTreeMap::from([
            ("open", 0_u64),
            ("ongoing", 0),
            ("missed", 0),
            ("followed_up", 0),
        ]);
        for (_, place) in self.floor.live() {
            *states.entry(place.stage.name()).or_default() += 1;
        }
        for (state, count) in states {
            metrics::gauge!(names::ENQUIRIES_LIVE, "state" => state).set(count as f64);
        }
        let mut presences = [0_u64; 4];
        let (mut used, mut slots) = (0_u64, 0_u64);
        for staff in self.peers.settings.staff.keys() {
            let Some(seat) = self.floor.seat(*staff) else { continue };
            let index = match seat.presence {
                Presence::Active => 0,
                Presence::Busy => 1,
                Presence::Idle => 2,
                Presence::Offline => 3,
            };
            presences[index] += 1;
            if seat.presence == Presence::Active {
                used += u64::from(seat.used);
                slots += u64::from(seat.capacity);
            }
        }
        for (name, count) in ["active", "busy", "idle", "offline"].into_iter().zip(presences) {
            metrics::gauge!(names::STAFF, "presence" => name).set(count as f64);
        }
        metrics::gauge!(names::CAPACITY_USED).set(if slots == 0 {
            0.0
        } else {
            used as f64 / slots as f64
        });
    }

    fn explain(&self, explain: &Explain, visitor: Option<Visitor>) -> Explained {
        let nobody = || Visitor::new(VisitorId::from_number(0), Identities::default());
        let visitor = visitor.unwrap_or_else(nobody);
        let at = explain.at.unwrap_or_else(|| self.peers.now());
        let country = visitor.country().map(Box::from);
        let route = Route {
            enquiry: EnquiryId::from_number(0),
            channel: explain.channel,
            visitor,
            country,
            window_until: at + std::time::Duration::from_hours(24),
            delayed: false,
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
        self.note_staffed();
        let mut effects = Vec::new();
        self.floor.resume(self.peers.now(), &mut effects);
        self.carry_out(effects, None);
        ctx.run_interval(std::time::Duration::from_secs(1), |router, _| router.tell_state());
    }
}

impl Handler<Decide> for Router {
    type Result = ();

    fn handle(&mut self, Decide { command, answer }: Decide, _: &mut Context<Self>) {
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

impl Handler<ShowAll> for Router {
    type Result = ();

    fn handle(&mut self, ShowAll { staff, gathered }: ShowAll, _: &mut Context<Self>) {
        let groups: Vec<_> = self
            .peers
            .settings
            .groups
            .values()
            .filter(|group| group.members.contains(&staff))
            .map(|group| group.id)
            .collect();
        let owned: std::collections::BTreeSet<EnquiryId> = self.floor.owned_by(staff).collect();
        for (enquiry, place) in self.floor.live() {
            let handled = place.stage.is_handling();
            let of_group = !handled && place.groups.iter().any(|group| groups.contains(group));
            let offered = self.floor.offers(enquiry).iter().any(|offer| offer.staff == staff);
            let member = handled && gathered.is_member(enquiry);
            if !(owned.contains(&enquiry) || of_group || offered || member) {
                continue;
            }
            if let Some(channel) = self.peers.channel(place.channel) {
                let what = Told::ShowTo { staff, gathered: std::sync::Arc::clone(&gathered) };
                channel.do_send(ToEnquiry { enquiry, what });
            }
        }
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
            let explained = router.explain(&explain, visitor.map(|visitor| *visitor));
            // Whoever asked may have gone.
            answer.send(explained).ok();
        });
        Box::pin(explained)
    }
}
