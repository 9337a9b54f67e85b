//! Splits enquiries over buckets, exactly.
//!
//! After any number of draws in a period every bucket's count is within 1 of its exact share: R.
//! Tijdeman, "The chairman assignment problem", Discrete Mathematics 32 (1980), pp. 323–330, whose
//! bound is 1 − 1/(2k − 2) for k buckets. Integers only, so that it stays exact for ever.

use std::cmp::Ordering;
use std::iter;

use serde::{Deserialize, Serialize};

use super::OTHERWISE;
use super::shape::{Branch, Overflow, Percentage};

/// The bucket an enquiry drew, kept by its later walks.
///
/// Layers may be nested: this is the innermost one, and the buckets drawn around it follow from it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Drawn {
    /// The percentage layer's number in its rule, counted in pre-order.
    pub node: u16,
    /// Index of the bucket; [`Drawn::OTHERWISE`] for the remainder.
    pub bucket: u8,
    /// Already given on to the bucket's overflow.
    #[serde(default)]
    pub overflowed: bool,
    /// Layers, outermost = bit 0, whose overflow was followed in this walk.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) followed: u8,
    /// Layers whose overflow was counted, in this walk or an earlier one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) counted: u8,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
const fn is_zero(bits: &u8) -> bool {
    *bits == 0
}

impl Drawn {
    pub const OTHERWISE: u8 = u8::MAX;

    pub const fn new(node: u16, bucket: u8) -> Self {
        Self { node, bucket, overflowed: false, followed: 0, counted: 0 }
    }

    /// Place among the layer's branches, the remainder last; `None` = that bucket is gone.
    pub(super) fn slot(self, layer: &Percentage) -> Option<usize> {
        let buckets = layer.buckets.len();
        if self.bucket == Self::OTHERWISE {
            return Some(buckets);
        }
        Some(usize::from(self.bucket)).filter(|&slot| slot < buckets)
    }

    /// The number kept for the bucket in a place among the layer's branches.
    pub(super) fn bucket_in(layer: &Percentage, slot: usize) -> u8 {
        if slot < layer.buckets.len() {
            u8::try_from(slot).unwrap_or(Self::OTHERWISE)
        } else {
            Self::OTHERWISE
        }
    }
}

impl Percentage {
    /// The buckets' branches and the remainder's, in order.
    pub(super) fn branches(&self) -> impl Iterator<Item = &Branch> {
        self.buckets.iter().map(|bucket| &bucket.branch).chain(iter::once(&*self.otherwise))
    }

    /// What each branch weighs in the split; 0 = paused.
    fn shares(&self) -> impl Iterator<Item = u8> {
        self.buckets
            .iter()
            .map(|bucket| if bucket.paused { 0 } else { bucket.percent })
            .chain(iter::once(self.remainder()))
    }

    fn remainder(&self) -> u8 {
        self.buckets.iter().fold(100, |rest, bucket| rest.saturating_sub(bucket.percent))
    }

    /// Name and set percentage of a branch.
    pub(super) fn name_and_percent(&self, slot: usize) -> (&str, u8) {
        self.buckets.get(slot).map_or_else(
            || (OTHERWISE, self.remainder()),
            |bucket| (bucket.name.as_str(), bucket.percent),
        )
    }

    /// The branch to which a bucket gives what it cannot take. A bucket that is paused or gone takes
    /// nothing, so what was meant for it goes to the remainder.
    pub(super) fn overflow_of(&self, slot: usize) -> Option<usize> {
        let otherwise = self.buckets.len();
        match &self.buckets.get(slot)?.overflow {
            Overflow::None => None,
            Overflow::Otherwise => Some(otherwise),
            Overflow::Bucket(name) => Some(
                self.buckets
                    .iter()
                    .position(|bucket| bucket.name == *name && !bucket.paused)
                    .filter(|&other| other != slot)
                    .unwrap_or(otherwise),
            ),
        }
    }
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

/// The outcome of one draw.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Draw {
    /// Place among the layer's branches, the remainder last.
    pub(super) slot: usize,
    /// Number of the draw in its period, the first being 1.
    pub(super) number: u64,
}

impl Draws {
    /// Begins a new period if the shares or pauses are others than they were.
    pub(super) fn renew(&mut self, layer: &Percentage) {
        let branches = layer.buckets.len() + 1;
        if !self.is_of(layer) || self.period.len() != branches {
            self.shares = layer.shares().collect();
            self.period = vec![0; branches];
        }
        if self.totals.len() != branches {
            self.totals = vec![0; branches];
        }
        if self.overflowed.len() != branches {
            self.overflowed = vec![0; branches];
        }
    }

    /// Whether the period began with these shares and pauses.
    pub(super) fn is_of(&self, layer: &Percentage) -> bool {
        self.shares.iter().copied().eq(layer.shares())
    }

    /// Draws in the period so far.
    pub(super) fn drawn(&self) -> u64 {
        self.period.iter().fold(0, |sum, &count| sum.saturating_add(count))
    }

    /// What the next draw gives.
    ///
    /// With `n` the number of this draw and k buckets taking part, a bucket's *lead* is its share of
    /// n less what it has. Of those whose lead is at least 1/(2k − 2), the one is taken that would
    /// soonest be too far behind. Leads add up to 1, so there always is one.
    pub(super) fn next(&self) -> Draw {
        let number = self.drawn().saturating_add(1);
        let whole: i128 = self.shares.iter().map(|&share| i128::from(share)).sum();
        let taking_part = self.shares.iter().filter(|&&share| share > 0).count();
        let parts = i128::try_from((2 * taking_part).saturating_sub(2).max(1)).unwrap_or(1);
        let slot = iter::zip(&self.shares, &self.period)
            .enumerate()
            .filter(|&(_, (&share, _))| share > 0)
            .filter_map(|(slot, (&share, &count))| {
                let share = i128::from(share);
                let lead = parts * (share * i128::from(number) - whole * i128::from(count));
                (lead >= whole).then_some((slot, (parts - 1) * whole - lead, share))
            })
            .min_by(|&(_, a, a_share), &(_, b, b_share)| sooner(a, a_share, b, b_share))
            .map_or(self.shares.len().saturating_sub(1), |(slot, ..)| slot);
        Draw { slot, number }
    }

    pub(super) fn count(&mut self, slot: usize) {
        for counts in [&mut self.period, &mut self.totals] {
            if let Some(count) = counts.get_mut(slot) {
                *count = count.saturating_add(1);
            }
        }
    }
}

/// Compares two deadlines `time / share` without dividing.
fn sooner(a: i128, a_share: i128, b: i128, b_share: i128) -> Ordering {
    (a * b_share).cmp(&(b * a_share))
}

#[cfg(test)]
mod tests;
