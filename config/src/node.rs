//! Settings as written: a tree of values, each knowing where it came from.

use std::path::Path;
use std::sync::Arc;

use secrecy::SecretString;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::fault::{Notes, Origin};

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    Whole(i64),
    Switch(bool),
    List(Vec<Node>),
    /// In the order written.
    Table(Vec<(String, Node)>),
    /// Given by the environment; files only name where a secret is.
    Secret(SecretString),
    /// A kind that no setting has.
    Other(&'static str),
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

impl Node {
    pub(crate) fn entries(&self) -> Option<&[(String, Self)]> {
        match &self.value {
            Value::Table(entries) => Some(entries),
            Value::Text(_)
            | Value::Whole(_)
            | Value::Switch(_)
            | Value::List(_)
            | Value::Secret(_)
            | Value::Other(_) => None,
        }
    }

    /// What kind of value this is, for people.
    pub(crate) const fn kind(&self) -> &'static str {
        match self.value {
            Value::Text(_) => "a text",
            Value::Whole(_) => "a whole number",
            Value::Switch(_) => "true or false",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Secret(_) => "a secret",
            Value::Other(kind) => kind,
        }
    }

    /// Lays `upper` over this one: tables merge key by key, anything else is replaced.
    pub(crate) fn overlay(&mut self, upper: Self) {
        match (&mut self.value, upper.value) {
            (Value::Table(lower), Value::Table(upper)) => {
                for (key, node) in upper {
                    match lower.iter_mut().find(|(known, _)| *known == key) {
                        Some((_, below)) => below.overlay(node),
                        None => lower.push((key, node)),
                    }
                }
            }
            (_, value) => {
                self.value = value;
                self.origin = upper.origin;
            }
        }
    }

    /// Puts a value at a dotted path of tables.
    pub(crate) fn put(&mut self, path: &str, node: Self) {
        let origin = node.origin.clone();
        let upper = path.rsplit('.').fold(node, |inner, key| Self {
            value: Value::Table(vec![(key.to_owned(), inner)]),
            origin: origin.clone(),
        });
        self.overlay(upper);
    }

    /// Everything but tables, with dotted paths.
    pub(crate) fn leaves(&self) -> Vec<(String, &Self)> {
        let mut found = Vec::new();
        self.collect("", &mut found);
        found
    }

    fn collect<'a>(&'a self, path: &str, found: &mut Vec<(String, &'a Self)>) {
        let Some(entries) = self.entries() else {
            found.push((path.to_owned(), self));
            return;
        };
        for (key, node) in entries {
            let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            node.collect(&below, found);
        }
    }
}

/// Where the text of a tree came from.
pub(crate) enum Source<'a> {
    Default,
    File(&'a Path),
}

/// Parses TOML; what cannot be parsed is reported and left out.
pub(crate) fn parse(text: &str, source: &Source<'_>, notes: &Notes) -> Node {
    let places = Places::new(text, source);
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let at = error.span().map(|span| places.origin(span.start));
        notes.fault("", format!("not TOML: {}", error.message()), at.as_ref());
    }
    let origin = places.origin(0);
    Node { value: Value::Table(table(document.get_ref(), &places)), origin }
}

fn table(table: &DeTable<'_>, places: &Places<'_>) -> Vec<(String, Node)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
        .into_iter()
        .map(|(key, value)| {
            let origin = places.origin(key.span().start);
            (key.get_ref().clone().into_owned(), Node { value: convert(value, places), origin })
        })
        .collect()
}

fn convert(value: &Spanned<DeValue<'_>>, places: &Places<'_>) -> Value {
    match value.get_ref() {
        DeValue::String(text) => Value::Text(text.clone().into_owned()),
        DeValue::Integer(whole) => i64::from_str_radix(whole.as_str(), whole.radix())
            .map_or(Value::Other("a number out of range"), Value::Whole),
        DeValue::Float(_) => Value::Other("a number with a fraction"),
        DeValue::Boolean(on) => Value::Switch(*on),
        DeValue::Datetime(when) => Value::Text(when.to_string()),
        DeValue::Array(items) => Value::List(
            items
                .iter()
                .map(|item| Node {
                    value: convert(item, places),
                    origin: places.origin(item.span().start),
                })
                .collect(),
        ),
        DeValue::Table(inner) => Value::Table(table(inner, places)),
    }
}

/// Turns byte offsets into lines and columns.
struct Places<'a> {
    text: &'a str,
    /// The offset at which each line begins.
    lines: Vec<usize>,
    file: Option<Arc<Path>>,
}

impl<'a> Places<'a> {
    fn new(text: &'a str, source: &Source<'_>) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect();
        let file = match source {
            Source::Default => None,
            Source::File(file) => Some(Arc::from(*file)),
        };
        Self { text, lines, file }
    }

    fn origin(&self, offset: usize) -> Origin {
        let Some(file) = &self.file else { return Origin::Default };
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..offset).unwrap_or("");
        Origin::File { file: Arc::clone(file), line, column: before.chars().count() + 1 }
    }
}
