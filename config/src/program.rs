//! How the program runs: the typed form of `usher.toml`, and the limits of each value.

mod cluster;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use usher_domain::attendance::CONNECTIONS_MAX;

pub use cluster::{Between, Cluster, Encrypted};

use crate::node::{Node, Value};
use crate::table::Table;
use crate::value::{self, DAY, HOUR, MINUTE, Network, SECOND};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Each field's meaning, unit and limits stand in `usher.toml`.
#[derive(Clone, Debug)]
pub struct Config {
    pub data_dir: PathBuf,
    pub store: Store,
    pub cluster: Cluster,
    pub http: Http,
    pub metrics: Metrics,
    pub journal: Journal,
    pub projector: Projector,
    pub limits: Limits,
    pub sessions: Sessions,
    pub log: Log,
    pub provider: Provider,
    pub sandbox: Sandbox,
    pub services: ServiceFiles,
}

#[derive(Clone, Debug)]
pub struct Store {
    /// Of a PostgreSQL; `None`: the embedded store in `data_dir`.
    pub url: Option<String>,
    pub password: Option<SecretString>,
    /// In PEM: whom the server is believed by.
    pub certificates: Option<PathBuf>,
    /// Connections that read at once.
    pub connections: u32,
}

#[derive(Clone, Debug)]
pub struct Http {
    pub bind: SocketAddr,
    /// Without a slash at its end; see [`Http::public_url`].
    pub public_url: Option<String>,
    /// `None`: plain HTTP.
    pub tls: Option<Tls>,
    /// Lower case; empty = same origin only.
    pub allowed_origins: Vec<String>,
    pub trusted_proxies: Vec<Network>,
    /// Bytes.
    pub body_max: usize,
    pub connections_max: u32,
    pub stop_grace: Duration,
}

impl Http {
    /// Where the outside reaches us: as set, else the address that was bound, which for port 0 is
    /// known only then.
    pub fn public_url(&self, bound: SocketAddr) -> String {
        let reachable = match bound.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        let bound = SocketAddr::new(reachable, bound.port());
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        self.public_url.clone().unwrap_or_else(|| format!("{scheme}://{bound}"))
    }
}

#[derive(Clone, Debug)]
pub struct Tls {
    /// The certificate and those it rests on, in PEM.
    pub certificate: PathBuf,
    /// In PEM.
    pub key: SecretString,
}

#[derive(Clone, Debug)]
pub struct Metrics {
    /// `None` = no listener.
    pub bind: Option<SocketAddr>,
}

#[derive(Clone, Debug)]
pub struct Journal {
    /// Records.
    pub batch_max: u32,
    /// Records.
    pub queue_max: u32,
}

#[derive(Clone, Debug)]
pub struct Projector {
    /// Records.
    pub batch_max: u32,
    /// Records.
    pub lag_slow: u32,
    /// Records; more than `lag_slow`.
    pub lag_max: u32,
}

#[derive(Clone, Debug)]
pub struct Limits {
    pub credits_per_service: u32,
    /// Bytes.
    pub frame_max: usize,
    pub commands_per_second: u32,
    pub commands_burst: u32,
    pub connections_per_staff: u32,
}

#[derive(Clone, Debug)]
pub struct Sessions {
    pub idle: Duration,
    pub longest: Duration,
    pub wrong_passwords_max: u32,
    pub locked_for: Duration,
    /// In `locked_for`.
    pub wrong_passwords_per_address: u32,
}

#[derive(Clone, Debug)]
pub struct Log {
    pub format: LogFormat,
    /// Levels, per part of the program after commas.
    pub level: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    Human,
    Json,
}

#[derive(Clone, Debug)]
pub struct Provider {
    /// Without a slash at its end.
    pub base_url: String,
    pub connect_timeout: Duration,
    pub timeout: Duration,
    /// Per number.
    pub in_flight_max: u32,
    /// Per number, in and out together.
    pub messages_per_second: u32,
    /// Signs webhooks.
    pub platform_secret: Option<SecretString>,
}

#[derive(Clone, Debug)]
pub struct Sandbox {
    pub on: bool,
    pub bind: SocketAddr,
}

#[derive(Clone, Debug)]
pub struct ServiceFiles {
    pub demo: bool,
    pub files: Vec<PathBuf>,
}

