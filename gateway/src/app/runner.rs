//! Runs each service for as long as it is this node's, and says when nothing of it runs any more.
//!
//! | order | what is done | where the service is, meanwhile |
//! |---|---|---|
//! | Run | the store takes it, its actors start, what waits in the inbox is taken in | Coming, then Here |
//! | Drain | sends under way end, connections are let go, all is made durable | Here, then Unknown |
//! | Let go | its actors end at once: whatever they do is refused by the store | Unknown |

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Data;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use usher_domain::ids::ServiceId;
use usher_domain::ownership::Epoch;
use usher_domain::settings::Settings;
use usher_engine::{Clock, Engine};

use super::cluster::Hands;
use super::keeper::{Keeper, Order};
use crate::accounts::People;
use crate::http::Webhooks;
use crate::provider::Provider;
use crate::relay::webhooks::Inlet;
use crate::relay::{Home, Homes};

/// Of the provider, for what was asked of it before a service is handed over.
const SENDS_END_WITHIN: Duration = Duration::from_millis(500);

/// Of the store, for what was decided before: what is not durable then was promised to nobody.
const DRAINED_WITHIN: Duration = Duration::from_secs(1);

pub(super) struct Runner {
    homes: Homes,
    keeper: Keeper,
    engine: Engine,
    people: People,
    provider: Provider,
    webhooks: Data<Webhooks>,
    inlet: Inlet,
    /// This node ends: what has ended is not begun again.
    leaving: watch::Receiver<bool>,
}

type Orders = watch::Receiver<Order>;

impl Runner {
    pub(super) fn new(
        (homes, keeper): (Homes, Keeper),
        hands: Hands,
        inlet: Inlet,
        leaving: watch::Receiver<bool>,
    ) -> Self {
        let Hands { engine, people, provider, webhooks } = hands;
        Self { homes, keeper, engine, people, provider, webhooks, inlet, leaving }
    }

    /// Until this node ends.
    pub(super) async fn run(self: Arc<Self>, settings: Arc<Settings>, mut orders: Orders) {
        let (service, mut ran, mut leaving) = (settings.service, Epoch(0), self.leaving.clone());
        loop {
            let epoch = tokio::select! {
                epoch = to_run(&mut orders, ran) => epoch,
                _ = leaving.wait_for(|leaving| *leaving) => None,
            };
            let Some(epoch) = epoch else { return };
            ran = epoch;
            self.homes.tell(service, Home::Coming);
            match self.begin(&settings, epoch, &mut orders).await {
                Ok(true) => {
                    self.homes.tell(service, Home::Here);
                    until_told(&mut orders).await;
                }
                Ok(false) => tracing::warn!(%service, "lost before it ran"),
                Err(error) => {
                    tracing::error!(%service, cause = ?error, "the service could not be started");
                }
            }
            if self.end(service, &mut orders).await {
                // What is in the archive the next one need not bring there.
                self.leave(service).await;
                self.keeper.stopped(service).await;
            } else {
                self.keeper.stopped(service).await;
                self.leave(service).await;
            }
        }
    }

    /// Whether it runs; if not, it is not to any more.
    async fn begin(
        self: &Arc<Self>,
        settings: &Arc<Settings>,
        epoch: Epoch,
        orders: &mut Orders,
    ) -> anyhow::Result<bool> {
        let (runner, service) = (Arc::clone(self), settings.service);
        // Not to be given up half-way: what the store has taken, it has to leave.
        spawn_blocking(move || runner.take(service, epoch)).await??;
        self.engine.add(Arc::clone(settings)).await?;
        let runs = tokio::select! {
            () = self.inlet.first() => true,
            () = until_told(orders) => false,
        };
        if runs {
            let provider = self.provider.clone();
            drop(tokio::spawn(async move { provider.look_up_templates(service).await }));
            tracing::info!(%service, epoch = epoch.0, "runs here");
        }
        Ok(runs)
    }

    fn take(&self, service: ServiceId, epoch: Epoch) -> anyhow::Result<()> {
        self.engine.store().take(service, epoch.0)?;
        self.people.begin_service(service, Clock::system().now())?;
        self.webhooks.begin_service(service)?;
        Ok(())
    }

    /// Whether it ended in order. Nothing of it runs in any case.
    async fn end(&self, service: ServiceId, orders: &mut Orders) -> bool {
        let mut in_order = *orders.borrow_and_update() == Order::Drain;
        if in_order {
            // It still runs: nobody waits for this.
            drop(timeout(SENDS_END_WITHIN, self.provider.settle(Some(service))).await);
            self.homes.tell(service, Home::Unknown);
            let removed = timeout(DRAINED_WITHIN, self.engine.remove(service));
            in_order = tokio::select! {
                removed = removed => removed.is_ok(),
                () = let_go(orders) => false,
            };
        }
        if !in_order {
            tracing::warn!(%service, "let go before all was done in order");
        }
        self.homes.tell(service, Home::Unknown);
        self.engine.abandon(service);
        self.people.end_service(service);
        tracing::info!(%service, "does not run here any more");
        in_order
    }

    async fn leave(self: &Arc<Self>, service: ServiceId) {
        let runner = Arc::clone(self);
        if spawn_blocking(move || runner.engine.store().leave(service)).await.is_err() {
            tracing::error!(%service, "the store panicked when it was to leave a service");
        }
    }
}

/// The epoch to run under, other than that it `ran` under. `None`: nobody orders any more.
async fn to_run(orders: &mut Orders, ran: Epoch) -> Option<Epoch> {
    let runs = |order: &Order| matches!(order, Order::Run(epoch) if *epoch != ran);
    match *orders.wait_for(runs).await.ok()? {
        Order::Run(epoch) => Some(epoch),
        Order::Leave | Order::Drain | Order::LetGo => None,
    }
}

/// It is not to run any more; also when nobody orders.
async fn until_told(orders: &mut Orders) {
    drop(orders.wait_for(|order| !matches!(order, Order::Run(_))).await);
}

async fn let_go(orders: &mut Orders) {
    drop(orders.wait_for(|order| *order == Order::LetGo).await);
}
