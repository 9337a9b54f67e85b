//! What tests of several crates share: servers that are thrown away after them.

pub mod certificates;
pub mod ports;
pub mod postgres;
