//! One visitor's line: what it is doing, and how urgent it is.

use super::command::{Item, Priority};
use super::pace::PairPace;
use crate::ids::{MessageId, VisitorId};
use crate::time::Timestamp;

/// What waits for, or is being sent to, one visitor.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Line {
    pub(super) state: LineState,
    /// Messages in the line by class.
    pub(super) classes: [u32; Priority::COUNT],
    pub(super) pair: PairPace,
    /// Pair-rate refusals since the provider last took a message.
    pub(super) pair_refusals: u32,
    pub(super) backs_off_until: Timestamp,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum LineState {
    /// Nothing waits; forgotten once its pair limit is whole again.
    #[default]
    Empty,
    /// Its head may be sent; `class` and `head` are its place among the lines.
    Ready {
        class: Priority,
        head: u64,
    },
    /// Its head may be sent at `until`.
    Waiting {
        until: Timestamp,
    },
    Sending {
        message: MessageId,
    },
    /// Sent, outcome not known: a receipt is waited for until then.
    Doubt {
        message: MessageId,
        until: Timestamp,
    },
}

impl Line {
    /// That of its most urgent message.
    pub(super) fn class(&self) -> Priority {
        let most_urgent = Priority::ALL.into_iter().zip(self.classes).find(|&(_, count)| count > 0);
        most_urgent.map_or(Priority::Campaign, |(class, _)| class)
    }

    pub(super) fn count(&mut self, class: Priority) -> &mut u32 {
        &mut self.classes[class as usize]
    }

    /// The message that has left and has no outcome yet.
    pub(super) fn busy_with(&self) -> Option<MessageId> {
        match self.state {
            LineState::Sending { message } | LineState::Doubt { message, .. } => Some(message),
            LineState::Empty | LineState::Ready { .. } | LineState::Waiting { .. } => None,
        }
    }

    /// When nothing of it need be remembered.
    pub(super) fn forgotten_at(&self) -> Timestamp {
        self.pair.whole_at().max(self.backs_off_until)
    }
}

/// One message in the outbox, and what has been tried with it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    pub(super) item: Item,
    /// Its place: rises over the whole outbox.
    pub(super) place: u64,
    pub(super) attempts: u32,
    /// Refusals for now, and requests that never left.
    pub(super) refusals: u32,
    pub(super) unsent: u32,
    pub(super) not_before: Timestamp,
    pub(super) held_back: HeldBack,
    /// A receipt came before the outcome.
    pub(super) seen: bool,
}

/// A message held back stands beside its line; once in its life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum HeldBack {
    Never,
    Now,
    Once,
}

impl Entry {
    pub(super) fn new(item: Item, place: u64) -> Self {
        Self {
            item,
            place,
            attempts: 0,
            refusals: 0,
            unsent: 0,
            not_before: Timestamp::default(),
            held_back: HeldBack::Never,
            seen: false,
        }
    }

    pub(super) fn is_overdue(&self, now: Timestamp) -> bool {
        self.item.withdraw_at.is_some_and(|at| at <= now)
    }
}

/// What an outbox is woken for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Wake {
    /// Withdrawal comes first: what is due to go must not be sent at the same instant.
    Withdraw(MessageId),
    HeldBackEnds(MessageId),
    Line(VisitorId),
}
