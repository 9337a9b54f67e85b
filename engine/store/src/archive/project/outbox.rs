//! Messages of ours: from the outbox to the receipts. Delivery only ever moves forward.

use usher_domain::ids::MessageId;
use usher_domain::message::Delivery;
use usher_domain::record::MessageQueued;
use usher_domain::time::Timestamp;

use super::{Live, Target, message};
use crate::archive::read::rank;
use crate::db::{Result, params};
use crate::sql::{Id, blob, json, millis};

pub(super) fn queued(t: &Target<'_>, live: &mut Live, queued: &MessageQueued) -> Result<()> {
    let added = t.add(
        INSERT,
        params![
            t.id,
            t.service,
            queued.message.blob(),
            t.seq,
            t.at,
            queued.channel.blob(),
            queued.visitor.blob(),
            blob(queued.enquiry),
            json(&queued.author),
            json(&queued.content),
            queued.reply_to,
            queued.reacts_to,
            queued.key,
            rank(Delivery::Queued),
            queued.withdraw_at.map(millis),
        ],
    )?;
    if !added {
        tracing::error!(seq = t.seq, "a message with an id already known was journaled");
        return Ok(());
    }
    // A reaction is shown on what it reacts to, not as a message.
    if queued.reacts_to.is_some() {
        return Ok(());
    }
    message::index(t, &queued.content);
    if let Some(enquiry) = queued.enquiry {
        live.spoken_in(t, enquiry, (queued.message, None));
    }
    Ok(())
}

const INSERT: &str = "
INSERT INTO messages (id, service, message, seq, at, channel, visitor, enquiry, inbound, author,
  content, reply_to, reacts_to, key, delivery, withdraw_at, unsent, touched)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9, ?10, ?11, ?12, ?13, ?14, ?15, 1, ?1)
ON CONFLICT DO NOTHING";

/// `?1` is the service, `?2` the message, `?3` the journal's row.
macro_rules! set {
    ($t:expr, $message:expr, $what:literal $(, $value:expr)*) => {
        $t.run(
            concat!(
                "UPDATE messages SET touched = ?3, ",
                $what,
                " WHERE service = ?1 AND message = ?2"
            ),
            ($t.service, $message.blob(), $t.id, $($value),*),
        )
    };
}

pub(super) fn sending(t: &Target<'_>, message: MessageId, attempt: u32) -> Result<()> {
    set!(t, message, "sending = 1, attempts = ?4", attempt)
}

pub(super) fn put_back(t: &Target<'_>, message: MessageId, code: i64) -> Result<()> {
    set!(t, message, "sending = 0, code = ?4", code)
}

pub(super) fn accepted(t: &Target<'_>, message: MessageId, provider_id: &str) -> Result<()> {
    set!(
        t,
        message,
        "sending = 0, unsent = 0, code = NULL,
         delivery = CASE WHEN delivery > ?4 THEN delivery ELSE ?4 END",
        rank(Delivery::Accepted)
    )?;
    // An id that another message has stays with that one.
    t.run(
        "UPDATE messages SET provider_id = ?3 WHERE service = ?1 AND message = ?2
           AND NOT EXISTS (SELECT 1 FROM messages WHERE service = ?1 AND provider_id = ?3)",
        (t.service, message.blob(), provider_id),
    )?;
    Ok(())
}

pub(super) fn failed(t: &Target<'_>, message: MessageId, code: i64, title: &str) -> Result<()> {
    set!(
        t,
        message,
        "sending = 0, unsent = 0, code = ?5, title = ?6,
         delivery = CASE WHEN delivery > ?4 THEN delivery ELSE ?4 END",
        rank(Delivery::Failed),
        code,
        title
    )
}

pub(super) fn unknown(t: &Target<'_>, message: MessageId) -> Result<()> {
    set!(
        t,
        message,
        "sending = 0, unsent = 0,
         delivery = CASE WHEN delivery > ?4 THEN delivery ELSE ?4 END",
        rank(Delivery::Unknown)
    )
}

pub(super) fn withdrawn(t: &Target<'_>, message: MessageId) -> Result<()> {
    set!(t, message, "sending = 0, unsent = 0, withdrawn = 1")
}

/// In a group the message itself stands as far as its furthest participant.
pub(super) fn receipt(
    t: &Target<'_>,
    message: MessageId,
    delivery: Delivery,
    participant: Option<(&str, Timestamp)>,
    code: Option<i64>,
) -> Result<()> {
    let reached = rank(delivery);
    // Accepted or more: the provider has it, whatever came of the request.
    if delivery >= Delivery::Accepted {
        set!(
            t,
            message,
            "sending = 0, unsent = 0, code = coalesce(?5, code),
             delivery = CASE WHEN delivery > ?4 THEN delivery ELSE ?4 END",
            reached,
            code
        )?;
    } else {
        set!(
            t,
            message,
            "code = coalesce(?5, code),
             delivery = CASE WHEN delivery > ?4 THEN delivery ELSE ?4 END",
            reached,
            code
        )?;
    }
    let Some((participant, at)) = participant else { return Ok(()) };
    t.run(
        "INSERT INTO deliveries (service, message, participant, delivery, at, code)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6
         WHERE EXISTS (SELECT 1 FROM messages WHERE service = ?1 AND message = ?2)
         ON CONFLICT (service, message, participant) DO UPDATE SET delivery = excluded.delivery,
           at = excluded.at, code = excluded.code
         WHERE excluded.delivery > deliveries.delivery",
        (t.service, message.blob(), participant, reached, millis(at), code),
    )?;
    Ok(())
}
