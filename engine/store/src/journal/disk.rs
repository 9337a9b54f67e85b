//! `journal.db`: how records lie in the file, and what one transaction is.

use std::collections::HashMap;
use std::fs::File;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};
use usher_domain::ids::ServiceId;

use super::LogLimits;
use super::log::{self, Length, Mode, Reached};
use super::rewrite::{self, Rewrite};
use super::writer::Records;
use super::{Entry, JournalRow};
use crate::directory::DataDir;
use crate::error::StoreError;
use crate::progress::monotonic;
use crate::sql::{self, Id, int, uint};

/// `records` has no index beyond its row id. `heads` (one row per service) spares a scan at start,
/// `marks` (one row in [`MARK_EVERY`] records) tells from which row a reader has to begin.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS records (
  id INTEGER PRIMARY KEY, service BLOB NOT NULL, seq INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS heads (
  service BLOB PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS marks (
  service BLOB, seq INTEGER, id INTEGER NOT NULL, PRIMARY KEY (service, seq)) WITHOUT ROWID;
";

/// A reader finds its place within this many records of the service.
const MARK_EVERY: u64 = 1024;

/// The writer's connection and what it knows to be durable.
#[derive(Debug)]
pub(crate) struct JournalFile {
    connection: Connection,
    /// Last durable sequence per service.
    heads: HashMap<ServiceId, u64>,
    last_id: u64,
    log: Length,
    /// What was taken out may still stand in the log.
    remains: bool,
}

impl JournalFile {
    /// Opens the file and reads what is durable.
    ///
    /// The write-ahead log is written back before anything is added to it: after a failed sync its
    /// pages may be clean in memory and missing on the disk, and a later sync would not notice.
    pub(crate) fn open(dir: &DataDir, limits: LogLimits) -> Result<Self, StoreError> {
        let connection = connect(dir)?;
        connection.pragma_update(None, "journal_size_limit", int(limits.bytes_max))?;
        // Nothing that was moved leaves a copy behind: what is erased later would stand in it.
        connection.pragma_update(None, "secure_delete", "FAST")?;
        connection.execute_batch(SCHEMA)?;
        let emptied = log::write_back(&connection, Mode::Truncate)?;
        emptied.ok_or(StoreError::CheckpointHeld)?;
        let heads = read_heads(&connection)?.into_iter().collect();
        let last_id: Option<i64> =
            connection.query_row("SELECT max(id) FROM records", [], |row| row.get(0))?;
        if let Err(error) = log::extend(&dir.journal_log(), limits.bytes) {
            tracing::warn!(%error, "the journal's log has not been given its length; it will grow");
        }
        let (last_id, log) = (uint(last_id.unwrap_or(0)), Length::default());
        Ok(Self { connection, heads, last_id, log, remains: false })
    }

    /// As [`Self::open`], after something failed while this process had it open: what SQLite takes
    /// for written back may be missing on the disk. `file`: the journal's.
    pub(super) fn reopen(
        dir: &DataDir,
        limits: LogLimits,
        file: &File,
    ) -> Result<Self, StoreError> {
        let reached = log::write_back(&connect(dir)?, Mode::Passive)?;
        let Reached { back, .. } = reached.ok_or(StoreError::CheckpointHeld)?;
        log::write_again(&dir.journal_log(), back, file)
            .map_err(StoreError::file(&dir.journal_log()))?;
        Self::open(dir, limits)
    }

    pub(crate) fn head(&self, service: ServiceId) -> u64 {
        self.heads.get(&service).copied().unwrap_or(0)
    }

    pub(crate) const fn last_id(&self) -> u64 {
        self.last_id
    }

    #[cfg(test)]
    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// One transaction over all of `commits`, whose sequences were checked; how long the COMMIT
    /// itself took.
    pub(super) fn append(&mut self, commits: &[Records]) -> Result<Duration, StoreError> {
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut id = self.last_id;
        let mut bytes = 0;
        let mut heads = HashMap::new();
        {
            let mut insert = tx.prepare_cached(INSERT)?;
            for commit in commits {
                let service = commit.service.blob();
                for entry in &commit.entries {
                    id += 1;
                    bytes += entry.body.len() as u64 + ROW_OVERHEAD_BYTES;
                    insert.execute((int(id), service, int(entry.seq), &entry.body))?;
                    mark(&tx, id, commit.service, entry)?;
                }
                if let Some(last) = commit.entries.last() {
                    heads.insert(commit.service, last.seq);
                }
            }
        }
        for (service, seq) in &heads {
            tx.prepare_cached("REPLACE INTO heads (service, seq) VALUES (?1, ?2)")?
                .execute((service.blob(), int(*seq)))?;
        }
        let began = monotonic();
        tx.commit()?;
        let synced = began.elapsed();
        self.last_id = id;
        self.log.grew(bytes);
        self.heads.extend(heads);
        Ok(synced)
    }

    /// Takes rows out or changes their bodies.
    pub(super) fn rewrite(&mut self, rewrite: &Rewrite) -> Result<(), StoreError> {
        rewrite::apply(&mut self.connection, rewrite)?;
        self.remains = true;
        self.write_back(Mode::Truncate, sql::BUSY)
    }

    pub(super) const fn log(&self) -> &Length {
        &self.log
    }

    pub(super) const fn remains(&self) -> bool {
        self.remains
    }

    /// Writes the log back to its end, so that the next commit begins it anew. `wait`: for readers
    /// who hold that back, where the mode waits for any.
    pub(super) fn write_back(&mut self, mode: Mode, wait: Duration) -> Result<(), StoreError> {
        self.connection.busy_timeout(wait)?;
        let reached = log::write_back(&self.connection, mode);
        self.connection.busy_timeout(sql::BUSY)?;
        let Some(reached) = reached? else { return Ok(()) };
        self.log.told(reached);
        self.remains &= !matches!(mode, Mode::Truncate);
        Ok(())
    }

    /// Somebody is about to write back what the log holds by now.
    pub(super) const fn written_back_from_here(&mut self) {
        self.log.asked();
    }

    /// Somebody has; commits have gone on since.
    pub(super) fn written_back_beside(&mut self, reached: Option<Reached>) {
        if let Some(reached) = reached {
            self.log.told_beside(reached);
        }
    }
}

const INSERT: &str = "INSERT INTO records (id, service, seq, body) VALUES (?1, ?2, ?3, ?4)";

fn mark(
    tx: &Connection,
    id: u64,
    service: ServiceId,
    entry: &Entry,
) -> Result<(), rusqlite::Error> {
    if (entry.seq - 1).is_multiple_of(MARK_EVERY) {
        tx.prepare_cached("INSERT INTO marks (service, seq, id) VALUES (?1, ?2, ?3)")?
            .execute((service.blob(), int(entry.seq), int(id)))?;
    }
    Ok(())
}

/// What a row costs in the log beside its body, roughly.
const ROW_OVERHEAD_BYTES: u64 = 40;

fn connect(dir: &DataDir) -> Result<Connection, StoreError> {
    let connection = Connection::open(dir.journal())?;
    sql::prepare(&connection)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    // After a failure the log is all that is sure; whoever closes it last would remove it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

/// A connection that writes nothing but the log back.
pub(super) fn open_beside(dir: &DataDir) -> Result<Connection, StoreError> {
    connect(dir)
}

pub(super) fn open_read_only(dir: &DataDir) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(dir.journal(), flags)?;
    sql::prepare(&connection)?;
    Ok(connection)
}

pub(super) fn read_heads(connection: &Connection) -> Result<Vec<(ServiceId, u64)>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT service, seq FROM heads")?;
    let rows = statement
        .query_map([], |row| Ok((row.get(0).map(ServiceId::from_blob)?, row.get(1).map(uint)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn read_head(connection: &Connection, service: ServiceId) -> Result<u64, StoreError> {
    let seq: Option<i64> = connection
        .prepare_cached("SELECT seq FROM heads WHERE service = ?1")?
        .query_row([service.blob()], |row| row.get(0))
        .optional()?;
    Ok(seq.map_or(0, uint))
}

/// Up to `limit` records of all services after row `id`.
pub(super) fn read_after_id(
    connection: &Connection,
    id: u64,
    limit: usize,
) -> Result<Vec<JournalRow>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, service, seq, body FROM records WHERE id > ?1 ORDER BY id LIMIT ?2",
    )?;
    let rows = statement.query_map((int(id), int(limit as u64)), journal_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Up to `limit` records of one service after `seq`.
pub(super) fn read_after(
    connection: &Connection,
    service: ServiceId,
    seq: u64,
    limit: usize,
) -> Result<Vec<JournalRow>, StoreError> {
    let from: Option<i64> = connection
        .prepare_cached(
            "SELECT id FROM marks WHERE service = ?1 AND seq <= ?2 ORDER BY seq DESC LIMIT 1",
        )?
        .query_row((service.blob(), int(seq + 1)), |row| row.get(0))
        .optional()?;
    let mut statement = connection.prepare_cached(
        "SELECT id, service, seq, body FROM records
         WHERE id >= ?1 AND service = ?2 AND seq > ?3 ORDER BY id LIMIT ?4",
    )?;
    let rows = statement
        .query_map((from.unwrap_or(0), service.blob(), int(seq), int(limit as u64)), journal_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn journal_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<JournalRow> {
    Ok(JournalRow {
        id: row.get(0).map(uint)?,
        service: row.get(1).map(ServiceId::from_blob)?,
        seq: row.get(2).map(uint)?,
        body: row.get(3)?,
    })
}
