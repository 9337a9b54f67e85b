//! Reading the journal back: by service for recovery, by row for the projector.

use std::sync::Arc;

use rusqlite::Connection;
use usher_domain::ids::ServiceId;

use super::disk;
use super::memory::MemoryJournal;
use super::postgres;
use crate::db::{Db, DbError};
use crate::directory::DataDir;
use crate::error::StoreError;
use crate::mine::Unread;
use crate::postgres::Pool;

/// One durable record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct JournalRow {
    /// Rises over all services of the node.
    pub id: u64,
    pub service: ServiceId,
    /// Rises by one within the service.
    pub seq: u64,
    pub body: String,
}

/// Reads what is durable, and nothing else.
#[derive(Debug)]
pub struct JournalReader {
    from: From,
}

#[derive(Debug)]
enum From {
    Disk(Connection),
    Memory(Arc<MemoryJournal>),
    Postgres(Db),
}

impl JournalReader {
    pub(crate) fn open(dir: &DataDir) -> Result<Self, StoreError> {
        disk::open_read_only(dir).map(|connection| Self { from: From::Disk(connection) })
    }

    pub(crate) const fn memory(memory: Arc<MemoryJournal>) -> Self {
        Self { from: From::Memory(memory) }
    }

    pub(crate) const fn pooled(pool: Arc<Pool>) -> Self {
        Self { from: From::Postgres(Db::Pooled(pool)) }
    }

    /// Every service that ever wrote, with its last durable sequence.
    pub fn services(&self) -> Result<Vec<(ServiceId, u64)>, StoreError> {
        match &self.from {
            From::Disk(connection) => disk::read_heads(connection),
            From::Memory(memory) => Ok(memory.heads()),
            From::Postgres(db) => postgres::read_heads(db),
        }
    }

    /// The last durable sequence of a service; 0 when it never wrote.
    pub fn last_seq(&self, service: ServiceId) -> Result<u64, StoreError> {
        match &self.from {
            From::Disk(connection) => disk::read_head(connection, service),
            From::Memory(memory) => Ok(memory.head(service)),
            From::Postgres(db) => postgres::read_head(db, service),
        }
    }

    /// Up to `limit` records of one service after `seq`, in order.
    pub fn read_after(
        &self,
        service: ServiceId,
        seq: u64,
        limit: usize,
    ) -> Result<Vec<JournalRow>, StoreError> {
        match &self.from {
            From::Disk(connection) => disk::read_after(connection, service, seq, limit),
            From::Memory(memory) => Ok(memory.read_after(service, seq, limit)),
            From::Postgres(db) => postgres::read_after(db, service, seq, limit),
        }
    }

    /// Up to `limit` records of each of these services, in order of each, where several processes
    /// share a journal.
    pub(crate) fn read_unread(
        &self,
        unread: &[Unread],
        limit: usize,
    ) -> Result<Vec<JournalRow>, StoreError> {
        match &self.from {
            From::Postgres(db) => postgres::read_unread(db, unread, limit),
            From::Disk(_) | From::Memory(_) => Err(DbError::Kind.into()),
        }
    }

    /// Up to `limit` records of all services after row `id`, in order, where one process has the journal.
    pub(crate) fn read_after_id(
        &self,
        id: u64,
        limit: usize,
    ) -> Result<Vec<JournalRow>, StoreError> {
        match &self.from {
            From::Disk(connection) => disk::read_after_id(connection, id, limit),
            From::Memory(memory) => Ok(memory.read_after_id(id, limit)),
            // Who commits late gets a lower number than is read already.
            From::Postgres(_) => Err(DbError::Kind.into()),
        }
    }
}
