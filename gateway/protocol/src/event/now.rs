//! Statements of how things are: not numbered, the latest of its key holds.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use usher_domain::floor::event::PresenceWhy;
use usher_domain::ids::{EnquiryId, StaffId};
use usher_domain::presence::Presence;
use usher_domain::rule::Destination;

use super::head::Named;
use crate::Time;

/// One statement.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "now", content = "data")]
pub enum Now {
    #[serde(rename = "presence.changed")]
    Presence(PresenceNow),
    #[serde(rename = "queue.changed")]
    Queue(QueueNow),
    #[serde(rename = "counters")]
    Counters(Counters),
    #[serde(rename = "countdown")]
    Countdown(Countdown),
    /// A colleague is writing in the room.
    #[serde(rename = "typing")]
    Typing { enquiry: EnquiryId, staff: Named<StaffId> },
}

/// A person's presence, one's own included.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PresenceNow {
    pub staff: Named<StaffId>,
    pub presence: Presence,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<PresenceWhy>,
    pub since: Time,
}

/// The line at a destination.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct QueueNow {
    pub destination: Destination,
    pub name: String,
    pub length: u32,
    /// Since when the first in line waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Time>,
}

/// One's own numbers.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Counters {
    /// Slots in use: live enquiries, one-by-one and direct offers.
    pub load: u16,
    pub capacity: u16,
    pub offers: u16,
    /// In the lines of one's groups.
    pub waiting: u32,
    pub missed: u32,
}

/// A clock that runs on an enquiry.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Countdown {
    pub enquiry: EnquiryId,
    pub of: Running,
    /// None: it runs no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Running {
    Offer,
    Transfer,
    AutoClose,
    Window,
    Hold,
}

impl Now {
    /// The names of all statements.
    pub const NAMES: [&'static str; 5] =
        ["presence.changed", "queue.changed", "counters", "countdown", "typing"];

    /// What the statement is about: a later one with the same key replaces it.
    pub fn key(&self) -> String {
        match self {
            Self::Presence(presence) => format!("presence:{}", presence.staff.id),
            Self::Queue(queue) => match queue.destination {
                Destination::Group(group) => format!("queue:{group}"),
                Destination::Queue(queue) => format!("queue:{queue}"),
                Destination::Bot(bot) => format!("queue:{bot}"),
            },
            Self::Counters(_) => "counters".into(),
            Self::Countdown(countdown) => {
                format!("countdown:{}:{:?}", countdown.enquiry, countdown.of)
            }
            Self::Typing { enquiry, staff } => format!("typing:{enquiry}:{}", staff.id),
        }
    }

    /// The frame, written once for everybody who gets it.
    pub fn encode(&self) -> Arc<str> {
        serde_json::to_string(self).expect("statements hold nothing unwritable").into()
    }
}
