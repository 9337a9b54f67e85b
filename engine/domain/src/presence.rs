//! Presence: whether a staff member can be offered enquiries.

use serde::{Deserialize, Serialize};

/// What a staff member is to the router.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    Active,
    Busy,
    Idle,
    #[default]
    Offline,
}
