//! Whose each service is, as the database knows it: what leases rest on.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Mutex;
use usher_domain::ids::ServiceId;

use super::{Own, Postgres, Purpose, Server, migrate};
use crate::db::DbError;
use crate::error::StoreError;
use crate::sql::{Id as _, int};

/// A connection of its own; cheap to clone.
#[derive(Clone)]
pub struct Ownership(Arc<Mutex<Own>>);

impl fmt::Debug for Ownership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ownership").finish_non_exhaustive()
    }
}

impl Ownership {
    /// Connects, and brings the database up to what this program needs. Blocks, as all of it.
    pub fn open(postgres: Postgres) -> Result<Self, StoreError> {
        let server = Server::new(postgres)?;
        migrate(&server.connect(Purpose::Journal)?)?;
        Ok(Self(Arc::new(Mutex::new(Own::new(server, Purpose::Journal)))))
    }

    /// The epoch under which a service may be written; 0 when it never was.
    pub fn epoch(&self, service: ServiceId) -> Result<u64, StoreError> {
        let own = self.0.try_lock().map_err(|_| DbError::Late)?;
        let sql = "SELECT epoch FROM heads WHERE service = ?1";
        let epoch = own
            .with(|connection| connection.one(sql, [service.blob()], |row| row.number("epoch")))?;
        Ok(epoch.unwrap_or(0))
    }

    /// Takes a service under `epoch`, if it still stands under `over`; whether it did.
    pub fn claim(&self, service: ServiceId, epoch: u64, over: u64) -> Result<bool, StoreError> {
        let own = self.0.try_lock().map_err(|_| DbError::Late)?;
        let sql = "INSERT INTO heads (service, epoch, seq) VALUES (?1, ?2, 0)
                   ON CONFLICT (service) DO UPDATE SET epoch = ?2 WHERE heads.epoch = ?3";
        let params = (service.blob(), int(epoch), int(over));
        Ok(own.with(|connection| connection.count(sql, params))? == 1)
    }
}
