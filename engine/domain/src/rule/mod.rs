//! Which destinations an enquiry is taken to: shapes, percentages, time, bindings.

mod percentage;
mod shape;

pub use percentage::{Drawn, Draws};
pub use shape::{
    Branch, Bucket, Condition, Destination, Emergency, Holiday, Leaf, Overflow, Percentage, Rule,
    Stop, Time, Window,
};
