//! Settings, numbers, templates, sessions and files.

use usher_domain::ids::{ChannelId, MediaId, MessageId, ServiceId, SessionId, StaffId};
use usher_domain::time::Timestamp;

use super::ArchiveReader;
use crate::db::{Result as Read, Row};
use crate::error::StoreError;
use crate::sql::Id;

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SettingsRow {
    pub seq: u64,
    pub at: Timestamp,
    /// JSON text.
    pub settings: String,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TemplatesRow {
    pub channel: ChannelId,
    pub at: Timestamp,
    /// JSON text.
    pub templates: String,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SessionRow {
    pub service: ServiceId,
    pub session: SessionId,
    pub staff: StaffId,
    pub opened_at: Timestamp,
    pub until: Timestamp,
    pub ended_at: Option<Timestamp>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MediaRow {
    pub media: MediaId,
    pub message: Option<MessageId>,
    pub at: Timestamp,
    /// Lower-case hexadecimal; the name under which the file is stored.
    pub sha256: String,
    pub mime_type: String,
    pub bytes: u64,
    pub filename: Option<String>,
}

impl ArchiveReader {
    pub fn settings(&self, service: ServiceId) -> Result<Option<SettingsRow>, StoreError> {
        self.one("SELECT * FROM settings WHERE service = ?1", [service.blob()], |row| {
            Ok(SettingsRow {
                seq: row.number("seq")?,
                at: row.time("at")?,
                settings: row.get("settings")?,
            })
        })
    }

    /// The numbers learned, per channel.
    pub fn numbers(&self, service: ServiceId) -> Result<Vec<(ChannelId, String)>, StoreError> {
        self.all("SELECT * FROM numbers WHERE service = ?1", [service.blob()], |row| {
            Ok((row.id("channel")?, row.get("phone_number_id")?))
        })
    }

    /// Templates as last synced, per channel.
    pub fn templates(&self, service: ServiceId) -> Result<Vec<TemplatesRow>, StoreError> {
        self.all("SELECT * FROM templates WHERE service = ?1", [service.blob()], templates)
    }

    /// A channel's templates as last synced.
    pub fn templates_of(
        &self,
        service: ServiceId,
        channel: ChannelId,
    ) -> Result<Option<TemplatesRow>, StoreError> {
        self.one(
            "SELECT * FROM templates WHERE service = ?1 AND channel = ?2",
            (service.blob(), channel.blob()),
            templates,
        )
    }

    /// The session a token opened, ended or not, of whichever service.
    pub fn session_by_token(&self, token_sha256: &str) -> Result<Option<SessionRow>, StoreError> {
        self.one(
            "SELECT * FROM sessions WHERE token_sha256 = ?1 ORDER BY opened_at DESC LIMIT 1",
            [token_sha256],
            session,
        )
    }

    /// Sessions that were not ended and had not lapsed at `now`.
    pub fn sessions(
        &self,
        service: ServiceId,
        now: Timestamp,
    ) -> Result<Vec<SessionRow>, StoreError> {
        self.all(
            "SELECT * FROM sessions WHERE service = ?1 AND ended_at IS NULL AND until > ?2",
            (service.blob(), crate::sql::millis(now)),
            session,
        )
    }

    pub fn media(
        &self,
        service: ServiceId,
        media: MediaId,
    ) -> Result<Option<MediaRow>, StoreError> {
        self.one(
            "SELECT * FROM media WHERE service = ?1 AND media = ?2",
            (service.blob(), media.blob()),
            |row| {
                Ok(MediaRow {
                    media: row.id("media")?,
                    message: row.id_opt("message")?,
                    at: row.time("at")?,
                    sha256: row.get("sha256")?,
                    mime_type: row.get("mime_type")?,
                    bytes: row.number("bytes")?,
                    filename: row.get("filename")?,
                })
            },
        )
    }
}

fn templates(row: &Row<'_>) -> Read<TemplatesRow> {
    Ok(TemplatesRow {
        channel: row.id("channel")?,
        at: row.time("at")?,
        templates: row.get("templates")?,
    })
}

fn session(row: &Row<'_>) -> Read<SessionRow> {
    Ok(SessionRow {
        service: row.id("service")?,
        session: row.id("session")?,
        staff: row.id("staff")?,
        opened_at: row.time("opened_at")?,
        until: row.time("until")?,
        ended_at: row.time_opt("ended_at")?,
    })
}
