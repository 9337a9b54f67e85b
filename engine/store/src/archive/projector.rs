//! The projector: which records become one transaction of the archive, and whom a bad one stops.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use usher_domain::ids::ServiceId;
use usher_domain::record::Record;

use super::project::{Live, Target, Texts, project};
use super::{Reached, file};
use crate::db::{Db, DbError};
use crate::encoding::{BadRecord, decode};
use crate::error::StoreError;
use crate::journal::{JournalReader, JournalRow};
use crate::mine::Mine;
use crate::progress::{Progress, Sightings};
use crate::sql::{Id, int, millis};

pub(super) type Positions = BTreeMap<ServiceId, Reached>;

/// A record as it is handed to the projector: read and understood, or not.
#[derive(Debug)]
pub(crate) struct Told {
    row: JournalRow,
    record: Result<Record, BadRecord>,
}

impl Told {
    pub(crate) fn read(row: JournalRow) -> Self {
        let record = decode(&row.body);
        Self { row, record }
    }
}

/// What one read of the journal found.
#[derive(Debug)]
pub(super) struct Batch {
    told: Vec<Told>,
    /// When the read began, on the clock of the progress.
    read_at: Duration,
    /// The read reached the journal's end as it was then.
    pub(super) whole: bool,
    /// Where services are followed one by one: how far each was read.
    through: Vec<(ServiceId, u64)>,
}

impl Batch {
    /// Reads and understands what stands after row `id`; the last row, should there be one.
    pub(super) fn read(
        journal: &JournalReader,
        (id, most): (u64, usize),
        progress: &Progress,
    ) -> Result<(Self, u64), StoreError> {
        let read_at = progress.now();
        let rows = journal.read_after_id(id, most)?;
        let last = rows.last().map_or(id, |row| row.id);
        let whole = rows.len() < most;
        let told = rows.into_iter().map(Told::read).collect();
        Ok((Self { told, read_at, whole, through: Vec::new() }, last))
    }

    /// As [`Self::read`], of the services that are written here, each from where it was read before.
    pub(super) fn read_mine(
        journal: &JournalReader,
        (mine, most): (&Mine, usize),
        progress: &Progress,
    ) -> Result<Self, StoreError> {
        let read_at = progress.now();
        let unread = mine.unread();
        let most_each = (most / unread.len().max(1)).max(1);
        let mut rows = Vec::new();
        if !unread.is_empty() {
            rows = journal.read_unread(&unread, most_each)?;
        }
        let mut found: BTreeMap<ServiceId, (usize, u64)> = BTreeMap::new();
        for row in &rows {
            let (rows, last) = found.entry(row.service).or_default();
            (*rows, *last) = (*rows + 1, row.seq);
        }
        let reached = |service| match found.get(&service) {
            Some((rows, last)) if *rows == most_each => Some(*last),
            Some(_) | None => None,
        };
        let through: Vec<(ServiceId, u64)> =
            unread.iter().map(|it| (it.service, reached(it.service).unwrap_or(it.until))).collect();
        let whole = unread.iter().zip(&through).all(|(it, (_, seq))| *seq == it.until);
        mine.read(&through);
        let told = rows.into_iter().map(Told::read).collect();
        Ok(Self { told, read_at, whole, through })
    }

    fn services(&self) -> impl Iterator<Item = ServiceId> {
        self.through.iter().map(|(service, _)| *service)
    }
}

/// The archive's one writer.
#[derive(Debug)]
pub(crate) struct Projector {
    db: Db,
    positions: Positions,
    /// Last journal row looked at.
    through: u64,
    /// Where several processes write one archive: what of it this one does.
    mine: Option<Arc<Mine>>,
    reached: Arc<watch::Sender<Positions>>,
    progress: Arc<Progress>,
    sightings: Sightings,
}

impl Projector {
    pub(super) fn new(
        db: Db,
        progress: Arc<Progress>,
        mine: Option<Arc<Mine>>,
    ) -> Result<Self, StoreError> {
        let positions = read_positions(&db)?;
        let through = file::through(&db)?;
        let mut shown = positions.clone();
        shown.retain(|service, _| mine.as_ref().is_none_or(|mine| mine.has(*service)));
        let reached = Arc::new(watch::channel(shown).0);
        let sightings = Sightings::default();
        Ok(Self { db, positions, through, mine, reached, progress, sightings })
    }

