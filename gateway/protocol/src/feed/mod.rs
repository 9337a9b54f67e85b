//! The feed: both ends of the numbered stream, as plain machines.
//!
//! ```text
//!   Staff actor                     one connection                      client
//!   FeedServer (ring, epoch) ──▶ Outlet (cursor, state frames) ══▶ FeedClient (epoch, offset)
//! ```
//! A client is either given every event after its offset, or a snapshot: never part of either.

mod client;
mod keys;
mod outlet;
mod patience;
mod server;

pub use client::{FeedClient, Incoming, Next, Offline, Submitted, Unanswered};
pub use keys::Keys;
pub use outlet::{Outlet, Overrun, Pulled};
pub use patience::Patience;
pub use server::{Batch, Cursor, FeedServer, Limits, Pull, Recovery};
