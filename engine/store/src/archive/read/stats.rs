//! Enquiries of a time range, as figures are made from them.

use usher_domain::floor::event::Closer;
use usher_domain::ids::{ChannelId, EnquiryId, ServiceId, StaffId};
use usher_domain::time::Timestamp;
use usher_domain::trace::Step;

use super::ArchiveReader;
use crate::error::StoreError;
use crate::sql::{Id, millis};

/// One enquiry, as far as figures need it.
#[derive(Clone, Debug, PartialEq)]
pub struct StatsRow {
    pub channel: ChannelId,
    pub owner: Option<StaffId>,
    pub opened_at: Timestamp,
    pub picked_up_at: Option<Timestamp>,
    pub missed_at: Option<Timestamp>,
    pub is_closed: bool,
    pub closer: Option<Closer>,
    /// What was decided, in order.
    pub decisions: Vec<(Timestamp, Vec<Step>)>,
}

/// From then on, and before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span {
    pub from: Timestamp,
    pub until: Timestamp,
}

impl ArchiveReader {
    /// How many enquiries were opened in a span of time.
    pub fn opened_in(&self, service: ServiceId, span: Span) -> Result<u64, StoreError> {
        let found = self.one(
            "SELECT count(*) AS n FROM enquiries
             WHERE service = ?1 AND opened_at >= ?2 AND opened_at < ?3",
            (service.blob(), millis(span.from), millis(span.until)),
            |row| row.number("n"),
        )?;
        Ok(found.unwrap_or_default())
    }

    /// Hands every enquiry that was opened in a span of time to `take`.
    pub fn each_opened_in(
        &self,
        service: ServiceId,
        span: Span,
        mut take: impl FnMut(StatsRow),
    ) -> Result<(), StoreError> {
        self.each(
            "SELECT * FROM enquiries WHERE service = ?1 AND opened_at >= ?2 AND opened_at < ?3
             ORDER BY opened_at, opened_seq",
            (service.blob(), millis(span.from), millis(span.until)),
            |row| {
                let enquiry: EnquiryId = row.id("enquiry")?;
                let decided = self.decided(service, enquiry)?;
                take(StatsRow {
                    channel: row.id("channel")?,
                    owner: row.id_opt("owner")?,
                    opened_at: row.time("opened_at")?,
                    picked_up_at: row.time_opt("picked_up_at")?,
                    missed_at: row.time_opt("missed_at")?,
                    is_closed: row.time_opt("closed_at")?.is_some(),
                    closer: row.json_opt("closer")?,
                    decisions: decided.into_iter().map(|row| (row.at, row.steps)).collect(),
                });
                Ok(())
            },
        )
    }

    /// How often each person has picked up an enquiry of a span of time, however it came to them.
    pub fn pick_ups_in(
        &self,
        service: ServiceId,
        span: Span,
    ) -> Result<Vec<(StaffId, u64)>, StoreError> {
        let rows = self.all(
            "SELECT json_extract(events.event, '$.by') AS staff, count(*) AS n
             FROM enquiries JOIN events USING (service, enquiry)
             WHERE service = ?1 AND opened_at >= ?2 AND opened_at < ?3
               AND instr(events.event, '\"picked_up\"') > 0
               AND json_extract(events.event, '$.did') = 'picked_up'
             GROUP BY 1",
            (service.blob(), millis(span.from), millis(span.until)),
            |row| Ok((row.get::<_, String>("staff")?, row.number("n")?)),
        )?;
        Ok(rows.into_iter().filter_map(|(staff, n)| Some((staff.parse().ok()?, n))).collect())
    }

    /// Live enquiries by state.
    pub fn live_by_state(&self, service: ServiceId) -> Result<Vec<(String, u64)>, StoreError> {
        let mut counts = Vec::new();
        for state in ["open", "ongoing", "missed", "followed_up"] {
            let found = self.one(
                "SELECT count(*) AS n FROM enquiries WHERE service = ?1 AND state = ?2",
                (service.blob(), state),
                |row| row.number("n"),
            )?;
            counts.push((state.to_owned(), found.unwrap_or_default()));
        }
        Ok(counts)
    }
}
