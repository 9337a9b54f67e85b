//! The load: what pretend visitors send, and how it is sent.

pub mod http;
pub mod mix;
pub mod wire;

pub use http::{Answers, Connections};
pub use mix::{Mix, Share};
