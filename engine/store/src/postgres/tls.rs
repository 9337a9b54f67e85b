//! Whether a connection to the database is encrypted, and who is believed at its other end: `sslmode`
//! as PostgreSQL's own clients mean it.

use std::error::Error as Cause;
use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Connection, Error, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::WhyNot;

/// What stands behind `sslmode=`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

const MODES: [(&str, Mode); 5] = [
    ("disable", Mode::Disable),
    ("prefer", Mode::Prefer),
    ("require", Mode::Require),
    ("verify-ca", Mode::VerifyCa),
    ("verify-full", Mode::VerifyFull),
];

/// How connections to one database are made; `None`: never encrypted.
#[derive(Clone)]
pub(super) struct Encryption(Option<MakeRustlsConnect>);

impl fmt::Debug for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Encryption").field(&self.0.is_some()).finish()
    }
}

/// Reads an address; `certificates`, in PEM, are those that the other end is believed by.
pub(super) fn read(url: &str, certificates: Option<&[u8]>) -> Result<(Config, Encryption), WhyNot> {
    let (url, mode) = mode(url)?;
    let mut config: Config = url.parse().map_err(|_| why_not(&url))?;
    let roots = certificates.map(roots).transpose()?;
    if roots.is_some() && matches!(mode, Mode::Disable | Mode::Prefer) {
        return Err(WhyNot::Unchecked);
    }
    let is_local = |host: &Host| matches!(host, Host::Unix(_));
    // A socket of this machine is never encrypted, whatever is asked for; nor is it with others.
    let local = !config.get_hosts().is_empty() && config.get_hosts().iter().all(is_local);
    let mode = if local { Mode::Disable } else { mode };
    config.ssl_mode(match mode {
        Mode::Disable => SslMode::Disable,
        Mode::Prefer => SslMode::Prefer,
        Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
    });
    let connector = match mode {
        Mode::Disable => None,
        mode => Some(MakeRustlsConnect::new(client(believes(mode, roots)?))),
    };
    Ok((config, Encryption(connector)))
}

/// The address as the driver knows to read it, and the mode it names; the last one, as with others.
fn mode(url: &str) -> Result<(String, Mode), WhyNot> {
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(WhyNot::Url);
    }
    let mut mode = Mode::Prefer;
    let (address, parameters) = url.split_once('?').unwrap_or((url, ""));
    let mut kept = Vec::new();
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("sslmode", name)) => {
                let found = MODES.iter().find(|(known, _)| *known == name);
                mode = found.ok_or(WhyNot::Mode)?.1;
            }
            Some(("sslrootcert" | "sslcert" | "sslkey", _)) => return Err(WhyNot::Certificate),
            _ => kept.push(parameter),
        }
    }
    Ok((format!("{address}?{}", kept.join("&")), mode))
}

fn why_not(url: &str) -> WhyNot {
    let address = url.split_once('?').map_or(url, |(address, _)| address);
    if address.parse::<Config>().is_ok() { WhyNot::Parameter } else { WhyNot::Url }
}

fn roots(pem: &[u8]) -> Result<RootCertStore, WhyNot> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let added = certificate.ok().and_then(|certificate| roots.add(certificate).ok());
        added.ok_or(WhyNot::NotPem)?;
    }
    if roots.is_empty() { Err(WhyNot::NotPem) } else { Ok(roots) }
}

fn of_the_system() -> Result<RootCertStore, WhyNot> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(WhyNot::NoRoots) } else { Ok(roots) }
}

/// Where roots are named, `require` looks at them as `verify-ca` does.
fn believes(mode: Mode, roots: Option<RootCertStore>) -> Result<Believes, WhyNot> {
    Ok(match (mode, roots) {
        (Mode::Disable | Mode::Prefer | Mode::Require, None) => Believes::Anybody,
        // That anybody at all was given a certificate says nothing.
        (Mode::VerifyCa, None) => return Err(WhyNot::NoCertificates),
        (Mode::VerifyFull, roots) => Believes::Name(chain(roots.map_or_else(of_the_system, Ok)?)?),
        (_, Some(roots)) => Believes::Chain(chain(roots)?),
    })
}

fn chain(roots: RootCertStore) -> Result<Arc<WebPkiServerVerifier>, WhyNot> {
    let provider = Arc::new(ring::default_provider());
    let chain = WebPkiServerVerifier::builder_with_provider(roots.into(), provider);
    chain.build().map_err(|_| WhyNot::NotPem)
}

fn client(believes: Believes) -> ClientConfig {
    let provider = Arc::new(ring::default_provider());
    let judge = Judge { believes, provider: Arc::clone(&provider) };
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has ciphers for them")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(judge))
        .with_no_client_auth()
}

/// Who is believed to be the database.
#[derive(Debug)]
enum Believes {
    Anybody,
    /// Whoever has a certificate that rests on a root, under whatever name.
    Chain(Arc<WebPkiServerVerifier>),
    /// As `Chain`, under the name that was connected to.
    Name(Arc<WebPkiServerVerifier>),
}

#[derive(Debug)]
struct Judge {
    believes: Believes,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let judged = |by: &Arc<WebPkiServerVerifier>| {
            by.verify_server_cert(certificate, between, name, ocsp, now)
        };
        match &self.believes {
            Believes::Anybody => Ok(ServerCertVerified::assertion()),
            Believes::Name(by) => judged(by),
            // The name is looked at last, when all else was found right.
            Believes::Chain(by) => match judged(by) {
                Err(rustls::Error::InvalidCertificate(
                    CertificateError::NotValidForName
                    | CertificateError::NotValidForNameContext { .. },
                )) => Ok(ServerCertVerified::assertion()),
                judged => judged,
            },
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl Encryption {
    /// Makes a connection, and keeps it going on this runtime.
    pub(super) async fn connect(&self, config: &Config) -> Result<Client, Error> {
        let Some(connector) = &self.0 else {
            return config.connect(NoTls).await.map(kept_going);
        };
        match config.connect(connector.clone()).await {
            Err(error) if is_preferred(config) && is_of_encryption(&error) => {
                tracing::debug!(%error, "the database is spoken with unencrypted");
                let mut plain = config.clone();
                plain.ssl_mode(SslMode::Disable);
                plain.connect(NoTls).await.map(kept_going)
            }
            made => made.map(kept_going),
        }
    }
}

fn is_preferred(config: &Config) -> bool {
    config.get_ssl_mode() == SslMode::Prefer
}

/// The server has answered, and would perhaps take it unencrypted.
fn is_of_encryption(error: &Error) -> bool {
    let told = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    let told = told
        .and_then(io::Error::get_ref)
        .is_some_and(<dyn Cause + Send + Sync>::is::<rustls::Error>);
    told || error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
}

fn kept_going<S>((client, connection): (Client, Connection<Socket, S>)) -> Client
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    drop(tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to PostgreSQL has ended");
        }
    }));
    client
}