    /// Tells how far the archive has come; it ends with this.
    pub(super) const fn reached(&self) -> &Arc<watch::Sender<Positions>> {
        &self.reached
    }

    /// Brings the archive level with the journal.
    pub(super) fn catch_up(
        &mut self,
        journal: &JournalReader,
        batch: usize,
    ) -> Result<(), StoreError> {
        self.retry_stuck(journal, batch)?;
        loop {
            let (read, _) = Batch::read(journal, (self.through, batch), &self.progress)?;
            self.project(&read)?;
            if read.whole {
                return Ok(());
            }
        }
    }

    /// Brings what is shown of one service level with the journal, and tells how far that is. Where a
    /// record had stopped it, it goes on from there: this program may know better.
    pub(super) fn catch_up_with(
        &mut self,
        journal: &JournalReader,
        service: ServiceId,
        batch: usize,
    ) -> Result<Reached, StoreError> {
        self.unstick(service)?;
        loop {
            let at = self.positions.get(&service).copied().unwrap_or_default();
            let rows = journal.read_after(service, at.seq, batch)?;
            if rows.is_empty() || at.stuck {
                return Ok(at);
            }
            let whole = rows.len() < batch;
            let told: Vec<Told> = rows.into_iter().map(Told::read).collect();
            match self.absorb(&told) {
                // Somebody else is at it, too; how far it has come is known now.
                Err(StoreError::Database(DbError::Moved)) => {}
                absorbed => {
                    absorbed?;
                    // What has come meanwhile is read with the rest: under live traffic there is no end.
                    if whole {
                        return Ok(self.positions.get(&service).copied().unwrap_or_default());
                    }
                }
            }
        }
    }

    /// What was read does not follow what the archive shows: somebody else has brought it on, or has made
    /// it anew. From where it is now it goes on by the journal.
    pub(super) fn find_again(
        &mut self,
        journal: &JournalReader,
        read: &Batch,
        batch: usize,
    ) -> Result<(), StoreError> {
        self.positions = read_positions(&self.db)?;
        for service in read.services() {
            if self.positions.get(&service).is_none_or(|at| !at.stuck) {
                self.catch_up_with(journal, service, batch)?;
            }
        }
        Ok(())
    }

    pub(super) fn project(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.put_in(&batch.told)?;
        if let Some(mine) = &self.mine {
            mine.shown(&batch.through);
        }
        self.progress.projected(self.position(), batch.read_at, batch.whole);
        self.progress.passed(self.position(), &mut self.sightings);
        self.tell(&batch.told);
        Ok(())
    }

    /// As [`Progress`] counts.
    fn position(&self) -> u64 {
        self.mine.as_ref().map_or(self.through, |mine| mine.projected())
    }

    pub(super) const fn through(&self) -> u64 {
        self.through
    }

    pub(super) fn mine(&self) -> Option<Arc<Mine>> {
        self.mine.clone()
    }

    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Projects all of `told`, and tells how far that is.
    pub(crate) fn absorb(&mut self, told: &[Told]) -> Result<(), StoreError> {
        self.put_in(told)?;
        if self.mine.is_none() {
            self.progress.projected(self.position(), self.progress.now(), false);
        }
        self.tell(told);
        Ok(())
    }

    /// In one transaction where all of `told` can be projected.
    fn put_in(&mut self, told: &[Told]) -> Result<(), StoreError> {
        let Some(last) = told.last() else { return Ok(()) };
        match self.transaction(told) {
            Ok(()) => (),
            Err(error) if error.is_of_the_disk() => return Err(self.moved(error)),
            Err(_) => self.one_by_one(told)?,
        }
        self.through = self.through.max(last.row.id);
        Ok(())
    }

