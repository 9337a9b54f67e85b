//! One object of a request body with its own name, for checks that say exactly what is wrong where.

use serde_json::{Map, Value};

use crate::errors::{Check, Invalid};

/// An object inside the body; `name` is how the provider would call it, `interactive['body']`.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    map: &'a Map<String, Value>,
    name: String,
}

impl<'a> Part<'a> {
    pub(crate) fn of(value: &'a Value, name: &str) -> Check<Self> {
        match value.as_object() {
            Some(map) => Ok(Self { map, name: name.to_owned() }),
            None => Err(Invalid::new(100, format!("Param {name} must be a JSON object."))),
        }
    }

    /// The name of a key of this object.
    pub(crate) fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}['{key}']", self.name) }
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    pub(crate) fn value(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key)
    }

    pub(crate) fn only(&self, keys: &[&str]) -> Check {
        match self.map.keys().find(|key| !keys.contains(&key.as_str())) {
            Some(key) => {
                let on = if self.name.is_empty() { "the message" } else { &self.name };
                Err(Invalid::new(100, format!("Unexpected key \"{key}\" on param {on}.")))
            }
            None => Ok(()),
        }
    }

    pub(crate) fn required(&self, key: &str) -> Check<&'a Value> {
        self.map.get(key).ok_or_else(|| self.missing(key))
    }

    pub(crate) fn missing(&self, key: &str) -> Invalid {
        Invalid::new(131_008, format!("The parameter {} is required.", self.path(key)))
    }

    pub(crate) fn wrong(&self, key: &str, why: &str) -> Invalid {
        Invalid::new(131_009, format!("Param {} {why}", self.path(key)))
    }

    fn typed(&self, key: &str, what: &str) -> Invalid {
        Invalid::new(100, format!("Param {} must be {what}.", self.path(key)))
    }

    /// A required string of 1 to `max` characters.
    pub(crate) fn text(&self, key: &str, max: usize) -> Check<&'a str> {
        self.required(key)?;
        let text = self.maybe_text(key, max)?.unwrap_or_default();
        if text.trim().is_empty() {
            return Err(Invalid::new(100, format!("Param {} must not be empty.", self.path(key))));
        }
        Ok(text)
    }

    pub(crate) fn maybe_text(&self, key: &str, max: usize) -> Check<Option<&'a str>> {
        let Some(value) = self.map.get(key) else { return Ok(None) };
        let text = value.as_str().ok_or_else(|| self.typed(key, "a string"))?;
        if text.chars().count() > max {
            let path = self.path(key);
            return Err(Invalid::new(
                100,
                format!("Param {path} must be at most {max} characters long."),
            ));
        }
        Ok(Some(text))
    }

    pub(crate) fn one_of(&self, key: &str, allowed: &[&str]) -> Check<&'a str> {
        let text = self.required(key)?.as_str().ok_or_else(|| self.typed(key, "a string"))?;
        if allowed.contains(&text) {
            return Ok(text);
        }
        Err(self
            .wrong(key, &format!("must be one of {{{}}} - got \"{text}\".", allowed.join(", "))))
    }

    pub(crate) fn maybe_one_of(&self, key: &str, allowed: &[&str]) -> Check {
        if self.has(key) {
            self.one_of(key, allowed)?;
        }
        Ok(())
    }

    pub(crate) fn maybe_flag(&self, key: &str) -> Check {
        match self.map.get(key) {
            Some(value) if !value.is_boolean() => Err(self.typed(key, "true or false")),
            _ => Ok(()),
        }
    }

    pub(crate) fn number(&self, key: &str, low: f64, high: f64) -> Check {
        let number = self.required(key)?.as_f64().ok_or_else(|| self.typed(key, "a number"))?;
        if (low..=high).contains(&number) {
            return Ok(());
        }
        Err(self.wrong(key, &format!("must be between {low} and {high}.")))
    }

    pub(crate) fn link(&self, key: &str) -> Check {
        let link = self.text(key, 2000)?;
        if link.starts_with("https://") || link.starts_with("http://") {
            return Ok(());
        }
        Err(self.wrong(key, "is not a valid URI."))
    }

    pub(crate) fn part(&self, key: &str) -> Check<Self> {
        Part::of(self.required(key)?, &self.path(key))
    }

    pub(crate) fn maybe_part(&self, key: &str) -> Check<Option<Self>> {
        self.map.get(key).map(|value| Part::of(value, &self.path(key))).transpose()
    }

    pub(crate) fn list(&self, key: &str, least: usize, most: usize) -> Check<&'a [Value]> {
        let list = self.required(key)?.as_array().ok_or_else(|| self.typed(key, "a JSON array"))?;
        if (least..=most).contains(&list.len()) {
            return Ok(list);
        }
        let path = self.path(key);
        Err(Invalid::new(
            100,
            format!("Invalid {path} count. Min allowed {least}, max allowed {most}."),
        ))
    }

    /// The elements of a list, each an object.
    pub(crate) fn parts(&self, key: &str, least: usize, most: usize) -> Check<Vec<Self>> {
        let path = self.path(key);
        let list = self.list(key, least, most)?;
        list.iter().enumerate().map(|(i, value)| Part::of(value, &format!("{path}[{i}]"))).collect()
    }
}
