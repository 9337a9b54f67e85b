//! What a message may cost: the table, and how it is compared.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::measure::show::number;

/// Measured values by name.
pub(super) type Measured = BTreeMap<&'static str, f64>;

/// Allowed values by name.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(transparent)]
pub(super) struct Table(BTreeMap<String, Gate>);

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Gate {
    /// Per message.
    value: f64,
    /// By how much it may be exceeded, as a share.
    tolerance: f64,
}

impl Table {
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        toml::from_str(&text).with_context(|| path.display().to_string())
    }

    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let head = "# What one message may cost. Written by `usher-loadtest gates --write`, compared \
                    by `make gates`;\n# of the debug build, which is what CI has built anyway.\n\n";
        std::fs::write(path, format!("{head}{}", toml::to_string(self)?))?;
        Ok(())
    }

    pub(super) fn set(&mut self, measured: &Measured) {
        for (name, gate) in &mut self.0 {
            if let Some(value) = measured.get(name.as_str()) {
                gate.value = (value * 10.0).ceil() / 10.0;
            }
        }
    }

    /// The comparison as text, and whether all is within what is allowed.
    pub(super) fn judge(&self, measured: &Measured) -> (String, bool) {
        let (mut text, mut passed) = (String::new(), true);
        for (name, gate) in &self.0 {
            let most = gate.value * (1.0 + gate.tolerance);
            let found = measured.get(name.as_str()).copied();
            let fits = found.is_some_and(|found| found <= most);
            passed &= fits;
            let verdict = match found {
                None => "not measured".to_owned(),
                Some(found) if !fits => format!("{}: TOO MUCH", number(found)),
                Some(found) if found < gate.value * (1.0 - gate.tolerance) => {
                    format!("{}: less; lower the table with --write", number(found))
                }
                Some(found) => number(found),
            };
            // Writing into a text cannot fail.
            writeln!(text, "{name:<28} at most {:>8}   {verdict}", number(most)).ok();
        }
        (text, passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(value: f64) -> Table {
        Table(BTreeMap::from([("syncs".to_owned(), Gate { value, tolerance: 0.1 })]))
    }

    #[test]
    fn more_than_allowed_fails_and_so_does_what_was_not_measured() {
        let passes = |found: Measured| table(10.0).judge(&found).1;
        assert!(passes(Measured::from([("syncs", 11.0)])));
        assert!(!passes(Measured::from([("syncs", 11.1)])));
        assert!(passes(Measured::from([("syncs", 1.0)])));
        assert!(!passes(Measured::new()));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gates.toml");
        let mut written = table(10.0);
        written.set(&Measured::from([("syncs", 2.34), ("unknown", 1.0)]));
        written.write(&path).unwrap();
        let read = Table::read(&path).unwrap();
        assert!((read.0["syncs"].value - 2.4).abs() < 1e-9 && read.0.len() == 1);
    }
}
