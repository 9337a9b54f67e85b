//! The whole archive as text, so that two of them can be compared.

use std::fmt::Write as _;

use super::ArchiveReader;
use crate::archive::file::tables;
use crate::db::Cell;
use crate::error::StoreError;

impl ArchiveReader {
    /// Every row of every table, in a canonical order; two archives of one journal are equal,
    /// whichever database keeps them. The words of the full-text index are not among it, nor is the
    /// last row looked at, which only a file has to know.
    pub fn dump(&self) -> Result<String, StoreError> {
        let mut text = String::new();
        for table in tables().filter(|table| *table != "through") {
            self.dump_table(table, &mut text)?;
        }
        Ok(text)
    }

    fn dump_table(&self, table: &str, text: &mut String) -> Result<(), StoreError> {
        let mut lines = Vec::new();
        self.each(&format!("SELECT * FROM {table}"), (), |row| {
            let mut line = table.to_owned();
            for column in 0..row.width() {
                line.push('|');
                line.push_str(&shown(row.cell(column)?));
            }
            lines.push(line);
            Ok(())
        })?;
        lines.sort_unstable();
        for line in lines {
            writeln!(text, "{line}").expect("a string takes whatever is written to it");
        }
        Ok(())
    }
}

fn shown(cell: Cell<'_>) -> String {
    match cell {
        Cell::Null => "-".to_owned(),
        Cell::Int(number) => number.to_string(),
        Cell::Text(text) => text.to_owned(),
        Cell::Blob(bytes) => hex::encode(bytes),
    }
}
