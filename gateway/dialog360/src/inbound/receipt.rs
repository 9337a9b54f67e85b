//! Decides what a status says about a message of ours.

use super::millis;
use super::model::{Conversation, IgnoredReason, Pricing, Receipt, ReceiptStatus, UpdateBody};
use super::sender::Contacts;
use crate::errors::ProviderError;
use crate::json::Node;

/// Keys under which a group's participant has been seen; the last is a misspelling of the provider.
const PARTICIPANT: [&str; 3] =
    ["recipient_participant_id", "recipient_participant_user_id", "participant_recipient_id"];

pub(super) fn receipt(contacts: &Contacts, node: &Node<'_>) -> UpdateBody {
    let unreadable = UpdateBody::Ignored { reason: IgnoredReason::Unreadable };
    let Some(status) = status(node) else {
        return unreadable;
    };
    let id = node.get("id").text();
    let callback_data = node.get("biz_opaque_callback_data").text();
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
        participant: PARTICIPANT.iter().find_map(|key| node.get(key).text()),
        callback_data,
        errors: ProviderError::list(node.get("errors")),
        pricing: pricing(node),
        conversation: conversation(node.get("conversation")),
    }))
}

fn status(node: &Node<'_>) -> Option<ReceiptStatus> {
    Some(match node.get("status").filled()?.to_ascii_lowercase().as_str() {
        "sent" => ReceiptStatus::Sent,
        "delivered" => ReceiptStatus::Delivered,
        "read" => ReceiptStatus::Read,
        "played" => ReceiptStatus::Played,
        "failed" => ReceiptStatus::Failed,
        other => ReceiptStatus::Other(other.to_owned()),
    })
}

fn recipient(
    contacts: &Contacts,
    node: &Node<'_>,
    to_group: bool,
) -> (Option<String>, Option<String>) {
    let (id, user_id) = (node.get("recipient_id"), node.get("recipient_user_id"));
    if to_group {
        return (id.text(), user_id.text());
    }
    let person = contacts.named(id, user_id);
    // An address that is neither phone nor user id is kept as it is: only the id decides here.
    let odd = || id.text().filter(|text| Some(text) != person.user_id.as_ref());
    let wa_id = person.wa_id.clone().or_else(odd);
    (wa_id, person.user_id)
}

fn pricing(node: &Node<'_>) -> Option<Pricing> {
    // In receipts of groups it has been seen inside the conversation.
    let nodes = [node.get("pricing"), node.get("conversation").get("pricing")];
    let node = nodes.into_iter().find(|node| node.is_object())?;
    Some(Pricing {
        billable: node.get("billable").bool(),
        model: node.get("pricing_model").text(),
        kind: node.get("type").text(),
        category: node.get("category").text(),
    })
}

fn conversation(node: &Node<'_>) -> Option<Conversation> {
    node.is_object().then(|| Conversation {
        id: node.get("id").text(),
        origin: node.get("origin").get("type").text(),
        expires_at: millis(node.get("expiration_timestamp")),
    })
}
