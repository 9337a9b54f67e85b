//! The shapes a rule can take (`routing.md`, "Rule shapes").

use std::time::Duration;

use jiff::civil;
use serde::{Deserialize, Serialize};

use crate::ids::{BotId, GroupId, QueueId, RuleId};
use crate::time::Timestamp;

/// How a channel chooses destinations. Depth of branches at most [`Branch::DEPTH_MAX`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Rule {
    pub id: RuleId,
    pub name: String,
    pub branch: Branch,
    /// Taken instead of everything else while switched on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emergency: Option<Emergency>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Emergency {
    pub leaf: Leaf,
    /// On while set and in the future.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_until: Option<Timestamp>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Branch {
    /// Alternative routing: the destinations in order.
    Leaf(Leaf),
    Percentage(Percentage),
    Time(Time),
}

impl Branch {
    pub const DEPTH_MAX: usize = 4;
}

/// 1 to 5 destinations, tried in order.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Leaf {
    pub stops: Vec<Stop>,
    /// 0 to 9, higher first.
    pub priority: u8,
}

impl Leaf {
    pub const STOPS_MAX: usize = 5;
    pub const PRIORITY_DEFAULT: u8 = 5;
    pub const PRIORITY_MAX: u8 = 9;
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Stop {
    pub to: Destination,
    /// Overrides the destination's own pick-up time; 5 s to 60 min.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pick_up: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    Group(GroupId),
    Queue(QueueId),
    Bot(BotId),
}

/// 1 to 20 buckets of whole percents (1–99, sum ≤ 99); `otherwise` takes the remainder.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Percentage {
    pub buckets: Vec<Bucket>,
    pub otherwise: Box<Branch>,
}

impl Percentage {
    pub const BUCKETS_MAX: usize = 20;
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Bucket {
    pub name: String,
    pub percent: u8,
    pub branch: Branch,
    #[serde(default)]
    pub paused: bool,
    #[serde(default)]
    pub overflow: Overflow,
}

/// Where a bucket gives an enquiry that it cannot take; followed once.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    #[default]
    Otherwise,
    /// The bucket of this name.
    Bucket(String),
    None,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Time {
    /// An IANA zone name; default `UTC`.
    pub zone: String,
    /// Before all conditions; first listed wins.
    pub holidays: Vec<Holiday>,
    /// First match wins.
    pub conditions: Vec<Condition>,
    pub otherwise: Box<Branch>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Holiday {
    pub name: String,
    /// First and last day, both included. For yearly ones only month and day count.
    pub from: civil::Date,
    pub to: civil::Date,
    pub yearly: bool,
    /// Empty: the whole day.
    pub windows: Vec<Window>,
    pub branch: Branch,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Condition {
    pub name: String,
    /// Monday = 0 … Sunday = 6; never empty.
    pub days: Vec<u8>,
    /// Never empty.
    pub windows: Vec<Window>,
    pub branch: Branch,
}

/// `[from, to)` in minutes of the day, 0 to 1440; `from > to` crosses midnight.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Window {
    pub from: u16,
    pub to: u16,
}
