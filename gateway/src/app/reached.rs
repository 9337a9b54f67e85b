//! The PostgreSQL, the Redis and the other nodes that settings name: whether they can be meant at all, before
//! anything starts, and without reaching them.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::ExposeSecret as _;
use usher_cluster::{Address, RedisOptions};
use usher_config::{Config, Faults, Loaded};
use usher_domain::ownership::lease::Terms;
use usher_store::{Postgres, StoreError, WhyNot};

/// What is wrong with one setting, and what would be right.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {why}")]
pub(crate) struct Unusable {
    path: &'static str,
    why: String,
}

/// All that is wrong, each with where it stands.
pub(crate) fn check(loaded: &Loaded) -> Result<(), Faults> {
    let config = &loaded.config;
    let wrong = [postgres(config).err(), redis(config).err(), believed(config).err()];
    let faults: Vec<_> =
        wrong.into_iter().flatten().map(|it| loaded.fault(it.path, it.why)).collect();
    if faults.is_empty() { Ok(()) } else { Err(Faults(faults)) }
}

/// The database that is set; `None`: the embedded store.
pub(crate) fn postgres(config: &Config) -> Result<Option<Postgres>, Unusable> {
    let Some(url) = &config.store.url else { return Ok(None) };
    let password = config.store.password.as_ref().map(|password| password.expose_secret().trim());
    let file = config.store.certificates.as_deref();
    let certificates = file.map(|file| certificates("store.certificates", file)).transpose()?;
    let postgres = Postgres::trusting(url, password, certificates.as_deref());
    let postgres = postgres.map_err(|error| Unusable { path: "store.url", why: why(&error) })?;
    Ok(Some(postgres.with_readers(super::amount(config.store.connections))))
}

fn why(error: &StoreError) -> String {
    match error {
        StoreError::Url(why @ (WhyNot::Certificate | WhyNot::NoCertificates | WhyNot::NoRoots)) => {
            format!("{why}; set `store.certificates`")
        }
        StoreError::Url(why) => why.to_string(),
        other => other.to_string(),
    }
}

/// The Redis that is set; `None`: this node is alone.
pub(crate) fn redis(config: &Config) -> Result<Option<RedisOptions>, Unusable> {
    let cluster = &config.cluster;
    let Some(text) = &cluster.redis else { return Ok(None) };
    let unusable = |why: String| Unusable { path: "cluster.redis", why };
    let address: Address = text.parse().map_err(|why| unusable(format!("{why}")))?;
    let file = cluster.redis_certificates.as_deref();
    let certificates =
        file.map(|file| certificates("cluster.redis_certificates", file)).transpose()?;
    Ok(Some(RedisOptions {
        address,
        password: cluster.password.clone(),
        certificates,
        patience: Terms::new(cluster.lease).patience(),
    }))
}

/// What other nodes are believed by, in PEM; `None`: nothing between them is encrypted.
pub(crate) fn believed(config: &Config) -> Result<Option<Vec<u8>>, Unusable> {
    let encrypted = config.cluster.between.as_ref().and_then(|it| it.encrypted.as_ref());
    encrypted.map(|it| certificates("cluster.certificates", &it.certificates)).transpose()
}

/// A file of certificates, in which there is one.
fn certificates(path: &'static str, file: &Path) -> Result<Vec<u8>, Unusable> {
    let unusable = |why: String| Unusable { path, why };
    let read = std::fs::read(file);
    let pem = read.map_err(|error| unusable(format!("cannot read {}: {error}", file.display())))?;
    let found = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    if found.is_ok_and(|found| !found.is_empty()) {
        return Ok(pem);
    }
    Err(unusable(format!("{} holds no certificate in PEM", file.display())))
}
