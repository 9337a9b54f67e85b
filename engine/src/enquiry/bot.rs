//! While a bot holds the enquiry: what it is asked, and what is done of what it says.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::oneshot;
use usher_domain::bot::{Command, Effect, Leave, Question, Refusal as Refused, Talk, wants_out};
use usher_domain::enquiry::Command as Clock;
use usher_domain::enquiry::auto_message::as_sent;
use usher_domain::floor;
use usher_domain::floor::event::Closer;
use usher_domain::floor::place::Stage;
use usher_domain::ids::{BotCallId, BotId, MessageId};
use usher_domain::message::{Author, Content};
use usher_domain::outbox::Priority;
use usher_domain::record::{After, Event, MessageQueued, MessageReceived};
use usher_domain::settings::Settings;
use usher_domain::visitor::Change;
use usher_protocol::event::Named;
use usher_protocol::refusal::{Code, Refusal};
use usher_store::{Cursor, StoreError};
use uuid::Uuid;

use super::Enquiry;
use super::orders::of_clock;
use crate::handle::Answer;
use crate::history;
use crate::ledger::{Credit, Release};
use crate::outgoing::{BotAction, BotCall, BotSaid, BotWord, ProviderCall};
use crate::peers::Peers;

/// Messages that a bot is shown, the one it is asked about among them.
const LAST: usize = 20;
/// Keys of a bot's words remembered here; older ones are in the archive.
const KEYS_MAX: usize = 64;

/// The visitor's newest message that a bot may be asked about.
#[derive(Clone, Debug)]
pub(super) struct Newest {
    message: MessageId,
    /// Bots one of whose hand-over words it holds.
    wants_out_of: Vec<BotId>,
}

impl Newest {
    fn of(settings: &Settings, message: MessageId, content: &Content) -> Self {
        let said = match content {
            Content::Text { body } => Some(body.as_str()),
            Content::Choice { title, .. } => Some(title.as_str()),
            Content::Media(media) => media.caption.as_deref(),
            Content::Location { .. }
            | Content::Contacts { .. }
            | Content::Form { .. }
            | Content::Order { .. }
            | Content::Template(_)
            | Content::Unsupported { .. } => None,
        };
        let bots = settings.bots.values();
        let wants_out_of = bots
            .filter(|bot| said.is_some_and(|said| wants_out(&bot.hand_over_words, said)))
            .map(|bot| bot.id)
            .collect();
        Self { message, wants_out_of }
    }

    fn asked_of(&self, bot: BotId) -> Command {
        let call = BotCallId::new(Uuid::now_v7());
        let question = Question { call, message: self.message };
        Command::VisitorWrote { question, wants_out: self.wants_out_of.contains(&bot) }
    }
}

impl Enquiry {
    pub(super) fn talk_kept(&self) -> After {
        let talk = self.rare.talk.as_ref().map(|talk| Box::new(talk.kept().clone()));
        After::Talk { enquiry: self.id, talk }
    }

    /// The bot has it: it is asked about what the visitor said last.
    pub(super) fn begin_talk(&mut self, bot: BotId) {
        self.rare.write().talk = Some(Talk::new(bot));
        self.talk_changed = true;
        if self.rare.newest.is_none() {
            self.rare.write().newest = self.newest_in_archive();
        }
        if let Some(newest) = &self.rare.newest {
            let effects = self.tell_talk(newest.asked_of(bot));
            self.perform_talk(effects);
        }
    }

    pub(super) fn end_talk(&mut self) {
        if self.rare.existing().and_then(|parts| parts.talk.take()).is_some() {
            self.talk_changed = true;
        }
    }

    /// After a restart; the floor's word on who holds it is what counts.
    pub(super) fn resume_talk(&mut self) {
        let held_by = match self.place.as_ref().map(|place| place.stage) {
            Some(Stage::WithBot { bot }) => Some(bot),
            _ => None,
        };
        match (held_by, self.rare.talk.as_ref().map(Talk::bot)) {
            (Some(bot), Some(talking)) if bot == talking => {
                let effects = self.tell_talk(Command::Recovered);
                self.perform_talk(effects);
            }
            (Some(bot), Some(_) | None) => self.begin_talk(bot),
            (None, _) => self.end_talk(),
        }
        if self.talk_changed {
            self.write(vec![Event::ClockSet { enquiry: self.id }], Vec::new());
        }
    }

