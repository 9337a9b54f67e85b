//! What can be asked of the archive: cheap, prepared, always within one service.

mod aside;
mod dump;
mod enquiry;
mod kept;
mod live;
mod loose;
mod message;
mod outbox;
mod room;
mod service;
mod stats;
mod visitor;

use usher_domain::ids::ServiceId;

use super::Reached;
use crate::db::{Db, Params, Result as Read, Row};
use crate::error::StoreError;
use crate::sql::Id;

pub use aside::{AsideKind, AsideRow, HeldReceipt};
pub use enquiry::{ClosedRow, DecisionRow, EnquiryFilter, EnquiryRow};
pub(crate) use kept::{ClosedEnquiry, OldMedia};
pub use live::{LiveMembers, LiveRoom, LiveState};
pub use loose::Unanswered;
pub(super) use message::rank;
pub use message::{Direction, MessageRow, ParticipantDelivery, ReactionRow, Unsent};
pub use outbox::{OutboxFilter, OutboxRow, OutboxState, Resent, resend_key};
pub use room::{Cursor, EventRow, RoomEntry, RoomMember};
pub use service::{MediaRow, SessionRow, SettingsRow, TemplatesRow};
pub use stats::{Span, StatsRow};
pub use visitor::BindingRow;

/// A connection of one's own to the archive, read-only. It blocks its thread, briefly.
#[derive(Debug)]
pub struct ArchiveReader {
    db: Db,
}

impl ArchiveReader {
    pub(super) const fn new(db: Db) -> Self {
        Self { db }
    }

    /// How far this archive has come with a service, as a read right after this sees it.
    pub fn position(&self, service: ServiceId) -> Result<Reached, StoreError> {
        let found = self.one(
            "SELECT seq, journal_id, stuck FROM positions WHERE service = ?1",
            [service.blob()],
            |row| {
                Ok(Reached {
                    seq: row.number("seq")?,
                    journal_id: row.number("journal_id")?,
                    stuck: row.get("stuck")?,
                })
            },
        )?;
        Ok(found.unwrap_or_default())
    }

    fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Read<T>,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.db.one(sql, params, read)?)
    }

    fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> Read<T>,
    ) -> Result<Vec<T>, StoreError> {
        Ok(self.db.all(sql, params, read)?)
    }

    fn each(
        &self,
        sql: &str,
        params: impl Params,
        take: impl FnMut(&Row<'_>) -> Read<()>,
    ) -> Result<(), StoreError> {
        Ok(self.db.each(sql, params, take)?)
    }
}
