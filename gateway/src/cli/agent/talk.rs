//! What the terminal client says and shows in answer to what it hears and what is typed.

use std::collections::{BTreeSet, VecDeque};

use serde_json::Value;
use usher_domain::ids::{EnquiryId, MessageId};
use usher_domain::time::Timestamp;
use usher_protocol::command::{Command, Key, Outgoing, PageLimit, SetPresence};
use usher_protocol::event::{Direction, Entry, Event, Head, History};
use usher_protocol::feed::{FeedClient, Incoming, Next};
use usher_protocol::frame::{Numbered, Token};

use super::desk::Desk;
use super::input::{HELP, Input, parse};

/// What the client does without being asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Habits {
    /// Picks up what is offered.
    pub(super) pick_up: bool,
    /// Said in every room that was picked up.
    pub(super) say: Option<String>,
    pub(super) stay: Stay,
}

/// When to leave without being told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Stay {
    /// A person types, and leaves by hand.
    #[default]
    Person,
    /// Lines come from elsewhere, and wait for a room to go to: until all is done.
    Piped,
    /// Once what was said has left the house.
    Once,
}

/// What is to be done now.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Reaction {
    pub(super) lines: Vec<String>,
    pub(super) frames: Vec<String>,
    /// Why another connection is needed.
    pub(super) reconnect: Option<&'static str>,
    pub(super) quit: bool,
}

/// What was typed so far.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Typing {
    None,
    Some,
    /// There is no more, of something or of nothing.
    Over {
        any: bool,
    },
}

/// One person's talk with the service, across connections.
#[derive(Debug)]
pub(super) struct Talk {
    habits: Habits,
    feed: FeedClient,
    desk: Desk,
    /// What keys of ours begin with.
    mark: String,
    keys: u64,
    /// Typed, and waiting for a room.
    waiting: VecDeque<String>,
    typing: Typing,
    /// Ours, and not yet out of the house.
    on_the_way: BTreeSet<MessageId>,
    /// Out of the house; the answer to its `send` may come later.
    left: BTreeSet<MessageId>,
    said_any: bool,
}

impl Talk {
    /// `mark` must be of this run alone: keys are made from it.
    pub(super) fn new(habits: Habits, mark: String) -> Self {
        Self {
            habits,
            feed: FeedClient::new(),
            desk: Desk::default(),
            mark,
            keys: 0,
            waiting: VecDeque::new(),
            typing: Typing::None,
            on_the_way: BTreeSet::new(),
            left: BTreeSet::new(),
            said_any: false,
        }
    }

    pub(super) fn hello(&mut self, token: &str) -> String {
        self.feed.hello(Some(Token::new(token)))
    }

    pub(super) fn closed(&mut self, code: Option<u16>, reason: &str) -> Next {
        self.feed.closed(code, reason)
    }

    pub(super) fn tick(&mut self, now: Timestamp) -> Vec<String> {
        self.desk.countdown(now)
    }

    pub(super) fn hear(&mut self, text: &str, now: Timestamp) -> Reaction {
        let mut reaction = Reaction::default();
        match self.feed.receive(text) {
            Incoming::Welcome { welcome, repeat, unanswered } => {
                self.desk.welcome(&welcome.staff);
                if !welcome.recovered {
                    reaction.lines.push(format!("signed in as {}", welcome.staff.name));
                }
                for lost in unanswered {
                    let name = lost.command.name();
                    reaction.lines.push(format!("nobody knows whether {name} was done"));
                }
                reaction.frames = repeat;
            }
            Incoming::Snapshot { heads, .. } => self.snapshot(heads, now, &mut reaction),
            Incoming::Apply(event) => self.event(&event, now, &mut reaction),
            Incoming::Now(state) => {
                reaction.lines.extend(state.typed().and_then(|now| self.desk.state(now)));
            }
            Incoming::Answer { command, outcome: Err(refusal), .. } => {
                reaction.lines.push(format!("{}: {}", command.name(), refusal.text));
            }
            Incoming::Bye(bye) => reaction.lines.push(format!("the server says: {}", bye.text)),
            Incoming::Reconnect { why } => reaction.reconnect = Some(why),
            Incoming::Answer { command, outcome: Ok(ok), .. } => {
                self.answered(&command, ok, &mut reaction);
            }
            Incoming::Duplicate { .. } | Incoming::Nothing => {}
        }
        self.say_what_waits(&mut reaction);
        reaction.quit = self.is_done();
        reaction
    }

