//! Updates from visitors: they join the live enquiry, open one, or are kept beside.

use std::sync::Arc;

use actix::prelude::*;
use usher_domain::floor::event::{Closer, FloorEvent};
use usher_domain::message::{Content, Counts};
use usher_domain::outbox;
use usher_domain::record::{After, Event, MessageReceived, Record};
use usher_domain::settings::ChannelState;
use usher_domain::time::Timestamp;
use usher_domain::trace::Step;
use usher_domain::visitor::{Change, Visitor};

use super::{Channel, Heard};
use crate::directory::{Pin, Remember};
use crate::enquiry::{Enquiry, Opened, Told};
use crate::inbound::{Inbound, InboundBody, InboundMessage, kept};
use crate::ledger::{Ack, Release};
use crate::peers::{new_enquiry, new_message};

impl Channel {
    fn hear(&mut self, visitor: Arc<Visitor>, update: Inbound, ack: Arc<Ack>) {
        let opens = match &update.body {
            InboundBody::Message(message) => {
                message.counts.opens() && !self.opts_out(&message.content)
            }
            _ => false,
        };
        if let InboundBody::Message(message) = &update.body
            && self.opts_out(&message.content)
        {
            self.remember(&visitor, Change::OptOut);
        }
        if let Some(enquiry) = self.lives.of(visitor.id) {
            self.tell(enquiry, Told::Visitor { visitor, update: Box::new(update), ack });
        } else if opens && visitor.blocked {
            self.open_and_close(&visitor, update, ack);
        } else if opens && self.opens() {
            self.open(visitor, update, ack);
        } else {
            self.keep_beside(&visitor, update, ack);
        }
    }

    /// Whether messages open enquiries here.
    pub(super) fn opens(&self) -> bool {
        let state = self.peers.channel_settings(self.id).map(|channel| channel.state);
        matches!(state, Some(ChannelState::Live | ChannelState::Connecting))
    }

    fn open(&mut self, visitor: Arc<Visitor>, update: Inbound, ack: Arc<Ack>) {
        let update = Box::new(update);
        let first = Told::Visitor { visitor: Arc::clone(&visitor), update, ack };
        self.open_with(visitor, first);
    }

    pub(super) fn open_with(&mut self, visitor: Arc<Visitor>, first: Told) {
        let enquiry = new_enquiry();
        let id = visitor.id;
        let opened = Opened { enquiry, channel: self.id, visitor };
        self.lives.open(Enquiry::open(self.peers.clone(), opened), id, first);
        self.peers.directory.do_send(Pin { visitor: id, on: true });
    }

    /// From somebody on the blocklist: stored and closed at once, and nothing is sent.
    fn open_and_close(&self, visitor: &Visitor, update: Inbound, ack: Arc<Ack>) {
        let InboundBody::Message(message) = update.body else { return };
        let enquiry = new_enquiry();
        let now = self.peers.now();
        let events = [
            Event::EnquiryOpened { enquiry, channel: self.id, visitor: visitor.id },
            Event::MessageReceived(Box::new(MessageReceived {
                enquiry: Some(enquiry),
                ..received(self.id, visitor, *message, self.peers.wall_now())
            })),
            Event::Floor(FloorEvent::Decided { enquiry, steps: vec![Step::Blocked] }),
            Event::Floor(FloorEvent::Closed {
                enquiry,
                by: Closer::Blocked,
                silent: true,
                reason: None,
                owner: None,
            }),
        ];
        let mut records: Vec<Record> =
            events.into_iter().map(|event| Record::new(now, event)).collect();
        if let Some(last) = records.last_mut() {
            // Nobody goes on from it.
            last.after.push(After::Enquiry { enquiry, kept: None });
        }
        self.peers.ledger.append(records, [Release::Ack(ack)]);
    }

