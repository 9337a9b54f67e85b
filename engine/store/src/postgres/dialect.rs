//! The few things that PostgreSQL says in another way than SQLite.

use std::borrow::Cow;

/// A statement as PostgreSQL has it: its parameters, and none of the hints for SQLite's planner.
pub(super) fn translated(sql: &str) -> String {
    sql.replace('?', "$").replace(" INDEXED BY messages_loose", "").replace("+service", "service")
}

/// The archive's tables, from those of SQLite.
pub(crate) fn archive_schema(sqlite: &str) -> String {
    let words = |line: &&str| !line.starts_with("CREATE VIRTUAL") && !line.contains("contentless");
    let tables: Vec<&str> = sqlite.lines().filter(words).collect();
    let tables = tables
        .join("\n")
        .replace(" WITHOUT ROWID", "")
        .replace("\n) WITHOUT ROWID", ")")
        .replace("BLOB", "bytea")
        .replace("INTEGER", "bigint")
        .replace("TEXT", "text COLLATE \"C\"");
    format!("{tables}\n{WORDS}")
}

const WORDS: &str = "
CREATE TABLE messages_text (rowid bigint PRIMARY KEY, words tsvector NOT NULL);
CREATE INDEX messages_words ON messages_text USING gin (words);
";

/// No word is longer, so that PostgreSQL takes it however it is composed.
const WORD_CHARS: usize = 200;

/// The words of a text as they go into the index: those of letters and digits alone, in small
/// letters. Their accents go in the database, which knows them.
pub(crate) fn folded_words(text: &str) -> String {
    words(text).collect::<Vec<_>>().join(" ")
}

/// What finds all words of a text, each of which may be unfinished; empty where there is none.
pub(crate) fn wanted_words(text: &str) -> String {
    words(text).map(|word| format!("'{word}':*")).collect::<Vec<_>>().join(" & ")
}

fn words(text: &str) -> impl Iterator<Item = String> {
    let composed = |c: char| !is_mark(c);
    let text: Cow<'_, str> = if text.chars().all(composed) {
        text.into()
    } else {
        text.chars().filter(|c| !is_mark(*c)).collect::<String>().into()
    };
    let small = text.to_lowercase();
    let found: Vec<String> = small
        .split(|c: char| !c.is_alphanumeric() && !is_mark(c))
        .map(|word| word.chars().filter(|c| !is_mark(*c)).take(WORD_CHARS).collect())
        .filter(|word: &String| !word.is_empty())
        .collect();
    found.into_iter()
}

/// Marks that combine with the letter before them.
const fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_letters_and_digits() {
        assert_eq!(folded_words("Where's  the UMBRELLA-7?"), "where s the umbrella 7");
        assert_eq!(folded_words("E\u{301}te\u{301} …"), "ete");
        assert_eq!(wanted_words("a' | b"), "'a':* & 'b':*");
        assert_eq!(wanted_words(" ' "), "");
        assert_eq!(folded_words(&"x".repeat(500)).len(), WORD_CHARS);
    }

    #[test]
    fn the_schema_says_nothing_that_only_sqlite_understands() {
        let schema = archive_schema(
            "CREATE TABLE a (\n  b BLOB PRIMARY KEY, c TEXT\n) WITHOUT ROWID;\nCREATE VIRTUAL TABLE t USING fts5 (\n  text, contentless_delete = 1);\nCREATE TABLE d (e INTEGER) WITHOUT ROWID;",
        );
        for foreign in ["BLOB", "ROWID", "INTEGER", "fts5", "contentless"] {
            assert!(!schema.contains(foreign), "{foreign} in {schema}");
        }
    }
}
