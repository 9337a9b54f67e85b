//! The one door to a database: what the archive asks is written once, for whichever keeps it.
//!
//! Statements are SQL that both databases understand, with `?1`, `?2`, … for what is bound.

mod row;
mod value;
mod words;

use std::error::Error;

use rusqlite::{CachedStatement, Connection, TransactionBehavior};
use thiserror::Error;

pub(crate) use row::{Cell, Row};
pub(crate) use value::{Param, Params, Value, params};

pub(crate) type Result<T> = std::result::Result<T, DbError>;

/// What a database refused, or what it holds and should not.
#[derive(Debug, Error)]
pub enum DbError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
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
            Self::Meaning(_) | Self::Kind => false,
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
}

/// What is done from here on is done as a whole, or not at all when this is dropped first.
#[derive(Debug)]
pub(crate) enum Transaction<'a> {
    Sqlite(rusqlite::Transaction<'a>),
}

impl Db {
    pub(crate) fn begin(&self) -> Result<Transaction<'_>> {
        match self {
            Self::Sqlite(connection) => {
                let behavior = TransactionBehavior::Immediate;
                let begun = rusqlite::Transaction::new_unchecked(connection, behavior)?;
                Ok(Transaction::Sqlite(begun))
            }
        }
    }

    /// Changes something; whoever needs to know how much calls [`Self::count`].
    pub(crate) fn run(&self, sql: &str, params: impl Params) -> Result<()> {
        self.count(sql, params).map(drop)
    }

    /// Changes something; how many rows.
    pub(crate) fn count(&self, sql: &str, params: impl Params) -> Result<usize> {
        match self {
            Self::Sqlite(connection) => Ok(bound(connection, sql, params)?.raw_execute()?),
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
        }
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