    fn snapshot(&mut self, heads: Vec<Head>, now: Timestamp, reaction: &mut Reaction) {
        let offers: Vec<EnquiryId> =
            heads.iter().filter(|head| head.offer.is_some()).map(|head| head.id).collect();
        reaction.lines.extend(self.desk.replace(heads, now));
        if self.habits.pick_up {
            for enquiry in offers {
                self.submit(Command::PickUp { enquiry }, reaction);
            }
        }
    }

    fn event(&mut self, event: &Numbered, now: Timestamp, reaction: &mut Reaction) {
        let Some(event) = event.typed() else { return };
        let picked = match &event {
            Event::PickedUp { enquiry, by, .. } if self.desk.is_me(by.id) => Some(enquiry.id),
            _ => None,
        };
        let read = match &event {
            Event::Received { message } => Some((message.enquiry, message.id)),
            _ => None,
        };
        match &event {
            Event::Offered { enquiry, .. } if self.habits.pick_up => {
                let enquiry = enquiry.id;
                self.submit(Command::PickUp { enquiry }, reaction);
            }
            Event::Status { message, delivery, .. } if Desk::has_left(*delivery) => {
                self.on_the_way.remove(message);
                self.left.insert(*message);
            }
            _ => {}
        }
        reaction.lines.extend(self.desk.apply(event, now));
        if let Some((enquiry, message)) = read
            && self.desk.room() == Some(enquiry)
        {
            self.submit(Command::Read { enquiry, message }, reaction);
        }
        if let Some(enquiry) = picked {
            self.show_room(enquiry, reaction);
            if let Some(text) = self.habits.say.clone() {
                self.say(enquiry, text, reaction);
            }
        }
    }

    /// What was said before is asked for; it is shown with the answer.
    fn show_room(&mut self, enquiry: EnquiryId, reaction: &mut Reaction) {
        let limit = PageLimit::default();
        self.submit(Command::History { enquiry, before: None, limit }, reaction);
    }

    fn answered(&mut self, command: &Command, ok: Value, reaction: &mut Reaction) {
        match command {
            Command::Send { .. } => {
                let message = ok.get("message").and_then(Value::as_str);
                let message = message.and_then(|message| message.parse::<MessageId>().ok());
                self.on_the_way.extend(message.filter(|message| !self.left.contains(message)));
            }
            Command::History { enquiry, .. } => {
                let Ok(history) = serde_json::from_value::<History>(ok) else { return };
                reaction.lines.extend(self.desk.history(*enquiry, &history));
                let last = history.entries.iter().find_map(|entry| match entry {
                    Entry::Message(message) if message.direction == Direction::In => {
                        Some(message.id)
                    }
                    _ => None,
                });
                if let Some(message) = last {
                    self.submit(Command::Read { enquiry: *enquiry, message }, reaction);
                }
            }
            _ => {}
        }
    }

    pub(super) fn typed(&mut self, line: &str, now: Timestamp) -> Reaction {
        let mut reaction = Reaction::default();
        match parse(line) {
            Ok(Input::Nothing) => return reaction,
            Ok(input) => {
                self.typing = Typing::Some;
                if let Err(text) = self.input(input, now, &mut reaction) {
                    reaction.lines.push(text);
                }
            }
            Err(text) => reaction.lines.push(text),
        }
        reaction
    }

