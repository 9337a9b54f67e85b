//! Messages of ours that have not simply gone out: what waits, what failed, what nobody knows.

use serde::{Deserialize, Serialize};
use usher_domain::ids::{MessageId, ServiceId, StaffId};
use usher_domain::message::{Author, Delivery};
use usher_domain::time::Timestamp;

use super::ArchiveReader;
use super::message::{MessageRow, rank, read};
use crate::db::Row;
use crate::error::StoreError;
use crate::sql::{Id, int, json};

/// Why a message of ours is looked at.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OutboxState {
    /// It stands in the outbox.
    Waiting,
    /// The provider, or Usher itself, refused it for good.
    Failed,
    /// It left, and nobody knows what came of it.
    Unknown,
}

/// Which of them; the newest first.
#[derive(Clone, Copy, Debug)]
pub struct OutboxFilter {
    /// `None`: all.
    pub state: Option<OutboxState>,
    /// Only what this person wrote, and what was said in enquiries that they own or have joined.
    pub of: Option<StaffId>,
    /// Only what stands before this row (`id` of the last one of the page before).
    pub before: Option<u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct OutboxRow {
    pub state: OutboxState,
    pub message: MessageRow,
    pub attempts: u32,
    /// The request has left.
    pub sending: bool,
    /// What was sent in its place.
    pub resent: Option<Resent>,
}

/// A message that was sent again.
#[derive(Clone, Debug, PartialEq)]
pub struct Resent {
    pub message: MessageId,
    pub by: Author,
    pub at: Timestamp,
    pub delivery: Option<Delivery>,
}

impl OutboxState {
    const ALL: [Self; 3] = [Self::Waiting, Self::Failed, Self::Unknown];

    /// Each has an index of its own kind.
    const fn condition(self) -> &'static str {
        match self {
            Self::Waiting => "unsent = 1",
            Self::Failed => "delivery IN (20, 50) AND delivery = 50 AND unsent = 0",
            Self::Unknown => "delivery IN (20, 50) AND delivery = 20 AND unsent = 0",
        }
    }
}

/// The key under which a message is sent again: once, whoever asks for it, however often.
pub fn resend_key(message: MessageId) -> String {
    format!("resend-{message}")
}

impl ArchiveReader {
    /// What waits, failed or is unknown.
    pub fn outbox(
        &self,
        service: ServiceId,
        filter: OutboxFilter,
        limit: usize,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        debug_assert_eq!((rank(Delivery::Unknown), rank(Delivery::Failed)), (20, 50));
        let mut rows = Vec::new();
        for state in OutboxState::ALL {
            if filter.state.is_none_or(|wanted| wanted == state) {
                rows.append(&mut self.in_state(service, state, filter, limit)?);
            }
        }
        rows.sort_by_key(|row| std::cmp::Reverse(row.message.id));
        rows.truncate(limit);
        for row in &mut rows {
            row.resent = self.resent(service, row.message.message)?;
        }
        Ok(rows)
    }

    fn in_state(
        &self,
        service: ServiceId,
        state: OutboxState,
        filter: OutboxFilter,
        limit: usize,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        let row = |row: &Row<'_>| {
            Ok(OutboxRow {
                state,
                message: read(row)?,
                attempts: row.get("attempts")?,
                sending: row.get("sending")?,
                resent: None,
            })
        };
        let (before, limit) = (int(filter.before.unwrap_or(u64::MAX)), int(limit as u64));
        let condition = state.condition();
        let Some(staff) = filter.of else {
            let sql = format!(
                "SELECT * FROM messages WHERE service = ?1 AND {condition} AND id < ?2
                 ORDER BY id DESC LIMIT ?3"
            );
            return self.all(&sql, (service.blob(), before, limit), row);
        };
        let sql = format!(
            "SELECT * FROM messages WHERE service = ?1 AND {condition} AND id < ?2 AND (
               author = ?4
               OR EXISTS (SELECT 1 FROM enquiries e WHERE e.service = ?1
                 AND e.enquiry = messages.enquiry AND e.owner = ?5)
               OR EXISTS (SELECT 1 FROM members m WHERE m.service = ?1
                 AND m.enquiry = messages.enquiry AND m.staff = ?5 AND m.left_at IS NULL))
             ORDER BY id DESC LIMIT ?3"
        );
        let author = json(&Author::Staff { staff });
        self.all(&sql, (service.blob(), before, limit, author, staff.blob()), row)
    }

    /// What was sent in place of a message, by whomever.
    pub fn resent(
        &self,
        service: ServiceId,
        message: MessageId,
    ) -> Result<Option<Resent>, StoreError> {
        self.one(
            "SELECT * FROM messages WHERE service = ?1 AND key = ?2 ORDER BY id LIMIT 1",
            (service.blob(), resend_key(message)),
            |row| {
                let row = read(row)?;
                let by = row.author.unwrap_or(Author::Phone);
                Ok(Resent { message: row.message, by, at: row.at, delivery: row.delivery })
            },
        )
    }
}
