//! A visitor and what is remembered about them, as kept in records.

use serde::{Deserialize, Serialize};

use super::per_channel::PerChannel;

use super::country::{country_of_number, country_of_user_id};
use crate::ids::{ChannelId, StaffId, VisitorId};
use crate::time::Timestamp;
use crate::trace::BindingKind;

/// The provider's ids by which one person is known; at most one of each at a time.
#[derive(Clone, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Identities {
    /// Phone number, digits only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wa_id: Option<Box<str>>,
    /// Business-scoped user id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Box<str>>,
}

/// One person writing in.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Visitor {
    pub id: VisitorId,
    pub identities: Identities,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<Box<str>>,
    /// Set by staff, bot or API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Box<str>>,
    #[serde(default)]
    pub blocked: bool,
    #[serde(default)]
    pub opted_out: bool,
    /// When a notice said that the number changed, until the user id that goes with the new number
    /// is seen: one that differs is then this person's, not that of a stranger with their number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number_changed_at: Option<Timestamp>,
    /// What is remembered per channel; an entry for every channel they wrote on.
    #[serde(default, skip_serializing_if = "PerChannel::is_empty")]
    pub channels: PerChannel,
    /// Bindings; the channel is `None` for those that hold on all channels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bindings: Vec<Binding>,
}

impl Visitor {
    /// Nothing known but the ids.
    pub fn new(id: VisitorId, identities: Identities) -> Self {
        Self {
            id,
            identities,
            name: None,
            username: None,
            language: None,
            blocked: false,
            opted_out: false,
            number_changed_at: None,
            channels: PerChannel::default(),
            bindings: Vec::new(),
        }
    }

    /// As set for the visitor, else the channel's, else unknown.
    pub fn language<'a>(&'a self, of_channel: Option<&'a str>) -> Option<&'a str> {
        self.language.as_deref().or(of_channel)
    }

    /// ISO code: by the number's calling code, else the prefix of the user id, else unknown.
    pub fn country(&self) -> Option<&str> {
        let by_number = self.identities.wa_id.as_deref().and_then(country_of_number);
        by_number.or_else(|| self.identities.user_id.as_deref().and_then(country_of_user_id))
    }

    /// The binding of this kind in force on a channel; its own goes before one for all channels.
    pub fn binding(&self, now: Timestamp, kind: BindingKind, on: ChannelId) -> Option<&Binding> {
        let in_force = |channel: Option<ChannelId>| {
            self.bindings
                .iter()
                .find(|b| b.kind == kind && b.channel == channel && !b.has_expired(now))
        };
        in_force(Some(on)).or_else(|| in_force(None))
    }
}

/// What is remembered of a visitor on one channel between enquiries.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct OnChannel {
    /// When the 24-hour window lapses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_until: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub welcomed_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_closed_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_owner: Option<StaffId>,
}

/// A remembered visitor–staff pair.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Binding {
    pub kind: BindingKind,
    pub staff: StaffId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelId>,
    pub set_at: Timestamp,
    /// `None` = never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

impl Binding {
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}
