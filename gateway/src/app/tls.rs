//! TLS of the listeners that it is set for.

use anyhow::Context as _;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::ExposeSecret as _;
use usher_config::Tls;

/// Reads certificate and key; `table` is where they are set.
pub(super) fn server(tls: &Tls, table: &str) -> anyhow::Result<ServerConfig> {
    let file = tls.certificate.display();
    let chain = CertificateDer::pem_file_iter(&tls.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("cannot read {file} (`{table}.tls_certificate`)"))?;
    anyhow::ensure!(!chain.is_empty(), "{file} holds no certificate (`{table}.tls_certificate`)");
    let key = PrivateKeyDer::from_pem_slice(tls.key.expose_secret().as_bytes());
    // What is wrong with it is not said: it may be a part of the key.
    let key = key.ok().with_context(|| format!("`{table}.tls_key_file` holds no key in PEM"))?;
    ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .with_context(|| format!("the key does not go with {file} (`{table}.tls_certificate`)"))
}
