//! Instants on the wire: RFC 3339 in UTC, to the millisecond.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use usher_domain::time::Timestamp;

/// An instant as people outside see it: `2026-11-23T09:30:00.000Z`.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Time(pub Timestamp);

impl From<Timestamp> for Time {
    fn from(timestamp: Timestamp) -> Self {
        Self(timestamp)
    }
}

impl From<Time> for Timestamp {
    fn from(time: Time) -> Self {
        time.0
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Beyond the year 9999 there is no RFC 3339; the last instant stands for "never".
        let instant = i64::try_from(self.0.millis())
            .ok()
            .and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok())
            .unwrap_or(jiff::Timestamp::MAX);
        serializer.collect_str(&format_args!("{instant:.3}"))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse::<jiff::Timestamp>()
            .ok()
            .and_then(|instant| u64::try_from(instant.as_millisecond()).ok())
            .map(|millis| Self(Timestamp::from_millis(millis)))
            .ok_or_else(|| D::Error::custom("not a time of the form 2026-11-23T09:30:00Z"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_in_utc_and_offsets_are_understood() {
        let time = Time(Timestamp::from_millis(1_795_426_200_250));
        let text = serde_json::to_string(&time).unwrap();
        insta::assert_snapshot!(text, @r#""2026-11-23T09:30:00.250Z""#);
        assert_eq!(serde_json::from_str::<Time>(&text).unwrap(), time);
        let abroad = r#""2026-11-23T17:30:00.25+08:00""#;
        assert_eq!(serde_json::from_str::<Time>(abroad).unwrap(), time);
    }

    #[test]
    fn what_is_no_instant_is_refused_and_the_last_one_is_writable() {
        for text in [r#""yesterday""#, r#""2026-11-23""#, r#""1960-01-01T00:00:00Z""#, "5"] {
            assert!(serde_json::from_str::<Time>(text).is_err(), "{text}");
        }
        let never = serde_json::to_string(&Time(Timestamp::from_millis(u64::MAX))).unwrap();
        assert!(never.starts_with("\"9999-12-30T"), "{never}");
    }
}
