//! Messages that came in, and what became of them: edits, deletions, reactions, files.

use usher_domain::ids::{MediaId, MessageId};
use usher_domain::message::{Author, Content, Counts};
use usher_domain::record::MessageReceived;
use usher_domain::time::Timestamp;

use super::{Live, Target};
use crate::db::{Result, params};
use crate::sql::{Id, blob, int, json, millis, parse, word};

/// `window`: of its enquiry, from now on.
pub(super) fn received(
    t: &Target<'_>,
    live: &mut Live,
    (received, window): (&MessageReceived, Option<Timestamp>),
) -> Result<()> {
    // An echo was written by the business on its own phone: it went out.
    let author = matches!(received.counts, Counts::Echo).then(|| json(&Author::Phone));
    let added = t.add(
        INSERT,
        params![
            t.id,
            t.service,
            received.message.blob(),
            t.seq,
            t.at,
            millis(received.provider_at),
            received.channel.blob(),
            received.visitor.blob(),
            blob(received.enquiry),
            author.is_none(),
            author,
            word(&received.counts),
            json(&received.content),
            received.provider_id,
            received.reply_to,
            received.referral.as_ref().map(json),
            received.forwarded,
        ],
    )?;
    if !added {
        tracing::error!(seq = t.seq, "a message with an id already known was journaled");
        return Ok(());
    }
    index(t, &received.content);
    if let Some(enquiry) = received.enquiry {
        live.spoken_in(t, enquiry, (received.message, window));
    }
    Ok(())
}

const INSERT: &str = "
INSERT INTO messages (id, service, message, seq, at, provider_at, channel, visitor, enquiry,
  inbound, author, counts, content, provider_id, reply_to, referral, forwarded, touched)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?1)
ON CONFLICT DO NOTHING";

pub(super) fn edited(t: &Target<'_>, id: &str, of: &str, content: &Content) -> Result<()> {
    id_seen(t, id, Some(of))?;
    let Some(row) = row_of(t, of)? else { return Ok(()) };
    t.run(
        "UPDATE messages SET original = coalesce(original, content), content = ?2, edited_at = ?3,
           touched = ?4
         WHERE id = ?1",
        (row, json(content), t.at, t.id),
    )?;
    t.texts.borrow_mut().change(row, findable(content));
    Ok(())
}

pub(super) fn revoked(t: &Target<'_>, id: &str, of: &str) -> Result<()> {
    id_seen(t, id, Some(of))?;
    let Some(row) = row_of(t, of)? else { return Ok(()) };
    t.run("UPDATE messages SET revoked_at = ?2, touched = ?3 WHERE id = ?1", (row, t.at, t.id))?;
    t.texts.borrow_mut().change(row, None);
    Ok(())
}

/// Without an emoji the reaction is taken back.
pub(super) fn reacted(t: &Target<'_>, on: &str, who: &str, emoji: Option<&str>) -> Result<()> {
    match emoji.filter(|emoji| !emoji.is_empty()) {
        Some(emoji) => t.run(
            "INSERT INTO reactions (service, provider_id, who, emoji, at)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (service, provider_id, who) DO UPDATE SET emoji = excluded.emoji,
               at = excluded.at",
            (t.service, on, who, emoji, t.at),
        ),
        None => t.run(
            "DELETE FROM reactions WHERE service = ?1 AND provider_id = ?2 AND who = ?3",
            (t.service, on, who),
        ),
    }
}

/// A provider's id of something that is no message of its own, but perhaps about one.
pub(super) fn id_seen(t: &Target<'_>, provider_id: &str, target: Option<&str>) -> Result<()> {
    t.run(
        "INSERT INTO other_ids (id, service, provider_id, at, target) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO NOTHING",
        (t.id, t.service, provider_id, t.at, target),
    )?;
    Ok(())
}

pub(super) fn media_stored(
    t: &Target<'_>,
    media: MediaId,
    message: Option<MessageId>,
    (sha256, mime_type, bytes, filename): (&str, &str, u64, Option<&str>),
) -> Result<()> {
    t.run(
        "INSERT INTO media (service, media, message, seq, at, sha256, mime_type, bytes, filename)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (service, media) DO UPDATE SET message = excluded.message,
           seq = excluded.seq, at = excluded.at, sha256 = excluded.sha256,
           mime_type = excluded.mime_type, bytes = excluded.bytes, filename = excluded.filename",
        (
            t.service,
            media.blob(),
            blob(message),
            t.seq,
            t.at,
            sha256,
            mime_type,
            int(bytes),
            filename,
        ),
    )?;
    message.map_or(Ok(()), |message| file_known(t, media, message))
}

/// The message's content names the file that is stored here.
fn file_known(t: &Target<'_>, media: MediaId, message: MessageId) -> Result<()> {
    t.run(
        "UPDATE messages SET touched = ?3 WHERE service = ?1 AND message = ?2",
        (t.service, message.blob(), t.id),
    )?;
    let content: Option<String> = t.tx.one(
        "SELECT content FROM messages WHERE service = ?1 AND message = ?2",
        (t.service, message.blob()),
        |row| row.get("content"),
    )?;
    let Some(Content::Media(mut file)) = content.as_deref().map(parse).transpose()? else {
        return Ok(());
    };
    file.file = Some(media);
    t.run(
        "UPDATE messages SET content = ?3, media_unavailable = NULL
         WHERE service = ?1 AND message = ?2",
        (t.service, message.blob(), json(&Content::Media(file))),
    )?;
    Ok(())
}

pub(super) fn media_unavailable(t: &Target<'_>, message: MessageId, why: &str) -> Result<()> {
    t.run(
        "UPDATE messages SET media_unavailable = ?3, touched = ?4
         WHERE service = ?1 AND message = ?2",
        (t.service, message.blob(), why, t.id),
    )?;
    Ok(())
}

fn row_of(t: &Target<'_>, provider_id: &str) -> Result<Option<i64>> {
    t.tx.one(
        "SELECT id FROM messages WHERE service = ?1 AND provider_id = ?2",
        (t.service, provider_id),
        |row| row.get("id"),
    )
}

/// Makes the words of a message that is new findable.
pub(super) fn index(t: &Target<'_>, content: &Content) {
    t.texts.borrow_mut().add(t.id, findable(content));
}

fn findable(content: &Content) -> Option<String> {
    Some(words(content)).filter(|text| !text.trim().is_empty())
}

fn words(content: &Content) -> String {
    let mut parts: Vec<&str> = Vec::new();
    match content {
        Content::Text { body } => parts.push(body),
        Content::Media(media) => {
            parts.extend(media.caption.as_deref());
            parts.extend(media.filename.as_deref());
        }
        Content::Location { name, address, .. } => {
            parts.extend(name.as_deref());
            parts.extend(address.as_deref());
        }
        Content::Contacts { cards } => {
            for card in cards {
                parts.push(&card.name);
                parts.extend(card.phones.iter().map(String::as_str));
            }
        }
        Content::Choice { title, .. } => parts.push(title),
        Content::Form { name, fields } => {
            parts.extend(name.as_deref());
            parts.push(fields);
        }
        Content::Order { items, text } => {
            parts.extend(items.iter().map(|item| item.product.as_str()));
            parts.extend(text.as_deref());
        }
        Content::Template(template) => {
            parts.push(&template.name);
            parts.extend(template.words());
        }
        Content::Unsupported { what, .. } => parts.extend(what.as_deref()),
    }
    parts.join("\n")
}
