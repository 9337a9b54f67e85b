//! Where Redis is, as settings say it: one server, Sentinels that know the master, or a Cluster.
//!
//! ```text
//! redis://[user@]host[:6379][/database]            one server
//! redis+sentinel://[user@]host[:26379],…/master    asks these Sentinels who the master is
//! redis+cluster://[user@]host[:6379],…             a Cluster that these belong to
//! rediss…                                          the same, encrypted
//! redis+unix:///path                               one server on this machine
//! ```

use std::path::PathBuf;

use thiserror::Error;

/// How Redis is reached; a password is never part of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Address {
    pub(crate) user: Option<String>,
    pub(crate) encrypted: bool,
    pub(crate) place: Place,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    Unix(PathBuf),
    Server { host: String, port: u16, database: i64 },
    Sentinels { of: Vec<(String, u16)>, master: String },
    Cluster { of: Vec<(String, u16)> },
}

/// Why an address cannot be used.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum BadAddress {
    #[error(
        "has to begin with redis://, redis+sentinel:// or redis+cluster://, with rediss where it is \
         encrypted, or with redis+unix://"
    )]
    Scheme,
    #[error("names a password; set it by its own setting, where it is not printed")]
    Password,
    #[error("names no host, or a port that is none")]
    Host,
    #[error(
        "needs the name of the master behind the Sentinels, as in redis+sentinel://host/master"
    )]
    Master,
    #[error("names a database that is not a number")]
    Database,
    #[error("names several servers; say redis+sentinel:// or redis+cluster://")]
    Several,
}

const SERVER_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

impl std::str::FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let (scheme, rest) = text.split_once("://").ok_or(BadAddress::Scheme)?;
        let (encrypted, kind) = match scheme.split_once('+') {
            None => (scheme == "rediss", ""),
            Some((base, kind)) => (base == "rediss", kind),
        };
        if !scheme.starts_with("redis") || !["redis", "rediss"].contains(&scheme_base(scheme)) {
            return Err(BadAddress::Scheme);
        }
        if kind == "unix" && !encrypted {
            return Ok(Self { user: None, encrypted: false, place: Place::Unix(rest.into()) });
        }
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, _)) if user.contains(':') => return Err(BadAddress::Password),
            Some((user, rest)) => (Some(user.to_owned()).filter(|user| !user.is_empty()), rest),
            None => (None, rest),
        };
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let place = match kind {
            "" => server(hosts, path)?,
            "sentinel" if path.is_empty() => return Err(BadAddress::Master),
            "sentinel" => {
                Place::Sentinels { of: all(hosts, SENTINEL_PORT)?, master: path.to_owned() }
            }
            "cluster" if !path.is_empty() => return Err(BadAddress::Database),
            "cluster" => Place::Cluster { of: all(hosts, SERVER_PORT)? },
            _ => return Err(BadAddress::Scheme),
        };
        Ok(Self { user, encrypted, place })
    }
}

fn scheme_base(scheme: &str) -> &str {
    scheme.split_once('+').map_or(scheme, |(base, _)| base)
}

fn server(hosts: &str, path: &str) -> Result<Place, BadAddress> {
    if hosts.contains(',') {
        return Err(BadAddress::Several);
    }
    let (host, port) = one(hosts, SERVER_PORT)?;
    let database = match path {
        "" => 0,
        number => number.parse().map_err(|_| BadAddress::Database)?,
    };
    Ok(Place::Server { host, port, database })
}

fn all(hosts: &str, port: u16) -> Result<Vec<(String, u16)>, BadAddress> {
    hosts.split(',').map(|host| one(host, port)).collect()
}

/// `host`, `host:port` or `[v6]:port`.
fn one(text: &str, otherwise: u16) -> Result<(String, u16), BadAddress> {
    let after_v6 = text.rfind(']').map_or(0, |at| at + 1);
    let port_at = text.get(after_v6..).and_then(|rest| rest.rfind(':')).map(|at| at + after_v6);
    let (host, port) = match port_at.and_then(|at| text.split_at_checked(at)) {
        Some((host, port)) => {
            let port = port.trim_start_matches(':').parse().map_err(|_| BadAddress::Host)?;
            (host, port)
        }
        None => (text, otherwise),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || port == 0 {
        return Err(BadAddress::Host);
    }
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused_with_the_reason() {
        let server = |host: &str, port, database| {
            Ok(Place::Server { host: host.to_owned(), port, database })
        };
        let of = |all: &[(&str, u16)]| {
            all.iter().map(|(host, port)| ((*host).to_owned(), *port)).collect::<Vec<_>>()
        };
        let table: &[(&str, Result<Place, BadAddress>)] = &[
            ("redis://r", server("r", 6379, 0)),
            ("rediss://usher@r:7000/3", server("r", 7000, 3)),
            ("redis://[::1]:7000", server("::1", 7000, 0)),
            ("redis://[::1]", server("::1", 6379, 0)),
            ("redis+unix:///run/r.sock", Ok(Place::Unix("/run/r.sock".into()))),
            (
                "redis+sentinel://a,b:1/main",
                Ok(Place::Sentinels { of: of(&[("a", 26379), ("b", 1)]), master: "main".into() }),
            ),
            (
                "rediss+cluster://a,b:7001",
                Ok(Place::Cluster { of: of(&[("a", 6379), ("b", 7001)]) }),
            ),
            ("redis://:secret@r", Err(BadAddress::Password)),
            ("redis://a,b", Err(BadAddress::Several)),
            ("redis+sentinel://a", Err(BadAddress::Master)),
            ("redis+cluster://a/1", Err(BadAddress::Database)),
            ("redis://r/x", Err(BadAddress::Database)),
            ("redis://r:x", Err(BadAddress::Host)),
            ("redis://", Err(BadAddress::Host)),
            ("http://r", Err(BadAddress::Scheme)),
            ("redisx://r", Err(BadAddress::Scheme)),
            ("rediss+unix:///run/r.sock", Err(BadAddress::Scheme)),
            ("redis+x://r", Err(BadAddress::Scheme)),
            ("r:6379", Err(BadAddress::Scheme)),
        ];
        for (text, expected) in table {
            let read = text.parse::<Address>().map(|address| address.place);
            assert_eq!(&read, expected, "{text}");
        }
        let address: Address = "rediss://usher@r".parse().unwrap();
        assert!(address.encrypted && address.user.as_deref() == Some("usher"));
    }
}
