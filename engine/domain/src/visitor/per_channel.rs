//! A small map by channel: visitors write on one or two, and a million of them are in memory.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::person::OnChannel;
use crate::ids::ChannelId;

/// What is remembered per channel, in order of channel; written as a map. One entry costs 88 bytes,
/// where a tree's first node would take a kilobyte.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PerChannel(Vec<(ChannelId, OnChannel)>);

impl PerChannel {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn get(&self, channel: &ChannelId) -> Option<&OnChannel> {
        self.position(*channel).ok().and_then(|at| self.0.get(at)).map(|(_, on)| on)
    }

    pub fn contains_key(&self, channel: &ChannelId) -> bool {
        self.position(*channel).is_ok()
    }

    /// The entry of a channel, made when there is none.
    pub fn entry(&mut self, channel: ChannelId) -> &mut OnChannel {
        let at = self.position(channel).unwrap_or_else(|at| {
            self.0.reserve_exact(1);
            self.0.insert(at, (channel, OnChannel::default()));
            at
        });
        &mut self.0[at].1
    }

    pub fn insert(&mut self, channel: ChannelId, on: OnChannel) {
        *self.entry(channel) = on;
    }

    pub fn iter(&self) -> impl Iterator<Item = (&ChannelId, &OnChannel)> {
        self.0.iter().map(|(channel, on)| (channel, on))
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut OnChannel> {
        self.0.iter_mut().map(|(_, on)| on)
    }

    fn position(&self, channel: ChannelId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&channel, |(channel, _)| *channel)
    }
}

impl From<BTreeMap<ChannelId, OnChannel>> for PerChannel {
    fn from(map: BTreeMap<ChannelId, OnChannel>) -> Self {
        Self(map.into_iter().collect())
    }
}

impl Serialize for PerChannel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for PerChannel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(deserializer).map(Self::from)
    }
}
