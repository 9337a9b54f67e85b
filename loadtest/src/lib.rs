//! Proves Usher's claims about speed and faithfulness, one command each.

#![expect(clippy::print_stdout, reason = "what it measures is read on the terminal")]
#![expect(clippy::disallowed_methods, reason = "it measures time itself")]
#![expect(clippy::similar_names, reason = "wa_id and wamid are the provider's words")]
#![expect(clippy::cast_precision_loss, reason = "figures have far fewer than 52 bits")]

pub mod bench;
pub mod ceiling;
pub mod cli;
pub mod day;
pub mod drive;
pub mod faults;
pub mod gates;
pub mod house;
pub mod measure;
mod past;
pub mod peers;
pub mod plot;
mod socket;