    /// No enquiry is live and none is opened: it stands in the thread all the same.
    fn keep_beside(&self, visitor: &Visitor, update: Inbound, ack: Arc<Ack>) {
        let now = self.peers.now();
        let (channel, enquiry) = (self.id, None);
        let visitor_id = visitor.id;
        let event = match update.body {
            InboundBody::Message(message) => {
                let received = received(channel, visitor, *message, self.peers.wall_now());
                metrics::counter!(crate::metrics::MESSAGES, "direction" => "in", "kind" => "message", "outcome" => "beside")
                    .increment(1);
                if received.counts.extends_window() {
                    let until = received.provider_at + std::time::Duration::from_hours(24);
                    self.remember(visitor, Change::WindowExtended { channel, until });
                }
                Event::MessageReceived(Box::new(received))
            }
            InboundBody::Echo { provider_id, provider_at, content, .. } => {
                Event::MessageReceived(Box::new(MessageReceived {
                    message: new_message(),
                    channel,
                    visitor: visitor_id,
                    enquiry,
                    provider_id,
                    provider_at,
                    counts: Counts::Echo,
                    content,
                    reply_to: None,
                    referral: None,
                    forwarded: false,
                }))
            }
            InboundBody::Edit { provider_id, of, content, .. } => Event::MessageEdited {
                channel,
                visitor: visitor_id,
                enquiry,
                provider_id,
                of,
                content,
            },
            InboundBody::Revoke { provider_id, of, .. } => {
                Event::MessageRevoked { channel, visitor: visitor_id, enquiry, provider_id, of }
            }
            InboundBody::Reaction { provider_id, on, emoji, .. } => Event::Reacted {
                channel,
                visitor: visitor_id,
                enquiry,
                provider_id,
                on,
                emoji,
                by: None,
            },
            InboundBody::Notice { provider_id, text, .. } => {
                Event::SystemNoticed { channel, visitor: visitor_id, enquiry, provider_id, text }
            }
            InboundBody::NumberChanged { .. }
            | InboundBody::UserIdChanged { .. }
            | InboundBody::Receipt(_)
            | InboundBody::Preference { .. }
            | InboundBody::Account { .. }
            | InboundBody::UnknownNumber { .. }
            | InboundBody::Unattributed { .. } => {
                let raw = kept(update.raw);
                Event::ProviderNoticed { channel, field: "messages".into(), raw }
            }
        };
        self.peers.ledger.append([Record::new(now, event)], [Release::Ack(ack)]);
    }

    fn remember(&self, visitor: &Visitor, change: Change) {
        self.peers.directory.do_send(Remember {
            visitor: visitor.id,
            change,
            answer: None,
            and: Vec::new(),
        });
    }

    /// A word or a tap on a button by which a visitor opts out, and nothing else: it opens no enquiry.
    pub(super) fn opts_out(&self, content: &Content) -> bool {
        let said = match content {
            Content::Text { body } => Some(body.as_str()),
            Content::Choice { id, .. } => Some(id.as_str()),
            _ => None,
        };
        let Some((said, channel)) = said.zip(self.peers.channel_settings(self.id)) else {
            return false;
        };
        channel.opt_out_words.iter().any(|word| word.eq_ignore_ascii_case(said.trim()))
    }
}

/// A visitor's message as the journal keeps it, with no enquiry yet.
pub(crate) fn received(
    channel: usher_domain::ids::ChannelId,
    visitor: &Visitor,
    message: InboundMessage,
    now: Timestamp,
) -> MessageReceived {
    MessageReceived {
        message: new_message(),
        channel,
        visitor: visitor.id,
        enquiry: None,
        provider_id: message.provider_id,
        provider_at: message.provider_at.unwrap_or(now),
        counts: message.counts,
        content: message.content,
        reply_to: message.reply_to,
        referral: message.referral,
        forwarded: message.forwarded,
    }
}

impl Handler<Heard> for Channel {
    type Result = ();

    fn handle(&mut self, Heard { visitor, update, ack }: Heard, _: &mut Context<Self>) {
        #[expect(clippy::cast_precision_loss, reason = "a metric in seconds")]
        let now = self.peers.wall_now().millis() as f64 / 1_000.0;
        self.gauges.last_inbound.set(now);
        let mut effects = Vec::new();
        // What comes in counts against the number's limit; it is never refused.
        self.outbox.apply(self.peers.now(), outbox::Command::Inbound, &mut effects).ok();
        self.perform(effects, None);
        let _taken = self.peers.in_hand.take(&update.body);
        self.hear(visitor, update, ack);
    }
}
