//! The faults: what each stands on, what is done to whom, and when all should be well again.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::ValueEnum;

use super::ground::{Kind, Lost, mend};
use super::house::{House, Stand};
use super::nodes::{Build, NODES};
use super::redis::Shape;

/// A process manager starts again what has ended.
const STARTED_AGAIN: Duration = Duration::from_secs(1);
const LIVES_WITHIN: Duration = Duration::from_mins(1);

/// One row of the matrix.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, ValueEnum)]
pub enum Row {
    /// kill −9 the node that runs the services; back after two leases.
    KillOwner,
    /// kill −9 one that does not.
    KillDoor,
    /// The owner stands still for two leases, and goes on.
    Zombie,
    /// Redis is killed, and back from its file after two leases.
    RedisKilled,
    /// Redis is stopped and started at once.
    RedisRestarted,
    /// FLUSHALL.
    RedisFlushed,
    /// Redis is killed, half of its file is gone, and it starts from that.
    RedisTruncated,
    PostgresRestarted,
    /// PostgreSQL's disk is full for two leases.
    PostgresDiskFull,
    /// A node starts under the owner's name, for two leases.
    SameId,
    /// Every node in turn is told to stop, and started.
    RollingRestart,
    /// As that, from an older build (`--older`) to this one.
    RollingUpgrade,
    /// Redis behind a Sentinel; the master is killed.
    Sentinel,
    /// A Redis Cluster; the master that has the lease is killed.
    RedisCluster,
    /// Between the owner and Redis nothing passes for two leases.
    CutRedis,
    /// … what the owner says to Redis is lost.
    CutRedisThere,
    /// … what Redis says to the owner is lost.
    CutRedisBack,
    /// Between the owner and PostgreSQL nothing passes for two leases.
    CutPostgres,
    CutPostgresThere,
    CutPostgresBack,
    /// Between the owner and the other nodes nothing passes for two leases.
    CutNodes,
}

/// When it began, and from when on all should be well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) began: Instant,
    pub(super) mended: Instant,
}

impl Row {
    pub(super) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Whether it needs networks or mounts of its own.
    pub(super) const fn is_apart(self) -> bool {
        self.cuts().is_some() || matches!(self, Self::PostgresDiskFull)
    }

    const fn cuts(self) -> Option<(Far, Lost)> {
        match self {
            Self::CutRedis => Some((Far::Redis, Lost::Both)),
            Self::CutRedisThere => Some((Far::Redis, Lost::There)),
            Self::CutRedisBack => Some((Far::Redis, Lost::Back)),
            Self::CutPostgres => Some((Far::Postgres, Lost::Both)),
            Self::CutPostgresThere => Some((Far::Postgres, Lost::There)),
            Self::CutPostgresBack => Some((Far::Postgres, Lost::Back)),
            Self::CutNodes => Some((Far::Nodes, Lost::Both)),
            _ => None,
        }
    }

    pub(super) const fn stand(self) -> Stand {
        let shape = match self {
            Self::Sentinel => Shape::Sentinel,
            Self::RedisCluster => Shape::Cluster,
            _ => Shape::One,
        };
        let kind = if self.cuts().is_some() { Kind::Apart } else { Kind::Loopback };
        Stand { kind, shape, small: matches!(self, Self::PostgresDiskFull) }
    }

    /// Nobody can promise anything while no node reaches the records.
    pub(super) const fn takes_the_records(self) -> bool {
        matches!(self, Self::PostgresRestarted | Self::PostgresDiskFull)
    }

