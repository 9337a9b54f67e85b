//! Settings, numbers, templates and sessions.

use usher_domain::ids::{ChannelId, SessionId, StaffId};
use usher_domain::time::Timestamp;

use super::Target;
use crate::db::Result;
use crate::sql::{Id, millis};

pub(super) fn settings(t: &Target<'_>, settings: &str) -> Result<()> {
    t.run(
        "INSERT INTO settings (service, seq, at, settings) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (service) DO UPDATE SET seq = excluded.seq, at = excluded.at,
           settings = excluded.settings",
        (t.service, t.seq, t.at, settings),
    )?;
    Ok(())
}

pub(super) fn number(t: &Target<'_>, channel: ChannelId, phone_number_id: &str) -> Result<()> {
    t.run(
        "INSERT INTO numbers (service, channel, phone_number_id, at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (service, channel) DO UPDATE SET phone_number_id = excluded.phone_number_id,
           at = excluded.at",
        (t.service, channel.blob(), phone_number_id, t.at),
    )?;
    Ok(())
}

pub(super) fn templates(t: &Target<'_>, channel: ChannelId, templates: &str) -> Result<()> {
    t.run(
        "INSERT INTO templates (service, channel, seq, at, templates) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (service, channel) DO UPDATE SET seq = excluded.seq, at = excluded.at,
           templates = excluded.templates",
        (t.service, channel.blob(), t.seq, t.at, templates),
    )?;
    Ok(())
}

pub(super) fn session_opened(
    t: &Target<'_>,
    session: SessionId,
    staff: StaffId,
    (token_sha256, until): (&str, Timestamp),
) -> Result<()> {
    t.run(
        "INSERT INTO sessions (service, session, staff, token_sha256, opened_at, until)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (service, session) DO UPDATE SET staff = excluded.staff,
           token_sha256 = excluded.token_sha256, opened_at = excluded.opened_at,
           until = excluded.until, ended_at = NULL",
        (t.service, session.blob(), staff.blob(), token_sha256, t.at, millis(until)),
    )?;
    Ok(())
}

pub(super) fn session_ended(t: &Target<'_>, session: SessionId) -> Result<()> {
    t.run(
        "UPDATE sessions SET ended_at = ?3 WHERE service = ?1 AND session = ?2",
        (t.service, session.blob(), t.at),
    )?;
    Ok(())
}
