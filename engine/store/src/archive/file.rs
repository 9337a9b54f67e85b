//! `archive.db`: how it is opened, and when it is not worth keeping.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use usher_domain::ids::ServiceId;

use crate::db::Db;
use crate::directory::DataDir;
use crate::error::StoreError;
use crate::journal::JournalReader;
use crate::sql;

/// Rises with every change of `schema.sql` or of what is projected: an older archive is made anew.
pub(super) const VERSION: i64 = 5;

pub(super) const SCHEMA: &str = include_str!("schema.sql");

/// Pages of the write-ahead log after which it is written back (16 MiB): a page that many
/// transactions change is written back once, and the journal's syncs do not wait for more than that.
const CHECKPOINT_PAGES: i64 = 4_096;

/// What is read through the kernel's own pages instead of being copied.
const MAPPED_BYTES: i64 = 1 << 30;

/// Page cache of the projector's connection.
const CACHE_KIB: i64 = 128 << 10;

pub(super) fn open(dir: &DataDir) -> Result<Connection, StoreError> {
    open_at(&dir.archive())
}

pub(super) fn open_at(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(path)?;
    sql::prepare(&connection)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "mmap_size", MAPPED_BYTES)?;
    if version(&connection)? == 0 {
        create(&connection)?;
    }
    Ok(connection)
}

pub(super) fn open_read_only(dir: &DataDir) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(dir.archive(), flags)?;
    sql::prepare(&connection)?;
    connection.pragma_update(None, "mmap_size", MAPPED_BYTES)?;
    Ok(connection)
}

/// A name that no other archive in this process has.
pub(super) fn memory_name() -> Arc<str> {
    static NAMES: AtomicU64 = AtomicU64::new(0);
    format!("file:/usher-archive-{}?vfs=memdb", NAMES.fetch_add(1, Ordering::Relaxed)).into()
}

pub(super) fn open_memory(name: &str) -> Result<Connection, StoreError> {
    let connection = Connection::open(name)?;
    sql::prepare(&connection)?;
    Ok(connection)
}

pub(super) fn create(connection: &Connection) -> Result<(), StoreError> {
    connection
        .execute_batch(&format!("BEGIN; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;"))?;
    Ok(())
}

/// Whether the archive can be gone on with: of this version, and nowhere ahead of the journal.
pub(super) fn is_usable(dir: &DataDir, journal: &JournalReader) -> Result<bool, StoreError> {
    if !dir.archive().exists() {
        // A log without its database belongs to nothing.
        remove(&dir.archive())?;
        return Ok(false);
    }
    let connection = open(dir)?;
    if version(&connection)? != VERSION {
        return Ok(false);
    }
    is_not_ahead(&Db::Sqlite(connection), journal)
}

/// Whether the journal has everything that the archive shows.
pub(super) fn is_not_ahead(db: &Db, journal: &JournalReader) -> Result<bool, StoreError> {
    let positions: Vec<(ServiceId, u64)> =
        db.all("SELECT service, seq FROM positions", (), |row| {
            Ok((row.id("service")?, row.number("seq")?))
        })?;
    // After what the archive shows: others may commit and show more meanwhile.
    let heads: BTreeMap<_, _> = journal.services()?.into_iter().collect();
    for (service, seq) in positions {
        if heads.get(&service).copied().unwrap_or_default() < seq {
            tracing::warn!(%service, seq, "the archive is ahead of the journal");
            return Ok(false);
        }
    }
    Ok(true)
}

fn version(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .optional()?
        .unwrap_or_default())
}

/// The last journal row of all services that was looked at.
pub(super) fn through(db: &Db) -> Result<u64, StoreError> {
    let found = db.one("SELECT journal_id FROM through", (), |row| row.number("journal_id"))?;
    Ok(found.unwrap_or_default())
}

/// The tables that the archive consists of, but for the full-text index.
pub(super) fn tables() -> impl Iterator<Item = &'static str> {
    let lines = SCHEMA.lines().filter_map(|line| line.strip_prefix("CREATE TABLE "));
    lines.filter_map(|line| line.split([' ', '(']).next())
}

/// Removes a database: the file first, so that it is never found without its log.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    for file in [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")] {
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::File { path: file, source: error });
            }
            Ok(()) | Err(_) => (),
        }
    }
    Ok(())
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
