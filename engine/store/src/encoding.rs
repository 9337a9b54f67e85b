//! Records as journal bodies: readable JSON, brought up to the newest version when read.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use usher_domain::record::{After, Event, Record};
use usher_domain::time::Timestamp;

/// Why a journal body is not a record.
#[derive(Debug, Error)]
pub enum BadRecord {
    #[error("version {found} is newer than {newest}, the newest this program knows")]
    Newer { found: u16, newest: u16 },
    #[error("version {found} was never written")]
    NeverWritten { found: u16 },
    #[error("not a record of its version")]
    Json(#[from] serde_json::Error),
}

#[derive(Deserialize)]
struct Head {
    v: u16,
}

/// Version 1. The event stands apart, because events have fields of the same names as records
/// (a floor event's `at` is a place).
#[derive(Serialize)]
struct Written<'a> {
    v: u16,
    at: Timestamp,
    what: &'a Event,
    #[serde(skip_serializing_if = "<[After]>::is_empty")]
    after: &'a [After],
}

#[derive(Deserialize)]
struct Read {
    v: u16,
    at: Timestamp,
    what: Event,
    #[serde(default)]
    after: Vec<After>,
}

/// Most bodies fit, so that writing one seldom moves it.
const BODY_BYTES: usize = 960;

/// The body under which a record is journaled.
pub fn encode(record: &Record) -> String {
    let Record { v, at, event, after } = record;
    let written = Written { v: *v, at: *at, what: event, after };
    let mut body = Vec::with_capacity(BODY_BYTES);
    serde_json::to_writer(&mut body, &written).expect("records hold nothing that JSON cannot say");
    String::from_utf8(body).expect("JSON is UTF-8")
}

/// Reads a body of any version ever written.
pub fn decode(body: &str) -> Result<Record, BadRecord> {
    match serde_json::from_str(body) {
        Ok(Read { v: Record::VERSION, at, what, after }) => {
            Ok(Record { v: Record::VERSION, at, event: what, after })
        }
        Ok(_) => upcast(body, None),
        Err(error) => upcast(body, Some(error)),
    }
}

/// Bodies that are not of the newest version: told apart by their number, then brought up.
fn upcast(body: &str, error: Option<serde_json::Error>) -> Result<Record, BadRecord> {
    let Head { v: found } = serde_json::from_str(body)?;
    match found {
        // Version 1 is the newest: what is wrong with it is wrong with the record itself.
        Record::VERSION => Err(error.map_or(BadRecord::NeverWritten { found }, BadRecord::Json)),
        0 => Err(BadRecord::NeverWritten { found }),
        _ => Err(BadRecord::Newer { found, newest: Record::VERSION }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_another_version_is_not_mistaken_for_one_of_ours() {
        let body = r#"{"v":7,"at":1,"what":{"event":"clock_set","enquiry":"enq_00000000000000000000000000000001"}}"#;
        assert!(matches!(decode(body), Err(BadRecord::Newer { found: 7, newest: 1 })));
        assert!(matches!(
            decode(&body.replace(":7", ":0")),
            Err(BadRecord::NeverWritten { found: 0 })
        ));
        assert!(matches!(
            decode(r#"{"v":1,"at":1,"what":{"event":"no such"}}"#),
            Err(BadRecord::Json(_))
        ));
        assert!(matches!(decode("{"), Err(BadRecord::Json(_))));
        assert_eq!(encode(&decode(&body.replace(":7", ":1")).unwrap()), body.replace(":7", ":1"));
    }
}
