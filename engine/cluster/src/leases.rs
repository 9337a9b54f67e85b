//! A service's lease in Redis: each question of `ownership::lease` is one script.

use std::time::Duration;

use usher_domain::ids::ServiceId;
use usher_domain::ownership::Epoch;
use usher_domain::ownership::lease::Answer;
use usher_domain::ownership::placement::NodeId;

use crate::error::RedisFailed;
use crate::link::Redis;

/// The leases as one node asks for them.
#[derive(Clone, Debug)]
pub struct Leases {
    redis: Redis,
    me: NodeId,
    lease: Duration,
}

/// An answer, and whose the lease is as far as it was told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Heard {
    pub answer: Answer,
    pub holder: Option<NodeId>,
}

/// What every script about a lease gives.
type Told = (String, i64, String);

impl Leases {
    pub const fn new(redis: Redis, me: NodeId, lease: Duration) -> Self {
        Self { redis, me, lease }
    }

    /// `store`: the epoch that the store has; a new one is higher.
    pub async fn acquire(&self, service: ServiceId, store: Epoch) -> Result<Heard, RedisFailed> {
        let script = &self.redis.scripts().acquire;
        let mut call = script.prepare_invoke();
        call.key(lease_key(service)).key(epoch_key(service));
        call.arg(&*self.me.0).arg(millis(self.lease)).arg(store.0);
        heard(self.redis.run("acquire", &call).await?, store)
    }

    pub async fn renew(&self, service: ServiceId, epoch: Epoch) -> Result<Heard, RedisFailed> {
        let mut call = self.redis.scripts().renew.prepare_invoke();
        call.key(lease_key(service));
        call.arg(&*self.me.0).arg(millis(self.lease)).arg(epoch.0);
        heard(self.redis.run("renew", &call).await?, epoch)
    }

    /// Sets the lease, whatever Redis knows; only for whom the store holds the service.
    pub async fn reassert(&self, service: ServiceId, epoch: Epoch) -> Result<Heard, RedisFailed> {
        let mut call = self.redis.scripts().reassert.prepare_invoke();
        call.key(lease_key(service)).key(epoch_key(service));
        call.arg(&*self.me.0).arg(millis(self.lease)).arg(epoch.0);
        heard(self.redis.run("reassert", &call).await?, epoch)
    }

    /// Ends a lease, or keeps it as long as one lasts for the node that is to be next; tells whether it
    /// was still this node's.
    pub async fn release(
        &self,
        service: ServiceId,
        epoch: Epoch,
        next: Option<&NodeId>,
    ) -> Result<bool, RedisFailed> {
        let mut call = self.redis.scripts().release.prepare_invoke();
        call.key(lease_key(service)).key(epoch_key(service));
        call.arg(&*self.me.0).arg(millis(self.lease)).arg(epoch.0);
        call.arg(next.map_or("", |next| &next.0));
        let (word, _, _): Told = self.redis.run("release", &call).await?;
        Ok(word == "released")
    }
}

fn heard((word, number, holder): Told, over: Epoch) -> Result<Heard, RedisFailed> {
    let number = u64::try_from(number).unwrap_or(0);
    let answer = match word.as_str() {
        "acquired" => Answer::Acquired { epoch: Epoch(number), over },
        "held" => Answer::Held { left: Duration::from_millis(number) },
        "renewed" => Answer::Renewed,
        "missing" => Answer::Missing,
        _ => return Err(RedisFailed::Unreadable),
    };
    // Whom it is kept for counts as its holder.
    let holder = holder.trim_start_matches('>');
    let holder = Some(holder).filter(|holder| !holder.is_empty());
    Ok(Heard { answer, holder: holder.map(|holder| NodeId(holder.into())) })
}

/// All keys of a service share a hash tag, so that a Cluster keeps them together.
fn lease_key(service: ServiceId) -> String {
    format!("usher:{{{service}}}:lease")
}

fn epoch_key(service: ServiceId) -> String {
    format!("usher:{{{service}}}:epoch")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
