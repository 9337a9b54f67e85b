//! What people want done in an enquiry: who may is decided in one place; what concerns the floor is
//! passed on to it.

use std::hash::{Hash as _, Hasher as _};

use serde_json::json;
use usher_domain::access::{Action, Denied, InRoom, may};
use usher_domain::enquiry::Command as Clock;
use usher_domain::enquiry::auto_message::{as_sent, display_name};
use usher_domain::floor;
use usher_domain::floor::event::Closer;
use usher_domain::floor::place::Stage;
use usher_domain::ids::{MediaId, MessageId, StaffId};
use usher_domain::message::{Author, Content, Media, MediaKind};
use usher_domain::outbox::Priority;
use usher_domain::record::{Event, MessageQueued};
use usher_domain::template::Template;
use usher_protocol::command::{Command, Key, Outgoing};
use usher_protocol::event::{Event as Telling, Note, Now};
use usher_protocol::refusal::{Code, Refusal};

use super::{Enquiry, Sent};
use crate::ledger::Release;
use crate::outgoing::ProviderCall;
use crate::peers::new_message;
use crate::router::{Decide, TakeUp};
use crate::service::AnswerTo;
use crate::templates;

/// Most people in a room.
const PEOPLE_MAX: usize = 15;
/// Most characters of a note and of a label.
const NOTE_MAX: usize = 4_096;
const LABEL_MAX: usize = 64;
const LABELS_MAX: usize = 50;
/// Keys of sends remembered here; older ones are in the archive.
const KEYS_MAX: usize = 64;

impl Enquiry {
    pub(super) fn order(&mut self, staff: StaffId, command: Command, answer: AnswerTo) {
        if let Err(refusal) = self.allowed(staff, &command) {
            return self.refuse(staff, answer, refusal);
        }
        match command {
            command @ Command::Send { .. } if self.has_to_be_taken_up(staff, &command) => {
                let enquiry = self.id;
                self.peers.router.do_send(TakeUp { enquiry, staff, command, answer });
            }
            Command::Send { key, content, reply_to, .. } => {
                self.send(staff, key, content, reply_to, answer);
            }
            Command::Note { text, .. } => self.take_note(staff, text, answer),
            Command::Label { label, on, .. } => self.label(staff, &label, on, answer),
            Command::Typing { .. } => self.typing(staff, answer),
            Command::Read { message, .. } => self.read(staff, message, answer),
            Command::AddStaff { staff: who, .. } => self.join(staff, who, false, answer),
            Command::Join { .. } => self.join(staff, staff, false, answer),
            Command::Monitor { .. } => self.join(staff, staff, true, answer),
            Command::RemoveStaff { staff: who, .. } => self.leave(staff, who, answer),
            Command::Leave { .. } | Command::Unmonitor { .. } => self.leave(staff, staff, answer),
            other => match self.for_the_floor(staff, other) {
                Some(command) => {
                    self.peers.router.do_send(Decide { command, answer: Some((staff, answer)) });
                }
                None => self.refuse(staff, answer, Code::Malformed),
            },
        }
    }

    /// Writing to a missed enquiry takes it up; not by what could not be sent anyway.
    fn has_to_be_taken_up(&self, staff: StaffId, command: &Command) -> bool {
        let Command::Send { content, .. } = command else { return false };
        let missed =
            matches!(self.place.as_ref().map(|place| place.stage), Some(Stage::Missed { .. }));
        let sendable =
            matches!(content, Outgoing::Template(_)) || self.machine.window_is_open(self.now);
        missed && sendable && !self.rare.members.contains_key(&staff)
    }

    pub(super) fn allowed(&self, staff: StaffId, command: &Command) -> Result<(), Refusal> {
        let Some(action) = in_room(command) else { return Ok(()) };
        let verdict =
            self.with_facts(staff, |viewer, facts| may(viewer, Action::InRoom(action, facts)));
        match verdict {
            Some(Ok(())) => Ok(()),
            None | Some(Err(Denied::NotFound)) => Err(Code::NotFound.into()),
            Some(Err(Denied::NotOwner)) => Err(Code::NotOwner.into()),
            Some(Err(Denied::NotOffered)) => Err(Code::NotOffered.into()),
        }
    }

