//! Which destinations an enquiry is taken to: shapes, percentages, time, bindings.

mod binding;
mod counters;
mod faults;
mod percentage;
mod reach;
mod schedule;
mod shape;

pub use binding::{Bound, binding_after_close, engagement_binding, sticky_binding};
pub use counters::Counters;
pub use faults::{Fault, faults};
pub use percentage::{Drawn, Draws};
pub use reach::{Reached, Version, could_overflow, destinations, leaf_in_force, overflow, reach};
pub use shape::{
    Branch, Bucket, Condition, Destination, Emergency, Holiday, Leaf, Overflow, Percentage, Rule,
    Stop, Time, Window,
};

/// What the branch that takes the remainder is called in traces.
pub(crate) const OTHERWISE: &str = "otherwise";
