//! Numbered steps from an empty database to what this program needs, each taken once.

use crate::error::StoreError;

use super::{Connection, WhyNot};

/// A step is never changed once it was released; what comes later is a step of its own.
const STEPS: &[&str] = &[
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
    include_str!("migrations/0004.sql"),
];

/// Brings the database to the newest step; refuses one that a newer program has been at.
///
/// One program at a time does that, and the others wait for it.
pub(crate) fn migrate(connection: &Connection) -> Result<(), StoreError> {
    connection.batch(BEGIN)?;
    let moved = steps(connection);
    // The lock ends with the connection, should this fail.
    connection.batch("SELECT pg_advisory_unlock(7595454851926617)").map_err(StoreError::from)?;
    moved
}

/// A number nobody else locks by.
const BEGIN: &str = "
SELECT pg_advisory_lock(7595454851926617);
CREATE SCHEMA IF NOT EXISTS usher;
CREATE TABLE IF NOT EXISTS usher.migrations (
  number bigint PRIMARY KEY, at timestamptz NOT NULL DEFAULT now());
";

fn steps(connection: &Connection) -> Result<(), StoreError> {
    let encoding =
        connection.one("SELECT current_setting('server_encoding') AS encoding", (), |row| {
            row.get::<_, String>("encoding")
        })?;
    if encoding.as_deref() != Some("UTF8") {
        return Err(StoreError::Url(WhyNot::Encoding));
    }
    let done = connection
        .one("SELECT coalesce(max(number), 0) AS number FROM usher.migrations", (), |row| {
            row.number("number")
        })?
        .unwrap_or_default();
    let newest = STEPS.len() as u64;
    if done > newest {
        return Err(StoreError::Newer { found: done, newest });
    }
    for (number, step) in (1..).zip(STEPS) {
        if number > done {
            let step = format!(
                "BEGIN; {step} INSERT INTO usher.migrations (number) VALUES ({number}); COMMIT;"
            );
            if let Err(error) = connection.batch(&step) {
                // Whatever was begun is taken back.
                connection.batch("ROLLBACK").ok();
                return Err(error.into());
            }
            tracing::info!(number, "the database was brought to this step");
        }
    }
    Ok(())
}
