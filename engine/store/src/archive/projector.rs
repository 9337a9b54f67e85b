//! The projector: which records become one transaction of the archive, and whom a bad one stops.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::watch;
use usher_domain::ids::ServiceId;

use super::project::{Live, Target, project};
use super::{Reached, file};
use crate::encoding::decode;
use crate::error::StoreError;
use crate::journal::{JournalReader, JournalRow};
use crate::progress::Progress;
use crate::sql::{Columns, Id, int, millis};

type Positions = BTreeMap<ServiceId, Reached>;

/// The archive's one writer.
#[derive(Debug)]
pub(crate) struct Projector {
    connection: Connection,
    positions: Positions,
    /// Last journal row looked at.
    through: u64,
    reached: watch::Sender<Positions>,
    progress: Arc<Progress>,
}

impl Projector {
    pub(super) fn new(
        connection: Connection,
        progress: Arc<Progress>,
    ) -> Result<(Self, watch::Receiver<Positions>), StoreError> {
        let positions = read_positions(&connection)?;
        let through = file::through(&connection)?;
        let (reached, watched) = watch::channel(positions.clone());
        Ok((Self { connection, positions, through, reached, progress }, watched))
    }

    /// Brings the archive level with the journal.
    pub(super) fn catch_up(
        &mut self,
        journal: &JournalReader,
        batch: usize,
    ) -> Result<(), StoreError> {
        self.retry_stuck(journal, batch)?;
        while !self.step(journal, batch)? {}
        Ok(())
    }

    /// Projects one batch; true when the journal's end was reached.
    pub(super) fn step(
        &mut self,
        journal: &JournalReader,
        batch: usize,
    ) -> Result<bool, StoreError> {
        let read_at = self.progress.now();
        let rows = journal.read_after_id(self.through, batch)?;
        self.absorb(&rows)?;
        let whole = rows.len() < batch;
        self.progress.projected(self.through, read_at, whole);
        Ok(whole)
    }

    /// Projects `rows`, in one transaction where all of them can be.
    pub(crate) fn absorb(&mut self, rows: &[JournalRow]) -> Result<(), StoreError> {
        let Some(last) = rows.last() else { return Ok(()) };
        match self.transaction(rows) {
            Ok(()) => (),
            Err(error) if error.is_of_the_disk() => return Err(error),
            Err(_) => self.one_by_one(rows)?,
        }
        self.through = self.through.max(last.id);
        self.progress.projected(self.through, self.progress.now(), false);
        self.reached.send_replace(self.positions.clone());
        Ok(())
    }

    /// One of `rows` cannot be projected: finds it, and stops its service there.
    fn one_by_one(&mut self, rows: &[JournalRow]) -> Result<(), StoreError> {
        for row in rows {
            let Err(error) = self.transaction(std::slice::from_ref(row)) else { continue };
            if error.is_of_the_disk() {
                return Err(error);
            }
            tracing::error!(
                %error, cause = ?error, service = %row.service, seq = row.seq,
                "a record cannot be projected; the service's archive stands still"
            );
            self.stop(row.service)?;
        }
        Ok(())
    }

    fn stop(&mut self, service: ServiceId) -> Result<(), StoreError> {
        self.connection.execute(
            "INSERT INTO positions (service, seq, journal_id, stuck) VALUES (?1, 0, 0, 1)
             ON CONFLICT DO UPDATE SET stuck = 1",
            [service.blob()],
        )?;
        self.positions.entry(service).or_default().stuck = true;
        Ok(())
    }

    /// All of `rows` or none of them, with the positions they lead to.
    fn transaction(&mut self, rows: &[JournalRow]) -> Result<(), StoreError> {
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (mut moved, mut live) = (Positions::new(), Live::default());
        for row in rows {
            let before = moved.get(&row.service).or_else(|| self.positions.get(&row.service));
            let before = before.copied().unwrap_or_default();
            if before.stuck || row.seq <= before.seq {
                continue;
            }
            project_row(&tx, &mut live, row)?;
            let reached = Reached { seq: row.seq, journal_id: row.id, stuck: false };
            moved.insert(row.service, reached);
        }
        live.write(&tx)?;
        keep_positions(&tx, &moved, rows)?;
        tx.commit()?;
        self.positions.append(&mut moved);
        Ok(())
    }

    /// Services that a record had stopped go on from there: this program may know better.
    fn retry_stuck(&mut self, journal: &JournalReader, batch: usize) -> Result<(), StoreError> {
        let stuck: Vec<ServiceId> =
            self.positions.iter().filter(|(_, at)| at.stuck).map(|(id, _)| *id).collect();
        for service in stuck {
            self.positions.entry(service).or_default().stuck = false;
            self.connection
                .execute("UPDATE positions SET stuck = 0 WHERE service = ?1", [service.blob()])?;
            self.retry(journal, service, batch)?;
        }
        Ok(())
    }

    fn retry(
        &mut self,
        journal: &JournalReader,
        service: ServiceId,
        batch: usize,
    ) -> Result<(), StoreError> {
        loop {
            let at = self.positions.get(&service).copied().unwrap_or_default();
            let mut rows = journal.read_after(service, at.seq, batch)?;
            rows.retain(|row| row.id <= self.through);
            if rows.is_empty() || at.stuck {
                return Ok(());
            }
            self.absorb(&rows)?;
        }
    }

    /// The first service that stands still, if one does.
    pub(super) fn stuck(&self) -> Option<(ServiceId, u64)> {
        self.positions.iter().find(|(_, at)| at.stuck).map(|(id, at)| (*id, at.seq))
    }

    pub(super) fn lag(&self) -> crate::progress::Lag {
        self.progress.lag()
    }

    pub(super) fn into_connection(self) -> Connection {
        self.connection
    }
}

fn project_row(tx: &Connection, live: &mut Live, row: &JournalRow) -> Result<(), StoreError> {
    let (service, seq) = (row.service, row.seq);
    let record = decode(&row.body).map_err(|source| StoreError::Record { service, seq, source })?;
    let target = Target {
        tx,
        service: service.blob(),
        seq: int(seq),
        id: int(row.id),
        at: millis(record.at),
    };
    let projected = catch_unwind(AssertUnwindSafe(|| project(&target, live, record)));
    Ok(projected.map_err(|_| StoreError::Panicked { service, seq })??)
}

fn keep_positions(
    tx: &Connection,
    moved: &Positions,
    rows: &[JournalRow],
) -> Result<(), StoreError> {
    let mut statement = tx.prepare_cached(
        "REPLACE INTO positions (service, seq, journal_id, stuck) VALUES (?1, ?2, ?3, 0)",
    )?;
    for (service, reached) in moved {
        statement.execute((service.blob(), int(reached.seq), int(reached.journal_id)))?;
    }
    if let Some(last) = rows.last() {
        tx.prepare_cached("UPDATE through SET journal_id = max(journal_id, ?1)")?
            .execute([int(last.id)])?;
    }
    Ok(())
}

fn read_positions(connection: &Connection) -> Result<Positions, StoreError> {
    let mut statement = connection.prepare("SELECT * FROM positions")?;
    let rows = statement.query_map([], |row| {
        let reached = Reached {
            seq: row.number("seq")?,
            journal_id: row.number("journal_id")?,
            stuck: row.get("stuck")?,
        };
        Ok((row.id("service")?, reached))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
