//! The one place that reads the time.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use usher_domain::time::Timestamp;

/// Wall time at start-up, carried forward by the runtime's monotonic clock, so that a step of the
/// wall clock moves no deadline. A test that pauses the runtime's clock pauses the engine too.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started_at: Timestamp,
    started: Instant,
}

impl Clock {
    pub fn starting_at(started_at: Timestamp) -> Self {
        Self { started_at, started: Instant::now() }
    }

    /// Starts at the wall clock's present reading.
    pub fn system() -> Self {
        Self::starting_at(wall())
    }

    pub fn now(&self) -> Timestamp {
        self.started_at + self.started.elapsed()
    }

    /// The time left until `deadline`; zero when it has come.
    pub fn until(&self, deadline: Timestamp) -> Duration {
        deadline.since(self.now())
    }

    /// How far the wall clock has stepped away from this one since the start.
    pub fn wall_step(&self) -> Duration {
        let (wall, ours) = (wall(), self.now());
        wall.since(ours).max(ours.since(wall))
    }
}

/// The wall clock, in milliseconds since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
