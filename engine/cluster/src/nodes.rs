//! Which nodes live: each says so a few times a lease, and hears of the others in the same answer.

use std::time::Duration;

use usher_domain::ownership::placement::{Node, NodeId};

use crate::error::RedisFailed;
use crate::link::Redis;

/// So many are told; more nodes are served, but placed by what is known of these.
pub const NODES_MAX: usize = 1_000;

const BEATS: &str = "usher:{nodes}:beats";
const KNOWN: &str = "usher:{nodes}:known";

/// The nodes as one of them hears of them.
#[derive(Clone, Debug)]
pub struct Nodes {
    redis: Redis,
    me: NodeId,
    weight: u8,
    /// A silent node is forgotten after it.
    forgotten_after: Duration,
}

impl Nodes {
    pub const fn new(redis: Redis, me: NodeId, weight: u8, forgotten_after: Duration) -> Self {
        Self { redis, me, weight, forgotten_after }
    }

    /// Says that this node lives, and tells who does; the newest sign of life first.
    pub async fn heartbeat(&self, leaving: bool) -> Result<Vec<Node>, RedisFailed> {
        let mut call = self.redis.scripts().heartbeat.prepare_invoke();
        call.key(BEATS).key(KNOWN).arg(&*self.me.0).arg(self.weight).arg(u8::from(leaving));
        call.arg(self.forgotten_after.as_millis().to_string()).arg(NODES_MAX);
        let told: Vec<String> = self.redis.run("heartbeat", &call).await?;
        told.chunks(4).map(|told| node(told).ok_or(RedisFailed::Unreadable)).collect()
    }

    /// Not heard of any more.
    pub async fn leave(&self) -> Result<(), RedisFailed> {
        let mut call = self.redis.scripts().leave.prepare_invoke();
        call.key(BEATS).key(KNOWN).arg(&*self.me.0);
        self.redis.run::<(String, i64, String)>("leave", &call).await.map(|_| ())
    }
}

fn node(told: &[String]) -> Option<Node> {
    let [id, weight, leaving, lived] = told else { return None };
    let lived = Duration::from_millis(lived.parse().ok()?);
    let node = Node::new(NodeId(id.as_str().into()), weight.parse().ok()?, lived);
    Some(if leaving == "1" { node.leaving() } else { node })
}
