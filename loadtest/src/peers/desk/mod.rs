//! What an agent's screen is told and can say, whatever the service's own protocol.

mod simple;
mod usher;

pub(super) use simple::SimpleDesk;
pub(super) use usher::UsherDesk;

/// One thing told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Told {
    /// Greeted. `held`: these enquiries and no others; `None`: what was known still holds.
    Ready {
        held: Option<Vec<String>>,
    },
    /// An enquiry is this agent's now.
    Assigned {
        enquiry: String,
    },
    /// `pushed`: as it happened; otherwise read up in the room.
    Message {
        enquiry: String,
        text: String,
        pushed: bool,
    },
    Closed {
        enquiry: String,
    },
}

/// One agent's half of a protocol, across connections. Pure: text in, what it means out.
pub(super) trait Desk: Send + Sync {
    /// Begins on a new connection: what to write first.
    fn hello(&mut self) -> String;

    /// Reads a frame; `false`: it makes no sense here, come back on another connection.
    fn hear(&mut self, frame: &str, told: &mut Vec<Told>, write: &mut Vec<String>) -> bool;

    /// The connection is gone.
    fn gone(&mut self, code: Option<u16>, reason: &str);

    /// The frame that closes an enquiry; `None`: not now.
    fn close(&mut self, enquiry: &str) -> Option<String>;
}
