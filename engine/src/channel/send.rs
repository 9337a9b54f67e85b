//! Sending: the outbox says when; each try is written down before it leaves.

use actix::prelude::*;
use usher_domain::ids::MessageId;
use usher_domain::message::Delivery;
use usher_domain::outbox::{self, Effect, Item};
use usher_domain::record::{Event, Record};

use super::{Channel, OutcomeCame, Resume, ToSend, Withdraw};
use crate::enquiry::{Became, Told};
use crate::ledger::Release;
use crate::metrics as names;
use crate::outgoing::{Disposition, ProviderCall, SendOutcome};

impl Channel {
    /// `provider_id`: of the message that the provider has now.
    pub(super) fn perform(&mut self, effects: Vec<Effect>, provider_id: Option<String>) {
        let mut provider_id = provider_id;
        for effect in effects {
            match effect {
                Effect::Send { message, attempt } => self.start(message, attempt),
                Effect::PutBack { message, code, .. } => {
                    self.write(Event::MessagePutBack { message, code: code.unwrap_or(0) });
                }
                Effect::Accepted { message } => {
                    self.accepted(message, provider_id.take().unwrap_or_default());
                }
                Effect::GiveUp { message, code } => {
                    self.gave_up(message, code.unwrap_or(0), String::new());
                }
                Effect::Unknown { message } => {
                    metrics::counter!(names::OUTBOUND_UNKNOWN).increment(1);
                    self.write(Event::MessageUnknown { message });
                    self.left(message, Delivery::Unknown, None);
                }
                Effect::Withdrawn { message } => {
                    self.write(Event::MessageWithdrawn { message });
                    let enquiry =
                        self.unsent.remove(&message).and_then(|outgoing| outgoing.enquiry);
                    if let Some(enquiry) = enquiry {
                        self.tell(enquiry, Told::Withdrawn { message });
                    }
                }
                Effect::StopChannel { why } => {
                    tracing::error!(channel = %self.id, ?why, "the channel cannot send; it is probed");
                    metrics::gauge!(names::CHANNEL_UP, "channel" => self.id.to_string()).set(0.0);
                }
                Effect::ResumeProbe { .. } => {}
                Effect::Resumed => {
                    tracing::info!(channel = %self.id, "the channel sends again");
                    metrics::gauge!(names::CHANNEL_UP, "channel" => self.id.to_string()).set(1.0);
                }
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a metric")]
        let pending = self.unsent.len() as f64;
        metrics::gauge!(names::OUTBOUND_PENDING, "channel" => self.id.to_string()).set(pending);
        self.arm();
    }

    /// The request leaves only after it is durable that it may have left.
    fn start(&mut self, message: MessageId, attempt: u32) {
        let Some(outgoing) = self.unsent.get(&message) else { return };
        let record = Record::new(self.peers.now(), Event::MessageSending { message, attempt });
        let call = Release::Provider(ProviderCall::Send(outgoing.clone()));
        self.peers.ledger.append(vec![record], vec![call]);
    }

    fn accepted(&mut self, message: MessageId, provider_id: String) {
        self.write(Event::MessageAccepted { message, provider_id });
        self.left(message, Delivery::Accepted, None);
    }

    fn gave_up(&mut self, message: MessageId, code: i64, title: String) {
        self.write(Event::MessageFailed { message, code, title: title.clone() });
        self.left(message, Delivery::Failed, Some((code, title)));
    }

    /// Out of the outbox, one way or another.
    fn left(&mut self, message: MessageId, delivery: Delivery, failure: Option<(i64, String)>) {
        let outcome = match delivery {
            Delivery::Failed => "failed",
            Delivery::Unknown => "unknown",
            Delivery::Queued
            | Delivery::Accepted
            | Delivery::Sent
            | Delivery::Delivered
            | Delivery::Read
            | Delivery::Played => "accepted",
        };
        metrics::counter!(names::MESSAGES, "direction" => "out", "kind" => "message", "outcome" => outcome)
            .increment(1);
        self.delivered.set(message, delivery);
        let enquiry = self.unsent.remove(&message).and_then(|outgoing| outgoing.enquiry);
        if let Some(enquiry) = enquiry {
            let became = Became { message, delivery, failure, by_receipt: false };
            self.tell(enquiry, Told::Message(became));
        }
    }

    fn write(&self, event: Event) {
        self.peers.ledger.append(vec![Record::new(self.peers.now(), event)], Vec::new());
    }

    fn outcome(&mut self, message: MessageId, outcome: SendOutcome) {
        let mut provider_id_now = None;
        let command = match outcome {
            SendOutcome::Accepted { provider_id, .. } => {
                provider_id_now = Some(provider_id);
                outbox::Command::Accepted { message }
            }
            SendOutcome::Refused { code, then, .. } => {
                if let Disposition::Final { window_lapsed: true, .. } = then {
                    let enquiry = self.unsent.get(&message).and_then(|outgoing| outgoing.enquiry);
                    if let Some(enquiry) = enquiry {
                        self.tell(enquiry, Told::WindowLapsed);
                    }
                }
                outbox::Command::Refused { message, code, how: how(then) }
            }
            SendOutcome::Ambiguous => outbox::Command::Ambiguous { message },
            SendOutcome::NotSent => outbox::Command::NotSent { message },
        };
        let mut effects = Vec::new();
        if let Err(refused) = self.outbox.apply(self.peers.now(), command, &mut effects) {
            // A receipt may have settled it before the answer came.
            tracing::debug!(%refused, "an outcome for a message that is settled");
        }
        self.perform(effects, provider_id_now);
    }
}

const fn how(then: Disposition) -> outbox::Disposition {
    match then {
        Disposition::Retry { after, slow_number, tries_max } => {
            outbox::Disposition::Retry { after, slow_number, max_tries: tries_max }
        }
        Disposition::PairRate => outbox::Disposition::PairRate,
        Disposition::StopChannel => outbox::Disposition::StopChannel,
        Disposition::HoldBack(time) => outbox::Disposition::HoldBack(time),
        Disposition::Final { .. } => outbox::Disposition::Final,
    }
}

impl Handler<ToSend> for Channel {
    type Result = ();

    fn handle(&mut self, message: ToSend, _: &mut Context<Self>) {
        let ToSend { outgoing, visitor, class, withdraw_at, in_doubt } = message;
        let message = outgoing.message;
        let item = Item { message, visitor, class, withdraw_at };
        let push = if in_doubt {
            outbox::Command::PushAmbiguous(item)
        } else {
            outbox::Command::Push(item)
        };
        self.unsent.insert(message, outgoing);
        let mut effects = Vec::new();
        let outcome = self.outbox.apply(self.peers.now(), push, &mut effects);
        self.perform(effects, None);
        if let Err(refused) = outcome {
            tracing::warn!(%refused, channel = %self.id, "a message could not be put into the outbox");
            self.gave_up(message, 0, refused.to_string());
        }
    }
}

impl Handler<Withdraw> for Channel {
    type Result = ();

    fn handle(&mut self, Withdraw(message): Withdraw, _: &mut Context<Self>) {
        let mut effects = Vec::new();
        // Refused when it has left already: then it is too late, and nothing changes.
        self.outbox
            .apply(self.peers.now(), outbox::Command::Withdraw { message }, &mut effects)
            .ok();
        self.perform(effects, None);
    }
}

impl Handler<OutcomeCame> for Channel {
    type Result = ();

    fn handle(&mut self, OutcomeCame { message, outcome }: OutcomeCame, _: &mut Context<Self>) {
        self.outcome(message, outcome);
    }
}

impl Handler<Resume> for Channel {
    type Result = ();

    fn handle(&mut self, _: Resume, _: &mut Context<Self>) {
        let mut effects = Vec::new();
        // Resuming a channel that was not stopped changes nothing.
        self.outbox.apply(self.peers.now(), outbox::Command::Resume, &mut effects).ok();
        self.perform(effects, None);
    }
}
