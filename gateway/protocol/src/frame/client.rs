//! What clients send, read strictly: what is not understood is refused with its name.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::command::Command;
use crate::malformed::{Fault, Malformed, clipped};
use crate::{DEPTH_MAX, FRAME_BYTES_MAX, flat, strict};

/// The largest command number: what JavaScript can still count.
pub const ID_MAX: u64 = (1 << 53) - 1;

/// One frame of a client.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientFrame {
    /// The first frame, and only the first.
    Hello(Hello),
    Command {
        id: u64,
        command: Command,
    },
}

/// `{"hello":{"token":"…","resume":{"epoch":"…","offset":123}}}`
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// Absent only if the upgrade carried `Authorization`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
}

/// A bearer token; never printed.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Token(String);

impl Token {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// How far the client has come.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    pub epoch: Epoch,
    /// The `at` of the last event (or snapshot) applied.
    pub offset: u64,
}

/// One life of a feed: offsets of different epochs have nothing to do with each other.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Epoch(Box<str>);

impl Epoch {
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<u64> for Epoch {
    fn from(number: u64) -> Self {
        Self(format!("{number:x}").into())
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ClientFrame {
    /// The frame's text, as clients write it.
    pub fn encode(&self) -> String {
        match self {
            Self::Hello(hello) => json!({ "hello": hello }).to_string(),
            Self::Command { id, command } => Self::encode_command(*id, command),
        }
    }

    /// `{"pick_up":{…}}`, which is how the enum is written, becomes `{"id":…,"do":"pick_up",…}`.
    pub(crate) fn encode_command(id: u64, command: &Command) -> String {
        let mut frame = Map::new();
        frame.insert("id".into(), id.into());
        frame.insert("do".into(), command.name().into());
        let written = serde_json::to_value(command).expect("commands hold nothing unwritable");
        if let Value::Object(mut written) = written
            && let Some(Value::Object(fields)) = written.remove(command.name())
        {
            frame.extend(fields);
        }
        Value::Object(frame).to_string()
    }
}

/// Reads one frame of a client.
///
/// # Errors
/// Says what is wrong, where, and what would be right; carries the command's number if that could
/// be read.
pub fn parse_client(text: &str) -> Result<ClientFrame, Malformed> {
    let unnumbered = |fault| Malformed { id: None, fault };
    if text.len() > FRAME_BYTES_MAX {
        return Err(unnumbered(Fault::TooLarge { bytes: text.len() }));
    }
    let value = strict::value(text, DEPTH_MAX)
        .map_err(|error| unnumbered(Fault::Json { why: clipped(&error.to_string()) }))?;
    let Value::Object(mut frame) = value else {
        return Err(unnumbered(Fault::NotAFrame { why: "this is no object" }));
    };
    if let Some(hello) = frame.remove("hello") {
        return parse_hello(hello, &frame).map(ClientFrame::Hello).map_err(unnumbered);
    }
    let id = take_id(&mut frame).map_err(unnumbered)?;
    parse_command(frame)
        .map(|command| ClientFrame::Command { id, command })
        .map_err(|fault| Malformed { id: Some(id), fault })
}

fn parse_hello(hello: Value, beside: &Map<String, Value>) -> Result<Hello, Fault> {
    if let Some(field) = beside.keys().next() {
        let known: &[&str] = &["hello"];
        return Err(Fault::Unknown { of: "frame".into(), field: clipped(field), known });
    }
    match hello {
        Value::Object(fields) => flat::fields("hello", fields),
        _ => Err(Fault::NotAFrame { why: "`hello` is no object" }),
    }
}

fn take_id(frame: &mut Map<String, Value>) -> Result<u64, Fault> {
    match frame.remove("id") {
        Some(id) => id.as_u64().filter(|id| *id <= ID_MAX).ok_or(Fault::Id),
        None => Err(Fault::NotAFrame { why: "there is neither `hello` nor `id`" }),
    }
}

fn parse_command(mut frame: Map<String, Value>) -> Result<Command, Fault> {
    match frame.remove("do") {
        Some(Value::String(name)) => flat::variant(&name, frame),
        Some(_) => Err(Fault::NotAFrame { why: "`do` is no text" }),
        None => Err(Fault::NotAFrame { why: "there is no `do`" }),
    }
}
