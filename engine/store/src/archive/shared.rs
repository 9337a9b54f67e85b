//! The archive in PostgreSQL: how it is opened, and when it is not worth keeping.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use usher_domain::ids::ServiceId;

use super::projector::Projector;
use super::{Reached, file};
use crate::db::Db;
use crate::error::StoreError;
use crate::journal::JournalReader;
use crate::postgres::{Connection, Own, Purpose, Server, archive_schema, free_archive};
use crate::progress::Progress;
use crate::sql::Id as _;

/// Records of one transaction while nobody reads.
const BATCH: usize = 4096;

/// While another program makes the archive anew, it is asked this often whether it has.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// The projector's connection to an archive that can be gone on with.
pub(super) fn open(server: &Arc<Server>, journal: &JournalReader) -> Result<Db, StoreError> {
    let archive = Own::new(Arc::clone(server), Purpose::Archive);
    let making = alone(server)?;
    // A backup of the journal alone has the row, and nothing that it is about.
    let sql = "SELECT version FROM usher.archive
               WHERE to_regclass('usher_archive.positions') IS NOT NULL";
    let version = making.one(sql, (), |row| row.get::<_, i64>("version"))?;
    let archive = Db::Postgres(archive);
    if version != Some(file::VERSION) || !file::is_not_ahead(&archive, journal)? {
        tracing::info!("the archive is made anew from the journal");
        make_anew(server, journal, &making)?;
    }
    Ok(archive)
}

/// Makes the archive anew beside the old one, which it then replaces.
pub(super) fn rebuild(server: &Arc<Server>, journal: &JournalReader) -> Result<(), StoreError> {
    make_anew(server, journal, &alone(server)?)
}

/// A connection while which nobody else looks whether the archive is to be made anew, or takes
/// something out of it.
fn alone(server: &Arc<Server>) -> Result<Connection, StoreError> {
    let connection = server.connect(Purpose::NewArchive)?;
    let sql = "SELECT pg_try_advisory_lock(7595454851926618) AS alone";
    while connection.one(sql, (), |row| row.get::<_, bool>("alone"))? != Some(true) {
        thread::sleep(ASK_EVERY);
    }
    Ok(connection)
}

/// Whoever projects meanwhile finds out where the new one stands by the positions in it.
fn make_anew(
    server: &Arc<Server>,
    journal: &JournalReader,
    making: &Connection,
) -> Result<(), StoreError> {
    making.batch(
        "DROP SCHEMA IF EXISTS usher_archive_new CASCADE; CREATE SCHEMA usher_archive_new",
    )?;
    making.batch(&archive_schema(file::SCHEMA))?;
    let new = Db::Postgres(Own::new(Arc::clone(server), Purpose::NewArchive));
    let mut projector = Projector::new(new, Arc::new(Progress::new(0)), None)?;
    for (service, _) in journal.services()? {
        let Reached { seq, stuck, .. } = projector.catch_up_with(journal, service, BATCH)?;
        if stuck {
            tracing::error!(%service, after = seq, "the archive was made anew, but stands still there");
        }
    }
    drop(projector);
    replace(making)
}

/// Who changes the old one begins with its positions, and so is either done or finds the new one.
fn replace(connection: &Connection) -> Result<(), StoreError> {
    let version = file::VERSION;
    let replaced = connection.batch(&format!(
        "BEGIN; SET LOCAL synchronous_commit = on;
         DO $do$ BEGIN
           IF to_regclass('usher_archive.positions') IS NOT NULL THEN
             LOCK TABLE usher_archive.positions IN ACCESS EXCLUSIVE MODE;
           END IF;
         END $do$;
         DROP SCHEMA IF EXISTS usher_archive CASCADE;
         ALTER SCHEMA usher_archive_new RENAME TO usher_archive;
         INSERT INTO usher.archive VALUES (1, {version})
           ON CONFLICT (one) DO UPDATE SET version = {version}; COMMIT"
    ));
    Ok(replaced?)
}

/// Brings level what is shown of a service that was claimed for this process, on a connection of its
/// own, beside the projector's; how far that is.
pub(super) fn take(
    server: &Arc<Server>,
    journal: &JournalReader,
    service: ServiceId,
) -> Result<Reached, StoreError> {
    let db = Db::Postgres(Own::new(Arc::clone(server), Purpose::Archive));
    free_archive(&db, service);
    // So that who changes anything of it always has a row to begin with.
    db.run(
        "INSERT INTO positions (service, seq, journal_id, stuck) VALUES (?1, 0, 0, 0)
         ON CONFLICT DO NOTHING",
        [service.blob()],
    )?;
    let mut projector = Projector::new(db, Arc::new(Progress::new(0)), None)?;
    projector.catch_up_with(journal, service, BATCH)
}