    fn for_the_floor(&self, staff: StaffId, command: Command) -> Option<floor::Command> {
        let enquiry = self.id;
        Some(match command {
            Command::PickUp { .. } => floor::Command::PickUp { enquiry, staff },
            Command::Decline { .. } => floor::Command::Decline { enquiry, staff },
            Command::Transfer { to, blind, .. } => {
                floor::Command::Transfer { enquiry, by: staff, to: to.into(), blind }
            }
            Command::CancelTransfer { .. } => floor::Command::CancelTransfer { enquiry, by: staff },
            Command::TakeOver { .. } => floor::Command::TakeOver { enquiry, by: staff },
            Command::Assign { staff: to, .. } => floor::Command::Assign { enquiry, to },
            Command::Hold { until, .. } => floor::Command::Hold {
                enquiry,
                by: staff,
                until: until.map(|until| self.peers.wall.ahead().running(until.into())),
            },
            Command::Close { silent, reason, .. } => {
                floor::Command::Close { enquiry, by: Closer::Staff { staff }, silent, reason }
            }
            _ => return None,
        })
    }

    fn send(
        &mut self,
        staff: StaffId,
        key: Key,
        content: Outgoing,
        reply_to: Option<MessageId>,
        answer: AnswerTo,
    ) {
        let before = self.sent_before(staff, &key);
        let queued = match (self.composed(staff, content, reply_to), before) {
            (Ok(queued), Some(before)) if digest(&queued.content) != before.digest => {
                return self.refuse(staff, answer, Code::KeyReused);
            }
            (_, Some(Sent { message, .. })) => {
                return self.accept(staff, answer, json!({ "message": message }));
            }
            (Ok(queued), None) => queued,
            (Err(refusal), None) => return self.refuse(staff, answer, refusal),
        };
        if let Err(refusal) = self.may_restart_with(&queued.content) {
            return self.refuse(staff, answer, refusal);
        }
        let template = matches!(queued.content, Content::Template(_));
        if queued.reacts_to.is_none() {
            let wrote = Clock::WeWrote { author: queued.author, template };
            match self.ask(wrote) {
                Ok(effects) => self.perform(effects),
                Err(refused) => return self.refuse(staff, answer, of_clock(refused)),
            }
        } else if !self.machine.window_is_open(self.now) {
            return self.refuse(staff, answer, Code::WindowLapsed);
        }
        let message = queued.message;
        let sent = Sent { message, digest: digest(&queued.content) };
        self.keys.push((staff, key.as_str().to_owned(), sent));
        if self.keys.len() > KEYS_MAX {
            self.keys.remove(0);
        }
        let queued = MessageQueued { key: Some(key.into()), ..queued };
        let release = answer.release(&self.peers, staff, Ok(json!({ "message": message })));
        let says = queued.reacts_to.is_none();
        self.queue(queued, Priority::Staff, reply_to, vec![release]);
        if says {
            self.floor(floor::Command::WeWrote { enquiry: self.id });
        }
    }

    /// The same key again is the same message.
    fn sent_before(&self, staff: StaffId, key: &Key) -> Option<Sent> {
        let here = self.keys.iter().find(|(who, known, _)| *who == staff && known == key.as_str());
        if let Some((_, _, sent)) = here {
            return Some(*sent);
        }
        let author = Author::Staff { staff };
        let found = self.peers.reader.message_by_key(self.peers.id, &author, key.as_str());
        found.ok().flatten().map(|row| {
            // A key belongs to what was said, and to where.
            let here = row.enquiry == Some(self.id);
            let digest = if here { digest(&row.content) } else { !digest(&row.content) };
            Sent { message: row.message, digest }
        })
    }

    /// With the window lapsed, only by the templates that are set for it.
    fn may_restart_with(&self, content: &Content) -> Result<(), Refusal> {
        let Content::Template(Template { name, .. }) = content else { return Ok(()) };
        let listed = self.settings().is_some_and(|on| on.restart_templates.contains(name));
        if listed || self.machine.window_is_open(self.now) {
            return Ok(());
        }
        let text = "The 24-hour message window has lapsed, and this is none of the channel's restart templates.";
        Err(Refusal::saying(Code::WindowLapsed, text))
    }

