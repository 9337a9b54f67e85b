//! What comes in from a provider, in the engine's own words; the gateway translates.

use bytestring::ByteString;
use usher_domain::ids::{EnquiryId, MessageId};
use usher_domain::message::{Content, Counts, Delivery, Referral};
use usher_domain::time::Timestamp;

use crate::poison::Mark;

/// One update for one channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Inbound {
    pub body: InboundBody,
    /// The provider's JSON text of this update, for what cannot be understood.
    pub raw: Option<ByteString>,
}

/// As it is kept.
pub(crate) fn kept(raw: Option<ByteString>) -> String {
    raw.map(|raw| raw.to_string()).unwrap_or_default()
}

/// Whose update it is, as the provider names them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Sender {
    pub wa_id: Option<String>,
    pub user_id: Option<String>,
    pub name: Option<String>,
    pub username: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum InboundBody {
    Message(Box<InboundMessage>),
    Edit {
        sender: Sender,
        provider_id: String,
        of: String,
        content: Content,
    },
    Revoke {
        sender: Sender,
        provider_id: String,
        of: String,
    },
    Reaction {
        sender: Sender,
        provider_id: String,
        on: String,
        emoji: Option<String>,
    },
    NumberChanged {
        sender: Sender,
        provider_id: String,
        new_wa_id: String,
        text: String,
    },
    UserIdChanged {
        sender: Sender,
        provider_id: String,
        previous: Option<String>,
        current: String,
    },
    /// Another notice of the provider's about this visitor, shown in the room.
    Notice {
        sender: Sender,
        provider_id: String,
        text: String,
    },
    Receipt(InboundReceipt),
    /// What the business wrote on its own phone app to this visitor.
    Echo {
        to: Sender,
        provider_id: String,
        provider_at: Timestamp,
        content: Content,
    },
    /// Marketing opt-out, or (`stop: false`) in again.
    Preference {
        sender: Sender,
        stop: bool,
    },
    /// Account, template and quality notices.
    Account {
        field: String,
    },
    UnknownNumber {
        phone_number_id: String,
    },
    /// Nobody can be named for it.
    Unattributed {
        why: &'static str,
    },
}

impl InboundBody {
    /// By what this update is known again when it is delivered once more.
    pub(crate) fn mark(&self) -> Mark {
        match (self.sender_and_id(), self) {
            (Some((_, provider_id)), _) => Mark::of(provider_id),
            (None, Self::Receipt(receipt)) => receipt.mark(),
            (None, other) => Mark::of(format!("{other:?}")),
        }
    }

    /// Whose it is and its id, for what comes from a person and must not be taken twice.
    pub(crate) fn sender_and_id(&self) -> Option<(&Sender, &str)> {
        match self {
            Self::Message(message) => Some((&message.sender, &message.provider_id)),
            Self::Edit { sender, provider_id, .. }
            | Self::Revoke { sender, provider_id, .. }
            | Self::Reaction { sender, provider_id, .. }
            | Self::NumberChanged { sender, provider_id, .. }
            | Self::UserIdChanged { sender, provider_id, .. }
            | Self::Notice { sender, provider_id, .. }
            | Self::Echo { to: sender, provider_id, .. } => Some((sender, provider_id)),
            Self::Receipt(_)
            | Self::Preference { .. }
            | Self::Account { .. }
            | Self::UnknownNumber { .. }
            | Self::Unattributed { .. } => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct InboundMessage {
    pub sender: Sender,
    pub provider_id: String,
    /// `None`: not readable; the time of arrival is taken.
    pub provider_at: Option<Timestamp>,
    pub counts: Counts,
    pub content: Content,
    pub reply_to: Option<String>,
    pub referral: Option<Box<Referral>>,
    pub forwarded: bool,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InboundReceipt {
    pub provider_id: String,
    pub delivery: Delivery,
    pub participant: Option<String>,
    pub provider_at: Option<Timestamp>,
    /// Of a failure.
    pub code: Option<i64>,
    pub title: Option<String>,
    /// What our callback data says the receipt is about.
    pub about: Option<About>,
}

impl InboundReceipt {
    pub(crate) fn mark(&self) -> Mark {
        Mark::of((&self.provider_id, std::mem::discriminant(&self.delivery)))
    }
}

/// Our own words in `biz_opaque_callback_data`: the message, and the enquiry it was said in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct About {
    pub message: MessageId,
    pub enquiry: Option<EnquiryId>,
}

impl About {
    pub fn encode(self) -> String {
        match self.enquiry {
            Some(enquiry) => format!("{} {enquiry}", self.message),
            None => self.message.to_string(),
        }
    }

    pub fn decode(text: &str) -> Option<Self> {
        let (message, enquiry) = match text.split_once(' ') {
            Some((message, enquiry)) => (message, Some(enquiry.parse().ok()?)),
            None => (text, None),
        };
        Some(Self { message: message.parse().ok()?, enquiry })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callback_data_round_trips_and_foreign_data_is_nobodys() {
        let message = MessageId::from_number(1);
        for enquiry in [None, Some(EnquiryId::from_number(2))] {
            let about = About { message, enquiry };
            assert_eq!(About::decode(&about.encode()), Some(about));
        }
        assert_eq!(About::decode("tenant7:msg:01J"), None);
    }
}
