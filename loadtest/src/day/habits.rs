//! What an agent does about what the screen shows: picks up, thinks, replies, passes on, closes, has
//! lunch, goes home. No sockets here, and no clock but what is given.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Instant;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use usher_domain::floor::event::{Closer, PickUp, TransferEnd};
use usher_domain::ids::{EnquiryId, GroupId, StaffId};
use usher_domain::message::Content;
use usher_protocol::command::{Command, Held, Key, Outgoing, PageLimit, SetPresence, Target};
use usher_protocol::event::{Entry, Event, Head, History, Relation, Withdrawal};
use usher_protocol::feed::{FeedClient, Incoming};
use usher_protocol::frame::Token;

use super::clock::Clock;
use super::tally::Fact;
use super::visitor::{label, reply};
use crate::socket::Gone;

/// Seconds of the day: seeing an offer, writing a reply, taking leave.
const SEEING: (f64, f64) = (3.0, 25.0);
const WRITING: (f64, f64) = (15.0, 70.0);
const LEAVING: (f64, f64) = (5.0, 40.0);
const LUNCH: (f64, f64) = (1500.0, 3000.0);
/// What is said about an offer, else it is picked up.
const DECLINES: f64 = 0.02;
const OVERLOOKS: f64 = 0.02;
const PASSES_ON: f64 = 0.02;
/// Who says nothing when the visitor has said goodbye leaves the closing to the clock.
const FORGETS: f64 = 0.1;

/// One thing to do at a moment.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Act {
    PickUp(EnquiryId),
    Decline(EnquiryId),
    Reply(EnquiryId),
    PassOn(EnquiryId),
    Close(EnquiryId),
    Lunch,
    Back,
    Home,
}

/// A room of ours.
#[derive(Debug)]
struct Room {
    visitor: u32,
    replied: u32,
    /// Something is planned already.
    busy: bool,
}

/// How an agent's day is planned.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) place: usize,
    pub(super) token: String,
    pub(super) seed: u64,
    pub(super) clock: Clock,
    pub(super) lunch: Instant,
    pub(super) home: Instant,
    /// Where enquiries may be passed on to.
    pub(super) groups: Vec<GroupId>,
}

#[derive(Debug)]
pub(super) struct Agent {
    plan: Plan,
    rng: SmallRng,
    feed: FeedClient,
    me: Option<StaffId>,
    capacity: u32,
    rooms: BTreeMap<EnquiryId, Room>,
    acts: BinaryHeap<Reverse<(Instant, Act)>>,
    keys: u64,
    has_gone: bool,
    frames: Vec<String>,
    facts: Vec<(Instant, Fact)>,
}

impl Agent {
    pub(super) fn new(plan: Plan) -> Self {
        let acts = [(plan.lunch, Act::Lunch), (plan.home, Act::Home)].map(Reverse);
        Self {
            rng: SmallRng::seed_from_u64(plan.seed ^ plan.place as u64),
            feed: FeedClient::new(),
            me: None,
            capacity: 0,
            rooms: BTreeMap::new(),
            acts: BinaryHeap::from(acts),
            keys: 0,
            has_gone: false,
            frames: Vec::new(),
            facts: Vec::new(),
            plan,
        }
    }

    pub(super) fn hello(&mut self) -> String {
        self.feed.hello(Some(Token::new(self.plan.token.clone())))
    }

    pub(super) const fn has_gone_home(&self) -> bool {
        self.has_gone
    }

    pub(super) fn take_frames(&mut self) -> Vec<String> {
        std::mem::take(&mut self.frames)
    }

    pub(super) fn take_facts(&mut self) -> Vec<(Instant, Fact)> {
        std::mem::take(&mut self.facts)
    }

    pub(super) fn next_act(&self) -> Option<(Instant, Act)> {
        self.acts.peek().map(|Reverse(next)| *next)
    }

    pub(super) fn goes_home(&mut self, now: Instant) {
        self.has_gone = true;
        self.rooms.clear();
        self.capacity = 0;
        self.seat(now);
    }

    /// The connection is over; `None`: by our own will.
    pub(super) fn gone(&mut self, now: Instant, gone: Option<&Gone>) {
        let Some(gone) = gone else { return self.has_gone = true };
        self.feed.closed(gone.code, &gone.reason);
        if !self.has_gone {
            self.facts.push((now, Fact::Thrown { code: gone.code }));
        }
    }

    fn seat(&mut self, now: Instant) {
        let held = u32::try_from(self.rooms.len()).unwrap_or(u32::MAX);
        let (agent, capacity) = (self.plan.place, self.capacity);
        self.facts.push((now, Fact::Seat { agent, held, capacity }));
    }

    fn after(&mut self, now: Instant, seconds: (f64, f64), act: Act) {
        let wait = self.plan.clock.real(self.rng.random_range(seconds.0..seconds.1));
        self.acts.push(Reverse((now + wait, act)));
    }

