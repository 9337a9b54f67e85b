//! Settings of one service, as the rules need them: typed, complete, already validated.

mod channel;
mod team;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{BotId, ChannelId, GroupId, QueueId, RuleId, ServiceId, StaffId};
use crate::rule::{Destination, Rule};

pub use channel::{
    AutoClose, AutoCloseWhen, Away, Channel, ChannelState, DisplayName, Engagement, Sticky,
    StickyMiss, StickyMode, StickyScope, StickyWithin, Text, Welcome, WelcomeRepeat,
};
pub use team::{Bot, Group, Method, Queue, Role, Staff};

/// Everything one service is set to. Shared, never changed in place: a new version replaces it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Settings {
    pub service: ServiceId,
    pub name: String,
    pub channels: BTreeMap<ChannelId, Channel>,
    pub staff: BTreeMap<StaffId, Staff>,
    pub groups: BTreeMap<GroupId, Group>,
    pub queues: BTreeMap<QueueId, Queue>,
    pub bots: BTreeMap<BotId, Bot>,
    pub rules: BTreeMap<RuleId, Rule>,
    /// Most offers one person holds at once.
    pub offers_at_once: u8,
    /// Offers lapsing unanswered in a row that set a person Idle; 0 = off.
    pub no_answer_limit: u8,
    /// No activity reported for this long: Idle.
    pub idle_after: Duration,
    /// No connection for this long: Offline.
    pub presence_grace: Duration,
    /// After each close, nothing new is offered for this long.
    pub wrap_up: Duration,
    /// Owner Offline or Idle this long while a visitor waits: walked again; zero = never.
    pub owner_gone: Duration,
    /// The same for an Active owner; zero = off.
    pub no_reply: Duration,
    pub missed_offer_when_free: bool,
    /// A live enquiry without a message this long closes silently.
    pub stale_close: Duration,
    /// The service-wide auto-close switch and times; channels may override.
    pub auto_close: AutoClose,
    /// Picked up within this time counts as within the service level.
    pub service_level: Duration,
    /// Auto pick-up where neither group nor channel says.
    pub auto_pick_up: bool,
    #[serde(default)]
    pub retention: Retention,
}

/// How long what is over is kept.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Retention {
    /// Rooms, after their close.
    pub rooms: Duration,
    /// Files, after they came or were sent.
    pub media: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        let year = Duration::from_hours(365 * 24);
        Self { rooms: year, media: year }
    }
}

impl Settings {
    /// The group behind a destination; bots have none.
    pub fn group_of(&self, destination: Destination) -> Option<&Group> {
        match destination {
            Destination::Group(group) => self.groups.get(&group),
            Destination::Queue(queue) => self.groups.get(&self.queues.get(&queue)?.group),
            Destination::Bot(_) => None,
        }
    }

    /// The rule by which a channel chooses destinations.
    pub fn rule_of(&self, channel: ChannelId) -> Option<&Rule> {
        self.rules.get(&self.channels.get(&channel)?.rule)
    }

    /// Auto-close as it is in force on a channel.
    pub fn auto_close_of(&self, channel: ChannelId) -> &AutoClose {
        self.channels
            .get(&channel)
            .and_then(|channel| channel.auto_close.as_ref())
            .unwrap_or(&self.auto_close)
    }

    /// Whether an enquiry is assigned without a click; the most specific setting decides.
    pub fn auto_pick_up_of(&self, channel: ChannelId, group: Option<&Group>) -> bool {
        let by_group = group.and_then(|group| group.auto_pick_up);
        let by_channel = || self.channels.get(&channel).and_then(|channel| channel.auto_pick_up);
        by_group.or_else(by_channel).unwrap_or(self.auto_pick_up)
    }
}
