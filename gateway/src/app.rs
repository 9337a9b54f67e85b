//! The composition root: which parts there are, in which order they start, and how they stop.

mod banner;
mod cluster;
mod keeper;
mod listen;
mod reached;
mod server;
mod standby;
mod tls;
mod tune;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use ::metrics::{counter, gauge, histogram};
use actix_web::dev::ServerHandle;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{App as WebApp, HttpServer, ResponseError as _};
use anyhow::Context as _;
use futures_util::FutureExt as _;
use futures_util::future::{join, join_all};
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::ExposeSecret as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use usher_config::{Config, Http, Loaded, SandboxNumber, Service, sandbox_numbers};
use usher_domain::ids::ServiceId;
use usher_domain::ownership::placement::NodeId;
use usher_engine::metrics::{
    BATCH_RECORDS, COMMIT_SECONDS, COMMITS_SUPERSEDED, LOG_FAILED, LOG_FULL, LOG_WAIT,
    PROJECTOR_LAG,
};
use usher_engine::{Clock, Engine, EngineOptions};
use usher_sandbox::{NumberOptions, Sandbox, SandboxHandle, SandboxOptions};
use usher_store::{ArchiveOptions, CommitInfo, JournalOptions, Lag, LogInfo, Store, StoreOptions};

use listen::Listeners;
use reached::redis;
pub(crate) use reached::{check, postgres};
use server::{Side, serve};

