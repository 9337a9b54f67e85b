//! The life of one enquiry besides its place on the floor: window, idle clock, auto-messages.

mod kept;

pub use kept::{EnquiryKept, IdleClock};
