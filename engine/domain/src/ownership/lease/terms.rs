//! How long the parts of a lease take.

use std::time::Duration;

/// From so many places down the draw all look equally seldom, …
const LOOKS: u32 = 3;
/// … and ask equally late.
const STAGGERS: u32 = 4;

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

    /// Who stands by and comes first asks as often: so soon is a lease taken that was handed over.
    pub fn ask_every(self) -> Duration {
        self.lease / 10
    }

    /// How often one asks whom `rank` others come before, as long as all seems well: four times as seldom as
    /// the one before it, so that all of them together hardly ask more often than the first alone.
    pub fn look_every(self, rank: usize) -> Duration {
        self.ask_every() * 4_u32.pow(few(rank, LOOKS))
    }

    /// When such a one asks again what is had for `left`, at the soonest: not just when it comes free, or it would
    /// come before those that come first.
    pub fn soon(self, rank: usize, left: Duration) -> Duration {
        let free = left + self.stagger(rank);
        // As clocks run, half a second may be a little more or less.
        if left < self.ask_every() * 5 / 4 { free } else { self.ask_every() }
    }

    /// How much later it asks for what may have come free: those before it come first.
    pub fn stagger(self, rank: usize) -> Duration {
        self.pause() * few(rank, STAGGERS)
    }

    /// A lease with less left was not renewed when it should have been.
    pub fn seems_left(self) -> Duration {
        self.lease / 2
    }
}

fn few(rank: usize, most: u32) -> u32 {
    u32::try_from(rank).map_or(most, |rank| rank.min(most))
}
