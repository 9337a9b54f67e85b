//! What a client can ask for: every command of the agent socket, typed.

use std::fmt;

use serde::{Deserialize, Serialize};
use usher_domain::floor::event::TransferTo;
use usher_domain::ids::{ChannelId, EnquiryId, GroupId, MediaId, MessageId, StaffId, VisitorId};
use usher_domain::message::MediaKind;
use usher_domain::presence::Presence;
use usher_domain::template::Template;

use crate::Time;

/// One thing asked for. On the wire the fields stand beside `id` and `do` (see
/// [`frame`](crate::frame)); `key` makes a repeat harmless.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// One's own presence, or (supervisors) somebody else's.
    #[serde(rename = "presence.set")]
    PresenceSet {
        presence: SetPresence,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        staff: Option<StaffId>,
    },
    /// Takes an offered, or a missed, enquiry.
    PickUp {
        enquiry: EnquiryId,
    },
    Decline {
        enquiry: EnquiryId,
    },
    /// Says something to the visitor.
    Send {
        enquiry: EnquiryId,
        key: Key,
        content: Outgoing,
        /// The message this one quotes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<MessageId>,
    },
    /// The visitor is shown that somebody is writing.
    Typing {
        enquiry: EnquiryId,
    },
    /// The room was read up to and including this message.
    Read {
        enquiry: EnquiryId,
        message: MessageId,
    },
    /// A private note, for staff only.
    Note {
        enquiry: EnquiryId,
        text: String,
    },
    /// Hands the enquiry on; `blind` gives it away at once.
    Transfer {
        enquiry: EnquiryId,
        to: Target,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        blind: bool,
    },
    CancelTransfer {
        enquiry: EnquiryId,
    },
    AddStaff {
        enquiry: EnquiryId,
        staff: StaffId,
    },
    RemoveStaff {
        enquiry: EnquiryId,
        staff: StaffId,
    },
    /// Leaves a room that one had joined.
    Leave {
        enquiry: EnquiryId,
    },
    /// Looks on, unseen by the visitor (supervisors).
    Monitor {
        enquiry: EnquiryId,
    },
    Unmonitor {
        enquiry: EnquiryId,
    },
    Join {
        enquiry: EnquiryId,
    },
    TakeOver {
        enquiry: EnquiryId,
    },
    Assign {
        enquiry: EnquiryId,
        staff: StaffId,
    },
    /// No auto-close until then; without `until` the hold ends.
    Hold {
        enquiry: EnquiryId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Time>,
    },
    /// Puts the visitor on the blocklist; live enquiries close silently.
    Block {
        visitor: VisitorId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// `silent`: no Close message.
    Close {
        enquiry: EnquiryId,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        silent: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Puts a label on, or (`on: false`) takes it off.
    Label {
        enquiry: EnquiryId,
        label: String,
        #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
        on: bool,
    },
    /// Writes first: an engagement with a template.
    Start {
        channel: ChannelId,
        to: Recipient,
        template: Template,
        key: Key,
    },
    /// A page of a room, newest first.
    History {
        enquiry: EnquiryId,
        /// Only what stands before this place in the room.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<u64>,
        #[serde(default)]
        limit: PageLimit,
    },
    /// A page of what waits, or was missed, in one's groups, the newest first.
    Unserved {
        state: Unserved,
        /// Only what came before this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<EnquiryId>,
        #[serde(default)]
        limit: PageLimit,
    },
    /// Everything up to and including `at` was applied.
    Ack {
        at: u64,
    },
    /// Somebody is at the screen; every other command says so too.
    Activity {},
    /// Sets the visitor's language; without `language` it is unknown again.
    Language {
        visitor: VisitorId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        language: Option<String>,
    },
    /// No marketing to this visitor, or (`on: false`) again.
    OptOut {
        visitor: VisitorId,
        #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
        on: bool,
    },
    /// Ends the session; needed when enquiries are held: what becomes of them.
    SignOut {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        held: Option<Held>,
    },
}

const fn yes() -> bool {
    true
}

impl Command {
    /// The names of all commands, as in `do`.
    pub const NAMES: [&'static str; 29] = [
        "presence.set",
        "pick_up",
        "decline",
        "send",
        "typing",
        "read",
        "note",
        "transfer",
        "cancel_transfer",
        "add_staff",
        "remove_staff",
        "leave",
        "monitor",
        "unmonitor",
        "join",
        "take_over",
        "assign",
        "hold",
        "block",
        "close",
        "label",
        "start",
        "history",
        "unserved",
        "ack",
        "activity",
        "language",
        "opt_out",
        "sign_out",
    ];

    pub const fn name(&self) -> &'static str {
        match self {
            Self::PresenceSet { .. } => "presence.set",
            Self::PickUp { .. } => "pick_up",
            Self::Decline { .. } => "decline",
            Self::Send { .. } => "send",
            Self::Typing { .. } => "typing",
            Self::Read { .. } => "read",
            Self::Note { .. } => "note",
            Self::Transfer { .. } => "transfer",
            Self::CancelTransfer { .. } => "cancel_transfer",
            Self::AddStaff { .. } => "add_staff",
            Self::RemoveStaff { .. } => "remove_staff",
            Self::Leave { .. } => "leave",
            Self::Monitor { .. } => "monitor",
            Self::Unmonitor { .. } => "unmonitor",
            Self::Join { .. } => "join",
            Self::TakeOver { .. } => "take_over",
            Self::Assign { .. } => "assign",
            Self::Hold { .. } => "hold",
            Self::Block { .. } => "block",
            Self::Close { .. } => "close",
            Self::Label { .. } => "label",
            Self::Start { .. } => "start",
            Self::History { .. } => "history",
            Self::Unserved { .. } => "unserved",
            Self::Ack { .. } => "ack",
            Self::Activity {} => "activity",
            Self::Language { .. } => "language",
            Self::OptOut { .. } => "opt_out",
            Self::SignOut { .. } => "sign_out",
        }
    }

    /// The enquiry it is about.
    pub const fn enquiry(&self) -> Option<EnquiryId> {
        match self {
            Self::PickUp { enquiry }
            | Self::Decline { enquiry }
            | Self::Send { enquiry, .. }
            | Self::Typing { enquiry }
            | Self::Read { enquiry, .. }
            | Self::Note { enquiry, .. }
            | Self::Transfer { enquiry, .. }
            | Self::CancelTransfer { enquiry }
            | Self::AddStaff { enquiry, .. }
            | Self::RemoveStaff { enquiry, .. }
            | Self::Leave { enquiry }
            | Self::Monitor { enquiry }
            | Self::Unmonitor { enquiry }
            | Self::Join { enquiry }
            | Self::TakeOver { enquiry }
            | Self::Assign { enquiry, .. }
            | Self::Hold { enquiry, .. }
            | Self::Close { enquiry, .. }
            | Self::Label { enquiry, .. }
            | Self::History { enquiry, .. } => Some(*enquiry),
            Self::PresenceSet { .. }
            | Self::Block { .. }
            | Self::Start { .. }
            | Self::Unserved { .. }
            | Self::Ack { .. }
            | Self::Activity {}
            | Self::Language { .. }
            | Self::OptOut { .. }
            | Self::SignOut { .. } => None,
        }
    }

    /// The client's own key, where a repeat must not be done twice.
    pub const fn key(&self) -> Option<&Key> {
        if let Self::Send { key, .. } | Self::Start { key, .. } = self { Some(key) } else { None }
    }
}

