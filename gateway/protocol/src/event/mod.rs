//! What staff are told: every event and statement of the feed, typed.

mod head;
mod now;
mod room;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use usher_domain::floor::event::{Closer, OfferEnd, OfferSort, PickUp, TransferEnd};
use usher_domain::ids::{ChannelId, EnquiryId, MessageId, StaffId};
use usher_domain::message::{Content, Delivery};

use crate::Time;
use crate::command::Target;

pub use head::{Elsewhere, Head, Named, Offer, Person, Relation, State, Transfer, UnservedPage};
pub use now::{Countdown, Counters, Now, PresenceNow, QueueNow, Running};
pub use room::{
    Changed, Direction, Entry, Failure, History, Line, Message, Note, Reaction, Writer, preview,
    shown,
};

/// A numbered event. Those that carry a [`Head`] carry it whole: the newest one holds.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "event", content = "data")]
pub enum Event {
    #[serde(rename = "enquiry.offered")]
    Offered { enquiry: Box<Head>, until: Time, sort: OfferSort },
    /// The offer is over for this person.
    #[serde(rename = "enquiry.withdrawn")]
    Withdrawn { enquiry: EnquiryId, why: Withdrawal },
    #[serde(rename = "enquiry.picked_up")]
    PickedUp {
        enquiry: Box<Head>,
        by: Named<StaffId>,
        how: PickUp,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Named<StaffId>>,
        /// Rises with every change of owner.
        epoch: u32,
    },
    #[serde(rename = "enquiry.updated")]
    Updated { enquiry: Box<Head> },
    /// A transfer began (`until`), or ended (`end`).
    #[serde(rename = "enquiry.transferred")]
    Transferred {
        enquiry: EnquiryId,
        by: Named<StaffId>,
        to: Target,
        blind: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Time>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        end: Option<TransferEnd>,
    },
    #[serde(rename = "enquiry.missed")]
    Missed { enquiry: Box<Head> },
    #[serde(rename = "enquiry.closed")]
    Closed {
        enquiry: EnquiryId,
        closer: Closer,
        silent: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        time: Time,
    },
    /// Something is about to happen unless somebody writes.
    #[serde(rename = "enquiry.reminder")]
    Reminder {
        enquiry: EnquiryId,
        why: Reminder,
        /// When the enquiry closes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        closes_at: Option<Time>,
    },

    /// A visitor wrote.
    #[serde(rename = "message.received")]
    Received { message: Box<Message> },
    /// Staff, a bot or Usher wrote; `key` is that of the `send`.
    #[serde(rename = "message.sent")]
    Sent { message: Box<Message> },
    /// How far a message of ours has come: never backwards.
    #[serde(rename = "message.status")]
    Status {
        enquiry: EnquiryId,
        message: MessageId,
        delivery: Delivery,
        time: Time,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
    },
    #[serde(rename = "message.edited")]
    Edited { enquiry: EnquiryId, message: MessageId, content: Content, time: Time },
    #[serde(rename = "message.revoked")]
    Revoked { enquiry: EnquiryId, message: MessageId, time: Time },
    /// Without `emoji` the reaction was taken back.
    #[serde(rename = "message.reaction")]
    Reacted {
        enquiry: EnquiryId,
        message: MessageId,
        writer: Writer,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        emoji: Option<String>,
        time: Time,
    },
    #[serde(rename = "note.added")]
    NoteAdded { note: Note },

    #[serde(rename = "room.joined")]
    Joined { enquiry: Box<Head>, staff: Named<StaffId>, by: Named<StaffId>, monitor: bool },
    #[serde(rename = "room.left")]
    Left { enquiry: EnquiryId, staff: Named<StaffId> },

    /// The 24-hour window lapses soon.
    #[serde(rename = "window.closing")]
    WindowClosing { enquiry: EnquiryId, until: Time },
    #[serde(rename = "window.closed")]
    WindowClosed { enquiry: EnquiryId, by_provider: bool },
    #[serde(rename = "window.opened")]
    WindowOpened { enquiry: EnquiryId, until: Time },

    /// What staff should know about the channel; never sent to visitors. No `text`: none any more.
    #[serde(rename = "custom_info")]
    CustomInfo {
        channel: Named<ChannelId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
    /// Something a person should read.
    #[serde(rename = "notice")]
    Notice {
        level: Level,
        text: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        enquiry: Option<EnquiryId>,
    },
}

impl Event {
    /// The names of all numbered events.
    pub const NAMES: [&'static str; 22] = [
        "enquiry.offered",
        "enquiry.withdrawn",
        "enquiry.picked_up",
        "enquiry.updated",
        "enquiry.transferred",
        "enquiry.missed",
        "enquiry.closed",
        "enquiry.reminder",
        "message.received",
        "message.sent",
        "message.status",
        "message.edited",
        "message.revoked",
        "message.reaction",
        "note.added",
        "room.joined",
        "room.left",
        "window.closing",
        "window.closed",
        "window.opened",
        "custom_info",
        "notice",
    ];

    /// Whether nobody minds hearing of it a moment later, together with what else comes: these are
    /// most of all events, and a write each would be most of what a busy socket costs.
    pub fn may_wait(&self) -> bool {
        match self {
            Self::Status { .. } | Self::Updated { .. } | Self::Missed { .. } => true,
            // What Usher says by itself nobody waits for.
            Self::Sent { message } => matches!(message.writer, Writer::Auto { .. }),
            _ => false,
        }
    }

    /// The event's text from `"event":` on, written once for everybody who gets it; the number is
    /// put in front by [`splice`](crate::frame::splice).
    pub fn tail(&self) -> Arc<str> {
        let text = serde_json::to_string(self).expect("events hold nothing unwritable");
        text.strip_prefix('{').unwrap_or_default().into()
    }
}

/// Why an offer is over.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Withdrawal {
    /// Somebody else was first.
    AlreadyTaken,
    /// The same person did it on another device.
    Elsewhere,
    Declined,
    Lapsed,
    /// The person is no longer Active, enabled or a member.
    NotStanding,
    Full,
    /// Closed, transferred, assigned, or moved on.
    Moved,
}

impl From<OfferEnd> for Withdrawal {
    /// `PickedUp` concerns the person's other devices.
    fn from(end: OfferEnd) -> Self {
        match end {
            OfferEnd::PickedUp => Self::Elsewhere,
            OfferEnd::AlreadyTaken => Self::AlreadyTaken,
            OfferEnd::Declined => Self::Declined,
            OfferEnd::Lapsed => Self::Lapsed,
            OfferEnd::NotStanding => Self::NotStanding,
            OfferEnd::Full => Self::Full,
            OfferEnd::Moved => Self::Moved,
        }
    }
}

/// What the owner is reminded of.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reminder {
    /// The auto-close notification went out; it closes at `closes_at`.
    AutoClose,
    /// The notification could not be sent; it closes at `closes_at` all the same.
    NotificationUnsent,
    /// The visitor spoke last, and waits.
    VisitorWaits,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Info,
    Warning,
}
