//! The words of messages: how they are kept so that they are found again.

use super::{Db, Result};
use crate::postgres;

impl Db {
    /// Makes a message findable by its words.
    pub(crate) fn put_words(&self, row: i64, words: &str) -> Result<()> {
        match self {
            Self::Sqlite(_) => {
                self.run("INSERT INTO messages_text (rowid, text) VALUES (?1, ?2)", (row, words))
            }
            Self::Postgres(_) | Self::Pooled(_) if words.is_ascii() => self.run(
                "INSERT INTO messages_text (rowid, words)
                 VALUES (?1, array_to_tsvector(string_to_array(?2, ' ')))",
                (row, postgres::folded_words(words)),
            ),
            Self::Postgres(_) | Self::Pooled(_) => self.run(
                "INSERT INTO messages_text (rowid, words)
                 VALUES (?1, array_to_tsvector(string_to_array(folded(?2), ' ')))",
                (row, postgres::folded_words(words)),
            ),
        }
    }

    /// Nothing that the message said finds it any more.
    pub(crate) fn forget_words(&self, row: i64) -> Result<()> {
        self.run("DELETE FROM messages_text WHERE rowid = ?1", [row])
    }

    /// The condition under which a message is found, and what is bound to its `?2`; `None` where
    /// nothing is asked for.
    pub(crate) fn wanted_words(&self, text: &str) -> Option<(&'static str, String)> {
        match self {
            Self::Sqlite(_) => {
                let words = of(text).map(|word| format!("\"{word}\"*")).collect::<Vec<_>>();
                let wanted = words.join(" ");
                (!wanted.is_empty()).then_some(("messages_text MATCH ?2", wanted))
            }
            Self::Postgres(_) | Self::Pooled(_) => {
                let wanted = postgres::wanted_words(text);
                (!wanted.is_empty()).then_some(("words @@ CAST(folded(?2) AS tsquery)", wanted))
            }
        }
    }
}

/// Every word, the last of them perhaps unfinished; of letters and digits alone, so that nothing
/// in it is an operator.
fn of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}
