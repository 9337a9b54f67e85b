//! What stands in a room, as staff see it.

use serde::{Deserialize, Serialize};
use usher_domain::ids::{BotId, EnquiryId, MessageId, StaffId};
use usher_domain::message::{Author, AutoMessage, Content, Delivery, Referral};

use super::Event;
use super::head::Named;
use crate::Time;

/// One message, whichever way it went.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Message {
    pub id: MessageId,
    pub enquiry: EnquiryId,
    /// Its place in the room; rises, with gaps for what this person may not see.
    pub order: u64,
    pub direction: Direction,
    pub writer: Writer,
    pub content: Content,
    /// When Usher stored it.
    pub time: Time,
    /// When the visitor sent it, as the provider says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_time: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    /// Ours only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The client's key of the `send` that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referral: Option<Box<Referral>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forwarded: bool,
    /// What the visitor did to it since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<Changed>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<Reaction>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the visitor.
    In,
    /// To the visitor.
    Out,
    /// Shown to staff only.
    Inside,
}

/// Who wrote something.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Writer {
    Visitor,
    Staff {
        staff: Named<StaffId>,
    },
    Bot {
        bot: Named<BotId>,
    },
    /// Usher itself, for the channel.
    Auto {
        message: AutoMessage,
    },
    /// The business's own phone app.
    Phone,
    /// The channel's custom info, for staff only.
    CustomInfo,
}

impl Writer {
    /// `staff` and `bot` say the name that goes with an id.
    pub fn of(
        author: Author,
        staff: impl FnOnce(StaffId) -> String,
        bot: impl FnOnce(BotId) -> String,
    ) -> Self {
        match author {
            Author::Staff { staff: id } => Self::Staff { staff: Named::new(id, staff(id)) },
            Author::Bot { bot: id } => Self::Bot { bot: Named::new(id, bot(id)) },
            Author::Auto { message } => Self::Auto { message },
            Author::Phone => Self::Phone,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Changed {
    Edited,
    Revoked,
}

/// Why a message did not arrive, in the provider's words.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Failure {
    pub code: i64,
    pub title: String,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Reaction {
    pub writer: Writer,
    pub emoji: String,
}

/// A private note.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Note {
    pub id: MessageId,
    pub enquiry: EnquiryId,
    pub order: u64,
    pub by: Named<StaffId>,
    pub text: String,
    pub time: Time,
}

/// Something that happened, as a line in the room.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Line {
    pub order: u64,
    pub time: Time,
    pub what: Event,
}

/// One entry of a room.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    Message(Box<Message>),
    Note(Note),
    Event(Line),
}

/// The `ok` of `history`: a page of a room, newest first.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct History {
    pub entries: Vec<Entry>,
    /// There is more before the last entry of this page.
    pub more: bool,
}

impl History {
    /// As many of `entries` (newest first) as fit into `bytes`, but at least one.
    pub fn fitting(entries: impl IntoIterator<Item = Entry>, more: bool, bytes: usize) -> Self {
        let mut page = Self { entries: Vec::new(), more };
        let mut room = bytes;
        for entry in entries {
            let size = serde_json::to_vec(&entry).map_or(usize::MAX, |text| text.len() + 1);
            if size > room && !page.entries.is_empty() {
                page.more = true;
                break;
            }
            room = room.saturating_sub(size);
            page.entries.push(entry);
        }
        page
    }
}

/// A content as staff may see it: without the provider's handles and raw JSON.
pub fn shown(content: &Content) -> Content {
    let mut content = content.clone();
    match &mut content {
        Content::Media(media) => {
            media.provider_id = None;
            media.sha256 = None;
        }
        Content::Unsupported { raw, .. } => *raw = None,
        Content::Text { .. }
        | Content::Location { .. }
        | Content::Contacts { .. }
        | Content::Choice { .. }
        | Content::Form { .. }
        | Content::Order { .. }
        | Content::Template(_) => {}
    }
    content
}

/// The beginning of a message, for the head: at most 200 characters on one line.
pub fn preview(content: &Content) -> Option<String> {
    const CHARS_MAX: usize = 200;
    let text = match content {
        Content::Text { body } => Some(body),
        Content::Media(media) => media.caption.as_ref().or(media.filename.as_ref()),
        Content::Location { name, address, .. } => name.as_ref().or(address.as_ref()),
        Content::Choice { title, .. } => Some(title),
        Content::Order { text, .. } => text.as_ref(),
        Content::Template(template) => Some(&template.name),
        Content::Form { name, .. } => name.as_ref(),
        Content::Contacts { cards } => cards.first().map(|card| &card.name),
        Content::Unsupported { what, .. } => what.as_ref(),
    }?;
    let line = text.chars().map(|char| if char.is_control() { ' ' } else { char });
    Some(line.take(CHARS_MAX).collect())
}
