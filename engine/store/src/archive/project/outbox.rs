//! Messages of ours: from the outbox to the receipts. Delivery only ever moves forward.

use rusqlite::{Params, Result, named_params};
use usher_domain::ids::MessageId;
use usher_domain::message::Delivery;
use usher_domain::record::MessageQueued;
use usher_domain::time::Timestamp;

use super::{Target, enquiry, message};
use crate::archive::read::rank;
use crate::sql::{Id, blob, json, millis};

pub(super) fn queued(t: &Target<'_>, queued: &MessageQueued) -> Result<()> {
    let added = t.tx.prepare_cached(INSERT)?.execute(named_params! {
        ":id": t.id, ":service": t.service, ":message": queued.message.blob(), ":seq": t.seq,
        ":at": t.at, ":channel": queued.channel.blob(), ":visitor": queued.visitor.blob(),
        ":enquiry": blob(queued.enquiry), ":author": json(&queued.author),
        ":content": json(&queued.content), ":reply_to": queued.reply_to,
        ":reacts_to": queued.reacts_to, ":key": queued.key, ":delivery": rank(Delivery::Queued),
        ":withdraw_at": queued.withdraw_at.map(millis),
    })?;
    if added == 0 {
        tracing::error!(seq = t.seq, "a message with an id already known was journaled");
        return Ok(());
    }
    // A reaction is shown on what it reacts to, not as a message.
    if queued.reacts_to.is_some() {
        return Ok(());
    }
    message::index(t, t.id, &queued.content)?;
    queued.enquiry.map_or(Ok(()), |id| enquiry::spoken_in(t, id, queued.message))
}

const INSERT: &str = "
INSERT INTO messages (id, service, message, seq, at, channel, visitor, enquiry, inbound, author,
  content, reply_to, reacts_to, key, delivery, withdraw_at, unsent)
VALUES (:id, :service, :message, :seq, :at, :channel, :visitor, :enquiry, 0, :author,
  :content, :reply_to, :reacts_to, :key, :delivery, :withdraw_at, 1)
ON CONFLICT DO NOTHING";

pub(super) fn sending(t: &Target<'_>, message: MessageId, attempt: u32) -> Result<()> {
    set(t, "sending = 1, attempts = ?3", (t.service, message.blob(), attempt))
}

pub(super) fn put_back(t: &Target<'_>, message: MessageId, code: i64) -> Result<()> {
    set(t, "sending = 0, code = ?3", (t.service, message.blob(), code))
}

pub(super) fn accepted(t: &Target<'_>, message: MessageId, provider_id: &str) -> Result<()> {
    set(
        t,
        "sending = 0, unsent = 0, code = NULL, delivery = max(delivery, ?3)",
        (t.service, message.blob(), rank(Delivery::Accepted)),
    )?;
    // An id that another message has stays with that one.
    t.run(
        "UPDATE OR IGNORE messages SET provider_id = ?3 WHERE service = ?1 AND message = ?2",
        (t.service, message.blob(), provider_id),
    )?;
    Ok(())
}

pub(super) fn failed(t: &Target<'_>, message: MessageId, code: i64, title: &str) -> Result<()> {
    set(
        t,
        "sending = 0, unsent = 0, code = ?4, title = ?5, delivery = max(delivery, ?3)",
        (t.service, message.blob(), rank(Delivery::Failed), code, title),
    )
}

pub(super) fn unknown(t: &Target<'_>, message: MessageId) -> Result<()> {
    set(
        t,
        "sending = 0, unsent = 0, delivery = max(delivery, ?3)",
        (t.service, message.blob(), rank(Delivery::Unknown)),
    )
}

pub(super) fn withdrawn(t: &Target<'_>, message: MessageId) -> Result<()> {
    set(t, "sending = 0, unsent = 0, withdrawn = 1", (t.service, message.blob()))
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
    set(
        t,
        "code = coalesce(?4, code), delivery = max(coalesce(delivery, 0), ?3)",
        (t.service, message.blob(), reached, code),
    )?;
    // The provider has it, whatever came of the request.
    if delivery >= Delivery::Accepted {
        set(t, "sending = 0, unsent = 0", (t.service, message.blob()))?;
    }
    let Some((participant, at)) = participant else { return Ok(()) };
    t.run(
        "INSERT INTO deliveries (service, message, participant, delivery, at, code)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET delivery = excluded.delivery, at = excluded.at,
           code = excluded.code WHERE excluded.delivery > delivery",
        (t.service, message.blob(), participant, reached, millis(at), code),
    )?;
    Ok(())
}

/// `?1` is the service, `?2` the message.
fn set(t: &Target<'_>, what: &str, params: impl Params) -> Result<()> {
    let sql = format!("UPDATE messages SET {what} WHERE service = ?1 AND message = ?2");
    t.run(&sql, params)?;
    Ok(())
}
