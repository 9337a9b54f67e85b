//! What tests of several crates share: servers that are thrown away after them.

pub mod postgres;
