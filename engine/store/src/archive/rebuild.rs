//! Making the archive anew from the journal, beside the old one, which it then replaces.

use std::fs;
use std::sync::Arc;

use super::Projector;
use super::{file, shared};
use crate::db::Db;
use crate::directory::{DataDir, sync_dir};
use crate::error::StoreError;
use crate::journal::{JournalFile, JournalReader, LogLimits};
use crate::postgres::{Pool, Postgres, Purpose, Server, migrate};
use crate::progress::Progress;

/// Records of one transaction while nobody reads.
const BATCH: usize = 4096;

/// Makes the archive anew from the journal, in the data directory or in PostgreSQL. The store must
/// not be open.
pub fn rebuild(dir: &DataDir, postgres: Option<Postgres>) -> Result<(), StoreError> {
    if let Some(postgres) = postgres {
        let server = Server::new(postgres)?;
        migrate(&server.connect(Purpose::Journal)?)?;
        return rebuild_shared(&server);
    }
    // A journal that was never opened has no tables to read.
    drop(JournalFile::open(dir, LogLimits::default())?);
    rebuild_from(dir, &JournalReader::open(dir)?)
}

/// Makes the archive in PostgreSQL anew from the journal there.
pub(crate) fn rebuild_shared(server: &Arc<Server>) -> Result<(), StoreError> {
    let journal = JournalReader::pooled(Pool::new(Arc::clone(server)));
    shared::rebuild(server, &journal)
}

pub(super) fn rebuild_from(dir: &DataDir, journal: &JournalReader) -> Result<(), StoreError> {
    let new = dir.archive_new();
    file::remove(&new)?;
    let db = Db::Sqlite(file::open_at(&new)?);
    let mut projector = Projector::new(db, Arc::new(Progress::new(0)), None)?;
    projector.catch_up(journal, BATCH)?;
    if let Some((service, after)) = projector.stuck() {
        tracing::error!(%service, after, "the archive was made anew, but stands still there");
    }
    drop(projector);
    let connection = file::open_at(&new)?;
    // Without a log the new archive is one file, which a rename can put in place.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_mode", "DELETE")?;
    connection.close().map_err(|(_, error)| error)?;
    file::remove(&dir.archive())?;
    fs::rename(&new, dir.archive()).map_err(StoreError::file(&new))?;
    sync_dir(dir.path())
}
