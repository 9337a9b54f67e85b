//! Values on their way to PostgreSQL: owned, because they are sent before anybody waits.

use std::error::Error;

use bytes::{BufMut as _, BytesMut};
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::db::Value;

#[derive(Debug)]
pub(super) enum Bound {
    Null,
    Int(i64),
    Text(String),
    Blob(Vec<u8>),
}

/// A text of PostgreSQL's cannot hold it.
const NUL: char = '\0';

impl From<&Value<'_>> for Bound {
    fn from(value: &Value<'_>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Int(number) => Self::Int(*number),
            Value::Text(text) if text.contains(NUL) => {
                Self::Text(text.replace(NUL, char::REPLACEMENT_CHARACTER.encode_utf8(&mut [0; 3])))
            }
            Value::Text(text) => Self::Text((*text).to_owned()),
            Value::Blob(bytes) => Self::Blob(bytes.to_vec()),
            Value::Id(id) => Self::Blob(id.to_vec()),
        }
    }
}

impl ToSql for Bound {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match (self, ty) {
            (Self::Null, _) => return Ok(IsNull::Yes),
            (Self::Int(number), &Type::INT8) => out.put_i64(*number),
            (Self::Int(number), &Type::INT4) => out.put_i32(i32::try_from(*number)?),
            (Self::Text(text), &(Type::TEXT | Type::VARCHAR)) => out.put_slice(text.as_bytes()),
            (Self::Blob(bytes), &Type::BYTEA) => out.put_slice(bytes),
            (Self::Int(_) | Self::Text(_) | Self::Blob(_), _) => {
                return Err(format!("a value is bound where {ty} is meant").into());
            }
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
