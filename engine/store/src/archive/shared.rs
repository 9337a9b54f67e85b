//! The archive in PostgreSQL: how it is opened, and when it is not worth keeping.

use std::sync::Arc;

use super::{Projector, file};
use crate::db::Db;
use crate::error::StoreError;
use crate::journal::JournalReader;
use crate::postgres::{Connection, Own, Purpose, Server, archive_schema};
use crate::progress::Progress;

/// Records of one transaction while nobody reads.
const BATCH: usize = 4096;

/// The projector's connection to an archive that can be gone on with.
pub(super) fn open(server: &Arc<Server>, journal: &JournalReader) -> Result<Db, StoreError> {
    let archive = Own::new(Arc::clone(server), Purpose::Archive);
    // A backup of the journal alone has the row, and nothing that it is about.
    let sql = "SELECT version FROM usher.archive
               WHERE to_regclass('usher_archive.positions') IS NOT NULL";
    let version =
        archive.with(|connection| connection.one(sql, (), |row| row.get::<_, i64>("version")))?;
    let archive = Db::Postgres(archive);
    if version != Some(file::VERSION) || !file::is_not_ahead(&archive, journal)? {
        tracing::info!("the archive is made anew from the journal");
        rebuild(server, journal)?;
    }
    Ok(archive)
}

/// Makes the archive anew beside the old one, which it then replaces.
pub(super) fn rebuild(server: &Arc<Server>, journal: &JournalReader) -> Result<(), StoreError> {
    let making = server.connect(Purpose::NewArchive)?;
    making.batch(
        "DROP SCHEMA IF EXISTS usher_archive_new CASCADE; CREATE SCHEMA usher_archive_new",
    )?;
    making.batch(&archive_schema(file::SCHEMA))?;
    let new = Db::Postgres(Own::new(Arc::clone(server), Purpose::NewArchive));
    let (mut projector, _) = Projector::new(new, Arc::new(Progress::new(0)))?;
    projector.catch_up(journal, BATCH)?;
    if let Some((service, after)) = projector.stuck() {
        tracing::error!(%service, after, "the archive was made anew, but stands still there");
    }
    drop(projector);
    replace(&making)
}

fn replace(connection: &Connection) -> Result<(), StoreError> {
    let version = file::VERSION;
    let replaced = connection.batch(&format!(
        "BEGIN; SET LOCAL synchronous_commit = on; DROP SCHEMA IF EXISTS usher_archive CASCADE;
         ALTER SCHEMA usher_archive_new RENAME TO usher_archive;
         INSERT INTO usher.archive VALUES (1, {version})
           ON CONFLICT (one) DO UPDATE SET version = {version}; COMMIT"
    ));
    Ok(replaced?)
}
