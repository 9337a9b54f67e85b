//! What belongs to no enquiry: messages that came while a channel took none.

use usher_domain::ids::{ChannelId, ServiceId, VisitorId};

use super::message::read as message;
use super::{ArchiveReader, MessageRow};
use crate::error::StoreError;
use crate::sql::{Id, int};

/// A visitor whose messages opened nothing and were not answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unanswered {
    pub visitor: VisitorId,
    /// Sequence of the first of them: the cursor of the list.
    pub first_seq: u64,
}

impl ArchiveReader {
    /// Visitors of a channel who wait for their first enquiry, whoever wrote first comes first.
    pub fn unanswered(
        &self,
        service: ServiceId,
        channel: ChannelId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Unanswered>, StoreError> {
        self.all(
            "SELECT visitor, first_seq FROM (SELECT visitor,
               min(CASE WHEN inbound = 1 AND counts IN ('message', 'unsupported') THEN seq END)
                 AS first_seq,
               max(CASE WHEN inbound = 1 AND counts IN ('message', 'unsupported') THEN seq END)
                 AS last_seq,
               max(CASE WHEN inbound = 0 AND reacts_to IS NULL THEN seq ELSE 0 END) AS answered
             FROM messages INDEXED BY messages_loose
             WHERE service = ?1 AND channel = ?2 AND enquiry IS NULL
             GROUP BY visitor) AS waiting
             WHERE first_seq > ?3 AND last_seq > answered
             ORDER BY first_seq LIMIT ?4",
            (service.blob(), channel.blob(), int(after), int(limit as u64)),
            |row| {
                Ok(Unanswered { visitor: row.id("visitor")?, first_seq: row.number("first_seq")? })
            },
        )
    }

    /// The newest of what a visitor said on a channel in no enquiry, in stored order.
    pub fn loose(
        &self,
        service: ServiceId,
        (channel, visitor): (ChannelId, VisitorId),
        limit: usize,
    ) -> Result<Vec<MessageRow>, StoreError> {
        let mut rows = self.all(
            "SELECT * FROM messages INDEXED BY messages_loose
             WHERE service = ?1 AND channel = ?2 AND visitor = ?3 AND enquiry IS NULL AND inbound = 1
             ORDER BY seq DESC LIMIT ?4",
            (service.blob(), channel.blob(), visitor.blob(), int(limit as u64)),
            message,
        )?;
        rows.reverse();
        Ok(rows)
    }
}
