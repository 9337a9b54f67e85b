//! What is bound to a statement: borrowed from where it is, whichever database takes it.

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef};

/// One bound value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Null,
    Int(i64),
    Text(&'a str),
    Blob(&'a [u8]),
    Id([u8; 16]),
}

/// What can be bound.
pub(crate) trait Param {
    fn value(&self) -> Value<'_>;
}

impl Param for Value<'_> {
    fn value(&self) -> Value<'_> {
        *self
    }
}

impl Param for i64 {
    fn value(&self) -> Value<'_> {
        Value::Int(*self)
    }
}

impl Param for u32 {
    fn value(&self) -> Value<'_> {
        Value::Int(i64::from(*self))
    }
}

impl Param for bool {
    fn value(&self) -> Value<'_> {
        Value::Int(i64::from(*self))
    }
}

impl Param for str {
    fn value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl Param for String {
    fn value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl Param for [u8; 16] {
    fn value(&self) -> Value<'_> {
        Value::Blob(self)
    }
}

impl Param for [u8] {
    fn value(&self) -> Value<'_> {
        Value::Blob(self)
    }
}

impl Param for Vec<u8> {
    fn value(&self) -> Value<'_> {
        Value::Blob(self)
    }
}

impl<T: Param + ?Sized> Param for &T {
    fn value(&self) -> Value<'_> {
        (**self).value()
    }
}

impl<T: Param> Param for Option<T> {
    fn value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, Param::value)
    }
}

/// All that is bound to a statement, in the order of its `?1`, `?2`, ….
pub(crate) trait Params {
    fn with<T>(self, take: impl FnOnce(&[Value<'_>]) -> T) -> T;
}

impl<P: Param, const N: usize> Params for [P; N] {
    fn with<T>(self, take: impl FnOnce(&[Value<'_>]) -> T) -> T {
        take(&self.each_ref().map(Param::value))
    }
}

impl Params for Vec<Value<'_>> {
    fn with<T>(self, take: impl FnOnce(&[Value<'_>]) -> T) -> T {
        take(&self)
    }
}

/// Nothing is bound.
impl Params for () {
    fn with<T>(self, take: impl FnOnce(&[Value<'_>]) -> T) -> T {
        take(&[])
    }
}

macro_rules! tuples {
    ($(($($name:ident $at:tt),*))*) => {$(
        impl<$($name: Param),*> Params for ($($name,)*) {
            fn with<Out>(self, take: impl FnOnce(&[Value<'_>]) -> Out) -> Out {
                take(&[$(self.$at.value()),*])
            }
        }
    )*};
}

tuples! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8)
}

/// More values than a tuple takes.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        [$($crate::db::Param::value(&$value)),*]
    };
}
pub(crate) use params;

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
            Self::Id(id) => ValueRef::Blob(id),
        }))
    }
}
