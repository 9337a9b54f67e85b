//! The whole archive as text, so that two of them can be compared.

use std::fmt::Write as _;

use rusqlite::types::ValueRef;

use super::ArchiveReader;
use crate::error::StoreError;

/// Tables whose content depends on how batches fell, not on what is known.
const INNER: &str = "messages_text%";

impl ArchiveReader {
    /// Every row of every table, in a canonical order; two archives of one journal are equal.
    pub fn dump(&self) -> Result<String, StoreError> {
        let tables: Vec<String> = self.all(
            "SELECT name FROM sqlite_schema
             WHERE type = 'table' AND name NOT LIKE ?1 AND name NOT LIKE 'sqlite_%' ORDER BY name",
            [INNER],
            |row| row.get(0),
        )?;
        let mut text = String::new();
        for table in tables {
            self.dump_table(&table, &mut text)?;
        }
        Ok(text)
    }

    fn dump_table(&self, table: &str, text: &mut String) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare(&format!("SELECT * FROM {table}"))?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        let mut lines = Vec::new();
        while let Some(row) = rows.next()? {
            let mut line = table.to_owned();
            for column in 0..columns {
                line.push('|');
                line.push_str(&shown(row.get_ref(column)?));
            }
            lines.push(line);
        }
        lines.sort_unstable();
        for line in lines {
            writeln!(text, "{line}").expect("a string takes whatever is written to it");
        }
        Ok(())
    }
}

fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "-".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => hex::encode(bytes),
    }
}
