//! Typed settings: what the program is told by files, environment and flags, checked as a whole.
//!
//! Two kinds of file. `usher.toml` says how the program runs; the embedded one is both the default
//! and the manual. Service files say who serves whom: channels, staff, groups, queues, bots, rules;
//! the embedded `demo.toml` is a shop to try, and shows every key. All faults are reported at once,
//! each with its path and where it stands.

mod fault;
mod layers;
mod load;
mod nearest;
mod node;
mod print;
mod program;
mod service;
mod table;
#[cfg(test)]
mod tests;
mod value;

pub use fault::{Fault, Faults, Origin};
pub use load::{LoadOptions, Loaded};
pub use program::{
    Between, Cluster, Config, Encrypted, Http, Journal, Limits, Log, LogFormat, Metrics, Projector,
    Provider, Sandbox, ServiceFiles, Sessions, Store, Tls,
};
pub use service::texts;
pub use service::{
    Account, BotAccess, Number, Password, SandboxNumber, Service, Signature, WebhookAuth,
    sandbox_numbers,
};
pub use value::Network;

/// The embedded `usher.toml`.
pub const USHER_TOML: &str = include_str!("../usher.toml");
/// The embedded demo service.
pub const DEMO_TOML: &str = include_str!("../demo.toml");
