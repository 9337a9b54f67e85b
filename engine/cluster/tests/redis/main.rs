//! The door to Redis, before a real one.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by it")]

mod cluster;
mod forgetful;
mod leases;
mod nodes;
mod sentinel;
mod server;
mod tls;
