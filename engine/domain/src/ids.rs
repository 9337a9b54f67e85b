//! Identifiers: typed, prefixed for people (`enq_…`), a UUID inside; made by the shell, never here.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use uuid::Uuid;

/// Why a text is not an id of the wanted kind.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("not an id of the form {prefix}_ followed by 32 hexadecimal digits")]
pub struct BadId {
    /// What the id should have begun with.
    pub prefix: &'static str,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(Uuid);

        impl $name {
            /// What the text form begins with, without the underscore.
            pub const PREFIX: &'static str = $prefix;

            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            pub const fn uuid(self) -> Uuid {
                self.0
            }

            /// An id for tests and simulations, from a small number.
            pub const fn from_number(number: u128) -> Self {
                Self(Uuid::from_u128(number))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                let bad = BadId { prefix: $prefix };
                let digits = text.strip_prefix(concat!($prefix, "_")).ok_or_else(|| bad.clone())?;
                if digits.len() != 32 {
                    return Err(bad);
                }
                Uuid::try_parse(digits).map(Self).map_err(|_| bad)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    )*};
}

ids! {
    /// One tenant.
    ServiceId = "svc";
    /// One way in: one WhatsApp number.
    ChannelId = "chn";
    /// One person writing in.
    VisitorId = "vis";
    /// One conversation case.
    EnquiryId = "enq";
    /// One message, whichever way it went.
    MessageId = "msg";
    /// One person with an account.
    StaffId = "stf";
    /// A team of staff.
    GroupId = "grp";
    /// A destination that holds enquiries.
    QueueId = "que";
    /// A destination that is a program.
    BotId = "bot";
    /// One question to a bot, the same however often it is put.
    BotCallId = "bcl";
    /// How a channel chooses destinations.
    RuleId = "rul";
    /// One stored file.
    MediaId = "med";
    /// One agent session, which outlives its sockets.
    SessionId = "ses";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips_and_other_kinds_are_refused() {
        let enquiry = EnquiryId::from_number(42);
        assert_eq!(enquiry.to_string(), "enq_0000000000000000000000000000002a");
        assert_eq!(enquiry.to_string().parse(), Ok(enquiry));
        assert_eq!(
            "stf_0000000000000000000000000000002a".parse::<EnquiryId>(),
            Err(BadId { prefix: "enq" })
        );
        assert!("enq_2a".parse::<EnquiryId>().is_err());
    }
}
