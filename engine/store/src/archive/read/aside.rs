//! What was kept as it came.

use serde::{Deserialize, Serialize};
use usher_domain::ids::{ChannelId, ServiceId};
use usher_domain::record::ReceiptHeld;
use usher_domain::time::Timestamp;

use super::ArchiveReader;
use crate::error::StoreError;
use crate::sql::{Id, int, word};

/// Why something was kept as it came.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AsideKind {
    UnmatchedReceipt,
    UnknownNumber,
    Quarantined,
    ProviderNotice,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AsideRow {
    pub seq: u64,
    pub at: Timestamp,
    pub channel: ChannelId,
    /// The provider's id, the number, the reason or the field, as the kind has it.
    pub subject: String,
    /// The provider's JSON text.
    pub raw: String,
}

/// A receipt that waits for its message: its record's sequence, and since when.
pub type HeldReceipt = (u64, Timestamp, Box<ReceiptHeld>);

impl ArchiveReader {
    /// What was set aside, newest first, before sequence `before`.
    pub fn aside(
        &self,
        service: ServiceId,
        kind: AsideKind,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<AsideRow>, StoreError> {
        self.all(
            "SELECT * FROM aside WHERE service = ?1 AND kind = ?2 AND seq < ?3
             ORDER BY seq DESC LIMIT ?4",
            (service.blob(), word(&kind), int(before.unwrap_or(u64::MAX)), int(limit as u64)),
            |row| {
                Ok(AsideRow {
                    seq: row.number("seq")?,
                    at: row.time("at")?,
                    channel: row.id("channel")?,
                    subject: row.get("subject")?,
                    raw: row.get("raw")?,
                })
            },
        )
    }

    /// Receipts that wait for their messages, the oldest first.
    pub fn held_receipts(&self, service: ServiceId) -> Result<Vec<HeldReceipt>, StoreError> {
        self.all(
            "SELECT seq, at, raw FROM aside WHERE service = ?1 AND kind = 'held_receipt'
             ORDER BY seq",
            [service.blob()],
            |row| Ok((row.number("seq")?, row.time("at")?, row.json("raw")?)),
        )
    }
}
