//! When each operation of an open loop is due, whatever became of those before it.

use std::time::Duration;

/// So many a second, evenly, from a beginning on.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    per_second: u64,
}

impl Schedule {
    pub const fn per_second(per_second: u64) -> Self {
        Self { per_second }
    }

    /// After the beginning; not summed up from pauses, so it does not drift.
    pub fn due(self, number: u64) -> Duration {
        let nanos = u128::from(number) * 1_000_000_000 / u128::from(self.per_second.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How many are due by then.
    pub fn due_by(self, since_beginning: Duration) -> u64 {
        let due = since_beginning.as_nanos() * u128::from(self.per_second) / 1_000_000_000;
        u64::try_from(due).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// What somebody has waited who came when it was due: being sent late counts as waiting.
    pub fn waited(self, number: u64, finished: Duration) -> Duration {
        finished.saturating_sub(self.due(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_even_and_does_not_drift() {
        let schedule = Schedule::per_second(3_000);
        assert_eq!(schedule.due(0), Duration::ZERO);
        assert_eq!(schedule.due(3_000), Duration::from_secs(1));
        assert_eq!(schedule.due(3_000 * 86_400), Duration::from_hours(24));
        for number in [0, 1, 2_999, 3_000, 1_000_001] {
            let due = schedule.due(number);
            assert!((number..=number + 1).contains(&schedule.due_by(due)), "{number}");
        }
    }

    /// A server that stands still for a second, then answers at once: who was due meanwhile has
    /// waited, though each request was answered within a millisecond of being sent.
    #[test]
    fn who_is_sent_late_has_waited_since_it_was_due() {
        let schedule = Schedule::per_second(100);
        let stall = Duration::from_secs(1);
        let answer = Duration::from_millis(1);
        let waits: Vec<Duration> = (0..200)
            .map(|number| {
                let sent = schedule.due(number).max(stall);
                schedule.waited(number, sent + answer)
            })
            .collect();
        assert_eq!(waits[0], stall + answer);
        assert_eq!(waits[50], Duration::from_millis(501));
        assert_eq!(waits[150], answer);
        assert_eq!(waits.iter().filter(|wait| **wait > Duration::from_millis(500)).count(), 51);
    }
}
