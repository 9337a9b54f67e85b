//! What a statement found: columns by name, in the types that are meant.

use std::fmt;

use rusqlite::types::ValueRef;
use serde::de::DeserializeOwned;
use usher_domain::time::Timestamp;

use super::{DbError, Result};
use crate::postgres::Raw;
use crate::sql::{Blob, Id, instant, parse, uint};

/// One row, for as long as the statement stands on it.
#[derive(Debug)]
pub(crate) enum Row<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a tokio_postgres::Row),
}

/// What one column of it holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cell<'a> {
    Null,
    Int(i64),
    Text(&'a str),
    Blob(&'a [u8]),
}

/// How a column is named: by its name or its place.
pub(crate) trait Column:
    rusqlite::RowIndex + tokio_postgres::row::RowIndex + fmt::Display
{
}
impl Column for &str {}
impl Column for usize {}

/// What a column is read as.
pub(crate) trait Read: Sized {
    fn read(cell: Cell<'_>) -> Result<Self>;
}

impl Row<'_> {
    pub(crate) fn cell(&self, column: impl Column) -> Result<Cell<'_>> {
        match self {
            Self::Sqlite(row) => Ok(match row.get_ref(column)? {
                ValueRef::Null => Cell::Null,
                ValueRef::Integer(number) => Cell::Int(number),
                ValueRef::Text(text) => {
                    Cell::Text(std::str::from_utf8(text).map_err(DbError::meaning)?)
                }
                ValueRef::Blob(bytes) => Cell::Blob(bytes),
                ValueRef::Real(_) => return Err(DbError::Kind),
            }),
            Self::Postgres(row) => Ok(row.try_get::<_, Raw<'_>>(column)?.0),
        }
    }

    /// How many columns it has.
    pub(crate) fn width(&self) -> usize {
        match self {
            Self::Sqlite(row) => row.as_ref().column_count(),
            Self::Postgres(row) => row.len(),
        }
    }

    pub(crate) fn get<C: Column, T: Read>(&self, column: C) -> Result<T> {
        T::read(self.cell(column)?)
    }

    pub(crate) fn id<T: Id>(&self, column: &str) -> Result<T> {
        self.get(column).map(T::from_blob)
    }

    pub(crate) fn id_opt<T: Id>(&self, column: &str) -> Result<Option<T>> {
        Ok(self.get::<_, Option<Blob>>(column)?.map(T::from_blob))
    }

    pub(crate) fn time(&self, column: &str) -> Result<Timestamp> {
        self.get(column).map(instant)
    }

    pub(crate) fn time_opt(&self, column: &str) -> Result<Option<Timestamp>> {
        Ok(self.get::<_, Option<i64>>(column)?.map(instant))
    }

    pub(crate) fn number(&self, column: &str) -> Result<u64> {
        self.get(column).map(uint)
    }

    pub(crate) fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T> {
        parse(self.cell(column)?.text()?)
    }

    pub(crate) fn json_opt<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>> {
        match self.cell(column)? {
            Cell::Null => Ok(None),
            cell => parse(cell.text()?).map(Some),
        }
    }

    pub(crate) fn word<T: DeserializeOwned>(&self, column: &str) -> Result<T> {
        parse(&format!("\"{}\"", self.cell(column)?.text()?))
    }
}

impl<'a> Cell<'a> {
    fn text(self) -> Result<&'a str> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Null | Self::Int(_) | Self::Blob(_) => Err(DbError::Kind),
        }
    }
}

impl Read for i64 {
    fn read(cell: Cell<'_>) -> Result<Self> {
        match cell {
            Cell::Int(number) => Ok(number),
            Cell::Null | Cell::Text(_) | Cell::Blob(_) => Err(DbError::Kind),
        }
    }
}

impl Read for u32 {
    fn read(cell: Cell<'_>) -> Result<Self> {
        Self::try_from(i64::read(cell)?).map_err(DbError::meaning)
    }
}

impl Read for bool {
    fn read(cell: Cell<'_>) -> Result<Self> {
        i64::read(cell).map(|number| number != 0)
    }
}

impl Read for String {
    fn read(cell: Cell<'_>) -> Result<Self> {
        cell.text().map(str::to_owned)
    }
}

impl Read for Vec<u8> {
    fn read(cell: Cell<'_>) -> Result<Self> {
        match cell {
            Cell::Blob(bytes) => Ok(bytes.to_vec()),
            Cell::Null | Cell::Int(_) | Cell::Text(_) => Err(DbError::Kind),
        }
    }
}

impl Read for Blob {
    fn read(cell: Cell<'_>) -> Result<Self> {
        match cell {
            Cell::Blob(bytes) => Self::try_from(bytes).map_err(DbError::meaning),
            Cell::Null | Cell::Int(_) | Cell::Text(_) => Err(DbError::Kind),
        }
    }
}

impl<T: Read> Read for Option<T> {
    fn read(cell: Cell<'_>) -> Result<Self> {
        match cell {
            Cell::Null => Ok(None),
            cell => T::read(cell).map(Some),
        }
    }
}
