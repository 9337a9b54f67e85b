//! How things are said on the terminal.

use std::time::Duration;

use usher_domain::floor::event::Closer;
use usher_domain::ids::EnquiryId;
use usher_domain::message::{AutoMessage, Content, Delivery};
use usher_domain::presence::Presence;
use usher_domain::time::Timestamp;
use usher_protocol::event::{
    Changed, Event, Failure, Head, Message, Note, PresenceNow, Relation, Reminder, Withdrawal,
    Writer, preview,
};

const BEGINNING: usize = 40;

pub(super) fn duration(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}

pub(super) fn head(head: &Head) -> String {
    let person = &head.visitor;
    let name = match (&person.name, &person.phone) {
        (Some(name), Some(phone)) => format!("{name} ({phone})"),
        (Some(name), None) => name.clone(),
        (None, Some(phone)) => phone.clone(),
        (None, None) => "somebody".to_owned(),
    };
    let said = head.first_message.as_ref().map(|said| format!(": \"{said}\"")).unwrap_or_default();
    format!("{}, {name} on {}{said}", relation(head.relation), head.channel.name)
}

const fn relation(relation: Relation) -> &'static str {
    match relation {
        Relation::Owner => "yours",
        Relation::Joined => "joined",
        Relation::Monitoring => "monitored",
        Relation::Offered => "offered",
        Relation::Waiting => "waiting",
        Relation::Missed => "missed",
        Relation::Supervised => "seen",
        Relation::Gone => "gone",
    }
}

pub(super) const fn withdrawal(why: Withdrawal) -> &'static str {
    match why {
        Withdrawal::AlreadyTaken => "somebody else was first",
        Withdrawal::Elsewhere => "you have it on another device",
        Withdrawal::Declined => "declined",
        Withdrawal::Lapsed => "the time is over",
        Withdrawal::NotStanding => "you are not Active, or not a member any more",
        Withdrawal::Full => "you hold as many as you may",
        Withdrawal::Moved => "it has moved on",
    }
}

pub(super) const fn closer(closer: Closer) -> &'static str {
    match closer {
        Closer::Staff { .. } => "by staff",
        Closer::Bot { .. } => "by a bot",
        Closer::AutoClose { unanswered: false } => "silence",
        Closer::AutoClose { unanswered: true } => "silence, unanswered",
        Closer::Stale => "nothing happened for long",
        Closer::Merged => "merged with another",
        Closer::Blocked => "the visitor is blocked",
    }
}

/// A message with its writer.
pub(super) fn message(message: &Message) -> String {
    let body = match &message.changed {
        Some(Changed::Revoked) => "(deleted)".to_owned(),
        Some(Changed::Edited) => format!("{} (edited)", content(&message.content)),
        None => content(&message.content),
    };
    format!("{}: {body}", writer(&message.writer))
}

fn writer(writer: &Writer) -> String {
    match writer {
        Writer::Visitor => "visitor".to_owned(),
        Writer::Staff { staff } => staff.name.clone(),
        Writer::Bot { bot } => format!("{} (bot)", bot.name),
        Writer::Auto { message } => format!("({})", auto(*message)),
        Writer::Phone => "(business phone)".to_owned(),
        Writer::CustomInfo => "(for staff)".to_owned(),
    }
}

const fn auto(message: AutoMessage) -> &'static str {
    match message {
        AutoMessage::Welcome => "welcome",
        AutoMessage::Away => "away",
        AutoMessage::AutoCloseNotification => "closing soon",
        AutoMessage::Close => "close",
        AutoMessage::TransferFailed => "transfer failed",
    }
}

fn content(content: &Content) -> String {
    let said = preview(content);
    match content {
        Content::Text { body } => body.clone(),
        Content::Media(media) => {
            let sort = format!("{:?}", media.sort).to_lowercase();
            said.map_or_else(|| format!("({sort})"), |said| format!("({sort}) {said}"))
        }
        Content::Location { latitude, longitude, .. } => {
            format!("(location {latitude}, {longitude}) {}", said.unwrap_or_default())
        }
        Content::Contacts { .. } => format!("(contact) {}", said.unwrap_or_default()),
        Content::Choice { title, .. } => format!("(chose) {title}"),
        Content::Form { .. } => "(filled in a form)".to_owned(),
        Content::Order { items, .. } => format!("(order of {} items)", items.len()),
        Content::Template(template) => {
            let words: Vec<&str> = template.words().collect();
            format!("(template {}) {}", template.name, words.join(" | "))
        }
        Content::Unsupported { .. } => "(a message that cannot be shown)".to_owned(),
    }
}

