//! Decides which node should own a service, by rendezvous hashing: each node draws for each service, the
//! best draw wins, and a node that comes or goes changes nothing between the others.
//!
//! - **P1** While any node stays, somebody should own each service.
//! - **P2** A node that goes leaves only its own services to others.
//! - **P3** A node that comes takes only what it wins itself, and of what has an owner only once it has
//!   lived a while: who starts and dies again moves nothing.
//! - **P4** A node that leaves in order owns nothing while another stays.
//! - **P5** Shares are as the weights.

use std::sync::Arc;
use std::time::Duration;

use crate::ids::ServiceId;

/// A node draws once for each unit.
pub const WEIGHT_MAX: u8 = 16;

/// A running node's own name, another after each start, with where the others reach it:
/// `north/5d1e07aa@10.0.0.1:8482`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NodeId(pub Arc<str>);

impl NodeId {
    /// Host and port, where it has any.
    pub fn address(&self) -> Option<&str> {
        self.0.split_once('@').map(|(_, address)| address)
    }
}

impl std::fmt::Display for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A node as those that are live know it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Node {
    id: NodeId,
    /// Of the id, once.
    seed: u64,
    weight: u8,
    /// Since its first heartbeat.
    lived: Duration,
    leaving: bool,
}

impl Node {
    /// `weight` counts from 1 to [`WEIGHT_MAX`].
    pub fn new(id: NodeId, weight: u8, lived: Duration) -> Self {
        let seed = seed(id.0.as_bytes());
        Self { id, seed, weight: weight.clamp(1, WEIGHT_MAX), lived, leaving: false }
    }

    #[must_use]
    pub fn leaving(self) -> Self {
        Self { leaving: true, ..self }
    }

    pub const fn id(&self) -> &NodeId {
        &self.id
    }

    pub const fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Since its first heartbeat.
    pub const fn lived(&self) -> Duration {
        self.lived
    }

    /// Draws for a service; the id only settles what two draws of 64 bits leave open.
    fn draw(&self, service: ServiceId) -> (u64, &NodeId) {
        let of_service = fold(service.uuid().as_u128());
        let draw = |ticket: u64| mix(self.seed ^ mix(of_service.wrapping_add(ticket)));
        ((0..u64::from(self.weight)).map(draw).max().unwrap_or(0), &self.id)
    }
}

/// Who should own a service that `present` owns now; a newcomer counts from `settled` on.
pub fn owner<'a>(
    service: ServiceId,
    nodes: &'a [Node],
    present: Option<&NodeId>,
    settled: Duration,
) -> Option<&'a NodeId> {
    let stays = |node: &&Node| !node.leaving;
    let present = nodes.iter().filter(stays).find(|node| Some(&node.id) == present);
    let may = |node: &&Node| match present {
        Some(owner) => node.id == owner.id || node.lived >= settled,
        None => true,
    };
    let best = nodes.iter().filter(stays).filter(may).max_by_key(|node| node.draw(service));
    best.map(|node| &node.id)
}

/// How many would rather own what `present` owns now, and stay: who is not first lets them come first.
pub fn rank(service: ServiceId, nodes: &[Node], me: &NodeId, present: Option<&NodeId>) -> usize {
    let Some(mine) = nodes.iter().find(|node| node.id == *me) else { return nodes.len() };
    let draw = mine.draw(service);
    let waits = |node: &&Node| !node.leaving && Some(&node.id) != present;
    nodes.iter().filter(waits).filter(|node| node.draw(service) > draw).count()
}

/// FNV-1a: the same on every machine and in every version.
fn seed(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

#[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
const fn fold(wide: u128) -> u64 {
    mix(wide as u64) ^ ((wide >> 64) as u64)
}

/// The finalizer of `SplitMix64`.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests;
