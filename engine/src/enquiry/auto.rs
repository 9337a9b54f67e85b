//! What the machine asks for: notifications, closures, reminders, the state of the window.

use usher_domain::enquiry::auto_message::notification_text;
use usher_domain::enquiry::{Command, Effect, IdleClock, Notice, RemindWhy, Unsent};
use usher_domain::floor;
use usher_domain::floor::event::Closer;
use usher_domain::ids::MessageId;
use usher_domain::message::{Author, AutoMessage, Content, Delivery};
use usher_domain::outbox::Priority;
use usher_domain::record::{Event, MessageQueued};
use usher_domain::time::Timestamp;
use usher_protocol::event::{Event as Telling, Failure, Reminder};

use super::{Became, Enquiry};
use crate::channel::Withdraw;
use crate::metrics as names;

impl Enquiry {
    pub(super) fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.perform_one(effect);
        }
    }

    fn perform_one(&mut self, effect: Effect) {
        let enquiry = self.id;
        match effect {
            Effect::SendNotification { grace, withdraw_at } => {
                let own = self.settings().and_then(|channel| channel.auto_close_text.clone());
                let text = notification_text(own.as_deref(), grace);
                metrics::counter!(names::AUTO_CLOSE, "outcome" => "notified").increment(1);
                self.say(AutoMessage::AutoCloseNotification, &text, Some(withdraw_at));
            }
            Effect::WithdrawNotification { message } => {
                if let Some(channel) = self.peers.channel(self.channel) {
                    channel.do_send(Withdraw(message));
                }
            }
            Effect::NotificationUnsent { why } => {
                metrics::counter!(names::AUTO_CLOSE, "outcome" => "unsent").increment(1);
                self.write(
                    vec![Event::NotificationUnsent { enquiry, why: why.to_string() }],
                    Vec::new(),
                );
                self.remind(Reminder::NotificationUnsent);
            }
            Effect::RemindOwner { why } => self.remind(match why {
                RemindWhy::VisitorWaits => Reminder::VisitorWaits,
                RemindWhy::NotificationUnsent => Reminder::NotificationUnsent,
            }),
            Effect::Close { by, silent } => {
                let outcome = match by {
                    Closer::AutoClose { unanswered: true } => "closed_unanswered",
                    Closer::AutoClose { unanswered: false } => "closed",
                    Closer::Stale => "stale",
                    Closer::Staff { .. }
                    | Closer::Bot { .. }
                    | Closer::Merged
                    | Closer::Blocked => "other",
                };
                metrics::counter!(names::AUTO_CLOSE, "outcome" => outcome).increment(1);
                self.floor(floor::Command::Close { enquiry, by, silent, reason: None });
            }
            Effect::WindowOpened { until } => {
                self.tell(self.room(), &Telling::WindowOpened { enquiry, until: until.into() });
            }
            Effect::WindowClosing { until } => {
                self.tell(self.room(), &Telling::WindowClosing { enquiry, until: until.into() });
            }
            Effect::WindowClosed { by_provider } => {
                self.write(vec![Event::WindowLapsed { enquiry, by_provider }], Vec::new());
                self.tell(self.room(), &Telling::WindowClosed { enquiry, by_provider });
            }
        }
    }

    fn remind(&self, why: Reminder) {
        let closes_at = self.head_as(usher_protocol::event::Relation::Owner, None).closes_at;
        let owner = self.owner().into_iter().collect();
        self.tell(owner, &Telling::Reminder { enquiry: self.id, why, closes_at });
    }

    /// Queues a message that Usher sends by itself.
    pub(super) fn say(
        &mut self,
        which: AutoMessage,
        text: &str,
        withdraw_at: Option<Timestamp>,
    ) -> MessageId {
        let content = Content::Text { body: text.to_owned() };
        let author = Author::Auto { message: which };
        let queued = MessageQueued { withdraw_at, ..self.queued(author, content) };
        let message = queued.message;
        // First, so that the record leaves the clock waiting for this very message.
        if which == AutoMessage::AutoCloseNotification {
            self.note(Command::NotificationQueued { message });
        }
        self.queue(queued, Priority::Auto, None, Vec::new());
        message
    }

    /// A message of ours has come further, or will not.
    pub(super) fn became(&mut self, became: Became) {
        let Became { message, delivery, failure, by_receipt } = became;
        self.tell_notification(message, delivery, failure.as_ref().map(|(code, _)| *code));
        if failure.as_ref().is_some_and(|(code, _)| *code == 131_047) {
            // The provider's word on the window counts, whatever our clock says.
            let at = self.stamp();
            self.note(Command::WindowLapsedByProvider { at });
        }
        let telling = Telling::Status {
            enquiry: self.id,
            message,
            delivery,
            time: self.stamp().into(),
            failure: failure.map(|(code, title)| Failure { code, title }),
        };
        self.tell(self.room(), &telling);
        if !by_receipt {
            self.arm();
        }
    }

    fn tell_notification(&mut self, message: MessageId, delivery: Delivery, code: Option<i64>) {
        if !self.is_notification(message) {
            return;
        }
        let command = match delivery {
            Delivery::Accepted
            | Delivery::Sent
            | Delivery::Delivered
            | Delivery::Read
            | Delivery::Played => Command::NotificationAccepted { message },
            Delivery::Failed => {
                let why = match code {
                    Some(131_047) => Unsent::WindowLapsed,
                    code => Unsent::Refused { code: code.unwrap_or(0) },
                };
                Command::NotificationFailed { message, why }
            }
            Delivery::Unknown => Command::NotificationFailed { message, why: Unsent::Unknown },
            Delivery::Queued => return,
        };
        self.note(command);
        self.write(vec![Event::ClockSet { enquiry: self.id }], Vec::new());
        if matches!(self.machine.kept().clock, IdleClock::Grace { unsent: false, .. }) {
            self.remind(Reminder::AutoClose);
        }
    }

    fn is_notification(&self, message: MessageId) -> bool {
        match self.machine.kept().notice {
            Notice::Waiting { message: known } | Notice::Accepted { message: known } => {
                known == message
            }
            Notice::Unsent { message: known } => known == Some(message),
            Notice::None | Notice::Asked => false,
        }
    }

    pub(super) fn notification_withdrawn(&mut self, message: MessageId) {
        if self.is_notification(message) {
            self.note(Command::NotificationFailed { message, why: Unsent::Withdrawn });
            self.write(vec![Event::ClockSet { enquiry: self.id }], Vec::new());
        }
    }
}
