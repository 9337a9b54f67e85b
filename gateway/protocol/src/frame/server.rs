//! What the server sends. Written exactly, read leniently: later versions may say more.

use std::fmt::Write as _;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use usher_domain::ids::{SessionId, StaffId};
use usher_domain::presence::Presence;
use usher_domain::settings::Role;

use super::client::Epoch;
use crate::PART_BYTES_MAX;
use crate::close::Bye;
use crate::event::{Event, Head, Now};
use crate::refusal::Refusal;

/// One frame of the server. `Unknown` is of a later version, and to be ignored.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ServerFrame {
    Welcome { welcome: Welcome },
    Event(Numbered),
    Snapshot { snapshot: Part },
    Done { done: Done },
    Ok { re: u64, ok: Value },
    Error { re: u64, error: Refusal },
    Now(StateFrame),
    Bye { bye: Bye },
    Unknown(Value),
}

/// The answer to `hello`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Welcome {
    pub session: SessionId,
    pub epoch: Epoch,
    /// The `at` of the newest event there is.
    pub offset: u64,
    /// True: the missed events follow. False: a snapshot follows.
    pub recovered: bool,
    pub staff: Myself,
    /// Seconds between the server's pings.
    pub heartbeat: u32,
}

/// Whom the session belongs to.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Myself {
    pub id: StaffId,
    pub name: String,
    pub role: Role,
    pub presence: Presence,
    pub capacity: u16,
}

/// A numbered event.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Numbered {
    pub at: u64,
    pub event: String,
    pub data: Value,
}

impl Numbered {
    /// The event with its type; `None` for one this build does not know.
    pub fn typed(&self) -> Option<Event> {
        let tagged = serde_json::json!({ "event": self.event, "data": self.data });
        serde_json::from_value(tagged).ok()
    }
}

/// An unnumbered statement of how things are; the latest of its kind and subject holds.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct StateFrame {
    pub now: String,
    pub data: Value,
}

impl StateFrame {
    /// The statement with its type; `None` for one this build does not know.
    pub fn typed(&self) -> Option<Now> {
        let tagged = serde_json::json!({ "now": self.now, "data": self.data });
        serde_json::from_value(tagged).ok()
    }
}

/// A part of a snapshot; parts count from 1.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Part {
    pub part: u32,
    pub heads: Vec<Head>,
}

/// The end of a snapshot.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Done {
    /// The moment the snapshot shows; the next event is `at` + 1.
    pub at: u64,
    pub parts: u32,
}

impl ServerFrame {
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("server frames hold nothing unwritable")
    }
}

/// Puts an event's number in front of its tail (see [`Event::tail`]).
pub fn splice(at: u64, tail: &str) -> String {
    let mut frame = String::with_capacity(tail.len() + 28);
    frame.push_str("{\"at\":");
    write!(frame, "{at},").expect("a text takes what is written to it");
    frame.push_str(tail);
    frame
}

/// `{"re":7,"ok":{…}}`
///
/// # Errors
/// When `ok` cannot be written as JSON.
pub fn reply_ok<T: Serialize>(re: u64, ok: &T) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Ok<'a, T> {
        re: u64,
        ok: &'a T,
    }
    serde_json::to_string(&Ok { re, ok })
}

/// `{"re":7,"error":{…}}`
pub fn reply_error(re: u64, error: impl Into<Refusal>) -> String {
    ServerFrame::Error { re, error: error.into() }.encode()
}

/// The frames of a snapshot taken at `at`: parts of at most `part_bytes`, then the end. `heads` are
/// the [texts](Head::text) of heads; one larger than that stands alone.
pub fn snapshot(
    heads: impl IntoIterator<Item = Arc<str>>,
    at: u64,
    part_bytes: usize,
) -> Vec<Arc<str>> {
    const CLOSING: &str = "]}}";
    let part_bytes = part_bytes.min(PART_BYTES_MAX);
    let mut frames: Vec<Arc<str>> = Vec::new();
    let mut part = String::new();
    for head in heads {
        if !part.is_empty() && part.len() + 1 + head.len() + CLOSING.len() > part_bytes {
            part.push_str(CLOSING);
            frames.push(std::mem::take(&mut part).into());
        }
        if part.is_empty() {
            part = format!("{{\"snapshot\":{{\"part\":{},\"heads\":[", frames.len() + 1);
        } else {
            part.push(',');
        }
        part.push_str(&head);
    }
    if !part.is_empty() {
        part.push_str(CLOSING);
        frames.push(part.into());
    }
    let parts = u32::try_from(frames.len()).unwrap_or(u32::MAX);
    frames.push(ServerFrame::Done { done: Done { at, parts } }.encode().into());
    frames
}

/// A frame of the server that makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("a frame of the server makes no sense: {0}")]
pub struct Unreadable(#[from] serde_json::Error);

/// Reads one frame of the server; unknown fields and kinds of frame are no error.
///
/// # Errors
/// When it is not JSON, or lacks what its kind must have.
pub fn parse_server(text: &str) -> Result<ServerFrame, Unreadable> {
    Ok(read_server(serde_json::from_str(text)?)?)
}

fn read_server(mut frame: Map<String, Value>) -> serde_json::Result<ServerFrame> {
    use serde_json::from_value as read;
    if frame.contains_key("at") {
        return read(Value::Object(frame)).map(ServerFrame::Event);
    }
    if frame.contains_key("now") {
        return read(Value::Object(frame)).map(ServerFrame::Now);
    }
    if let Some(re) = frame.remove("re") {
        let re = read(re)?;
        return match frame.remove("error") {
            Some(error) => Ok(ServerFrame::Error { re, error: read(error)? }),
            None => Ok(ServerFrame::Ok { re, ok: frame.remove("ok").unwrap_or(Value::Null) }),
        };
    }
    if let Some(welcome) = frame.remove("welcome") {
        return Ok(ServerFrame::Welcome { welcome: read(welcome)? });
    }
    if let Some(snapshot) = frame.remove("snapshot") {
        return Ok(ServerFrame::Snapshot { snapshot: read(snapshot)? });
    }
    if let Some(done) = frame.remove("done") {
        return Ok(ServerFrame::Done { done: read(done)? });
    }
    match frame.remove("bye") {
        Some(bye) => Ok(ServerFrame::Bye { bye: read(bye)? }),
        None => Ok(ServerFrame::Unknown(Value::Object(frame))),
    }
}
