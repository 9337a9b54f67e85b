//! The rules: everything Usher decides, as plain state machines and pure functions.
//!
//! Nothing in this crate can do I/O: no clock, no random numbers, no sockets, no storage. `now`, ids
//! and seeds are arguments; what has to be done comes back as effects.

pub mod access;
pub mod attendance;
pub mod bot;
pub mod enquiry;
pub mod floor;
pub mod ids;
pub mod message;
pub mod numbers;
pub mod outbox;
pub mod ownership;
pub mod presence;
pub mod record;
pub mod rule;
pub mod settings;
pub mod template;
pub mod time;
pub mod trace;
pub mod unmatched;
pub mod visitor;
pub mod wall;
