//! Reading one table: every key asked for is known, whatever else stands there is refused.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use secrecy::SecretString;

use crate::fault::{Notes, Origin};
use crate::nearest::suggestion;
use crate::node::{Node, Value};
use crate::value;

/// Longest secret file that is read, bytes.
const SECRET_FILE_MAX: u64 = 64 * 1024;

/// What is at hand while reading.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    pub(crate) notes: &'a Notes,
    environment: &'a BTreeMap<String, String>,
    /// Names of the variables that files of settings take secrets from.
    pub(crate) used: RefCell<BTreeSet<String>>,
}

impl<'a> Reading<'a> {
    pub(crate) fn new(notes: &'a Notes, environment: &'a BTreeMap<String, String>) -> Self {
        Self { notes, environment, used: RefCell::default() }
    }

    fn variable(&self, node: &Node) -> Result<SecretString, String> {
        let name = value::text(node)?;
        self.used.borrow_mut().insert(name.clone());
        match self.environment.get(&name).map(|secret| secret.trim()) {
            None => Err(format!("the environment variable {name} is not set")),
            Some("") => Err(format!("the environment variable {name} is empty")),
            Some(secret) => Ok(SecretString::from(secret)),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Table<'a> {
    pub(crate) path: String,
    entries: &'a [(String, Node)],
    origin: Option<&'a Origin>,
    known: Vec<&'static str>,
    pub(crate) reading: &'a Reading<'a>,
}

impl<'a> Table<'a> {
    /// Reports and stands in an empty table where `node` is none.
    pub(crate) fn of(node: &'a Node, path: String, reading: &'a Reading<'a>) -> Self {
        let entries = node.entries().unwrap_or_else(|| {
            let what = format!("must be a table, not {}", node.kind());
            reading.notes.fault(path.clone(), what, Some(&node.origin));
            &[]
        });
        Self { path, entries, origin: Some(&node.origin), known: Vec::new(), reading }
    }

    pub(crate) fn path_of(&self, key: &str) -> String {
        match (self.path.as_str(), key) {
            ("", key) => key.to_owned(),
            (path, "") => path.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }

    /// Notes the key as known; the value where it is set.
    pub(crate) fn node(&mut self, key: &'static str) -> Option<&'a Node> {
        self.known.push(key);
        #[cfg(test)]
        self.reading.notes.known.borrow_mut().insert(key);
        self.peek(key)
    }

    fn peek(&self, key: &str) -> Option<&'a Node> {
        self.entries.iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.peek(key).is_some()
    }

    /// `None` where it is absent, or faulty and reported.
    pub(crate) fn read<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&Node) -> Result<T, String>,
    ) -> Option<T> {
        let node = self.node(key)?;
        match parse(node) {
            Ok(value) => Some(value),
            Err(what) => {
                self.reading.notes.fault(self.path_of(key), what, Some(&node.origin));
                None
            }
        }
    }

    pub(crate) fn or<T>(
        &mut self,
        key: &'static str,
        default: T,
        parse: impl FnOnce(&Node) -> Result<T, String>,
    ) -> T {
        self.read(key, parse).unwrap_or(default)
    }

    /// As `read`, but absence is a fault too.
    pub(crate) fn must<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&Node) -> Result<T, String>,
    ) -> Option<T> {
        if !self.has(key) {
            self.fault(key, "is missing");
        }
        self.read(key, parse)
    }

    /// The table under `key`; an empty one where it is absent.
    pub(crate) fn section(&mut self, key: &'static str) -> Self {
        let path = self.path_of(key);
        match self.node(key) {
            Some(node) => Table::of(node, path, self.reading),
            None => Self {
                path,
                entries: &[],
                origin: self.origin,
                known: Vec::new(),
                reading: self.reading,
            },
        }
    }

    /// A table whose keys are names that the writer chose.
    pub(crate) fn named(&mut self, key: &'static str) -> Vec<(&'a str, Self)> {
        let mut found = Vec::new();
        for (name, node) in self.section(key).entries {
            let path = format!("{}.{name}", self.path_of(key));
            if let Err(what) = value::key(name) {
                self.reading.notes.fault(path.clone(), what, Some(&node.origin));
            }
            found.push((name.as_str(), Table::of(node, path, self.reading)));
        }
        found
    }

    /// A list of tables; `None` where it is absent.
    pub(crate) fn tables(&mut self, key: &'static str) -> Option<Vec<Self>> {
        let node = self.node(key)?;
        let path = self.path_of(key);
        let Value::List(items) = &node.value else {
            let what = format!("must be a list of tables, not {}", node.kind());
            self.reading.notes.fault(path, what, Some(&node.origin));
            return None;
        };
        let tables = items.iter().enumerate();
        Some(
            tables.map(|(n, item)| Table::of(item, format!("{path}[{n}]"), self.reading)).collect(),
        )
    }

    /// A secret that a file of settings names by `{key}_env` or `{key}_file`.
    pub(crate) fn secret(
        &mut self,
        env_key: &'static str,
        file_key: &'static str,
    ) -> Option<SecretString> {
        if self.has(env_key) && self.has(file_key) {
            self.fault(file_key, format!("cannot be set together with `{env_key}`"));
        }
        let reading = self.reading;
        let by_name = self.read(env_key, |node| reading.variable(node));
        if self.has(env_key) {
            self.node(file_key);
            return by_name;
        }
        self.secret_file(file_key)
    }

    /// A secret in a file; an empty name means none.
    pub(crate) fn secret_file(&mut self, key: &'static str) -> Option<SecretString> {
        let notes = self.reading.notes;
        let path = self.path_of(key);
        self.read(key, |node| {
            let Some(file) = value::path_unless_empty(node)? else { return Ok(None) };
            warn_if_shared(&file, &path, notes, &node.origin);
            from_file(&file).map(Some)
        })
        .flatten()
    }

    /// At the key, or at the table itself where `key` is empty.
    pub(crate) fn fault(&self, key: &str, what: impl Into<String>) {
        let at = self.peek(key).map(|node| &node.origin).or(self.origin);
        self.reading.notes.fault(self.path_of(key), what, at);
    }

    /// As `fault`, for what is allowed but probably not meant.
    pub(crate) fn warn(&self, key: &str, what: impl Into<String>) {
        let at = self.peek(key).map(|node| &node.origin).or(self.origin);
        self.reading.notes.warn(self.path_of(key), what, at);
    }

    /// Refuses what nobody asked for.
    pub(crate) fn done(self) {
        for (key, node) in self.entries {
            if !self.known.iter().any(|known| known == key) {
                let what = format!("unknown key; {}", suggestion(key, self.known.iter().copied()));
                self.reading.notes.fault(self.path_of(key), what, Some(&node.origin));
            }
        }
    }
}

fn from_file(file: &Path) -> Result<SecretString, String> {
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", file.display());
    if fs::metadata(file).map_err(failed)?.len() > SECRET_FILE_MAX {
        return Err(format!("{} is longer than a secret can be", file.display()));
    }
    let text = fs::read_to_string(file).map_err(failed)?;
    match text.trim() {
        "" => Err(format!("{} is empty", file.display())),
        secret => Ok(SecretString::from(secret)),
    }
}

#[cfg(unix)]
fn warn_if_shared(file: &Path, path: &str, notes: &Notes, origin: &Origin) {
    use std::os::unix::fs::PermissionsExt as _;
    if fs::metadata(file).is_ok_and(|file| file.permissions().mode() & 0o077 != 0) {
        let what = format!("{} can be read by others; use mode 0600", file.display());
        notes.warn(path, what, Some(origin));
    }
}

#[cfg(not(unix))]
fn warn_if_shared(_: &Path, _: &str, _: &Notes, _: &Origin) {}
