//! What leaves through a provider, and what becomes of it; the gateway sends.

use std::time::Duration;

use usher_domain::ids::{ChannelId, EnquiryId, MessageId, ServiceId};
use usher_domain::message::Content;
use usher_domain::visitor::Identities;

/// A message to be handed to the provider now, once.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    pub service: ServiceId,
    pub channel: ChannelId,
    pub message: MessageId,
    pub enquiry: Option<EnquiryId>,
    pub to: Identities,
    /// As the visitor is to see it, the display name included.
    pub content: Content,
    pub reply_to: Option<String>,
    /// A reaction: the provider's id of the message reacted to; the emoji is the text.
    pub reacts_to: Option<String>,
}

/// What the engine asks of a provider.
#[derive(Clone, Debug, PartialEq)]
pub enum ProviderCall {
    Send(Box<Outgoing>),
    /// The visitor's message was read, and perhaps somebody is writing.
    Read {
        channel: ChannelId,
        provider_id: String,
        typing: bool,
    },
    /// A file that came in has to be fetched and stored.
    Fetch {
        service: ServiceId,
        channel: ChannelId,
        message: MessageId,
        provider_id: String,
        mime_type: String,
        filename: Option<String>,
        sha256: Option<String>,
    },
}

impl ProviderCall {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Send(_) => "send",
            Self::Read { .. } => "read",
            Self::Fetch { .. } => "fetch",
        }
    }
}

/// What came of an [`Outgoing`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SendOutcome {
    Accepted {
        provider_id: String,
        wa_id: Option<String>,
        user_id: Option<String>,
    },
    Refused {
        code: i64,
        title: String,
        then: Disposition,
    },
    /// It may have been sent.
    Ambiguous,
    /// It certainly never left.
    NotSent,
}

/// What a refusal means for the message, its line and its channel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Disposition {
    Retry {
        after: Duration,
        slow_number: bool,
        tries_max: u32,
    },
    PairRate,
    StopChannel,
    HoldBack(Duration),
    /// Never again; `window_lapsed` and `opted_out` say something about the visitor too.
    Final {
        window_lapsed: bool,
        opted_out: bool,
    },
}
