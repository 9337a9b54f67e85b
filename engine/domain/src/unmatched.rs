//! Decides how long a receipt that fits no known message waits for that message.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::record::ReceiptHeld;
use crate::time::Timestamp;

/// A receipt without its message waits this long.
pub const PATIENCE: Duration = Duration::from_mins(10);
/// After this long it is looked for once more: what was on its way to the archive has arrived.
const AGAIN: Duration = Duration::from_secs(5);

/// Receipts that wait for their messages, each under the sequence of its record.
#[derive(Clone, Debug, Default)]
pub struct Unmatched {
    held: BTreeMap<u64, Held>,
    /// When to look again for each.
    due: BTreeSet<(Timestamp, u64)>,
    by_id: BTreeSet<(Box<str>, u64)>,
}

#[derive(Clone, Debug)]
struct Held {
    receipt: Box<ReceiptHeld>,
    since: Timestamp,
    due: Timestamp,
}

impl Unmatched {
    /// Most receipts that wait at one time.
    pub const MAX: usize = 10_000;

    pub fn new() -> Self {
        Self::default()
    }

    /// One more waits since `since`. Where too many do, the oldest waits no longer and is returned.
    pub fn hold(
        &mut self,
        since: Timestamp,
        seq: u64,
        receipt: Box<ReceiptHeld>,
    ) -> Option<Box<ReceiptHeld>> {
        let due = since + AGAIN;
        self.by_id.insert((receipt.provider_id.as_str().into(), seq));
        self.due.insert((due, seq));
        self.held.insert(seq, Held { receipt, since, due });
        if self.held.len() <= Self::MAX {
            return None;
        }
        let oldest = self.held.first_key_value().map(|(seq, _)| *seq)?;
        self.take(oldest)
    }

    /// The message of this id is known now: its receipts, in the order in which they came.
    pub fn matched(&mut self, provider_id: &str) -> Vec<ReceiptHeld> {
        if self.held.is_empty() {
            return Vec::new();
        }
        let from = (Box::from(provider_id), 0);
        let found = self.by_id.range(from..).take_while(|(id, _)| &**id == provider_id);
        let seqs: Vec<u64> = found.map(|(_, seq)| *seq).collect();
        seqs.into_iter().filter_map(|seq| self.take(seq)).map(|held| *held).collect()
    }

    /// Those to be looked for now, and whether for the last time; they still wait.
    pub fn expire(&mut self, now: Timestamp) -> Vec<(ReceiptHeld, bool)> {
        let mut found = Vec::new();
        while let Some(&(at, seq)) = self.due.first()
            && at <= now
        {
            self.due.remove(&(at, seq));
            let Some(held) = self.held.get_mut(&seq) else { continue };
            let over = held.since + PATIENCE <= now;
            found.push(((*held.receipt).clone(), over));
            if over {
                self.take(seq);
            } else {
                held.due = held.since + PATIENCE;
                self.due.insert((held.due, seq));
            }
        }
        found
    }

    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    pub fn len(&self) -> usize {
        self.held.len()
    }

    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    fn take(&mut self, seq: u64) -> Option<Box<ReceiptHeld>> {
        let held = self.held.remove(&seq)?;
        self.due.remove(&(held.due, seq));
        self.by_id.remove(&(held.receipt.provider_id.as_str().into(), seq));
        Some(held.receipt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ChannelId;
    use crate::message::Delivery;

    fn receipt(provider_id: &str, delivery: Delivery) -> ReceiptHeld {
        ReceiptHeld {
            channel: ChannelId::from_number(1),
            provider_id: provider_id.into(),
            delivery,
            participant: None,
            provider_at: Timestamp::default(),
            code: None,
            title: None,
            raw: String::new(),
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn it_waits_ten_minutes_and_no_longer() {
        let mut unmatched = Unmatched::new();
        unmatched.hold(at(100), 1, Box::new(receipt("a", Delivery::Sent)));
        assert_eq!(unmatched.next_deadline(), Some(at(105)));
        assert_eq!(unmatched.expire(at(104)), []);
        assert_eq!(unmatched.expire(at(105)), [(receipt("a", Delivery::Sent), false)]);
        assert_eq!(unmatched.next_deadline(), Some(at(700)));
        assert_eq!(unmatched.expire(at(699)), []);
        assert_eq!(unmatched.expire(at(700)), [(receipt("a", Delivery::Sent), true)]);
        assert_eq!((unmatched.len(), unmatched.next_deadline()), (0, None));
    }

    #[test]
    fn its_message_takes_all_that_are_its_own() {
        let mut unmatched = Unmatched::new();
        unmatched.hold(at(1), 1, Box::new(receipt("a", Delivery::Sent)));
        unmatched.hold(at(1), 2, Box::new(receipt("ab", Delivery::Sent)));
        unmatched.hold(at(1), 3, Box::new(receipt("a", Delivery::Read)));
        let own = unmatched.matched("a");
        assert_eq!(own, [receipt("a", Delivery::Sent), receipt("a", Delivery::Read)]);
        assert_eq!(unmatched.matched("a"), []);
        assert_eq!(unmatched.len(), 1);
    }

    #[test]
    fn of_too_many_the_oldest_waits_no_longer() {
        let mut unmatched = Unmatched::new();
        for seq in 1..=Unmatched::MAX as u64 {
            assert_eq!(
                unmatched.hold(at(seq), seq, Box::new(receipt(&format!("{seq}"), Delivery::Sent))),
                None
            );
        }
        let last = receipt("last", Delivery::Sent);
        let gone = unmatched.hold(at(20_000), 20_000, Box::new(last));
        assert_eq!(gone, Some(Box::new(receipt("1", Delivery::Sent))));
        assert_eq!(unmatched.len(), Unmatched::MAX);
        assert_eq!(unmatched.next_deadline(), Some(at(2 + 5)));
    }
}