    /// What has left this process meanwhile is told no more.
    fn tell(&self, told: &[Told]) {
        let services: BTreeSet<ServiceId> = told.iter().map(|told| told.row.service).collect();
        if services.is_empty() {
            return;
        }
        let here = |service: &ServiceId| self.mine.as_ref().is_none_or(|mine| mine.has(*service));
        self.reached.send_modify(|reached| {
            for service in services.into_iter().filter(here) {
                reached.extend(self.positions.get(&service).map(|at| (service, *at)));
            }
        });
    }

    /// Where somebody else has brought the archive on, that is where it goes on from.
    fn moved(&mut self, error: StoreError) -> StoreError {
        if matches!(error, StoreError::Database(DbError::Moved)) {
            match read_positions(&self.db) {
                Ok(positions) => self.positions = positions,
                Err(again) => return again,
            }
        }
        error
    }

    /// One of `told` cannot be projected: finds it, and stops its service there.
    fn one_by_one(&mut self, told: &[Told]) -> Result<(), StoreError> {
        for told in told {
            let Err(error) = self.transaction(std::slice::from_ref(told)) else { continue };
            let row = &told.row;
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
        self.db.run(
            "INSERT INTO positions (service, seq, journal_id, stuck) VALUES (?1, 0, 0, 1)
             ON CONFLICT (service) DO UPDATE SET stuck = 1",
            [service.blob()],
        )?;
        self.positions.entry(service).or_default().stuck = true;
        Ok(())
    }

    /// All of `told` or none of it, with the positions it leads to.
    fn transaction(&mut self, told: &[Told]) -> Result<(), StoreError> {
        let (tx, transaction) = (&self.db, self.db.begin()?);
        let (news, mut moved) = self.news(told);
        // Before all else: what somebody else has brought on meanwhile would not fit a second time,
        // and would be taken for records that cannot be projected.
        keep_positions(tx, (&self.positions, &moved), told)?;
        let (mut live, texts) = (Live::default(), RefCell::new(Texts::default()));
        for Told { row, record } in news {
            project_row((tx, &texts, told.len() == 1), &mut live, (row, record))?;
        }
        live.write(tx)?;
        texts.into_inner().write(tx)?;
        transaction.commit()?;
        self.positions.append(&mut moved);
        Ok(())
    }

    /// What of it is not in the archive yet, and how far that leads.
    fn news<'a>(&self, told: &'a [Told]) -> (Vec<&'a Told>, Positions) {
        let (mut news, mut moved) = (Vec::with_capacity(told.len()), Positions::new());
        for one in told {
            let row = &one.row;
            let before = moved.get(&row.service).or_else(|| self.positions.get(&row.service));
            let before = before.copied().unwrap_or_default();
            if before.stuck || row.seq <= before.seq {
                continue;
            }
            news.push(one);
            moved.insert(row.service, Reached { seq: row.seq, journal_id: row.id, stuck: false });
        }
        (news, moved)
    }

    /// Services that a record had stopped go on from there: this program may know better.
    fn retry_stuck(&mut self, journal: &JournalReader, batch: usize) -> Result<(), StoreError> {
        let stuck: Vec<ServiceId> =
            self.positions.iter().filter(|(_, at)| at.stuck).map(|(id, _)| *id).collect();
        for service in stuck {
            self.unstick(service)?;
            self.retry(journal, service, batch)?;
        }
        Ok(())
    }

    fn unstick(&mut self, service: ServiceId) -> Result<(), StoreError> {
        let Some(at) = self.positions.get_mut(&service).filter(|at| at.stuck) else {
            return Ok(());
        };
        self.db.run("UPDATE positions SET stuck = 0 WHERE service = ?1", [service.blob()])?;
        at.stuck = false;
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
            let told: Vec<Told> = rows.into_iter().map(Told::read).collect();
            self.absorb(&told)?;
        }
    }

    /// The first service that stands still, if one does.
    pub(super) fn stuck(&self) -> Option<(ServiceId, u64)> {
        self.positions.iter().find(|(_, at)| at.stuck).map(|(id, at)| (*id, at.seq))
    }

    pub(super) fn lag(&self) -> crate::progress::Lag {
        self.progress.lag()
    }
}

