//! How things are measured: in alternating slices, against a ceiling, with a control.

pub mod compare;
pub mod disk;
pub mod latency;
pub mod machine;
pub mod process;
pub mod schedule;
pub mod show;

pub use compare::{Comparison, Metric, Place, Plan, Reading, Slice, alternate};
pub use latency::Latencies;
pub use process::Process;
pub use schedule::Schedule;
