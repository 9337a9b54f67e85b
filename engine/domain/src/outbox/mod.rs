//! What waits to be sent by one channel: in order per visitor, paced, each message to one outcome.
//!
//! ```text
//!            ┌────────── put back: retry, pair rate, hold back, channel stopped ──────────┐
//!            ▼                                                                            │
//! Push ──► queued ──► sending ──┬── accepted                                              │
//!            │                  ├── refused ──┬── for good: given up                      │
//!            │                  │             └── for now ────────────────────────────────┤
//!            │                  ├── certainly never left ─────────────────────────────────┘
//!            │                  └── ambiguous ──► in doubt ──┬── receipt: accepted
//!            └── withdrawn                                   └── none in time: unknown
//! ```

mod command;
mod line;
mod machine;
mod outcome;
mod pace;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use command::{Command, Disposition, Effect, Item, Limits, Priority, Refusal, StopWhy};
pub use machine::Outbox;
