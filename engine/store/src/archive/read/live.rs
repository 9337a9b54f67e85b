//! What a restart starts from: the newest state of everything that is live.

use usher_domain::ids::ServiceId;
use usher_domain::record::After;

use super::ArchiveReader;
use crate::error::StoreError;
use crate::sql::{Columns, Id};

/// One live state and the sequence it stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveState {
    pub seq: u64,
    /// As it was journaled; never a state that has gone.
    pub state: After,
}

impl ArchiveReader {
    /// Hands every live state of a service to `take`: attendances, draws, kept
    /// enquiries, places, seats.
    pub fn live(
        &self,
        service: ServiceId,
        mut take: impl FnMut(LiveState),
    ) -> Result<(), StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT seq, state FROM live WHERE service = ?1 ORDER BY kind, key")?;
        let mut rows = statement.query([service.blob()])?;
        while let Some(row) = rows.next()? {
            take(LiveState { seq: row.number("seq")?, state: row.json("state")? });
        }
        Ok(())
    }
}
