//! A visitor and what is remembered about them, as kept in records.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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
    /// What is remembered per channel.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub channels: BTreeMap<ChannelId, OnChannel>,
    /// Bindings; the channel is `None` for those that hold on all channels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bindings: Vec<Binding>,
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