    fn composed(
        &self,
        staff: StaffId,
        content: Outgoing,
        reply_to: Option<MessageId>,
    ) -> Result<MessageQueued, Refusal> {
        let reply_to = match reply_to {
            Some(message) => Some(self.provider_id_of(message)?),
            None => None,
        };
        let mut reacts_to = None;
        let content = match content {
            Outgoing::Text { body } if body.trim().is_empty() => {
                return Err(Refusal::saying(Code::Malformed, "The text is empty."));
            }
            Outgoing::Text { body } => Content::Text { body },
            Outgoing::Media { file, sort, caption, filename } => {
                Content::Media(self.file(file, sort, caption, filename)?)
            }
            Outgoing::Location { latitude, longitude, name, address } => {
                Content::Location { latitude, longitude, name, address }
            }
            Outgoing::Template(template) => {
                templates::judge(&self.peers, self.channel, &template)?;
                Content::Template(template)
            }
            Outgoing::Reaction { to, emoji } => {
                reacts_to = Some(self.provider_id_of(to)?);
                Content::Text { body: emoji.unwrap_or_default() }
            }
        };
        if reacts_to.is_none() {
            self.fits(staff, &content)?;
        }
        let author = Author::Staff { staff };
        Ok(MessageQueued { reply_to, reacts_to, ..self.queued(author, content) })
    }

    fn fits(&self, staff: StaffId, content: &Content) -> Result<(), Refusal> {
        let setting = self.settings().map(|channel| channel.display_name).unwrap_or_default();
        let person = self.peers.settings.staff.get(&staff);
        let name = person.and_then(|person| display_name(setting, person));
        as_sent(content.clone(), name.as_deref()).map(|_| ()).map_err(of_clock)
    }

    fn provider_id_of(&self, message: MessageId) -> Result<String, Refusal> {
        let row = self.peers.reader.message(self.peers.id, message).ok().flatten();
        let row = row.filter(|row| row.channel == self.channel && row.visitor == self.visitor.id);
        row.and_then(|row| row.provider_id).ok_or_else(|| {
            Refusal::saying(Code::NotFound, "There is no such message in this room (yet).")
        })
    }

    fn file(
        &self,
        file: MediaId,
        sort: MediaKind,
        caption: Option<String>,
        filename: Option<String>,
    ) -> Result<Media, Refusal> {
        let row = self.peers.reader.media(self.peers.id, file).ok().flatten();
        let row = row.ok_or_else(|| Refusal::saying(Code::NotFound, "There is no such file."))?;
        Ok(Media {
            sort,
            file: Some(file),
            provider_id: None,
            mime_type: row.mime_type,
            caption,
            filename: filename.or(row.filename),
            sha256: Some(row.sha256),
        })
    }

    fn take_note(&mut self, staff: StaffId, text: String, answer: AnswerTo) {
        #[cfg(test)]
        crate::faults::trip(&text);
        if text.chars().count() > NOTE_MAX {
            return self.refuse(
                staff,
                answer,
                Refusal::saying(Code::TooLarge, "A note has at most 4096 characters."),
            );
        }
        let note = Note {
            id: new_message(),
            enquiry: self.id,
            order: self.peers.ledger.last() + 1,
            by: self.named(staff),
            text: text.clone(),
            time: self.stamp().into(),
        };
        let event = Event::NoteAdded { note: note.id, enquiry: self.id, by: staff, text };
        let release = answer.release(&self.peers, staff, Ok(json!({ "note": note.id })));
        self.write(vec![event], vec![release]);
        self.tell(self.room(), &Telling::NoteAdded { note });
    }

    fn label(&mut self, staff: StaffId, label: &str, on: bool, answer: AnswerTo) {
        let label = label.trim().to_owned();
        if label.is_empty()
            || label.chars().count() > LABEL_MAX
            || self.rare.labels.len() >= LABELS_MAX
        {
            let text = "A label has 1 to 64 characters, an enquiry at most 50 labels.";
            return self.refuse(staff, answer, Refusal::saying(Code::TooLarge, text));
        }
        let labels = &mut self.rare.write().labels;
        let changed = if on { labels.insert(label.clone()) } else { labels.remove(&label) };
        let release = answer.release(&self.peers, staff, Ok(json!({})));
        let event = Event::Labelled { enquiry: self.id, by: staff, label, on };
        let events = if changed { vec![event] } else { Vec::new() };
        self.write(events, vec![release]);
        self.updated();
    }

    fn typing(&mut self, staff: StaffId, answer: AnswerTo) {
        if self.last_inbound.is_none() {
            // After a restart it is looked up when it is first wanted.
            self.last_inbound =
                self.peers.reader.last_inbound(self.peers.id, self.id).ok().flatten();
        }
        if let Some(provider_id) = self.last_inbound.clone() {
            let (channel, typing) = (self.channel, true);
            self.peers.ledger.release(Release::Provider(ProviderCall::Read {
                channel,
                provider_id,
                typing,
            }));
        }
        let now = Now::Typing { enquiry: self.id, staff: self.named(staff) };
        for other in self.room().into_iter().filter(|other| *other != staff) {
            self.peers.state(other, &now);
        }
        self.accept(staff, answer, json!({}));
    }

