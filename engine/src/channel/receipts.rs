//! Receipts: found by our callback data, else by the provider's id; only what moves on is kept, and
//! what fits no message waits for it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use actix::prelude::*;
use usher_domain::enquiry::receipts::advance;
use usher_domain::ids::MessageId;
use usher_domain::message::Delivery;
use usher_domain::outbox;
use usher_domain::record::{Event, ReceiptHeld, Record};
use usher_store::HeldReceipt;

use super::{Channel, ReceiptCame};
use crate::enquiry::{Became, Told};
use crate::inbound::{About, InboundReceipt, kept};
use crate::ledger::{Ack, Release};

/// Messages of ours whose delivery is remembered; older ones are looked up.
const REMEMBERED_MAX: usize = 50_000;

/// How far the newest messages of ours have come.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    by_message: BTreeMap<MessageId, Delivery>,
    order: VecDeque<MessageId>,
}

impl Delivered {
    pub(super) fn set(&mut self, message: MessageId, delivery: Delivery) {
        if self.by_message.insert(message, delivery).is_some() {
            return;
        }
        self.order.push_back(message);
        if self.order.len() > REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_message.remove(&oldest);
        }
    }

    fn of(&self, message: MessageId) -> Option<Delivery> {
        self.by_message.get(&message).copied()
    }
}

impl Channel {
    fn take(&mut self, ReceiptCame { receipt, raw, ack }: ReceiptCame) {
        match self.about(&receipt) {
            Some(about) => self.take_about(about, receipt, Some(Release::Ack(ack))),
            None => self.hold(receipt, kept(raw), ack),
        }
    }

    /// Its message may be known in a moment: the provider's answer, or the archive, comes later.
    fn hold(&mut self, receipt: InboundReceipt, raw: String, ack: Arc<Ack>) {
        let now = self.peers.now();
        let held = Box::new(ReceiptHeld {
            channel: self.id,
            provider_id: receipt.provider_id,
            delivery: receipt.delivery,
            participant: receipt.participant,
            provider_at: receipt.provider_at.unwrap_or_else(|| self.peers.wall_now()),
            code: receipt.code,
            title: receipt.title,
            raw,
        });
        let record = Record::new(now, Event::ReceiptHeld(held.clone()));
        let seq = self.peers.ledger.append([record], [Release::Ack(ack)]);
        if let Some(oldest) = self.unmatched.hold(now, seq, held) {
            self.unmatched(*oldest);
        }
        self.arm();
    }

    /// After a restart they go on waiting.
    pub(super) fn hold_again(&mut self, held: Vec<HeldReceipt>) {
        for (seq, since, receipt) in held {
            if let Some(oldest) = self.unmatched.hold(since, seq, receipt) {
                self.unmatched(*oldest);
            }
        }
    }

    fn unmatched(&self, held: ReceiptHeld) {
        metrics::counter!(crate::metrics::UNMATCHED).increment(1);
        let ReceiptHeld { channel, provider_id, raw, .. } = held;
        self.write(Event::ReceiptUnmatched { channel, provider_id, raw });
    }

    /// The message of this id is known: so is what its receipts were about.
    pub(super) fn match_receipts(&mut self, provider_id: &str, about: About) {
        for held in self.unmatched.matched(provider_id) {
            self.take_about(about, receipt_of(held), None);
        }
    }

    /// Looks again for what waits, and gives up what has waited too long.
    pub(super) fn look_for_messages(&mut self) {
        for (held, over) in self.unmatched.expire(self.peers.now()) {
            let receipt = receipt_of(held.clone());
            match self.about(&receipt) {
                Some(about) => self.match_receipts(&receipt.provider_id, about),
                None if over => self.unmatched(held),
                None => {}
            }
        }
    }

    fn take_about(&mut self, about: About, receipt: InboundReceipt, release: Option<Release>) {
        let ledger = self.peers.ledger.clone();
        self.resolve_doubt(about.message, &receipt.provider_id);
        let now = self.peers.now();
        let news = receipt.delivery;
        let moved = match &receipt.participant {
            Some(_) => Some(news),
            None => advance(self.delivery_of(about.message), news),
        };
        let Some(delivery) = moved else {
            ledger.append([], release);
            return;
        };
        if receipt.participant.is_none() {
            self.delivered.set(about.message, delivery);
        }
        let event = Event::ReceiptTaken {
            message: about.message,
            delivery: news,
            participant: receipt.participant,
            provider_at: receipt.provider_at.unwrap_or_else(|| self.peers.wall_now()),
            code: receipt.code,
        };
        ledger.append([Record::new(now, event)], release);
        if let Some(enquiry) = about.enquiry {
            let failure = receipt.code.map(|code| (code, receipt.title.unwrap_or_default()));
            let became = Became { message: about.message, delivery, failure, by_receipt: true };
            self.tell(enquiry, Told::Message(became));
        }
    }

    fn about(&self, receipt: &InboundReceipt) -> Option<About> {
        if let Some(about) = receipt.about {
            return Some(about);
        }
        let found = self.peers.reader.message_by_provider_id(self.peers.id, &receipt.provider_id);
        match found {
            Ok(row) => row.map(|row| About { message: row.message, enquiry: row.enquiry }),
            Err(error) => {
                tracing::error!(%error, "the archive could not be asked for a message");
                None
            }
        }
    }

    fn delivery_of(&self, message: MessageId) -> Delivery {
        self.delivered.of(message).unwrap_or_else(|| {
            let found = self.peers.reader.delivery(self.peers.id, message).ok().flatten();
            found.unwrap_or(Delivery::Accepted)
        })
    }

    /// A receipt says that the provider has the message, whatever we heard of the request.
    fn resolve_doubt(&mut self, message: MessageId, provider_id: &str) {
        if !self.unsent.contains_key(&message) {
            return;
        }
        let mut effects = Vec::new();
        let seen = outbox::Command::ReceiptSeen { message };
        // Refused where the message is not in flight or in doubt; the receipt counts all the same.
        self.outbox.apply(self.peers.now(), seen, &mut effects).ok();
        self.perform(effects, Some(provider_id.to_owned()));
    }
}

fn receipt_of(held: ReceiptHeld) -> InboundReceipt {
    InboundReceipt {
        provider_id: held.provider_id,
        delivery: held.delivery,
        participant: held.participant,
        provider_at: Some(held.provider_at),
        code: held.code,
        title: held.title,
        about: None,
    }
}

impl Handler<ReceiptCame> for Channel {
    type Result = ();

    fn handle(&mut self, came: ReceiptCame, _: &mut Context<Self>) {
        let _taken = self.peers.in_hand.take_mark(came.receipt.mark());
        self.take(came);
    }
}
