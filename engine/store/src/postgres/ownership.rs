//! Whose each service is, as the database knows it: what leases rest on.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use usher_domain::ids::ServiceId;

use super::{Connection, Own, Postgres, Purpose, Server, migrate};
use crate::db::{self, DbError, Row};
use crate::error::StoreError;
use crate::sql::{Id as _, int};

/// A connection of its own, by which one question is asked at a time; cheap to clone.
#[derive(Clone)]
pub struct Ownership {
    own: Arc<Mutex<Own>>,
    /// Who holds what is held by this.
    me: Arc<str>,
    lease: Duration,
}

/// What the database knows of a service.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Standing {
    /// Under which it may be written; 0 when it never was.
    pub epoch: u64,
    pub held: Option<Held>,
}

/// Nobody can claim the service for so long, by the database's clock.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Held {
    pub by: Arc<str>,
    pub left: Duration,
}

impl fmt::Debug for Ownership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ownership").field("me", &self.me).finish_non_exhaustive()
    }
}

/// What is held for longer than twice as long as anybody holds was held before the database's clock was set
/// back: it counts as free.
const STANDING: &str = "
SELECT epoch, held_by,
  CASE WHEN held_until <= clock_timestamp() + ?2::bigint * interval '2 milliseconds'
    THEN greatest(0, ceil(extract(epoch FROM held_until - clock_timestamp()) * 1000))::bigint
    ELSE 0 END AS left_ms
FROM heads WHERE service = ?1";

const CLAIM: &str = "
INSERT INTO heads (service, epoch, seq) VALUES (?1, ?2, 0)
ON CONFLICT (service) DO UPDATE SET epoch = ?2, held_by = NULL, held_until = NULL
  WHERE heads.epoch = ?3 AND (heads.held_until BETWEEN clock_timestamp()
    AND clock_timestamp() + ?4::bigint * interval '2 milliseconds') IS NOT TRUE";

const HOLD: &str = "
UPDATE heads SET held_by = ?3, held_until = clock_timestamp() + ?4::bigint * interval '1 millisecond'
WHERE service = ?1 AND epoch = ?2";

const RELEASE: &str = "
UPDATE heads SET held_by = NULL, held_until = NULL
WHERE service = ?1 AND epoch = ?2 AND held_until IS NOT NULL";

impl Ownership {
    /// Connects, and brings the database up to what this program needs. Blocks, as nothing else here does.
    pub fn open(postgres: Postgres, me: Arc<str>, lease: Duration) -> Result<Self, StoreError> {
        let server = Server::new(postgres)?;
        migrate(&server.connect(Purpose::Journal)?)?;
        let own = Arc::new(Mutex::new(Own::new(server, Purpose::Ownership)));
        Ok(Self { own, me, lease })
    }

    pub async fn standing(&self, service: ServiceId) -> Result<Standing, StoreError> {
        let lease = self.lease_millis();
        let found = self.ask(move |connection| {
            connection.one(STANDING, (service.blob(), lease), |row| {
                Ok(Standing { epoch: row.number("epoch")?, held: held(row)? })
            })
        });
        Ok(found.await?.unwrap_or_default())
    }

    /// Takes a service under `epoch`, if it still stands under `over` and nobody holds it; whether it did.
    pub async fn claim(
        &self,
        service: ServiceId,
        epoch: u64,
        over: u64,
    ) -> Result<bool, StoreError> {
        let params = (service.blob(), int(epoch), int(over), self.lease_millis());
        let changed = self.ask(move |connection| connection.count(CLAIM, params)).await?;
        Ok(changed == 1)
    }

    /// Nobody else can claim the service for a lease's length from now on, if it still stands under `epoch`;
    /// whether it does.
    pub async fn hold(&self, service: ServiceId, epoch: u64) -> Result<bool, StoreError> {
        let (me, lease) = (Arc::clone(&self.me), self.lease_millis());
        let changed = self.ask(move |connection| {
            connection.count(HOLD, (service.blob(), int(epoch), &*me, lease))
        });
        Ok(changed.await? == 1)
    }

    /// Takes back what was held under `epoch`, if anything was.
    pub async fn release(&self, service: ServiceId, epoch: u64) -> Result<(), StoreError> {
        let params = (service.blob(), int(epoch));
        self.ask(move |connection| connection.count(RELEASE, params)).await.map(drop)
    }

    /// Whoever comes while one is under way waits for it, no longer than a lease.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> db::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = tokio::time::timeout(self.lease, Arc::clone(&self.own).lock_owned());
        let own = turn.await.map_err(|_| DbError::Late)?;
        let asked = tokio::task::spawn_blocking(move || own.with(question));
        Ok(asked.await.map_err(|_| DbError::Gone)??)
    }

    fn lease_millis(&self) -> i64 {
        i64::try_from(self.lease.as_millis()).unwrap_or(i64::MAX)
    }
}

fn held(row: &Row<'_>) -> db::Result<Option<Held>> {
    let left = Duration::from_millis(row.number("left_ms")?);
    let by: Option<String> = row.get("held_by")?;
    Ok(by.filter(|_| !left.is_zero()).map(|by| Held { by: by.into(), left }))
}
