//! The judge: what the journal and the provider's ledger say against what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use usher_domain::floor::event::{Closer, FloorEvent};
use usher_domain::ids::{EnquiryId, MessageId};
use usher_domain::message::{Author, AutoMessage, Content};
use usher_domain::record::{Event, MessageQueued, Record};
use usher_domain::time::Timestamp;

use super::staff::Said;
use super::visitors::Visitors;
use crate::house::House;
use crate::journal::records;

/// Milliseconds by which a record's stamp may be later than the reading of the clock that the
/// machine judged by: between the two lies one turn of an actor.
const STAMP: u64 = 50;

/// Everything there is to judge by.
pub(crate) struct Facts {
    answered: BTreeSet<String>,
    said: Said,
    records: Vec<Record>,
    /// Of every message the provider accepted: our callback data and the text.
    accepted: Vec<(String, String)>,
}

impl Facts {
    pub(crate) async fn gather(house: &House, visitors: &Visitors, said: Said) -> Self {
        let ledger = house.ledger("message").await;
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let accepted = ledger
            .iter()
            .map(|entry| (text(&entry["callback_data"]), text(&entry["body"]["text"]["body"])))
            .collect();
        let records = records(&house.store());
        Self { answered: visitors.answered(), said, records, accepted }
    }
}

/// What is wrong, each with what shows it.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    lost_in: Vec<String>,
    doubled_in: Vec<String>,
    lost_out: Vec<String>,
    doubled_out: Vec<String>,
    told_and_lost: Vec<MessageId>,
    closed_early: Vec<String>,
    fired_twice: Vec<String>,
    unanswered: usize,
    /// Not wrong, but worth knowing.
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    received: usize,
    replies: usize,
    unknown: usize,
    auto_closed: usize,
    notifications: usize,
    refused: BTreeMap<&'static str, usize>,
}

impl Verdict {
    pub(crate) fn of(facts: &Facts, idle: u32, grace: u32) -> Self {
        let mut verdict = Self { unanswered: facts.said.unanswered, ..Self::default() };
        verdict.incoming(facts);
        verdict.outgoing(facts);
        verdict.timers(facts, u64::from(idle) * 1_000, u64::from(grace) * 1_000);
        for code in facts.said.refused.values() {
            *verdict.counts.refused.entry(code).or_default() += 1;
        }
        verdict
    }

    pub(crate) fn is_clean(&self) -> bool {
        let wrong = [&self.lost_in, &self.doubled_in, &self.lost_out, &self.doubled_out];
        wrong.iter().all(|list| list.is_empty())
            && self.told_and_lost.is_empty()
            && self.closed_early.is_empty()
            && self.fired_twice.is_empty()
            && self.unanswered == 0
            // A run in which nothing happened proves nothing.
            && self.counts.replies > 100
            && self.counts.auto_closed > 10
    }

    /// What is on record about the first of each kind of wrong.
    pub(crate) fn evidence(&self, facts: &Facts) -> String {
        let lists = [&self.fired_twice, &self.closed_early, &self.lost_out, &self.doubled_out];
        let firsts = lists.into_iter().filter_map(|list| list.first());
        firsts.map(|wrong| on_record(wrong, &facts.records)).collect::<Vec<_>>().join("\n\n")
    }

    fn incoming(&mut self, facts: &Facts) {
        let mut kept: BTreeMap<&str, usize> = BTreeMap::new();
        for record in &facts.records {
            if let Event::MessageReceived(message) = &record.event {
                *kept.entry(&message.provider_id).or_default() += 1;
            }
        }
        self.counts.received = kept.len();
        let lost = facts.answered.iter().filter(|wamid| !kept.contains_key(wamid.as_str()));
        self.lost_in = lost.cloned().collect();
        let doubled = kept.iter().filter(|(_, times)| **times > 1);
        self.doubled_in = doubled.map(|(wamid, _)| (*wamid).to_owned()).collect();
    }