fn project_row(
    (tx, texts, alone): (&Db, &RefCell<Texts>, bool),
    live: &mut Live,
    (row, record): (&JournalRow, &Result<Record, BadRecord>),
) -> Result<(), StoreError> {
    let (service, seq) = (row.service, row.seq);
    let Ok(record) = record else {
        // Said again for the error alone, which cannot be copied.
        let read = decode(&row.body).map(drop);
        return read.map_err(|source| StoreError::Record { service, seq, source });
    };
    let target = Target {
        tx,
        service: service.blob(),
        seq: int(seq),
        id: int(row.id),
        at: millis(record.at),
        texts,
        alone,
    };
    let projected = catch_unwind(AssertUnwindSafe(|| project(&target, live, record)));
    Ok(projected.map_err(|_| StoreError::Panicked { service, seq })??)
}

/// A position is moved from where it is known to be, and from nowhere else.
fn keep_positions(
    tx: &Db,
    (known, moved): (&Positions, &Positions),
    told: &[Told],
) -> Result<(), StoreError> {
    for (service, reached) in moved {
        let before = known.get(service).map_or(0, |known| known.seq);
        let kept = tx.count(
            "INSERT INTO positions (service, seq, journal_id, stuck) VALUES (?1, ?2, ?3, 0)
             ON CONFLICT (service) DO UPDATE SET seq = excluded.seq,
               journal_id = excluded.journal_id, stuck = 0
             WHERE positions.seq = ?4",
            (service.blob(), int(reached.seq), int(reached.journal_id), int(before)),
        )?;
        if kept == 0 {
            return Err(DbError::Moved.into());
        }
    }
    if tx.is_shared_archive() {
        // Who makes it anew waits for the rows above, or has done it before they were ours.
        let version =
            tx.one("SELECT version FROM usher.archive", (), |row| row.number("version"))?;
        if version != Some(file::VERSION.unsigned_abs()) {
            return Err(DbError::OtherVersion.into());
        }
    }
    if let Some(Told { row: last, .. }) = told.last().filter(|_| tx.is_embedded()) {
        tx.run("UPDATE through SET journal_id = ?1 WHERE journal_id < ?1", [int(last.id)])?;
    }
    Ok(())
}

fn read_positions(db: &Db) -> Result<Positions, StoreError> {
    let rows = db.all("SELECT * FROM positions", (), |row| {
        let reached = Reached {
            seq: row.number("seq")?,
            journal_id: row.number("journal_id")?,
            stuck: row.get("stuck")?,
        };
        Ok((row.id("service")?, reached))
    })?;
    Ok(rows.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use usher_tests::postgres::database;

    use super::*;
    use crate::Store;
    use crate::contract::{commit, entries, shared};
    use crate::postgres::{Own, Pool, Postgres, Purpose, Server};
    use crate::script::{Cast, SERVICE};

    /// As a node that takes over while the one that stood still commits what it had begun.
    #[tokio::test]
    async fn who_is_overtaken_at_the_start_goes_on_from_where_the_other_has_come() {
        let (dir, url) = (tempfile::tempdir().unwrap(), database());
        let store = Store::open(dir.path(), shared(&url)).unwrap();
        let records = Cast(1).whole();
        let (some, rest) = records.split_at(records.len() / 2);
        let told = some.len() as u64;
        commit(&store, SERVICE, entries(1, some)).unwrap();
        store.archive().wait(SERVICE, told).await.unwrap();

        let server = Server::new(Postgres::new(&url, None).unwrap()).unwrap();
        let journal = JournalReader::pooled(Pool::new(Arc::clone(&server)));
        let db = Db::Postgres(Own::new(server, Purpose::Archive));
        let mut overtaken = Projector::new(db, Arc::new(Progress::new(0)), None).unwrap();
        commit(&store, SERVICE, entries(told + 1, rest)).unwrap();
        store.archive().wait(SERVICE, records.len() as u64).await.unwrap();
        let before = store.archive().reader().unwrap().dump().unwrap();

        overtaken.catch_up_with(&journal, SERVICE, 3).unwrap();
        assert_eq!(overtaken.positions[&SERVICE].seq, records.len() as u64);
        assert_eq!(store.archive().reader().unwrap().dump().unwrap(), before);
    }
}
