//! How long the parts of a lease take.

use std::time::Duration;

/// Everything follows from the length of the lease.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Terms {
    lease: Duration,
}

impl Terms {
    pub const fn new(lease: Duration) -> Self {
        Self { lease }
    }

    /// How long Redis keeps a lease that is not renewed.
    pub const fn lease(self) -> Duration {
        self.lease
    }

    /// How long a node acts from when it asked: a clock that runs a tenth too slowly still ends it before
    /// Redis does, by the margin for what is under way.
    pub fn hold(self) -> Duration {
        // Nine tenths for the clock, and a twentieth as the margin.
        self.lease * 17 / 20
    }

    pub fn renew_every(self) -> Duration {
        self.lease / 3
    }

    /// What has not been answered by then is asked again.
    pub fn patience(self) -> Duration {
        self.lease / 5
    }

    /// Between two attempts at the same thing.
    pub fn pause(self) -> Duration {
        self.lease / 20
    }

    /// Who stands by asks as often: so soon is a lease taken that was handed over.
    pub fn ask_every(self) -> Duration {
        self.lease / 10
    }
}
