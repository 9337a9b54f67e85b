//! The one door to a database: what the archive asks is written once, for whichever keeps it.
//!
//! Statements are SQL that both databases understand, with `?1`, `?2`, … for what is bound.

mod row;
mod value;
mod words;

use std::error::Error;

use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, TransactionBehavior};
use thiserror::Error;
use usher_domain::ids::ServiceId;

use crate::postgres::{self, Array, Own, Pool};
use crate::sql::Id as _;
pub(crate) use row::{Cell, Row};
pub(crate) use value::{Param, Params, Value, params};

pub(crate) type Result<T> = std::result::Result<T, DbError>;

/// What a database refused, or what it holds and should not.
#[derive(Debug, Error)]
pub enum DbError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
    #[error("no connection to the database could be made")]
    Unconnected(#[source] tokio_postgres::Error),
    #[error("the thread that speaks with the database could not be started")]
    Io(#[source] std::io::Error),
    #[error("the database cannot be reached")]
    Gone,
    #[error("the database did not answer in time")]
    Late,
    #[error("all connections to the database are in use")]
    Busy,
    /// Somebody else has brought the archive on meanwhile.
    #[error("the archive has come further than is known here")]
    Moved,
    /// A program of another version has made the archive anew; this one leaves it alone.
    #[error("the archive is of another version")]
    OtherVersion,
    #[error("a column does not hold what is meant")]
    Meaning(#[source] Box<dyn Error + Send + Sync>),
    #[error("a column is of another kind than is meant")]
    Kind,
}

impl DbError {
    pub(crate) fn meaning(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Meaning(Box::new(error))
    }

    /// Whether trying the same again later can help: the world failed, not what was asked.
    pub(crate) fn is_of_the_disk(&self) -> bool {
        match self {
            Self::Sqlite(error) => is_of_the_disk(error),
            Self::Postgres(error) => !is_of_the_statement(error),
            Self::Io(_)
            | Self::Unconnected(_)
            | Self::Gone
            | Self::Late
            | Self::Busy
            | Self::Moved
            | Self::OtherVersion => true,
            Self::Meaning(_) | Self::Kind => false,
        }
    }
}

/// Classes of what PostgreSQL holds against a statement or its values, and not against the world.
const OF_THE_STATEMENT: &[&str] = &["0A", "21", "22", "23", "42", "44", "54"];

fn is_of_the_statement(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        Some(code) => OF_THE_STATEMENT.iter().any(|class| code.code().starts_with(class)),
        // Not said by the server: a value that could not be bound, or a connection that has ended.
        None => {
            error.source().is_some_and(|source| !source.is::<std::io::Error>())
                && !error.is_closed()
        }
    }
}

fn is_of_the_disk(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode as Code;
    matches!(
        error.sqlite_error_code(),
        Some(
            Code::DatabaseBusy
                | Code::DatabaseLocked
                | Code::OutOfMemory
                | Code::ReadOnly
                | Code::SystemIoFailure
                | Code::DatabaseCorrupt
                | Code::DiskFull
                | Code::CannotOpen
                | Code::FileLockingProtocolFailed
                | Code::NoLargeFileSupport
                | Code::NotADatabase
        )
    )
}

/// A connection. It blocks its thread, briefly.
#[derive(Debug)]
pub(crate) enum Db {
    Sqlite(Connection),
    Postgres(Own),
    /// Whichever connection is free; for reading alone.
    Pooled(Arc<Pool>),
}

/// Who takes out or says anew does so alone, over all services: files are several services'. As `postgres`
/// locks the archive while it is made anew.
const ALONE: &str = "SELECT pg_advisory_xact_lock(7595454851926618)";

/// What is done from here on is done as a whole, or not at all when this is dropped first.
#[derive(Debug)]
pub(crate) enum Transaction<'a> {
    Sqlite(rusqlite::Transaction<'a>),
    Postgres(postgres::Transaction<'a>),
}

impl Db {
    /// Whether its files are this process's own.
    pub(crate) const fn is_embedded(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    pub(crate) fn begin(&self) -> Result<Transaction<'_>> {
        match self {
            Self::Sqlite(connection) => {
                let behavior = TransactionBehavior::Immediate;
                let begun = rusqlite::Transaction::new_unchecked(connection, behavior)?;
                Ok(Transaction::Sqlite(begun))
            }
            Self::Postgres(own) => own.begin().map(Transaction::Postgres),
            Self::Pooled(_) => Err(DbError::Kind),
        }
    }

    /// Changes something; whoever needs to know how much calls [`Self::count`].
    pub(crate) fn run(&self, sql: &str, params: impl Params) -> Result<()> {
        match self {
            Self::Postgres(own) => own.run(sql, params),
            Self::Sqlite(_) | Self::Pooled(_) => self.count(sql, params).map(drop),
        }
    }

    /// Changes something; how many rows.
    pub(crate) fn count(&self, sql: &str, params: impl Params) -> Result<usize> {
        match self {
            Self::Sqlite(connection) => Ok(bound(connection, sql, params)?.raw_execute()?),
            Self::Postgres(own) => own.with(|connection| connection.count(sql, params)),
            Self::Pooled(pool) => pool.with(|connection| connection.count(sql, params)),
        }
    }

    /// The first row that is found.
    pub(crate) fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        match self {
            Self::Sqlite(connection) => {
                let mut statement = bound(connection, sql, params)?;
                let mut rows = statement.raw_query();
                rows.next()?.map(|row| read(&Row::Sqlite(row))).transpose()
            }
            Self::Postgres(own) => own.with(|connection| connection.one(sql, params, read)),
            Self::Pooled(pool) => pool.with(|connection| connection.one(sql, params, read)),
        }
    }

    /// Every row that is found, one after the other.
    pub(crate) fn each(
        &self,
        sql: &str,
        params: impl Params,
        mut take: impl FnMut(&Row<'_>) -> Result<()>,
    ) -> Result<()> {
        match self {
            Self::Sqlite(connection) => {
                let mut statement = bound(connection, sql, params)?;
                let mut rows = statement.raw_query();
                while let Some(row) = rows.next()? {
                    take(&Row::Sqlite(row))?;
                }
                Ok(())
            }
            Self::Postgres(own) => own.with(|connection| connection.each(sql, params, take)),
            Self::Pooled(pool) => pool.with(|connection| connection.each(sql, params, take)),
        }
    }

    /// As [`Self::each`], with whole arrays bound; a file has no such thing.
    pub(crate) fn arrays(
        &self,
        sql: &str,
        arrays: &[Array<'_>],
        take: impl FnMut(&Row<'_>) -> Result<()>,
    ) -> Result<()> {
        match self {
            Self::Sqlite(_) => Err(DbError::Kind),
            Self::Postgres(own) => own.with(|connection| connection.arrays(sql, arrays, take)),
            Self::Pooled(pool) => pool.with(|connection| connection.arrays(sql, arrays, take)),
        }
    }

    /// Nobody else changes what is projected of a service until the transaction ends. In a file nobody
    /// else changes anything.
    pub(crate) fn alone_with(&self, service: ServiceId) -> Result<()> {
        if self.is_embedded() {
            return Ok(());
        }
        self.one(ALONE, (), |_| Ok(()))?;
        self.one(
            "SELECT 1 FROM positions WHERE service = ?1 FOR UPDATE",
            [service.blob()],
            |_| Ok(()),
        )?;
        Ok(())
    }

    /// Whether it is the archive that all programs of one version share.
    pub(crate) fn is_shared_archive(&self) -> bool {
        matches!(self, Self::Postgres(own) if own.is_of_the_archive())
    }

    /// All rows that are found.
    pub(crate) fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        mut read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut found = Vec::new();
        self.each(sql, params, |row| {
            found.push(read(row)?);
            Ok(())
        })?;
        Ok(found)
    }
}

impl Transaction<'_> {
    pub(crate) fn commit(self) -> Result<()> {
        match self {
            Self::Sqlite(transaction) => Ok(transaction.commit()?),
            Self::Postgres(transaction) => transaction.commit(),
        }
    }
}

/// The statement, compiled once for each connection, with its values.
fn bound<'a>(
    connection: &'a Connection,
    sql: &str,
    params: impl Params,
) -> Result<CachedStatement<'a>> {
    let mut statement = connection.prepare_cached(sql)?;
    params.with(|values| {
        debug_assert_eq!(statement.parameter_count(), values.len(), "{sql}");
        (1..).zip(values).try_for_each(|(place, value)| statement.raw_bind_parameter(place, value))
    })?;
    Ok(statement)
}
