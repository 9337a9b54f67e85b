//! Which of several nodes runs a service: [`lease`] decides when one may act, [`placement`] which one
//! should, [`keeping`] what a node does about it with all services together.
//!
//! At most one node acts for a service as long as the nodes' clocks run within a tenth of each other's
//! rate. Where they do not, or where Redis has forgotten what it had granted, the epoch decides: every
//! commit names it, and the store refuses one that another has passed.

pub mod keeping;
pub mod lease;
pub mod placement;

use std::fmt;

use serde::{Deserialize, Serialize};

/// How often a service has changed hands; only rises.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
