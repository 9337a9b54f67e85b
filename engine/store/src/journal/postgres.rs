//! The journal in PostgreSQL: one statement carries a batch, and writes of it what is still ours.

use std::collections::BTreeMap;
use std::sync::Arc;

use usher_domain::ids::ServiceId;

use super::kept::{Head, Kept, Written};
use super::rewrite::Rewrite;
use super::writer::Records;
use super::{JournalRow, LogInfo};
use crate::db::{Db, DbError, Row};
use crate::error::StoreError;
use crate::mine::{Mine, Unread};
use crate::postgres::{Array, Own, Purpose, Server};
use crate::progress::monotonic;
use crate::sql::{Id, int, uint};

/// The row of every service in it waits for whoever raises its epoch, or has been raised: then
/// nothing of that service is written. What `held` returns was locked and changed before the first
/// record gets its number, so numbers rise in the order of the commits of a service.
const APPEND: &str = "
WITH held AS (
  UPDATE heads SET seq = mine.last
  FROM unnest(?1::bytea[], ?2::bigint[], ?3::bigint[], ?4::bigint[])
    AS mine (service, epoch, first, last)
  WHERE heads.service = mine.service AND heads.epoch = mine.epoch AND heads.seq = mine.first - 1
  RETURNING heads.service
), written AS (
  INSERT INTO journal (service, seq, body)
  SELECT said.service, said.seq, said.body
  FROM unnest(?5::bytea[], ?6::bigint[], ?7::text[]) AS said (service, seq, body)
  WHERE said.service IN (SELECT service FROM held)
)
SELECT service FROM held";

/// What one process knows of a service that it owns, or owned.
#[derive(Clone, Copy, Debug)]
struct Known {
    epoch: u64,
    head: Head,
}

pub(crate) struct PgJournal {
    own: Own,
    known: BTreeMap<ServiceId, Known>,
    /// What is known may be less than what is durable.
    stale: bool,
    mine: Arc<Mine>,
}

impl PgJournal {
    /// Of services that come one by one.
    pub(crate) fn open(server: Arc<Server>, mine: Arc<Mine>) -> Self {
        let own = Own::new(server, Purpose::Journal);
        Self { own, known: BTreeMap::new(), stale: false, mine }
    }

    /// Takes over every service that ever wrote: whoever had them can commit nothing more.
    pub(crate) fn take_over(&mut self) -> Result<(), StoreError> {
        let known = &mut self.known;
        self.own.with(|connection| {
            connection.each(
                "UPDATE heads SET epoch = epoch + 1 RETURNING service, epoch, seq",
                (),
                |row| {
                    let (service, epoch, seq) = standing(row)?;
                    known.insert(service, Known { epoch, head: Head { seq, superseded: None } });
                    Ok(())
                },
            )
        })?;
        Ok(())
    }

    /// Reads again what is durable, waiting for commits that are still under way.
    fn read_again(&mut self) -> Result<(), StoreError> {
        let ids: Vec<[u8; 16]> = self.known.keys().map(|service| service.blob()).collect();
        let mut found = Vec::new();
        self.own.with(|connection| {
            connection.arrays(
                "SELECT service, epoch, seq FROM heads WHERE service = ANY (?1::bytea[])
                 ORDER BY service FOR UPDATE",
                &[Array::Ids(&ids)],
                |row| {
                    found.push(standing(row)?);
                    Ok(())
                },
            )
        })?;
        for (service, epoch, seq) in found {
            let Some(known) = self.known.get_mut(&service) else { continue };
            if epoch > known.epoch {
                known.head.superseded = Some(epoch);
            } else {
                known.head.seq = seq;
                self.mine.durable(service, seq);
            }
        }
        Ok(())
    }

    /// The first record of a service: it is ours, unless somebody else was quicker.
    fn begin(&mut self, service: ServiceId) -> Result<(), StoreError> {
        let begun = self.own.with(|connection| {
            connection.count(
                "INSERT INTO heads (service, epoch, seq) VALUES (?1, 1, 0) ON CONFLICT DO NOTHING",
                [service.blob()],
            )
        })?;
        // No row has the epoch 0: it stands for having none.
        let epoch = begun as u64;
        self.known.insert(service, Known { epoch, head: Head::default() });
        Ok(())
    }

    /// Epoch and sequence of a service, once nobody is at its row; until the transaction ends, should there
    /// be one.
    fn standing_of(&self, service: ServiceId) -> Result<Option<(u64, u64)>, StoreError> {
        let found = self.own.with(|connection| {
            connection.one(
                "SELECT service, epoch, seq FROM heads WHERE service = ?1 FOR UPDATE",
                [service.blob()],
                standing,
            )
        })?;
        Ok(found.map(|(_, epoch, seq)| (epoch, seq)))
    }

