//! Why an enquiry went where it went: the steps of a decision, for a person to read.

use serde::{Deserialize, Serialize};

use crate::ids::StaffId;
use crate::presence::Presence;
use crate::rule::{Destination, Stop};
use crate::time::Timestamp;

/// One step of a decision, in the order it was taken.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// The visitor is on the blocklist.
    Blocked,
    /// A binding was looked at.
    Binding {
        binding: BindingKind,
        staff: StaffId,
        verdict: Verdict,
    },
    /// The rule's emergency branch is on.
    Emergency {
        until: Timestamp,
    },
    /// A time layer was judged; `local` is the wall-clock time in its zone.
    Time {
        zone: String,
        local: String,
        matched: String,
    },
    /// A percentage layer was drawn from (or the bucket kept from an earlier walk).
    Percentage {
        bucket: String,
        percent: u8,
        draw: u64,
        kept: bool,
    },
    Overflowed {
        from: String,
        to: String,
    },
    /// The ordered destinations in force.
    Leaf {
        stops: Vec<Stop>,
        priority: u8,
    },
    Arrived {
        at: Destination,
    },
    PassedOver {
        at: Destination,
        why: PassedOver,
    },
    /// One person was considered.
    Considered {
        staff: StaffId,
        verdict: Verdict,
    },
    Waiting {
        at: Destination,
        position: u32,
    },
    /// Nobody took it.
    Missed,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BindingKind {
    Engagement,
    Sticky,
    /// A transfer to one named person.
    Transfer,
    /// Straight to the owner of the enquiry that a delayed message belonged to.
    LastOwner,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PassedOver {
    NobodyActive,
    NobodyAccepts,
    EverybodyAsked,
    TimeOver,
    QueueFull,
    WaitedTooLong,
    BotFailed,
    BotHandedOver,
    /// The destination is no longer there.
    Gone,
}

/// What came of considering one person.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    Offered,
    Assigned,
    NotEnabled,
    NotActive {
        presence: Presence,
    },
    Full {
        load: u16,
        capacity: u16,
    },
    EnoughOffers {
        offers: u8,
    },
    WrappingUp,
    OtherLanguageOrCountry,
    DeclinedJustNow,
    AlreadyAsked,
    NotAMember,
    Expired,
    /// Passed over on purpose: the owner who has gone.
    Skipped,
    /// Waited for, as the binding says.
    WaitedFor,
}