    /// Reads a frame; `false`: come back on another connection.
    pub(super) fn hear(&mut self, now: Instant, frame: &str) -> bool {
        match self.feed.receive(frame) {
            Incoming::Welcome { welcome, repeat, .. } => {
                self.me = Some(welcome.staff.id);
                self.capacity = u32::from(welcome.staff.capacity);
                self.frames.extend(repeat);
                self.seat(now);
            }
            Incoming::Snapshot { heads, .. } => self.snapshot(now, &heads),
            Incoming::Apply(event) => {
                if let Some(event) = event.typed() {
                    self.event(now, event);
                }
            }
            Incoming::Answer { command, outcome: Ok(page), .. } => {
                if let Command::History { .. } = *command {
                    self.read_up(now, page);
                }
            }
            Incoming::Answer { command, outcome: Err(refusal), .. } => {
                let code = serde_json::to_value(&refusal).ok();
                let code = code.and_then(|it| it["code"].as_str().map(str::to_owned));
                let code = code.unwrap_or_else(|| "unknown".to_owned());
                self.facts.push((now, Fact::Refused { command: command.name(), code }));
                if let Command::SignOut { .. } = *command {
                    self.has_gone = true;
                }
            }
            Incoming::Reconnect { .. } => return false,
            _ => {}
        }
        true
    }

    fn read_up(&mut self, now: Instant, page: Value) {
        let Ok(history) = serde_json::from_value::<History>(page) else { return };
        for entry in history.entries {
            if let Entry::Message(message) = entry
                && let Content::Text { body } = &message.content
                && let Some((visitor, message)) = label(body, 'v')
            {
                self.facts.push((now, Fact::Shown { visitor, message }));
            }
        }
    }

    fn snapshot(&mut self, now: Instant, heads: &[Head]) {
        self.rooms.clear();
        for head in heads.iter().filter(|head| head.relation == Relation::Owner) {
            self.opens(now, head);
        }
        self.seat(now);
    }

    fn opens(&mut self, now: Instant, head: &Head) {
        let Some(visitor) = visitor_of(head) else { return };
        self.rooms.insert(head.id, Room { visitor, replied: 0, busy: true });
        // More than the first message and the pick-up: somebody else was here before.
        if head.order > 2 {
            let limit = PageLimit::default();
            self.ask(Command::History { enquiry: head.id, before: None, limit });
        }
        let passes_on = !self.plan.groups.is_empty() && self.rng.random_bool(PASSES_ON);
        let act = if passes_on { Act::PassOn(head.id) } else { Act::Reply(head.id) };
        self.after(now, WRITING, act);
    }

