//! Decides, code by code, what the engine must do about it.

/// What a failure asks for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Class {
    /// It may have been sent: wait for a receipt bearing our callback data before trying again.
    Ambiguous,
    /// Throughput of the number: back off, slow the whole number.
    RateLimitedNumber,
    /// Calls of the app or WABA: back off, slow all its numbers.
    RateLimitedWaba,
    /// Too many to one visitor: wait for that visitor only (4^n s), keep the order.
    PairRate,
    /// Back off and try again, at most so often.
    Transient { max_tries: u8 },
    /// The number is being changed: try again after about 60 s.
    Maintenance,
    /// More than 24 h since the visitor wrote: only a template goes.
    WindowLapsed,
    /// The visitor wants no marketing messages.
    OptedOut,
    /// Key, permission, payment or policy: nothing leaves this channel until someone acts.
    StopChannel,
    /// The number is restricted for spam: slow it for hours, alert.
    SpamRestricted,
    /// Marketing held back by the provider: not before 24 h.
    HoldBack24h,
    /// This visitor cannot be reached on WhatsApp: tell the staff member.
    Undeliverable,
    /// The user id is not accepted for this message: address the phone.
    UsePhone,
    /// This template does not go now: choose another or correct it.
    TemplateUnusable,
    /// Final for this message, and somebody must put the number in order: alert.
    Operator,
    /// Final for this message.
    Permanent,
}

/// Of the codes for a temporary fault.
const TRIES: u8 = 5;

impl Class {
    /// A short name for metrics; a closed set.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ambiguous => "ambiguous",
            Self::RateLimitedNumber => "rate_limited_number",
            Self::RateLimitedWaba => "rate_limited_waba",
            Self::PairRate => "pair_rate",
            Self::Transient { .. } => "transient",
            Self::Maintenance => "maintenance",
            Self::WindowLapsed => "window_lapsed",
            Self::OptedOut => "opted_out",
            Self::StopChannel => "stop_channel",
            Self::SpamRestricted => "spam_restricted",
            Self::HoldBack24h => "hold_back_24h",
            Self::Undeliverable => "undeliverable",
            Self::UsePhone => "use_phone",
            Self::TemplateUnusable => "template_unusable",
            Self::Operator => "operator",
            Self::Permanent => "permanent",
        }
    }

    /// Whether the same message may be tried again without a person deciding so.
    pub fn retries(self) -> bool {
        matches!(
            self,
            Self::Ambiguous
                | Self::RateLimitedNumber
                | Self::RateLimitedWaba
                | Self::PairRate
                | Self::Transient { .. }
                | Self::Maintenance
        )
    }

    /// Whether an operator should hear of it.
    pub fn alerts(self) -> bool {
        matches!(self, Self::StopChannel | Self::SpamRestricted | Self::Operator)
    }
}

/// What a code asks for, as it comes in a `failed` receipt; unknown codes are final.
pub fn classify_code(code: i64) -> Class {
    known(code).unwrap_or(Class::Permanent)
}

/// The table of codes. `None`: unknown.
pub(super) fn known(code: i64) -> Option<Class> {
    Some(match code {
        0 | 3 | 10 | 190 | 200..=299 | 131_005 | 368 | 130_497 | 131_031 | 131_042 | 133_010 => {
            Class::StopChannel
        }
        1 | 131_053 | 131_014 => Class::Transient { max_tries: 2 },
        2 | 131_016 | 133_004 => Class::Transient { max_tries: TRIES },
        131_000 => Class::Transient { max_tries: 3 },
        4 | 80_007 => Class::RateLimitedWaba,
        130_429 => Class::RateLimitedNumber,
        131_056 => Class::PairRate,
        131_057 => Class::Maintenance,
        131_047 => Class::WindowLapsed,
        131_048 => Class::SpamRestricted,
        131_049 => Class::HoldBack24h,
        131_050 => Class::OptedOut,
        131_026 => Class::Undeliverable,
        131_062 => Class::UsePhone,
        131_037 | 131_045 | 131_064 | 133_000 | 133_005 | 133_006 | 133_008 | 133_009 | 133_015
        | 133_016 => Class::Operator,
        132_000 | 132_001 | 132_005 | 132_007 | 132_008 | 132_012 | 132_015 | 132_016 | 132_018 => {
            Class::TemplateUnusable
        }
        33
        | 100
        | 131_008
        | 131_009
        | 135_000
        | 130_403
        | 130_472
        | 131_021
        | 131_030
        | 131_051
        | 131_052
        | 131_055
        | 131_063
        | 132_068
        | 132_069
        | 134_011
        | 134_100..=134_102
        | 137_000
        | 2_388_019
        | 2_388_039
        | 2_388_040
        | 2_388_047
        | 2_388_072
        | 2_388_073
        | 2_388_293
        | 2_388_299 => Class::Permanent,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_ask_for_what_the_table_says() {
        let table = [
            (190, Class::StopChannel),
            (210, Class::StopChannel),
            (131_042, Class::StopChannel),
            (1, Class::Transient { max_tries: 2 }),
            (131_016, Class::Transient { max_tries: 5 }),
            (80_007, Class::RateLimitedWaba),
            (131_048, Class::SpamRestricted),
            (131_049, Class::HoldBack24h),
            (131_050, Class::OptedOut),
            (131_057, Class::Maintenance),
            (132_001, Class::TemplateUnusable),
            (131_037, Class::Operator),
            (131_021, Class::Permanent),
            (-1, Class::Permanent),
        ];
        for (code, class) in table {
            assert_eq!(classify_code(code), class, "{code}");
        }
    }

    #[test]
    fn the_window_is_never_retried_and_the_pair_rate_is() {
        assert!(!Class::WindowLapsed.retries());
        assert!(!Class::StopChannel.retries());
        assert!(Class::PairRate.retries());
        assert!(Class::StopChannel.alerts());
        assert!(!Class::PairRate.alerts());
    }
}
