//! The agent socket's wire shapes, its document, and both of its ends together.

#![expect(clippy::panic, clippy::unwrap_used, clippy::print_stderr, reason = "tests fail by it")]

mod commands;
mod document;
mod ends;
mod frames;
mod link;
mod mutations;
mod random;
mod samples;
