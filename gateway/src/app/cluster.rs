//! Several nodes for the same services: what one of them needs to share them with the others, and how it
//! hands over what it has when it ends.
//!
//! A node is all of a program all the time: a door to every service, and the home of those it owns.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix_web::web::Data;
use anyhow::{Context as _, bail};
use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use usher_cluster::{Leases, Nodes, Redis, RedisOptions};
use usher_config::{Cluster, Config, Service};
use usher_domain::ids::ServiceId;
use usher_domain::ownership::lease::Terms;
use usher_domain::ownership::placement::NodeId;
use usher_domain::settings::Settings;
use usher_engine::Engine;
use usher_store::{Inbox, InboxLimits, Ownership, Postgres};

use super::keeper::{Keeper, Keeping, Parts};
use super::reached::{believed, redis};
use super::runner::Runner;
use super::{Listeners, postgres};
use crate::accounts::People;
use crate::http::Webhooks;
use crate::provider::Provider;
use crate::relay::webhooks::{Inlet, Opened};
use crate::relay::{Homes, Others, Owner};

/// Longest wait for Redis to take the leases back.
const RELEASED_WITHIN: Duration = Duration::from_secs(1);
/// Services that have not ended by then end with the process.
const ENDED_WITHIN: Duration = Duration::from_secs(5);

/// What this node shares services by, before any runs.
pub(super) struct Joining {
    parts: Parts,
    inbox: Inbox,
    keeper: Arc<OnceLock<Keeper>>,
}

/// What services are run with; cheap to clone.
#[derive(Clone)]
pub(super) struct Hands {
    pub(super) engine: Engine,
    pub(super) people: People,
    pub(super) provider: Provider,
    pub(super) webhooks: Data<Webhooks>,
}

/// This node among the others.
pub(super) struct Joined {
    keeper: Keeper,
    leaving: watch::Sender<bool>,
    services: Vec<JoinHandle<()>>,
    inlet: Inlet,
    draining: JoinHandle<()>,
}

impl Joining {
    /// `None`: this node is alone.
    pub(super) fn open(
        config: &Config,
        services: &[Service],
        listeners: &Listeners,
    ) -> anyhow::Result<Option<Self>> {
        let Some(redis) = redis(config)? else { return Ok(None) };
        if services.is_empty() {
            bail!("there is no service to run");
        }
        let me =
            Owner::of(name(&config.cluster, listeners)?).context("`cluster.bind` is not set")?;
        let homes = Homes::new(me, services.iter().map(|service| service.settings.service));
        let database = postgres(config)?.context("`store.url` is not set")?;
        let inbox = Inbox::open(database.clone(), InboxLimits::default()).context("the inbox")?;
        let parts = parts(&config.cluster, redis, database, homes)?;
        Ok(Some(Self { parts, inbox, keeper: Arc::default() }))
    }

    pub(super) const fn homes(&self) -> &Homes {
        &self.parts.homes
    }

    /// To be called with the services of which a commit was refused, since others have claimed them.
    pub(super) fn superseded(&self) -> impl Fn(&[ServiceId]) + Send + 'static {
        let keeper = Arc::clone(&self.keeper);
        move |services| {
            if let Some(keeper) = keeper.get() {
                keeper.superseded(services);
            }
        }
    }

    /// From now on services that are this node's run here. What can be opened for them is.
    pub(super) fn join(
        self,
        config: &Config,
        services: &[Service],
        hands: Hands,
    ) -> anyhow::Result<(Joined, Opened)> {
        let homes = self.parts.homes.clone();
        let others = others(config)?;
        let opened = Opened::open(others, &homes, hands.webhooks.clone(), self.inbox)?;
        let Keeping { keeper, orders } = Keeper::start(self.parts)?;
        self.keeper.set(keeper.clone()).ok();
        let (leaving, left) = watch::channel(false);
        let settings: BTreeMap<ServiceId, Arc<Settings>> = services
            .iter()
            .map(|service| (service.settings.service, Arc::new(service.settings.clone())))
            .collect();
        let draining = opened.inlet.drain();
        let runner = Runner::new((homes, keeper.clone()), hands, opened.inlet.clone(), left);
        let runner = Arc::new(runner);
        let run = |(service, orders)| {
            let settings = Arc::clone(settings.get(&service)?);
            Some(tokio::spawn(Arc::clone(&runner).run(settings, orders)))
        };
        let services = orders.into_iter().filter_map(run).collect();
        let inlet = opened.inlet.clone();
        Ok((Joined { keeper, leaving, services, inlet, draining }, opened))
    }
}

impl Joined {
    /// Turns true when this node begins to end.
    pub(super) fn leaving(&self) -> watch::Receiver<bool> {
        self.leaving.subscribe()
    }

    /// Ends what runs here, each service for whoever is to have it next, and leaves.
    pub(super) async fn hand_over(self) {
        tracing::info!("handing over");
        self.leaving.send_replace(true);
        self.keeper.give_up().await;
        if timeout(ENDED_WITHIN, join_all(self.services)).await.is_err() {
            tracing::warn!("not all services have ended in time");
        }
        self.draining.abort();
        self.inlet.close();
        self.keeper.leave(RELEASED_WITHIN).await;
    }
}

/// With connections of its own: they live with the thread that asked first.
pub(super) fn others(config: &Config) -> anyhow::Result<Others> {
    let between = config.cluster.between.as_ref().context("`cluster.bind` is not set")?;
    Others::new(between, believed(config)?.as_deref())
}

fn parts(
    cluster: &Cluster,
    redis: RedisOptions,
    database: Postgres,
    homes: Homes,
) -> anyhow::Result<Parts> {
    let me = homes.me().node.clone();
    let ownership = Ownership::open(database, Arc::clone(&me.0), cluster.lease)
        .context("the database cannot be used")?;
    let (redis, terms) = (Redis::new(redis), Terms::new(cluster.lease));
    Ok(Parts {
        nodes: Nodes::new(redis.clone(), me.clone(), cluster.weight, cluster.lease),
        leases: Leases::new(redis, me, cluster.lease),
        ownership,
        terms,
        settled_after: cluster.rebalance_after,
        homes,
    })
}

/// Another after each start: what was granted to the one before is not this one's.
fn name(cluster: &Cluster, listeners: &Listeners) -> anyhow::Result<NodeId> {
    let between = cluster.between.as_ref().zip(listeners.between.as_ref());
    let (between, listener) = between.context("`cluster.bind` is not set")?;
    let reached = match &between.advertise {
        Some(address) => address.clone(),
        None => listener.local_addr()?.to_string(),
    };
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let name = cluster.node.as_ref().unwrap_or(&machine);
    let start: u32 = rand::random();
    Ok(NodeId(Arc::from(format!("{name}/{start:08x}@{reached}"))))
}
