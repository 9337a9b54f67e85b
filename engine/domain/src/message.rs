//! What is said in a room: contents, where they came from, and what each kind counts for.

use serde::{Deserialize, Serialize};

use crate::ids::{BotId, MediaId, StaffId};
use crate::template::Template;

/// What one message holds. Stored in records and shown to staff as it stands here.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Content {
    Text {
        body: String,
    },
    Media(Media),
    Location {
        latitude: f64,
        longitude: f64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<String>,
    },
    /// Contact cards, each as `Name: phone, phone`.
    Contacts {
        cards: Vec<ContactCard>,
    },
    /// A tap on a button, a list row or a template's quick reply.
    Choice {
        id: String,
        title: String,
    },
    /// A filled-in form; `fields` is JSON text as the provider gave it.
    Form {
        name: Option<String>,
        fields: String,
    },
    Order {
        items: Vec<OrderItem>,
        text: Option<String>,
    },
    /// One of the channel's approved templates.
    Template(Template),
    /// What could not be understood; `raw` is the provider's JSON text.
    Unsupported {
        what: Option<String>,
        raw: Option<String>,
    },
}

impl Content {
    /// The file of ours that it shows.
    pub fn file(&self) -> Option<MediaId> {
        match self {
            Self::Media(media) => media.file,
            Self::Template(template) => template.file(),
            _ => None,
        }
    }

    /// The file is kept no longer.
    pub fn forget_file(&mut self) {
        match self {
            Self::Media(media) => media.file = None,
            Self::Template(template) => template.forget_file(),
            _ => {}
        }
    }
}

/// A file, before or after it was fetched.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Media {
    pub sort: MediaKind,
    /// Ours, once the file is stored here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<MediaId>,
    /// The provider's handle, with which an inbound file is fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    pub mime_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// SHA-256 as the provider states it, base64 or hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaKind {
    Image,
    Video,
    Audio,
    Voice,
    Document,
    Sticker,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ContactCard {
    pub name: String,
    pub phones: Vec<String>,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct OrderItem {
    pub product: String,
    pub quantity: String,
    pub price: String,
    pub currency: String,
}

/// Where a visitor's message came from besides the chat itself.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Referral {
    pub source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headline: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// Who wrote a message that we sent.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Author {
    Staff {
        staff: StaffId,
    },
    Bot {
        bot: BotId,
    },
    /// Usher itself, for the channel.
    Auto {
        message: AutoMessage,
    },
    /// The business's own phone app.
    Phone,
}

/// The messages Usher sends by itself.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AutoMessage {
    Welcome,
    Away,
    AutoCloseNotification,
    Close,
    TransferFailed,
}

/// What an arriving update counts for (`product.md` §2).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Counts {
    /// Text, media, location, contact, order, button, list or form reply.
    Message,
    /// A message the provider could not pass on.
    Unsupported,
    Edit,
    /// Reactions, deletions, system notices and the like.
    Nothing,
    /// An echo of the business's own phone app.
    Echo,
}

impl Counts {
    /// Whether it opens an enquiry, or sets a missed one walking again.
    pub const fn opens(self) -> bool {
        matches!(self, Self::Message | Self::Unsupported)
    }

    pub const fn extends_window(self) -> bool {
        matches!(self, Self::Message)
    }

    pub const fn restarts_idle_clock(self) -> bool {
        matches!(self, Self::Message | Self::Unsupported | Self::Edit | Self::Echo)
    }
}

/// How far a message of ours has come; later ones outrank earlier ones.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    Queued,
    /// The outcome of the send is not known; never repeated by itself.
    Unknown,
    Accepted,
    Sent,
    Failed,
    Delivered,
    Read,
    Played,
}
