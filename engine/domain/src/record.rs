//! Records: everything that has happened, in the past tense, as the journal keeps it.
//!
//! A record says what happened (`event`) and, where that changed what a restart starts from, the
//! latest state after it (`after`). Recovery therefore only needs the newest state of each live
//! thing, and never decides anything again.

use serde::{Deserialize, Serialize};

use crate::attendance::AttendanceKept;
use crate::bot::TalkKept;
use crate::enquiry::EnquiryKept;
use crate::floor::event::FloorEvent;
use crate::floor::place::{PlaceThen, SeatKept};
use crate::ids::{
    ChannelId, EnquiryId, MediaId, MessageId, RuleId, ServiceId, SessionId, StaffId, VisitorId,
};
use crate::message::{Author, Content, Counts, Delivery, Referral};
use crate::rule::Draws;
use crate::time::Timestamp;
use crate::visitor::Visitor;

/// One entry of a service's journal.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Record {
    /// Version of the record's shape.
    pub v: u16,
    pub at: Timestamp,
    #[serde(flatten)]
    pub event: Event,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<After>,
}

impl Record {
    pub const VERSION: u16 = 1;

    pub fn new(at: Timestamp, event: Event) -> Self {
        Self { v: Self::VERSION, at, event, after: Vec::new() }
    }

    #[must_use]
    pub fn leaving(mut self, after: After) -> Self {
        // Mostly the only one; a vector that grows by itself begins with room for four.
        self.after.reserve_exact(1);
        self.after.push(after);
        self
    }
}

/// The newest state of something that outlives a restart; `None` = gone.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum After {
    Place {
        enquiry: EnquiryId,
        place: Option<PlaceThen>,
    },
    Enquiry {
        enquiry: EnquiryId,
        kept: Option<Box<EnquiryKept>>,
    },
    /// A bot serves it.
    Talk {
        enquiry: EnquiryId,
        talk: Option<Box<TalkKept>>,
    },
    Seat {
        staff: StaffId,
        seat: SeatKept,
    },
    Attendance {
        staff: StaffId,
        kept: AttendanceKept,
    },
    /// Percentage counters, per channel, rule and layer.
    Draws {
        channel: ChannelId,
        rule: RuleId,
        node: u16,
        draws: Box<Draws>,
    },
}

