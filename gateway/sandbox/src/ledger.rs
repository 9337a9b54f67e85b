//! The append-only account of what was accepted and what was delivered: the judge of lost and doubled.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

/// Entries kept; older ones fall off and are counted.
const LIMIT: usize = 500_000;
/// Latencies kept for the median.
const SAMPLES: usize = 100_000;

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: VecDeque<Value>,
    /// Number of the newest entry; the first is 1.
    last: u64,
}

impl Ledger {
    pub(crate) fn write(&mut self, at_ms: u64, kind: &str, fields: Value) -> u64 {
        self.last += 1;
        let mut entry = Map::new();
        entry.insert("n".to_owned(), json!(self.last));
        entry.insert("at_ms".to_owned(), json!(at_ms));
        entry.insert("kind".to_owned(), json!(kind));
        if let Value::Object(fields) = fields {
            entry.extend(fields);
        }
        if self.entries.len() == LIMIT {
            self.entries.pop_front();
        }
        self.entries.push_back(Value::Object(entry));
        self.last
    }

    /// Up to `limit` entries after number `after`, optionally of one kind.
    pub(crate) fn page(&self, after: u64, limit: usize, kind: Option<&str>) -> Value {
        let dropped = self.last - u64::try_from(self.entries.len()).unwrap_or(u64::MAX);
        let skip = usize::try_from(after.saturating_sub(dropped)).unwrap_or(usize::MAX);
        let wanted = |entry: &&Value| kind.is_none_or(|kind| entry["kind"] == kind);
        let entries: Vec<&Value> =
            self.entries.iter().skip(skip).filter(wanted).take(limit).collect();
        // A short page has seen everything, whatever its kind.
        let next = match entries.last() {
            Some(entry) if entries.len() == limit => entry["n"].clone(),
            _ => json!(self.last),
        };
        json!({"next": next, "last": self.last, "dropped": dropped, "entries": entries})
    }
}

/// Counters since the start, with the latency of webhook answers.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) phone_messages: u64,
    pub(crate) deliveries: u64,
    pub(crate) delivered: u64,
    pub(crate) attempts: u64,
    pub(crate) failed_attempts: u64,
    pub(crate) given_up: u64,
    pub(crate) queue_full: u64,
    latencies_us: VecDeque<u32>,
}

impl Stats {
    pub(crate) fn answered(&mut self, micros: u128) {
        if self.latencies_us.len() == SAMPLES {
            self.latencies_us.pop_front();
        }
        self.latencies_us.push_back(u32::try_from(micros).unwrap_or(u32::MAX));
    }

    pub(crate) fn show(&self) -> Value {
        let mut sorted: Vec<u32> = self.latencies_us.iter().copied().collect();
        sorted.sort_unstable();
        let at =
            |share: usize| sorted.get(sorted.len() * share / 100).map(|us| f64::from(*us) / 1000.0);
        let slow = sorted.iter().filter(|us| **us > 1_000_000).count();
        let share = match u32::try_from(sorted.len()) {
            Ok(0) | Err(_) => 0.0,
            Ok(all) => f64::from(u32::try_from(slow).unwrap_or(u32::MAX)) / f64::from(all),
        };
        json!({
            "accepted": self.accepted,
            "refused": self.refused,
            "phone_messages": self.phone_messages,
            "webhooks": {
                "deliveries": self.deliveries,
                "delivered": self.delivered,
                "given_up": self.given_up,
                "pending": self.deliveries - self.delivered - self.given_up,
                "attempts": self.attempts,
                "failed_attempts": self.failed_attempts,
                "queue_full": self.queue_full,
                "latency_ms": {"median": at(50), "p99": at(99), "samples": sorted.len()},
                "share_over_1s": share,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_without_gap() {
        let mut ledger = Ledger::default();
        for i in 0..5 {
            ledger.write(i, if i % 2 == 0 { "message" } else { "webhook" }, json!({"i": i}));
        }
        let first = ledger.page(0, 2, None);
        assert_eq!(first["next"], 2);
        let rest = ledger.page(2, 10, None);
        assert_eq!(rest["entries"].as_array().unwrap().len(), 3);
        assert_eq!(rest["next"], 5);
        let webhooks = ledger.page(0, 10, Some("webhook"));
        assert_eq!(webhooks["entries"][0]["n"], 2);
        assert_eq!(webhooks["entries"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn the_median_and_the_slow_share_are_of_the_answers() {
        let mut stats = Stats::default();
        for micros in [1_000, 2_000, 3_000, 1_500_000] {
            stats.answered(micros);
        }
        let shown = stats.show();
        assert_eq!(shown["webhooks"]["latency_ms"]["median"], 3.0);
        assert_eq!(shown["webhooks"]["share_over_1s"], 0.25);
    }
}
