//! Who is writing: identities, merges, bindings.

mod command;
mod country;
mod directory;
mod identity;
mod index;
mod merge;
mod notice;
mod per_channel;
mod person;

pub use command::{Change, Closing, Command, Refusal};
pub use country::{country_of_number, country_of_user_id};
pub use directory::{Directory, Effect, Identified, Seen, StillNeeded, Unidentified};
pub use identity::Key;
pub use merge::{Survivor, VisitorEnquiry, survivor};
pub use notice::Notice;
pub use per_channel::PerChannel;
pub use person::{Binding, Identities, OnChannel, Visitor};

#[cfg(test)]
mod tests;
