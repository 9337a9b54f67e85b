//! Reads flat objects into typed values, so that every error names its field.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer,
    MapAccess, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value, map};

use crate::malformed::{Fault, clipped};

/// The struct named `of` from its fields.
pub(crate) fn fields<T: DeserializeOwned>(
    of: &str,
    fields: Map<String, Value>,
) -> Result<T, Fault> {
    T::deserialize(MapAccessDeserializer::new(Fields::new(fields)))
        .map_err(|trouble| trouble.fault(of))
}

/// The variant named `name` of an enum, from its fields.
pub(crate) fn variant<T: DeserializeOwned>(
    name: &str,
    fields: Map<String, Value>,
) -> Result<T, Fault> {
    T::deserialize(Flat { name, fields: Fields::new(fields) })
        .map_err(|trouble| trouble.fault(name))
}

#[derive(Debug)]
enum Trouble {
    Missing(&'static str),
    UnknownField(String, &'static [&'static str]),
    UnknownVariant(String, &'static [&'static str]),
    Bad { field: String, why: String },
    Other(String),
}

impl Trouble {
    fn fault(self, of: &str) -> Fault {
        let of = clipped(of);
        match self {
            Self::Missing(field) => Fault::Missing { of, field },
            Self::UnknownField(field, known) => Fault::Unknown { of, field, known },
            Self::UnknownVariant(name, known) => Fault::UnknownCommand { name, known },
            Self::Bad { field, why } => Fault::Bad { of, field, why },
            Self::Other(why) => Fault::Bad { of, field: "?".into(), why },
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Trouble {}

impl Error for Trouble {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Other(clipped(&message.to_string()))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::UnknownField(clipped(field), expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::UnknownVariant(clipped(variant), expected)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field)
    }
}

struct Flat<'a> {
    name: &'a str,
    fields: Fields,
}

impl<'de> Deserializer<'de> for Flat<'_> {
    type Error = Trouble;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        visitor.visit_enum(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
        ignored_any
    }
}

impl<'de> EnumAccess<'de> for Flat<'_> {
    type Error = Trouble;
    type Variant = Fields;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Fields), Trouble> {
        let name: StrDeserializer<'_, Trouble> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self.fields))
    }
}

/// The fields of one object, each value read with its name at hand.
struct Fields {
    rest: map::IntoIter,
    value: Option<(String, Value)>,
}

impl Fields {
    fn new(fields: Map<String, Value>) -> Self {
        Self { rest: fields.into_iter(), value: None }
    }
}

impl<'de> MapAccess<'de> for Fields {
    type Error = Trouble;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Trouble> {
        let Some((name, value)) = self.rest.next() else { return Ok(None) };
        let key: StrDeserializer<'_, Trouble> = name.as_str().into_deserializer();
        let key = seed.deserialize(key)?;
        self.value = Some((name, value));
        Ok(Some(key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Trouble> {
        let (name, value) = self.value.take().expect("serde asks for a value after its key");
        seed.deserialize(value).map_err(|error: serde_json::Error| Trouble::Bad {
            field: clipped(&name),
            why: clipped(&error.to_string()),
        })
    }
}

impl<'de> VariantAccess<'de> for Fields {
    type Error = Trouble;

    fn unit_variant(mut self) -> Result<(), Trouble> {
        match self.rest.next() {
            Some((name, _)) => Err(Trouble::unknown_field(&name, &[])),
            None => Ok(()),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Trouble> {
        seed.deserialize(MapAccessDeserializer::new(self))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Trouble> {
        visitor.visit_map(self)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        visitor.visit_map(self)
    }
}