    pub(super) fn let_talk_expire(&mut self) {
        let now = self.now;
        let mut effects = Vec::new();
        if let Some(talk) = self.rare.talk() {
            talk.expire(now, &mut effects);
        }
        if !effects.is_empty() {
            self.talk_changed = true;
            self.write(vec![Event::ClockSet { enquiry: self.id }], Vec::new());
        }
        self.perform_talk(effects);
    }

    /// Before the message is written down; what comes back is to be performed after that.
    pub(super) fn bot_hears(&mut self, received: &MessageReceived) -> Vec<Effect> {
        let settings = &self.peers.settings;
        if settings.bots.is_empty() || !received.counts.opens() {
            return Vec::new();
        }
        let newest = Newest::of(settings, received.message, &received.content);
        let asked = self.rare.talk.as_ref().map(|talk| newest.asked_of(talk.bot()));
        self.rare.write().newest = Some(newest);
        asked.map(|asked| self.tell_talk(asked)).unwrap_or_default()
    }

    fn tell_talk(&mut self, command: Command) -> Vec<Effect> {
        let mut effects = Vec::new();
        let now = self.now;
        if let Some(talk) = self.rare.talk() {
            self.talk_changed = true;
            if let Err(refused) = talk.apply(now, command, &mut effects) {
                tracing::debug!(%refused, "the talk with a bot was told in vain");
            }
        }
        effects
    }

    pub(super) fn perform_talk(&self, effects: Vec<Effect>) {
        let Some(bot) = self.rare.talk.as_ref().map(Talk::bot) else { return };
        let enquiry = self.id;
        for effect in effects {
            let command = match effect {
                Effect::Ask(question) => {
                    self.put_to_bot(bot, question);
                    continue;
                }
                Effect::Leave(Leave::HandOver) => {
                    floor::Command::BotLeft { enquiry, failed: false }
                }
                Effect::Leave(Leave::Failed) => floor::Command::BotLeft { enquiry, failed: true },
                Effect::Leave(Leave::Close) => {
                    let by = Closer::Bot { bot };
                    floor::Command::Close { enquiry, by, silent: false, reason: None }
                }
            };
            self.floor(command);
        }
    }

    /// The call leaves once the archive, and so the journal, has what it is about.
    fn put_to_bot(&self, bot: BotId, question: Question) {
        let about = self.about(bot, question.call);
        let peers = self.peers.clone();
        actix::spawn(async move {
            let seq = peers.ledger.last();
            if let Err(stuck) = peers.archive.wait(peers.id, seq).await {
                // The talk's own patience ends it.
                tracing::error!(%stuck, %bot, "a bot could not be asked");
                return;
            }
            match about.call(&peers, question.message) {
                Ok(Some(call)) => {
                    peers.ledger.release(Release::Provider(ProviderCall::Bot(Box::new(call))));
                }
                Ok(None) => tracing::error!(%bot, "what a bot was to be asked about has gone"),
                Err(error) => tracing::error!(%error, %bot, "a bot could not be asked"),
            }
        });
    }

    fn about(&self, bot: BotId, id: BotCallId) -> About {
        let place = self.place.as_ref();
        let name = self.settings().map_or("", |channel| &channel.name);
        About {
            bot,
            id,
            enquiry: self.id,
            channel: Named::new(self.channel, name),
            opened_at: self.machine.kept().opened_at,
            visitor: self.visitor.id,
            person: self.person(true),
            language: place.and_then(|place| place.language.as_deref()).map(str::to_owned),
            country: place.and_then(|place| place.country.as_deref()).map(str::to_owned),
        }
    }

