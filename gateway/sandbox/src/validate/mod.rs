//! Whether a body for `POST /messages` is one the Cloud API would take: every key, type and limit.

mod card;
mod interactive;
mod part;
mod template;
#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::errors::{Check, Invalid};
pub(crate) use part::Part;
pub(crate) use template::{Given, Sent};

/// Whom a message is for, as the sender named them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recipient {
    Phone(String),
    UserId(String),
}

/// An uploaded file a message points at, and what it has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MediaRef {
    pub(crate) kind: &'static str,
    pub(crate) id: String,
}

/// What is left to check against the state of the number once the shape is right.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) recipient: Recipient,
    pub(crate) input: String,
    pub(crate) kind: &'static str,
    pub(crate) media: Vec<MediaRef>,
    pub(crate) template: Option<Sent>,
    /// The message a reaction is on.
    pub(crate) reacts_to: Option<String>,
    pub(crate) callback_data: Option<String>,
}

/// `{"status":"read", …}`: the business has read (and perhaps is typing).
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) message_id: String,
    pub(crate) typing: bool,
}

const KINDS: [&str; 11] = [
    "text",
    "image",
    "video",
    "audio",
    "document",
    "sticker",
    "location",
    "contacts",
    "reaction",
    "interactive",
    "template",
];
const COMMON: [&str; 7] = [
    "messaging_product",
    "recipient_type",
    "to",
    "recipient",
    "type",
    "context",
    "biz_opaque_callback_data",
];

pub(crate) fn reading(body: &Value) -> Check<Reading> {
    let root = Part::of(body, "")?;
    root.only(&["messaging_product", "status", "message_id", "typing_indicator"])?;
    root.one_of("messaging_product", &["whatsapp"])?;
    root.one_of("status", &["read"])?;
    let message_id = root.text("message_id", 512)?.to_owned();
    let typing = root.maybe_part("typing_indicator")?;
    if let Some(typing) = &typing {
        typing.only(&["type"])?;
        typing.one_of("type", &["text"])?;
    }
    Ok(Reading { message_id, typing: typing.is_some() })
}

pub(crate) fn message(body: &Value) -> Check<Message> {
    let root = Part::of(body, "")?;
    root.one_of("messaging_product", &["whatsapp"])?;
    root.maybe_one_of("recipient_type", &["individual"])?;
    let asked = if root.has("type") { root.one_of("type", &KINDS)? } else { "text" };
    let kind = *KINDS.iter().find(|kind| **kind == asked).unwrap_or(&"text");
    let mut keys = COMMON.to_vec();
    keys.push(kind);
    root.only(&keys)?;

    let (recipient, input) = recipient(&root)?;
    if let Some(context) = root.maybe_part("context")? {
        context.only(&["message_id"])?;
        context.text("message_id", 512)?;
    }
    let callback_data = root.maybe_text("biz_opaque_callback_data", 512)?.map(str::to_owned);
    let mut message = Message {
        recipient,
        input,
        kind,
        media: Vec::new(),
        template: None,
        reacts_to: None,
        callback_data,
    };
    content(&root, &mut message)?;
    Ok(message)
}

fn content(root: &Part<'_>, message: &mut Message) -> Check {
    match message.kind {
        "text" => {
            let text = root.part("text")?;
            text.only(&["body", "preview_url"])?;
            text.text("body", 4096)?;
            text.maybe_flag("preview_url")
        }
        "location" => location(&root.part("location")?),
        "contacts" => root.parts("contacts", 1, 5)?.iter().try_for_each(card::check),
        "reaction" => {
            message.reacts_to = Some(reaction(&root.part("reaction")?)?);
            Ok(())
        }
        "interactive" => interactive::check(&root.part("interactive")?, &mut message.media),
        "template" => {
            message.template = Some(template::check(&root.part("template")?, &mut message.media)?);
            Ok(())
        }
        kind => media(root, kind, &mut message.media),
    }
}

fn recipient(root: &Part<'_>) -> Check<(Recipient, String)> {
    // Both given: the phone wins.
    if root.has("to") {
        let to = root.text("to", 64)?;
        let digits: String = to.chars().filter(|c| !"+ -()".contains(*c)).collect();
        let plain = (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        if !plain {
            return Err(root.wrong("to", "is not a valid WhatsApp number."));
        }
        return Ok((Recipient::Phone(digits), to.to_owned()));
    }
    if !root.has("recipient") {
        return Err(root.missing("to"));
    }
    let id = root.text("recipient", 140)?;
    if !is_user_id(id) {
        return Err(root.wrong("recipient", "is not a valid business-scoped user id."));
    }
    Ok((Recipient::UserId(id.to_owned()), id.to_owned()))
}

/// `<ISO country>.<alphanumerics>` or, for a parent id, `<ISO country>.ENT.<alphanumerics>`.
pub(crate) fn is_user_id(id: &str) -> bool {
    let Some((country, rest)) = id.split_once('.') else { return false };
    let rest = rest.strip_prefix("ENT.").unwrap_or(rest);
    country.len() == 2
        && country.bytes().all(|b| b.is_ascii_uppercase())
        && (1..=128).contains(&rest.len())
        && rest.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// An object with exactly one of `id` and `link`; an `id` is remembered for the look-up.
pub(crate) fn file(part: &Part<'_>, kind: &'static str, media: &mut Vec<MediaRef>) -> Check {
    match (part.has("id"), part.has("link")) {
        (true, false) => {
            let id = part.text("id", 100)?.to_owned();
            media.push(MediaRef { kind, id });
            Ok(())
        }
        (false, true) => part.link("link"),
        (true, true) => {
            Err(Invalid::new(100, format!("Only one of {} and link is allowed.", part.path("id"))))
        }
        (false, false) => Err(part.missing("id")),
    }
}

fn media(root: &Part<'_>, kind: &str, media: &mut Vec<MediaRef>) -> Check {
    let part = root.part(kind)?;
    let (kind, keys): (&'static str, &[&str]) = match kind {
        "image" => ("image", &["id", "link", "caption"]),
        "video" => ("video", &["id", "link", "caption"]),
        "audio" => ("audio", &["id", "link", "voice"]),
        "document" => ("document", &["id", "link", "caption", "filename"]),
        _ => ("sticker", &["id", "link"]),
    };
    part.only(keys)?;
    part.maybe_text("caption", 1024)?;
    part.maybe_text("filename", 240)?;
    part.maybe_flag("voice")?;
    file(&part, kind, media)
}

pub(crate) fn location(part: &Part<'_>) -> Check {
    part.only(&["latitude", "longitude", "name", "address"])?;
    part.number("latitude", -90.0, 90.0)?;
    part.number("longitude", -180.0, 180.0)?;
    part.maybe_text("name", 1000)?;
    part.maybe_text("address", 1000)?;
    Ok(())
}

fn reaction(part: &Part<'_>) -> Check<String> {
    part.only(&["message_id", "emoji"])?;
    let target = part.text("message_id", 512)?.to_owned();
    part.required("emoji")?;
    let emoji = part.maybe_text("emoji", 16)?.unwrap_or_default();
    // A keycap (1️⃣) is the one emoji with an ASCII character in it.
    let wordy = emoji.contains(|c: char| c.is_alphanumeric() || c.is_whitespace());
    if wordy && !emoji.contains('\u{20e3}') {
        return Err(part.wrong("emoji", "must be a single emoji or empty."));
    }
    Ok(target)
}
