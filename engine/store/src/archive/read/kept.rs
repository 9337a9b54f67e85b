//! What pruning and erasure have to know: whose records are whose, and which of them still stand.

use std::collections::HashSet;

use usher_domain::ids::{EnquiryId, MediaId, MessageId, ServiceId, VisitorId};
use usher_domain::time::Timestamp;
use usher_domain::visitor::Visitor;

use super::ArchiveReader;
use crate::error::StoreError;
use crate::sql::{Id, int, millis};

/// An enquiry that was closed, and where its records begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClosedEnquiry {
    pub(crate) enquiry: EnquiryId,
    pub(crate) opened_seq: u64,
}

/// A file that is kept no longer, and the record that told of it.
#[derive(Clone, Debug)]
pub(crate) struct OldMedia {
    pub(crate) media: MediaId,
    pub(crate) message: Option<MessageId>,
    pub(crate) seq: u64,
    pub(crate) sha256: String,
}

/// A message, and the journal row of the last record about it.
#[derive(Clone, Debug)]
pub(crate) struct KeptMessage {
    pub(crate) message: MessageId,
    pub(crate) seq: u64,
    pub(crate) provider_id: Option<String>,
    pub(crate) touched: u64,
}

impl ArchiveReader {
    /// Enquiries closed before an instant, the longest closed first; none that has not heard of it
    /// yet.
    pub(crate) fn closed_before(
        &self,
        service: ServiceId,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<ClosedEnquiry>, StoreError> {
        self.all(
            "SELECT enquiry, opened_seq FROM enquiries AS e
             WHERE service = ?1 AND closed_at < ?2 AND kept IS NULL
               AND NOT EXISTS (SELECT 1 FROM live WHERE live.service = e.service
                 AND kind = 'place' AND key = e.enquiry)
             ORDER BY closed_at LIMIT ?3",
            (service.blob(), millis(before), int(limit as u64)),
            |row| {
                Ok(ClosedEnquiry {
                    enquiry: row.id("enquiry")?,
                    opened_seq: row.number("opened_seq")?,
                })
            },
        )
    }

    /// Files stored before an instant, the oldest first.
    pub(crate) fn media_before(
        &self,
        service: ServiceId,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<OldMedia>, StoreError> {
        self.all(
            "SELECT media, message, seq, sha256 FROM media WHERE service = ?1 AND at < ?2
             ORDER BY at LIMIT ?3",
            (service.blob(), millis(before), int(limit as u64)),
            |row| {
                Ok(OldMedia {
                    media: row.id("media")?,
                    message: row.id_opt("message")?,
                    seq: row.number("seq")?,
                    sha256: row.get("sha256")?,
                })
            },
        )
    }

    pub(crate) fn knows_enquiry(
        &self,
        service: ServiceId,
        enquiry: EnquiryId,
    ) -> Result<bool, StoreError> {
        let found = self.one(
            "SELECT 1 FROM enquiries WHERE service = ?1 AND enquiry = ?2",
            (service.blob(), enquiry.blob()),
            |_| Ok(()),
        )?;
        Ok(found.is_some())
    }

    pub(crate) fn messages_in(
        &self,
        service: ServiceId,
        enquiry: EnquiryId,
    ) -> Result<Vec<KeptMessage>, StoreError> {
        self.all(
            "SELECT message, seq, provider_id, touched FROM messages
             WHERE service = ?1 AND enquiry = ?2",
            (service.blob(), enquiry.blob()),
            |row| {
                Ok(KeptMessage {
                    message: row.id("message")?,
                    seq: row.number("seq")?,
                    provider_id: row.get("provider_id")?,
                    touched: row.number("touched")?,
                })
            },
        )
    }

    pub(crate) fn messages_of(
        &self,
        service: ServiceId,
        visitor: VisitorId,
    ) -> Result<HashSet<MessageId>, StoreError> {
        let found = self.all(
            "SELECT message FROM messages WHERE service = ?1 AND visitor = ?2",
            (service.blob(), visitor.blob()),
            |row| row.id("message"),
        )?;
        Ok(found.into_iter().collect())
    }

    /// Journal rows of the edits, deletions and reactions of the message with a provider's id.
    pub(crate) fn about(
        &self,
        service: ServiceId,
        provider_id: &str,
    ) -> Result<Vec<u64>, StoreError> {
        self.all(
            "SELECT id FROM other_ids WHERE service = ?1 AND target = ?2",
            (service.blob(), provider_id),
            |row| row.number("id"),
        )
    }

    /// Sequence of the last event in a room; 0: none.
    pub(crate) fn last_event(
        &self,
        service: ServiceId,
        enquiry: EnquiryId,
    ) -> Result<u64, StoreError> {
        let found = self.one(
            "SELECT coalesce(max(seq), 0) AS seq FROM events WHERE service = ?1 AND enquiry = ?2",
            (service.blob(), enquiry.blob()),
            |row| row.number("seq"),
        )?;
        Ok(found.unwrap_or_default())
    }

    /// Sequences of the records on which the live states stand.
    pub(crate) fn live_seqs(&self, service: ServiceId) -> Result<HashSet<u64>, StoreError> {
        let found = self.all(
            "SELECT coalesce(e.kept_seq, live.seq) AS seq FROM live
             LEFT JOIN enquiries AS e ON live.kind = 'enquiry'
               AND e.service = live.service AND e.enquiry = live.key
             WHERE live.service = ?1",
            [service.blob()],
            |row| row.number("seq"),
        )?;
        Ok(found.into_iter().collect())
    }

    /// A visitor as last journaled under this very id, and the sequence of that record.
    pub(crate) fn visitor_as_journaled(
        &self,
        service: ServiceId,
        visitor: VisitorId,
    ) -> Result<Option<(u64, Visitor)>, StoreError> {
        self.one(
            "SELECT seq, body FROM visitors WHERE service = ?1 AND visitor = ?2",
            (service.blob(), visitor.blob()),
            |row| Ok((row.number("seq")?, row.json("body")?)),
        )
    }

    /// All ids that mean the same person; the first is the one that was kept.
    pub(crate) fn same_person(
        &self,
        service: ServiceId,
        visitor: VisitorId,
    ) -> Result<Vec<VisitorId>, StoreError> {
        let kept = self.one(
            "SELECT coalesce(merged_into, visitor) AS visitor FROM visitors
             WHERE service = ?1 AND visitor = ?2",
            (service.blob(), visitor.blob()),
            |row| row.id::<VisitorId>("visitor"),
        )?;
        let Some(kept) = kept else { return Ok(Vec::new()) };
        let gone = self.all(
            "SELECT visitor FROM visitors WHERE service = ?1 AND merged_into = ?2",
            (service.blob(), kept.blob()),
            |row| row.id("visitor"),
        )?;
        Ok([vec![kept], gone].concat())
    }

    /// The visitor's enquiries, and whether one of them is live.
    pub(crate) fn enquiries_of(
        &self,
        service: ServiceId,
        visitor: VisitorId,
    ) -> Result<(HashSet<EnquiryId>, bool), StoreError> {
        let found = self.all(
            "SELECT enquiry, closed_at IS NULL AS live FROM enquiries
             WHERE service = ?1 AND visitor = ?2",
            (service.blob(), visitor.blob()),
            |row| Ok((row.id("enquiry")?, row.get::<_, bool>("live")?)),
        )?;
        let live = found.iter().any(|(_, live)| *live);
        Ok((found.into_iter().map(|(enquiry, _)| enquiry).collect(), live))
    }
}
