//! What an outbox is told, what it asks for, and how it refuses.

use std::time::Duration;

use thiserror::Error;

use crate::ids::{MessageId, VisitorId};
use crate::message::Author;
use crate::time::Timestamp;

/// Whose messages leave first; earlier ones before later ones.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Priority {
    Staff,
    Bot,
    Auto,
    Campaign,
}

impl Priority {
    pub(super) const COUNT: usize = 4;
    pub(super) const ALL: [Self; Self::COUNT] =
        [Self::Staff, Self::Bot, Self::Auto, Self::Campaign];

    /// That of a message outside campaigns.
    pub const fn of(author: Author) -> Self {
        match author {
            Author::Staff { .. } | Author::Phone => Self::Staff,
            Author::Bot { .. } => Self::Bot,
            Author::Auto { .. } => Self::Auto,
        }
    }
}

/// One message that waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Item {
    pub message: MessageId,
    pub visitor: VisitorId,
    pub class: Priority,
    /// Not sent any more once this time has come.
    pub withdraw_at: Option<Timestamp>,
}

/// What the number and its outbox can bear.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Messages in the outbox, whatever their state.
    pub queued_max: usize,
    /// Requests under way at once; at most one per visitor.
    pub in_flight_max: usize,
    /// Messages of the number in any one second, in and out together.
    pub per_second: u32,
    /// To one visitor: one message in this time in the long run …
    pub pair_every: Duration,
    /// … and this many at once.
    pub pair_burst: u32,
    /// How long a receipt is waited for when a send's outcome is not known.
    pub doubt: Duration,
    /// One message in this time while the channel is stopped.
    pub probe_every: Duration,
    /// Tries of a request that never leaves, seconds to a minute apart.
    pub unsent_tries_max: u32,
    /// Pair-rate refusals in a row before a message is given up.
    pub pair_tries_max: u32,
    /// Outcomes unknown in a row that stop the channel.
    pub doubts_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queued_max: 10_000,
            in_flight_max: 32,
            per_second: 80,
            pair_every: Duration::from_secs(6),
            pair_burst: 45,
            doubt: Duration::from_mins(1),
            probe_every: Duration::from_mins(1),
            unsent_tries_max: 100,
            pair_tries_max: 8,
            doubts_max: 32,
        }
    }
}

/// What an outbox is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Command {
    Push(Item),
    /// After a restart: it was being sent when Usher went down. Before all others of its visitor.
    PushAmbiguous(Item),
    /// A message came in: it counts against the number's limit.
    Inbound,
    /// Its reason has gone.
    Withdraw {
        message: MessageId,
    },

    /// The provider took it.
    Accepted {
        message: MessageId,
    },
    /// The provider did not take it.
    Refused {
        message: MessageId,
        code: i64,
        how: Disposition,
    },
    /// The request left; what came of it is not known.
    Ambiguous {
        message: MessageId,
    },
    /// The request certainly never left.
    NotSent {
        message: MessageId,
    },
    /// A receipt bearing the message's callback data: the provider has it.
    ReceiptSeen {
        message: MessageId,
    },

    /// What stopped the channel has been mended.
    Resume,
}

/// What a refusal means for the message, its visitor and the channel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Disposition {
    /// For now: again after `after`, then after ever longer times, `max_tries` times in all.
    /// `named`: the provider itself said how long. `slow_number`: the number is sending too fast.
    Retry { after: Duration, named: bool, slow_number: bool, max_tries: u32 },
    /// Too many to this visitor: only this visitor's line waits.
    PairRate,
    /// Nothing can be sent: everything stays queued, one message at a time tries whether it can.
    StopChannel,
    /// Once more after this time; the visitor's other messages go before it. Then given up.
    HoldBack(Duration),
    /// For good.
    Final,
}

/// What the shell must do next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effect {
    /// Send it now, and tell what came of it; `attempt` counts from 1.
    Send {
        message: MessageId,
        attempt: u32,
    },
    /// It goes back to its line, to be tried again not before `until`; no code: it never left.
    PutBack {
        message: MessageId,
        code: Option<i64>,
        until: Timestamp,
    },
    /// Out of the outbox: the provider has it.
    Accepted {
        message: MessageId,
    },
    /// Out of the outbox: it failed.
    GiveUp {
        message: MessageId,
        code: Option<i64>,
    },
    /// Out of the outbox: never repeated by itself.
    Unknown {
        message: MessageId,
    },
    /// Out of the outbox: it never left.
    Withdrawn {
        message: MessageId,
    },
    StopChannel {
        why: StopWhy,
    },
    /// The `Send` that follows tries whether the channel works again.
    ResumeProbe {
        message: MessageId,
    },
    Resumed,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StopWhy {
    Refused {
        code: i64,
    },
    /// Too many outcomes unknown in a row.
    NoAnswers,
}

/// Why a command changed nothing.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Refusal {
    #[error("the outbox is full")]
    Full,
    #[error("the message is in the outbox already")]
    AlreadyHere,
    #[error("the message is not in the outbox")]
    NotHere,
    #[error("the message is not being sent")]
    NotInFlight,
    #[error("the message has left")]
    HasLeft,
    #[error("another message of the visitor was being sent")]
    LineBusy,
}
