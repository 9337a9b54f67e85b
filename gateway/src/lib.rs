//! The program: everything outside is met here, and nothing is decided.
//!
//! HTTP, WebSocket and the provider's JSON are translated, each in one place, into the engine's
//! words and back; [`app`] puts the parts together.

pub mod accounts;
pub mod app;
mod bots;
pub mod cli;
mod http;
mod log;
mod memory;
pub mod metrics;
pub mod provider;
mod relay;
mod socket;
mod upgrade;
