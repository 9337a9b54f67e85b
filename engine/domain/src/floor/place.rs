//! What is kept of an enquiry's and a person's place on the floor: enough to go on after a restart.
//!
//! Offers are not kept: after a restart walks offer afresh, with full pick-up time.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::TransferTo;
use crate::ids::{BotId, ChannelId, GroupId, RuleId, StaffId, VisitorId};
use crate::presence::Presence;
use crate::rule::{Drawn, Leaf, Rule};
use crate::time::Timestamp;
use crate::trace::BindingKind;

/// Where a live enquiry stands.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Place {
    pub channel: ChannelId,
    pub visitor: VisitorId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<Box<str>>,
    /// Order of arrival at the router.
    pub arrival: u64,
    pub opened_at: Timestamp,
    pub stage: Stage,
    /// Rises with every change of owner, and only then.
    pub epoch: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_until: Option<Timestamp>,
    /// Since when a visitor's message waits for an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visitor_waits: Option<Timestamp>,
    /// When the 24-hour window lapses.
    pub window_until: Timestamp,
    #[serde(default, skip_serializing_if = "Errand::is_none")]
    pub errand: Errand,
    /// The percentage bucket drawn in the first walk, kept by later ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drawn: Option<Drawn>,
    /// Groups of the last walk's destinations: their members may take a missed one up.
    #[serde(default, skip_serializing_if = "are_none")]
    pub groups: Arc<[GroupId]>,
}

/// A place as it was at one moment: the floor, the record and the enquiry have the same one, and it
/// is copied when the floor changes it while others still have it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(transparent)]
pub struct PlaceThen(Arc<Place>);

impl From<Place> for PlaceThen {
    fn from(place: Place) -> Self {
        Self(Arc::new(place))
    }
}

impl Deref for PlaceThen {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.0
    }
}

impl DerefMut for PlaceThen {
    fn deref_mut(&mut self) -> &mut Place {
        Arc::make_mut(&mut self.0)
    }
}

fn are_none(groups: &Arc<[GroupId]>) -> bool {
    groups.is_empty()
}

/// The state of a live enquiry (`product.md` §3); closed ones are not on the floor.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Stage {
    Open,
    Ongoing {
        owner: StaffId,
    },
    /// A bot serves it: Ongoing without owner or slot.
    WithBot {
        bot: BotId,
    },
    Missed {
        since: Timestamp,
        /// The visitor wrote again since: to be walked again at this time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        again_at: Option<Timestamp>,
    },
    FollowedUp {
        owner: StaffId,
    },
}

impl Stage {
    pub const fn owner(self) -> Option<StaffId> {
        match self {
            Self::Ongoing { owner } | Self::FollowedUp { owner } => Some(owner),
            Self::Open | Self::WithBot { .. } | Self::Missed { .. } => None,
        }
    }

    /// Somebody, or a bot, serves it.
    pub const fn is_handling(self) -> bool {
        matches!(self, Self::Ongoing { .. } | Self::FollowedUp { .. } | Self::WithBot { .. })
    }

    /// The state's name in the API and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Ongoing { .. } | Self::WithBot { .. } => "ongoing",
            Self::Missed { .. } => "missed",
            Self::FollowedUp { .. } => "followed_up",
        }
    }
}

/// What is under way for an enquiry besides its state.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(tag = "errand", rename_all = "snake_case")]
pub enum Errand {
    #[default]
    None,
    Walk(Box<WalkKept>),
    Transfer {
        by: StaffId,
        to: TransferTo,
        blind: bool,
    },
}

impl Errand {
    pub const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

/// A walk, as far as a restart needs it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct WalkKept {
    pub purpose: Purpose,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleId>,
    /// The rule as it was when the walk began, once it was edited: the walk finishes under it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under: Option<Arc<Rule>>,
    pub leaf: Leaf,
    /// Stops of the leaf already done with.
    #[serde(default)]
    pub done: u8,
    /// Named persons still to be tried before the leaf, the present one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub directs: Vec<Direct>,
    /// Not asked: the owner who has gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip: Option<StaffId>,
}

/// One named person to try before the rule.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Direct {
    pub staff: StaffId,
    pub binding: BindingKind,
    /// How long to wait for someone who cannot take it now; zero = not at all.
    #[serde(with = "crate::time::millis")]
    pub wait: Duration,
    /// Wait only while the person is connected.
    pub connected_only: bool,
    /// If it comes to nothing because the person is Offline, the enquiry is missed.
    pub or_missed: bool,
}

/// Why an enquiry is walked.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Its first walk.
    Opening,
    /// Missed, and written to again.
    Again,
    /// Its owner has gone.
    OwnerGone,
    /// Its owner was suspended or deleted: nobody → Missed without Away.
    Orphaned,
}

/// What is kept of a person's seat.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct SeatKept {
    pub presence: Presence,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_offered: Option<Timestamp>,
    /// When this person last held an enquiry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_held: Option<Timestamp>,
    /// Offers lapsed unanswered in a row.
    #[serde(default)]
    pub unanswered: u8,
}
