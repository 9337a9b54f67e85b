//! Why a command was refused: stable codes, and texts for people.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal: $text:literal;)*) => {
        /// What went wrong, for programs. Clients treat an unknown one by its `retry`.
        #[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $code)] $name,)*
            /// One this build does not know.
            #[serde(other, rename = "other")]
            Other,
        }

        impl Code {
            /// All codes that are ever sent.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                    Self::Other => "other",
                }
            }

            /// What a person is told unless there is something better to say.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Other => "That did not work.",
                }
            }
        }
    };
}

codes! {
    AlreadyTaken = "already_taken": "Somebody else was first.";
    NotOffered = "not_offered": "This enquiry is not offered to you (any more).";
    AtCapacity = "at_capacity": "That would be more enquiries than this person may hold.";
    NobodyAvailable = "nobody_available": "Nobody is Active there.";
    NotActive = "not_active": "For that the person's presence must be Active.";
    NotOwner = "not_owner": "Only the owner of the enquiry can do that.";
    WindowLapsed = "window_lapsed": "Sorry, your message can no longer be sent; the 24-hour message window has lapsed. Close this enquiry, or wait until the visitor sends a message again.";
    OptedOut = "opted_out": "The visitor does not want to be written to first.";
    LiveEnquiry = "live_enquiry": "The visitor has a live enquiry on this channel.";
    Engaged = "engaged": "A colleague has written to this visitor and waits for the answer.";
    HoldsEnquiries = "holds_enquiries": "You hold live enquiries; hand them over or keep them.";
    TransferPending = "transfer_pending": "The enquiry is being transferred.";
    NoTransfer = "no_transfer": "There is no transfer to cancel.";
    Elsewhere = "elsewhere": "You have done that on another device.";
    Closed = "closed": "The enquiry is closed.";
    RoomFull = "room_full": "There are 15 people in the room already.";
    /// Same key, different content.
    KeyReused = "key_reused": "This key was used for another message.";
    Unsupported = "unsupported": "The channel cannot carry that.";
    /// The text says what is wrong with it.
    TemplateUnfit = "template_unfit": "The template cannot be sent like that.";
    TooLarge = "too_large": "That is too large.";
    /// `retry_after` says when.
    RateLimited = "rate_limited": "Too many commands at once.";
    /// The service cannot store or answer now.
    Unavailable = "unavailable": "The service is not available for the moment.";
    /// Also for what is there but not yours.
    NotFound = "not_found": "There is no such thing.";
    Malformed = "malformed": "The command was not understood.";
    /// Nobody of your role can do that.
    Forbidden = "forbidden": "Your role does not allow that.";
}

impl Code {
    /// Whether the same command may succeed a little later.
    pub const fn retry(self) -> bool {
        matches!(self, Self::Unavailable | Self::RateLimited)
    }
}

/// The `error` of an answer.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Refusal {
    pub code: Code,
    pub text: Cow<'static, str>,
    pub retry: bool,
    /// Seconds after which a repeat makes sense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
}

impl Refusal {
    pub fn saying(code: Code, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, text: text.into(), retry: code.retry(), retry_after: None }
    }

    #[must_use]
    pub const fn after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Self::saying(code, code.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_on_the_wire_are_the_names_in_the_code() {
        for &code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.name());
        }
    }

    #[test]
    fn only_what_passes_is_worth_a_repeat() {
        let refusals: Vec<_> = Code::ALL.iter().filter(|code| code.retry()).collect();
        assert_eq!(refusals, [&Code::RateLimited, &Code::Unavailable]);
        insta::assert_snapshot!(
            serde_json::to_string(&Refusal::from(Code::RateLimited).after(3)).unwrap(),
            @r#"{"code":"rate_limited","text":"Too many commands at once.","retry":true,"retry_after":3}"#
        );
    }

    #[test]
    fn a_code_of_a_later_version_is_read_as_other() {
        let refusal: Refusal =
            serde_json::from_str(r#"{"code":"too_early","text":"Not yet.","retry":true}"#).unwrap();
        assert_eq!(refusal.code, Code::Other);
        assert!(refusal.retry);
    }
}
