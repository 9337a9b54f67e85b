//! What is kept as it came: nobody could be named for it, or nothing else is done with it.

use usher_domain::ids::ChannelId;

use super::Target;
use crate::db::Result;
use crate::sql::Id;

/// Receipts that wait for their messages; nobody lists them.
pub(super) const HELD: &str = "held_receipt";

pub(super) fn keep(
    t: &Target<'_>,
    kind: &str,
    channel: ChannelId,
    (subject, raw): (&str, &str),
) -> Result<()> {
    t.run(
        "INSERT INTO aside (service, kind, seq, at, channel, subject, raw)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        (t.service, kind, t.seq, t.at, channel.blob(), subject, raw),
    )?;
    Ok(())
}

/// What is known or waited for no longer does not wait.
pub(super) fn no_longer_held(t: &Target<'_>, provider_id: &str) -> Result<()> {
    t.run(
        "DELETE FROM aside WHERE service = ?1 AND kind = ?2 AND subject = ?3",
        (t.service, HELD, provider_id),
    )?;
    Ok(())
}