    /// Which services of `commits` were written.
    fn write(&self, commits: &[Records]) -> Result<Vec<ServiceId>, StoreError> {
        let mut spans: BTreeMap<ServiceId, (u64, u64)> = BTreeMap::new();
        let (mut services, mut seqs, mut bodies) = (Vec::new(), Vec::new(), Vec::new());
        for (service, entry) in
            commits.iter().flat_map(|commit| commit.entries.iter().map(|it| (commit.service, it)))
        {
            spans.entry(service).or_insert((entry.seq, 0)).1 = entry.seq;
            services.push(service.blob());
            seqs.push(int(entry.seq));
            bodies.push(entry.body.as_str());
        }
        let epoch = |service| self.known.get(service).map_or(0, |known| int(known.epoch));
        let owned: Vec<[u8; 16]> = spans.keys().map(|service| service.blob()).collect();
        let epochs: Vec<i64> = spans.keys().map(epoch).collect();
        let firsts: Vec<i64> = spans.values().map(|(first, _)| int(*first)).collect();
        let lasts: Vec<i64> = spans.values().map(|(_, last)| int(*last)).collect();
        let mut written = Vec::new();
        self.own.with(|connection| {
            connection.arrays(
                APPEND,
                &[
                    Array::Ids(&owned),
                    Array::Ints(&epochs),
                    Array::Ints(&firsts),
                    Array::Ints(&lasts),
                    Array::Ids(&services),
                    Array::Ints(&seqs),
                    Array::Texts(&bodies),
                ],
                |row| {
                    written.push(row.id("service")?);
                    Ok(())
                },
            )
        })?;
        Ok(written)
    }

    /// Services of which nothing was written: somebody else's, or not where they were believed.
    fn judge(&mut self, missing: &[ServiceId]) -> Result<Vec<(ServiceId, u64)>, StoreError> {
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        self.read_again()?;
        let superseded = |service: &ServiceId| {
            self.known.get(service)?.head.superseded.map(|epoch| (*service, epoch))
        };
        let found: Vec<_> = missing.iter().filter_map(superseded).collect();
        // What is ours and was not written is not where it was believed to be.
        if found.len() < missing.len() { Err(DbError::Moved.into()) } else { Ok(found) }
    }

    /// Nobody claims the service meanwhile, and other services' owners go on.
    fn rewritten(&self, service: ServiceId, rewrite: &Rewrite) -> Result<(), StoreError> {
        let transaction = self.own.begin()?;
        let found = self.standing_of(service)?;
        let known = self.known.get(&service);
        if known.is_some_and(|known| found.is_none_or(|(epoch, _)| known.epoch != epoch)) {
            return Err(DbError::Moved.into());
        }
        for (id, body) in &rewrite.changed {
            self.own.run("UPDATE journal SET body = ?2 WHERE id = ?1", (int(*id), body))?;
        }
        for id in &rewrite.removed {
            self.own.run("DELETE FROM journal WHERE id = ?1", [int(*id)])?;
        }
        Ok(transaction.commit()?)
    }
}

impl Kept for PgJournal {
    fn open(&mut self) -> Result<bool, StoreError> {
        if self.stale {
            self.read_again()?;
            self.stale = false;
            return Ok(true);
        }
        Ok(false)
    }

    fn head(&self, service: ServiceId) -> Head {
        self.known.get(&service).map_or_else(Head::default, |known| known.head)
    }

    fn position(&self) -> u64 {
        self.mine.committed()
    }

    fn append(&mut self, commits: &[Records]) -> Result<Written, StoreError> {
        // Until it is known what came of it.
        self.stale = true;
        let began = monotonic();
        for commit in commits.iter().filter(|commit| !commit.entries.is_empty()) {
            if !self.known.contains_key(&commit.service) {
                self.begin(commit.service)?;
            }
        }
        let written = self.write(commits)?;
        let synced = began.elapsed();
        let mut missing = Vec::new();
        for commit in commits {
            let Some(last) = commit.entries.last() else { continue };
            if !written.contains(&commit.service) {
                missing.push(commit.service);
            } else if let Some(known) = self.known.get_mut(&commit.service) {
                known.head.seq = last.seq;
                self.mine.durable(commit.service, last.seq);
            }
        }
        let superseded = self.judge(&missing)?;
        self.stale = false;
        Ok(Written { synced, superseded })
    }

