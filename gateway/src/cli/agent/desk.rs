//! What the terminal shows: the enquiries a person is entitled to, numbered, and what happens in them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use usher_domain::ids::{EnquiryId, GroupId, MessageId, StaffId};
use usher_domain::message::Delivery;
use usher_domain::rule::Destination;
use usher_domain::time::Timestamp;
use usher_protocol::command::{Command, PageLimit, Target, Unserved};
use usher_protocol::event::{
    Entry, Event, Head, History, Now, Relation, UnservedPage, Withdrawal, Writer,
};
use usher_protocol::frame::Myself;

use super::words;

/// Messages of ours whose way is followed.
const FOLLOWED: usize = 256;
/// Enquiries in a page of what nobody serves.
const PAGE: u64 = 20;
/// Seconds before an offer's end at which it is called again.
const CALLS: [u64; 3] = [30, 10, 5];

/// Everything known.
#[derive(Debug, Default)]
pub(super) struct Desk {
    me: Option<Myself>,
    enquiries: BTreeMap<EnquiryId, Known>,
    /// What each enquiry is called here, for good.
    numbers: BTreeMap<EnquiryId, u32>,
    /// The room that texts go to.
    open: Option<EnquiryId>,
    staff: BTreeMap<StaffId, String>,
    groups: BTreeMap<GroupId, String>,
    /// Our messages on their way.
    sent: BTreeMap<MessageId, OnTheWay>,
    /// How many nobody serves in this person's groups: waiting, and missed.
    counts: BTreeMap<Unserved, u32>,
    /// Before which the next page of them begins.
    before: BTreeMap<Unserved, EnquiryId>,
}

#[derive(Debug)]
struct Known {
    number: u32,
    head: Head,
    offered_until: Option<Timestamp>,
    called: u64,
}

#[derive(Debug)]
struct OnTheWay {
    room: u32,
    beginning: String,
    /// Written by staff, not by Usher or a bot.
    by_staff: bool,
}

impl Desk {
    /// Whether it may be sent again, should it fail.
    pub(super) fn is_by_staff(&self, message: MessageId) -> bool {
        self.sent.get(&message).is_some_and(|sent| sent.by_staff)
    }

    pub(super) fn welcome(&mut self, me: &Myself) {
        self.staff.insert(me.id, me.name.clone());
        self.me = Some(me.clone());
    }

    pub(super) fn is_me(&self, staff: StaffId) -> bool {
        self.me.as_ref().is_some_and(|me| me.id == staff)
    }

    /// The room that is open.
    pub(super) const fn room(&self) -> Option<EnquiryId> {
        self.open
    }

    pub(super) fn open(&mut self, number: u32) -> Option<EnquiryId> {
        let found = self.enquiries.iter().find(|(_, known)| known.number == number);
        self.open = found.map(|(id, _)| *id).or(self.open);
        found.map(|(id, _)| *id)
    }

    /// The offer with this number, or the one that lapses first.
    pub(super) fn offer(&self, number: Option<u32>) -> Option<EnquiryId> {
        let mut offers: Vec<_> = self.enquiries.iter().collect();
        match number {
            Some(number) => offers.retain(|(_, known)| known.number == number),
            None => offers.retain(|(_, known)| known.offered_until.is_some()),
        }
        offers.sort_by_key(|(_, known)| known.offered_until);
        offers.first().map(|(id, _)| **id)
    }

    /// A colleague or a group, by id or by a name that fits only one.
    pub(super) fn target(&self, wanted: &str) -> Result<Target, String> {
        if let Ok(staff) = wanted.parse() {
            return Ok(Target::Staff(staff));
        }
        if let Ok(group) = wanted.parse() {
            return Ok(Target::Group(group));
        }
        let fits = |name: &str| name.to_lowercase().starts_with(&wanted.to_lowercase());
        let staff = self.staff.iter().filter(|(_, name)| fits(name));
        let groups = self.groups.iter().filter(|(_, name)| fits(name));
        let found: Vec<Target> = staff
            .map(|(id, _)| Target::Staff(*id))
            .chain(groups.map(|(id, _)| Target::Group(*id)))
            .collect();
        match found.as_slice() {
            [one] => Ok(*one),
            [] => Err(format!("nobody here is called {wanted}")),
            _ => Err(format!("{wanted} may be several; write more of the name")),
        }
    }

