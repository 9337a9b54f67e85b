//! What each record does to the archive, split by noun.

mod aside;
mod enquiry;
mod live;
mod message;
mod outbox;
mod room;
mod service;
mod texts;
mod visitor;

use std::cell::RefCell;

use usher_domain::record::{After, Event, Record};
use usher_domain::time::Timestamp;

use crate::db::{Db, Params, Result};
use crate::sql::{Blob, json};

pub(crate) use live::{Live, is_live_no_more};
pub(crate) use texts::Texts;

/// The place in the archive that one record is projected to.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    pub(crate) tx: &'a Db,
    pub(crate) service: Blob,
    pub(crate) seq: i64,
    /// The journal row.
    pub(crate) id: i64,
    pub(crate) at: i64,
    pub(crate) texts: &'a RefCell<Texts>,
    /// The transaction has no other record.
    pub(crate) alone: bool,
}

/// What an insertion ends with that may find its row there already.
const OR_NOT: &str = "ON CONFLICT DO NOTHING";

impl Target<'_> {
    fn run(&self, sql: &str, params: impl Params) -> Result<()> {
        self.tx.run(sql, params)
    }

    /// Adds a row; whether it was not there before.
    ///
    /// To hear that would take a round trip to a server. So among others the row is taken for new;
    /// where it is not, the transaction fails, and the records are taken one by one.
    fn add(&self, sql: &str, params: impl Params) -> Result<bool> {
        match sql.strip_suffix(OR_NOT) {
            Some(sql) if !self.alone && !self.tx.is_embedded() => {
                self.tx.run(sql, params).map(|()| true)
            }
            _ => self.tx.count(sql, params).map(|added| added > 0),
        }
    }
}

/// Projects one record: what happened, then the states it left, which wait in `live`.
pub(crate) fn project(target: &Target<'_>, live: &mut Live, record: &Record) -> Result<()> {
    event(target, live, record)?;
    record.after.iter().try_for_each(|after| live.keep(target, after))
}

/// The window that a record leaves its enquiry.
fn window(record: &Record) -> Option<Timestamp> {
    record.after.iter().find_map(|after| match after {
        After::Enquiry { kept: Some(kept), .. } => Some(kept.window_until),
        _ => None,
    })
}

#[expect(clippy::too_many_lines, reason = "one arm per event, each a call")]
fn event(t: &Target<'_>, live: &mut Live, record: &Record) -> Result<()> {
    let event = &record.event;
    match event {
        Event::SettingsApplied { settings, .. } => service::settings(t, settings),
        Event::NumberLearned { channel, phone_number_id } => {
            service::number(t, *channel, phone_number_id)
        }
        Event::TemplatesSynced { channel, templates } => service::templates(t, *channel, templates),
        Event::SessionOpened { session, staff, token_sha256, until } => {
            service::session_opened(t, *session, *staff, (token_sha256, *until))
        }
        Event::SessionEnded { session } => service::session_ended(t, *session),

        Event::VisitorChanged { visitor } => visitor::changed(t, visitor),
        Event::VisitorsMerged { kept, gone } => visitor::merged(t, *kept, *gone),

        Event::EnquiryOpened { enquiry, channel, visitor } => {
            enquiry::opened(t, *enquiry, *channel, *visitor)?;
            room::event(t, *enquiry, event)
        }
        Event::Floor(floor) => enquiry::floor(t, floor, event),
        Event::WindowLapsed { enquiry, .. } | Event::NotificationUnsent { enquiry, .. } => {
            room::event(t, *enquiry, event)
        }
        // What changed stands in the record's `after`.
        Event::ClockSet { .. } | Event::FloorKept {} | Event::AttendanceKept { .. } => Ok(()),
        Event::NoteAdded { enquiry, .. } => room::event(t, *enquiry, event),
        Event::Labelled { enquiry, by, label, on } => {
            room::label(t, *enquiry, *by, (label, *on))?;
            room::event(t, *enquiry, event)
        }
        Event::RoomJoined { enquiry, staff, monitor, by } => {
            room::joined(t, *enquiry, (*staff, *by), *monitor)?;
            room::event(t, *enquiry, event)
        }
        Event::RoomLeft { enquiry, staff } => {
            room::left(t, *enquiry, *staff)?;
            room::event(t, *enquiry, event)
        }

        Event::MessageReceived(received) => message::received(t, live, (received, window(record))),
        Event::MessageEdited { provider_id, of, content, .. } => {
            message::edited(t, provider_id, of, content)
        }
        Event::MessageRevoked { provider_id, of, .. } => message::revoked(t, provider_id, of),
        Event::Reacted { provider_id, on, emoji, by, visitor, .. } => {
            message::id_seen(t, provider_id, Some(on))?;
            let who = by.map_or_else(|| visitor.to_string(), |staff| staff.to_string());
            message::reacted(t, on, &who, emoji.as_deref())
        }
        Event::SystemNoticed { enquiry, provider_id, .. } => {
            message::id_seen(t, provider_id, None)?;
            enquiry.map_or(Ok(()), |enquiry| room::event(t, enquiry, event))
        }
        Event::MediaStored { media, message, sha256, mime_type, bytes, filename } => {
            let file = (sha256.as_str(), mime_type.as_str(), *bytes, filename.as_deref());
            message::media_stored(t, *media, *message, file)
        }
        Event::MediaUnavailable { message, why } => message::media_unavailable(t, *message, why),

        Event::MessageQueued(queued) => outbox::queued(t, live, queued),
        Event::MessageSending { message, attempt } => outbox::sending(t, *message, *attempt),
        Event::MessagePutBack { message, code } => outbox::put_back(t, *message, *code),
        Event::MessageAccepted { message, provider_id } => {
            aside::no_longer_held(t, provider_id)?;
            outbox::accepted(t, *message, provider_id)
        }
        Event::MessageFailed { message, code, title } => outbox::failed(t, *message, *code, title),
        Event::MessageUnknown { message } => outbox::unknown(t, *message),
        Event::MessageWithdrawn { message } => outbox::withdrawn(t, *message),
        Event::ReceiptTaken { message, delivery, participant, provider_at, code } => {
            let participant = participant.as_deref().map(|name| (name, *provider_at));
            outbox::receipt(t, *message, *delivery, participant, *code)
        }

        Event::ReceiptHeld(held) => {
            let receipt = json(held.as_ref());
            aside::keep(t, aside::HELD, held.channel, (&held.provider_id, &receipt))
        }
        Event::ReceiptUnmatched { channel, provider_id, raw } => {
            aside::no_longer_held(t, provider_id)?;
            aside::keep(t, "unmatched_receipt", *channel, (provider_id, raw))
        }
        Event::UnknownNumber { channel, phone_number_id, raw } => {
            aside::keep(t, "unknown_number", *channel, (phone_number_id, raw))
        }
        Event::Quarantined { channel, why, raw } => {
            aside::keep(t, "quarantined", *channel, (why, raw))
        }
        Event::ProviderNoticed { channel, field, raw } => {
            aside::keep(t, "provider_notice", *channel, (field, raw))
        }
    }
}
