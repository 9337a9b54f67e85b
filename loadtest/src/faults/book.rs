//! What was said and heard from outside, and what follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::house::Sent;

/// Two starts of the services are told apart by when each began; people of one start by less.
const ONE_START_MS: u64 = 500;
/// What was written before may be read by a busy client so much later.
const READ_WITHIN: Duration = Duration::from_millis(100);

/// One thing that happened outside of the nodes.
#[derive(Clone, Debug)]
pub(super) enum Fact {
    /// A message of a visitor was answered 200.
    Acknowledged {
        id: u64,
    },
    /// Anything at all was answered 200.
    Answered,
    /// An agent has this visitor's enquiry, or is offered it.
    Decided {
        visitor: u64,
    },
    /// An agent's connection is as good as before. `recovered`: nothing had to be told anew.
    Back {
        agent: usize,
        recovered: bool,
    },
    Gone {
        agent: usize,
    },
    /// A numbered event of an epoch.
    Told {
        epoch: u64,
    },
    /// A reply was answered: it is to be sent once.
    Promised {
        message: String,
    },
}

/// Of one round.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) acknowledged: BTreeSet<u64>,
    answered: Vec<Instant>,
    decided: BTreeMap<u64, Instant>,
    opened: BTreeMap<u64, Instant>,
    agents: BTreeMap<usize, Seat>,
    told: Vec<(Instant, u64)>,
    pub(super) promised: BTreeSet<String>,
    sent: BTreeMap<(String, String), u64>,
    wamids: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug)]
struct Seat {
    here: bool,
    since: Instant,
    recovered: bool,
}

/// Of the agents after a fault.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Resumed {
    pub(super) here: usize,
    /// Came back since the fault, without and with a snapshot.
    pub(super) recovered: usize,
    pub(super) anew: usize,
    /// From the fault to the first of them, and to the last.
    pub(super) first: Duration,
    pub(super) within: Duration,
}

impl Book {
    pub(super) fn write(&mut self, at: Instant, fact: Fact) {
        match fact {
            Fact::Acknowledged { id } => {
                self.acknowledged.insert(id);
                self.answered.push(at);
            }
            Fact::Answered => self.answered.push(at),
            Fact::Decided { visitor } => {
                self.decided.entry(visitor).or_insert(at);
            }
            Fact::Back { agent, recovered } => {
                self.agents.insert(agent, Seat { here: true, since: at, recovered });
            }
            Fact::Gone { agent } => {
                if let Some(seat) = self.agents.get_mut(&agent) {
                    *seat = Seat { here: false, since: at, ..*seat };
                }
            }
            Fact::Told { epoch } => self.told.push((at, epoch)),
            Fact::Promised { message } => {
                self.promised.insert(message);
            }
        }
    }

    /// A visitor's first webhook left for the first time.
    pub(super) fn open(&mut self, visitor: u64, at: Instant) {
        self.opened.insert(visitor, at);
    }

    /// The provider was asked to send something.
    pub(super) fn sent(&mut self, sent: &Sent) {
        if !sent.text.is_empty() {
            *self.sent.entry((sent.wa_id.clone(), sent.text.clone())).or_default() += 1;
        }
        self.wamids.insert(sent.wamid.clone());
    }

    /// Forgets the last round; who sits where is still known.
    pub(super) fn turn(&mut self) {
        let agents = std::mem::take(&mut self.agents);
        *self = Self { agents, ..Self::default() };
    }

    pub(super) fn here(&self) -> usize {
        self.agents.values().filter(|seat| seat.here).count()
    }

    pub(super) fn answers(&self) -> usize {
        self.answered.len()
    }

    pub(super) fn answered_since(&self, since: Instant) -> bool {
        self.answered.last().is_some_and(|last| *last > since)
    }

    /// Sent more than once with the same words to the same visitor; no two are alike on purpose.
    pub(super) fn sent_again(&self) -> u64 {
        self.sent.values().map(|times| times - 1).sum()
    }

    /// The longest time in which nothing was answered, from then until the last answer.
    pub(super) fn gap(&self, from: Instant) -> Duration {
        let mut answers: Vec<Instant> =
            self.answered.iter().copied().filter(|at| *at >= from).collect();
        answers.sort();
        let before = std::iter::once(from).chain(answers.iter().copied());
        let gaps = before.zip(&answers).map(|(before, at)| at.duration_since(before));
        gaps.max().unwrap_or(Duration::MAX)
    }

