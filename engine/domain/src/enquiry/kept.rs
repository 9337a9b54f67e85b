//! What is kept of a live enquiry besides its place on the floor.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{MessageId, StaffId};
use crate::time::{Timestamp, millis};

/// Enough to go on after a restart; floor state is in [`Place`](crate::floor::place::Place).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct EnquiryKept {
    pub opened_at: Timestamp,
    /// When the provider's 24-hour window lapses; zero when it never was open. For sending it is
    /// taken as lapsed a little earlier, see [`window`](super::window).
    pub window_until: Timestamp,
    pub window: WindowTold,
    /// The last counted message: when (our clock).
    pub last_counted: Timestamp,
    /// Whether the visitor wrote the last counted message.
    pub visitor_last: bool,
    /// The staff member who last wrote to the visitor: a binding is made only for an owner who did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staff_wrote: Option<StaffId>,
    pub serving: Serving,
    pub clock: IdleClock,
    #[serde(default)]
    pub notice: Notice,
    /// The grace that the latest notification's text promises.
    #[serde(with = "millis")]
    pub grace: Duration,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away_sent: Option<Timestamp>,
    /// When the latest hold ends or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_until: Option<Timestamp>,
    /// The latest start of Usher that this enquiry lived through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovered_at: Option<Timestamp>,
    /// It has closed, and has said so; what the visitor is remembered by is not written down yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub over: bool,
}

/// What people were last told about the 24-hour window.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowTold {
    Open,
    /// Open, but not for long.
    Closing,
    Closed,
    /// The provider says it has lapsed: only a newer message opens it again.
    Denied,
}

/// Whether the idle clock may run, as the floor tells it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "serving", rename_all = "snake_case")]
pub enum Serving {
    Nobody,
    /// Handling: a staff member or a bot.
    Somebody,
    /// A transfer is on offer; `handled`: to be served again when it ends.
    Transfer {
        handled: bool,
    },
}

impl Serving {
    const fn when(handled: bool) -> Self {
        if handled { Self::Somebody } else { Self::Nobody }
    }

    pub(super) const fn told_handling(self, handled: bool) -> Self {
        match self {
            Self::Nobody | Self::Somebody => Self::when(handled),
            Self::Transfer { .. } => Self::Transfer { handled },
        }
    }

    pub(super) const fn told_transfer(self, offered: bool) -> Self {
        match (self, offered) {
            (Self::Nobody, true) => Self::Transfer { handled: false },
            (Self::Somebody, true) => Self::Transfer { handled: true },
            (Self::Transfer { handled }, false) => Self::when(handled),
            (unchanged, _) => unchanged,
        }
    }
}

/// Where auto-close stands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "clock", rename_all = "snake_case")]
pub enum IdleClock {
    /// Not handled, or being transferred.
    Stopped,
    /// The idle time runs from `since`, which lies ahead while the enquiry is on hold.
    Running {
        since: Timestamp,
        #[serde(default)]
        reminded: bool,
    },
    /// The notification is on its way; its grace has not begun.
    Notifying { since: Timestamp },
    /// The notification was accepted (or could not be sent): closes at `until`.
    Grace { until: Timestamp, unsent: bool },
}

/// What has become of the one notification that the present silence allows.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "notice", rename_all = "snake_case")]
pub enum Notice {
    #[default]
    None,
    /// Asked for, not yet in the outbox.
    Asked,
    /// In the outbox, outcome not known.
    Waiting { message: MessageId },
    /// The provider took it.
    Accepted { message: MessageId },
    /// It did not go out, as far as is known.
    Unsent {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<MessageId>,
    },
}
