//! The life of one enquiry besides its place on the floor: window, idle clock, auto-messages.
//!
//! ```text
//!            restart = counted message, entering Handling, end of a transfer, switched on
//!               ┌───────────────────────────────────────────────┐
//! Stopped ──► Running ── idle ──► Notifying ── accepted ──► Grace ── grace ──► closed
//!    ▲           │                    │                       ▲
//!    │           │                    └── cannot be sent ─────┘ (unsent: closes silently)
//!    └─ leaves Handling, transfer on offer
//! ```

pub mod auto_message;
mod command;
mod hold;
mod kept;
mod machine;
pub mod receipts;
pub mod window;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use command::{Command, Effect, Refusal, RemindWhy, Terms, Unsent};
pub use kept::{EnquiryKept, IdleClock, Notice, Serving, WindowTold};
pub use machine::{Enquiry, NOTIFICATION_PATIENCE};
