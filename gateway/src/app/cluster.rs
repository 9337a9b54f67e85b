//! Several nodes for the same services: this one stands by until the services are its own, runs them as
//! long as they are, and then begins anew as if it had just been started.
//!
//! It runs all of its services or none. Beginning anew is the program in place of itself, in the same
//! process: whatever ran is gone at once, whatever it was about to do.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;
use usher_cluster::{Leases, Nodes, Redis, RedisOptions};
use usher_config::{Cluster, Config, Loaded};
use usher_domain::ids::ServiceId;
use usher_domain::ownership::lease::Terms;
use usher_domain::ownership::placement::NodeId;
use usher_store::{Inbox, InboxLimits, Ownership};

use super::keeper::{Keeper, Keeping, Order, Parts};
use super::standby::{Doors, Standby};
use super::{App, Claimed, Listeners, banner, postgres, told_to_stop};
use crate::relay::webhooks::{Inboxed, Outer};
use crate::relay::{Owner, Owners, Relay};

/// Longest wait for Redis to take a lease back.
const RELEASED_WITHIN: Duration = Duration::from_secs(1);
/// After what could not be started, before it is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// Close frames that are under way are let go.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Runs until the process is told to stop.
pub(super) async fn run(
    loaded: Loaded,
    redis: RedisOptions,
    recorder: PrometheusHandle,
) -> anyhow::Result<()> {
    // Before Redis is reached, which may be by TLS.
    drop(rustls::crypto::ring::default_provider().install_default());
    let listeners = Listeners::bind(&loaded.config)?;
    let parts = parts(&loaded, redis, &listeners)?;
    let me = parts.me.clone();
    let Keeping { keeper, mut orders } = Keeper::start(parts)?;
    let (up, is_up) = watch::channel(false);
    let owners = owners(orders.clone(), me.clone(), is_up);
    let relay = Relay::new(&loaded.config, owners)?;
    let database = postgres(&loaded.config)?.context("`store.url` is not set")?;
    let inbox = Inbox::open(database, InboxLimits::default()).context("the inbox")?;
    let inbox = Inboxed::new(inbox);
    let webhooks = Outer::open(&loaded, &relay, inbox.clone())?;
    let doors = Doors { relay, webhooks, recorder: recorder.clone() };
    let standby = Standby::start(&loaded.config, listeners.share()?, doors)?;
    tracing::info!("standing by");
    let stopping = told_to_stop();
    tokio::pin!(stopping);
    let claimed = tokio::select! {
        told = &mut stopping => {
            told?;
            keeper.give_up().await;
            standby.stop().await;
            keeper.stopped(RELEASED_WITHIN).await;
            return Ok(());
        }
        claimed = owned(&mut orders) => claimed?,
    };
    tracing::info!("the services are this node's; starting them");
    let shown = banner::Demo::of(&loaded.services);
    let claimed = Claimed { epochs: claimed, superseded: keeper.superseded(), me, inbox };
    let starting = App::start_on(loaded, Some(recorder), listeners, Some(claimed));
    let app = tokio::select! {
        app = starting => app,
        () = lost(&mut orders) => return begin_anew("the lease was lost while it started"),
    };
    let app = match app {
        Ok(app) => app,
        Err(error) => {
            tracing::error!(cause = ?error, "the services could not be started");
            keeper.give_up().await;
            keeper.stopped(RELEASED_WITHIN).await;
            tokio::time::sleep(PAUSE).await;
            return begin_anew("the services could not be started");
        }
    };
    // What is still asked by its connections is asked of the services that run here.
    up.send_replace(true);
    drop(actix_rt::spawn(standby.leave()));
    banner::show(&app, &shown)?;
    tokio::select! {
        told = &mut stopping => told?,
        () = lost(&mut orders) => {
            app.say_goodbye();
            tokio::time::sleep(LAST_WORDS).await;
            return begin_anew("the services are another node's");
        }
    }
    tracing::info!("handing over");
    keeper.give_up().await;
    lost(&mut orders).await;
    tokio::select! {
        () = app.stop() => keeper.stopped(RELEASED_WITHIN).await,
        () = let_go(&mut orders) => tracing::warn!("the lease was over before all had stopped"),
    }
    tracing::info!("stopped");
    Ok(())
}

/// Where the node is that has the services, as often as it is another. This one is, once it `is_up`.
fn owners(
    mut orders: watch::Receiver<Order>,
    me: NodeId,
    mut is_up: watch::Receiver<bool>,
) -> Owners {
    let (say, owners) = watch::channel(None);
    tokio::spawn(async move {
        loop {
            let owner = match &*orders.borrow_and_update() {
                Order::StandBy { holder } => holder.clone().and_then(Owner::of),
                Order::Run(_) | Order::Drain if *is_up.borrow_and_update() => Owner::of(me.clone()),
                Order::Run(_) | Order::Drain | Order::LetGo => None,
            };
            say.send_if_modified(|known| {
                let changed = *known != owner;
                *known = owner;
                changed
            });
            let told = tokio::select! {
                told = orders.changed() => told,
                told = is_up.changed() => told,
            };
            if told.is_err() {
                break;
            }
        }
    });
    owners
}

fn parts(loaded: &Loaded, redis: RedisOptions, listeners: &Listeners) -> anyhow::Result<Parts> {
    let Config { cluster, .. } = &loaded.config;
    let database = postgres(&loaded.config)?.context("`store.url` is not set")?;
    let me = name(cluster, listeners)?;
    let ownership = Ownership::open(database, Arc::clone(&me.0), cluster.lease)
        .context("the database cannot be used")?;
    let terms = Terms::new(cluster.lease);
    let redis = Redis::new(redis);
    let mut services: Vec<ServiceId> =
        loaded.services.iter().map(|service| service.settings.service).collect();
    if services.is_empty() {
        bail!("there is no service to run");
    }
    // All nodes ask in the same order, and who has the first one may have the others.
    services.sort_unstable();
    Ok(Parts {
        nodes: Nodes::new(redis.clone(), me.clone(), cluster.weight, cluster.lease),
        leases: Leases::new(redis, me.clone(), cluster.lease),
        me,
        ownership,
        terms,
        services,
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

async fn owned(orders: &mut watch::Receiver<Order>) -> anyhow::Result<BTreeMap<ServiceId, u64>> {
    let order = orders.wait_for(|order| matches!(order, Order::Run(_))).await;
    match &*order.context("nobody keeps the leases any more")? {
        Order::Run(claimed) => Ok(claimed.clone()),
        Order::StandBy { .. } | Order::Drain | Order::LetGo => {
            bail!("an order that was not waited for")
        }
    }
}

/// The services are not to be run any more; also when nobody keeps the leases.
async fn lost(orders: &mut watch::Receiver<Order>) {
    drop(orders.wait_for(|order| !matches!(order, Order::Run(_))).await);
}

/// What runs is to stop at once.
async fn let_go(orders: &mut watch::Receiver<Order>) {
    drop(orders.wait_for(|order| matches!(order, Order::LetGo)).await);
}

fn begin_anew(why: &str) -> anyhow::Result<()> {
    tracing::warn!(why, "beginning anew");
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| "usher".into());
    // The program as it was started, wherever its file has gone since.
    let failed = Command::new("/proc/self/exe").arg0(name).args(arguments).exec();
    Err(failed).context("the program could not begin anew")
}
