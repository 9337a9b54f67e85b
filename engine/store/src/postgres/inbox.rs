//! The inbox: webhooks as they came, kept by whichever node they reached until the owner of their
//! service has taken them in.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use usher_domain::ids::{ChannelId, ServiceId};
use usher_domain::time::Timestamp;

use super::{Array, Own, Postgres, Purpose, Server, migrate};
use crate::db::DbError;
use crate::error::StoreError;
use crate::sql::{Id as _, int, millis, uint};

/// A webhook on its way in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Arrived {
    pub service: ServiceId,
    pub channel: ChannelId,
    /// By the clock of the node that it reached.
    pub received_at: Timestamp,
    pub body: Bytes,
}

/// One that stands in the inbox.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InboxRow {
    pub id: u64,
    pub arrived: Arrived,
}

/// How much of one service's may stand there.
#[derive(Clone, Copy, Debug)]
pub struct InboxLimits {
    pub rows: u64,
    pub bytes: u64,
}

impl Default for InboxLimits {
    fn default() -> Self {
        Self { rows: 100_000, bytes: 256 * 1024 * 1024 }
    }
}

/// What is read at once; one row is, however large it is.
#[derive(Clone, Copy, Debug)]
pub struct Portion {
    pub rows: u64,
    pub bytes: u64,
}

/// A connection of its own, made when it is first used. All of it blocks.
pub struct Inbox {
    server: Arc<Server>,
    own: Own,
    limits: InboxLimits,
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// A service for which there is no room gets no rows. Its row in `inbox_held` is locked before its
/// webhooks get their numbers, so that these rise in the order of the commits.
const PUT: &str = "
WITH room AS (
  INSERT INTO inbox_held AS held (service, rows, bytes)
  SELECT more.service, more.rows, more.bytes
  FROM unnest(?1::bytea[], ?2::bigint[], ?3::bigint[]) AS more (service, rows, bytes)
  ON CONFLICT (service) DO UPDATE
    SET rows = held.rows + excluded.rows, bytes = held.bytes + excluded.bytes
    WHERE held.rows + excluded.rows <= ?9::bigint AND held.bytes + excluded.bytes <= ?10::bigint
  RETURNING service
), kept AS (
  INSERT INTO inbox (service, channel, received_at, size, body)
  SELECT came.service, came.channel, came.received_at, came.size, came.body
  FROM unnest(?4::bytea[], ?5::bytea[], ?6::bigint[], ?7::bigint[], ?8::bytea[]) WITH ORDINALITY
    AS came (service, channel, received_at, size, body, place)
  WHERE came.service IN (SELECT service FROM room)
  ORDER BY came.place
)
SELECT service FROM room";

const TAKE: &str = "
SELECT id, service, channel, received_at, body
FROM (
  SELECT id, service, channel, received_at, body, sum(size) OVER (ORDER BY id) - size AS before
  FROM inbox WHERE channel = ANY(?1::bytea[]) ORDER BY id LIMIT ?2::bigint
) AS first
WHERE before < ?3::bigint ORDER BY id";

/// Of one service: whoever puts locks the rows of several in their order.
const DONE: &str = "
WITH gone AS (
  DELETE FROM inbox WHERE service = ANY(?1::bytea[]) AND id = ANY(?2::bigint[]) RETURNING size
), less AS (
  SELECT count(*) AS rows, coalesce(sum(size), 0) AS bytes FROM gone
)
UPDATE inbox_held SET rows = inbox_held.rows - less.rows, bytes = inbox_held.bytes - less.bytes
FROM less WHERE service = ANY(?1::bytea[])
RETURNING inbox_held.rows AS held";

impl Inbox {
    /// Connects, and brings the database up to what this program needs.
    pub fn open(postgres: Postgres, limits: InboxLimits) -> Result<Self, StoreError> {
        let server = Server::new(postgres)?;
        migrate(&server.connect(Purpose::Journal)?)?;
        Ok(Self::on(server, limits))
    }

    fn on(server: Arc<Server>, limits: InboxLimits) -> Self {
        Self { own: Own::new(Arc::clone(&server), Purpose::Journal), server, limits }
    }

