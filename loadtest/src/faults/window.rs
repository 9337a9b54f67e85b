//! What one stretch of time came to: at the nodes, at PostgreSQL, at Redis, and for who waits for an answer.

use std::time::{Duration, Instant};

use super::house::House;
use super::postgres::Work;
use super::redis::Traffic;
use crate::house::answers;
use crate::measure::Latencies;

/// Of all nodes that ran in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    pub(super) took: Duration,
    /// Of each node.
    pub(super) cpu: Vec<Duration>,
    /// Answered 200.
    pub(super) webhooks: usize,
    pub(super) latencies: Latencies,
    /// Of the journal, by the nodes.
    pub(super) commits: u64,
    /// From node to node, with webhooks.
    pub(super) relays: u64,
    pub(super) redis: Traffic,
    pub(super) postgres: Work,
}

/// Counts that only grow.
struct SoFar {
    at: Instant,
    cpu: Vec<Duration>,
    webhooks: usize,
    commits: u64,
    relays: u64,
    redis: Traffic,
    postgres: Work,
}

impl Window {
    pub(super) async fn of(house: &mut House, span: Duration) -> anyhow::Result<Self> {
        house.visitors.take_latencies();
        let before = SoFar::read(house).await?;
        house.pass(span).await;
        let latencies = house.visitors.take_latencies();
        let after = SoFar::read(house).await?;
        let cpu = after.cpu.iter().zip(&before.cpu);
        Ok(Self {
            took: after.at.duration_since(before.at),
            cpu: cpu.map(|(after, before)| after.saturating_sub(*before)).collect(),
            webhooks: after.webhooks - before.webhooks,
            latencies,
            commits: after.commits.saturating_sub(before.commits),
            relays: after.relays.saturating_sub(before.relays),
            redis: after.redis.since(before.redis),
            postgres: after.postgres.since(before.postgres),
        })
    }

    pub(super) fn and(mut self, more: &Self) -> Self {
        self.cpu.resize(self.cpu.len().max(more.cpu.len()), Duration::ZERO);
        for (sum, more) in self.cpu.iter_mut().zip(&more.cpu) {
            *sum += *more;
        }
        self.latencies.merge(&more.latencies);
        Self {
            took: self.took + more.took,
            webhooks: self.webhooks + more.webhooks,
            commits: self.commits + more.commits,
            relays: self.relays + more.relays,
            redis: self.redis.and(more.redis),
            postgres: self.postgres.and(more.postgres),
            ..self
        }
    }

    /// Microseconds of the nodes' processor time.
    pub(super) fn cost(&self) -> f64 {
        self.each(self.cpu.iter().sum::<Duration>().as_secs_f64() * 1e6)
    }

    /// Of so much, what falls on one webhook.
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    pub(super) fn each(&self, all: f64) -> f64 {
        all / self.webhooks.max(1) as f64
    }

    pub(super) fn a_second(&self, all: f64) -> f64 {
        all / self.took.as_secs_f64()
    }
}

impl SoFar {
    async fn read(house: &House) -> anyhow::Result<Self> {
        let (mut commits, mut relays) = (0, 0);
        let (mut cpu, at) = (Vec::new(), Instant::now());
        for node in &house.nodes {
            if !node.runs() {
                cpu.push(Duration::ZERO);
                continue;
            }
            cpu.push(node.process()?.cpu()?);
            let told = house.metrics(node).await?;
            commits += count(&told, "usher_journal_commit_seconds_count");
            relays += count(&told, "usher_relay_seconds_count");
        }
        let (redis, postgres) = (house.redis.traffic().await?, house.postgres.work().await?);
        Ok(Self { at, cpu, webhooks: house.book.answers(), commits, relays, redis, postgres })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count, far below 2^52"
)]
fn count(told: &str, name: &str) -> u64 {
    answers::metric(told, name) as u64
}
