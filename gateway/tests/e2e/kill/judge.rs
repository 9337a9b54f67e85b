//! The judge: what the journal and the provider's ledger say against what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use usher_domain::floor::event::{Closer, FloorEvent};
use usher_domain::ids::{EnquiryId, MessageId};
use usher_domain::message::{Author, AutoMessage, Content};
use usher_domain::record::{Event, Record};
use usher_domain::time::Timestamp;

use super::staff::Said;
use super::visitors::Visitors;
use crate::house::House;
use crate::journal::{floor, records};

/// Everything there is to judge by.
pub struct Facts {
    answered: BTreeSet<String>,
    said: Said,
    records: Vec<Record>,
    /// Of every message the provider accepted: our callback data and the text.
    accepted: Vec<(String, String)>,
}

impl Facts {
    pub async fn gather(house: &House, visitors: &Visitors, said: Said) -> Self {
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
pub struct Verdict {
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
    pub fn of(facts: &Facts, idle: u32, grace: u32) -> Self {
        let mut verdict = Self { unanswered: facts.said.unanswered, ..Self::default() };
        verdict.incoming(facts);
        verdict.outgoing(facts);
        verdict.timers(facts, u64::from(idle) * 1_000, u64::from(grace) * 1_000);
        for code in facts.said.refused.values() {
            *verdict.counts.refused.entry(code).or_default() += 1;
        }
        verdict
    }

    pub fn is_clean(&self) -> bool {
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
        let mut clocks: BTreeMap<EnquiryId, Clock> = BTreeMap::new();
        let mut notifications: BTreeMap<MessageId, EnquiryId> = BTreeMap::new();
        for record in &facts.records {
            match &record.event {
                Event::MessageReceived(message) if message.counts.restarts_idle_clock() => {
                    if let Some(enquiry) = message.enquiry {
                        clocks.entry(enquiry).or_default().counted(record.at);
                    }
                }
                Event::MessageQueued(message) => {
                    let Some(enquiry) = message.enquiry else { continue };
                    let clock = clocks.entry(enquiry).or_default();
                    match message.author {
                        Author::Staff { .. } => clock.counted(record.at),
                        Author::Auto { message: AutoMessage::AutoCloseNotification } => {
                            self.counts.notifications += 1;
                            notifications.insert(message.message, enquiry);
                            if let Some(wrong) = clock.notified(record.at, idle) {
                                self.fired_twice.push(format!("{enquiry}: {wrong}"));
                            }
                        }
                        Author::Auto { message } => {
                            if let Some(wrong) = clock.said(message) {
                                self.fired_twice.push(format!("{enquiry}: {wrong}"));
                            }
                        }
                        Author::Bot { .. } | Author::Phone => {}
                    }
                }
                Event::MessageAccepted { message, .. } => {
                    if let Some(enquiry) = notifications.get(message) {
                        clocks.entry(*enquiry).or_default().reached = Some(record.at);
                    }
                }
                Event::NotificationUnsent { enquiry, .. } => {
                    clocks.entry(*enquiry).or_default().reached = Some(record.at);
                }
                _ => {}
            }
            if let Some(FloorEvent::Closed { enquiry, by, .. }) = floor(record) {
                let clock = clocks.entry(*enquiry).or_default();
                clock.closings += 1;
                if clock.closings > 1 {
                    self.fired_twice.push(format!("{enquiry}: closed {} times", clock.closings));
                }
                if matches!(by, Closer::AutoClose { .. }) {
                    self.counts.auto_closed += 1;
                    if let Some(wrong) = clock.closed(record.at, grace) {
                        self.closed_early.push(format!("{enquiry}: {wrong}"));
                    }
                }
            }
        }
    }
}

/// Messages of ours, as the journal has them.
#[derive(Default)]
struct Ours {
    by_text: BTreeMap<String, MessageId>,
    /// Shown as unknown or failed, or withdrawn: said so, and not repeated.
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
                Event::MessageUnknown { message }
                | Event::MessageFailed { message, .. }
                | Event::MessageWithdrawn { message } => {
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
        (silence < idle).then(|| format!("notified after {silence} ms of silence"))
    }

    fn said(&mut self, message: AutoMessage) -> Option<String> {
        (!self.said.insert(message)).then(|| format!("{message:?} twice"))
    }

    fn closed(&self, at: Timestamp, grace: u64) -> Option<String> {
        let Some(reached) = self.reached else { return Some("closed without notice".to_owned()) };
        let waited = at.millis().saturating_sub(reached.millis());
        (waited < grace).then(|| format!("closed {waited} ms after the notification"))
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
