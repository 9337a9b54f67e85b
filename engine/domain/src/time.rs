//! Instants as the rules see them: milliseconds since the Unix epoch, handed in by the shell.

use std::fmt;
use std::num::NonZeroU64;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch (UTC).
///
/// Kept one higher, so that an instant that may be missing takes no more room than one that is there:
/// of a live enquiry, a million times in memory, most instants may be missing.
#[derive(Clone, Copy, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(from = "u64", into = "u64")]
pub struct Timestamp(NonZeroU64);

impl Timestamp {
    /// The last two milliseconds that a number can name are one.
    pub const fn from_millis(millis: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(millis))
    }

    pub const fn millis(self) -> u64 {
        self.0.get() - 1
    }

    /// The time from `earlier` to `self`; zero when `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.millis().saturating_sub(earlier.millis()))
    }
}

impl Default for Timestamp {
    fn default() -> Self {
        Self::from_millis(0)
    }
}

impl From<u64> for Timestamp {
    fn from(millis: u64) -> Self {
        Self::from_millis(millis)
    }
}

impl From<Timestamp> for u64 {
    fn from(at: Timestamp) -> Self {
        at.millis()
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self::from_millis(self.millis().saturating_sub(millis))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.millis())
    }
}

/// Durations in records and settings: whole milliseconds.
pub mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_that_may_be_missing_takes_no_more_room_and_is_written_as_before() {
        assert_eq!(size_of::<Option<Timestamp>>(), size_of::<u64>());
        for millis in [0, 1, 1_700_000_000_000, u64::MAX - 1] {
            let at = Timestamp::from_millis(millis);
            assert_eq!(at.millis(), millis);
            assert_eq!(u64::from(at), millis);
            assert_eq!(at - Duration::from_millis(1), Timestamp::from_millis(millis.max(1) - 1));
        }
        assert_eq!(Timestamp::default().millis(), 0);
        assert!(Timestamp::from_millis(4) < Timestamp::from_millis(5));
        assert_eq!(Timestamp::from_millis(7).since(Timestamp::from_millis(5)).as_millis(), 2);
        assert_eq!(Timestamp::from_millis(u64::MAX), Timestamp::from_millis(5) + Duration::MAX);
    }
}
