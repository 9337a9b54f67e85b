//! Receipts: found by our callback data, else by the provider's id; only what moves on is kept.

use std::collections::{BTreeMap, VecDeque};

use actix::prelude::*;
use usher_domain::enquiry::receipts::advance;
use usher_domain::ids::MessageId;
use usher_domain::message::Delivery;
use usher_domain::outbox;
use usher_domain::record::{Event, Record};

use super::{Channel, ReceiptCame};
use crate::enquiry::{Became, Told};
use crate::inbound::{About, InboundReceipt};
use crate::ledger::Release;

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
        let ledger = self.peers.ledger.clone();
        let Some(about) = self.about(&receipt) else {
            let event = Event::ReceiptUnmatched {
                channel: self.id,
                provider_id: receipt.provider_id,
                raw: raw.unwrap_or_default(),
            };
            ledger.append(vec![Record::new(self.peers.now(), event)], vec![Release::Ack(ack)]);
            return;
        };
        self.resolve_doubt(about.message, &receipt.provider_id);
        let now = self.peers.now();
        let news = receipt.delivery;
        let moved = match &receipt.participant {
            Some(_) => Some(news),
            None => advance(self.delivery_of(about.message), news),
        };
        let Some(delivery) = moved else {
            ledger.release(Release::Ack(ack));
            return;
        };
        if receipt.participant.is_none() {
            self.delivered.set(about.message, delivery);
        }
        let event = Event::ReceiptTaken {
            message: about.message,
            delivery: news,
            participant: receipt.participant,
            provider_at: receipt.provider_at.unwrap_or(now),
            code: receipt.code,
        };
        ledger.append(vec![Record::new(now, event)], vec![Release::Ack(ack)]);
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
            let found = self.peers.reader.message(self.peers.id, message).ok().flatten();
            found.and_then(|row| row.delivery).unwrap_or(Delivery::Accepted)
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

impl Handler<ReceiptCame> for Channel {
    type Result = ();

    fn handle(&mut self, came: ReceiptCame, _: &mut Context<Self>) {
        let _taken = self.peers.in_hand.take_mark(came.receipt.mark());
        self.take(came);
    }
}
