//! What a restart starts from: the newest state of everything that is live.

use std::collections::BTreeMap;

use usher_domain::floor::event::{Closer, FloorEvent};
use usher_domain::ids::{ChannelId, EnquiryId, ServiceId, StaffId};
use usher_domain::message::Content;
use usher_domain::record::After;
use usher_domain::time::Timestamp;
use usher_domain::visitor::Visitor;

use super::ArchiveReader;
use crate::db::{Result as Read, Row};
use crate::error::StoreError;
use crate::sql::Id;

/// One live state and the sequence it stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveState {
    pub seq: u64,
    /// As it was journaled; never a state that has gone.
    pub state: After,
}

/// What a live enquiry goes on with besides its states.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveRoom {
    pub enquiry: EnquiryId,
    pub channel: ChannelId,
    pub visitor: Visitor,
    pub first_message: Option<Content>,
    /// When the provider says that the first message was written.
    pub first_at: Option<Timestamp>,
    /// The first message was there before the enquiry was opened.
    pub adopted: bool,
    /// The floor has closed it, and it has not heard of that yet.
    pub closed: Option<FloorEvent>,
}

/// Who is in which live room besides its owner; true = looks on unseen.
pub type LiveMembers = BTreeMap<EnquiryId, BTreeMap<StaffId, bool>>;

impl ArchiveReader {
    /// Hands every live state of a service to `take`: kept enquiries, attendances, draws, places,
    /// seats, talks.
    pub fn live(
        &self,
        service: ServiceId,
        mut take: impl FnMut(LiveState),
    ) -> Result<(), StoreError> {
        self.each(
            "SELECT e.enquiry, e.kept_seq, e.kept FROM live
             JOIN enquiries AS e ON e.service = live.service AND e.enquiry = live.key
             WHERE live.service = ?1 AND live.kind = 'enquiry' AND e.kept IS NOT NULL
             ORDER BY live.key",
            [service.blob()],
            |row| {
                let (enquiry, kept) = (row.id("enquiry")?, Some(row.json("kept")?));
                let state = After::Enquiry { enquiry, kept };
                take(LiveState { seq: row.number("kept_seq")?, state });
                Ok(())
            },
        )?;
        self.each(
            "SELECT seq, state FROM live WHERE service = ?1 AND kind <> 'enquiry' ORDER BY kind, key",
            [service.blob()],
            |row| {
                take(LiveState { seq: row.number("seq")?, state: row.json("state")? });
                Ok(())
            },
        )
    }

    /// Hands the visitor and the first message of every enquiry that is kept to `take`.
    pub fn live_rooms(
        &self,
        service: ServiceId,
        mut take: impl FnMut(LiveRoom),
    ) -> Result<(), StoreError> {
        self.each(
            "SELECT e.enquiry, e.channel, e.owner, e.closed_at, e.closer, e.silent, e.reason, kept.body,
               m.content, m.provider_at, coalesce(m.seq < e.opened_seq, FALSE) AS adopted
             FROM live
             JOIN enquiries AS e ON e.service = live.service AND e.enquiry = live.key
             JOIN visitors AS asked ON asked.service = e.service AND asked.visitor = e.visitor
             JOIN visitors AS kept ON kept.service = e.service
               AND kept.visitor = coalesce(asked.merged_into, asked.visitor)
             LEFT JOIN messages AS m ON m.service = e.service AND m.message = e.first_message
             WHERE live.service = ?1 AND live.kind = 'enquiry' AND e.kept IS NOT NULL",
            [service.blob()],
            |row| {
                take(LiveRoom {
                    enquiry: row.id("enquiry")?,
                    channel: row.id("channel")?,
                    visitor: row.json("body")?,
                    first_message: row.json_opt("content")?,
                    first_at: row.time_opt("provider_at")?,
                    adopted: row.get("adopted")?,
                    closed: closed(row)?,
                });
                Ok(())
            },
        )
    }

    /// Labels of everything live.
    pub fn live_labels(&self, service: ServiceId) -> Result<Vec<(EnquiryId, String)>, StoreError> {
        self.all(
            "SELECT labels.enquiry, label FROM live
             JOIN labels ON labels.service = live.service AND labels.enquiry = live.key
             WHERE live.service = ?1 AND live.kind = 'enquiry'",
            [service.blob()],
            |row| Ok((row.id("enquiry")?, row.get("label")?)),
        )
    }

    /// Members of everything live who have not left.
    pub fn live_members(&self, service: ServiceId) -> Result<LiveMembers, StoreError> {
        let rows: Vec<(EnquiryId, StaffId, bool)> = self.all(
            "SELECT members.enquiry, staff, monitor FROM live
             JOIN members ON members.service = live.service AND members.enquiry = live.key
             WHERE live.service = ?1 AND live.kind = 'enquiry' AND left_at IS NULL",
            [service.blob()],
            |row| Ok((row.id("enquiry")?, row.id("staff")?, row.get("monitor")?)),
        )?;
        let mut members = LiveMembers::new();
        for (enquiry, staff, monitor) in rows {
            members.entry(enquiry).or_default().insert(staff, monitor);
        }
        Ok(members)
    }

    /// The provider's id of the visitor's newest message in a room.
    pub fn last_inbound(
        &self,
        service: ServiceId,
        enquiry: EnquiryId,
    ) -> Result<Option<String>, StoreError> {
        self.one(
            "SELECT provider_id FROM messages
             WHERE service = ?1 AND enquiry = ?2 AND inbound = 1 AND provider_id IS NOT NULL
             ORDER BY seq DESC LIMIT 1",
            (service.blob(), enquiry.blob()),
            |row| row.get("provider_id"),
        )
    }
}

fn closed(row: &Row<'_>) -> Read<Option<FloorEvent>> {
    let closer: Option<Closer> = row.json_opt("closer")?;
    let Some(by) = closer.filter(|_| !matches!(row.time_opt("closed_at"), Ok(None) | Err(_)))
    else {
        return Ok(None);
    };
    Ok(Some(FloorEvent::Closed {
        enquiry: row.id("enquiry")?,
        by,
        silent: row.get::<_, Option<bool>>("silent")?.unwrap_or_default(),
        reason: row.get("reason")?,
        owner: row.id_opt("owner")?,
    }))
}
