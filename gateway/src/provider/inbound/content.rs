//! What was said, and what it counts for.

use dialog360::inbound as wire;
use usher_domain::message::{ContactCard, Content, Counts, Media, MediaKind, OrderItem};

pub(super) struct Translated {
    pub(super) content: Content,
    pub(super) counts: Counts,
}

/// `raw` is the provider's JSON, kept with what cannot be shown.
pub(super) fn translate(content: wire::Content, raw: &str) -> Translated {
    let content = match content {
        wire::Content::Unsupported { kind, .. } | wire::Content::Unknown { kind } => {
            return unsupported(kind, raw);
        }
        wire::Content::Text { body } => Content::Text { body },
        wire::Content::Media(file) => Content::Media(media(file)),
        wire::Content::Location(place) => match location(place) {
            Some(content) => content,
            None => return unsupported(Some("location".to_owned()), raw),
        },
        wire::Content::Contacts(cards) => {
            Content::Contacts { cards: cards.into_iter().map(card).collect() }
        }
        wire::Content::ButtonReply { id, title }
        | wire::Content::ListReply { id, title, .. }
        | wire::Content::TemplateButton { payload: id, text: title } => choice(id, title),
        wire::Content::FlowReply { name, body, response_json } => Content::Form {
            name: name.or(body),
            fields: response_json.unwrap_or_else(|| "{}".to_owned()),
        },
        wire::Content::Order(order) => Content::Order {
            items: order.items.into_iter().map(item).collect(),
            text: order.text.filter(|text| !text.is_empty()),
        },
        other => return unsupported(Some(name(&other).to_owned()), raw),
    };
    Translated { content, counts: Counts::Message }
}

fn unsupported(what: Option<String>, raw: &str) -> Translated {
    Translated {
        content: Content::Unsupported { what, raw: Some(raw.to_owned()) },
        counts: Counts::Unsupported,
    }
}

/// Of contents that are no messages, where one stands all the same, as inside an edit.
const fn name(content: &wire::Content) -> &'static str {
    match content {
        wire::Content::Reaction { .. } => "reaction",
        wire::Content::Edit { .. } => "edit",
        wire::Content::Revoke { .. } => "revoke",
        wire::Content::CallPermissionReply { .. } => "call_permission_reply",
        wire::Content::RequestWelcome => "request_welcome",
        wire::Content::NumberChange { .. }
        | wire::Content::IdentityChange { .. }
        | wire::Content::UserIdChanged { .. }
        | wire::Content::OtherSystem { .. } => "system",
        _ => "message",
    }
}

fn media(file: wire::Media) -> Media {
    let wire::Media { kind, id, mime_type, sha256, caption, filename, .. } = file;
    let sort = match kind {
        wire::MediaKind::Image => MediaKind::Image,
        wire::MediaKind::Video => MediaKind::Video,
        wire::MediaKind::Audio => MediaKind::Audio,
        wire::MediaKind::Voice => MediaKind::Voice,
        wire::MediaKind::Document => MediaKind::Document,
        wire::MediaKind::Sticker => MediaKind::Sticker,
    };
    Media {
        sort,
        file: None,
        provider_id: id,
        mime_type: mime_type.unwrap_or_else(|| "application/octet-stream".to_owned()),
        caption,
        filename,
        sha256,
    }
}

fn location(place: wire::Location) -> Option<Content> {
    let wire::Location { latitude, longitude, name, address, .. } = place;
    Some(Content::Location { latitude: latitude?, longitude: longitude?, name, address })
}

fn card(card: wire::ContactCard) -> ContactCard {
    let parts = [card.first_name, card.last_name].into_iter().flatten().collect::<Vec<_>>();
    let name = card.formatted_name.unwrap_or_else(|| parts.join(" "));
    let phone = |phone: wire::ContactPhone| phone.phone.or(phone.wa_id);
    ContactCard { name, phones: card.phones.into_iter().filter_map(phone).collect() }
}

/// Either part may be missing, and then stands for the other.
fn choice(id: Option<String>, title: Option<String>) -> Content {
    let title = title.or_else(|| id.clone()).unwrap_or_default();
    Content::Choice { id: id.unwrap_or_else(|| title.clone()), title }
}

fn item(item: wire::OrderItem) -> OrderItem {
    OrderItem {
        product: item.product_retailer_id.unwrap_or_default(),
        quantity: item.quantity.unwrap_or_default(),
        price: item.item_price.unwrap_or_default(),
        currency: item.currency.unwrap_or_default(),
    }
}
