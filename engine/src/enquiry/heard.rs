//! What the visitor says and does in a live enquiry.

use std::sync::Arc;

use usher_domain::enquiry::Command;
use usher_domain::enquiry::auto_message::{OpenedBy, Opening, welcome_due};
use usher_domain::floor;
use usher_domain::ids::{ChannelId, EnquiryId, VisitorId};
use usher_domain::message::{AutoMessage, Content, Counts};
use usher_domain::record::{Event, MessageReceived};
use usher_domain::time::Timestamp;
use usher_domain::visitor::{Change, Visitor};
use usher_protocol::event::{Direction, Event as Telling, Message, Writer, preview, shown};

use super::Enquiry;
use crate::channel::received;
use crate::clip;
use crate::directory::Remember;
use crate::inbound::{Inbound, InboundBody, InboundMessage, kept};
use crate::ledger::{Ack, Release};
use crate::metrics::MESSAGES;
use crate::outgoing::ProviderCall;
use crate::router::Decide;

/// Most bytes of a provider's notice shown in a room.
const NOTICE_MAX: usize = 2_048;

/// What a visitor said while the channel opened nothing.
#[derive(Clone, Debug)]
pub(crate) struct Waited {
    /// The beginning of the first message.
    pub(crate) first: Option<String>,
    /// Of the newest.
    pub(crate) provider_id: Option<String>,
    pub(crate) provider_at: Timestamp,
    pub(crate) counts: Counts,
    /// When it came here.
    pub(crate) at: Timestamp,
    /// It answers something.
    pub(crate) replies: bool,
}

/// When the opening message came.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Came {
    InTime,
    /// Written before the last closing.
    Late,
    /// Who wrote then is routed only while they can be answered.
    WhileNothingOpened,
}

impl Enquiry {
    pub(super) fn hear(&mut self, visitor: Arc<Visitor>, update: Inbound, ack: Arc<Ack>) {
        self.visitor = visitor;
        match update.body {
            InboundBody::Message(message) => self.hear_message(*message, ack),
            InboundBody::Echo { provider_id, provider_at, content, .. } => {
                self.hear_echo(provider_id, provider_at, content, ack);
            }
            InboundBody::Edit { provider_id, of, content, .. } => {
                self.hear_edit(provider_id, of, content, ack);
            }
            InboundBody::Revoke { provider_id, of, .. } => self.hear_revoke(provider_id, of, ack),
            InboundBody::Reaction { provider_id, on, emoji, .. } => {
                self.hear_reaction(provider_id, on, emoji, ack);
            }
            InboundBody::Notice { provider_id, text, .. } => {
                let (channel, visitor, enquiry) = self.of_room();
                let mut told = text.clone();
                clip::clip(&mut told, NOTICE_MAX);
                let event = Event::SystemNoticed { channel, visitor, enquiry, provider_id, text };
                self.write([event], [Release::Ack(ack)]);
                self.notice(self.room(), told);
            }
            InboundBody::NumberChanged { .. }
            | InboundBody::UserIdChanged { .. }
            | InboundBody::Receipt(_)
            | InboundBody::Preference { .. }
            | InboundBody::Account { .. }
            | InboundBody::UnknownNumber { .. }
            | InboundBody::Unattributed { .. } => {
                let (channel, raw) = (self.channel, kept(update.raw));
                let event = Event::ProviderNoticed { channel, field: "messages".into(), raw };
                self.write([event], [Release::Ack(ack)]);
            }
        }
    }

    /// What every record about this room says of it.
    fn of_room(&self) -> (ChannelId, VisitorId, Option<EnquiryId>) {
        (self.channel, self.visitor.id, Some(self.id))
    }

    fn hear_echo(
        &mut self,
        provider_id: String,
        provider_at: Timestamp,
        content: Content,
        ack: Arc<Ack>,
    ) {
        let message = InboundMessage {
            sender: crate::inbound::Sender::default(),
            provider_id,
            provider_at: Some(provider_at),
            counts: Counts::Echo,
            content,
            reply_to: None,
            referral: None,
            forwarded: false,
        };
        self.hear_message(message, ack);
    }

    fn hear_edit(&mut self, provider_id: String, of: String, content: Content, ack: Arc<Ack>) {
        let (channel, visitor, enquiry) = self.of_room();
        let now = self.stamp();
        self.note(Command::VisitorWrote { counts: Counts::Edit, provider_at: now });
        let (target, told) = (self.message_of(&of), clip::content(shown(&content)));
        let event = Event::MessageEdited { channel, visitor, enquiry, provider_id, of, content };
        self.write([event], [Release::Ack(ack)]);
        if let Some(message) = target {
            let telling =
                Telling::Edited { enquiry: self.id, message, content: told, time: now.into() };
            self.tell(self.room(), &telling);
        }
    }

