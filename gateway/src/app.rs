//! The composition root: which parts there are, in which order they start, and how they stop.

mod banner;
mod cluster;
mod keeper;
mod listen;
mod reached;
mod runner;
mod sandbox;
mod server;
mod tls;
mod tune;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use ::metrics::{counter, gauge, histogram};
use actix_web::dev::ServerHandle;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{App as WebApp, HttpServer};
use anyhow::Context as _;
use futures_util::FutureExt as _;
use futures_util::future::{join, join_all};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use usher_config::{Config, Loaded, Service};
use usher_engine::metrics::{
    BATCH_RECORDS, COMMIT_SECONDS, COMMITS_SUPERSEDED, LOG_FAILED, LOG_FULL, LOG_WAIT,
    PROJECTOR_LAG,
};
use usher_engine::{Clock, Engine, EngineOptions, ProviderCall};
use usher_store::{ArchiveOptions, CommitInfo, JournalOptions, Lag, LogInfo, Store, StoreOptions};

use cluster::{Hands, Joined, Joining};
use listen::Listeners;
pub(crate) use reached::{check, postgres};
use sandbox::Local;
use server::{Side, serve};

use crate::accounts::People;
use crate::bots;
use crate::http::{self, Doors, Health, Hooks, Proxies, Public, Together, Webhooks};
use crate::metrics;
use crate::provider::Provider;
use crate::relay::between::Gate;
use crate::relay::webhooks::Inlet;
use crate::relay::{Addressed, Homes, Relay};
use crate::socket::Sockets;
use crate::upgrade::Upgrade;

/// How late a lapsed session may be noticed.
const SWEEP_EVERY: Duration = Duration::from_mins(1);
/// Calls for the provider that may wait to be taken.
const PROVIDER_CALLS: usize = 4_096;
/// The archive may be so old before webhooks are answered 503.
const LAG_AGE_MAX: Duration = Duration::from_secs(30);
const ENGINE_STOPS_WITHIN: Duration = Duration::from_secs(2);

/// The running program.
pub struct App {
    engine: Engine,
    sockets: Sockets,
    provider: Provider,
    /// The public one, and that for other nodes.
    servers: Vec<ServerHandle>,
    metrics: Option<(SocketAddr, ServerHandle)>,
    sandbox: Option<Local>,
    /// `None`: this node is alone.
    joined: Option<(Joined, Relay)>,
    address: SocketAddr,
    public_url: String,
    tasks: Vec<JoinHandle<()>>,
    stop_grace: Duration,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Runs until the process is told to stop.
pub(crate) async fn run(loaded: Loaded) -> anyhow::Result<()> {
    let recorder = metrics::install().context("metrics could not be set up")?;
    for warning in &loaded.warnings {
        tracing::warn!(%warning, "settings");
    }
    let shown = banner::Demo::of(&loaded.services);
    let app = App::start(loaded, Some(recorder)).await?;
    banner::show(&app, &shown)?;
    told_to_stop().await?;
    tracing::info!("stopping");
    app.stop().await;
    tracing::info!("stopped");
    Ok(())
}

async fn told_to_stop() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

impl App {
    /// Starts everything, inside an actix system; `recorder` is shown on the listener for metrics.
    pub async fn start(loaded: Loaded, recorder: Option<PrometheusHandle>) -> anyhow::Result<Self> {
        // Another part of the process may have installed it before.
        drop(rustls::crypto::ring::default_provider().install_default());
        let Loaded { config, services, .. } = loaded;
        // Listeners first: an address in use is found out before anything has begun.
        let listeners = Listeners::bind(&config)?;
        let address = listeners.http.local_addr()?;
        let joining = Joining::open(&config, &services, &listeners)?;
        let (hands, bots, sandbox, taken) =
            hands(&config, &services, address, joining.as_ref()).await?;
        let Hands { engine, people, provider, webhooks } = hands.clone();
        let (joined, beside, webhooks, together) = match joining {
            None => (None, None, Hooks::Alone(webhooks), None),
            Some(joining) => {
                let homes = joining.homes().clone();
                let (joined, opened) = joining.join(&config, &services, hands)?;
                let (reach, leaving) = (opened.reach.clone(), joined.leaving());
                let together = Together { homes: homes.clone(), reach, leaving };
                let addressed = Addressed::new(people.clone(), bots.clone());
                let beside = Beside::new(&config, homes, addressed, &opened.inlet)?;
                let joined = (joined, beside.relay.clone());
                (Some(joined), Some(beside), Hooks::Shared(opened), Some(together))
            }
        };
        let health = Health::new(engine.clone(), together);
        let sockets = Sockets::new(engine.clone(), people.clone(), &config);
        let public_url = config.http.public_url(address);
        let doors = Doors::new(
            engine.clone(),
            people.clone(),
            provider.clone(),
            (public_url.clone(), Proxies::new(config.http.trusted_proxies.clone())),
            services,
        );
        let public = Public {
            engine: Data::new(engine.clone()),
            doors: Data::new(doors),
            webhooks,
            bots: Data::new(bots),
            sockets: sockets.clone(),
            health: health.clone(),
        };
        let Listeners { http, metrics, between } = listeners;
        let servers = serve_all(&config, (http, between), beside, public)?;
        let mut tasks = vec![
            tokio::spawn(sweep(people)),
            tokio::spawn(provider.clone().run(taken)),
            tokio::spawn(provider.clone().keep_templates()),
        ];
        let keep_up = |handle| tokio::spawn(metrics::keep_up(handle, config.data_dir.clone()));
        tasks.extend(recorder.clone().map(keep_up));
        let metrics = metrics.zip(recorder);
        let metrics = metrics.map(|(listener, recorder)| serve_metrics(listener, recorder, health));
        let metrics = metrics.transpose()?;
        tracing::info!(%address, "listening");
        let stop_grace = config.http.stop_grace;
        Ok(Self {
            engine,
            sockets,
            provider,
            servers,
            metrics,
            sandbox,
            joined,
            address,
            public_url,
            tasks,
            stop_grace,
        })
    }

