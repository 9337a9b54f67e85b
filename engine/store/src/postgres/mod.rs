//! PostgreSQL: how it is reached, and what every connection to it is set to.

mod bound;
mod connection;
mod dialect;
mod found;
mod inbox;
mod media;
mod migrations;
mod ownership;
mod pool;
mod tls;
#[cfg(test)]
mod tls_tests;
mod wait;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::Config;

use crate::db::DbError;
use crate::error::StoreError;
use tls::Encryption;

pub(crate) use connection::{Array, Connection, Own, Transaction, free_archive};
pub(crate) use dialect::{archive_schema, folded_words, wanted_words};
pub(crate) use found::Raw;
pub use inbox::{Arrived, Inbox, InboxLimits, InboxRow, Portion};
pub(crate) use media::{Files, Known, PutFailed};
pub(crate) use migrations::migrate;
pub use ownership::{Held, Ownership, Standing};
pub(crate) use pool::Pool;
pub(crate) use wait::until_done;

/// Longest wait for a connection to be made.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// The server ends a statement after this long, …
const STATEMENT_WITHIN: Duration = Duration::from_secs(30);
/// … and after this long nobody waits for an answer any more, whatever became of the server.
const ANSWER_WITHIN: Duration = Duration::from_secs(35);
/// As `ANSWER_WITHIN`, where a lease depends on it.
const OWNERSHIP_WITHIN: Duration = Duration::from_secs(5);
/// Whoever stops in the middle of a transaction loses it, so that others can go on.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(10);
/// What was sent and not acknowledged by the server's machine for so long is lost.
const NOT_ACKNOWLEDGED: Duration = Duration::from_secs(10);

/// Where the database is, and how many connections read from it at once.
#[derive(Clone)]
pub struct Postgres {
    config: Config,
    encryption: Encryption,
    readers: usize,
}

impl fmt::Debug for Postgres {
    /// No secret is among it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("readers", &self.readers).finish_non_exhaustive()
    }
}

impl Postgres {
    /// `url`: `postgres://user@host:port/database?sslmode=…`, without a password.
    pub fn new(url: &str, password: Option<&str>) -> Result<Self, StoreError> {
        Self::trusting(url, password, None)
    }

    /// As [`Self::new`], with the certificates in PEM that the server is believed by.
    pub fn trusting(
        url: &str,
        password: Option<&str>,
        certificates: Option<&[u8]>,
    ) -> Result<Self, StoreError> {
        let (mut config, encryption) = tls::read(url, certificates).map_err(StoreError::Url)?;
        if config.get_password().is_some() {
            return Err(StoreError::Url(WhyNot::Password));
        }
        if let Some(password) = password {
            config.password(password);
        }
        config
            .application_name("usher")
            .connect_timeout(CONNECT_WITHIN)
            .tcp_user_timeout(NOT_ACKNOWLEDGED);
        Ok(Self { config, encryption, readers: READERS })
    }

    /// How many connections read at once, besides the three that write.
    #[must_use]
    pub const fn with_readers(mut self, readers: usize) -> Self {
        self.readers = readers;
        self
    }
}

const READERS: usize = 8;

/// Why an address is not one of a database that can be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum WhyNot {
    #[error("it is not of the form postgres://user@host:port/database")]
    Url,
    #[error("the database is not kept in UTF8")]
    Encoding,
    #[error("a password does not stand in it, but in a file or the environment")]
    Password,
    #[error("its sslmode has to be disable, prefer, require, verify-ca or verify-full")]
    Mode,
    #[error("a parameter behind its ? is not known, or cannot have that value")]
    Parameter,
    #[error(
        "certificates do not stand in it: those that the server is believed by are a setting of their \
         own, and Usher has none to show"
    )]
    Certificate,
    #[error("certificates are looked at only with sslmode=verify-full, verify-ca or require in it")]
    Unchecked,
    #[error("sslmode=verify-ca needs the certificates that the server is believed by")]
    NoCertificates,
    #[error("no usable certificate in PEM is in the file")]
    NotPem,
    #[error("this system knows no certificates to believe the server by; name them")]
    NoRoots,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Purpose {
    /// What is committed has to be durable.
    Journal,
    /// What is lost is made anew from the journal; but whoever was told that it is level builds on it, so
    /// that a killed server may not take it back.
    Archive,
    /// As `Archive`, of the one that grows beside the present one.
    NewArchive,
    /// As `Journal`, and an answer that comes late is none: a server that is silent is left for the one in its
    /// place.
    Ownership,
}

impl Purpose {
    const fn answer_within(self) -> Duration {
        match self {
            Self::Journal | Self::Archive | Self::NewArchive => ANSWER_WITHIN,
            Self::Ownership => OWNERSHIP_WITHIN,
        }
    }

    fn settings(self) -> String {
        let (path, durable) = match self {
            Self::Journal | Self::Archive | Self::Ownership => ("usher_archive, usher", ""),
            // Nobody is told of it before it replaces the old one.
            Self::NewArchive => ("usher_archive_new, usher", "SET synchronous_commit = off;"),
        };
        format!(
            "SET search_path = {path}; SET client_min_messages = warning;
             SET default_transaction_isolation = 'read committed';
             SET statement_timeout = {}; SET idle_in_transaction_session_timeout = {}; {durable}",
            STATEMENT_WITHIN.as_millis(),
            IDLE_IN_TRANSACTION.as_millis(),
        )
    }
}

/// The way to the database: its address, and the thread that speaks with it.
pub(crate) struct Server {
    config: Config,
    encryption: Encryption,
    /// `None` once it ends.
    io: Option<Runtime>,
    pub(crate) readers: usize,
    /// Connections made so far.
    made: AtomicU64,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl Server {
    pub(crate) fn new(postgres: Postgres) -> Result<Arc<Self>, StoreError> {
        let io = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("postgres")
            .enable_all()
            .build()
            .map_err(DbError::Io)?;
        let Postgres { config, encryption, readers } = postgres;
        let made = AtomicU64::new(0);
        Ok(Arc::new(Self { config, encryption, io: Some(io), readers, made }))
    }

    pub(crate) fn connect(&self, purpose: Purpose) -> Result<Connection, DbError> {
        let io = self.io.as_ref().ok_or(DbError::Gone)?;
        let (config, settings) = (self.config.clone(), purpose.settings());
        let encryption = self.encryption.clone();
        let connecting = io.spawn(async move {
            let client = encryption.connect(&config).await?;
            client.batch_execute(&settings).await?;
            Ok::<_, tokio_postgres::Error>(client)
        });
        let client = until_done(connecting, CONNECT_WITHIN * 2).ok_or(DbError::Late)?;
        let client = client.map_err(|_| DbError::Gone)?.map_err(DbError::Unconnected)?;
        self.made.fetch_add(1, Ordering::AcqRel);
        Ok(Connection::new(client, purpose.answer_within()))
    }

    /// Rises whenever it could be reached, by whomever.
    fn made(&self) -> u64 {
        self.made.load(Ordering::Acquire)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(io) = self.io.take() {
            // Whoever drops it may be on a thread that must not wait.
            io.shutdown_background();
        }
    }
}
