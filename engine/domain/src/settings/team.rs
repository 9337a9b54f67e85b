//! People and the destinations they stand behind.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{BotId, GroupId, QueueId, StaffId};

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Staff {
    pub id: StaffId,
    pub first_name: String,
    pub last_name: String,
    pub role: Role,
    /// A suspended person cannot sign in and is passed over.
    pub enabled: bool,
    /// Live enquiries at once, direct and one-by-one offers counted.
    pub capacity: u16,
    /// Groups a supervisor is set over; empty = all.
    #[serde(default)]
    pub supervises: Vec<GroupId>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Agent,
    Supervisor,
    Administrator,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Group {
    pub id: GroupId,
    pub name: String,
    /// In the order that breaks ties.
    pub members: Vec<StaffId>,
    /// Lower-case language tags; `*` = all.
    pub languages: Vec<String>,
    /// ISO country codes; `*` = all.
    pub countries: Vec<String>,
    /// Whether an unknown language or country matches every list, or only `*`.
    pub unknown_matches: bool,
    /// From arrival at the group, line and offers together; 5 s to 60 min.
    pub pick_up: Duration,
    /// One member's share of the time, for the one-by-one methods.
    pub share: Duration,
    pub method: Method,
    pub auto_pick_up: Option<bool>,
}

impl Group {
    pub fn accepts(&self, language: Option<&str>, country: Option<&str>) -> bool {
        self.lists(&self.languages, language) && self.lists(&self.countries, country)
    }

    fn lists(&self, list: &[String], value: Option<&str>) -> bool {
        list.iter().any(|entry| {
            entry == "*"
                || value.map_or(self.unknown_matches, |value| entry.eq_ignore_ascii_case(value))
        })
    }
}

/// How a group hands out an enquiry.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// To everybody who can take it; the first pick-up wins.
    Simultaneous,
    FixedOrder,
    /// Longest since last offered.
    RoundRobin,
    /// Those holding nothing first, then longest since they last held an enquiry.
    MostIdle,
    /// Lowest share of capacity in use, then most idle.
    LeastLoaded,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Queue {
    pub id: QueueId,
    pub name: String,
    pub group: GroupId,
    /// 1 to 1000.
    pub length_max: u16,
    /// 1 to 60 min.
    pub wait_max: Duration,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Bot {
    pub id: BotId,
    pub name: String,
    pub url: String,
    /// Words by which a visitor leaves the bot.
    pub hand_over_words: Vec<String>,
}
