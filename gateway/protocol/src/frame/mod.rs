//! The frames themselves: which text is which frame.

mod client;
mod server;

pub use client::{ClientFrame, Epoch, Hello, ID_MAX, Resume, Token, parse_client};
pub use server::{
    Done, Myself, Numbered, Part, ServerFrame, StateFrame, Unreadable, Welcome, parse_server,
    reply_error, reply_ok, snapshot, splice,
};
