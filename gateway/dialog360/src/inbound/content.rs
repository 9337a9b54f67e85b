//! Decides what one message carries.

use super::millis;
use super::model::{
    Address, ContactCard, ContactPhone, Content, Context, Labelled, Location, Media, MediaKind,
    Order, OrderItem, Referral, ReferredProduct,
};
use super::sender::wa_id;
use crate::errors::ProviderError;
use crate::json::Node;

/// The kinds whose body stands under their own name; what a missing `type` is inferred from.
const KINDS: &[&str] = &[
    "text",
    "image",
    "video",
    "audio",
    "voice",
    "document",
    "sticker",
    "location",
    "contacts",
    "interactive",
    "button",
    "reaction",
    "order",
    "system",
    "edit",
    "revoke",
    "unsupported",
];

/// Reads what a message carries; `spare_errors` stand beside the messages and explain one whose
/// body is missing.
pub(super) fn content(message: &Node<'_>, spare_errors: &Node<'_>) -> Content {
    let named = message.get("type").filled();
    let present = || KINDS.iter().copied().find(|kind| !message.get(kind).is_null());
    let Some(kind) = named.or_else(present) else {
        return unread(None, message, spare_errors);
    };
    body(kind, message).unwrap_or_else(|| unread(Some(kind), message, spare_errors))
}

fn unread(kind: Option<&str>, message: &Node<'_>, spare_errors: &Node<'_>) -> Content {
    let own = message.get("errors");
    let known = kind.is_none_or(|kind| KINDS.contains(&kind));
    let errors = if own.is_null() && known { spare_errors } else { own };
    let errors = ProviderError::list(errors);
    let kind = kind.map(str::to_owned);
    if errors.is_empty() {
        Content::Unknown { kind }
    } else {
        Content::Unsupported { kind, errors }
    }
}

fn body(kind: &str, message: &Node<'_>) -> Option<Content> {
    let node = message.get(kind);
    match kind {
        "text" => text(node),
        "image" => media(MediaKind::Image, node, message),
        "video" => media(MediaKind::Video, node, message),
        "audio" if node.get("voice").bool() == Some(true) => media(MediaKind::Voice, node, message),
        "audio" => media(MediaKind::Audio, node, message),
        "voice" => media(MediaKind::Voice, node, message),
        "document" => media(MediaKind::Document, node, message),
        "sticker" => media(MediaKind::Sticker, node, message),
        "location" => location(node),
        "contacts" => contacts(node),
        "interactive" => interactive(node),
        "button" => button(node),
        "reaction" => reaction(node),
        "order" => order(node),
        "system" => system(node),
        "edit" => edit(node),
        "revoke" => {
            Some(Content::Revoke { original_message_id: node.get("original_message_id").text()? })
        }
        "request_welcome" => Some(Content::RequestWelcome),
        "unsupported" | "unknown" => Some(Content::Unsupported {
            kind: node.get("type").text(),
            errors: ProviderError::list(message.get("errors")),
        }),
        _ => None,
    }
}

fn text(node: &Node<'_>) -> Option<Content> {
    let body = node.get("body").str().or_else(|| node.str())?;
    Some(Content::Text { body: body.to_owned() })
}

fn media(kind: MediaKind, node: &Node<'_>, message: &Node<'_>) -> Option<Content> {
    node.is_object().then(|| {
        Content::Media(Media {
            kind,
            id: node.get("id").text(),
            url: node.get("url").text(),
            mime_type: node.get("mime_type").text(),
            sha256: node.get("sha256").text(),
            caption: node.get("caption").text(),
            filename: node.get("filename").text(),
            animated: node.get("animated").bool().unwrap_or(false),
            errors: ProviderError::list(message.get("errors")),
        })
    })
}

fn location(node: &Node<'_>) -> Option<Content> {
    let location = Location {
        latitude: node.get("latitude").decimal(),
        longitude: node.get("longitude").decimal(),
        name: node.get("name").text(),
        address: node.get("address").text(),
        url: node.get("url").text(),
    };
    let placed = location.latitude.is_some() && location.longitude.is_some();
    let named = location.name.is_some() || location.address.is_some();
    (placed || named).then_some(Content::Location(location))
}

fn contacts(node: &Node<'_>) -> Option<Content> {
    let cards: Vec<_> = node.items().iter().filter(|node| node.is_object()).map(card).collect();
    (!cards.is_empty()).then_some(Content::Contacts(cards))
}

fn card(node: &Node<'_>) -> ContactCard {
    let name = node.get("name");
    let org = node.get("org");
    let all = |key: &str, value: &str| -> Vec<Labelled> {
        let labelled = |node: &Node<'_>| Labelled {
            value: node.get(value).text(),
            label: node.get("type").text(),
        };
        node.get(key).items().iter().map(labelled).collect()
    };
    ContactCard {
        formatted_name: name.get("formatted_name").text().or_else(|| name.text()),
        first_name: name.get("first_name").text(),
        last_name: name.get("last_name").text(),
        middle_name: name.get("middle_name").text(),
        prefix: name.get("prefix").text(),
        suffix: name.get("suffix").text(),
        phones: node.get("phones").items().iter().map(card_phone).collect(),
        emails: all("emails", "email"),
        urls: all("urls", "url"),
        addresses: node.get("addresses").items().iter().map(address).collect(),
        company: org.get("company").text(),
        department: org.get("department").text(),
        title: org.get("title").text(),
        birthday: node.get("birthday").text(),
        vcard: node.get("vcard").text(),
    }
}

