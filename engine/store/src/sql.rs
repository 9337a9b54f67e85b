//! How ids, instants and JSON stand in SQLite columns.

use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::Type;
use rusqlite::{Connection, Error, Result, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;
use usher_domain::ids::{
    BotId, ChannelId, EnquiryId, MediaId, MessageId, RuleId, ServiceId, SessionId, StaffId,
    VisitorId,
};
use usher_domain::time::Timestamp;
use uuid::Uuid;

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

/// Columns by name, in the types that are meant.
pub(crate) trait Columns {
    fn id<T: Id>(&self, column: &str) -> Result<T>;
    fn id_opt<T: Id>(&self, column: &str) -> Result<Option<T>>;
    fn time(&self, column: &str) -> Result<Timestamp>;
    fn time_opt(&self, column: &str) -> Result<Option<Timestamp>>;
    fn number(&self, column: &str) -> Result<u64>;
    fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T>;
    fn json_opt<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>>;
    fn word<T: DeserializeOwned>(&self, column: &str) -> Result<T>;
}

impl Columns for Row<'_> {
    fn id<T: Id>(&self, column: &str) -> Result<T> {
        self.get(column).map(T::from_blob)
    }

    fn id_opt<T: Id>(&self, column: &str) -> Result<Option<T>> {
        Ok(self.get::<_, Option<Blob>>(column)?.map(T::from_blob))
    }

    fn time(&self, column: &str) -> Result<Timestamp> {
        self.get(column).map(instant)
    }

    fn time_opt(&self, column: &str) -> Result<Option<Timestamp>> {
        Ok(self.get::<_, Option<i64>>(column)?.map(instant))
    }

    fn number(&self, column: &str) -> Result<u64> {
        self.get(column).map(uint)
    }

    fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T> {
        parse(self.get_ref(column)?.as_str()?)
    }

    fn json_opt<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>> {
        self.get_ref(column)?.as_str_or_null()?.map(parse).transpose()
    }

    fn word<T: DeserializeOwned>(&self, column: &str) -> Result<T> {
        parse(&format!("\"{}\"", self.get_ref(column)?.as_str()?))
    }
}

pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|error| Error::FromSqlConversionFailure(0, Type::Text, Box::new(error)))
}

/// Whoever else has a database is waited for so long.
pub(crate) const BUSY: Duration = Duration::from_secs(5);

/// What every connection is set to.
pub(crate) fn prepare(connection: &Connection) -> Result<()> {
    connection.set_prepared_statement_cache_capacity(160);
    connection.busy_timeout(BUSY)?;
    // Otherwise whatever binds a LIMIT is planned anew each time it is run.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "trusted_schema", false)
}
