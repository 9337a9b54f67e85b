//! What is set per channel: routing, auto-messages, engagement, custom info.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{ChannelId, RuleId, StaffId};

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Channel {
    pub id: ChannelId,
    /// At most 40 characters.
    pub name: String,
    pub state: ChannelState,
    /// The provider's id of the number; unique per installation.
    pub phone_number_id: Option<String>,
    pub rule: RuleId,
    pub sticky: Sticky,
    pub engagement: Engagement,
    pub auto_pick_up: Option<bool>,
    /// For visitors whose language nobody set.
    pub language: Option<String>,
    pub welcome: Welcome,
    pub away: Away,
    /// Overrides the service's.
    pub auto_close: Option<AutoClose>,
    /// Own text of the auto-close notification; `None` = the default one.
    pub auto_close_text: Option<String>,
    pub close: Text,
    /// Sent when a blind transfer lapses.
    pub transfer_failed: Option<String>,
    pub display_name: DisplayName,
    /// For staff only, at most 10,000 characters.
    pub custom_info: Option<String>,
    /// Names of templates that agents may restart a conversation with, at most 20; empty = off.
    pub restart_templates: Vec<String>,
    /// Button payloads or words by which a visitor opts out of marketing.
    pub opt_out_words: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelState {
    Connecting,
    Live,
    Suspended,
    Disconnected,
}

/// An auto-message with nothing but a switch and a text (≤ 500 characters).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Text {
    pub on: bool,
    pub text: String,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Welcome {
    pub on: bool,
    pub text: String,
    pub repeat: WelcomeRepeat,
    pub only_if_staffed: bool,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WelcomeRepeat {
    /// Unless one was sent within this time; zero = every enquiry.
    After(Duration),
    FirstContactOnly,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Away {
    pub on: bool,
    pub text: String,
    pub repeat_after: Duration,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AutoClose {
    pub on: bool,
    /// Silence before the notification.
    pub idle: Duration,
    /// From the notification's sending to the closure.
    pub grace: Duration,
    /// Least idle time once the window has lapsed.
    pub lapsed_idle: Duration,
    pub when: AutoCloseWhen,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AutoCloseWhen {
    /// Neither side writes.
    Silence,
    /// Runs only while the last counted message is ours.
    VisitorSilent,
}

/// How a staff member's name stands before what they write.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DisplayName {
    #[default]
    None,
    FirstName,
    FullName,
}

/// Sticky routing: a setting beside the rule.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Sticky {
    pub on: bool,
    pub mode: StickyMode,
    pub scope: StickyScope,
    pub within: StickyWithin,
    /// After the last close; `None` = never.
    pub expires: Option<Duration>,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StickyMode {
    /// Not Active or full: the rule at once, or after `hold`.
    Loose { hold: Duration },
    /// Waits for someone connected.
    Strict { wait: Duration, offline: StickyMiss },
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StickyMiss {
    Rule,
    Missed,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StickyScope {
    Channel,
    Service,
}

/// Where the person must still be a member for a binding to hold.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StickyWithin {
    Rule,
    Leaf,
    Service,
}

/// Staff who may write first on this channel.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Engagement {
    pub on: bool,
    pub staff: Vec<StaffId>,
}
