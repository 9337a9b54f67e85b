//! Splits enquiries over buckets, exactly.

use serde::{Deserialize, Serialize};

/// The bucket an enquiry drew, kept by its later walks.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Drawn {
    /// The percentage layer's number in its rule, counted in pre-order.
    pub node: u16,
    /// Index of the bucket; [`Drawn::OTHERWISE`] for the remainder.
    pub bucket: u8,
    /// Already given on to the bucket's overflow.
    #[serde(default)]
    pub overflowed: bool,
}

impl Drawn {
    pub const OTHERWISE: u8 = u8::MAX;
}

/// Counters of one percentage layer for one channel.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Draws {
    /// Shares in force when the period began, one per bucket and the remainder last; 0 = paused.
    pub shares: Vec<u8>,
    /// Draws per bucket since the period began, the remainder last.
    pub period: Vec<u64>,
    /// Draws per bucket since ever.
    pub totals: Vec<u64>,
    /// Given on to the overflow, per bucket.
    pub overflowed: Vec<u64>,
}
