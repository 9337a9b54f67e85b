//! What the seeds came across: an empty row means that something is no longer simulated.

use std::collections::BTreeMap;
use std::fmt::Write as _;

const ROWS: &[&str] = &[
    "rule: alternative",
    "rule: percentage",
    "rule: time",
    "rule: percentage in time",
    "rule: time in percentage",
    "rule: percentage in percentage",
    "rule: holiday",
    "rule: window over midnight",
    "rule: summer time begins or ends",
    "rule: emergency",
    "rule: overflowed to otherwise",
    "rule: overflowed to a bucket",
    "rule: bucket kept in a second walk",
    "rule: bucket paused",
    "rule: edited, and overflowed as it was",
    "rule: edited, and asked as it was",
    "rule: several destinations in order",
    "rule: own priority",
    "method: simultaneous",
    "method: fixed order",
    "method: round robin",
    "method: most idle",
    "method: least loaded",
    "queue: waited",
    "queue: offered",
    "queue: full",
    "queue: waited too long",
    "queue: asked again after a decline",
    "group: nobody active",
    "group: everybody asked",
    "group: time over",
    "group: nobody accepts",
    "group: waited while all were full",
    "bot: took",
    "bot: failed",
    "bot: handed over",
    "bot: passed over",
    "bot: closed",
    "binding: engagement",
    "binding: sticky, offered",
    "binding: sticky, waited for",
    "binding: sticky, passed over",
    "binding: expired",
    "binding: last owner",
    "binding: after close",
    "auto pick-up",
    "pick-up: offer",
    "pick-up: follow-up",
    "pick-up: of a missed one without an offer",
    "pick-up: transfer",
    "pick-up: relief",
    "pick-up: assign",
    "pick-up: take-over",
    "pick-up: already taken",
    "pick-up: not offered",
    "pick-up: at capacity",
    "pick-up: elsewhere",
    "offer: declined",
    "offer: lapsed",
    "offer: not standing",
    "offer: full",
    "offer: moved",
    "offer: direct",
    "offer: missed, when free",
    "offers at once: reached",
    "transfer: loopback to a person",
    "transfer: loopback to a group",
    "transfer: blind to a person",
    "transfer: blind to a group",
    "transfer: taken",
    "transfer: cancelled",
    "transfer: declined",
    "transfer: lapsed",
    "transfer: overtaken",
    "transfer: nobody available",
    "transfer: pending",
    "missed: first walk",
    "missed: again",
    "missed: again, after a bot had it",
    "missed: blind transfer",
    "missed: orphaned",
    "missed: walked again",
    "owner: gone",
    "owner: no reply",
    "owner: hands over",
    "owner: suspended",
    "owner: nobody took over",
    "presence: busy",
    "presence: idle",
    "presence: offline",
    "presence: no answer",
    "presence: reload",
    "wrap-up",
    "hold",
    "hold: over",
    "settings: suspended",
    "settings: deleted",
    "settings: capacity lowered",
    "settings: membership",
    "settings: languages",
    "settings: pause",
    "settings: emergency",
    "language or country became known",
    "merge",
    "crash",
    "crash: a turn lost",
    "crash: presence told before going on",
    "crash: walk offered afresh",
    "crash: transfer offered afresh",
    "clock: away",
    "clock: notified",
    "clock: closed",
    "clock: backwards",
    "clock: jump",
    "timer: late",
    "timer: extra",
    "replayed",
];

#[derive(Debug, Default)]
pub(crate) struct Coverage(BTreeMap<&'static str, u64>);

impl Coverage {
    pub(crate) fn hit(&mut self, row: &'static str) {
        *self.0.entry(row).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (row, count) in &other.0 {
            *self.0.entry(row).or_default() += count;
        }
    }

    pub(crate) fn table(&self) -> String {
        let mut table = String::new();
        for row in ROWS {
            writeln!(table, "{:>12}  {row}", self.0.get(row).copied().unwrap_or(0))
                .expect("a string can be written to");
        }
        table
    }

    pub(crate) fn empty_rows(&self) -> Vec<&'static str> {
        ROWS.iter().copied().filter(|row| !self.0.contains_key(row)).collect()
    }

    pub(crate) fn unlisted(&self) -> Vec<&'static str> {
        self.0.keys().copied().filter(|row| !ROWS.contains(row)).collect()
    }
}
