//! The archive's rows of the records that were said anew, brought to what they say now.

use std::collections::HashSet;

use usher_domain::ids::{EnquiryId, MediaId, ServiceId, VisitorId};
use usher_domain::record::Event;
use usher_domain::visitor::Visitor;

use super::record::nothing;
use crate::archive::forget;
use crate::db::{Db, Params, Result};
use crate::sql::{Blob, Id, int, json};

/// A record that was said anew.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) id: u64,
    pub(super) seq: u64,
    pub(super) before: Event,
    pub(super) now: Event,
}

/// Where it is done.
struct At<'a> {
    tx: &'a Db,
    service: Blob,
    id: i64,
    seq: i64,
}

/// Brings the archive level with `changed`; the digests of files that nothing refers to any more.
pub(super) fn apply(
    tx: &Db,
    service: ServiceId,
    visitors: &HashSet<VisitorId>,
    (changed, media): (&[Changed], &[(MediaId, String)]),
) -> Result<Vec<String>> {
    for visitor in visitors {
        tx.run(
            "DELETE FROM identities WHERE service = ?1 AND visitor = ?2",
            (service.blob(), visitor.blob()),
        )?;
    }
    for Changed { id, seq, before, now } in changed {
        let at = At { tx, service: service.blob(), id: int(*id), seq: int(*seq) };
        of_message(&at, before, now)?;
        of_other(&at, now)?;
    }
    forget::media(tx, service, media)
}

fn of_message(at: &At<'_>, before: &Event, now: &Event) -> Result<()> {
    match (before, now) {
        (_, Event::MessageReceived(received)) => {
            at.run(
                "UPDATE messages SET provider_id = CASE WHEN provider_id IS NULL THEN NULL ELSE ?2 END,
                   reply_to = ?3, referral = NULL
                 WHERE id = ?1",
                (at.id, &received.provider_id, &received.reply_to),
            )?;
            at.hush()
        }
        (_, Event::MessageQueued(queued)) => {
            at.run(
                "UPDATE messages SET reply_to = ?2, reacts_to = ?3 WHERE id = ?1",
                (at.id, &queued.reply_to, &queued.reacts_to),
            )?;
            at.hush()
        }
        (
            _,
            Event::MessageEdited { provider_id, of, .. }
            | Event::MessageRevoked { provider_id, of, .. },
        ) => at.other_id(provider_id, Some(of)),
        (Event::Reacted { on: before, .. }, Event::Reacted { provider_id, on, .. }) => {
            at.run(
                "DELETE FROM reactions WHERE service = ?1 AND provider_id = ?3
                   AND provider_id <> ?2 AND EXISTS (SELECT 1 FROM reactions AS other
                     WHERE other.service = ?1 AND other.provider_id = ?2
                       AND other.who = reactions.who)",
                (at.service, before, on),
            )?;
            at.run(
                "UPDATE reactions SET provider_id = ?3 WHERE service = ?1 AND provider_id = ?2",
                (at.service, before, on),
            )?;
            at.other_id(provider_id, Some(on))
        }
        (_, Event::SystemNoticed { enquiry, provider_id, .. }) => {
            at.other_id(provider_id, None)?;
            enquiry.map_or(Ok(()), |enquiry| at.event(enquiry, now))
        }
        (_, Event::MessageAccepted { message, provider_id }) => at.run(
            "UPDATE messages SET provider_id = CASE WHEN provider_id IS NULL THEN NULL ELSE ?3 END
             WHERE service = ?1 AND message = ?2",
            (at.service, message.blob(), provider_id),
        ),
        (
            Event::ReceiptTaken { participant: before, .. },
            Event::ReceiptTaken { message, participant, .. },
        ) => {
            at.run(
                "DELETE FROM deliveries WHERE service = ?1 AND message = ?2 AND participant = ?4
                   AND participant <> ?3 AND EXISTS (SELECT 1 FROM deliveries AS other
                     WHERE other.service = ?1 AND other.message = ?2 AND other.participant = ?3)",
                (at.service, message.blob(), before, participant),
            )?;
            at.run(
                "UPDATE deliveries SET participant = ?4
                 WHERE service = ?1 AND message = ?2 AND participant = ?3",
                (at.service, message.blob(), before, participant),
            )
        }
        (_, Event::MediaUnavailable { message, why }) => at.run(
            "UPDATE messages SET media_unavailable = ?3 WHERE service = ?1 AND message = ?2",
            (at.service, message.blob(), why),
        ),
        _ => Ok(()),
    }
}

fn of_other(at: &At<'_>, now: &Event) -> Result<()> {
    match now {
        Event::VisitorChanged { visitor } => at.visitor(visitor),
        Event::NoteAdded { enquiry, .. } => at.event(*enquiry, now),
        Event::ReceiptHeld(held) => at.run(
            "UPDATE aside SET subject = ?3, raw = ?4 WHERE service = ?1 AND seq = ?2",
            (at.service, at.seq, &held.provider_id, json(held.as_ref())),
        ),
        Event::ReceiptUnmatched { provider_id, raw, .. } => at.run(
            "UPDATE aside SET subject = ?3, raw = ?4 WHERE service = ?1 AND seq = ?2",
            (at.service, at.seq, provider_id, raw),
        ),
        Event::UnknownNumber { raw, .. }
        | Event::Quarantined { raw, .. }
        | Event::ProviderNoticed { raw, .. } => at.run(
            "UPDATE aside SET raw = ?3 WHERE service = ?1 AND seq = ?2",
            (at.service, at.seq, raw),
        ),
        _ => Ok(()),
    }
}

impl At<'_> {
    fn run(&self, sql: &str, params: impl Params) -> Result<()> {
        self.tx.run(sql, params)
    }

    /// What a message says now and said before an edit, and the words it is found by.
    fn hush(&self) -> Result<()> {
        self.run(
            "UPDATE messages SET content = ?2, original = CASE WHEN original IS NULL THEN NULL ELSE ?2 END
             WHERE id = ?1",
            (self.id, json(&nothing())),
        )?;
        self.tx.forget_words(self.id)
    }

    fn other_id(&self, provider_id: &str, target: Option<&String>) -> Result<()> {
        self.run(
            "UPDATE other_ids SET provider_id = ?2, target = ?3 WHERE id = ?1",
            (self.id, provider_id, target),
        )
    }

    fn event(&self, enquiry: EnquiryId, event: &Event) -> Result<()> {
        self.run(
            "UPDATE events SET event = ?4 WHERE service = ?1 AND enquiry = ?2 AND seq = ?3",
            (self.service, enquiry.blob(), self.seq, json(event)),
        )
    }

    /// Only the visitor's last record is what the archive shows.
    fn visitor(&self, visitor: &Visitor) -> Result<()> {
        self.run(
            "UPDATE visitors SET name = NULL, body = ?4
             WHERE service = ?1 AND visitor = ?2 AND seq = ?3",
            (self.service, visitor.id.blob(), self.seq, json(visitor)),
        )
    }
}
