//! Proves Usher's claims about speed and faithfulness, one command each.

#![expect(clippy::print_stdout, reason = "what it measures is read on the terminal")]
#![expect(clippy::disallowed_methods, reason = "it measures time itself")]

pub mod bench;
pub mod cli;
pub mod day;
pub mod gates;
pub mod peers;