pub(super) fn beginning(message: &Content) -> String {
    let line = content(message).replace('\n', " ");
    match line.char_indices().nth(BEGINNING) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

/// Ticks, as the visitor's phone would show them.
pub(super) fn delivery(delivery: Delivery, failure: Option<&Failure>) -> String {
    match delivery {
        Delivery::Queued => "… queued".to_owned(),
        Delivery::Unknown => "? nobody knows whether it was sent".to_owned(),
        Delivery::Accepted => "… accepted".to_owned(),
        Delivery::Sent => "✓ sent".to_owned(),
        Delivery::Delivered => "✓✓ delivered".to_owned(),
        Delivery::Read => "✓✓ read".to_owned(),
        Delivery::Played => "✓✓ played".to_owned(),
        Delivery::Failed => match failure {
            Some(Failure { code, title }) => format!("✗ failed: {title} ({code})"),
            None => "✗ failed".to_owned(),
        },
    }
}

pub(super) fn presence(now: &PresenceNow) -> String {
    let presence = match now.presence {
        Presence::Active => "Active",
        Presence::Busy => "Busy",
        Presence::Idle => "Idle",
        Presence::Offline => "Offline",
    };
    format!("you are {presence}")
}

pub(super) fn note(note: &Note) -> String {
    format!("{} (note): {}", note.by.name, note.text)
}

/// Where something happened and what; `None`: nothing to show.
pub(super) fn happened(event: &Event, now: Timestamp) -> Option<(Option<EnquiryId>, String)> {
    let (enquiry, line) = match event {
        Event::Transferred { enquiry, by, end, .. } => match end {
            None => (*enquiry, format!("{} hands it on", by.name)),
            Some(end) => (*enquiry, format!("the transfer is over: {end:?}").to_lowercase()),
        },
        Event::Reminder { enquiry, why, closes_at } => {
            let closes = closes_at.map(|at| format!(", closes in {}", duration(at.0.since(now))));
            let why = match why {
                Reminder::AutoClose => "the visitor was asked whether anything is left",
                Reminder::NotificationUnsent => "the visitor could not be asked",
                Reminder::VisitorWaits => "the visitor waits for an answer",
            };
            (*enquiry, format!("{why}{}", closes.unwrap_or_default()))
        }
        Event::Edited { enquiry, content: edited, .. } => {
            (*enquiry, format!("visitor changed a message to: {}", content(edited)))
        }
        Event::Revoked { enquiry, .. } => (*enquiry, "visitor deleted a message".to_owned()),
        Event::Reacted { enquiry, writer: by, emoji, .. } => {
            let emoji = emoji.as_deref().unwrap_or("(taken back)");
            (*enquiry, format!("{} reacted {emoji}", writer(by)))
        }
        Event::NoteAdded { note: added } => (added.enquiry, note(added)),
        Event::Left { enquiry, staff } => (*enquiry, format!("{} left the room", staff.name)),
        Event::WindowClosing { enquiry, until } => {
            let left = duration(until.0.since(now));
            (*enquiry, format!("the 24-hour window lapses in {left}"))
        }
        Event::WindowClosed { enquiry, .. } => {
            (*enquiry, "the 24-hour window has lapsed: only templates go".to_owned())
        }
        Event::Notice { text, enquiry, .. } => return Some((*enquiry, format!("! {text}"))),
        _ => return None,
    };
    Some((Some(enquiry), line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_those_of_a_phone() {
        assert_eq!(delivery(Delivery::Sent, None), "✓ sent");
        assert_eq!(delivery(Delivery::Read, None), "✓✓ read");
        let failure = Failure { code: 131_047, title: "Re-engagement message".to_owned() };
        let said = delivery(Delivery::Failed, Some(&failure));
        assert_eq!(said, "✗ failed: Re-engagement message (131047)");
    }

    #[test]
    fn a_beginning_is_one_short_line() {
        let long = Content::Text { body: "ä\n".repeat(50) };
        let said = beginning(&long);
        assert!(said.ends_with('…') && !said.contains('\n'), "{said}");
        assert_eq!(said.chars().count(), BEGINNING + 1);
    }
}