/// What happened.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The service's settings became these (JSON text).
    SettingsApplied {
        service: ServiceId,
        settings: String,
    },
    /// A channel's number was learned from its first authenticated webhook.
    NumberLearned {
        channel: ChannelId,
        phone_number_id: String,
    },

    /// A visitor is new or has changed; `visitor` is whole.
    VisitorChanged {
        visitor: Box<Visitor>,
    },
    /// `gone` was the same person as `kept`.
    VisitorsMerged {
        kept: VisitorId,
        gone: VisitorId,
    },

    EnquiryOpened {
        enquiry: EnquiryId,
        channel: ChannelId,
        visitor: VisitorId,
    },
    /// A visitor's message; without an enquiry when it opens none and none is live.
    MessageReceived(Box<MessageReceived>),
    /// The visitor edited a message of theirs.
    MessageEdited {
        channel: ChannelId,
        visitor: VisitorId,
        enquiry: Option<EnquiryId>,
        provider_id: String,
        of: String,
        content: Content,
    },
    /// The visitor deleted a message of theirs.
    MessageRevoked {
        channel: ChannelId,
        visitor: VisitorId,
        enquiry: Option<EnquiryId>,
        provider_id: String,
        of: String,
    },
    /// A reaction to the message with the provider's id `on`; no emoji: removed.
    Reacted {
        channel: ChannelId,
        visitor: VisitorId,
        enquiry: Option<EnquiryId>,
        provider_id: String,
        on: String,
        emoji: Option<String>,
        by: Option<StaffId>,
    },
    /// A number change or another notice of the provider's, shown in the room.
    SystemNoticed {
        channel: ChannelId,
        visitor: VisitorId,
        enquiry: Option<EnquiryId>,
        provider_id: String,
        text: String,
    },

    /// A message of ours stands in the outbox.
    MessageQueued(Box<MessageQueued>),
    /// The request is about to leave; without an outcome after a crash it is ambiguous.
    MessageSending {
        message: MessageId,
        attempt: u32,
    },
    /// The provider refused for now; it is tried again.
    MessagePutBack {
        message: MessageId,
        code: i64,
    },
    /// The provider took it.
    MessageAccepted {
        message: MessageId,
        provider_id: String,
    },
    MessageFailed {
        message: MessageId,
        code: i64,
        title: String,
    },
    /// The outcome stays unknown; never repeated by itself.
    MessageUnknown {
        message: MessageId,
    },
    /// Its reason had gone before it left.
    MessageWithdrawn {
        message: MessageId,
    },
    /// A receipt moved a message's delivery on.
    ReceiptTaken {
        message: MessageId,
        delivery: Delivery,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        participant: Option<String>,
        provider_at: Timestamp,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<i64>,
    },
    /// A receipt of a message we do not know yet, which waits for it.
    ReceiptHeld(Box<ReceiptHeld>),
    /// A receipt of a message we do not know, kept after waiting for it.
    ReceiptUnmatched {
        channel: ChannelId,
        provider_id: String,
        raw: String,
    },
    /// The provider says the window has lapsed, or it lapsed by our clock.
    WindowLapsed {
        enquiry: EnquiryId,
        by_provider: bool,
    },

    Floor(FloorEvent),
    /// The floor's state moved without an event worth telling.
    FloorKept {},
    /// What a restart needs to know of a person's presence has changed.
    AttendanceKept {
        staff: StaffId,
    },
    /// The idle clock moved without a message (handling, hold, settings).
    ClockSet {
        enquiry: EnquiryId,
    },
    /// The auto-close notification could not be sent; the room says why.
    NotificationUnsent {
        enquiry: EnquiryId,
        why: String,
    },
    NoteAdded {
        note: MessageId,
        enquiry: EnquiryId,
        by: StaffId,
        text: String,
    },
    Labelled {
        enquiry: EnquiryId,
        by: StaffId,
        label: String,
        on: bool,
    },
    RoomJoined {
        enquiry: EnquiryId,
        staff: StaffId,
        monitor: bool,
        by: StaffId,
    },
    RoomLeft {
        enquiry: EnquiryId,
        staff: StaffId,
    },

    /// A file is stored here.
    MediaStored {
        media: MediaId,
        message: Option<MessageId>,
        sha256: String,
        mime_type: String,
        bytes: u64,
        filename: Option<String>,
    },
    MediaUnavailable {
        message: MessageId,
        why: String,
    },
    /// Templates as the provider lists them (JSON text).
    TemplatesSynced {
        channel: ChannelId,
        templates: String,
    },

    SessionOpened {
        session: SessionId,
        staff: StaffId,
        token_sha256: String,
        until: Timestamp,
    },
    SessionEnded {
        session: SessionId,
    },

    /// An update for a number that no channel of this service has.
    UnknownNumber {
        channel: ChannelId,
        phone_number_id: String,
        raw: String,
    },
    /// An update nobody could be named for, or that broke its handler twice.
    Quarantined {
        channel: ChannelId,
        why: String,
        raw: String,
    },
    /// Account, template and quality notices of the provider, and what else is kept as it came.
    ProviderNoticed {
        channel: ChannelId,
        field: String,
        raw: String,
    },
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct MessageReceived {
    pub message: MessageId,
    pub channel: ChannelId,
    pub visitor: VisitorId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enquiry: Option<EnquiryId>,
    pub provider_id: String,
    pub provider_at: Timestamp,
    pub counts: Counts,
    pub content: Content,
    /// Provider's id of the message replied to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referral: Option<Box<Referral>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forwarded: bool,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ReceiptHeld {
    pub channel: ChannelId,
    pub provider_id: String,
    pub delivery: Delivery,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participant: Option<String>,
    pub provider_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The provider's JSON text.
    pub raw: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct MessageQueued {
    pub message: MessageId,
    pub channel: ChannelId,
    pub visitor: VisitorId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enquiry: Option<EnquiryId>,
    pub author: Author,
    pub content: Content,
    /// Provider's id of the message replied to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// A reaction: provider's id of the message reacted to, and the emoji in `content`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reacts_to: Option<String>,
    /// The sender's own key, so that a repeat is not sent twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Not sent before the reason is checked again once this time has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdraw_at: Option<Timestamp>,
}