    fn read(&mut self, staff: StaffId, message: MessageId, answer: AnswerTo) {
        let looks_on = self.rare.members.get(&staff) == Some(&true);
        if let (false, Ok(provider_id)) = (looks_on, self.provider_id_of(message)) {
            let (channel, typing) = (self.channel, false);
            self.peers.ledger.release(Release::Provider(ProviderCall::Read {
                channel,
                provider_id,
                typing,
            }));
        }
        self.accept(staff, answer, json!({}));
    }

    fn join(&mut self, by: StaffId, who: StaffId, monitor: bool, answer: AnswerTo) {
        let known = self.peers.settings.staff.get(&who).is_some_and(|person| person.enabled);
        if !known {
            return self.refuse(by, answer, Code::NotFound);
        }
        let full = self.room().len() >= PEOPLE_MAX;
        if full && !self.rare.members.contains_key(&who) {
            return self.refuse(by, answer, Code::RoomFull);
        }
        let release = answer.release(&self.peers, by, Ok(json!({})));
        if self.owner() == Some(who) || self.rare.members.get(&who) == Some(&monitor) {
            return self.write(Vec::new(), vec![release]);
        }
        self.rare.write().members.insert(who, monitor);
        self.sync_joined();
        self.write(
            vec![Event::RoomJoined { enquiry: self.id, staff: who, monitor, by }],
            vec![release],
        );
        let told = if monitor { vec![who] } else { self.room() };
        for person in told {
            let telling = Telling::Joined {
                enquiry: Box::new(self.head(person)),
                staff: self.named(who),
                by: self.named(by),
                monitor,
            };
            self.tell(vec![person], &telling);
        }
    }

    fn leave(&mut self, by: StaffId, who: StaffId, answer: AnswerTo) {
        let left = self.rare.existing().and_then(|parts| parts.members.remove(&who));
        let Some(monitor) = left else {
            return self.refuse(by, answer, Code::NotFound);
        };
        self.sync_joined();
        if !monitor {
            self.was_here(who, self.stamp());
        }
        let release = answer.release(&self.peers, by, Ok(json!({})));
        self.write(vec![Event::RoomLeft { enquiry: self.id, staff: who }], vec![release]);
        let mut told = if monitor { Vec::new() } else { self.room() };
        told.push(who);
        self.tell(told, &Telling::Left { enquiry: self.id, staff: self.named(who) });
    }
}

fn digest(content: &Content) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    format!("{content:?}").hash(&mut hasher);
    hasher.finish()
}

const fn in_room(command: &Command) -> Option<InRoom> {
    Some(match command {
        Command::PickUp { .. } => InRoom::PickUp,
        Command::Decline { .. } => InRoom::Decline,
        Command::Send { .. } => InRoom::Send,
        Command::Typing { .. } => InRoom::Typing,
        Command::Read { .. } => InRoom::Read,
        Command::Note { .. } => InRoom::Note,
        Command::Transfer { .. } => InRoom::Transfer,
        Command::CancelTransfer { .. } => InRoom::CancelTransfer,
        Command::AddStaff { .. } => InRoom::AddStaff,
        Command::RemoveStaff { .. } => InRoom::RemoveStaff,
        Command::Leave { .. } | Command::Unmonitor { .. } => InRoom::Leave,
        Command::Monitor { .. } => InRoom::Monitor,
        Command::Join { .. } => InRoom::Join,
        Command::TakeOver { .. } => InRoom::TakeOver,
        Command::Assign { .. } => InRoom::Assign,
        Command::Hold { .. } => InRoom::Hold,
        Command::Close { .. } => InRoom::Close,
        Command::Label { .. } => InRoom::Label,
        Command::History { .. } => InRoom::History,
        Command::PresenceSet { .. }
        | Command::Block { .. }
        | Command::Start { .. }
        | Command::Unserved { .. }
        | Command::Ack { .. }
        | Command::Activity {}
        | Command::Language { .. }
        | Command::OptOut { .. }
        | Command::SignOut { .. } => return None,
    })
}

pub(super) fn of_clock(refused: usher_domain::enquiry::Refusal) -> Refusal {
    match refused {
        usher_domain::enquiry::Refusal::WindowLapsed => Code::WindowLapsed.into(),
        usher_domain::enquiry::Refusal::Closed => Code::Closed.into(),
        usher_domain::enquiry::Refusal::TooLong { limit } => Refusal::saying(
            Code::TooLarge,
            format!("The text may have at most {limit} characters."),
        ),
    }
}
