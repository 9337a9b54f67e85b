//! All metrics of the door to Redis: names, units, help.

use metrics::{Unit, describe_counter, describe_histogram};

pub const COMMANDS: &str = "usher_redis_commands_total";
pub const SECONDS: &str = "usher_redis_seconds";

/// Says what each metric means; call once a recorder is installed.
pub fn describe() {
    describe_counter!(COMMANDS, "Scripts that Redis was asked to run, by script and outcome.");
    describe_histogram!(SECONDS, Unit::Seconds, "From asking Redis to its answer.");
}
