//! What an enquiry is told, what it asks for, and how it refuses.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::floor::event::Closer;
use crate::ids::MessageId;
use crate::message::{Author, Counts};
use crate::settings::AutoClose;
use crate::time::Timestamp;

/// The settings in force where an enquiry lives; handed in, so that none keeps a copy.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    pub auto_close: &'a AutoClose,
    /// A live enquiry without a message this long closes silently.
    pub stale_close: Duration,
}

/// What an enquiry is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command {
    /// An update by the visitor, or an echo of the business's own phone app.
    VisitorWrote { counts: Counts, provider_at: Timestamp },
    /// A message of ours is about to stand in the outbox; a refused one must not. Not for campaign
    /// and API sends, which start no clock.
    WeWrote { author: Author, template: bool },
    /// Somebody, or a bot, serves it now (each pick-up and take-over anew), or nobody does.
    Handling(bool),
    /// A transfer is on offer, or has ended.
    TransferOffered(bool),
    /// On hold until then; `None` ends it.
    Hold(Option<Timestamp>),
    /// The notification asked for stands in the outbox as `message`.
    NotificationQueued { message: MessageId },
    /// The provider took it.
    NotificationAccepted { message: MessageId },
    /// It did not go out, or the provider says afterwards that it failed.
    NotificationFailed { message: MessageId, why: Unsent },
    /// The away message was sent.
    AwaySent,
    /// The provider says that the window had lapsed at its time `at`.
    WindowLapsedByProvider { at: Timestamp },
    /// The terms handed in are new; these were in force before.
    SettingsChanged { before: AutoClose },
    /// Usher has started again. Not preceded by what fell due while it was away.
    Recovered,
    /// The floor closed it.
    Closed,
}

/// What the shell must do next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effect {
    /// Queue the auto-close notification and report it with [`Command::NotificationQueued`].
    SendNotification {
        grace: Duration,
        withdraw_at: Timestamp,
    },
    /// Take it out of the outbox if it still waits there.
    WithdrawNotification {
        message: MessageId,
    },
    /// The room says why.
    NotificationUnsent {
        why: Unsent,
    },
    RemindOwner {
        why: RemindWhy,
    },
    /// Tell the floor. Nothing is done here afterwards: what arrives opens a new enquiry.
    Close {
        by: Closer,
        silent: bool,
    },
    /// Open (again, or for longer) until then.
    WindowOpened {
        until: Timestamp,
    },
    WindowClosing {
        until: Timestamp,
    },
    WindowClosed {
        by_provider: bool,
    },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RemindWhy {
    /// The visitor spoke last, and half the idle time has passed.
    VisitorWaits,
    /// The enquiry will close without notification.
    NotificationUnsent,
}

/// Why a notification did not go out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unsent {
    WindowLapsed,
    /// Still in the outbox long after it was due.
    Waited,
    /// Taken out of the outbox on request.
    Withdrawn,
    /// Refused for good.
    Refused {
        code: i64,
    },
    /// It left, and nobody knows what came of it.
    Unknown,
}

impl fmt::Display for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WindowLapsed => f.write_str("the 24-hour message window has lapsed"),
            Self::Waited => f.write_str("it could not be sent in time"),
            Self::Withdrawn => f.write_str("it was withdrawn"),
            Self::Refused { code } => write!(f, "the provider refused it (code {code})"),
            Self::Unknown => f.write_str("the provider did not say whether it was sent"),
        }
    }
}

/// Why a command changed nothing.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Refusal {
    #[error(
        "Sorry, your message can no longer be sent; the 24-hour message window has lapsed. Close \
         this enquiry, or wait until the visitor sends a message again."
    )]
    WindowLapsed,
    #[error("the enquiry is closed")]
    Closed,
    /// In characters, the display name counted.
    #[error("longer than {limit} characters")]
    TooLong { limit: usize },
}
