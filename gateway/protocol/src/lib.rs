//! The agent socket `usher.v1`: what its frames look like, and what both of its ends do with them.
//!
//! Pure: text in, values out, and the other way round. Sockets, clocks and storage are elsewhere.
//! The prose for writers of clients is `docs/agent-protocol.md`; a test reads its examples.

pub mod close;
pub mod command;
pub mod event;
pub mod feed;
mod flat;
pub mod frame;
mod malformed;
pub mod refusal;
mod strict;
mod time;

pub use malformed::{Fault, Malformed};
pub use time::Time;

/// The sub-protocol a client offers on the upgrade.
pub const SUB_PROTOCOL: &str = "usher.v1";
/// Most bytes of one frame, either way.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;
/// Most bytes of one part of a snapshot.
pub const PART_BYTES_MAX: usize = 48 * 1024;
/// Most bytes of feed handed to a connection at a time.
pub const BATCH_BYTES_MAX: usize = 16 * 1024;
/// How deep a client's frame may be nested; the deepest there is has 4 levels.
pub const DEPTH_MAX: usize = 8;
/// Seconds between pings, as told in the welcome.
pub const HEARTBEAT_SECONDS: u32 = 25;
/// Seconds a client has for its first frame.
pub const HELLO_SECONDS: u32 = 10;