    fn hear_revoke(&mut self, provider_id: String, of: String, ack: Arc<Ack>) {
        let (channel, visitor, enquiry) = self.of_room();
        let target = self.message_of(&of);
        let event = Event::MessageRevoked { channel, visitor, enquiry, provider_id, of };
        self.write([event], [Release::Ack(ack)]);
        if let Some(message) = target {
            let time = self.stamp().into();
            self.tell(self.room(), &Telling::Revoked { enquiry: self.id, message, time });
        }
    }

    fn hear_reaction(
        &mut self,
        provider_id: String,
        on: String,
        emoji: Option<String>,
        ack: Arc<Ack>,
    ) {
        let (channel, visitor, enquiry) = self.of_room();
        let (target, told) = (self.message_of(&on), emoji.clone());
        let event = Event::Reacted { channel, visitor, enquiry, provider_id, on, emoji, by: None };
        self.write([event], [Release::Ack(ack)]);
        if let Some(message) = target {
            let (writer, time) = (Writer::Visitor, self.stamp().into());
            let telling = Telling::Reacted { enquiry: self.id, message, writer, emoji: told, time };
            self.tell(self.room(), &telling);
        }
    }

    fn hear_message(&mut self, message: InboundMessage, ack: Arc<Ack>) {
        #[cfg(test)]
        crate::faults::trip(&message.provider_id);
        let now = self.stamp();
        let opening = !self.routed;
        let counts = message.counts;
        let received = received(self.channel, &self.visitor, message, now);
        let received = MessageReceived { enquiry: Some(self.id), ..received };
        let provider_at = received.provider_at;
        let delayed = self.is_delayed(provider_at);
        self.note(Command::VisitorWrote { counts, provider_at });
        if self.first_message.is_none() {
            self.first_message = preview(&received.content).map(String::into_boxed_str);
        }
        self.last_inbound = Some(received.provider_id.clone());
        let for_the_bot = self.bot_hears(&received);
        let releases = [Release::Ack(ack)].into_iter().chain(self.fetch(&received));
        let replies = received.reply_to.is_some();
        let opened = std::mem::take(&mut self.unopened).then(|| {
            let (enquiry, channel, visitor) = (self.id, self.channel, self.visitor.id);
            Event::EnquiryOpened { enquiry, channel, visitor }
        });
        let order = self.peers.ledger.last() + u64::from(opened.is_some()) + 1;
        let telling = self.telling_of(&received, order);
        let received = Event::MessageReceived(Box::new(received));
        self.write(opened.into_iter().chain([received]), releases);
        count_taken(counts);
        if opening {
            let opened_by = match (delayed, replies && self.answers_template()) {
                (true, _) => OpenedBy::OldMessage,
                (false, true) => OpenedBy::Reply,
                (false, false) => OpenedBy::Message,
            };
            self.begin(opened_by, false);
        } else if counts != Counts::Echo {
            let window_until = self.machine.kept().window_until;
            let opens = counts.opens();
            self.floor(floor::Command::VisitorWrote { enquiry: self.id, opens, window_until });
        } else {
            self.floor(floor::Command::WeWrote { enquiry: self.id });
        }
        self.perform_talk(for_the_bot);
        self.tell(self.room(), &telling);
    }

    /// Its messages stand in the room that opens now.
    pub(super) fn take_up_what_waited(&mut self, waited: Waited) {
        let Waited { first, provider_id, provider_at, counts, replies, .. } = waited;
        self.note(Command::VisitorWrote { counts, provider_at });
        self.first_message = first.map(String::into_boxed_str);
        self.last_inbound = provider_id;
        self.unopened = false;
        let (enquiry, channel, visitor) = (self.id, self.channel, self.visitor.id);
        self.write([Event::EnquiryOpened { enquiry, channel, visitor }], []);
        let replied = replies && self.answers_template();
        self.begin(if replied { OpenedBy::Reply } else { OpenedBy::Message }, true);
    }

    /// Written before the last closing, and come only now.
    fn is_delayed(&self, provider_at: Timestamp) -> bool {
        // The provider's time has whole seconds: one in the second of the closing is not older.
        let second = |at: Timestamp| at.millis() / 1_000;
        let memory = self.visitor.channels.get(&self.channel);
        memory
            .and_then(|memory| memory.last_closed_at)
            .is_some_and(|closed| second(provider_at) < second(closed))
    }

