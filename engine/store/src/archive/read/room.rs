//! Rooms and threads, page by page, in stored order.

use usher_domain::ids::{ChannelId, EnquiryId, ServiceId, StaffId, VisitorId};
use usher_domain::record::Event;
use usher_domain::time::Timestamp;

use super::message::read as message;
use super::{ArchiveReader, MessageRow};
use crate::error::StoreError;
use crate::sql::{Id, int};

/// Which page: always in stored order, whichever way it is walked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cursor {
    /// The last page.
    Latest,
    /// What stands right before this sequence.
    Before(u64),
    /// What stands right after this sequence; `After(0)` is the first page.
    After(u64),
}

/// One thing that a room shows.
#[derive(Clone, Debug, PartialEq)]
pub enum RoomEntry {
    Message(Box<MessageRow>),
    Event(Box<EventRow>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct EventRow {
    pub seq: u64,
    pub at: Timestamp,
    pub event: Event,
}

/// Somebody who was or is in a room besides its owner.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RoomMember {
    pub staff: StaffId,
    pub monitor: bool,
    pub by: StaffId,
    pub joined_at: Timestamp,
    pub left_at: Option<Timestamp>,
}

impl RoomEntry {
    pub const fn seq(&self) -> u64 {
        match self {
            Self::Message(message) => message.seq,
            Self::Event(event) => event.seq,
        }
    }
}

impl Cursor {
    /// Exclusive bounds, and whether the page is cut at its beginning.
    const fn bounds(self) -> (u64, u64, bool) {
        match self {
            Self::Latest => (0, u64::MAX, true),
            Self::Before(seq) => (0, seq, true),
            Self::After(seq) => (seq, u64::MAX, false),
        }
    }
}

/// The part of a page that both tables share.
fn page_of(select: &str, backwards: bool) -> String {
    let order = if backwards { "DESC" } else { "ASC" };
    format!("{select} AND seq > ?3 AND seq < ?4 ORDER BY seq {order} LIMIT ?5")
}

/// Cuts a page to `limit` entries at its open end, in stored order.
fn cut(mut entries: Vec<RoomEntry>, limit: usize, backwards: bool) -> Vec<RoomEntry> {
    entries.sort_by_key(RoomEntry::seq);
    if backwards {
        entries.drain(..entries.len().saturating_sub(limit));
    } else {
        entries.truncate(limit);
    }
    entries
}

impl ArchiveReader {
    /// A page of a room: messages and events, in stored order.
    pub fn room(
        &self,
        service: ServiceId,
        enquiry: EnquiryId,
        cursor: Cursor,
        limit: usize,
    ) -> Result<Vec<RoomEntry>, StoreError> {
        let (after, before, backwards) = cursor.bounds();
        let params = (service.blob(), enquiry.blob(), int(after), int(before), int(limit as u64));
        let messages = self.all(
            &page_of(
                "SELECT * FROM messages
                 WHERE service = ?1 AND enquiry = ?2 AND reacts_to IS NULL",
                backwards,
            ),
            params,
            message,
        )?;
        let events = self.all(
            &page_of("SELECT * FROM events WHERE service = ?1 AND enquiry = ?2", backwards),
            params,
            |row| {
                Ok(EventRow {
                    seq: row.number("seq")?,
                    at: row.time("at")?,
                    event: row.json("event")?,
                })
            },
        )?;
        let mut entries: Vec<RoomEntry> =
            events.into_iter().map(|row| RoomEntry::Event(row.into())).collect();
        for row in messages {
            entries.push(RoomEntry::Message(self.completed(service, row)?.into()));
        }
        Ok(cut(entries, limit, backwards))
    }

    /// A page of a visitor's messages on a channel, inside enquiries or not.
    pub fn thread(
        &self,
        service: ServiceId,
        (channel, visitor): (ChannelId, VisitorId),
        cursor: Cursor,
        limit: usize,
    ) -> Result<Vec<MessageRow>, StoreError> {
        let (after, before, backwards) = cursor.bounds();
        let mut rows = self.all(
            &page_of(
                "SELECT * FROM messages WHERE service = ?1 AND visitor = ?2 AND channel = ?6
                 AND reacts_to IS NULL",
                backwards,
            ),
            (
                service.blob(),
                visitor.blob(),
                int(after),
                int(before),
                int(limit as u64),
                channel.blob(),
            ),
            message,
        )?;
        rows.sort_by_key(|row| row.seq);
        rows.into_iter().map(|row| self.completed(service, row)).collect()
    }

    /// Who was ever in a room besides its owners.
    pub fn room_members(
        &self,
        service: ServiceId,
        enquiry: EnquiryId,
    ) -> Result<Vec<RoomMember>, StoreError> {
        self.all(
            "SELECT * FROM members WHERE service = ?1 AND enquiry = ?2 ORDER BY joined_at, staff",
            (service.blob(), enquiry.blob()),
            |row| {
                Ok(RoomMember {
                    staff: row.id("staff")?,
                    monitor: row.get("monitor")?,
                    by: row.id("by")?,
                    joined_at: row.time("joined_at")?,
                    left_at: row.time_opt("left_at")?,
                })
            },
        )
    }
}