    /// What is done; it returns once all should be well, or on its way there.
    pub(super) async fn befall(self, house: &mut House, builds: &Builds) -> anyhow::Result<Fault> {
        let owner = house.owner().await?;
        let other = (owner + 1) % NODES;
        let long = 2 * house.terms.lease;
        let began = Instant::now();
        match self {
            Self::KillOwner => kill(house, owner, long).await?,
            Self::KillDoor => kill(house, other, STARTED_AGAIN).await?,
            Self::Zombie => {
                house.nodes[owner].process()?.freeze()?;
                house.pass(long).await;
                house.nodes[owner].process()?.thaw()?;
            }
            Self::RedisFlushed => house.redis.flush().await?,
            Self::RedisKilled => redis_gone(house, long, false).await?,
            Self::RedisRestarted => redis_gone(house, Duration::ZERO, false).await?,
            Self::RedisTruncated => redis_gone(house, Duration::ZERO, true).await?,
            Self::Sentinel | Self::RedisCluster => {
                let master = house.redis.master().await?;
                house.redis.kill(master)?;
                house.redis.taken_over().await?;
            }
            Self::PostgresRestarted => {
                house.postgres.stop().await?;
                house.postgres.run()?;
                house.postgres.until_up().await?;
                return Ok(Fault { began, mended: Instant::now() });
            }
            Self::PostgresDiskFull => {
                fill(house, long).await?;
                return Ok(Fault { began, mended: Instant::now() });
            }
            Self::SameId => same_id(house, owner, other, long).await?,
            Self::RollingRestart => {
                for node in 0..NODES {
                    restart(house, node, None).await?;
                }
            }
            Self::RollingUpgrade => {
                for node in 0..NODES {
                    restart(house, node, Some(&builds.this)).await?;
                }
            }
            Self::CutRedis
            | Self::CutRedisThere
            | Self::CutRedisBack
            | Self::CutPostgres
            | Self::CutPostgresThere
            | Self::CutPostgresBack
            | Self::CutNodes => self.cut(house, owner, long).await?,
        }
        Ok(Fault { began, mended: began })
    }

    async fn cut(self, house: &mut House, owner: usize, long: Duration) -> anyhow::Result<()> {
        let (far, lost) = self.cuts().context("it cuts nothing")?;
        let here = &house.nodes[owner].place;
        match far {
            Far::Redis => here.cut(house.redis.place(), lost)?,
            Far::Postgres => here.cut(house.postgres.place(), lost)?,
            Far::Nodes => {
                for other in (0..NODES).filter(|other| *other != owner) {
                    here.cut(&house.nodes[other].place, lost)?;
                }
            }
        }
        house.pass(long).await;
        mend();
        Ok(())
    }

    /// As it should be before the fault, where a round leaves it otherwise.
    pub(super) async fn prepare(self, house: &mut House) -> anyhow::Result<()> {
        // The one that was killed follows the new master.
        if matches!(self, Self::Sentinel | Self::RedisCluster) {
            house.redis.whole().await?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
enum Far {
    Redis,
    Postgres,
    Nodes,
}

/// What is run: this build, and perhaps one before it.
#[derive(Clone, Debug)]
pub(super) struct Builds {
    pub(super) this: Build,
    pub(super) older: Option<Build>,
}

async fn kill(house: &mut House, node: usize, away: Duration) -> anyhow::Result<()> {
    house.nodes[node].kill()?;
    house.pass(away).await;
    house.nodes[node].start()
}

async fn redis_gone(house: &mut House, away: Duration, truncated: bool) -> anyhow::Result<()> {
    house.redis.kill(0)?;
    if truncated {
        house.redis.truncate()?;
    }
    house.pass(away).await;
    house.redis.again(0).await
}

async fn fill(house: &mut House, long: Duration) -> anyhow::Result<()> {
    let filler = house.postgres.fill()?;
    house.pass(long).await;
    std::fs::remove_file(filler)?;
    // It ends when it cannot write its log.
    if house.postgres.has_ended() {
        house.postgres.run()?;
    }
    house.postgres.until_up().await
}

async fn same_id(
    house: &mut House,
    owner: usize,
    other: usize,
    long: Duration,
) -> anyhow::Result<()> {
    let name = house.nodes[owner].name.clone();
    house.nodes[other].terminate().await?;
    house.nodes[other].start_as(&name)?;
    house.pass(long).await;
    // A node may well refuse to run under a name that is taken.
    if house.nodes[other].has_ended().is_none() {
        house.nodes[other].terminate().await?;
    }
    house.nodes[other].start()
}

/// As a process manager does it, node by node: the next when this one takes part again.
async fn restart(house: &mut House, node: usize, build: Option<&Build>) -> anyhow::Result<()> {
    ensure!(house.nodes[node].runs(), "it does not run");
    house.nodes[node].terminate().await?;
    if let Some(build) = build {
        house.nodes[node].becomes(build);
    }
    house.nodes[node].start()?;
    house
        .until("a restarted node takes part", LIVES_WITHIN, async |house| {
            house.balancer.all_live().await && house.balancer.ready() > 0
        })
        .await?;
    Ok(())
}
