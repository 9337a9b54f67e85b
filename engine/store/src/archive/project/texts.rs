//! The words of messages, on their way into the full-text index.

use std::collections::BTreeMap;

use crate::db::{Db, Result};

/// What one transaction makes findable and what it takes back, row by row.
///
/// It waits for the end of the transaction: the index writes out what it has gathered whenever
/// another statement opens a savepoint, which would be once for every message.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    rows: BTreeMap<i64, Text>,
}

#[derive(Debug)]
struct Text {
    /// An earlier transaction may have put it into the index.
    was_there: bool,
    words: Option<String>,
}

impl Texts {
    /// The words of a message that is new.
    pub(super) fn add(&mut self, row: i64, words: Option<String>) {
        self.rows.insert(row, Text { was_there: false, words });
    }

    /// Other words, or none, in place of those that were there.
    pub(super) fn change(&mut self, row: i64, words: Option<String>) {
        self.rows.entry(row).or_insert(Text { was_there: true, words: None }).words = words;
    }

    pub(crate) fn write(self, tx: &Db) -> Result<()> {
        for (row, _) in self.rows.iter().filter(|(_, text)| text.was_there) {
            tx.forget_words(*row)?;
        }
        for (row, text) in &self.rows {
            if let Some(words) = &text.words {
                tx.put_words(*row, words)?;
            }
        }
        Ok(())
    }
}
