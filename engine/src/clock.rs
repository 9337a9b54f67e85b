//! The one place that reads the time.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use usher_domain::time::Timestamp;
use usher_domain::wall::Ahead;

/// A wall clock that steps by more than this is followed.
const STEP_MAX_MILLIS: u64 = 2_000;

/// Wall time at start-up, carried forward by the runtime's monotonic clock, so that a step of the
/// wall clock moves no deadline; `Wall` says how far the two have come apart. A test that pauses the
/// runtime's clock pauses the engine too.
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
}

/// What the wall clock shows beside a service's own clock; the same to all who have it.
#[derive(Clone, Debug)]
pub(crate) struct Wall {
    ahead: Rc<Cell<Ahead>>,
    /// The wall clock at one instant of a clock that is never set.
    read: (Timestamp, std::time::Instant),
}

impl Wall {
    pub(crate) fn new() -> Self {
        Self { ahead: Rc::default(), read: (wall(), never_set()) }
    }

    pub(crate) fn ahead(&self) -> Ahead {
        self.ahead.get()
    }

    /// For a service that starts again by the wall clock as it is now.
    pub(crate) fn anew(&self) -> Self {
        let (at, since) = self.read;
        Self { ahead: Rc::default(), read: (self.ahead().wall(at), since) }
    }

    /// By how many milliseconds the wall clock has stepped since it was last looked at, if it has.
    pub(crate) fn follow(&self) -> Option<i64> {
        let (at, since) = self.read;
        let millis = |at: Timestamp| i64::try_from(at.millis()).unwrap_or(i64::MAX);
        let off = millis(wall()) - millis(at + never_set().duration_since(since));
        let step = off - self.ahead().millis();
        if step.unsigned_abs() <= STEP_MAX_MILLIS {
            return None;
        }
        self.ahead.set(Ahead::from_millis(off));
        Some(step)
    }
}

/// The wall clock, in milliseconds since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let read = Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    #[cfg(test)]
    let read = crate::faults::as_set(read);
    read
}

/// Unlike the runtime's clock it goes on when a test pauses that one.
#[expect(clippy::disallowed_methods, reason = "the one place that tells steps from time passing")]
fn never_set() -> std::time::Instant {
    std::time::Instant::now()
}
