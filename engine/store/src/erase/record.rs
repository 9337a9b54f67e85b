//! What a record says once a person is erased from it.

use sha2::{Digest as _, Sha256};
use usher_domain::ids::{EnquiryId, MediaId, MessageId, VisitorId};
use usher_domain::message::Content;
use usher_domain::record::{Event, MessageQueued, MessageReceived};
use usher_domain::visitor::{Identities, Visitor};

use super::Person;

/// What the provider's ids never begin with.
const MASK: char = '~';

/// Digits of a digest: enough, and fewer where the id was shorter, so that no body grows.
const DIGITS: std::ops::RangeInclusive<usize> = 8..=32;

/// What every message of an erased person says.
pub(super) const fn nothing() -> Content {
    Content::Text { body: String::new() }
}

/// A provider's id, or a participant's, of which only the likeness to itself is left.
pub(super) fn masked(id: &str) -> String {
    if id.starts_with(MASK) {
        return id.to_owned();
    }
    let digits = id.len().saturating_sub(1).clamp(*DIGITS.start(), *DIGITS.end());
    let digest = hex::encode(Sha256::digest(id));
    format!("{MASK}{}", digest.get(..digits).unwrap_or(&digest))
}

fn masked_opt(id: Option<&String>) -> Option<String> {
    id.map(|id| masked(id))
}

impl Person {
    /// The event without the person; `None` when it says nothing of them, or was erased before.
    /// Files that it told of are added to `media`.
    pub(super) fn erased(
        &mut self,
        event: &Event,
        media: &mut Vec<(MediaId, String)>,
    ) -> Option<Event> {
        if let Event::VisitorChanged { visitor } = event
            && self.visitors.contains(&visitor.id)
        {
            self.learn(visitor);
        }
        if let Event::MediaStored { media: id, message: Some(message), sha256, .. } = event
            && self.messages.contains(message)
        {
            media.push((*id, sha256.clone()));
        }
        let now = self.of_messages(event).or_else(|| self.of_others(event))?;
        (now != *event).then_some(now)
    }

    fn of_messages(&self, event: &Event) -> Option<Event> {
        let mut now = event.clone();
        match &mut now {
            Event::MessageReceived(received) if self.has(received.visitor) => hush(received),
            Event::MessageQueued(queued) if self.has(queued.visitor) => hush_ours(queued),
            Event::MessageEdited { visitor, provider_id, of, content, .. }
                if self.has(*visitor) =>
            {
                (*provider_id, *of, *content) = (masked(provider_id), masked(of), nothing());
            }
            Event::MessageRevoked { visitor, provider_id, of, .. } if self.has(*visitor) => {
                (*provider_id, *of) = (masked(provider_id), masked(of));
            }
            Event::Reacted { visitor, provider_id, on, .. } if self.has(*visitor) => {
                (*provider_id, *on) = (masked(provider_id), masked(on));
            }
            Event::SystemNoticed { visitor, provider_id, text, .. } if self.has(*visitor) => {
                *provider_id = masked(provider_id);
                text.clear();
            }
            Event::MessageAccepted { message, provider_id } if self.wrote(*message) => {
                *provider_id = masked(provider_id);
            }
            Event::ReceiptTaken { participant: Some(participant), .. }
                if self.known_as.contains(participant) =>
            {
                *participant = masked(participant);
            }
            Event::MediaStored { message: Some(message), .. } if self.wrote(*message) => {
                let (message, why) = (*message, String::new());
                now = Event::MediaUnavailable { message, why };
            }
            Event::MediaUnavailable { message, why } if self.wrote(*message) => {
                why.clear();
            }
            _ => return None,
        }
        Some(now)
    }

    fn of_others(&self, event: &Event) -> Option<Event> {
        let mut now = event.clone();
        match &mut now {
            Event::VisitorChanged { visitor } if self.has(visitor.id) => unname(visitor),
            Event::NoteAdded { enquiry, text, .. } if self.asked(*enquiry) => text.clear(),
            Event::ReceiptHeld(held) if self.is_named_in(&held.raw) => {
                held.provider_id = masked(&held.provider_id);
                held.participant = held.participant.as_deref().map(masked);
                "{}".clone_into(&mut held.raw);
            }
            Event::ReceiptUnmatched { provider_id, raw, .. } if self.is_named_in(raw) => {
                (*provider_id, *raw) = (masked(provider_id), "{}".to_owned());
            }
            Event::UnknownNumber { raw, .. }
            | Event::Quarantined { raw, .. }
            | Event::ProviderNoticed { raw, .. }
                if self.is_named_in(raw) =>
            {
                "{}".clone_into(raw);
            }
            _ => return None,
        }
        Some(now)
    }

    fn has(&self, visitor: VisitorId) -> bool {
        self.visitors.contains(&visitor)
    }

    fn asked(&self, enquiry: EnquiryId) -> bool {
        self.enquiries.contains(&enquiry)
    }

    /// It was written by or to the person.
    fn wrote(&self, message: MessageId) -> bool {
        self.messages.contains(&message)
    }

    fn is_named_in(&self, raw: &str) -> bool {
        self.known_as.iter().any(|id| raw.contains(id.as_str()))
    }
}

fn hush(received: &mut MessageReceived) {
    received.content = nothing();
    received.provider_id = masked(&received.provider_id);
    received.reply_to = masked_opt(received.reply_to.as_ref());
    received.referral = None;
}

fn hush_ours(queued: &mut MessageQueued) {
    queued.content = nothing();
    queued.reply_to = masked_opt(queued.reply_to.as_ref());
    queued.reacts_to = masked_opt(queued.reacts_to.as_ref());
}

/// Who it was is gone; how to treat them (blocked, opted out, their bindings) stays.
fn unname(visitor: &mut Visitor) {
    visitor.identities = Identities::default();
    visitor.name = None;
    visitor.username = None;
}
