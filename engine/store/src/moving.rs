//! Moving a journal from a data directory into PostgreSQL: all of it or nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use usher_domain::ids::ServiceId;

use crate::archive::rebuild_shared;
use crate::directory::DataDir;
use crate::error::StoreError;
use crate::journal::{JournalFile, JournalReader, JournalRow, LogLimits};
use crate::media::MediaStore;
use crate::postgres::{Array, Files, Own, Postgres, Purpose, Server, migrate};
use crate::sql::{Id, int};

/// Rows of one statement.
const PAGE: usize = 2048;

/// What was moved so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Moved {
    pub records: u64,
    /// Of their bodies.
    pub bytes: u64,
    pub services: u64,
}

/// Moves the journal of `dir` into an empty database, compares what arrived, and makes the archive
/// there, and copies the media. The files stay as they are.
///
/// One transaction: whatever interrupts it leaves the database as empty as it was.
pub fn move_to_postgres(
    dir: &DataDir,
    postgres: Postgres,
    mut told: impl FnMut(Moved),
) -> Result<Moved, StoreError> {
    // What is still in the write-ahead log comes into the file.
    drop(JournalFile::open(dir, LogLimits::default())?);
    let from = JournalReader::open(dir)?;
    let server = Server::new(postgres)?;
    migrate(&server.connect(Purpose::Journal)?)?;
    let own = Own::new(Arc::clone(&server), Purpose::Journal);
    let looking = own.begin()?;
    refuse_unless_empty(&own)?;
    drop(looking);
    // Files first: no transaction may wait for them, and those of one that then fails do no harm.
    let media = MediaStore::shared(&dir.media(), Arc::new(Files::new(&server)))?;
    media.level(&AtomicBool::new(false))?;
    let transaction = own.begin()?;
    refuse_unless_empty(&own)?;
    let mut sums = BTreeMap::new();
    let (mut moved, mut id, mut pages) = (Moved::default(), 0, vec![0]);
    loop {
        let rows = from.read_after_id(id, PAGE)?;
        let Some(last) = rows.last() else { break };
        id = last.id;
        pages.push(id);
        put(&own, &rows)?;
        for row in &rows {
            let sum: &mut Sum = sums.entry(row.service).or_default();
            sum.add(row);
            moved.records += 1;
            moved.bytes += row.body.len() as u64;
        }
        told(moved);
    }
    let heads = from.services()?;
    moved.services = heads.len() as u64;
    for (service, seq) in heads {
        own.run(
            "INSERT INTO heads (service, epoch, seq) VALUES (?1, 1, ?2)",
            (service.blob(), int(seq)),
        )?;
    }
    own.run("SELECT setval(pg_get_serial_sequence('usher.journal', 'id'), ?1)", [int(id.max(1))])?;
    compare(&own, &pages, &sums)?;
    transaction.commit()?;
    rebuild_shared(&server)?;
    Ok(moved)
}

/// What is compared of a service's records.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Sum {
    records: u64,
    bytes: u64,
    last: u64,
}

impl Sum {
    fn add(&mut self, row: &JournalRow) {
        self.records += 1;
        self.bytes += row.body.len() as u64;
        self.last = self.last.max(row.seq);
    }
}

fn refuse_unless_empty(own: &Own) -> Result<(), StoreError> {
    own.run("LOCK TABLE heads, journal IN EXCLUSIVE MODE", ())?;
    let used = own.with(|connection| {
        connection.one(
            "SELECT EXISTS (SELECT 1 FROM journal) OR EXISTS (SELECT 1 FROM heads) AS used",
            (),
            |row| row.get::<_, bool>("used"),
        )
    })?;
    if used == Some(false) { Ok(()) } else { Err(StoreError::NotEmpty) }
}

fn put(own: &Own, rows: &[JournalRow]) -> Result<(), StoreError> {
    let ids: Vec<i64> = rows.iter().map(|row| int(row.id)).collect();
    let services: Vec<[u8; 16]> = rows.iter().map(|row| row.service.blob()).collect();
    let seqs: Vec<i64> = rows.iter().map(|row| int(row.seq)).collect();
    let bodies: Vec<&str> = rows.iter().map(|row| row.body.as_str()).collect();
    own.with(|connection| {
        connection.arrays(
            "INSERT INTO journal (id, service, seq, body)
             SELECT * FROM unnest(?1::bigint[], ?2::bytea[], ?3::bigint[], ?4::text[])",
            &[Array::Ints(&ids), Array::Ids(&services), Array::Ints(&seqs), Array::Texts(&bodies)],
            |_| Ok(()),
        )
    })?;
    Ok(())
}

/// What arrived is what was sent, service by service; looked at in pieces, none of which takes long.
fn compare(own: &Own, pages: &[u64], sent: &BTreeMap<ServiceId, Sum>) -> Result<(), StoreError> {
    let mut arrived: BTreeMap<ServiceId, Sum> = BTreeMap::new();
    let ends = pages.iter().copied().skip(PIECE).step_by(PIECE).chain(pages.last().copied());
    let mut from = 0;
    for to in ends {
        own.with(|connection| {
            connection.each(
                "SELECT service, count(*) AS records, max(seq) AS last,
                   CAST(sum(octet_length(body)) AS bigint) AS bytes
                 FROM journal WHERE id > ?1 AND id <= ?2 GROUP BY service",
                (int(from), int(to)),
                |row| {
                    let sum = arrived.entry(row.id("service")?).or_default();
                    sum.records += row.number("records")?;
                    sum.bytes += row.number("bytes")?;
                    sum.last = sum.last.max(row.number("last")?);
                    Ok(())
                },
            )
        })?;
        from = to;
    }
    if arrived == *sent { Ok(()) } else { Err(StoreError::Differs) }
}

/// Pages that are compared at once.
const PIECE: usize = 64;
