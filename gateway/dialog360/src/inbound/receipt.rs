//! Decides what a status says about a message of ours.

use std::borrow::Cow;

use super::millis;
use super::model::{Conversation, IgnoredReason, Pricing, Receipt, ReceiptStatus, UpdateBody};
use super::sender::Contacts;
use crate::errors::ProviderError;
use crate::json::Node;

/// Keys under which a group's participant has been seen; the last is a misspelling of the provider.
const PARTICIPANT: [&str; 3] =
    ["recipient_participant_id", "recipient_participant_user_id", "participant_recipient_id"];

const KNOWN: [(&str, ReceiptStatus); 5] = [
    ("sent", ReceiptStatus::Sent),
    ("delivered", ReceiptStatus::Delivered),
    ("read", ReceiptStatus::Read),
    ("played", ReceiptStatus::Played),
    ("failed", ReceiptStatus::Failed),
];

pub(super) fn receipt<'a>(contacts: &Contacts<'a>, node: &Node<'a>) -> UpdateBody<'a> {
    let unreadable = UpdateBody::Ignored { reason: IgnoredReason::Unreadable };
    let Some(status) = status(node) else {
        return unreadable;
    };
    let id = node.get("id").slice();
    let callback_data = node.get("biz_opaque_callback_data").slice();
    if id.is_none() && callback_data.is_none() {
        return unreadable;
    }
    let to_group = node.get("recipient_type").filled() == Some("group");
    let (recipient_id, recipient_user_id) = recipient(contacts, node, to_group);
    UpdateBody::Receipt(Box::new(Receipt {
        id,
        status,
        timestamp: millis(node.get("timestamp")),
        recipient_id,
        recipient_user_id,
        to_group,
        participant: PARTICIPANT.iter().find_map(|key| node.get(key).slice()),
        callback_data,
        errors: ProviderError::list(node.get("errors")),
        pricing: pricing(node),
        conversation: conversation(node.get("conversation")),
    }))
}

fn status(node: &Node<'_>) -> Option<ReceiptStatus> {
    let status = node.get("status").filled()?;
    let known = KNOWN.iter().find(|(name, _)| name.eq_ignore_ascii_case(status));
    Some(match known {
        Some((_, status)) => status.clone(),
        None => ReceiptStatus::Other(status.to_ascii_lowercase()),
    })
}

/// Phone or group, and user id.
type Recipient<'a> = (Option<Cow<'a, str>>, Option<Cow<'a, str>>);

fn recipient<'a>(contacts: &Contacts<'a>, node: &Node<'a>, to_group: bool) -> Recipient<'a> {
    let (id, user_id) = (node.get("recipient_id"), node.get("recipient_user_id"));
    if to_group {
        return (id.slice(), user_id.slice());
    }
    let person = contacts.named(id, user_id);
    // An address that is neither phone nor user id is kept as it is: only the id decides here.
    let odd = || id.slice().filter(|text| Some(text) != person.user_id.as_ref());
    let wa_id = person.wa_id.clone().or_else(odd);
    (wa_id, person.user_id)
}

fn pricing<'a>(node: &Node<'a>) -> Option<Pricing<'a>> {
    // In receipts of groups it has been seen inside the conversation.
    let nodes = [node.get("pricing"), node.get("conversation").get("pricing")];
    let node = nodes.into_iter().find(|node| node.is_object())?;
    Some(Pricing {
        billable: node.get("billable").bool(),
        model: node.get("pricing_model").slice(),
        kind: node.get("type").slice(),
        category: node.get("category").slice(),
    })
}

fn conversation<'a>(node: &Node<'a>) -> Option<Conversation<'a>> {
    node.is_object().then(|| Conversation {
        id: node.get("id").slice(),
        origin: node.get("origin").get("type").slice(),
        expires_at: millis(node.get("expiration_timestamp")),
    })
}