use crate::accounts::People;
use crate::bots;
use crate::http::{self, Doors, Hooks, Proxies, Public, Webhooks};
use crate::metrics;
use crate::provider::{Provider, hook_headers, hook_url};
use crate::relay::between::Gate;
use crate::relay::webhooks::Inboxed;
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
    sandbox: Option<SandboxHandle>,
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
    if let Some(redis) = redis(&loaded.config)? {
        return cluster::run(loaded, redis, recorder).await;
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
        // Listeners first: an address in use is found out before anything has begun.
        let listeners = Listeners::bind(&loaded.config)?;
        Self::start_on(loaded, recorder, listeners, None).await
    }

    /// With services that were `claimed` before, under their epochs.
    async fn start_on(
        loaded: Loaded,
        recorder: Option<PrometheusHandle>,
        listeners: Listeners,
        claimed: Option<Claimed>,
    ) -> anyhow::Result<Self> {
        // Another part of the process may have installed it before.
        drop(rustls::crypto::ring::default_provider().install_default());
        let Loaded { config, services, .. } = loaded;
        let address = listeners.http.local_addr()?;
        let (me, inbox) = claimed.as_ref().map(|it| (it.me.clone(), it.inbox.clone())).unzip();
        let epochs = claimed.as_ref().map(|it| it.epochs.clone());
        let store = open_store(&config, claimed)?;
        own(&store, &services, epochs)?;
        let (calls, taken) = mpsc::channel(PROVIDER_CALLS);
        let engine = Engine::start(engine_options(&config, &services), store, calls).await;
        let engine = engine.context("the engine did not start")?;
        let sandbox = start_sandbox(&config, &services, address)?;
        let base = sandbox.as_ref().map(SandboxHandle::base_url);
        let bots = bots::Door::new(&services, engine.clone())
            .context("the door to bots could not be set up")?;
        let provider =
            Provider::new(&config, &services, engine.clone(), base.as_deref(), bots.clone())
                .context("the provider's clients could not be set up")?;
        let people = People::load(&config, &services, engine.clone(), Clock::system().now())
            .context("the accounts could not be read")?;
        let sockets = Sockets::new(engine.clone(), people.clone(), &config);
        let public_url = config.http.public_url(address);
        let webhooks = Data::new(Webhooks::new(&config, &services, engine.clone())?);
        let doors = Doors::new(
            engine.clone(),
            people.clone(),
            provider.clone(),
            (public_url.clone(), Proxies::new(config.http.trusted_proxies.clone())),
            services,
        );
        let (webhooks, draining) = hooks(webhooks, inbox).await;
        let public = Public {
            engine: Data::new(engine.clone()),
            doors: Data::new(doors),
            webhooks,
            bots: Data::new(bots),
            sockets: sockets.clone(),
        };
        let gate = config.cluster.between.as_ref().zip(me).map(|(is, me)| Gate::new(is, me));
        let servers = serve_all(&config, listeners.http, listeners.between.zip(gate), public)?;
        let mut tasks = vec![
            tokio::spawn(sweep(people.clone())),
            tokio::spawn(provider.clone().run(taken)),
            tokio::spawn(provider.clone().keep_templates()),
        ];
        let keep_up = |handle| tokio::spawn(metrics::keep_up(handle, config.data_dir.clone()));
        tasks.extend(recorder.clone().map(keep_up));
        tasks.extend(draining);
        let metrics = listeners
            .metrics
            .zip(recorder)
            .map(|(listener, recorder)| serve_metrics(listener, recorder, health(engine.clone())));
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
        self.sandbox.as_ref().map(SandboxHandle::base_url)
    }

    /// Tells every client to come back, and takes nothing new.
    fn say_goodbye(&self) {
        self.sockets.stop();
    }

    /// Takes nothing new, lets what is under way finish, and makes durable what there is.
    pub async fn stop(self) {
        self.sockets.stop();
        let served = join_all(self.servers.iter().map(|server| server.stop(true)));
        let served = tokio::time::timeout(self.stop_grace, served);
        let (served, ()) = join(served, self.provider.settle()).await;
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

/// The services that are this node's.
struct Claimed {
    /// As the others know this node.
    me: NodeId,
    epochs: BTreeMap<ServiceId, u64>,
    /// Called when a commit was refused since another node has claimed its service.
    superseded: Box<dyn Fn() + Send>,
    /// Where webhooks have been put meanwhile.
    inbox: Inboxed,
}

fn open_store(config: &Config, claimed: Option<Claimed>) -> anyhow::Result<Store> {
    let (commit_seconds, batch_records) = (histogram!(COMMIT_SECONDS), histogram!(BATCH_RECORDS));
    let one_by_one = claimed.is_some();
    let tell: Box<dyn Fn() + Send> = match claimed {
        Some(Claimed { superseded, .. }) => superseded,
        None => Box::new(|| ()),
    };
    let (lag_seconds, superseded) = (gauge!(PROJECTOR_LAG), counter!(COMMITS_SUPERSEDED));
    let on_commit = move |info: &CommitInfo| {
        commit_seconds.record(info.took.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a batch has far fewer than 2^52 records")]
        batch_records.record(info.records as f64);
        superseded.increment(info.superseded.len() as u64);
        if !info.superseded.is_empty() {
            tell();
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
        one_by_one,
        in_step: false,
    };
    Store::open(&config.data_dir, options).context("the store could not be opened")
}

/// Nobody else writes of these services from now on, also of one that has not begun yet.
fn own(
    store: &Store,
    services: &[Service],
    claimed: Option<BTreeMap<ServiceId, u64>>,
) -> anyhow::Result<()> {
    if let Some(claimed) = claimed {
        for (service, epoch) in claimed {
            store.take(service, epoch)?;
        }
        return Ok(());
    }
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

fn engine_options(config: &Config, services: &[Service]) -> EngineOptions {
    EngineOptions {
        services: services.iter().map(|service| Arc::new(service.settings.clone())).collect(),
        credits_per_service: amount(config.limits.credits_per_service),
        // A thread of its own even for one service: HTTP is served on others.
        arbiters: services.len().clamp(1, threads()),
        messages_per_second: config.provider.messages_per_second,
        sends_at_once: amount(config.provider.in_flight_max),
    }
}

/// How webhooks come in, and what takes them out of the inbox. What has waited there goes before what
/// comes.
async fn hooks(
    webhooks: Data<Webhooks>,
    inbox: Option<Inboxed>,
) -> (Hooks, Option<JoinHandle<()>>) {
    let Some(inbox) = inbox else { return (Hooks::Alone(webhooks), None) };
    let inlet = inbox.inlet(webhooks);
    let draining = inlet.begin().await;
    (Hooks::Shared(Data::new(inlet)), Some(draining))
}

/// The same to the outside and, behind its gate, to other nodes.
fn serve_all(
    config: &Config,
    http: TcpListener,
    between: Option<(TcpListener, Gate)>,
    public: Public,
) -> anyhow::Result<Vec<ServerHandle>> {
    let mut servers = Vec::new();
    if let Some((listener, gate)) = between {
        let (public, sockets, judge) = (public.clone(), public.sockets.clone(), gate.clone());
        let routes = move |config: &mut ServiceConfig| {
            gate.routes(config, |config| public.routes_between(config));
        };
        let upgraded = move |upgrade: Upgrade| match judge.judge(upgrade.head().headers()) {
            Ok(()) => sockets.clone().upgraded(upgrade),
            Err(problem) => upgrade.refuse(problem.error_response()).boxed_local(),
        };
        servers.push(serve(config, listener, Side::Between, routes, Some(upgraded))?);
    }
    let sockets = public.sockets.clone();
    let routes = move |config: &mut ServiceConfig| public.routes(config);
    let upgraded = move |upgrade| sockets.clone().upgraded(upgrade);
    servers.push(serve(config, http, Side::Public, routes, Some(upgraded))?);
    Ok(servers)
}

/// What operators ask beside the metrics.
fn health(engine: Engine) -> impl Fn(&mut ServiceConfig) + Clone + Send {
    let engine = Data::new(engine);
    move |config| {
        config
            .app_data(engine.clone())
            .route("/livez", web::get().to(http::livez))
            .route("/readyz", web::get().to(http::readyz));
    }
}

fn serve_metrics(
    listener: TcpListener,
    recorder: PrometheusHandle,
    health: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> anyhow::Result<(SocketAddr, ServerHandle)> {
    let address = listener.local_addr()?;
    let recorder = Data::new(recorder);
    let server = HttpServer::new(move || {
        WebApp::new()
            .app_data(recorder.clone())
            .route("/metrics", web::get().to(http::metrics))
            .configure(&health)
    });
    let server = server.workers(1).disable_signals().listen(listener)?.run();
    let handle = server.handle();
    drop(tokio::spawn(server));
    Ok((address, handle))
}

/// The local 360dialog with the numbers of all channels that live there.
fn start_sandbox(
    config: &Config,
    services: &[Service],
    gateway: SocketAddr,
) -> anyhow::Result<Option<SandboxHandle>> {
    if !config.sandbox.on {
        return Ok(None);
    }
    // It delivers to us directly, whatever name the outside knows us by.
    let local = Http { public_url: None, ..config.http.clone() }.public_url(gateway);
    let numbers = sandbox_numbers(services);
    let options = SandboxOptions {
        bind: config.sandbox.bind,
        numbers: numbers.iter().map(|number| sandbox_number(number, &local)).collect(),
        ..SandboxOptions::default()
    };
    let bind = config.sandbox.bind;
    let started = Sandbox::start(options);
    Ok(Some(started.with_context(|| format!("the sandbox did not start on {bind}"))?))
}

fn sandbox_number(number: &SandboxNumber, gateway: &str) -> NumberOptions {
    let headers = hook_headers(&number.webhook).into_iter();
    NumberOptions {
        webhook_url: Some(hook_url(gateway, number.channel)),
        webhook_headers: headers
            .map(|(name, value)| (name, value.expose_secret().into()))
            .collect(),
        signing_secret: number.signing_secret.as_ref().map(|secret| secret.expose_secret().into()),
        ..NumberOptions::new(
            &number.phone_number_id,
            &number.display_number,
            &number.waba_id,
            number.api_key.expose_secret(),
        )
    }
}
