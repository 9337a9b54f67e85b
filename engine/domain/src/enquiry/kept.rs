//! What is kept of a live enquiry besides its place on the floor.

use serde::{Deserialize, Serialize};

use crate::ids::MessageId;
use crate::time::Timestamp;

/// Enough to go on after a restart; floor state is in [`Place`](crate::floor::place::Place).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct EnquiryKept {
    pub opened_at: Timestamp,
    /// When the 24-hour window lapses.
    pub window_until: Timestamp,
    /// The last counted message: when (our clock).
    pub last_counted: Timestamp,
    /// Whether the visitor wrote the last counted message.
    pub visitor_last: bool,
    pub clock: IdleClock,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away_sent: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_until: Option<Timestamp>,
}

/// Where auto-close stands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "clock", rename_all = "snake_case")]
pub enum IdleClock {
    /// Not handled, switched off, on hold or being transferred.
    Stopped,
    /// The idle time runs from `since`.
    Running {
        since: Timestamp,
        /// At least this much more after a restart.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        not_before: Option<Timestamp>,
        #[serde(default)]
        reminded: bool,
    },
    /// The notification is on its way; its grace has not begun.
    Notifying { message: MessageId, since: Timestamp },
    /// The notification was accepted (or could not be sent): closes at `until`.
    Grace { until: Timestamp, unsent: bool },
}
