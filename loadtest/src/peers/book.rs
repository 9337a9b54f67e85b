//! The books of one service under test: what was answered 200, and what the agents were told of it.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::desk::Told;

/// One thing that somebody at the edges saw.
#[derive(Clone, Debug)]
pub(super) enum Note {
    /// A message is due to be posted; serials count up from 0.
    Posted { serial: u64, due: Instant },
    /// It was answered 200.
    Acked { serial: u64, at: Instant },
    /// An agent was told something.
    Heard { agent: usize, at: Instant, told: Told },
    /// An agent is about to close an enquiry.
    Closing { agent: usize, enquiry: String },
}

/// What the text of a message says of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Label {
    pub(super) serial: u64,
    /// The visitor's last.
    pub(super) is_last: bool,
}

impl Label {
    pub(super) fn text(self) -> String {
        let last = if self.is_last { " bye" } else { "" };
        format!("m{}{last}", self.serial)
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        let (serial, rest) =
            text.strip_prefix('m')?.split_once(' ').unwrap_or((text.strip_prefix('m')?, ""));
        Some(Self { serial: serial.parse().ok()?, is_last: rest == "bye" })
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Message {
    due: Option<Instant>,
    acked: Option<Instant>,
    /// When an agent saw it first.
    seen: Option<Instant>,
    pushes: u32,
}

#[derive(Clone, Debug, Default)]
struct Agent {
    held: BTreeSet<String>,
    assigned: u64,
}

/// What was seen so far.
#[derive(Debug)]
pub(super) struct Book {
    capacity: usize,
    messages: Vec<Message>,
    agents: Vec<Agent>,
    /// Times an agent was given more than the capacity.
    over_capacity: u64,
    greeted: BTreeSet<usize>,
    last_news: Option<Instant>,
}

impl Book {
    pub(super) fn new(agents: usize, capacity: usize) -> Self {
        Self {
            capacity,
            messages: Vec::new(),
            agents: vec![Agent::default(); agents],
            over_capacity: 0,
            greeted: BTreeSet::new(),
            last_news: None,
        }
    }

    pub(super) fn write(&mut self, note: Note) {
        match note {
            Note::Posted { serial, due } => self.message(serial).due = Some(due),
            Note::Acked { serial, at } => self.message(serial).acked = Some(at),
            Note::Closing { agent, enquiry } => {
                self.agents[agent].held.remove(&enquiry);
            }
            Note::Heard { agent, at, told } => {
                self.last_news = Some(at);
                self.heard(agent, at, told);
            }
        }
    }

    fn message(&mut self, serial: u64) -> &mut Message {
        let place = usize::try_from(serial).expect("serials are counted in memory");
        if self.messages.len() <= place {
            self.messages.resize(place + 1, Message::default());
        }
        &mut self.messages[place]
    }

    fn heard(&mut self, agent: usize, at: Instant, told: Told) {
        match told {
            Told::Ready { held } => {
                self.greeted.insert(agent);
                if let Some(held) = held {
                    self.agents[agent].held = held.into_iter().collect();
                    self.judge(agent);
                }
            }
            Told::Assigned { enquiry } => {
                self.agents[agent].assigned += 1;
                self.agents[agent].held.insert(enquiry);
                self.judge(agent);
            }
            Told::Message { text, pushed, .. } => {
                let Some(label) = Label::read(&text) else { return };
                let message = self.message(label.serial);
                message.seen.get_or_insert(at);
                message.pushes += u32::from(pushed);
            }
            Told::Closed { enquiry } => {
                self.agents[agent].held.remove(&enquiry);
            }
        }
    }

    fn judge(&mut self, agent: usize) {
        self.over_capacity += u64::from(self.agents[agent].held.len() > self.capacity);
    }

    /// How many agents have been greeted since [`forget_greetings`](Self::forget_greetings).
    pub(super) fn greeted(&self) -> usize {
        self.greeted.len()
    }

    pub(super) fn forget_greetings(&mut self) {
        self.greeted.clear();
    }

    pub(super) fn last_news(&self) -> Option<Instant> {
        self.last_news
    }

    /// Where the next message will stand.
    pub(super) fn len(&self) -> u64 {
        self.messages.len() as u64
    }

    fn part(&self, serials: &Range<u64>) -> &[Message] {
        let place = |serial: u64| usize::try_from(serial).unwrap_or(usize::MAX);
        let end = place(serials.end).min(self.messages.len());
        &self.messages[place(serials.start).min(end)..end]
    }

    /// Answered 200, and no agent ever saw it.
    pub(super) fn lost(&self, serials: &Range<u64>) -> u64 {
        let lost = |message: &&Message| message.acked.is_some() && message.seen.is_none();
        self.part(serials).iter().filter(lost).count() as u64
    }

    pub(super) fn acked(&self, serials: &Range<u64>) -> u64 {
        self.part(serials).iter().filter(|message| message.acked.is_some()).count() as u64
    }

    /// Pushed as new more than once.
    pub(super) fn duplicated(&self, serials: &Range<u64>) -> u64 {
        let again = |message: &Message| u64::from(message.pushes.saturating_sub(1));
        self.part(serials).iter().map(again).sum()
    }

    pub(super) fn over_capacity(&self) -> u64 {
        self.over_capacity
    }

    /// Enquiries given to each agent so far.
    pub(super) fn assigned(&self) -> Vec<u64> {
        self.agents.iter().map(|agent| agent.assigned).collect()
    }

    /// From when each was due to the 200.
    pub(super) fn acks(&self, serials: &Range<u64>) -> Histogram<u64> {
        histogram(
            self.part(serials).iter().filter_map(|message| since(message.due?, message.acked?)),
        )
    }

    /// From when each was due to the frame an agent read.
    pub(super) fn pushes(&self, serials: &Range<u64>) -> Histogram<u64> {
        histogram(
            self.part(serials).iter().filter_map(|message| since(message.due?, message.seen?)),
        )
    }
}

fn since(due: Instant, at: Instant) -> Option<Duration> {
    at.checked_duration_since(due)
}

/// Microseconds, three digits.
fn histogram(times: impl Iterator<Item = Duration>) -> Histogram<u64> {
    let mut histogram = Histogram::new(3).expect("three digits are allowed");
    for time in times {
        // It grows as far as a day goes.
        histogram.record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)).ok();
    }
    histogram
}

