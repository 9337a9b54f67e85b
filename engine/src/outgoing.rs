//! What leaves through a provider or for a bot, and what becomes of it; the gateway sends.

use std::time::Duration;

use usher_domain::ids::{BotCallId, BotId, ChannelId, EnquiryId, MessageId, ServiceId};
use usher_domain::message::Content;
use usher_domain::time::Timestamp;
use usher_domain::visitor::Identities;
use usher_protocol::event::{Message, Named, Person};

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
    /// A bot is asked what it says to a message.
    Bot(Box<BotCall>),
}

/// One question to a bot; what comes of it is told by [`Engine::bot_said`](crate::Engine::bot_said).
#[derive(Clone, Debug, PartialEq)]
pub struct BotCall {
    pub service: ServiceId,
    pub bot: BotId,
    /// The same after a restart: what was answered under it is not answered twice.
    pub id: BotCallId,
    pub at: Timestamp,
    pub enquiry: EnquiryId,
    pub channel: Named<ChannelId>,
    pub opened_at: Timestamp,
    pub visitor: Person,
    pub language: Option<String>,
    pub country: Option<String>,
    pub message: Message,
    /// The last 20 messages of the enquiry at most, oldest first, `message` among them.
    pub last: Vec<Message>,
}

/// What a bot does to the enquiry that it holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum BotAction {
    Reply {
        text: String,
    },
    /// The visitor's language; `None`: unknown again.
    Set {
        language: Option<String>,
    },
    /// On to the next destination; nothing after it is done.
    HandOver,
    /// Nothing after it is done.
    Close,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum BotSaid {
    /// Done in order, all or none.
    Actions(Vec<BotAction>),
    /// It did not answer in time, or not understandably: on to the next destination.
    Failed,
}

/// What a bot says, and to what.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BotWord {
    pub bot: BotId,
    /// The call answered; `None`: it speaks unasked, which ends no call.
    pub call: Option<BotCallId>,
    /// What is said again under the same key is said once.
    pub key: Option<String>,
    pub said: BotSaid,
}

impl ProviderCall {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Send(_) => "send",
            Self::Read { .. } => "read",
            Self::Fetch { .. } => "fetch",
            Self::Bot(_) => "bot",
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
        /// The provider itself said how long.
        named: bool,
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