    /// From then to the first decision about somebody who first wrote since then.
    pub(super) fn decision(&self, from: Instant) -> Option<Duration> {
        let opened = self.opened.iter().filter(|(_, at)| **at >= from);
        let decided = opened.filter_map(|(visitor, _)| self.decided.get(visitor));
        decided.min().map(|at| at.duration_since(from))
    }

    pub(super) fn resumed(&self, from: Instant) -> Resumed {
        let (mut resumed, mut first) = (Resumed::default(), Duration::MAX);
        for seat in self.agents.values().filter(|seat| seat.here) {
            resumed.here += 1;
            if seat.since >= from {
                let kind = if seat.recovered { &mut resumed.recovered } else { &mut resumed.anew };
                *kind += 1;
                resumed.within = resumed.within.max(seat.since - from);
                first = first.min(seat.since - from);
            }
        }
        resumed.first = first.min(resumed.within);
        resumed
    }

    /// Events of a start of the services that were read after those of a later one.
    pub(super) fn two_at_once(&self) -> u64 {
        let mut epochs: Vec<u64> = self.told.iter().map(|told| told.1).collect();
        epochs.sort_unstable();
        epochs.dedup();
        let mut told = self.told.clone();
        told.sort();
        // When the first event of each later start was read.
        let mut first: BTreeMap<u64, Instant> = BTreeMap::new();
        for (at, epoch) in &told {
            first.entry(start_of(&epochs, *epoch)).or_insert(*at);
        }
        let late = told.iter().filter(|(at, epoch)| {
            let later = first.range(start_of(&epochs, *epoch) + 1..);
            later.map(|(_, first)| *first).min().is_some_and(|first| *at > first + READ_WITHIN)
        });
        late.count() as u64
    }
}

/// The first epoch of the same start; `epochs` in order.
fn start_of(epochs: &[u64], epoch: u64) -> u64 {
    let mut start = epoch;
    for earlier in epochs.iter().rev().filter(|earlier| **earlier <= epoch) {
        if start - earlier > ONE_START_MS {
            break;
        }
        start = *earlier;
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_gap_is_the_longest_time_without_an_answer() {
        let (mut book, from) = (Book::default(), Instant::now());
        for ms in [0, 100, 1_400, 1_500] {
            book.write(from + Duration::from_millis(ms), Fact::Answered);
        }
        assert_eq!(book.gap(from), Duration::from_millis(1_300));
        assert_eq!(book.gap(from + SECOND), Duration::from_millis(400));
        assert_eq!(book.gap(from + 9 * SECOND), Duration::MAX, "nothing was answered any more");
    }

    #[test]
    fn a_decision_counts_for_those_who_came_after() {
        let (mut book, before) = (Book::default(), Instant::now());
        let from = before + SECOND;
        book.open(1, before);
        book.open(2, from + SECOND);
        book.write(from + 2 * SECOND, Fact::Decided { visitor: 1 });
        assert_eq!(book.decision(from), None);
        book.write(from + 3 * SECOND, Fact::Decided { visitor: 2 });
        assert_eq!(book.decision(from), Some(3 * SECOND));
    }

    #[test]
    fn an_event_of_an_earlier_start_after_one_of_a_later_start_is_two_at_once() {
        let (mut book, from) = (Book::default(), Instant::now());
        // Two people of one start, whose feeds began some milliseconds apart.
        for (after, epoch) in [(0, 1_000), (1, 1_004), (2, 1_000), (5, 9_000), (6, 9_003)] {
            book.write(from + after * SECOND, Fact::Told { epoch });
        }
        assert_eq!(book.two_at_once(), 0);
        book.write(from + 5 * SECOND + READ_WITHIN / 2, Fact::Told { epoch: 1_004 });
        assert_eq!(book.two_at_once(), 0, "written before, read late");
        book.write(from + 7 * SECOND, Fact::Told { epoch: 1_004 });
        assert_eq!(book.two_at_once(), 1);
    }

    #[test]
    fn who_stayed_counts_as_here_and_who_came_back_as_resumed() {
        let (mut book, before) = (Book::default(), Instant::now());
        let from = before + SECOND;
        for agent in 0..4 {
            book.write(before, Fact::Back { agent, recovered: false });
        }
        for agent in 1..4 {
            book.write(from + SECOND, Fact::Gone { agent });
        }
        book.write(from + 2 * SECOND, Fact::Back { agent: 1, recovered: true });
        book.write(from + 3 * SECOND, Fact::Back { agent: 2, recovered: false });
        let (here, recovered, anew) = (3, 1, 1);
        let (first, within) = (2 * SECOND, 3 * SECOND);
        assert_eq!(book.resumed(from), Resumed { here, recovered, anew, first, within });
        assert_eq!(book.here(), 3);
    }
}
