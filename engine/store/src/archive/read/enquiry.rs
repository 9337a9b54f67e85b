//! Lists of enquiries, and why each went where it went.

use usher_domain::floor::event::Closer;
use usher_domain::ids::{BotId, ChannelId, EnquiryId, MessageId, ServiceId, StaffId, VisitorId};
use usher_domain::time::Timestamp;
use usher_domain::trace::Step;

use super::ArchiveReader;
use crate::db::{Result as Read, Row, Value};
use crate::error::StoreError;
use crate::sql::{Id, int, millis};

#[derive(Clone, Debug, PartialEq)]
pub struct EnquiryRow {
    pub enquiry: EnquiryId,
    pub channel: ChannelId,
    pub visitor: VisitorId,
    /// `open`, `ongoing`, `missed`, `followed_up` or `closed`.
    pub state: String,
    pub owner: Option<StaffId>,
    pub bot: Option<BotId>,
    pub epoch: u32,
    pub opened_at: Timestamp,
    /// Sequence of the opening: the cursor of lists.
    pub opened_seq: u64,
    pub picked_up_at: Option<Timestamp>,
    pub missed_at: Option<Timestamp>,
    pub hold_until: Option<Timestamp>,
    pub window_until: Option<Timestamp>,
    /// The percentage bucket it went to.
    pub bucket: Option<String>,
    pub closed_at: Option<Timestamp>,
    pub closer: Option<Closer>,
    pub silent: Option<bool>,
    pub reason: Option<String>,
    pub first_message: Option<MessageId>,
    pub last_message: Option<MessageId>,
    pub last_message_at: Option<Timestamp>,
    pub messages: u64,
    pub labels: Vec<String>,
}

/// What a list shows; everything that is `Some` has to hold.
#[derive(Clone, Debug, Default)]
pub struct EnquiryFilter {
    pub state: Option<String>,
    pub channel: Option<ChannelId>,
    pub owner: Option<StaffId>,
    pub visitor: Option<VisitorId>,
    pub opened_from: Option<Timestamp>,
    pub opened_until: Option<Timestamp>,
    /// Only what was opened before this sequence (`opened_seq` of the last one of the page before).
    pub before: Option<u64>,
}

/// The latest closing of a visitor's enquiries on a channel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClosedRow {
    pub enquiry: EnquiryId,
    pub closed_at: Timestamp,
    pub owner: Option<StaffId>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DecisionRow {
    pub seq: u64,
    pub at: Timestamp,
    pub steps: Vec<Step>,
}

impl ArchiveReader {
    pub fn enquiry(
        &self,
        service: ServiceId,
        enquiry: EnquiryId,
    ) -> Result<Option<EnquiryRow>, StoreError> {
        let found = self.one(
            "SELECT * FROM enquiries WHERE service = ?1 AND enquiry = ?2",
            (service.blob(), enquiry.blob()),
            read,
        )?;
        found.map(|row| self.labelled(service, row)).transpose()
    }

    /// Enquiries, the one opened last first.
    pub fn enquiries(
        &self,
        service: ServiceId,
        filter: &EnquiryFilter,
        limit: usize,
    ) -> Result<Vec<EnquiryRow>, StoreError> {
        let (sql, params) = filter.query(service, limit);
        let rows = self.all(&sql, params, read)?;
        rows.into_iter().map(|row| self.labelled(service, row)).collect()
    }

