//! Close codes: why a connection ended, and what the client is to do about it.

use serde::{Deserialize, Serialize};

macro_rules! closes {
    ($($(#[$doc:meta])* $name:ident = $number:literal: $text:literal;)*) => {
        /// Why the server closes a connection. The range of its number says what to do.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Close {
            $($(#[$doc])* $name = $number,)*
        }

        impl Close {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            pub const fn from_number(number: u16) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// What happened, for a person; short enough for a close frame.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

closes! {
    /// The connection fell further behind than the feed reaches back, or read nothing for 10 s.
    Behind = 4000: "read too slowly";
    /// The service was rebuilt from what is durable: a new epoch.
    Rebuilt = 4001: "the service started anew";
    /// No pong for 33 s.
    Silent = 4002: "no sign of life";
    /// The service moved to another node.
    Moved = 4003: "the service moved";
    /// The program is being stopped or replaced.
    Restarting = 4100: "restarting";
    /// The service cannot be reached or stored to.
    Unavailable = 4101: "not available for the moment";
    /// Too many connections, of this person or altogether.
    Crowded = 4102: "too many connections";
    SignedOut = 4200: "signed out";
    Expired = 4201: "the session has expired";
    /// The token is unknown, or there is none.
    TokenRefused = 4202: "the token was refused";
    /// The account is suspended or deleted.
    Suspended = 4203: "the account is suspended";
    /// Not understood, and not even a command's `id` could be read.
    Malformed = 4300: "the frame was not understood";
    TooLarge = 4301: "the frame was too large";
    /// A binary frame.
    NotText = 4302: "only text frames are taken";
    /// Something else came first, or nothing for 10 s.
    NoHello = 4303: "hello was expected";
    /// Went on sending in spite of `rate_limited`.
    Flooding = 4304: "too many commands";
}

impl Close {
    pub const fn number(self) -> u16 {
        self as u16
    }

    pub const fn advice(self) -> Advice {
        match self {
            Self::Behind | Self::Rebuilt | Self::Silent | Self::Moved => Advice::ComeBackNow,
            Self::Restarting | Self::Unavailable | Self::Crowded => Advice::ComeBackLater,
            Self::SignedOut | Self::Expired | Self::TokenRefused | Self::Suspended => {
                Advice::SignInAgain
            }
            Self::Malformed | Self::TooLarge | Self::NotText | Self::NoHello | Self::Flooding => {
                Advice::GiveUp
            }
        }
    }

    /// The reason of the close frame (at most 123 bytes): the hint, if any, then the text.
    pub fn reason(self, retry_after: Option<u32>) -> String {
        match retry_after {
            Some(seconds) => format!("retry_after={seconds}; {}", self.text()),
            None => self.text().to_owned(),
        }
    }

    pub fn bye(self, retry_after: Option<u32>) -> Bye {
        Bye { code: self.number(), text: self.text().into(), retry_after }
    }
}

/// What a client is to do after a close.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Advice {
    /// At once, with `resume`.
    ComeBackNow,
    /// After the hint, with `resume`.
    ComeBackLater,
    SignInAgain,
    /// The client is at fault; coming back changes nothing.
    GiveUp,
}

impl Advice {
    /// By number alone, so that codes of later versions are understood. Everything outside our
    /// ranges (a lost connection, a proxy's code) is a reason to come back.
    pub const fn of(number: u16) -> Self {
        match number {
            4100..=4199 => Self::ComeBackLater,
            4200..=4299 => Self::SignInAgain,
            4300..=4399 => Self::GiveUp,
            _ => Self::ComeBackNow,
        }
    }
}

/// The last frame before a close that was decided by the server.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Bye {
    pub code: u16,
    pub text: String,
    /// Seconds to stay away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
}

/// The hint in a close frame's reason.
pub(crate) fn hint(reason: &str) -> Option<u32> {
    let (seconds, _) = reason.strip_prefix("retry_after=")?.split_once(';')?;
    seconds.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_says_what_the_code_says() {
        for &close in Close::ALL {
            assert_eq!(Advice::of(close.number()), close.advice(), "{close:?}");
            assert_eq!(Close::from_number(close.number()), Some(close));
            assert!(close.reason(Some(u32::MAX)).len() <= 123, "{close:?}");
        }
    }

    #[test]
    fn the_hint_survives_the_close_frame() {
        assert_eq!(hint(&Close::Restarting.reason(Some(7))), Some(7));
        assert_eq!(hint(&Close::Restarting.reason(None)), None);
        assert_eq!(hint("retry_after=soon; x"), None);
    }
}