    fn rewrite(&mut self, service: ServiceId, rewrite: &Rewrite) -> Result<(), StoreError> {
        self.rewritten(service, rewrite)
    }

    fn own(&mut self, service: ServiceId, least: u64) -> Result<u64, StoreError> {
        let standing = self.own.with(|connection| {
            connection.one(
                "INSERT INTO heads (service, epoch, seq) VALUES (?1, greatest(1, ?2), 0)
                 ON CONFLICT (service) DO UPDATE SET epoch = greatest(heads.epoch + 1, ?2)
                 RETURNING service, epoch, seq",
                (service.blob(), int(least)),
                standing,
            )
        })?;
        let (_, epoch, seq) = standing.ok_or(DbError::Kind)?;
        self.known.insert(service, Known { epoch, head: Head { seq, superseded: None } });
        self.mine.durable(service, seq);
        Ok(epoch)
    }

    fn take(&mut self, service: ServiceId, epoch: u64) -> Result<Head, StoreError> {
        // No row has the epoch 0: it stands for having none.
        let (found, seq) = self.standing_of(service)?.unwrap_or_default();
        let head = Head { seq, superseded: (found != epoch).then_some(found) };
        if head.superseded.is_none() {
            self.known.insert(service, Known { epoch, head });
        }
        Ok(head)
    }

    fn leave(&mut self, service: ServiceId) {
        self.known.remove(&service);
    }

    fn between(&mut self) -> Option<LogInfo> {
        None
    }

    #[cfg(test)]
    fn run(&mut self, _: super::Run) {}
}

fn standing(row: &Row<'_>) -> Result<(ServiceId, u64, u64), DbError> {
    Ok((row.id("service")?, row.number("epoch")?, row.number("seq")?))
}

/// Every service that ever wrote, with its last durable sequence.
pub(super) fn read_heads(db: &Db) -> Result<Vec<(ServiceId, u64)>, StoreError> {
    let heads = db.all("SELECT service, seq FROM heads WHERE seq > 0", (), |row| {
        Ok((row.id("service")?, row.number("seq")?))
    })?;
    Ok(heads)
}

pub(super) fn read_head(db: &Db, service: ServiceId) -> Result<u64, StoreError> {
    let head = db.one("SELECT seq FROM heads WHERE service = ?1", [service.blob()], |row| {
        row.number("seq")
    })?;
    Ok(head.unwrap_or_default())
}

/// What the index on `(service, seq)` finds, service by service: numbers of rows rise within a service
/// only, so that who follows them over all would miss what is committed late.
const UNREAD: &str = "
SELECT found.id, found.service, found.seq, found.body
FROM unnest(?1::bytea[], ?2::bigint[], ?3::bigint[]) AS mine (service, after, until)
CROSS JOIN LATERAL (
  SELECT id, service, seq, body FROM journal
  WHERE journal.service = mine.service AND journal.seq > mine.after AND journal.seq <= mine.until
  ORDER BY journal.seq LIMIT ?4
) AS found
ORDER BY found.service, found.seq";

pub(super) fn read_unread(
    db: &Db,
    unread: &[Unread],
    limit: usize,
) -> Result<Vec<JournalRow>, StoreError> {
    let services: Vec<[u8; 16]> = unread.iter().map(|it| it.service.blob()).collect();
    let after: Vec<i64> = unread.iter().map(|it| int(it.after)).collect();
    let until: Vec<i64> = unread.iter().map(|it| int(it.until)).collect();
    let mut rows = Vec::new();
    let asked = [
        Array::Ids(&services),
        Array::Ints(&after),
        Array::Ints(&until),
        Array::One(int(limit as u64)),
    ];
    db.arrays(UNREAD, &asked, |row| {
        rows.push(journal_row(row)?);
        Ok(())
    })?;
    Ok(rows)
}

pub(super) fn read_after(
    db: &Db,
    service: ServiceId,
    seq: u64,
    limit: usize,
) -> Result<Vec<JournalRow>, StoreError> {
    Ok(db.all(
        "SELECT id, service, seq, body FROM journal WHERE service = ?1 AND seq > ?2
         ORDER BY seq LIMIT ?3",
        (service.blob(), int(seq), int(limit as u64)),
        journal_row,
    )?)
}

fn journal_row(row: &Row<'_>) -> Result<JournalRow, DbError> {
    Ok(JournalRow {
        id: row.get("id").map(uint)?,
        service: row.id("service")?,
        seq: row.number("seq")?,
        body: row.get("body")?,
    })
}
