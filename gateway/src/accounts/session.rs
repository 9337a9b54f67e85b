//! One session: how long it lives, and how much it may ask for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use usher_domain::time::Timestamp;

use super::Person;

/// A session that stands.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) person: Person,
    until: Timestamp,
    /// Milliseconds since the epoch.
    last_used: AtomicU64,
    /// Until when the allowance is used up, in microseconds since the epoch.
    used_up: AtomicU64,
    ended: watch::Sender<bool>,
}

/// Requests a session may make: so many a second, and some more at once after a pause.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    interval_us: u64,
    slack_us: u64,
}

impl Pace {
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        let interval_us = 1_000_000 / u64::from(per_second.max(1));
        Self { interval_us, slack_us: interval_us * u64::from(burst.max(1) - 1) }
    }
}

impl Held {
    pub(super) fn new(person: Person, until: Timestamp, now: Timestamp) -> Self {
        Self {
            person,
            until,
            last_used: AtomicU64::new(now.millis()),
            used_up: AtomicU64::new(0),
            ended: watch::Sender::new(false),
        }
    }

    /// A session with an open socket is in use.
    pub(super) fn is_live(&self, now: Timestamp, idle: Duration) -> bool {
        if self.ended.receiver_count() > 0 {
            self.used(now);
        }
        now < self.until && now < self.last_used() + idle && !*self.ended.borrow()
    }

    pub(super) fn last_used(&self) -> Timestamp {
        Timestamp::from_millis(self.last_used.load(Ordering::Relaxed))
    }

    pub(super) fn used(&self, now: Timestamp) {
        self.last_used.fetch_max(now.millis(), Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.ended.send_replace(true);
    }

    pub(super) fn watch(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }

    /// The generic cell rate algorithm: one instant is all it remembers.
    pub(super) fn admit(&self, pace: Pace, now: Timestamp) -> Result<(), Duration> {
        let now_us = now.millis().saturating_mul(1_000);
        let take = |used_up: u64| {
            let from = used_up.max(now_us);
            (from - now_us <= pace.slack_us).then_some(from + pace.interval_us)
        };
        match self.used_up.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok(()),
            Err(used_up) => Err(Duration::from_micros(used_up - now_us - pace.slack_us)),
        }
    }
}

#[cfg(test)]
mod tests {
    use usher_domain::ids::{ServiceId, SessionId, StaffId};
    use usher_domain::settings::Role;

    use super::*;

    const IDLE: Duration = Duration::from_secs(100);

    fn held() -> Held {
        let person = Person {
            service: ServiceId::from_number(1),
            staff: StaffId::from_number(2),
            session: SessionId::from_number(3),
            role: Role::Agent,
        };
        Held::new(person, Timestamp::from_millis(1_000_000), at(1))
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_session_lives_while_it_is_used_and_no_longer_than_its_end() {
        let held = held();
        assert!(held.is_live(at(100), IDLE));
        assert!(!held.is_live(at(101), IDLE), "unused for the idle time");
        held.used(at(950));
        assert!(held.is_live(at(999), IDLE));
        assert!(!held.is_live(at(1_000), IDLE), "at its end, however much it was used");
        held.end();
        assert!(!held.is_live(at(951), IDLE));
    }

    #[test]
    fn an_open_socket_keeps_a_session_from_falling_idle() {
        let held = held();
        let socket = held.watch();
        assert!(held.is_live(at(500), IDLE));
        drop(socket);
        assert!(held.is_live(at(599), IDLE));
        assert!(!held.is_live(at(600), IDLE));
    }

    #[test]
    fn a_burst_passes_and_then_the_pace_rules() {
        let (held, pace) = (held(), Pace::new(10, 3));
        for _ in 0..3 {
            assert_eq!(held.admit(pace, at(5)), Ok(()));
        }
        assert_eq!(held.admit(pace, at(5)), Err(Duration::from_millis(100)));
        assert_eq!(held.admit(pace, at(5) + Duration::from_millis(100)), Ok(()));
        assert!(held.admit(pace, at(5) + Duration::from_millis(100)).is_err());
        assert_eq!(held.admit(pace, at(60)), Ok(()));
    }
}