    /// As it was before a restart.
    fn newest_in_archive(&self) -> Option<Newest> {
        let of = (self.channel, self.visitor.id);
        let rows = self.peers.reader.thread(self.peers.id, of, Cursor::Latest, LAST);
        let rows = rows
            .inspect_err(|error| tracing::error!(%error, "a room could not be read"))
            .unwrap_or_default();
        let asked = |row: &&usher_store::MessageRow| {
            row.enquiry == Some(self.id)
                && row.author.is_none()
                && row.counts.is_some_and(usher_domain::message::Counts::opens)
        };
        let row = rows.iter().rev().find(asked)?;
        Some(Newest::of(&self.peers.settings, row.message, &row.content))
    }

    /// A bot has said something: in answer to a call, or by itself.
    pub(super) fn bot_speaks(
        &mut self,
        word: BotWord,
        to: oneshot::Sender<Answer>,
        credit: Credit,
    ) {
        match self.take_word(word) {
            Ok(messages) => {
                let answer = Ok(json!({ "messages": messages }));
                self.peers.ledger.release(Release::Answer { to, answer, credit });
            }
            Err(refusal) => {
                // Whoever asked may have gone.
                to.send(Err(refusal)).ok();
            }
        }
    }

    fn take_word(&mut self, word: BotWord) -> Result<Vec<MessageId>, Refusal> {
        let BotWord { bot, call, key, said } = word;
        if self.is_closing() {
            return Err(Code::Closed.into());
        }
        if let Some(before) = key.as_deref().and_then(|key| self.said_before(bot, key)) {
            return Ok(before);
        }
        if self.rare.talk.as_ref().is_none_or(|talk| talk.bot() != bot) {
            return Err(Refusal::saying(Code::NotOwner, "The bot does not hold the enquiry."));
        }
        let (actions, leave) = self.judged(said, call.is_some())?;
        let command = match call {
            Some(call) => Command::Answered { call, leave },
            None => Command::Spoke { leave },
        };
        let mut effects = Vec::new();
        let now = self.now;
        let outcome =
            self.rare.talk().map_or(Ok(()), |talk| talk.apply(now, command, &mut effects));
        self.talk_changed = true;
        let messages = match outcome {
            Ok(()) => self.act(bot, actions, key.as_deref()),
            Err(_) => Vec::new(),
        };
        self.write(vec![Event::ClockSet { enquiry: self.id }], Vec::new());
        self.perform_talk(effects);
        outcome.map(|()| messages).map_err(|refused| match refused {
            Refused::NotAsked => {
                Refusal::saying(Code::NotFound, "No answer to that call is awaited.")
            }
            Refused::Leaving => Refusal::saying(Code::NotOwner, "The bot has let go already."),
        })
    }

    /// What is to be done, and whether the bot lets go by it. What cannot be done is refused to a
    /// bot that speaks by itself; one that was asked can do no more for the visitor.
    fn judged(
        &self,
        said: BotSaid,
        asked: bool,
    ) -> Result<(Vec<BotAction>, Option<Leave>), Refusal> {
        let actions = match said {
            BotSaid::Failed => return Ok((Vec::new(), Some(Leave::Failed))),
            BotSaid::Actions(actions) => actions,
        };
        match self.unfit(&actions) {
            None => {
                let leave = actions.iter().find_map(|action| match action {
                    BotAction::HandOver => Some(Leave::HandOver),
                    BotAction::Close => Some(Leave::Close),
                    BotAction::Reply { .. } | BotAction::Set { .. } => None,
                });
                Ok((actions, leave))
            }
            Some(refusal) if !asked => Err(refusal),
            Some(refusal) if refusal.code == Code::WindowLapsed => {
                Ok((Vec::new(), Some(Leave::HandOver)))
            }
            Some(_) => Ok((Vec::new(), Some(Leave::Failed))),
        }
    }

    fn unfit(&self, actions: &[BotAction]) -> Option<Refusal> {
        let open = self.machine.window_is_open(self.now);
        actions.iter().find_map(|action| match action {
            BotAction::Reply { text } if text.trim().is_empty() => {
                Some(Refusal::saying(Code::Malformed, "The text is empty."))
            }
            BotAction::Reply { .. } if !open => Some(Code::WindowLapsed.into()),
            BotAction::Reply { text } => {
                as_sent(Content::Text { body: text.clone() }, None).err().map(of_clock)
            }
            BotAction::Set { .. } | BotAction::HandOver | BotAction::Close => None,
        })
    }