    fn outgoing(&mut self, facts: &Facts) {
        let mut by_message: BTreeMap<&str, usize> = BTreeMap::new();
        let mut by_text: BTreeMap<&str, usize> = BTreeMap::new();
        for (about, text) in &facts.accepted {
            *by_message.entry(about).or_default() += 1;
            if let Some((_, reply)) = text.split_once('\n') {
                *by_text.entry(reply).or_default() += 1;
            }
        }
        let twice = |of: &BTreeMap<&str, usize>| {
            let twice = of.iter().filter(|(_, times)| **times > 1);
            twice.map(|(what, times)| format!("{what} ({times}×)")).collect::<Vec<_>>()
        };
        self.doubled_out = twice(&by_message);
        self.doubled_out.extend(twice(&by_text));

        let ours = Ours::of(&facts.records);
        self.counts.unknown = ours.given_up.len();
        self.counts.replies = by_text.len();
        for text in &facts.said.acknowledged {
            let message = ours.by_text.get(text.as_str());
            let given_up = message.is_some_and(|message| ours.given_up.contains(message));
            if !by_text.contains_key(text.as_str()) && !given_up {
                self.lost_out.push(format!("{text} ({message:?})"));
            }
        }
        let told = facts.said.seen.iter().filter(|message| !ours.known.contains(message));
        self.told_and_lost = told.copied().collect();
    }

    fn timers(&mut self, facts: &Facts, idle: u64, grace: u64) {
        let mut clocks = Clocks { idle, grace, ..Clocks::default() };
        for record in &facts.records {
            clocks.hear(record);
        }
        self.counts.notifications = clocks.notifications.len();
        self.counts.auto_closed = clocks.auto_closed;
        self.fired_twice = clocks.fired_twice;
        self.closed_early = clocks.closed_early;
    }
}

/// The idle clocks of all enquiries, kept by the judge alone.
#[derive(Default)]
struct Clocks {
    idle: u64,
    grace: u64,
    by_enquiry: BTreeMap<EnquiryId, Clock>,
    notifications: BTreeMap<MessageId, EnquiryId>,
    auto_closed: usize,
    fired_twice: Vec<String>,
    closed_early: Vec<String>,
}

impl Clocks {
    fn of(&mut self, enquiry: EnquiryId) -> &mut Clock {
        self.by_enquiry.entry(enquiry).or_default()
    }

    fn of_notification(&mut self, message: MessageId) -> Option<&mut Clock> {
        let enquiry = *self.notifications.get(&message)?;
        Some(self.of(enquiry))
    }

    fn hear(&mut self, record: &Record) {
        match &record.event {
            Event::MessageReceived(message) if message.counts.restarts_idle_clock() => {
                if let Some(enquiry) = message.enquiry {
                    self.of(enquiry).counted(record.at);
                }
            }
            Event::MessageQueued(message) => self.queued(record.at, message),
            // Told by the answer or by a receipt, whichever came first; or never to be sent.
            Event::MessageAccepted { message, .. }
            | Event::ReceiptTaken { message, .. }
            | Event::MessageFailed { message, .. }
            | Event::MessageUnknown { message } => {
                if let Some(clock) = self.of_notification(*message) {
                    clock.reached.get_or_insert(record.at);
                }
            }
            Event::NotificationUnsent { enquiry, .. } => {
                self.of(*enquiry).reached.get_or_insert(record.at);
            }
            // It never left: the silence goes on.
            Event::MessageWithdrawn { message } => {
                if let Some(clock) = self.of_notification(*message) {
                    clock.notified = None;
                }
            }
            Event::Floor(FloorEvent::Closed { enquiry, by, .. }) => {
                self.closed(record.at, *enquiry, *by);
            }
            _ => {}
        }
    }

    fn queued(&mut self, at: Timestamp, message: &MessageQueued) {
        let Some(enquiry) = message.enquiry else { return };
        let idle = self.idle;
        let wrong = match message.author {
            Author::Staff { .. } => {
                self.of(enquiry).counted(at);
                None
            }
            Author::Auto { message: AutoMessage::AutoCloseNotification } => {
                self.notifications.insert(message.message, enquiry);
                self.of(enquiry).notified(at, idle)
            }
            Author::Auto { message } => self.of(enquiry).said(message),
            Author::Bot { .. } | Author::Phone => None,
        };
        self.fired_twice.extend(wrong.map(|wrong| format!("{enquiry}: {wrong}")));
    }

    fn closed(&mut self, at: Timestamp, enquiry: EnquiryId, by: Closer) {
        let grace = self.grace;
        let clock = self.of(enquiry);
        clock.closings += 1;
        let closings = clock.closings;
        let early = match by {
            Closer::AutoClose { .. } => clock.closed(at, grace),
            _ => None,
        };
        if closings > 1 {
            self.fired_twice.push(format!("{enquiry}: closed {closings} times"));
        }
        self.auto_closed += usize::from(matches!(by, Closer::AutoClose { .. }));
        self.closed_early.extend(early.map(|wrong| format!("{enquiry}: {wrong}")));
    }
}

