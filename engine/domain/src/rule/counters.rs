//! Keeps count of what every percentage layer has drawn, per channel and rule.

use std::collections::{BTreeMap, BTreeSet};

use super::percentage::{Draw, Draws};
use super::shape::Percentage;
use crate::ids::{ChannelId, RuleId};

/// A percentage layer as one channel uses it: the layer's number in its rule, counted in pre-order.
pub(super) type LayerOf = (ChannelId, RuleId, u16);

/// Counters of all percentage layers of one service.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    draws: BTreeMap<LayerOf, Draws>,
    /// Not yet journaled.
    changed: BTreeSet<LayerOf>,
}

impl Counters {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn get(&self, channel: ChannelId, rule: RuleId, node: u16) -> Option<&Draws> {
        self.draws.get(&(channel, rule, node))
    }

    /// Puts back what was kept; not a change.
    pub fn insert(&mut self, channel: ChannelId, rule: RuleId, node: u16, draws: Draws) {
        self.draws.insert((channel, rule, node), draws);
    }

    pub fn iter(&self) -> impl Iterator<Item = (ChannelId, RuleId, u16, &Draws)> {
        self.draws.iter().map(|(&(channel, rule, node), draws)| (channel, rule, node, draws))
    }

    /// What has changed since this was last asked, for the journal.
    pub fn take_changed(&mut self) -> Vec<(ChannelId, RuleId, u16, Draws)> {
        if self.changed.is_empty() {
            return Vec::new();
        }
        let changed = std::mem::take(&mut self.changed);
        changed
            .into_iter()
            .filter_map(|key| {
                let (channel, rule, node) = key;
                self.draws.get(&key).map(|draws| (channel, rule, node, draws.clone()))
            })
            .collect()
    }

    /// Draws a bucket and counts it.
    pub(super) fn draw(&mut self, of: LayerOf, layer: &Percentage) -> Draw {
        let draws = self.draws.entry(of).or_default();
        draws.renew(layer);
        let draw = draws.next();
        draws.count(draw.slot);
        self.changed.insert(of);
        draw
    }

    /// Whether the present period is one of this layer's shares.
    pub(super) fn counts(&self, of: LayerOf, layer: &Percentage) -> bool {
        self.draws.get(&of).is_some_and(|draws| draws.is_of(layer))
    }

    /// What [`draw`](Self::draw) would give.
    pub(super) fn peek(&self, of: LayerOf, layer: &Percentage) -> Draw {
        let mut draws = self.draws.get(&of).cloned().unwrap_or_default();
        draws.renew(layer);
        draws.next()
    }

    /// Draws in the present period.
    pub(super) fn drawn(&self, of: LayerOf) -> u64 {
        self.draws.get(&of).map_or(0, Draws::drawn)
    }

    /// The bucket gave on an enquiry that had drawn it.
    pub(super) fn overflowed(&mut self, of: LayerOf, layer: &Percentage, slot: usize) {
        let Some(draws) = self.draws.get_mut(&of) else {
            return;
        };
        // Otherwise these count other buckets.
        if draws.overflowed.len() != layer.buckets.len() + 1 {
            return;
        }
        if let Some(count) = draws.overflowed.get_mut(slot) {
            *count = count.saturating_add(1);
            self.changed.insert(of);
        }
    }
}
