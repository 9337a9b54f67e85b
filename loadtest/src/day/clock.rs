//! The day's own time: so many of its seconds pass in one of ours.

use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    begun: Instant,
    from_hour: f64,
    speed: f64,
}

impl Clock {
    pub(super) fn starting(from_hour: f64, speed: f64) -> Self {
        Self { begun: Instant::now(), from_hour, speed }
    }

    pub(super) fn at(self, hour: f64) -> Instant {
        self.begun + self.real((hour - self.from_hour).max(0.0) * 3600.0)
    }

    pub(super) fn hour(self, at: Instant) -> f64 {
        let passed = at.saturating_duration_since(self.begun).as_secs_f64();
        self.from_hour + passed * self.speed / 3600.0
    }

    /// How long so many seconds of the day take.
    pub(super) fn real(self, seconds: f64) -> Duration {
        Duration::from_secs_f64((seconds / self.speed).max(0.0))
    }

    /// How many seconds of the day pass in so long.
    pub(super) fn seconds(self, real: Duration) -> f64 {
        real.as_secs_f64() * self.speed
    }
}

/// As on a wall: `13:45`.
pub(super) fn wall(hour: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within a day")]
    let minutes = (hour.max(0.0) * 60.0) as u32;
    format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_takes_its_part() {
        let clock = Clock::starting(8.0, 60.0);
        assert_eq!(clock.at(9.0) - clock.at(8.0), Duration::from_mins(1));
        assert!((clock.hour(clock.at(13.5)) - 13.5).abs() < 1e-6);
        assert!((clock.seconds(Duration::from_secs(1)) - 60.0).abs() < 1e-9);
        assert_eq!(wall(13.75), "13:45");
    }
}