    fn event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Offered { enquiry, .. } => self.offered(now, &enquiry),
            Event::Withdrawn { why, .. } => {
                self.facts.push((now, Fact::OfferEnded { why: withdrawal(why) }));
            }
            Event::PickedUp { enquiry, by, how, .. } => {
                if Some(by.id) == self.me {
                    self.picked_up(now, &enquiry, how);
                } else if enquiry.relation != Relation::Owner {
                    self.rooms.remove(&enquiry.id);
                }
                self.seat(now);
            }
            Event::Received { message } => {
                if let Content::Text { body } = &message.content {
                    self.received(now, message.enquiry, body);
                }
            }
            Event::Closed { enquiry, closer, .. } if self.rooms.remove(&enquiry).is_some() => {
                self.facts.push((now, Fact::Closed { by: closed_by(closer) }));
                self.seat(now);
            }
            Event::Missed { enquiry } => self.missed(now, &enquiry),
            Event::Transferred { enquiry, by, end, .. } if Some(by.id) == self.me => {
                self.facts.push((now, Fact::Transferred { end: end.map(transfer_end) }));
                if end.is_some_and(|end| end != TransferEnd::Taken) {
                    self.after(now, WRITING, Act::Reply(enquiry));
                }
            }
            _ => {}
        }
    }

    /// Every member of the group hears of it; the first in order speaks for all.
    fn missed(&mut self, now: Instant, head: &Head) {
        if self.rooms.remove(&head.id).is_some() || self.plan.place == 0 {
            self.facts.push((now, Fact::Missed));
        }
    }

    fn offered(&mut self, now: Instant, head: &Head) {
        self.facts.push((now, Fact::Offered));
        self.first_message(now, head);
        let chance: f64 = self.rng.random();
        if chance < OVERLOOKS {
            return;
        }
        let declines = chance < OVERLOOKS + DECLINES;
        let act = if declines { Act::Decline(head.id) } else { Act::PickUp(head.id) };
        self.after(now, SEEING, act);
    }

    fn first_message(&mut self, now: Instant, head: &Head) {
        let first = head.first_message.as_deref().and_then(|text| label(text, 'v'));
        if let Some((visitor, message)) = first {
            self.facts.push((now, Fact::Shown { visitor, message }));
        }
    }

    fn picked_up(&mut self, now: Instant, head: &Head, how: PickUp) {
        let Some(visitor) = visitor_of(head) else { return };
        self.facts.push((now, Fact::PickedUp { visitor, how: pick_up(how) }));
        self.first_message(now, head);
        self.opens(now, head);
    }

    fn received(&mut self, now: Instant, enquiry: EnquiryId, body: &str) {
        let Some((visitor, message)) = label(body, 'v') else { return };
        self.facts.push((now, Fact::Shown { visitor, message }));
        let Some(room) = self.rooms.get_mut(&enquiry) else { return };
        if body.ends_with("bye") {
            if !self.rng.random_bool(FORGETS) {
                self.after(now, LEAVING, Act::Close(enquiry));
            }
        } else if !std::mem::replace(&mut room.busy, true) {
            self.after(now, WRITING, Act::Reply(enquiry));
        }
    }

    /// Does what is due first.
    pub(super) fn act(&mut self, now: Instant) {
        let Some(Reverse((_, act))) = self.acts.pop() else { return };
        match act {
            Act::PickUp(enquiry) => self.ask(Command::PickUp { enquiry }),
            Act::Decline(enquiry) => self.ask(Command::Decline { enquiry }),
            Act::Reply(enquiry) => self.reply(now, enquiry),
            Act::PassOn(enquiry) => self.pass_on(enquiry),
            Act::Close(enquiry) if self.rooms.contains_key(&enquiry) => {
                self.ask(Command::Close { enquiry, silent: false, reason: None });
            }
            Act::Close(_) => {}
            Act::Lunch => {
                self.ask(Command::PresenceSet { presence: SetPresence::Busy, staff: None });
                self.after(now, LUNCH, Act::Back);
            }
            Act::Back => {
                self.ask(Command::PresenceSet { presence: SetPresence::Active, staff: None });
            }
            Act::Home => {
                self.goes_home(now);
                self.ask(Command::SignOut { held: Some(Held::HandOver) });
            }
        }
    }

    /// What cannot be asked now is left: the agent is between connections.
    fn ask(&mut self, command: Command) {
        if let Ok(submitted) = self.feed.submit(command) {
            self.frames.extend(submitted.frame);
        }
    }

    fn reply(&mut self, now: Instant, enquiry: EnquiryId) {
        let Some(room) = self.rooms.get_mut(&enquiry) else { return };
        room.replied += 1;
        room.busy = false;
        let (visitor, message) = (room.visitor, room.replied);
        self.keys += 1;
        let key = Key::try_from(format!("{:x}-{}-{}", self.plan.seed, self.plan.place, self.keys));
        let Ok(key) = key else { return };
        // Two agents may serve a visitor one after the other: their replies are told apart.
        let message = message + 1000 * u32::try_from(self.plan.place).unwrap_or_default();
        self.facts.push((now, Fact::Replied { visitor, message }));
        let content = Outgoing::Text { body: reply(visitor, message) };
        self.ask(Command::Send { enquiry, key, content, reply_to: None });
    }

    fn pass_on(&mut self, enquiry: EnquiryId) {
        if !self.rooms.contains_key(&enquiry) {
            return;
        }
        let group = self.plan.groups[self.rng.random_range(0..self.plan.groups.len())];
        self.ask(Command::Transfer { enquiry, to: Target::Group(group), blind: false });
        // If nobody can take it, the visitor still wants an answer.
        let now = self.next_act().map_or(self.plan.home, |next| next.0.min(self.plan.home));
        self.after(now, (60.0, 90.0), Act::Reply(enquiry));
    }
}

/// Visitors of the day are known by their name.
fn visitor_of(head: &Head) -> Option<u32> {
    head.visitor.name.as_deref()?.strip_prefix("Visitor ")?.parse().ok()
}

const fn withdrawal(why: Withdrawal) -> &'static str {
    match why {
        Withdrawal::AlreadyTaken => "taken by somebody else",
        Withdrawal::Elsewhere => "picked up",
        Withdrawal::Declined => "declined",
        Withdrawal::Lapsed => "lapsed",
        Withdrawal::NotStanding => "left or busy",
        Withdrawal::Full => "full",
        Withdrawal::Moved => "moved on",
    }
}

const fn pick_up(how: PickUp) -> &'static str {
    match how {
        PickUp::Offer => "offer",
        PickUp::Auto => "by itself",
        PickUp::FollowUp => "missed, followed up",
        PickUp::Assign => "assigned",
        PickUp::TakeOver => "taken over",
        PickUp::Transfer => "transferred",
        PickUp::Relief => "owner gone",
    }
}

const fn closed_by(closer: Closer) -> &'static str {
    match closer {
        Closer::Staff { .. } => "by the agent",
        Closer::Bot { .. } => "by a bot",
        Closer::AutoClose { unanswered: false } => "after silence",
        Closer::AutoClose { unanswered: true } => "after silence, the visitor unanswered",
        Closer::Stale => "stale",
        Closer::Merged => "merged",
        Closer::Blocked => "blocked",
    }
}

const fn transfer_end(end: TransferEnd) -> &'static str {
    match end {
        TransferEnd::Taken => "taken",
        TransferEnd::Cancelled => "cancelled",
        TransferEnd::Declined => "declined",
        TransferEnd::Lapsed => "lapsed",
        TransferEnd::Overtaken => "overtaken",
    }
}
