//! Latencies, kept whole: what is read from them are percentiles, never a mean.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

/// Up to a minute, to three digits.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

const LONGEST_US: u64 = 60_000_000;

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST_US, 3).expect("the bounds are in order"))
    }
}

impl Latencies {
    pub fn add(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_micros()).unwrap_or(LONGEST_US));
    }

    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("the bounds are the same");
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// `share` of 0.99: 99 % took no longer.
    pub fn at(&self, share: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(share))
    }

    pub fn max(&self) -> Duration {
        Duration::from_micros(self.0.max())
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |took: Duration| took.as_secs_f64() * 1e3;
        write!(
            f,
            "p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, max {:.2} ms ({} measured)",
            ms(self.at(0.5)),
            ms(self.at(0.99)),
            ms(self.at(0.999)),
            ms(self.max()),
            self.count()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_added() {
        let mut first = Latencies::default();
        let mut second = Latencies::default();
        for ms in 1..=500 {
            first.add(Duration::from_millis(ms));
            second.add(Duration::from_millis(500 + ms));
        }
        first.merge(&second);
        let near = |took: Duration, ms: f64| (took.as_secs_f64() * 1e3 / ms - 1.0).abs() < 0.002;
        assert_eq!(first.count(), 1_000);
        assert!(near(first.at(0.5), 500.0) && near(first.at(0.99), 990.0), "{first}");
        assert!(near(first.max(), 1_000.0), "{first}");
        first.add(Duration::from_hours(1));
        assert!(first.max() >= Duration::from_mins(1), "what is too long counts as the longest");
    }
}