    /// There is nothing more to be typed.
    pub(super) fn typed_all(&mut self) -> Reaction {
        self.typing = Typing::Over { any: self.typing == Typing::Some };
        Reaction { quit: self.is_done(), ..Reaction::default() }
    }

    fn input(
        &mut self,
        input: Input,
        now: Timestamp,
        reaction: &mut Reaction,
    ) -> Result<(), String> {
        let command = match input {
            Input::PickUp(number) => Command::PickUp { enquiry: self.offer(number)? },
            Input::Decline(number) => Command::Decline { enquiry: self.offer(number)? },
            Input::Say(text) => return self.said(text, reaction),
            Input::Note(text) => Command::Note { enquiry: self.room()?, text },
            Input::Close { silent, reason } => {
                Command::Close { enquiry: self.room()?, silent, reason }
            }
            Input::Transfer { to, blind } => {
                Command::Transfer { enquiry: self.room()?, to: self.desk.target(&to)?, blind }
            }
            Input::CancelTransfer => Command::CancelTransfer { enquiry: self.room()? },
            Input::Busy => Command::PresenceSet { presence: SetPresence::Busy, staff: None },
            Input::Active => Command::PresenceSet { presence: SetPresence::Active, staff: None },
            Input::Room(number) => {
                let enquiry = self.desk.open(number);
                let enquiry = enquiry.ok_or_else(|| format!("there is no [{number}]"))?;
                self.show_room(enquiry, reaction);
                return Ok(());
            }
            Input::List => {
                reaction.lines.extend(self.desk.list(now));
                return Ok(());
            }
            Input::Help => {
                reaction.lines.push(HELP.to_owned());
                return Ok(());
            }
            Input::Quit => {
                reaction.quit = true;
                return Ok(());
            }
            Input::Nothing => return Ok(()),
        };
        self.submit(command, reaction);
        Ok(())
    }

    fn offer(&self, number: Option<u32>) -> Result<EnquiryId, String> {
        self.desk.offer(number).ok_or_else(|| "there is no such offer".to_owned())
    }

    fn room(&self) -> Result<EnquiryId, String> {
        self.desk.room().ok_or_else(|| "no room is open; p picks up an offer".to_owned())
    }

    fn said(&mut self, text: String, reaction: &mut Reaction) -> Result<(), String> {
        match self.room() {
            Ok(enquiry) => self.say(enquiry, text, reaction),
            Err(none) if self.habits.stay == Stay::Person => return Err(none),
            Err(_) => self.waiting.push_back(text),
        }
        Ok(())
    }

    fn say_what_waits(&mut self, reaction: &mut Reaction) {
        while let Some(enquiry) = self.desk.room()
            && let Some(text) = self.waiting.pop_front()
        {
            self.say(enquiry, text, reaction);
        }
    }

    fn say(&mut self, enquiry: EnquiryId, body: String, reaction: &mut Reaction) {
        self.keys += 1;
        let Ok(key) = Key::try_from(format!("{}-{}", self.mark, self.keys)) else { return };
        self.said_any = true;
        let content = Outgoing::Text { body };
        self.submit(Command::Send { enquiry, key, content, reply_to: None }, reaction);
    }

    fn submit(&mut self, command: Command, reaction: &mut Reaction) {
        match self.feed.submit(command) {
            Ok(submitted) => reaction.frames.extend(submitted.frame),
            Err(offline) => reaction.lines.push(format!("{offline}; try again")),
        }
    }

    /// Without a person at the keyboard: everything typed is done, everything said has left.
    fn is_done(&self) -> bool {
        let asked = match (self.habits.stay, self.typing) {
            (Stay::Once, _) => self.said_any,
            // Who picks up and was given nothing to say is there to pick up.
            (Stay::Piped | Stay::Person, Typing::Over { any }) => any || !self.habits.pick_up,
            (Stay::Piped | Stay::Person, Typing::None | Typing::Some) => false,
        };
        asked && self.waiting.is_empty() && self.feed.pending() == 0 && self.on_the_way.is_empty()
    }
}