/// Why nobody serves an enquiry.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unserved {
    /// It is in a line, or held out to somebody.
    Waiting,
    Missed,
}

/// The presences that can be set by hand.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SetPresence {
    Active,
    Busy,
}

impl From<SetPresence> for Presence {
    fn from(set: SetPresence) -> Self {
        match set {
            SetPresence::Active => Self::Active,
            SetPresence::Busy => Self::Busy,
        }
    }
}

/// What staff can say to a visitor; kinds and fields are those of a room's contents.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outgoing {
    Text {
        body: String,
    },
    /// A file uploaded before (`POST /v1/media`).
    Media {
        file: MediaId,
        sort: MediaKind,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        caption: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        filename: Option<String>,
    },
    Location {
        latitude: f64,
        longitude: f64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<String>,
    },
    /// One of the channel's approved templates.
    Template(Template),
    /// Without `emoji` the reaction is taken back.
    Reaction {
        to: MessageId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        emoji: Option<String>,
    },
}

/// To whom an enquiry is handed on: `{"staff":"stf_…"}` or `{"group":"grp_…"}`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    Staff(StaffId),
    Group(GroupId),
}

impl From<Target> for TransferTo {
    fn from(target: Target) -> Self {
        match target {
            Target::Staff(staff) => Self::Staff { staff },
            Target::Group(group) => Self::Group { group },
        }
    }
}

impl From<TransferTo> for Target {
    fn from(to: TransferTo) -> Self {
        match to {
            TransferTo::Staff { staff } => Self::Staff(staff),
            TransferTo::Group { group } => Self::Group(group),
        }
    }
}

/// Whom an engagement is written to: `{"visitor":"vis_…"}` or `{"phone":"+85291234567"}`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Recipient {
    Visitor(VisitorId),
    Phone(String),
}

/// What becomes of the enquiries of somebody who signs out.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    HandOver,
    Keep,
}

/// A client's own name for one sending: 1 to 64 printable ASCII characters, no space.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key(String);

impl Key {
    pub const CHARS_MAX: usize = 64;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Key {
    type Error = BadKey;

    fn try_from(text: String) -> Result<Self, BadKey> {
        let fits = (1..=Self::CHARS_MAX).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text))
        } else {
            Err(BadKey)
        }
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text cannot be a [`Key`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a key is 1 to 64 printable ASCII characters without spaces")]
pub struct BadKey;

/// How many entries of a room at once: 1 to 100.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct PageLimit(u8);

impl PageLimit {
    pub const MAX: u8 = 100;

    pub const fn entries(self) -> u8 {
        self.0
    }
}

impl Default for PageLimit {
    fn default() -> Self {
        Self(50)
    }
}

impl TryFrom<u64> for PageLimit {
    type Error = BadLimit;

    fn try_from(entries: u64) -> Result<Self, BadLimit> {
        match u8::try_from(entries) {
            Ok(entries @ 1..=Self::MAX) => Ok(Self(entries)),
            _ => Err(BadLimit),
        }
    }
}

impl From<PageLimit> for u64 {
    fn from(limit: PageLimit) -> Self {
        limit.0.into()
    }
}

/// Why a number cannot be a [`PageLimit`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a limit is a whole number from 1 to 100")]
pub struct BadLimit;
