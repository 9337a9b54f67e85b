//! The shell around the rules: actors, timers, the way to the journal, recovery.
//!
//! One service's actors live on one thread and hear of everything in one order. Each is thin: it
//! translates, asks its machine in [`usher_domain`], and performs what comes back. What leaves the
//! process leaves by the ledger, after what it rests on is durable.

mod channel;
mod clip;
mod clock;
mod directory;
mod doors;
mod engage;
mod enquiry;
#[cfg(test)]
mod faults;
mod gauges;
mod handle;
mod history;
mod inbound;
mod ledger;
pub mod metrics;
mod outgoing;
mod peers;
mod poison;
mod recovery;
mod router;
mod service;
mod staff;
mod templates;
mod timer;

pub use clock::Clock;
pub use handle::{
    Answer, Attach, ConnectionId, Engine, EngineOptions, Explain, Explained, Unavailable,
};
pub use inbound::{About, Inbound, InboundBody, InboundMessage, InboundReceipt, Sender};
pub use outgoing::{
    BotAction, BotCall, BotSaid, BotWord, Disposition, Outgoing, ProviderCall, SendOutcome,
};
pub use service::{StartError, Stopped};
pub use staff::{Given, Pulls};