    /// Where people, providers and integrators reach the program.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|(address, _)| *address)
    }

    /// Where the local 360dialog listens.
    pub fn sandbox_url(&self) -> Option<String> {
        self.sandbox.as_ref().map(Local::base_url)
    }

    /// Takes nothing new, lets what is under way finish, and makes durable what there is. Services that other
    /// nodes can have are theirs first, and what is still asked here is asked of these.
    pub async fn stop(self) {
        if let Some((joined, relay)) = self.joined {
            // Whoever comes meanwhile is passed on; balancers hear that it is not ready.
            joined.hand_over().await;
            relay.stop();
        }
        self.sockets.stop();
        let served = join_all(self.servers.iter().map(|server| server.stop(true)));
        let served = tokio::time::timeout(self.stop_grace, served);
        let (served, ()) = join(served, self.provider.settle(None)).await;
        if served.is_err() {
            join_all(self.servers.iter().map(|server| server.stop(false))).await;
        }
        if tokio::time::timeout(ENGINE_STOPS_WITHIN, self.engine.stop()).await.is_err() {
            tracing::error!("the engine did not stop in time; what is not durable is lost");
        }
        for task in &self.tasks {
            task.abort();
        }
        if let Some((_, metrics)) = self.metrics {
            metrics.stop(false).await;
        }
        if let Some(sandbox) = self.sandbox {
            sandbox.stop().await;
        }
    }
}

/// Ends lapsed sessions for as long as it is polled.
async fn sweep(people: People) {
    let clock = Clock::system();
    let mut ticks = tokio::time::interval(SWEEP_EVERY);
    loop {
        ticks.tick().await;
        people.sweep(clock.now()).await;
    }
}

/// What does the work behind the doors, and the calls for the provider that it makes.
async fn hands(
    config: &Config,
    services: &[Service],
    address: SocketAddr,
    joining: Option<&Joining>,
) -> anyhow::Result<(Hands, bots::Door, Option<Local>, mpsc::Receiver<ProviderCall>)> {
    let (calls, taken) = mpsc::channel(PROVIDER_CALLS);
    let engine = open_engine(config, services, joining, calls).await?;
    let sandbox = Local::start(config, services, address)?;
    let base = sandbox.as_ref().map(Local::base_url);
    let bots = bots::Door::new(services, engine.clone())
        .context("the door to bots could not be set up")?;
    let provider = Provider::new(config, services, engine.clone(), base.as_deref(), bots.clone())
        .context("the provider's clients could not be set up")?;
    let people = People::load(config, services, engine.clone(), Clock::system().now())
        .context("the accounts could not be read")?;
    let webhooks = Data::new(Webhooks::new(config, services, engine.clone())?);
    Ok((Hands { engine, people, provider, webhooks }, bots, sandbox, taken))
}

/// With the services that run from the start: all of them, or none where other nodes may have them.
async fn open_engine(
    config: &Config,
    services: &[Service],
    joining: Option<&Joining>,
    calls: mpsc::Sender<ProviderCall>,
) -> anyhow::Result<Engine> {
    let store = open_store(config, joining)?;
    let run = if joining.is_none() { services } else { &[] };
    own(&store, run)?;
    let options = EngineOptions {
        services: run.iter().map(|service| Arc::new(service.settings.clone())).collect(),
        credits_per_service: amount(config.limits.credits_per_service),
        // A thread of its own even for one service: HTTP is served on others.
        arbiters: services.len().clamp(1, threads()),
        messages_per_second: config.provider.messages_per_second,
        sends_at_once: amount(config.provider.in_flight_max),
    };
    Engine::start(options, store, calls).await.context("the engine did not start")
}

