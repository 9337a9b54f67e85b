//! How several nodes share their services: the typed form of `[cluster]`.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::secret_or_file;
use crate::table::Table;
use crate::value::{self, MINUTE, SECOND};

/// Each field's meaning, unit and limits stand in `usher.toml`.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// `None`: this node is alone.
    pub redis: Option<String>,
    pub password: Option<SecretString>,
    pub certificates: Option<PathBuf>,
    /// `None`: by the machine and the process.
    pub node: Option<String>,
    pub lease: Duration,
    pub weight: u8,
}

pub(super) fn cluster(mut table: Table<'_>, has_database: bool) -> Option<Cluster> {
    let redis = table.must("redis", value::text);
    if redis.as_ref().is_some_and(|redis| !redis.is_empty()) && !has_database {
        table.fault("redis", "several nodes share a PostgreSQL: set `store.url` too");
    }
    let password = secret_or_file(&mut table, "redis_password", "redis_password_file");
    let certificates = table.must("redis_certificates", value::path_unless_empty);
    let node = table.must("node", value::text);
    let lease = table.must("lease", value::duration(SECOND..=MINUTE));
    let weight = table.must("weight", value::small(1..=16));
    table.done();
    Some(Cluster {
        redis: Some(redis?).filter(|redis| !redis.is_empty()),
        password,
        certificates: certificates?,
        node: Some(node?).filter(|node| !node.is_empty()),
        lease: lease?,
        weight: weight?,
    })
}
