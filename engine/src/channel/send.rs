//! Sending: the outbox says when; each try is written down before it leaves.

use actix::prelude::*;
use usher_domain::ids::{EnquiryId, MessageId};
use usher_domain::message::Delivery;
use usher_domain::outbox::{self, Effect, Item};
use usher_domain::record::{Event, Record};
use usher_domain::visitor::Change;

use super::{Channel, Leaving, OutcomeCame, Resume, ToSend, Withdraw};
use crate::directory::Remember;
use crate::enquiry::{Became, Told};
use crate::inbound::About;
use crate::ledger::Release;
use crate::metrics as names;
use crate::outgoing::{Disposition, ProviderCall, SendOutcome};

impl Channel {
    /// `said`: the provider's id of the message that it has taken, or its words of refusal.
    pub(super) fn perform(&mut self, effects: Vec<Effect>, said: Option<String>) {
        let mut said = said;
        for effect in effects {
            match effect {
                Effect::Send { message, attempt } => self.start(message, attempt),
                Effect::PutBack { message, code, .. } => {
                    self.write(Event::MessagePutBack { message, code: code.unwrap_or(0) });
                }
                Effect::Accepted { message } => {
                    self.accepted(message, &said.take().unwrap_or_default());
                }
                Effect::GiveUp { message, code } => {
                    self.gave_up(message, code.unwrap_or(0), said.take().unwrap_or_default());
                }
                Effect::Unknown { message } => {
                    metrics::counter!(names::OUTBOUND_UNKNOWN).increment(1);
                    self.write(Event::MessageUnknown { message });
                    self.left(message, Delivery::Unknown, None);
                }
                Effect::Withdrawn { message } => {
                    self.write(Event::MessageWithdrawn { message });
                    let enquiry = self.let_leave(message, "withdrawn");
                    if let Some(enquiry) = enquiry {
                        self.tell(enquiry, Told::Withdrawn { message });
                    }
                }
                Effect::StopChannel { why } => {
                    tracing::error!(channel = %self.id, ?why, "the channel cannot send; it is probed");
                    self.gauges.up.set(0.0);
                }
                Effect::ResumeProbe { .. } => {}
                Effect::Resumed => {
                    tracing::info!(channel = %self.id, "the channel sends again");
                    self.gauges.up.set(1.0);
                }
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a metric")]
        let pending = self.unsent.len() as f64;
        self.gauges.pending.set(pending);
        self.arm();
    }

    /// The request leaves only after it is durable that it may have left.
    fn start(&mut self, message: MessageId, attempt: u32) {
        let Some(Leaving { outgoing, .. }) = self.unsent.get(&message) else { return };
        if !self.calls.begin(message) {
            return;
        }
        let record = Record::new(self.peers.now(), Event::MessageSending { message, attempt });
        let call = Release::Provider(ProviderCall::Send(outgoing.clone()));
        self.peers.ledger.append(vec![record], vec![call]);
    }

    fn accepted(&mut self, message: MessageId, provider_id: &str) {
        self.write(Event::MessageAccepted { message, provider_id: provider_id.to_owned() });
        let enquiry = self.unsent.get(&message).and_then(|leaving| leaving.outgoing.enquiry);
        self.left(message, Delivery::Accepted, None);
        self.match_receipts(provider_id, About { message, enquiry });
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
        self.delivered.set(message, delivery);
        if let Some(enquiry) = self.let_leave(message, outcome) {
            let became = Became { message, delivery, failure, by_receipt: false };
            self.tell(enquiry, Told::Message(became));
        }
    }

    /// Gone from the outbox; the enquiry it was said in.
    fn let_leave(&mut self, message: MessageId, outcome: &'static str) -> Option<EnquiryId> {
        let Leaving { outgoing, class, .. } = self.unsent.remove(&message)?;
        let kind = match class {
            outbox::Priority::Staff => "staff",
            outbox::Priority::Bot => "bot",
            outbox::Priority::Auto => "auto",
            outbox::Priority::Campaign => "campaign",
        };
        metrics::counter!(names::MESSAGES, "direction" => "out", "kind" => kind, "outcome" => outcome)
            .increment(1);
        outgoing.enquiry
    }

    pub(super) fn write(&self, event: Event) {
        self.peers.ledger.append(vec![Record::new(self.peers.now(), event)], Vec::new());
    }

    fn outcome(&mut self, message: MessageId, outcome: SendOutcome) {
        let mut said = None;
        let command = match outcome {
            SendOutcome::Accepted { provider_id, .. } => {
                said = Some(provider_id);
                outbox::Command::Accepted { message }
            }
            SendOutcome::Refused { code, title, then } => {
                said = Some(title);
                self.learn_from_refusal(message, then);
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
        self.perform(effects, said);
    }

    /// What a final refusal says about the visitor.
    fn learn_from_refusal(&mut self, message: MessageId, then: Disposition) {
        let Disposition::Final { window_lapsed, opted_out } = then else { return };
        let Some(leaving) = self.unsent.get(&message) else { return };
        let (visitor, enquiry) = (leaving.visitor, leaving.outgoing.enquiry);
        if let Some(enquiry) = enquiry.filter(|_| window_lapsed) {
            self.tell(enquiry, Told::WindowLapsed);
        }
        if opted_out {
            let change = Change::OptOut;
            self.peers.directory.do_send(Remember {
                visitor,
                change,
                answer: None,
                and: Vec::new(),
            });
        }
    }
}

const fn how(then: Disposition) -> outbox::Disposition {
    match then {
        Disposition::Retry { after, named, slow_number, tries_max } => {
            outbox::Disposition::Retry { after, named, slow_number, max_tries: tries_max }
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
        self.unsent.insert(message, Leaving { outgoing, visitor, class });
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
        self.calls.end(message);
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