fn open_store(config: &Config, joining: Option<&Joining>) -> anyhow::Result<Store> {
    let (commit_seconds, batch_records) = (histogram!(COMMIT_SECONDS), histogram!(BATCH_RECORDS));
    let tell = joining.map(Joining::superseded);
    let (lag_seconds, superseded) = (gauge!(PROJECTOR_LAG), counter!(COMMITS_SUPERSEDED));
    let on_commit = move |info: &CommitInfo| {
        commit_seconds.record(info.took.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a batch has far fewer than 2^52 records")]
        batch_records.record(info.records as f64);
        superseded.increment(info.superseded.len() as u64);
        if let Some(tell) = tell.as_ref().filter(|_| !info.superseded.is_empty()) {
            tell(&info.superseded);
        }
    };
    let log_wait = histogram!(LOG_WAIT);
    let (log_full, log_failed) = (counter!(LOG_FULL), counter!(LOG_FAILED));
    let on_log = move |info: &LogInfo| {
        log_wait.record(info.waited.as_secs_f64());
        log_full.increment(info.full.into());
        log_failed.increment((!info.succeeded).into());
    };
    let lag_max = Lag { records: config.projector.lag_max.into(), age: LAG_AGE_MAX };
    let options = StoreOptions {
        journal: JournalOptions {
            batch_max: amount(config.journal.batch_max),
            queue_max: amount(config.journal.queue_max),
            on_commit: Box::new(on_commit),
            on_log: Box::new(on_log),
            ..JournalOptions::default()
        },
        archive: ArchiveOptions {
            batch_max: amount(config.projector.batch_max),
            lag_slow: config.projector.lag_slow.into(),
            lag_max,
            on_lag: Box::new(move |lag| lag_seconds.set(lag.age.as_secs_f64())),
            ..ArchiveOptions::default()
        },
        postgres: postgres(config)?,
        one_by_one: joining.is_some(),
        ..StoreOptions::default()
    };
    Store::open(&config.data_dir, options).context("the store could not be opened")
}

/// Nobody else writes of these services from now on, also of one that has not begun yet.
fn own(store: &Store, services: &[Service]) -> anyhow::Result<()> {
    for service in services {
        let epoch = store.own(service.settings.service, 0)?;
        tracing::debug!(service = %service.settings.service, epoch, "owned");
    }
    Ok(())
}

fn amount(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What stands before all that is asked, where other nodes are beside this one.
struct Beside {
    relay: Relay,
    gate: Option<Gate>,
}

impl Beside {
    fn new(
        config: &Config,
        homes: Homes,
        addressed: Addressed,
        inlet: &Inlet,
    ) -> anyhow::Result<Self> {
        let (inlet, gate) = (inlet.clone(), config.cluster.between.as_ref());
        let gate = gate.map(|between| Gate::new(between, homes.clone(), addressed.clone(), inlet));
        Ok(Self { relay: Relay::new(config, cluster::others(config)?, homes, addressed), gate })
    }
}

/// What this node answers, to the outside and, behind its gate, to other nodes.
fn serve_all(
    config: &Config,
    (http, between): (TcpListener, Option<TcpListener>),
    beside: Option<Beside>,
    public: Public,
) -> anyhow::Result<Vec<ServerHandle>> {
    let sockets = public.sockets.clone();
    let Some(Beside { relay, gate }) = beside else {
        let routes = move |config: &mut ServiceConfig| public.routes(config);
        let upgraded = move |upgrade| sockets.clone().upgraded(upgrade);
        return Ok(vec![serve(config, http, Side::Public, routes, upgraded)?]);
    };
    let mut servers = Vec::new();
    if let Some((listener, gate)) = between.zip(gate) {
        let (public, sockets, judge) = (public.clone(), sockets.clone(), gate.clone());
        let routes = move |config: &mut ServiceConfig| {
            gate.routes(config, |config| public.routes_between(config));
        };
        let upgraded =
            move |upgrade: Upgrade| judge.clone().upgraded(sockets.clone(), upgrade).boxed_local();
        servers.push(serve(config, listener, Side::Between, routes, upgraded)?);
    }
    let passes = relay.clone();
    let routes = move |config: &mut ServiceConfig| {
        passes.routes(config, |config| public.routes(config));
    };
    let upgraded = move |upgrade| relay.clone().upgraded(sockets.clone(), upgrade);
    servers.push(serve(config, http, Side::Public, routes, upgraded)?);
    Ok(servers)
}

fn serve_metrics(
    listener: TcpListener,
    recorder: PrometheusHandle,
    health: Health,
) -> anyhow::Result<(SocketAddr, ServerHandle)> {
    let address = listener.local_addr()?;
    let recorder = Data::new(recorder);
    let server = HttpServer::new(move || {
        WebApp::new()
            .app_data(recorder.clone())
            .route("/metrics", web::get().to(http::metrics))
            .configure(|config| health.routes(config))
    });
    let server = server.workers(1).disable_signals().listen(listener)?.run();
    let handle = server.handle();
    drop(tokio::spawn(server));
    Ok((address, handle))
}