    /// The same one by another connection.
    #[must_use]
    pub fn another(&self) -> Self {
        Self::on(Arc::clone(&self.server), self.limits)
    }

    /// Keeps them durably, all in one statement, but for those of services that have no more room;
    /// which services have.
    pub fn put(&self, arrived: &[Arrived]) -> Result<Vec<ServiceId>, StoreError> {
        let mut more: BTreeMap<ServiceId, (i64, i64)> = BTreeMap::new();
        for one in arrived {
            let (rows, bytes) = more.entry(one.service).or_default();
            (*rows, *bytes) = (*rows + 1, *bytes + size(one));
        }
        let services: Vec<_> = more.keys().map(|service| service.blob()).collect();
        let (rows, bytes): (Vec<i64>, Vec<i64>) = more.values().copied().unzip();
        let of: Vec<_> = arrived.iter().map(|one| one.service.blob()).collect();
        let channels: Vec<_> = arrived.iter().map(|one| one.channel.blob()).collect();
        let times: Vec<i64> = arrived.iter().map(|one| millis(one.received_at)).collect();
        let sizes: Vec<i64> = arrived.iter().map(size).collect();
        let bodies: Vec<&[u8]> = arrived.iter().map(|one| one.body.as_ref()).collect();
        let values = [
            Array::Ids(&services),
            Array::Ints(&rows),
            Array::Ints(&bytes),
            Array::Ids(&of),
            Array::Ids(&channels),
            Array::Ints(&times),
            Array::Ints(&sizes),
            Array::Blobs(&bodies),
            Array::One(int(self.limits.rows)),
            Array::One(int(self.limits.bytes)),
        ];
        let mut kept = Vec::new();
        self.own.with(|connection| {
            connection.arrays(PUT, &values, |row| {
                kept.push(row.id("service")?);
                Ok(())
            })
        })?;
        Ok(kept)
    }

    /// The first ones for these channels, in the order in which they were put.
    pub fn take(
        &self,
        channels: &[ChannelId],
        portion: Portion,
    ) -> Result<Vec<InboxRow>, StoreError> {
        let channels: Vec<_> = channels.iter().map(|channel| channel.blob()).collect();
        let (rows, bytes) = (Array::One(int(portion.rows)), Array::One(int(portion.bytes)));
        let mut found = Vec::new();
        self.own.with(|connection| {
            connection.arrays(TAKE, &[Array::Ids(&channels), rows, bytes], |row| {
                let arrived = Arrived {
                    service: row.id("service")?,
                    channel: row.id("channel")?,
                    received_at: row.time("received_at")?,
                    body: row.get::<_, Vec<u8>>("body")?.into(),
                };
                found.push(InboxRow { id: row.number("id")?, arrived });
                Ok(())
            })
        })?;
        Ok(found)
    }

    /// Forgets those of a service that have become durable elsewhere; how many it still has.
    pub fn done(&self, service: ServiceId, ids: &[u64]) -> Result<u64, StoreError> {
        let ids: Vec<i64> = ids.iter().copied().map(int).collect();
        let values = [Array::Ids(&[service.blob()]), Array::Ints(&ids)];
        let mut held = 0;
        self.own.with(|connection| {
            connection.arrays(DONE, &values, |row| {
                held = row.number("held")?;
                Ok(())
            })
        })?;
        Ok(held)
    }

    /// How many stand there, over all services.
    pub fn held(&self) -> Result<u64, StoreError> {
        let sql = "SELECT coalesce(sum(rows), 0)::bigint AS held FROM inbox_held";
        let held = self.own.with(|connection| connection.one(sql, (), |row| row.number("held")))?;
        Ok(held.unwrap_or(0))
    }

    /// Whether something could be put: the server answers, and is one that takes changes.
    pub fn is_writable(&self) -> Result<bool, StoreError> {
        let sql = "SELECT (NOT pg_is_in_recovery()
                     AND current_setting('transaction_read_only') = 'off')::int::bigint AS yes";
        let writable = self
            .own
            .with(|connection| connection.one(sql, (), |row| row.get::<_, i64>("yes").map(uint)))?;
        Ok(writable.ok_or(DbError::Kind)? == 1)
    }
}

fn size(one: &Arrived) -> i64 {
    int(one.body.len() as u64)
}