/// `None` when anything is wrong, which is then noted.
pub(crate) fn read(mut root: Table<'_>) -> Option<Config> {
    let data_dir = root.must("data_dir", value::path);
    let store = store(root.section("store"));
    let has_database = store.as_ref().is_some_and(|store| store.url.is_some());
    let cluster = cluster::cluster(root.section("cluster"), has_database);
    let http = http(root.section("http"));
    let metrics = metrics(root.section("metrics"));
    let journal = journal(root.section("journal"));
    let projector = projector(root.section("projector"));
    let limits = limits(root.section("limits"));
    let sessions = sessions(root.section("sessions"));
    let log = log(root.section("log"));
    let provider = provider(root.section("provider"));
    let has_tls = http.as_ref().is_some_and(|http| http.tls.is_some());
    let sandbox = sandbox(root.section("sandbox"), has_tls);
    let services = services(root.section("services"));
    root.done();
    Some(Config {
        data_dir: data_dir?,
        store: store?,
        cluster: cluster?,
        http: http?,
        metrics: metrics?,
        journal: journal?,
        projector: projector?,
        limits: limits?,
        sessions: sessions?,
        log: log?,
        provider: provider?,
        sandbox: sandbox?,
        services: services?,
    })
}

fn store(mut table: Table<'_>) -> Option<Store> {
    let url = table.must("url", database);
    let password = secret_or_file(&mut table, "password", "password_file");
    let certificates = table.must("certificates", value::path_unless_empty);
    let connections = table.must("connections", value::whole(2..=1_000));
    table.done();
    Some(Store { url: url?, password, certificates: certificates?, connections: connections? })
}

/// The address of a database, or nothing; the store reads it. What is wrong with it is told without
/// showing it.
fn database(node: &Node) -> Result<Option<String>, String> {
    let url = value::text(node)?;
    if url.is_empty() {
        return Ok(None);
    }
    let rest = ["postgres://", "postgresql://"].iter().find_map(|scheme| url.strip_prefix(scheme));
    let Some(rest) = rest else {
        return Err("must be postgres://user@host:port/database, or empty".to_owned());
    };
    let user = rest.rsplit_once('@').map_or("", |(user, _)| user);
    if user.contains(':') || rest.contains("password=") {
        return Err("holds a password; that belongs into `store.password_file`".to_owned());
    }
    Ok(Some(url))
}

fn http(mut table: Table<'_>) -> Option<Http> {
    let bind = table.must("bind", value::address);
    let public_url = table.must("public_url", value::url_unless_empty);
    let tls = tls(&mut table);
    let allowed_origins = table.must("allowed_origins", value::list(value::origin));
    let trusted_proxies = table.must("trusted_proxies", value::list(value::network));
    let body_max = table.must("body_max", value::size(64 * KIB..=64 * MIB));
    let connections_max = table.must("connections_max", value::whole(16..=1_000_000));
    let stop_grace = table.must("stop_grace", value::duration(Duration::ZERO..=2 * SECOND));
    table.done();
    Some(Http {
        bind: bind?,
        public_url: public_url?,
        tls: tls?,
        allowed_origins: allowed_origins?,
        trusted_proxies: trusted_proxies?,
        body_max: body_max?,
        connections_max: connections_max?,
        stop_grace: stop_grace?,
    })
}

/// Both or none; one alone is a fault.
#[expect(clippy::option_option, reason = "nothing set, or a fault that was noted")]
fn tls(table: &mut Table<'_>) -> Option<Option<Tls>> {
    let certificate = table.must("tls_certificate", value::path_unless_empty);
    let key = secret_or_file(table, "tls_key", "tls_key_file");
    match (certificate?, key) {
        (None, None) => Some(None),
        (Some(certificate), Some(key)) => Some(Some(Tls { certificate, key })),
        (Some(_), None) => {
            table.fault("tls_certificate", "is of no use without `tls_key_file`");
            None
        }
        (None, Some(_)) => {
            table.fault("tls_key_file", "is of no use without `tls_certificate`");
            None
        }
    }
}

/// Known under both names: the environment gives the secret itself, files only name its file.
fn secret_or_file(
    table: &mut Table<'_>,
    key: &'static str,
    file: &'static str,
) -> Option<SecretString> {
    match table.read(key, secret) {
        Some(secret) => {
            table.node(file);
            Some(secret)
        }
        None => table.secret_file(file),
    }
}

fn metrics(mut table: Table<'_>) -> Option<Metrics> {
    let bind = table.must("bind", value::address_unless_empty);
    table.done();
    Some(Metrics { bind: bind? })
}

fn journal(mut table: Table<'_>) -> Option<Journal> {
    let batch_max = table.must("batch_max", value::whole(1..=10_000));
    let queue_max = table.must("queue_max", value::whole(100..=10_000_000));
    table.done();
    Some(Journal { batch_max: batch_max?, queue_max: queue_max? })
}