/// Messages of ours, as the journal has them.
#[derive(Default)]
struct Ours {
    by_text: BTreeMap<String, MessageId>,
    /// Shown as unknown or failed: said so, and not repeated.
    given_up: BTreeSet<MessageId>,
    known: BTreeSet<MessageId>,
}

impl Ours {
    fn of(records: &[Record]) -> Self {
        let mut ours = Self::default();
        for record in records {
            match &record.event {
                Event::MessageReceived(message) => {
                    ours.known.insert(message.message);
                }
                Event::MessageQueued(message) => {
                    ours.known.insert(message.message);
                    if let Content::Text { body } = &message.content {
                        // The display name stands before the text, or does not yet.
                        let text = body.rsplit('\n').next().unwrap_or_default();
                        ours.by_text.insert(text.to_owned(), message.message);
                    }
                }
                Event::MessageUnknown { message } | Event::MessageFailed { message, .. } => {
                    ours.given_up.insert(*message);
                }
                _ => {}
            }
        }
        ours
    }
}

/// The idle clock of one enquiry, kept by the judge alone.
#[derive(Default)]
struct Clock {
    /// The latest counted message.
    counted: Option<Timestamp>,
    notified: Option<Timestamp>,
    /// When the notification was accepted, or known not to be sendable.
    reached: Option<Timestamp>,
    said: BTreeSet<AutoMessage>,
    closings: u32,
}

impl Clock {
    fn counted(&mut self, at: Timestamp) {
        self.counted = Some(at);
        self.notified = None;
        self.reached = None;
    }

    fn notified(&mut self, at: Timestamp, idle: u64) -> Option<String> {
        if let Some(before) = self.notified.replace(at) {
            return Some(format!("notified at {} and {}", before.millis(), at.millis()));
        }
        let silence = at.millis().saturating_sub(self.counted.map_or(0, Timestamp::millis));
        (silence + STAMP < idle).then(|| format!("notified after {silence} ms of silence"))
    }

    fn said(&mut self, message: AutoMessage) -> Option<String> {
        (!self.said.insert(message)).then(|| format!("{message:?} twice"))
    }

    fn closed(&self, at: Timestamp, grace: u64) -> Option<String> {
        let Some(reached) = self.reached else { return Some("closed without notice".to_owned()) };
        let waited = at.millis().saturating_sub(reached.millis());
        (waited + STAMP < grace).then(|| format!("closed {waited} ms after the notification"))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { received, replies, unknown, auto_closed, notifications, refused } =
            &self.counts;
        writeln!(
            f,
            "in: {received} kept, {} lost, {} doubled; out: {replies} replies at the provider, \
             {} lost, {} doubled, {unknown} known to be unknown or failed",
            self.lost_in.len(),
            self.doubled_in.len(),
            self.lost_out.len(),
            self.doubled_out.len(),
        )?;
        writeln!(
            f,
            "{notifications} notifications, {auto_closed} auto-closed, {} too early, {} twice; \
             shown and lost: {}; without an answer: {}; refused: {refused:?}",
            self.closed_early.len(),
            self.fired_twice.len(),
            self.told_and_lost.len(),
            self.unanswered,
        )
    }
}

/// The records that speak of what is wrong, shortened to what a clock needs.
fn on_record(wrong: &str, records: &[Record]) -> String {
    let is_id = |word: &&str| word.starts_with("enq_") || word.starts_with("msg_");
    let id = wrong.split([' ', ':', '(', ')']).find(is_id).unwrap_or("?");
    let mut ids = BTreeSet::from([id.to_owned()]);
    let mut lines = vec![wrong.to_owned()];
    for record in records {
        let mut value = serde_json::to_value(record).unwrap();
        let after = value["after"].take();
        let text = value.to_string();
        let here = ids.iter().any(|id| text.contains(id));
        let kept = after
            .as_array()
            .and_then(|after| after.iter().find(|after| after["enquiry"]["enquiry"] == id));
        if !here && kept.is_none() {
            continue;
        }
        if let Event::MessageQueued(message) = &record.event
            && here
        {
            ids.insert(message.message.to_string());
        }
        let kept = kept.map_or(serde_json::Value::Null, |kept| kept["enquiry"]["kept"].clone());
        let clock = format!("{} {} {}", kept["last_counted"], kept["clock"], kept["notice"]);
        lines.push(format!("{} | {clock}", text.chars().take(260).collect::<String>()));
    }
    lines.join("\n")
}
