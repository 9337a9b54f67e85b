//! How ids, instants and JSON stand in columns.

use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;
use usher_domain::ids::{
    BotId, ChannelId, EnquiryId, MediaId, MessageId, RuleId, ServiceId, SessionId, StaffId,
    VisitorId,
};
use usher_domain::time::Timestamp;
use uuid::Uuid;

use crate::db::{DbError, Result};

/// An id as the 16 bytes it is stored as.
pub(crate) type Blob = [u8; 16];

pub(crate) trait Id: Copy {
    fn blob(self) -> Blob;
    fn from_blob(blob: Blob) -> Self;
}

macro_rules! stored_ids {
    ($($name:ident)*) => {$(
        impl Id for $name {
            fn blob(self) -> Blob {
                self.uuid().into_bytes()
            }

            fn from_blob(blob: Blob) -> Self {
                Self::new(Uuid::from_bytes(blob))
            }
        }
    )*};
}

stored_ids! {
    BotId ChannelId EnquiryId MediaId MessageId RuleId ServiceId SessionId StaffId VisitorId
}

pub(crate) fn blob<T: Id>(id: Option<T>) -> Option<Blob> {
    id.map(Id::blob)
}

/// SQLite's integers are signed; nothing here comes near the difference.
pub(crate) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn uint(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

pub(crate) fn millis(at: Timestamp) -> i64 {
    int(at.millis())
}

pub(crate) fn instant(millis: i64) -> Timestamp {
    Timestamp::from_millis(uint(millis))
}

pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("what is stored holds nothing that JSON cannot say")
}

/// The name of a plain enum variant, as JSON has it but without the quotes.
pub(crate) fn word<T: Serialize>(value: &T) -> String {
    json(value).trim_matches('"').to_owned()
}

pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(DbError::meaning)
}

/// Whoever else has a database is waited for so long.
pub(crate) const BUSY: Duration = Duration::from_secs(5);

/// What every connection is set to.
pub(crate) fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(160);
    connection.busy_timeout(BUSY)?;
    // Otherwise whatever binds a LIMIT is planned anew each time it is run.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "trusted_schema", false)
}
