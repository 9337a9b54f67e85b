//! What 360dialog tells, in the engine's words: pure translation, one update at a time.

mod content;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use actix_web::web::Bytes;
use bytestring::ByteString;
use dialog360::inbound as wire;
use usher_domain::message::{Delivery, Referral};
use usher_domain::time::Timestamp;
use usher_engine::{About, Inbound, InboundBody, InboundMessage, InboundReceipt, Sender};

/// Translates an update out of `whole`; `now` stands for times the provider does not give.
pub fn translate(update: wire::Update<'_>, whole: &Bytes, now: Timestamp) -> Inbound {
    let wire::Update { field, body, raw, .. } = update;
    let body = match body {
        wire::UpdateBody::Message(message) => of_message(*message, &raw),
        wire::UpdateBody::Receipt(receipt) => of_receipt(*receipt),
        wire::UpdateBody::Echo(echo) => of_echo(*echo, &raw, now),
        wire::UpdateBody::Preference(preference) => of_preference(preference, &field),
        wire::UpdateBody::UserIdChange(change) => of_user_id_change(change),
        wire::UpdateBody::AccountError(_) => account("errors"),
        wire::UpdateBody::Ignored { reason: wire::IgnoredReason::Unreadable } => {
            InboundBody::Unattributed { why: "unreadable" }
        }
        wire::UpdateBody::TemplateStatus(_)
        | wire::UpdateBody::TemplateQuality(_)
        | wire::UpdateBody::TemplateCategory(_)
        | wire::UpdateBody::TemplateComponents(_)
        | wire::UpdateBody::AccountUpdate(_)
        | wire::UpdateBody::AccountReview { .. }
        | wire::UpdateBody::AccountAlert(_)
        | wire::UpdateBody::PhoneQuality(_)
        | wire::UpdateBody::PhoneName(_)
        | wire::UpdateBody::Ignored {
            reason: wire::IgnoredReason::UnknownField | wire::IgnoredReason::Empty,
        } => InboundBody::Account { field: field.into_owned() },
    };
    Inbound { body, raw: Some(part_of(whole, raw)) }
}

/// Shares the body that the text was read from, where it stands in it as it is.
pub fn part_of(whole: &Bytes, text: Cow<'_, str>) -> ByteString {
    let shared = match &text {
        Cow::Borrowed(text) => {
            let start = text.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
            let end = start.checked_add(text.len()).filter(|end| *end <= whole.len());
            end.and_then(|end| ByteString::try_from(whole.slice(start..end)).ok())
        }
        Cow::Owned(_) => None,
    };
    shared.unwrap_or_else(|| text.into_owned().into())
}

fn account(field: &str) -> InboundBody {
    InboundBody::Account { field: field.to_owned() }
}

fn of_message(message: wire::Message, raw: &str) -> InboundBody {
    let wire::Message { id, from, group_id, timestamp, content, context, referral } = message;
    // Groups belong to nobody's thread, and a welcome request is not something that was said.
    if group_id.is_some() {
        return account("group");
    }
    if content == wire::Content::RequestWelcome {
        return account("request_welcome");
    }
    let Some(provider_id) = id else {
        return InboundBody::Unattributed { why: "no message id" };
    };
    let sender = sender(from);
    if sender.wa_id.is_none() && sender.user_id.is_none() {
        return InboundBody::Unattributed { why: "no sender" };
    }
    let around = Around { timestamp, context: context.unwrap_or_default(), referral };
    of_content(sender, provider_id, content, around, raw)
}

/// What comes with a message besides what it says.
struct Around {
    timestamp: Option<u64>,
    context: wire::Context,
    referral: Option<wire::Referral>,
}

/// Something that happens to a visitor or an earlier message, or else a message itself.
fn of_content(
    sender: Sender,
    provider_id: String,
    content: wire::Content,
    around: Around,
    raw: &str,
) -> InboundBody {
    match content {
        wire::Content::Reaction { message_id, emoji } => {
            InboundBody::Reaction { sender, provider_id, on: message_id, emoji }
        }
        wire::Content::Edit { original_message_id, content } => InboundBody::Edit {
            sender,
            provider_id,
            of: original_message_id,
            content: content::translate(*content, raw).content,
        },
        wire::Content::Revoke { original_message_id } => {
            InboundBody::Revoke { sender, provider_id, of: original_message_id }
        }
        wire::Content::NumberChange { new_wa_id, body } => InboundBody::NumberChanged {
            text: body.unwrap_or_else(|| "The visitor has a new number.".to_owned()),
            sender,
            provider_id,
            new_wa_id,
        },
        wire::Content::UserIdChanged { user_id, .. } => InboundBody::UserIdChanged {
            previous: sender.user_id.clone().filter(|previous| *previous != user_id),
            sender,
            provider_id,
            current: user_id,
        },
        wire::Content::IdentityChange { body } => {
            notice(sender, provider_id, body, "The visitor's security code has changed.")
        }
        wire::Content::OtherSystem { body } => {
            notice(sender, provider_id, body, "A notice of WhatsApp's.")
        }
        wire::Content::CallPermissionReply { response, .. } => {
            let text = response.map(|response| format!("Permission to call: {response}."));
            notice(sender, provider_id, text, "Permission to call.")
        }
        said => {
            let content::Translated { content, counts } = content::translate(said, raw);
            let Around { timestamp, context, referral } = around;
            InboundBody::Message(Box::new(InboundMessage {
                sender,
                provider_id,
                provider_at: timestamp.map(Timestamp::from_millis),
                counts,
                content,
                reply_to: context.message_id,
                referral: referral.map(|referral| Box::new(of_referral(referral))),
                forwarded: context.forwarded || context.frequently_forwarded,
            }))
        }
    }
}

