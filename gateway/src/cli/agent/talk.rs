//! What the terminal client says and shows in answer to what it hears and what is typed.

use std::collections::{BTreeSet, VecDeque};

use serde_json::Value;
use usher_domain::ids::{EnquiryId, MessageId};
use usher_domain::message::Delivery;
use usher_domain::time::Timestamp;
use usher_protocol::command::{Command, Key, Outgoing, PageLimit, SetPresence};
use usher_protocol::event::{Direction, Entry, Event, Head, History};
use usher_protocol::feed::{FeedClient, Incoming, Next};
use usher_protocol::frame::{Numbered, Token};

use super::desk::Desk;
use super::input::{HELP, Input, parse};
use super::unsent::Unsent;

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

/// What is asked of the server besides the socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ask {
    Unsent,
    Resend(MessageId),
}

/// What is to be done now.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Reaction {
    pub(super) lines: Vec<String>,
    pub(super) frames: Vec<String>,
    pub(super) ask: Option<Ask>,
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
    unsent: Unsent,
    /// What keys of ours begin with.
    mark: String,
    keys: u64,
    /// Typed, and waiting for a room.
    waiting: VecDeque<Input>,
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
            unsent: Unsent::default(),
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
        self.do_what_waits(now, &mut reaction);
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
        let failed = match &event {
            Event::Status { message, delivery: Delivery::Failed | Delivery::Unknown, .. } => {
                Some(*message)
            }
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
        if let Some(message) = failed.filter(|message| self.desk.is_by_staff(*message))
            && let Some(number) = self.unsent.number(message)
        {
            reaction.lines.push(format!("/resend {number} sends it again"));
        }
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
            Command::Unserved { state, .. } => {
                reaction.lines.extend(self.desk.unserved(*state, ok));
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
                if self.has_to_wait(&input) {
                    self.waiting.push_back(input);
                } else if let Err(text) = self.input(input, now, &mut reaction) {
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
            Input::Say(text) => {
                let enquiry = self.room()?;
                self.say(enquiry, text, reaction);
                return Ok(());
            }
            Input::Note(text) => Command::Note { enquiry: self.room()?, text },
            Input::Close { silent, reason } => {
                Command::Close { enquiry: self.room()?, silent, reason }
            }
            Input::Transfer { to, blind } => {
                Command::Transfer { enquiry: self.room()?, to: self.desk.target(&to)?, blind }
            }
            Input::CancelTransfer => Command::CancelTransfer { enquiry: self.room()? },
            Input::Failed => {
                reaction.ask = Some(Ask::Unsent);
                return Ok(());
            }
            Input::Resend(number) => {
                let number = number.and_then(|number| usize::try_from(number).ok());
                reaction.ask = Some(Ask::Resend(self.unsent.find(number)?));
                return Ok(());
            }
            Input::Busy => Command::PresenceSet { presence: SetPresence::Busy, staff: None },
            Input::Active => Command::PresenceSet { presence: SetPresence::Active, staff: None },
            Input::Room(number) => {
                let enquiry = self.desk.open(number);
                let enquiry = enquiry.ok_or_else(|| format!("there is no [{number}]"))?;
                self.show_room(enquiry, reaction);
                return Ok(());
            }
            Input::Unserved(state) => self.desk.more_of(state),
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

    /// What came of an [`Ask`].
    pub(super) fn told(&mut self, ask: Ask, answer: Result<Value, String>) -> Vec<String> {
        match (ask, answer) {
            (_, Err(refused)) => vec![refused],
            (Ask::Unsent, Ok(list)) => self.unsent.list(&list),
            (Ask::Resend(_), Ok(answer)) => {
                let message = answer.get("message").and_then(Value::as_str);
                let message = message.and_then(|message| message.parse::<MessageId>().ok());
                self.on_the_way.extend(message.filter(|message| !self.left.contains(message)));
                vec!["it is sent again".to_owned()]
            }
        }
    }

    fn offer(&self, number: Option<u32>) -> Result<EnquiryId, String> {
        self.desk.offer(number).ok_or_else(|| "there is no such offer".to_owned())
    }

    fn room(&self) -> Result<EnquiryId, String> {
        self.desk.room().ok_or_else(|| "no room is open; p picks up an offer".to_owned())
    }

    /// What does not come from a person waits for the room it is for, in order.
    fn has_to_wait(&self, input: &Input) -> bool {
        let is_for_room = matches!(
            input,
            Input::Say(_)
                | Input::Note(_)
                | Input::Close { .. }
                | Input::Transfer { .. }
                | Input::CancelTransfer
        );
        self.habits.stay != Stay::Person
            && is_for_room
            && (self.desk.room().is_none() || !self.waiting.is_empty())
    }

    fn do_what_waits(&mut self, now: Timestamp, reaction: &mut Reaction) {
        while self.desk.room().is_some()
            && let Some(input) = self.waiting.pop_front()
        {
            if let Err(text) = self.input(input, now, reaction) {
                reaction.lines.push(text);
            }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_426_200_000);
    const ENQUIRY: &str = "enq_00000000000000000000000000000001";
    const ME: &str = "stf_00000000000000000000000000000002";
    const MESSAGE: &str = "msg_00000000000000000000000000000003";

    fn talk(habits: Habits) -> Talk {
        let mut talk = Talk::new(habits, "t".to_owned());
        talk.hello("token");
        let staff =
            json!({"id": ME, "name": "Anna", "role": "agent", "presence": "active", "capacity": 5});
        hear(
            &mut talk,
            &json!({"welcome": {"session": "ses_00000000000000000000000000000009", "epoch": "a",
                "offset": 0, "recovered": false, "staff": staff, "heartbeat": 25}}),
        );
        hear(&mut talk, &json!({"done": {"at": 0, "parts": 0}}));
        talk
    }

    fn hear(talk: &mut Talk, frame: &Value) -> Reaction {
        let reaction = talk.hear(&frame.to_string(), NOW);
        assert_eq!(reaction.reconnect, None, "{frame}");
        reaction
    }

    fn head(relation: &str) -> Value {
        json!({"id": ENQUIRY, "as": relation, "state": "open",
            "channel": {"id": "chn_00000000000000000000000000000004", "name": "Shop"},
            "visitor": {"id": "vis_00000000000000000000000000000005", "name": "Ada"},
            "opened_at": "2026-11-23T09:30:00Z", "window_until": "2026-11-24T09:30:00Z"})
    }

    fn offered(at: u64) -> Value {
        json!({"at": at, "event": "enquiry.offered", "data": {"enquiry": head("offered"),
            "until": "2026-11-23T09:30:45Z",
            "sort": {"offer": "simultaneous", "at": {"group": "grp_00000000000000000000000000000006"}}}})
    }

    fn picked_up(at: u64) -> Value {
        json!({"at": at, "event": "enquiry.picked_up", "data": {"enquiry": head("owner"),
            "by": {"id": ME, "name": "Anna"}, "how": "offer", "epoch": 1}})
    }

    fn status(at: u64, delivery: &str) -> Value {
        json!({"at": at, "event": "message.status", "data": {"enquiry": ENQUIRY,
            "message": MESSAGE, "delivery": delivery, "time": "2026-11-23T09:30:00Z"}})
    }

    /// The commands in what is to be sent, by number.
    fn commands(reaction: &Reaction) -> Vec<(u64, String)> {
        let frames = reaction.frames.iter();
        let values = frames.map(|frame| serde_json::from_str::<Value>(frame).unwrap());
        values
            .map(|frame| (frame["id"].as_u64().unwrap(), frame["do"].as_str().unwrap().to_owned()))
            .collect()
    }

    #[test]
    fn it_picks_up_says_its_text_and_leaves_once_that_is_sent() {
        let say = Some("Hello".to_owned());
        let mut talk = talk(Habits { pick_up: true, say, stay: Stay::Once });
        assert!(!talk.typed_all().quit, "nothing was said yet");
        assert_eq!(commands(&hear(&mut talk, &offered(1))), [(1, "pick_up".to_owned())]);
        hear(&mut talk, &json!({"re": 1, "ok": {}}));
        let sent = commands(&hear(&mut talk, &picked_up(2)));
        assert_eq!(sent, [(2, "history".to_owned()), (3, "send".to_owned())]);
        hear(&mut talk, &json!({"re": 2, "ok": {"entries": [], "more": false}}));
        assert!(!hear(&mut talk, &json!({"re": 3, "ok": {"message": MESSAGE}})).quit);
        assert!(!hear(&mut talk, &status(3, "accepted")).quit);
        assert!(hear(&mut talk, &status(4, "sent")).quit);
    }

    #[test]
    fn piped_lines_wait_for_a_room_and_keep_their_order() {
        let mut talk = talk(Habits { pick_up: true, say: None, stay: Stay::Piped });
        assert!(talk.typed("Hello", NOW).frames.is_empty());
        assert!(talk.typed("/close done", NOW).frames.is_empty());
        hear(&mut talk, &offered(1));
        let done: Vec<String> =
            commands(&hear(&mut talk, &picked_up(2))).into_iter().map(|(_, name)| name).collect();
        assert_eq!(done, ["history", "send", "close"]);
    }

    #[test]
    fn a_person_is_told_when_there_is_no_room_to_speak_in() {
        let mut talk = talk(Habits::default());
        let reaction = talk.typed("Hello", NOW);
        assert!(reaction.frames.is_empty() && reaction.lines.len() == 1, "{reaction:?}");
        assert!(hear(&mut talk, &offered(1)).frames.is_empty(), "nothing by itself");
        assert_eq!(commands(&talk.typed("p", NOW)), [(1, "pick_up".to_owned())]);
    }
}
