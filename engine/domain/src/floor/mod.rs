//! The floor: who gets what.

pub mod event;
pub mod place;