    /// The opening message: welcome, then the floor.
    fn begin(&mut self, opened_by: OpenedBy, waited: bool) {
        let now = self.stamp();
        let memory = self.visitor.channels.get(&self.channel);
        let lapsed = !self.machine.window_is_open(self.now);
        let opening = Opening {
            by: if lapsed { OpenedBy::OldMessage } else { opened_by },
            last_welcomed: memory.and_then(|memory| memory.welcomed_at),
            first_contact: memory.is_none_or(|memory| memory.last_closed_at.is_none()),
            staffed: self.peers.staffed.get(),
        };
        let welcome = self.settings().map(|channel| channel.welcome.clone());
        if let Some(welcome) = welcome.filter(|welcome| welcome_due(welcome, &opening, now)) {
            self.say(AutoMessage::Welcome, &welcome.text, None);
            self.remember(Change::Welcomed { channel: self.channel });
        }
        self.use_up_engagement();
        self.ask_the_way(match opened_by {
            _ if waited => Came::WhileNothingOpened,
            OpenedBy::OldMessage => Came::Late,
            OpenedBy::Message | OpenedBy::Reply => Came::InTime,
        });
    }

    /// After a restart: what was said was written down in the turn of the message; the way was not.
    /// `waited`: it was said before the enquiry was opened.
    pub(super) fn route(&mut self, provider_at: Timestamp, waited: bool) {
        self.ask_the_way(match self.is_delayed(provider_at) {
            _ if waited => Came::WhileNothingOpened,
            true => Came::Late,
            false => Came::InTime,
        });
    }

    fn ask_the_way(&mut self, came: Came) {
        self.routed = true;
        let lapsed = came == Came::WhileNothingOpened && !self.machine.window_is_open(self.now);
        let route = floor::Route {
            enquiry: self.id,
            channel: self.channel,
            visitor: (*self.visitor).clone(),
            country: self.visitor.country().map(Box::from),
            window_until: self.machine.kept().window_until,
            delayed: came == Came::Late,
            lapsed,
        };
        self.floor(floor::Command::Route(Box::new(route)));
    }

    fn use_up_engagement(&self) {
        let kind = usher_domain::trace::BindingKind::Engagement;
        if self.visitor.binding(self.stamp(), kind, self.channel).is_some() {
            self.remember(Change::UseUpEngagement { channel: self.channel });
        }
    }

    /// Whether what was replied to is a template of ours.
    fn answers_template(&self) -> bool {
        let kind = usher_domain::trace::BindingKind::Engagement;
        self.visitor.binding(self.stamp(), kind, self.channel).is_some()
    }

    pub(super) fn remember(&self, change: Change) {
        let visitor = self.visitor.id;
        self.peers.directory.do_send(Remember { visitor, change, answer: None, and: Vec::new() });
    }

    pub(super) fn floor(&self, command: floor::Command) {
        self.peers.router.do_send(Decide { command, answer: None });
    }

    fn telling_of(&self, received: &MessageReceived, order: u64) -> Telling {
        let echo = received.counts == Counts::Echo;
        let message = Message {
            id: received.message,
            enquiry: self.id,
            order,
            direction: if echo { Direction::Out } else { Direction::In },
            writer: if echo { Writer::Phone } else { Writer::Visitor },
            content: clip::content(shown(&received.content)),
            time: self.stamp().into(),
            provider_time: Some(received.provider_at.into()),
            reply_to: received.reply_to.as_deref().and_then(|id| self.message_of(id)),
            delivery: None,
            failure: None,
            key: None,
            referral: received.referral.as_deref().map(clip::referral).map(Box::new),
            forwarded: received.forwarded,
            changed: None,
            reactions: Vec::new(),
        };
        Telling::Received { message: Box::new(message) }
    }

    /// A file that came with a message is fetched once the message is durable.
    fn fetch(&self, received: &MessageReceived) -> Option<Release> {
        let Content::Media(media) = &received.content else { return None };
        let provider_id = media.provider_id.clone()?;
        Some(Release::Provider(ProviderCall::Fetch {
            service: self.peers.id,
            channel: self.channel,
            message: received.message,
            provider_id,
            mime_type: media.mime_type.clone(),
            filename: media.filename.clone(),
            sha256: media.sha256.clone(),
        }))
    }

    /// Ours, by the provider's id.
    pub(super) fn message_of(&self, provider_id: &str) -> Option<usher_domain::ids::MessageId> {
        match self.peers.reader.message_by_provider_id(self.peers.id, provider_id) {
            Ok(row) => row.map(|row| row.message),
            Err(error) => {
                tracing::warn!(%error, "the archive could not be asked for a message");
                None
            }
        }
    }
}

/// What nearly all are has its labels made once.
fn count_taken(counts: Counts) {
    let taken = match kind(counts) {
        "message" => {
            metrics::counter!(MESSAGES, "direction" => "in", "kind" => "message", "outcome" => "taken")
        }
        kind => {
            metrics::counter!(MESSAGES, "direction" => "in", "kind" => kind, "outcome" => "taken")
        }
    };
    taken.increment(1);
}

const fn kind(counts: Counts) -> &'static str {
    match counts {
        Counts::Message => "message",
        Counts::Unsupported => "unsupported",
        Counts::Edit => "edit",
        Counts::Nothing => "other",
        Counts::Echo => "echo",
    }
}