/// Most minus least.
pub(super) fn spread(before: &[u64], after: &[u64]) -> u64 {
    let given: Vec<u64> = before.iter().zip(after).map(|(before, after)| after - before).collect();
    let most = given.iter().max().copied().unwrap_or_default();
    most - given.iter().min().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, pushed: bool) -> Told {
        Told::Message { enquiry: "e".into(), text: text.into(), pushed }
    }

    fn book_of(capacity: usize, notes: impl IntoIterator<Item = Note>) -> Book {
        let mut book = Book::new(2, capacity);
        for note in notes {
            book.write(note);
        }
        book
    }

    fn heard(agent: usize, told: Told) -> Note {
        Note::Heard { agent, at: Instant::now(), told }
    }

    fn assigned(agent: usize, enquiry: &str) -> Note {
        heard(agent, Told::Assigned { enquiry: enquiry.into() })
    }

    #[test]
    fn labels_survive_the_way() {
        for label in [Label { serial: 0, is_last: false }, Label { serial: 71, is_last: true }] {
            assert_eq!(Label::read(&label.text()), Some(label));
        }
        assert_eq!(Label::read("Goodbye."), None);
    }

    #[test]
    fn lost_is_what_was_acknowledged_and_never_seen() {
        let at = Instant::now();
        let book = book_of(
            5,
            [
                Note::Acked { serial: 0, at },
                Note::Acked { serial: 1, at },
                Note::Posted { serial: 2, due: at },
                heard(0, told("m0", false)),
            ],
        );
        assert_eq!((book.acked(&(0..3)), book.lost(&(0..3)), book.lost(&(0..1))), (2, 1, 0));
    }

    #[test]
    fn reading_up_is_no_duplicate_and_a_second_push_is() {
        let notes = [told("m0", true), told("m0", false), told("m1", true), told("m1", true)];
        let book = book_of(5, notes.map(|told| heard(0, told)));
        assert_eq!((book.duplicated(&(0..1)), book.duplicated(&(0..2))), (0, 1));
    }

    #[test]
    fn a_slot_is_free_from_the_moment_of_closing() {
        let closing = Note::Closing { agent: 0, enquiry: "a".into() };
        let within = book_of(1, [assigned(0, "a"), closing, assigned(0, "b"), assigned(1, "c")]);
        assert_eq!(within.over_capacity(), 0);
        let beyond = book_of(1, [assigned(0, "a"), assigned(0, "b")]);
        assert_eq!(beyond.over_capacity(), 1);
    }

    #[test]
    fn a_new_greeting_replaces_what_was_held() {
        let ready = heard(0, Told::Ready { held: Some(vec!["b".into()]) });
        let book = book_of(1, [assigned(0, "a"), ready]);
        assert_eq!((book.over_capacity(), book.agents[0].held.len(), book.greeted()), (0, 1, 1));
    }

    #[test]
    fn latency_counts_from_when_it_was_due() {
        let due = Instant::now();
        let at = due + Duration::from_millis(40);
        let book = book_of(5, [Note::Posted { serial: 0, due }, Note::Acked { serial: 0, at }]);
        let acks = book.acks(&(0..1));
        assert!((39_900..=40_100).contains(&acks.max()), "{}", acks.max());
        assert_eq!(book.pushes(&(0..1)).len(), 0);
    }

    #[test]
    fn the_spread_is_of_what_was_given_meanwhile() {
        assert_eq!(spread(&[5, 5, 0], &[7, 6, 9]), 8);
    }
}