fn notice(
    sender: Sender,
    provider_id: String,
    text: Option<String>,
    otherwise: &str,
) -> InboundBody {
    let text = text.unwrap_or_else(|| otherwise.to_owned());
    InboundBody::Notice { sender, provider_id, text }
}

fn sender(from: wire::Sender) -> Sender {
    let wire::Sender { wa_id, user_id, profile_name, username, .. } = from;
    Sender { wa_id, user_id, name: profile_name, username }
}

fn of_referral(referral: wire::Referral) -> Referral {
    let wire::Referral { source_url, source_id, source_type, headline, body, .. } = referral;
    let kind = source_type.unwrap_or_else(|| "unknown".to_owned());
    let source = match source_id {
        Some(id) => format!("{kind} {id}"),
        None => kind,
    };
    Referral { source, url: source_url, headline, body }
}

fn of_receipt(receipt: wire::Receipt<'_>) -> InboundBody {
    let wire::Receipt { id, status, timestamp, participant, callback_data, errors, .. } = receipt;
    let delivery = match status {
        wire::ReceiptStatus::Sent => Delivery::Sent,
        wire::ReceiptStatus::Delivered => Delivery::Delivered,
        wire::ReceiptStatus::Read => Delivery::Read,
        wire::ReceiptStatus::Played => Delivery::Played,
        wire::ReceiptStatus::Failed => Delivery::Failed,
        wire::ReceiptStatus::Other(_) => return account("statuses"),
    };
    let Some(provider_id) = id else {
        return InboundBody::Unattributed { why: "no message id" };
    };
    let failed = delivery == Delivery::Failed;
    let error = errors.into_iter().next().filter(|_| failed);
    let (code, title) = error.map_or((None, None), |error| (error.code, error.title));
    InboundBody::Receipt(InboundReceipt {
        provider_id: provider_id.into_owned(),
        delivery,
        participant: participant.map(Cow::into_owned),
        provider_at: timestamp.map(Timestamp::from_millis),
        code,
        title,
        about: callback_data.as_deref().and_then(About::decode),
    })
}

fn of_echo(echo: wire::Echo, raw: &str, now: Timestamp) -> InboundBody {
    let wire::Echo { id, to_wa_id, to_user_id, group_id, timestamp, content, .. } = echo;
    // What the phone app did to an earlier message has no place of its own in a room.
    let said = !matches!(
        content,
        wire::Content::Reaction { .. } | wire::Content::Edit { .. } | wire::Content::Revoke { .. }
    );
    let Some(provider_id) = id.filter(|_| group_id.is_none() && said) else {
        return account("smb_message_echoes");
    };
    if to_wa_id.is_none() && to_user_id.is_none() {
        return InboundBody::Unattributed { why: "no recipient" };
    }
    InboundBody::Echo {
        to: Sender { wa_id: to_wa_id, user_id: to_user_id, name: None, username: None },
        provider_id,
        provider_at: timestamp.map_or(now, Timestamp::from_millis),
        content: content::translate(content, raw).content,
    }
}

fn of_preference(preference: wire::Preference, field: &str) -> InboundBody {
    let wire::Preference { wa_id, user_id, category, value, .. } = preference;
    let marketing = category.as_deref().is_none_or(|category| category == "marketing_messages");
    let stop = match value {
        wire::PreferenceValue::Stop if marketing => true,
        wire::PreferenceValue::Resume | wire::PreferenceValue::Signup if marketing => false,
        _ => return account(field),
    };
    if wa_id.is_none() && user_id.is_none() {
        return InboundBody::Unattributed { why: "no sender" };
    }
    InboundBody::Preference { sender: Sender { wa_id, user_id, name: None, username: None }, stop }
}

fn of_user_id_change(change: wire::UserIdChange) -> InboundBody {
    let wire::UserIdChange { wa_id, previous, current, timestamp, .. } = change;
    let Some(current) = current else {
        return InboundBody::Unattributed { why: "no user id" };
    };
    // These updates carry no id of their own, and come again like all others.
    let provider_id = format!(
        "user_id_update {} {current} {}",
        previous.as_deref().unwrap_or_default(),
        timestamp.unwrap_or_default()
    );
    let known = previous.clone().or_else(|| wa_id.is_none().then(|| current.clone()));
    InboundBody::UserIdChanged {
        sender: Sender { wa_id, user_id: known, name: None, username: None },
        provider_id,
        previous,
        current,
    }
}
