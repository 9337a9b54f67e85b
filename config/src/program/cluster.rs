//! How several nodes share their services: the typed form of `[cluster]`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use super::{Tls, secret_or_file};
use crate::node::Node;
use crate::table::Table;
use crate::value::{self, DAY, MINUTE, SECOND};

/// Shorter ones can be guessed.
const SECRET_MIN: usize = 16;

/// Each field's meaning, unit and limits stand in `usher.toml`.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// `None`: this node is alone.
    pub redis: Option<String>,
    pub password: Option<SecretString>,
    pub redis_certificates: Option<PathBuf>,
    /// `None`: by the machine and the process.
    pub node: Option<String>,
    /// `Some` where this node is not alone.
    pub between: Option<Between>,
    pub lease: Duration,
    pub rebalance_after: Duration,
    pub weight: u8,
}

/// How nodes reach each other.
#[derive(Clone, Debug)]
pub struct Between {
    pub bind: SocketAddr,
    /// Host and port; `None`: as bound.
    pub advertise: Option<String>,
    pub secret: SecretString,
    /// `None`: nothing between them is encrypted.
    pub encrypted: Option<Encrypted>,
}

/// How nodes know that it is they who speak.
#[derive(Clone, Debug)]
pub struct Encrypted {
    /// What this node shows.
    pub own: Tls,
    /// What the others are believed by.
    pub certificates: PathBuf,
}

pub(super) fn cluster(mut table: Table<'_>, has_database: bool) -> Option<Cluster> {
    let redis = table.must("redis", value::text).map(|redis| Some(redis).filter(|r| !r.is_empty()));
    let is_shared = redis.as_ref().is_some_and(Option::is_some);
    if is_shared && !has_database {
        table.fault("redis", "several nodes share a PostgreSQL: set `store.url` too");
    }
    let password = secret_or_file(&mut table, "redis_password", "redis_password_file");
    let redis_certificates = table.must("redis_certificates", value::path_unless_empty);
    let node = table.must("node", name);
    let between = between(&mut table, is_shared);
    let lease = table.must("lease", value::duration(SECOND..=MINUTE));
    let rebalance_after = table.must("rebalance_after", value::duration(SECOND..=DAY));
    let weight = table.must("weight", value::small(1..=16));
    table.done();
    Some(Cluster {
        redis: redis?,
        password,
        redis_certificates: redis_certificates?,
        node: node?,
        between: between?,
        lease: lease?,
        rebalance_after: rebalance_after?,
        weight: weight?,
    })
}

/// It stands before what tells one start from another, and before the address.
fn name(node: &Node) -> Result<Option<String>, String> {
    let name = value::text(node)?;
    if name.contains(['@', '/']) || name.contains(char::is_whitespace) {
        return Err("must have no `@`, `/` or space in it".to_owned());
    }
    Ok(Some(name).filter(|name| !name.is_empty()))
}

/// All of it is read also where it is of no use yet, so that a fault in it is found.
#[expect(clippy::option_option, reason = "nothing set, or a fault that was noted")]
fn between(table: &mut Table<'_>, is_shared: bool) -> Option<Option<Between>> {
    let bind = table.must("bind", value::address_unless_empty);
    let advertise = table.must("advertise", host_and_port);
    let secret = secret_or_file(table, "secret", "secret_file");
    let encrypted = encrypted(table);
    let (bind, advertise, encrypted) = (bind?, advertise?, encrypted?);
    if secret.as_ref().is_some_and(|secret| secret.expose_secret().trim().len() < SECRET_MIN) {
        table.fault("secret_file", format!("must hold at least {SECRET_MIN} characters"));
    }
    if !is_shared {
        return Some(None);
    }
    match (bind, secret) {
        (None, _) => {
            table.fault("bind", "must say where the other nodes reach this one");
            None
        }
        (_, None) => {
            table.fault("secret_file", "must name the secret that all nodes know each other by");
            None
        }
        (Some(bind), Some(_)) if bind.ip().is_unspecified() && advertise.is_none() => {
            table.fault("advertise", format!("must be set: nobody can connect to {bind}"));
            None
        }
        (Some(bind), Some(secret)) => Some(Some(Between { bind, advertise, secret, encrypted })),
    }
}

#[expect(clippy::option_option, reason = "nothing set, or a fault that was noted")]
fn encrypted(table: &mut Table<'_>) -> Option<Option<Encrypted>> {
    let own = super::tls(table);
    let certificates = table.must("certificates", value::path_unless_empty);
    match (own?, certificates?) {
        (None, None) => Some(None),
        (Some(own), Some(certificates)) => Some(Some(Encrypted { own, certificates })),
        (Some(_), None) => {
            table.fault("certificates", "must name what the other nodes are believed by");
            None
        }
        (None, Some(_)) => {
            table.fault("certificates", "is of no use without `tls_certificate`");
            None
        }
    }
}

fn host_and_port(node: &Node) -> Result<Option<String>, String> {
    let text = value::text(node)?;
    if text.is_empty() {
        return Ok(None);
    }
    let parts = text.rsplit_once(':');
    let port = parts.and_then(|(_, port)| port.parse::<u16>().ok()).filter(|port| *port > 0);
    let host = parts.map_or("", |(host, _)| host);
    // An address of version 6 has colons of its own.
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let is_host =
        !bare.is_empty() && (bare.chars().all(fits) || (bare != host && bare.contains(':')));
    if port.is_none() || !is_host {
        return Err("must be host:port, as \"10.0.0.1:8482\", or empty".to_owned());
    }
    Ok(Some(text))
}
