//! What a room shows beside its messages: events, labels, and who is in it.
//!
//! A room that is not known was pruned: what is still told of it has no effect, whether it is
//! projected before the room goes, after it, or again.

use usher_domain::ids::{EnquiryId, StaffId};
use usher_domain::record::Event;

use super::Target;
use crate::db::Result;
use crate::sql::{Id, json};

pub(super) fn event(t: &Target<'_>, enquiry: EnquiryId, event: &Event) -> Result<()> {
    t.run(
        "INSERT INTO events (service, enquiry, seq, at, event) SELECT ?1, ?2, ?3, ?4, ?5
         WHERE EXISTS (SELECT 1 FROM enquiries WHERE service = ?1 AND enquiry = ?2)",
        (t.service, enquiry.blob(), t.seq, t.at, json(event)),
    )?;
    Ok(())
}

pub(super) fn label(
    t: &Target<'_>,
    enquiry: EnquiryId,
    by: StaffId,
    (label, on): (&str, bool),
) -> Result<()> {
    if on {
        t.run(
            "INSERT INTO labels (service, enquiry, label, by, at) SELECT ?1, ?2, ?3, ?4, ?5
             WHERE EXISTS (SELECT 1 FROM enquiries WHERE service = ?1 AND enquiry = ?2)
             ON CONFLICT (service, enquiry, label) DO UPDATE SET by = excluded.by,
               at = excluded.at",
            (t.service, enquiry.blob(), label, by.blob(), t.at),
        )?;
    } else {
        t.run(
            "DELETE FROM labels WHERE service = ?1 AND enquiry = ?2 AND label = ?3",
            (t.service, enquiry.blob(), label),
        )?;
    }
    Ok(())
}

pub(super) fn joined(
    t: &Target<'_>,
    enquiry: EnquiryId,
    (staff, by): (StaffId, StaffId),
    monitor: bool,
) -> Result<()> {
    t.run(
        "INSERT INTO members (service, enquiry, staff, monitor, by, joined_at)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6
         WHERE EXISTS (SELECT 1 FROM enquiries WHERE service = ?1 AND enquiry = ?2)
         ON CONFLICT (service, enquiry, staff) DO UPDATE SET monitor = excluded.monitor,
           by = excluded.by, joined_at = excluded.joined_at, left_at = NULL",
        (t.service, enquiry.blob(), staff.blob(), monitor, by.blob(), t.at),
    )?;
    Ok(())
}

pub(super) fn left(t: &Target<'_>, enquiry: EnquiryId, staff: StaffId) -> Result<()> {
    t.run(
        "UPDATE members SET left_at = ?4 WHERE service = ?1 AND enquiry = ?2 AND staff = ?3",
        (t.service, enquiry.blob(), staff.blob(), t.at),
    )?;
    Ok(())
}
