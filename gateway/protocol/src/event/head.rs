//! The head of an enquiry: what a screen shows of it without opening its room.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use usher_domain::floor::event::OfferSort;
use usher_domain::ids::{BotId, ChannelId, EnquiryId, StaffId, VisitorId};

use crate::Time;
use crate::command::Target;

/// An id with the name it goes by.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Named<I> {
    pub id: I,
    pub name: String,
}

impl<I> Named<I> {
    pub fn new(id: I, name: impl Into<String>) -> Self {
        Self { id, name: name.into() }
    }
}

/// An enquiry as one staff member may see it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Head {
    pub id: EnquiryId,
    /// What the enquiry is to the person who gets this.
    #[serde(rename = "as")]
    pub relation: Relation,
    pub state: State,
    pub channel: Named<ChannelId>,
    pub visitor: Person,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Named<StaffId>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bot: Option<Named<BotId>>,
    pub opened_at: Time,
    /// When the 24-hour window lapses.
    pub window_until: Time,
    /// The beginning of the visitor's first message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_message: Option<String>,
    /// Place of the newest entry of the room.
    #[serde(default)]
    pub order: u64,
    /// Since when the visitor waits for an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visitor_waits: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_until: Option<Time>,
    /// When it closes by itself, once the notification has gone out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closes_at: Option<Time>,
    /// This person's open offer of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<Offer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<Transfer>,
    /// Who else is in the room.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<Named<StaffId>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// The visitor's live enquiries on other channels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<Elsewhere>,
}

impl Head {
    /// As it stands in a snapshot: written once for everybody to whom it is the same.
    pub fn text(&self) -> Arc<str> {
        serde_json::to_string(self).expect("heads hold nothing unwritable").into()
    }
}

/// A page of what nobody serves in a person's groups.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct UnservedPage {
    /// The newest first.
    pub heads: Vec<Head>,
    /// Before which the next page begins; none: there is no more.
    #[serde(default)]
    pub next: Option<EnquiryId>,
}

/// What an enquiry is to a staff member.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    Owner,
    Joined,
    Monitoring,
    Offered,
    /// In a line of one of their groups.
    Waiting,
    /// Missed by one of their groups.
    Missed,
    /// Seen as a supervisor or administrator.
    Supervised,
    /// Not theirs any more: to be taken off the screen.
    Gone,
}

/// The states of an enquiry; those of the floor, and closed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Open,
    Ongoing,
    Missed,
    FollowedUp,
    Closed,
}

/// A visitor.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Person {
    pub id: VisitorId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// With a leading `+`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub opted_out: bool,
}

/// An open offer.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Offer {
    pub until: Time,
    pub sort: OfferSort,
}

/// A transfer under way.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Transfer {
    pub by: Named<StaffId>,
    pub to: Target,
    pub blind: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}

/// A live enquiry of the same visitor on another channel.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Elsewhere {
    pub enquiry: EnquiryId,
    pub channel: Named<ChannelId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Named<StaffId>>,
}
