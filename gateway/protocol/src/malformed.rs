//! Why a client's frame was not understood: what is wrong, where, and what would be right.

use thiserror::Error;

use crate::close::Close;
use crate::frame::ServerFrame;
use crate::refusal::{Code, Refusal};
use crate::{DEPTH_MAX, FRAME_BYTES_MAX};

/// A frame that was not understood.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{fault}")]
pub struct Malformed {
    /// The command's number, where that much could be read: then it is answered, and the
    /// connection goes on.
    pub id: Option<u64>,
    pub fault: Fault,
}

impl Malformed {
    /// The answer to the command; `None`: the connection is to be [closed](Self::close).
    pub fn answer(&self) -> Option<ServerFrame> {
        let refusal = Refusal::saying(Code::Malformed, self.fault.to_string());
        self.id.map(|re| ServerFrame::Error { re, error: refusal })
    }

    /// With what the connection is closed when there is nothing to answer to.
    pub const fn close(&self) -> Close {
        match self.fault {
            Fault::TooLarge { .. } => Close::TooLarge,
            Fault::Json { .. }
            | Fault::NotAFrame { .. }
            | Fault::Id
            | Fault::UnknownCommand { .. }
            | Fault::Missing { .. }
            | Fault::Unknown { .. }
            | Fault::Bad { .. } => Close::Malformed,
        }
    }
}

/// What is wrong with a frame. Texts are for the writer of the client.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Fault {
    #[error("the frame has {bytes} bytes; at most {FRAME_BYTES_MAX} are taken")]
    TooLarge { bytes: usize },
    #[error("not one JSON value, nested at most {DEPTH_MAX} deep, no field twice: {why}")]
    Json { why: String },
    #[error("a frame is {{\"hello\":{{…}}}} or {{\"id\":7,\"do\":\"…\",…}}; {why}")]
    NotAFrame { why: &'static str },
    #[error("`id` is a whole number from 0 to 9007199254740991")]
    Id,
    #[error("there is no command `{name}`; there are {}", listed(known))]
    UnknownCommand { name: String, known: &'static [&'static str] },
    #[error("`{of}` needs the field `{field}`")]
    Missing { of: String, field: &'static str },
    #[error("`{of}` has no field `{field}`; {}", takes(known))]
    Unknown { of: String, field: String, known: &'static [&'static str] },
    #[error("`{of}`, field `{field}`: {why}")]
    Bad { of: String, field: String, why: String },
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn takes(names: &[&str]) -> String {
    if names.is_empty() { "it takes none".into() } else { format!("it takes {}", listed(names)) }
}

/// What a client wrote, short enough to be said back to it.
pub(crate) fn clipped(text: &str) -> String {
    const CHARS_MAX: usize = 120;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned() + "…",
        None => text.to_owned(),
    }
}