fn projector(mut table: Table<'_>) -> Option<Projector> {
    let batch_max = table.must("batch_max", value::whole(1..=100_000));
    let lag_slow = table.must("lag_slow", value::whole(1_000..=100_000_000));
    let lag_max = table.must("lag_max", value::whole(1_000..=100_000_000));
    if let (Some(slow), Some(max)) = (lag_slow, lag_max)
        && slow >= max
    {
        table.fault("lag_max", format!("is {max}; must be more than lag_slow, {slow}"));
    }
    table.done();
    Some(Projector { batch_max: batch_max?, lag_slow: lag_slow?, lag_max: lag_max? })
}

fn limits(mut table: Table<'_>) -> Option<Limits> {
    let credits_per_service = table.must("credits_per_service", value::whole(16..=1_000_000));
    let frame_max = table.must("frame_max", value::size(KIB..=MIB));
    let commands_per_second = table.must("commands_per_second", value::whole(1..=10_000));
    let commands_burst = table.must("commands_burst", value::whole(1..=10_000));
    let connections_max = u32::try_from(CONNECTIONS_MAX).expect("a small number");
    let connections_per_staff =
        table.must("connections_per_staff", value::whole(1..=connections_max));
    table.done();
    Some(Limits {
        credits_per_service: credits_per_service?,
        frame_max: frame_max?,
        commands_per_second: commands_per_second?,
        commands_burst: commands_burst?,
        connections_per_staff: connections_per_staff?,
    })
}

fn sessions(mut table: Table<'_>) -> Option<Sessions> {
    let idle = table.must("idle", value::duration(MINUTE..=30 * DAY));
    let longest = table.must("longest", value::duration(MINUTE..=366 * DAY));
    let wrong_passwords_max = table.must("wrong_passwords_max", value::whole(1..=1_000));
    let locked_for = table.must("locked_for", value::duration(SECOND..=24 * HOUR));
    let wrong_passwords_per_address =
        table.must("wrong_passwords_per_address", value::whole(10..=100_000));
    table.done();
    Some(Sessions {
        idle: idle?,
        longest: longest?,
        wrong_passwords_max: wrong_passwords_max?,
        locked_for: locked_for?,
        wrong_passwords_per_address: wrong_passwords_per_address?,
    })
}

fn log(mut table: Table<'_>) -> Option<Log> {
    let formats =
        [("auto", LogFormat::Auto), ("human", LogFormat::Human), ("json", LogFormat::Json)];
    let format = table.must("format", value::one_of(&formats));
    let level = table.must("level", levels);
    table.done();
    Some(Log { format: format?, level: level? })
}

/// `info`, or `info,usher_engine=debug`.
fn levels(node: &Node) -> Result<String, String> {
    let written = value::text(node)?;
    for part in written.split(',') {
        let level = part.rsplit('=').next().unwrap_or("").trim();
        let names = ["error", "warn", "info", "debug", "trace", "off"].map(|name| (name, ()));
        let level = Node { value: Value::Text(level.to_owned()), origin: node.origin.clone() };
        value::one_of(&names)(&level)?;
    }
    Ok(written)
}

fn provider(mut table: Table<'_>) -> Option<Provider> {
    let base_url = table.must("base_url", value::url);
    let connect_timeout =
        table.must("connect_timeout", value::duration(Duration::from_millis(100)..=MINUTE));
    let timeout = table.must("timeout", value::duration(SECOND..=2 * MINUTE));
    let in_flight_max = table.must("in_flight_max", value::whole(1..=1_000));
    let messages_per_second = table.must("messages_per_second", value::whole(1..=1_000));
    let platform_secret = secret_or_file(&mut table, "platform_secret", "platform_secret_file");
    table.done();
    Some(Provider {
        base_url: base_url?,
        connect_timeout: connect_timeout?,
        timeout: timeout?,
        in_flight_max: in_flight_max?,
        messages_per_second: messages_per_second?,
        platform_secret,
    })
}

fn secret(node: &Node) -> Result<SecretString, String> {
    match &node.value {
        Value::Secret(secret) => Ok(secret.clone()),
        _ => {
            Err("secrets do not stand in files or flags; use the key that ends in _file".to_owned())
        }
    }
}

fn sandbox(mut table: Table<'_>, has_tls: bool) -> Option<Sandbox> {
    let on = table.must("on", value::switch);
    if on == Some(true) && has_tls {
        table.fault(
            "on",
            "the local 360dialog speaks plain HTTP: leave `http.tls_certificate` empty",
        );
    }
    let bind = table.must("bind", value::address);
    if bind.is_some_and(|bind| !bind.ip().is_loopback()) {
        table.fault("bind", "must be an address of this machine alone, as 127.0.0.1:8481");
    }
    table.done();
    Some(Sandbox { on: on?, bind: bind? })
}

fn services(mut table: Table<'_>) -> Option<ServiceFiles> {
    let demo = table.must("demo", value::switch);
    let files = table.must("files", value::list(value::path));
    table.done();
    Some(ServiceFiles { demo: demo?, files: files? })
}