    /// The visitor's enquiries opened before `before`, the latest first.
    pub fn earlier(
        &self,
        service: ServiceId,
        visitor: VisitorId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<EnquiryRow>, StoreError> {
        let filter = EnquiryFilter { visitor: Some(visitor), before, ..EnquiryFilter::default() };
        self.enquiries(service, &filter, limit)
    }

    /// The visitor's last closed enquiry on a channel.
    pub fn last_closed(
        &self,
        service: ServiceId,
        channel: ChannelId,
        visitor: VisitorId,
    ) -> Result<Option<ClosedRow>, StoreError> {
        self.one(
            "SELECT enquiry, closed_at, owner FROM enquiries
             WHERE service = ?1 AND visitor = ?2 AND channel = ?3 AND closed_at IS NOT NULL
             ORDER BY closed_seq DESC LIMIT 1",
            (service.blob(), visitor.blob(), channel.blob()),
            |row| {
                Ok(ClosedRow {
                    enquiry: row.id("enquiry")?,
                    closed_at: row.time("closed_at")?,
                    owner: row.id_opt("owner")?,
                })
            },
        )
    }

    /// Why an enquiry went where it went, in the order it was decided.
    pub fn decisions(
        &self,
        service: ServiceId,
        enquiry: EnquiryId,
    ) -> Result<Vec<DecisionRow>, StoreError> {
        Ok(self.decided(service, enquiry)?)
    }

    pub(super) fn decided(&self, service: ServiceId, enquiry: EnquiryId) -> Read<Vec<DecisionRow>> {
        self.db.all(
            "SELECT * FROM decisions WHERE service = ?1 AND enquiry = ?2 ORDER BY seq",
            (service.blob(), enquiry.blob()),
            |row| {
                Ok(DecisionRow {
                    seq: row.number("seq")?,
                    at: row.time("at")?,
                    steps: row.json("steps")?,
                })
            },
        )
    }

    fn labelled(&self, service: ServiceId, mut row: EnquiryRow) -> Result<EnquiryRow, StoreError> {
        row.labels = self.all(
            "SELECT label FROM labels WHERE service = ?1 AND enquiry = ?2 ORDER BY label",
            (service.blob(), row.enquiry.blob()),
            |label| label.get("label"),
        )?;
        Ok(row)
    }
}

impl EnquiryFilter {
    /// Conditions in a fixed order, so that few statements are prepared.
    fn query(&self, service: ServiceId, limit: usize) -> (String, Vec<Value<'_>>) {
        let conditions = [
            ("service =", Some(Value::Id(service.blob()))),
            ("state =", self.state.as_deref().map(Value::Text)),
            ("channel =", self.channel.map(|channel| Value::Id(channel.blob()))),
            ("owner =", self.owner.map(|owner| Value::Id(owner.blob()))),
            ("visitor =", self.visitor.map(|visitor| Value::Id(visitor.blob()))),
            ("opened_at >=", self.opened_from.map(|at| Value::Int(millis(at)))),
            ("opened_at <", self.opened_until.map(|at| Value::Int(millis(at)))),
            ("opened_seq <", self.before.map(|seq| Value::Int(int(seq)))),
        ];
        let (mut wanted, mut params) = (Vec::new(), Vec::new());
        for (condition, value) in conditions {
            let Some(value) = value else { continue };
            params.push(value);
            wanted.push(format!("{condition} ?{}", params.len()));
        }
        params.push(Value::Int(int(limit as u64)));
        let (wanted, last) = (wanted.join(" AND "), params.len());
        let sql = format!(
            "SELECT * FROM enquiries WHERE {wanted} ORDER BY opened_seq DESC LIMIT ?{last}"
        );
        (sql, params)
    }
}

fn read(row: &Row<'_>) -> Read<EnquiryRow> {
    Ok(EnquiryRow {
        enquiry: row.id("enquiry")?,
        channel: row.id("channel")?,
        visitor: row.id("visitor")?,
        state: row.get("state")?,
        owner: row.id_opt("owner")?,
        bot: row.id_opt("bot")?,
        epoch: row.get("epoch")?,
        opened_at: row.time("opened_at")?,
        opened_seq: row.number("opened_seq")?,
        picked_up_at: row.time_opt("picked_up_at")?,
        missed_at: row.time_opt("missed_at")?,
        hold_until: row.time_opt("hold_until")?,
        window_until: row.time_opt("window_until")?,
        bucket: row.get("bucket")?,
        closed_at: row.time_opt("closed_at")?,
        closer: row.json_opt("closer")?,
        silent: row.get("silent")?,
        reason: row.get("reason")?,
        first_message: row.id_opt("first_message")?,
        last_message: row.id_opt("last_message")?,
        last_message_at: row.time_opt("last_message_at")?,
        messages: row.number("messages")?,
        labels: Vec::new(),
    })
}
