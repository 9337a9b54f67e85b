//! Which update comes next: so many receipts, messages to live enquiries and openings of a hundred,
//! every id new.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::wire::{self, Status};
use crate::house::Sent;

/// Of a hundred; the rest are openings.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    pub receipts: u32,
    pub messages: u32,
}

/// The load on a shop.
#[derive(Debug)]
pub struct Mix {
    share: Share,
    /// Channels whose visitors have a live enquiry each: visitor `v` is at `v` modulo their number.
    held: Range<usize>,
    /// Channels at which new visitors open.
    opening: Range<usize>,
    /// Visitors with a live enquiry: from 0 on.
    visitors: u64,
    next_visitor: u64,
    next_id: u64,
    /// Messages of ours that a receipt is still to come for.
    stock: VecDeque<(Sent, Status)>,
    chance: StdRng,
    /// Receipts that said nothing new, since all messages were read already.
    pub repeated: u64,
}

impl Mix {
    pub fn new(share: Share, held: Range<usize>, opening: Range<usize>) -> Self {
        Self {
            share,
            held,
            opening,
            visitors: 0,
            next_visitor: 0,
            next_id: 0,
            stock: VecDeque::new(),
            chance: StdRng::seed_from_u64(1),
            repeated: 0,
        }
    }

    /// Webhooks that open an enquiry for each of so many visitors, `updates` in a body.
    pub fn seed(&mut self, visitors: u64, updates: usize) -> VecDeque<Bytes> {
        let mut requests = VecDeque::new();
        let mut changes = Vec::with_capacity(updates);
        for visitor in self.visitors..self.visitors + visitors {
            let channel = self.held_by(visitor);
            let id = self.id();
            changes.push(wire::text(channel, visitor, id, "Hello, is anybody there?"));
            if changes.len() == updates {
                requests.push_back(wire::request(self.held.start, &changes));
                changes.clear();
            }
        }
        if !changes.is_empty() {
            requests.push_back(wire::request(self.held.start, &changes));
        }
        self.visitors += visitors;
        self.next_visitor = self.visitors;
        requests
    }

    /// Messages of ours that were accepted: three receipts will come for each.
    pub fn accepted(&mut self, sent: impl Iterator<Item = Sent>) -> usize {
        let before = self.stock.len();
        self.stock.extend(sent.map(|sent| (sent, Status::Sent)));
        self.stock.len() - before
    }

    /// So many requests of `updates` updates each.
    pub fn requests(&mut self, count: usize, updates: usize) -> VecDeque<Bytes> {
        (0..count).map(|_| self.request(updates)).collect()
    }

    fn request(&mut self, updates: usize) -> Bytes {
        let mut door = self.held.start;
        let mut changes = Vec::with_capacity(updates);
        for _ in 0..updates {
            let (channel, change) = self.change();
            door = channel;
            changes.push(change);
        }
        wire::request(door, &changes)
    }

    fn change(&mut self) -> (usize, String) {
        let draw = self.chance.random_range(0..100);
        if draw < self.share.receipts {
            self.receipt()
        } else if draw < self.share.receipts + self.share.messages {
            self.message()
        } else {
            self.opening()
        }
    }

    fn receipt(&mut self) -> (usize, String) {
        let Some((sent, status)) = self.stock.pop_front() else {
            self.repeated += 1;
            return self.message();
        };
        let Sent { channel, wa_id, wamid, callback_data, .. } = &sent;
        let channel = *channel;
        let change = wire::receipt(channel, wa_id, wamid, callback_data.as_deref(), status);
        if let Some(next) = status.next() {
            self.stock.push_back((sent, next));
        }
        (channel, change)
    }

    /// From somebody who has a live enquiry.
    pub fn message(&mut self) -> (usize, String) {
        let visitor = self.chance.random_range(0..self.visitors.max(1));
        let (channel, id) = (self.held_by(visitor), self.id());
        (channel, wire::text(channel, visitor, id, "Where is my parcel, please? It is late."))
    }

    fn opening(&mut self) -> (usize, String) {
        let visitor = self.next_visitor;
        self.next_visitor += 1;
        let offset = usize::try_from(visitor).unwrap_or_default() % self.opening.len();
        let (channel, id) = (self.opening.start + offset, self.id());
        (channel, wire::text(channel, visitor, id, "Hello, do you have it in green?"))
    }

    fn held_by(&self, visitor: u64) -> usize {
        self.held.start + usize::try_from(visitor).unwrap_or_default() % self.held.len()
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_kept_and_every_id_is_new() {
        let mut mix = Mix::new(Share { receipts: 70, messages: 28 }, 0..4, 4..6);
        assert_eq!(mix.seed(1_000, 300).len(), 4);
        let sent = |number: u64| Sent {
            channel: 1,
            wa_id: wire::wa_id(number),
            wamid: format!("wamid.{number}"),
            callback_data: None,
            text: String::new(),
        };
        assert_eq!(mix.accepted((0..5_000).map(sent)), 5_000);
        let (mut receipts, mut texts, mut openings) = (0, 0, 0);
        let mut ids = std::collections::BTreeSet::new();
        for request in mix.requests(10_000, 1) {
            let text = std::str::from_utf8(&request).unwrap().to_owned();
            let body = text.split_once("\r\n\r\n").unwrap().1;
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            let value = &body["entry"][0]["changes"][0]["value"];
            if let Some(receipt) = value["statuses"].get(0) {
                receipts += 1;
                let told = (receipt["id"].to_string(), receipt["status"].to_string());
                assert!(ids.insert(told.clone()), "{told:?} twice");
                continue;
            }
            let message = &value["messages"][0];
            assert!(ids.insert((message["id"].to_string(), String::new())), "{message} twice");
            let phone = message["from"].as_str().unwrap();
            let is_new = wire::visitor_of(phone).unwrap() >= 1_000;
            if is_new { openings += 1 } else { texts += 1 }
        }
        assert!((6_800..7_200).contains(&receipts), "{receipts}");
        assert!((2_600..3_000).contains(&texts), "{texts}");
        assert!((140..260).contains(&openings), "{openings}");
        assert_eq!(mix.repeated, 0);
    }
}