    /// A snapshot: everything known is replaced.
    pub(super) fn replace(&mut self, heads: Vec<Head>, now: Timestamp) -> Vec<String> {
        self.enquiries.clear();
        self.before.clear();
        for head in heads {
            self.put(head);
        }
        self.open = self.open.filter(|open| self.enquiries.contains_key(open));
        self.open = self.open.or_else(|| self.mine());
        self.list(now)
    }

    /// One of the rooms that this person is in.
    fn mine(&self) -> Option<EnquiryId> {
        let is_mine = |head: &Head| matches!(head.relation, Relation::Owner | Relation::Joined);
        self.enquiries.iter().find(|(_, known)| is_mine(&known.head)).map(|(id, _)| *id)
    }

    fn put(&mut self, head: Head) -> u32 {
        let (id, offer) = (head.id, head.offer.map(|offer| offer.until.0));
        let number = self.number(id);
        if head.relation == Relation::Gone {
            self.enquiries.remove(&id);
            self.open = self.open.filter(|open| *open != id);
        } else {
            let called = self.enquiries.get(&id).map_or(u64::MAX, |known| known.called);
            self.enquiries.insert(id, Known { number, head, offered_until: offer, called });
        }
        number
    }

    fn number(&mut self, enquiry: EnquiryId) -> u32 {
        let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX).saturating_add(1);
        *self.numbers.entry(enquiry).or_insert(next)
    }

    /// Everything there is, one line each.
    pub(super) fn list(&self, now: Timestamp) -> Vec<String> {
        let mut known: Vec<_> = self.enquiries.values().collect();
        known.sort_by_key(|known| known.number);
        let lines = known.into_iter().map(|known| self.line(known, now));
        lines.chain(self.more(Unserved::Waiting)).chain(self.more(Unserved::Missed)).collect()
    }

    /// That there are more than are listed here.
    fn more(&self, state: Unserved) -> Option<String> {
        let (relation, word) = match state {
            Unserved::Waiting => (Relation::Waiting, "waiting"),
            Unserved::Missed => (Relation::Missed, "missed"),
        };
        let listed = self.enquiries.values().filter(|known| known.head.relation == relation);
        let listed = u32::try_from(listed.count()).unwrap_or(u32::MAX);
        let all = self.counts.get(&state).copied().unwrap_or_default();
        (all > listed).then(|| format!(" {} more {word}: /{word} shows some of them", all - listed))
    }

    /// Asks for the next page of what nobody serves.
    pub(super) fn more_of(&self, state: Unserved) -> Command {
        let limit = PageLimit::try_from(PAGE).unwrap_or_default();
        Command::Unserved { state, before: self.before.get(&state).copied(), limit }
    }

    /// A page of what nobody serves; after the last one the first is asked for again.
    pub(super) fn unserved(&mut self, state: Unserved, answer: Value) -> Vec<String> {
        let Ok(page) = serde_json::from_value::<UnservedPage>(answer) else { return Vec::new() };
        let mut lines = Vec::new();
        for head in page.heads {
            let (id, said) = (head.id, words::head(&head));
            // What is known here may say more, of an offer for one.
            if !self.enquiries.contains_key(&id) {
                self.put(head);
            }
            lines.push(format!(" [{}] {said}", self.number(id)));
        }
        self.before.remove(&state);
        self.before.extend(page.next.map(|next| (state, next)));
        if page.next.is_none() {
            lines.push("that is all".to_owned());
        }
        lines
    }

    fn line(&self, known: &Known, now: Timestamp) -> String {
        let mark = if self.open == Some(known.head.id) { ">" } else { " " };
        let left = match known.offered_until {
            Some(until) => format!(", {} left: p picks it up", words::duration(until.since(now))),
            None => String::new(),
        };
        format!("{mark}[{}] {}{left}", known.number, words::head(&known.head))
    }

    /// What an event comes to on the screen.
    pub(super) fn apply(&mut self, event: Event, now: Timestamp) -> Vec<String> {
        match event {
            Event::Offered { enquiry, until, .. } => {
                let id = enquiry.id;
                self.put(*enquiry);
                let Some(known) = self.enquiries.get_mut(&id) else { return Vec::new() };
                known.offered_until = Some(until.0);
                known.called = until.0.since(now).as_secs();
                self.enquiries.get(&id).map(|known| self.line(known, now)).into_iter().collect()
            }
            Event::Withdrawn { enquiry, why } => {
                let number = self.number(enquiry);
                if let Some(known) = self.enquiries.get_mut(&enquiry) {
                    known.offered_until = None;
                    if known.head.relation == Relation::Offered {
                        self.enquiries.remove(&enquiry);
                    }
                }
                // One's own pick-up is told anyway.
                let told = (why != Withdrawal::Elsewhere).then(|| words::withdrawal(why));
                told.map(|why| format!(" [{number}] the offer is over: {why}"))
                    .into_iter()
                    .collect()
            }
            Event::PickedUp { enquiry, by, .. } => {
                let (id, mine) = (enquiry.id, self.is_me(by.id));
                let number = self.put(*enquiry);
                if mine {
                    self.open = Some(id);
                    vec![format!("[{number}] is yours; what you type goes to the visitor")]
                } else {
                    vec![format!("[{number}] was picked up by {}", by.name)]
                }
            }
            Event::Updated { enquiry } => {
                self.put(*enquiry);
                Vec::new()
            }
            Event::Missed { enquiry } => {
                let id = enquiry.id;
                let number = self.put(*enquiry);
                if let Some(known) = self.enquiries.get_mut(&id) {
                    known.offered_until = None;
                }
                vec![format!("[{number}] was missed; /pick {number} takes it up")]
            }
            Event::Joined { enquiry, staff, .. } => {
                let number = self.put(*enquiry);
                vec![format!("[{number}] {} came into the room", staff.name)]
            }
            Event::Closed { enquiry, closer, .. } => {
                let number = self.number(enquiry);
                self.enquiries.remove(&enquiry);
                self.open = self.open.filter(|open| *open != enquiry).or_else(|| self.mine());
                vec![format!("[{number}] is closed ({})", words::closer(closer))]
            }
            other => self.in_room(other, now),
        }
    }

    /// What is said and done in a room.
    fn in_room(&mut self, event: Event, now: Timestamp) -> Vec<String> {
        let mut lines = Vec::new();
        if let Event::Sent { message } = &event {
            let room = self.number(message.enquiry);
            if self.sent.len() >= FOLLOWED {
                self.sent.pop_first();
            }
            let beginning = words::beginning(&message.content);
            let by_staff = matches!(message.writer, Writer::Staff { .. });
            self.sent.insert(message.id, OnTheWay { room, beginning, by_staff });
        }
        match event {
            Event::Received { message } | Event::Sent { message } => {
                lines.push(format!(
                    "[{}] {}",
                    self.number(message.enquiry),
                    words::message(&message)
                ));
            }
            Event::Status { message, delivery, failure, .. } => {
                if let Some(OnTheWay { room, beginning, .. }) = self.sent.get(&message) {
                    let state = words::delivery(delivery, failure.as_ref());
                    lines.push(format!("[{room}] {state}  {beginning}"));
                }
            }
            other => {
                if let Some((enquiry, line)) = words::happened(&other, now) {
                    let number = enquiry.map(|enquiry| format!("[{}] ", self.number(enquiry)));
                    lines.push(format!("{}{line}", number.unwrap_or_default()));
                }
            }
        }
        lines
    }

    /// What a statement comes to; most only keep what is known up to date.
    pub(super) fn state(&mut self, now: Now) -> Option<String> {
        match now {
            Now::Presence(presence) => {
                let line = self.is_me(presence.staff.id).then(|| words::presence(&presence));
                self.staff.insert(presence.staff.id, presence.staff.name);
                line
            }
            Now::Queue(queue) => {
                if let Destination::Group(group) = queue.destination {
                    self.groups.insert(group, queue.name);
                }
                None
            }
            Now::Counters(counters) => {
                self.counts.insert(Unserved::Waiting, counters.waiting);
                self.counts.insert(Unserved::Missed, counters.missed);
                None
            }
            Now::Countdown(_) | Now::Typing { .. } => None,
        }
    }

    /// Offers that are about to lapse.
    pub(super) fn countdown(&mut self, now: Timestamp) -> Vec<String> {
        let mut lines = Vec::new();
        for known in self.enquiries.values_mut() {
            let Some(until) = known.offered_until else { continue };
            let left = until.since(now).as_secs();
            let call = CALLS.into_iter().find(|call| left <= *call && known.called > *call);
            if let Some(call) = call {
                known.called = CALLS.into_iter().filter(|call| left <= *call).min().unwrap_or(call);
                let left = words::duration(Duration::from_secs(left));
                lines.push(format!(" [{}] {left} left to pick it up", known.number));
            }
        }
        lines
    }

    /// What was said in a room before, oldest first.
    pub(super) fn history(&mut self, enquiry: EnquiryId, history: &History) -> Vec<String> {
        let number = self.number(enquiry);
        let line = |entry: &Entry| match entry {
            Entry::Message(message) => Some(words::message(message)),
            Entry::Note(note) => Some(words::note(note)),
            Entry::Event(_) => None,
        };
        let lines = history.entries.iter().rev().filter_map(line);
        lines.map(|line| format!("[{number}] {line}")).collect()
    }

    /// Whether nothing more is to be waited for: it has left the house, or never will.
    pub(super) const fn has_left(delivery: Delivery) -> bool {
        match delivery {
            Delivery::Queued | Delivery::Accepted => false,
            Delivery::Unknown
            | Delivery::Sent
            | Delivery::Failed
            | Delivery::Delivered
            | Delivery::Read
            | Delivery::Played => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn head(number: u32) -> Value {
        json!({"id": EnquiryId::from_number(number.into()), "as": "missed", "state": "missed",
            "channel": {"id": "chn_00000000000000000000000000000004", "name": "Shop"},
            "visitor": {"id": "vis_00000000000000000000000000000005", "name": "Ada"},
            "opened_at": "2026-11-23T09:30:00Z", "window_until": "2026-11-24T09:30:00Z"})
    }

    #[test]
    fn what_nobody_serves_is_shown_page_by_page_and_then_from_the_start() {
        let mut desk = Desk::default();
        let known = serde_json::from_value(head(9)).unwrap();
        desk.replace(vec![known], Timestamp::default());
        let counters = json!({"now": "counters",
            "data": {"load": 0, "capacity": 5, "offers": 0, "waiting": 0, "missed": 3}});
        desk.state(serde_json::from_value(counters).unwrap());
        let listed = desk.list(Timestamp::default());
        assert_eq!(listed[1], " 2 more missed: /missed shows some of them");

        let before = |desk: &Desk| match desk.more_of(Unserved::Missed) {
            Command::Unserved { before, .. } => before,
            other => panic!("{other:?}"),
        };
        assert_eq!(before(&desk), None);
        let next = EnquiryId::from_number(8);
        let page = json!({"heads": [head(9), head(8)], "next": next});
        let lines = desk.unserved(Unserved::Missed, page);
        assert!(lines[0].starts_with(" [1] missed") && lines[1].starts_with(" [2]"), "{lines:?}");
        assert_eq!(before(&desk), Some(next));
        let lines = desk.unserved(Unserved::Missed, json!({"heads": [head(7)], "next": null}));
        assert_eq!(lines.last().map(String::as_str), Some("that is all"));
        assert_eq!(before(&desk), None);
        assert_eq!(desk.list(Timestamp::default()).len(), 3, "all are known now");
    }
}
