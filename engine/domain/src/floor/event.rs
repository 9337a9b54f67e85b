//! What happened on the floor, in the past tense: journaled, shown in rooms, told to the entitled.

use serde::{Deserialize, Serialize};

use crate::ids::{BotId, EnquiryId, GroupId, StaffId};
use crate::presence::Presence;
use crate::rule::Destination;
use crate::time::Timestamp;
use crate::trace::{BindingKind, Step};

/// One thing that happened on the floor.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "did", rename_all = "snake_case")]
pub enum FloorEvent {
    /// A decision was taken; its steps say why.
    Decided {
        enquiry: EnquiryId,
        steps: Vec<Step>,
    },
    /// The enquiry is held out to `to`; each has until `until`.
    Offered {
        enquiry: EnquiryId,
        to: Vec<StaffId>,
        sort: OfferSort,
        until: Timestamp,
    },
    OfferEnded {
        enquiry: EnquiryId,
        staff: StaffId,
        end: OfferEnd,
    },
    /// In line, nobody free.
    Waiting {
        enquiry: EnquiryId,
        at: Destination,
    },
    /// Somebody serves it now.
    PickedUp {
        enquiry: EnquiryId,
        by: StaffId,
        how: PickUp,
        from: Option<StaffId>,
        epoch: u32,
    },
    BotTook {
        enquiry: EnquiryId,
        bot: BotId,
    },
    /// The bot no longer holds it; the walk goes on.
    BotLeft {
        enquiry: EnquiryId,
        bot: BotId,
        failed: bool,
    },
    /// The walk ended with nobody. `away`: the away message may be sent.
    Missed {
        enquiry: EnquiryId,
        away: bool,
    },
    /// A later walk of an enquiry that stays as it is ended with nobody.
    WalkEnded {
        enquiry: EnquiryId,
    },
    TransferOffered {
        enquiry: EnquiryId,
        by: StaffId,
        to: TransferTo,
        blind: bool,
    },
    TransferEnded {
        enquiry: EnquiryId,
        end: TransferEnd,
    },
    /// The owner is Offline or Idle while a visitor waits, or was suspended; tried again elsewhere.
    OwnerGone {
        enquiry: EnquiryId,
        owner: StaffId,
        suspended: bool,
    },
    /// Nobody took over from an owner who has gone: supervisors are told.
    NobodyTookOver {
        enquiry: EnquiryId,
    },
    Held {
        enquiry: EnquiryId,
        by: StaffId,
        until: Option<Timestamp>,
    },
    Closed {
        enquiry: EnquiryId,
        by: Closer,
        silent: bool,
        reason: Option<String>,
        owner: Option<StaffId>,
    },
    PresenceChanged {
        staff: StaffId,
        presence: Presence,
        why: PresenceWhy,
    },
}

impl FloorEvent {
    /// The enquiry it is about; none for a person's presence.
    pub const fn enquiry(&self) -> Option<EnquiryId> {
        match self {
            Self::Decided { enquiry, .. }
            | Self::Offered { enquiry, .. }
            | Self::OfferEnded { enquiry, .. }
            | Self::Waiting { enquiry, .. }
            | Self::PickedUp { enquiry, .. }
            | Self::BotTook { enquiry, .. }
            | Self::BotLeft { enquiry, .. }
            | Self::Missed { enquiry, .. }
            | Self::WalkEnded { enquiry }
            | Self::TransferOffered { enquiry, .. }
            | Self::TransferEnded { enquiry, .. }
            | Self::OwnerGone { enquiry, .. }
            | Self::NobodyTookOver { enquiry }
            | Self::Held { enquiry, .. }
            | Self::Closed { enquiry, .. } => Some(*enquiry),
            Self::PresenceChanged { .. } => None,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(tag = "offer", rename_all = "snake_case")]
pub enum OfferSort {
    /// To one named person.
    Direct {
        binding: BindingKind,
    },
    /// By a group or a queue, one after the other.
    OneByOne {
        at: Destination,
    },
    Simultaneous {
        at: Destination,
    },
    /// A missed enquiry, to somebody who is free.
    Missed,
    /// By transfer, to a group.
    Transfer {
        group: GroupId,
    },
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OfferEnd {
    PickedUp,
    /// Somebody else was first.
    AlreadyTaken,
    Declined,
    Lapsed,
    /// No longer Active, enabled or a member.
    NotStanding,
    /// The holder has no room left.
    Full,
    /// The enquiry was closed, transferred, assigned, or moved on.
    Moved,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PickUp {
    Offer,
    /// Without a click.
    Auto,
    /// A missed enquiry.
    FollowUp,
    Assign,
    TakeOver,
    Transfer,
    /// From an owner who had gone.
    Relief,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(tag = "to", rename_all = "snake_case")]
pub enum TransferTo {
    Staff { staff: StaffId },
    Group { group: GroupId },
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferEnd {
    Taken,
    Cancelled,
    Declined,
    Lapsed,
    /// The enquiry was closed, taken over or assigned meanwhile.
    Overtaken,
}

/// Who closed an enquiry.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Closer {
    Staff {
        staff: StaffId,
    },
    Bot {
        bot: BotId,
    },
    /// Auto-close; `unanswered`: the visitor spoke last.
    AutoClose {
        unanswered: bool,
    },
    Stale,
    Merged,
    Blocked,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PresenceWhy {
    SetByHand,
    SignedIn,
    SignedOut,
    Idle,
    /// At the keyboard again.
    Activity,
    NoConnection,
    Connected,
    NoAnswer,
    SetBySupervisor,
    Suspended,
}
