//! Who is writing: identities, merges, bindings.

mod person;

pub use person::{Binding, Identities, OnChannel, Visitor};