fn card_phone(node: &Node<'_>) -> ContactPhone {
    ContactPhone {
        phone: node.get("phone").text().or_else(|| node.text()),
        wa_id: wa_id(node.get("wa_id")),
        label: node.get("type").text(),
    }
}

fn address(node: &Node<'_>) -> Address {
    Address {
        street: node.get("street").text(),
        city: node.get("city").text(),
        state: node.get("state").text(),
        zip: node.get("zip").text(),
        country: node.get("country").text(),
        country_code: node.get("country_code").text(),
        label: node.get("type").text(),
    }
}

fn interactive(node: &Node<'_>) -> Option<Content> {
    const KINDS: &[&str] = &["button_reply", "list_reply", "nfm_reply", "call_permission_reply"];
    let present = || KINDS.iter().copied().find(|kind| node.get(kind).is_object());
    let kind = node.get("type").filled().or_else(present)?;
    let reply = node.get(kind);
    if !reply.is_object() {
        return None;
    }
    match kind {
        "button_reply" => {
            let [id, title] = pair(reply.get("id"), reply.get("title"))?;
            Some(Content::ButtonReply { id, title })
        }
        "list_reply" => {
            let [id, title] = pair(reply.get("id"), reply.get("title"))?;
            Some(Content::ListReply { id, title, description: reply.get("description").text() })
        }
        "nfm_reply" => {
            let response = reply.get("response_json");
            Some(Content::FlowReply {
                name: reply.get("name").text(),
                body: reply.get("body").text(),
                // Meant to be JSON in a string; the JSON itself is as good.
                response_json: response
                    .text()
                    .or_else(|| (!response.is_null()).then(|| response.raw().into_owned())),
            })
        }
        "call_permission_reply" => Some(Content::CallPermissionReply {
            response: reply.get("response").text(),
            permanent: reply.get("is_permanent").bool().unwrap_or(false),
            expires_at: millis(reply.get("expiration_timestamp")),
        }),
        _ => None,
    }
}

/// Both, if at least one is there.
fn pair(first: &Node<'_>, second: &Node<'_>) -> Option<[Option<String>; 2]> {
    let both = [first.text(), second.text()];
    both.iter().any(Option::is_some).then_some(both)
}

fn button(node: &Node<'_>) -> Option<Content> {
    let [payload, text] = pair(node.get("payload"), node.get("text"))?;
    Some(Content::TemplateButton { payload, text })
}

fn reaction(node: &Node<'_>) -> Option<Content> {
    Some(Content::Reaction {
        message_id: node.get("message_id").text()?,
        emoji: node.get("emoji").text(),
    })
}

fn order(node: &Node<'_>) -> Option<Content> {
    let item = |node: &Node<'_>| OrderItem {
        product_retailer_id: node.get("product_retailer_id").text(),
        quantity: node.get("quantity").text(),
        item_price: node.get("item_price").text(),
        currency: node.get("currency").text(),
    };
    node.is_object().then(|| {
        Content::Order(Order {
            catalog_id: node.get("catalog_id").text(),
            text: node.get("text").text(),
            items: node.get("product_items").items().iter().map(item).collect(),
        })
    })
}

fn system(node: &Node<'_>) -> Option<Content> {
    if !node.is_object() {
        return None;
    }
    let body = node.get("body").text();
    let wa_id = || wa_id(node.get("wa_id")).or_else(|| wa_id(node.get("new_wa_id")));
    let read = match node.get("type").filled() {
        Some("customer_identity_changed") => Some(Content::IdentityChange { body: body.clone() }),
        Some("user_changed_user_id") => node.get("user_id").text().map(|user_id| {
            let parent_user_id = node.get("parent_user_id").text();
            Content::UserIdChanged { user_id, parent_user_id, wa_id: wa_id(), body: body.clone() }
        }),
        Some("user_changed_number" | "customer_changed_number") | None => {
            wa_id().map(|new_wa_id| Content::NumberChange { new_wa_id, body: body.clone() })
        }
        Some(_) => None,
    };
    Some(read.unwrap_or(Content::OtherSystem { body }))
}

fn edit(node: &Node<'_>) -> Option<Content> {
    let original_message_id = node.get("original_message_id").text()?;
    let edited = node.get("message");
    let edited = if edited.is_null() { node } else { edited };
    Some(Content::Edit { original_message_id, content: Box::new(content(edited, &Node::Null)) })
}

pub(super) fn context(node: &Node<'_>) -> Option<Context> {
    let product = node.get("referred_product");
    node.is_object().then(|| Context {
        message_id: node.get("id").text(),
        from: node.get("from").text(),
        forwarded: node.get("forwarded").bool().unwrap_or(false),
        frequently_forwarded: node.get("frequently_forwarded").bool().unwrap_or(false),
        referred_product: product.is_object().then(|| ReferredProduct {
            catalog_id: product.get("catalog_id").text(),
            product_retailer_id: product.get("product_retailer_id").text(),
        }),
    })
}

pub(super) fn referral(node: &Node<'_>) -> Option<Referral> {
    let welcome = node.get("welcome_message");
    node.is_object().then(|| Referral {
        source_url: node.get("source_url").text(),
        source_id: node.get("source_id").text(),
        source_type: node.get("source_type").text(),
        headline: node.get("headline").text(),
        body: node.get("body").text(),
        media_type: node.get("media_type").text(),
        image_url: node.get("image_url").text(),
        video_url: node.get("video_url").text(),
        thumbnail_url: node.get("thumbnail_url").text(),
        ctwa_clid: node.get("ctwa_clid").text(),
        welcome_message: welcome.get("text").text().or_else(|| welcome.text()),
    })
}
