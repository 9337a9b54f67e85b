//! Messages: one, what is unsent, and which of the provider's ids are known.

use usher_domain::ids::{ChannelId, EnquiryId, MessageId, ServiceId, VisitorId};
use usher_domain::message::{Author, Content, Counts, Delivery, Referral};
use usher_domain::time::Timestamp;
use usher_domain::visitor::{Identities, Visitor};

use super::ArchiveReader;
use crate::db::{Result as Read, Row};
use crate::error::StoreError;
use crate::sql::{Id, int, json};

/// Which way a message went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    In,
    Out,
}

#[derive(Clone, Debug, PartialEq)]
pub struct MessageRow {
    /// The journal's row: the cursor of searches.
    pub id: u64,
    pub message: MessageId,
    /// Its place in the room.
    pub seq: u64,
    pub at: Timestamp,
    pub provider_at: Option<Timestamp>,
    pub channel: ChannelId,
    pub visitor: VisitorId,
    pub enquiry: Option<EnquiryId>,
    pub direction: Direction,
    /// `None`: the visitor.
    pub author: Option<Author>,
    pub counts: Option<Counts>,
    /// As last edited.
    pub content: Content,
    /// What it was before the first edit.
    pub original: Option<Content>,
    pub provider_id: Option<String>,
    pub reply_to: Option<String>,
    pub reacts_to: Option<String>,
    pub key: Option<String>,
    pub referral: Option<Referral>,
    pub forwarded: bool,
    /// How far a message of ours has come.
    pub delivery: Option<Delivery>,
    pub code: Option<i64>,
    pub title: Option<String>,
    pub edited_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    pub withdrawn: bool,
    pub media_unavailable: Option<String>,
    pub reactions: Vec<ReactionRow>,
    /// In groups: how far it has come with each participant.
    pub participants: Vec<ParticipantDelivery>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReactionRow {
    /// A staff member's or a visitor's id, as text.
    pub who: String,
    pub emoji: String,
    pub at: Timestamp,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ParticipantDelivery {
    pub participant: String,
    pub delivery: Delivery,
    pub at: Timestamp,
}

/// A message that stands in the outbox.
#[derive(Clone, Debug, PartialEq)]
pub struct Unsent {
    pub message: MessageId,
    /// Its place in line.
    pub seq: u64,
    pub queued_at: Timestamp,
    pub channel: ChannelId,
    pub visitor: VisitorId,
    /// To whom it goes.
    pub identities: Identities,
    pub enquiry: Option<EnquiryId>,
    pub author: Author,
    pub content: Content,
    pub reply_to: Option<String>,
    pub reacts_to: Option<String>,
    pub key: Option<String>,
    pub withdraw_at: Option<Timestamp>,
    pub attempts: u32,
    /// The request had left and its outcome was never recorded: ambiguous.
    pub sending: bool,
}

impl ArchiveReader {
    /// Whether the provider's id is known to the archive: of a message, an edit, a reaction, ….
    pub fn is_seen(&self, service: ServiceId, provider_id: &str) -> Result<bool, StoreError> {
        let found = self.one(
            "SELECT EXISTS (SELECT 1 FROM messages WHERE service = ?1 AND provider_id = ?2)
                 OR EXISTS (SELECT 1 FROM other_ids WHERE service = ?1 AND provider_id = ?2)
               AS seen",
            (service.blob(), provider_id),
            |row| row.get("seen"),
        )?;
        Ok(found.unwrap_or_default())
    }

    pub fn message(
        &self,
        service: ServiceId,
        message: MessageId,
    ) -> Result<Option<MessageRow>, StoreError> {
        let found = self.one(
            "SELECT * FROM messages WHERE service = ?1 AND message = ?2",
            (service.blob(), message.blob()),
            read,
        )?;
        found.map(|row| self.completed(service, row)).transpose()
    }

    /// How far a message of ours has come; nothing else of it is read.
    pub fn delivery(
        &self,
        service: ServiceId,
        message: MessageId,
    ) -> Result<Option<Delivery>, StoreError> {
        let found = self.one(
            "SELECT delivery FROM messages WHERE service = ?1 AND message = ?2",
            (service.blob(), message.blob()),
            |row| row.get::<_, Option<i64>>("delivery"),
        )?;
        Ok(found.flatten().and_then(of_rank))
    }

    pub fn message_by_provider_id(
        &self,
        service: ServiceId,
        provider_id: &str,
    ) -> Result<Option<MessageRow>, StoreError> {
        let found = self.one(
            "SELECT * FROM messages WHERE service = ?1 AND provider_id = ?2",
            (service.blob(), provider_id),
            read,
        )?;
        found.map(|row| self.completed(service, row)).transpose()
    }

    /// What an author queued under a key of theirs; the first, should there be several.
    pub fn message_by_key(
        &self,
        service: ServiceId,
        author: &Author,
        key: &str,
    ) -> Result<Option<MessageRow>, StoreError> {
        let found = self.one(
            "SELECT * FROM messages WHERE service = ?1 AND key = ?2 AND author = ?3
             ORDER BY id LIMIT 1",
            (service.blob(), key, json(author)),
            read,
        )?;
        found.map(|row| self.completed(service, row)).transpose()
    }

    /// Hands every message that stands in the outbox to `take`, in the order they were queued.
    pub fn unsent(
        &self,
        service: ServiceId,
        mut take: impl FnMut(Unsent),
    ) -> Result<(), StoreError> {
        self.each(
            "SELECT messages.*, visitors.body FROM messages
             LEFT JOIN visitors USING (service, visitor)
             WHERE service = ?1 AND unsent = 1 ORDER BY id",
            [service.blob()],
            |row| {
                take(unsent(row)?);
                Ok(())
            },
        )
    }

    /// Messages with all of the words of `text`, the newest first, before message row `before`.
    pub fn search(
        &self,
        service: ServiceId,
        text: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<MessageRow>, StoreError> {
        let Some((found_by, wanted)) = self.db.wanted_words(text) else { return Ok(Vec::new()) };
        let sql = format!(
            "SELECT messages.* FROM messages_text JOIN messages ON messages.id = messages_text.rowid
             WHERE {found_by} AND messages_text.rowid < ?3 AND service = ?1
             ORDER BY messages_text.rowid DESC LIMIT ?4"
        );
        let rows = self.all(
            &sql,
            (service.blob(), wanted, int(before.unwrap_or(u64::MAX)), int(limit as u64)),
            read,
        )?;
        rows.into_iter().map(|row| self.completed(service, row)).collect()
    }

    /// Provider's ids of what came in after journal row `after`, oldest first: row, instant, id.
    /// Those of our own messages are not among them: nothing comes in under them but receipts.
    pub(crate) fn ids_after(
        &self,
        service: ServiceId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Timestamp, String)>, StoreError> {
        self.all(
            "SELECT id, at, provider_id FROM
               (SELECT * FROM (SELECT id, at, provider_id FROM messages
                 WHERE id > ?2 AND +service = ?1 AND counts IS NOT NULL ORDER BY id LIMIT ?3) AS came
                UNION ALL
                SELECT * FROM (SELECT id, at, provider_id FROM other_ids
                 WHERE id > ?2 AND +service = ?1 ORDER BY id LIMIT ?3) AS other) AS ids
             ORDER BY id LIMIT ?3",
            (service.blob(), int(after), int(limit as u64)),
            |row| Ok((row.number("id")?, row.time("at")?, row.get("provider_id")?)),
        )
    }

    /// The journal row of the newest message stored before `at`, of whichever service; 0: none.
    pub(crate) fn row_before(&self, at: Timestamp) -> Result<u64, StoreError> {
        let last = self
            .one("SELECT coalesce(max(id), 0) AS id FROM messages", (), |row| row.number("id"))?;
        let (mut low, mut high) = (0, last.unwrap_or_default());
        // Rows are in the order of their instants but for steps of the clock, so halving finds it.
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            let earlier = self.one(
                "SELECT at FROM messages WHERE id <= ?1 ORDER BY id DESC LIMIT 1",
                [int(middle)],
                |row| row.time("at"),
            )?;
            if earlier.is_none_or(|found| found < at) { low = middle } else { high = middle - 1 }
        }
        Ok(low)
    }

    pub(super) fn completed(
        &self,
        service: ServiceId,
        mut row: MessageRow,
    ) -> Result<MessageRow, StoreError> {
        if let Some(provider_id) = &row.provider_id {
            row.reactions = self.all(
                "SELECT * FROM reactions WHERE service = ?1 AND provider_id = ?2 ORDER BY at, who",
                (service.blob(), provider_id),
                |row| {
                    Ok(ReactionRow {
                        who: row.get("who")?,
                        emoji: row.get("emoji")?,
                        at: row.time("at")?,
                    })
                },
            )?;
        }
        if row.direction == Direction::Out {
            row.participants = self.all(
                "SELECT * FROM deliveries WHERE service = ?1 AND message = ?2 ORDER BY participant",
                (service.blob(), row.message.blob()),
                |row| {
                    Ok(ParticipantDelivery {
                        participant: row.get("participant")?,
                        delivery: of_rank(row.get("delivery")?).unwrap_or(Delivery::Queued),
                        at: row.time("at")?,
                    })
                },
            )?;
        }
        Ok(row)
    }
}

/// Deliveries as they are stored: later ones are higher.
pub(crate) const fn rank(delivery: Delivery) -> i64 {
    match delivery {
        Delivery::Queued => 10,
        Delivery::Unknown => 20,
        Delivery::Accepted => 30,
        Delivery::Sent => 40,
        Delivery::Failed => 50,
        Delivery::Delivered => 60,
        Delivery::Read => 70,
        Delivery::Played => 80,
    }
}

fn of_rank(rank: i64) -> Option<Delivery> {
    Some(match rank {
        10 => Delivery::Queued,
        20 => Delivery::Unknown,
        30 => Delivery::Accepted,
        40 => Delivery::Sent,
        50 => Delivery::Failed,
        60 => Delivery::Delivered,
        70 => Delivery::Read,
        80 => Delivery::Played,
        _ => return None,
    })
}

pub(super) fn read(row: &Row<'_>) -> Read<MessageRow> {
    let counts: Option<String> = row.get("counts")?;
    Ok(MessageRow {
        id: row.number("id")?,
        message: row.id("message")?,
        seq: row.number("seq")?,
        at: row.time("at")?,
        provider_at: row.time_opt("provider_at")?,
        channel: row.id("channel")?,
        visitor: row.id("visitor")?,
        enquiry: row.id_opt("enquiry")?,
        direction: if row.get("inbound")? { Direction::In } else { Direction::Out },
        author: row.json_opt("author")?,
        counts: counts.map(|_| row.word("counts")).transpose()?,
        content: row.json("content")?,
        original: row.json_opt("original")?,
        provider_id: row.get("provider_id")?,
        reply_to: row.get("reply_to")?,
        reacts_to: row.get("reacts_to")?,
        key: row.get("key")?,
        referral: row.json_opt("referral")?,
        forwarded: row.get("forwarded")?,
        delivery: row.get::<_, Option<i64>>("delivery")?.and_then(of_rank),
        code: row.get("code")?,
        title: row.get("title")?,
        edited_at: row.time_opt("edited_at")?,
        revoked_at: row.time_opt("revoked_at")?,
        withdrawn: row.get("withdrawn")?,
        media_unavailable: row.get("media_unavailable")?,
        reactions: Vec::new(),
        participants: Vec::new(),
    })
}

fn unsent(row: &Row<'_>) -> Read<Unsent> {
    let visitor: Option<Visitor> = row.json_opt("body")?;
    Ok(Unsent {
        message: row.id("message")?,
        seq: row.number("seq")?,
        queued_at: row.time("at")?,
        channel: row.id("channel")?,
        visitor: row.id("visitor")?,
        identities: visitor.map(|visitor| visitor.identities).unwrap_or_default(),
        enquiry: row.id_opt("enquiry")?,
        author: row.json("author")?,
        content: row.json("content")?,
        reply_to: row.get("reply_to")?,
        reacts_to: row.get("reacts_to")?,
        key: row.get("key")?,
        withdraw_at: row.time_opt("withdraw_at")?,
        attempts: row.get("attempts")?,
        sending: row.get("sending")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_are_stored_in_the_order_in_which_they_outrank_each_other() {
        let ranked: Vec<Delivery> = (0..100).filter_map(of_rank).collect();
        assert_eq!(ranked.len(), 8);
        assert!(ranked.is_sorted());
        assert!(ranked.iter().all(|delivery| of_rank(rank(*delivery)) == Some(*delivery)));
    }
}