    fn act(&mut self, bot: BotId, actions: Vec<BotAction>, key: Option<&str>) -> Vec<MessageId> {
        let mut messages = Vec::new();
        for action in actions {
            match action {
                BotAction::Reply { text } => {
                    let key = key.map(|key| nth(key, messages.len()));
                    messages.push(self.bot_replies(bot, text, key));
                }
                BotAction::Set { language } => self.bot_sets(language),
                BotAction::HandOver | BotAction::Close => break,
            }
        }
        messages
    }

    fn bot_replies(&mut self, bot: BotId, text: String, key: Option<String>) -> MessageId {
        let author = Author::Bot { bot };
        self.note(Clock::WeWrote { author, template: false });
        let queued = self.queued(author, Content::Text { body: text });
        let message = queued.message;
        if let Some(key) = &key {
            let keys = &mut self.rare.write().bot_keys;
            keys.push((key.clone(), message));
            if keys.len() > KEYS_MAX {
                keys.remove(0);
            }
        }
        self.queue(MessageQueued { key, ..queued }, Priority::Bot, None, Vec::new());
        self.floor(floor::Command::WeWrote { enquiry: self.id });
        message
    }

    fn bot_sets(&mut self, language: Option<String>) {
        let language: Option<Box<str>> = language.map(String::into_boxed_str);
        Arc::make_mut(&mut self.visitor).language.clone_from(&language);
        self.remember(Change::SetLanguage { language });
        let of_channel = self.settings().and_then(|channel| channel.language.as_deref());
        let language = self.visitor.language(of_channel).map(Box::from);
        self.floor(floor::Command::Known { enquiry: self.id, language, country: None });
    }

    /// The messages that were made under this key.
    fn said_before(&self, bot: BotId, key: &str) -> Option<Vec<MessageId>> {
        let made: Vec<MessageId> =
            (0..).map_while(|index| self.made_under(bot, &nth(key, index))).collect();
        (!made.is_empty()).then_some(made)
    }

    fn made_under(&self, bot: BotId, key: &str) -> Option<MessageId> {
        if let Some((_, message)) = self.rare.bot_keys.iter().find(|(known, _)| known == key) {
            return Some(*message);
        }
        let author = Author::Bot { bot };
        let found = self.peers.reader.message_by_key(self.peers.id, &author, key).ok().flatten();
        found.filter(|row| row.enquiry == Some(self.id)).map(|row| row.message)
    }
}

/// The key of the `index`th message made under `key`.
fn nth(key: &str, index: usize) -> String {
    format!("{key}#{index}")
}

/// What a call says besides the messages.
#[derive(Debug)]
struct About {
    bot: BotId,
    id: BotCallId,
    enquiry: usher_domain::ids::EnquiryId,
    channel: Named<usher_domain::ids::ChannelId>,
    opened_at: usher_domain::time::Timestamp,
    visitor: usher_domain::ids::VisitorId,
    person: usher_protocol::event::Person,
    language: Option<String>,
    country: Option<String>,
}

impl About {
    fn call(self, peers: &Peers, message: MessageId) -> Result<Option<BotCall>, StoreError> {
        let Some(asked) = peers.reader.message(peers.id, message)? else { return Ok(None) };
        let of = (self.channel.id, self.visitor);
        let rows = peers.reader.thread(peers.id, of, Cursor::Latest, LAST)?;
        let settings = &peers.settings;
        let last = rows
            .into_iter()
            .filter(|row| row.enquiry == Some(self.enquiry))
            .filter(|row| row.revoked_at.is_none() && !row.withdrawn)
            .map(|row| history::message(settings, self.enquiry, row))
            .collect();
        Ok(Some(BotCall {
            service: peers.id,
            bot: self.bot,
            id: self.id,
            at: peers.wall_now(),
            enquiry: self.enquiry,
            channel: self.channel,
            opened_at: self.opened_at,
            visitor: self.person,
            language: self.language,
            country: self.country,
            message: history::message(settings, self.enquiry, asked),
            last,
        }))
    }
}
