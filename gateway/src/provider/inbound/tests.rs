//! Every kind of 360dialog update, and what the engine hears of it.

#![expect(clippy::needless_pass_by_value, reason = "most of the JSON is written in the call")]

use serde_json::{Value, json};
use usher_domain::ids::{EnquiryId, MessageId};
use usher_domain::message::{Content, Counts};

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_795_426_200_000);

/// The one update in a change of `field`.
fn only(field: &str, value: Value) -> InboundBody {
    let body = json!({"object": "whatsapp_business_account",
        "entry": [{"id": "1", "changes": [{"field": field, "value": value}]}]});
    let whole = Bytes::from(body.to_string());
    let mut updates = wire::parse(&whole).unwrap();
    assert_eq!(updates.len(), 1, "{body}");
    translate(updates.remove(0), &whole, NOW).body
}

fn value() -> Value {
    json!({"messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": "106540352242922"},
        "contacts": [{"profile": {"name": "Sheena"}, "wa_id": "16505551234", "user_id": "US.1"}]})
}

fn message(keys: Value) -> InboundBody {
    let mut message = json!({"from": "16505551234", "id": "wamid.1", "timestamp": "1749416383"});
    message.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    let mut value = value();
    value["messages"] = json!([message]);
    only("messages", value)
}

#[track_caller]
fn said(keys: Value, counts: Counts) -> Content {
    match message(keys) {
        InboundBody::Message(message) => {
            assert_eq!(message.counts, counts);
            message.content
        }
        other => panic!("{other:?}"),
    }
}

fn sheena() -> Sender {
    Sender {
        wa_id: Some("16505551234".into()),
        user_id: Some("US.1".into()),
        name: Some("Sheena".into()),
        username: None,
    }
}

#[test]
fn a_text_comes_with_all_that_is_known_of_it() {
    let body = message(json!({"type": "text", "text": {"body": "hi"},
        "context": {"from": "1555", "id": "wamid.0", "forwarded": true},
        "referral": {"source_url": "https://fb.me/x", "source_id": "12", "source_type": "ad",
            "headline": "Chat", "body": "Sale"}}));
    let expected = InboundMessage {
        sender: sheena(),
        provider_id: "wamid.1".into(),
        provider_at: Some(Timestamp::from_millis(1_749_416_383_000)),
        counts: Counts::Message,
        content: Content::Text { body: "hi".into() },
        reply_to: Some("wamid.0".into()),
        referral: Some(Box::new(Referral {
            source: "ad 12".into(),
            url: Some("https://fb.me/x".into()),
            headline: Some("Chat".into()),
            body: Some("Sale".into()),
        })),
        forwarded: true,
    };
    assert_eq!(body, InboundBody::Message(Box::new(expected)));
}

#[test]
fn everything_a_visitor_says_counts_as_a_message() {
    use usher_domain::message::MediaKind as Kind;
    let kinds = [
        ("image", Kind::Image),
        ("video", Kind::Video),
        ("audio", Kind::Audio),
        ("document", Kind::Document),
        ("sticker", Kind::Sticker),
    ];
    for (kind, sort) in kinds {
        let keys = json!({"type": kind, kind: {"id": "77", "mime_type": "a/b", "sha256": "x"}});
        match said(keys, Counts::Message) {
            Content::Media(media) => {
                assert_eq!((media.sort, media.provider_id.as_deref()), (sort, Some("77")));
            }
            other => panic!("{other:?}"),
        }
    }
    let voice = json!({"type": "audio", "audio": {"id": "7", "mime_type": "a/b", "voice": true}});
    assert!(
        matches!(said(voice, Counts::Message), Content::Media(media) if media.sort == Kind::Voice)
    );
    let place = json!({"type": "location", "location": {"latitude": 37.5, "longitude": "-122.1"}});
    assert_eq!(
        said(place, Counts::Message),
        Content::Location { latitude: 37.5, longitude: -122.1, name: None, address: None }
    );
    let cards = json!({"type": "contacts", "contacts": [
        {"name": {"formatted_name": "Lu"}, "phones": [{"phone": "+1 983"}]}]});
    match said(cards, Counts::Message) {
        Content::Contacts { cards } => assert_eq!(cards[0].phones, ["+1 983"]),
        other => panic!("{other:?}"),
    }
    let order = json!({"type": "order", "order": {"catalog_id": "1", "text": "",
        "product_items": [{"product_retailer_id": "p", "quantity": 2, "item_price": 30.5,
            "currency": "USD"}]}});
    match said(order, Counts::Message) {
        Content::Order { items, text } => {
            assert_eq!((items[0].quantity.as_str(), text), ("2", None));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn taps_are_choices_and_flows_are_forms() {
    let button = json!({"type": "button", "button": {"payload": "P", "text": "Yes"}});
    let reply = json!({"type": "interactive",
        "interactive": {"type": "button_reply", "button_reply": {"id": "P", "title": "Yes"}}});
    let row = json!({"type": "interactive",
        "interactive": {"type": "list_reply", "list_reply": {"id": "P", "title": "Yes"}}});
    for keys in [button, reply, row] {
        let choice = Content::Choice { id: "P".into(), title: "Yes".into() };
        assert_eq!(said(keys, Counts::Message), choice);
    }
    let flow = json!({"type": "interactive", "interactive": {"type": "nfm_reply",
        "nfm_reply": {"name": "flow", "body": "Sent", "response_json": "{\"rating\":4}"}}});
    let form = Content::Form { name: Some("flow".into()), fields: "{\"rating\":4}".into() };
    assert_eq!(said(flow, Counts::Message), form);
}

#[test]
fn what_is_not_understood_is_shown_as_unsupported_and_opens() {
    let poll = json!({"type": "unsupported", "unsupported": {"type": "poll"},
        "errors": [{"code": 131_051, "title": "Message type unknown"}]});
    let future = json!({"type": "hologram", "hologram": {"x": 1}});
    let nowhere = json!({"type": "location", "location": {}});
    for keys in [poll, future, nowhere] {
        match said(keys, Counts::Unsupported) {
            Content::Unsupported { raw, .. } => assert!(raw.unwrap().contains("wamid.1")),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_happens_to_earlier_messages_says_to_which() {
    let (sender, provider_id) = (sheena(), "wamid.1".to_owned());
    let reaction =
        json!({"type": "reaction", "reaction": {"message_id": "wamid.0", "emoji": "👍"}});
    assert_eq!(
        message(reaction),
        InboundBody::Reaction {
            sender: sender.clone(),
            provider_id: provider_id.clone(),
            on: "wamid.0".into(),
            emoji: Some("👍".into()),
        }
    );
    for taken_back in [json!({"message_id": "wamid.0", "emoji": ""}), json!({"message_id": "w"})] {
        let body = message(json!({"type": "reaction", "reaction": taken_back}));
        assert!(matches!(body, InboundBody::Reaction { emoji: None, .. }), "{body:?}");
    }
    let edit = json!({"type": "edit", "edit": {"original_message_id": "wamid.0",
        "message": {"type": "text", "text": {"body": "hello"}}}});
    assert_eq!(
        message(edit),
        InboundBody::Edit {
            sender: sender.clone(),
            provider_id: provider_id.clone(),
            of: "wamid.0".into(),
            content: Content::Text { body: "hello".into() },
        }
    );
    let revoke = json!({"type": "revoke", "revoke": {"original_message_id": "wamid.0"}});
    assert_eq!(message(revoke), InboundBody::Revoke { sender, provider_id, of: "wamid.0".into() });
}

#[test]
fn notices_about_the_visitor_open_nothing() {
    let number = message(json!({"type": "system", "system": {"body": "changed",
        "wa_id": "12195555358", "type": "user_changed_number"}}));
    assert!(
        matches!(&number, InboundBody::NumberChanged { new_wa_id, .. } if new_wa_id == "12195555358"),
        "{number:?}"
    );
    let user_id = message(json!({"type": "system", "system": {"body": "changed",
        "type": "user_changed_user_id", "user_id": "US.2"}}));
    assert!(
        matches!(&user_id, InboundBody::UserIdChanged { previous: Some(old), current, .. }
            if old == "US.1" && current == "US.2"),
        "{user_id:?}"
    );
    let identity = json!({"type": "system", "system": {"body": "User identity changed",
        "type": "customer_identity_changed"}});
    let call = json!({"type": "interactive", "interactive": {"type": "call_permission_reply",
        "call_permission_reply": {"response": "accept"}}});
    for keys in [identity, call] {
        let body = message(keys);
        assert!(matches!(body, InboundBody::Notice { .. }), "{body:?}");
    }
}

#[test]
fn groups_and_welcome_requests_are_kept_and_shown_to_nobody() {
    let group = json!({"type": "text", "text": {"body": "hi"}, "group_id": "g1"});
    assert_eq!(message(group), account("group"));
    assert_eq!(message(json!({"type": "request_welcome"})), account("request_welcome"));
}

#[test]
fn without_id_or_sender_it_is_nobodys() {
    let mut value = value();
    value["messages"] = json!([{"from": "16505551234", "type": "text", "text": {"body": "x"}}]);
    assert_eq!(only("messages", value), InboundBody::Unattributed { why: "no message id" });
    let nobody = json!({"metadata": {"phone_number_id": "1"},
        "messages": [{"id": "wamid.1", "type": "text", "text": {"body": "x"}}]});
    assert_eq!(only("messages", nobody), InboundBody::Unattributed { why: "no sender" });
}

fn receipt(keys: Value) -> InboundBody {
    let mut status = json!({"id": "wamid.OUT", "timestamp": "1750030073", "recipient_id": "1650"});
    status.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    only("messages", json!({"metadata": {"phone_number_id": "1"}, "statuses": [status]}))
}

#[test]
fn receipts_say_how_far_and_about_what() {
    let about =
        About { message: MessageId::from_number(1), enquiry: Some(EnquiryId::from_number(2)) };
    let steps = [
        ("sent", Delivery::Sent),
        ("delivered", Delivery::Delivered),
        ("read", Delivery::Read),
        ("played", Delivery::Played),
    ];
    for (status, delivery) in steps {
        let keys = json!({"status": status, "biz_opaque_callback_data": about.encode()});
        let expected = InboundReceipt {
            provider_id: "wamid.OUT".into(),
            delivery,
            participant: None,
            provider_at: Some(Timestamp::from_millis(1_750_030_073_000)),
            code: None,
            title: None,
            about: Some(about),
        };
        assert_eq!(receipt(keys), InboundBody::Receipt(expected));
    }
    let failed = json!({"status": "failed", "biz_opaque_callback_data": "somebody else's",
        "errors": [{"code": 131_047, "title": "Re-engagement message"}]});
    match receipt(failed) {
        InboundBody::Receipt(receipt) => {
            assert_eq!((receipt.code, receipt.about), (Some(131_047), None));
            assert_eq!(receipt.title.as_deref(), Some("Re-engagement message"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(receipt(json!({"status": "deleted"})), account("statuses"));
}

fn echo(keys: Value) -> InboundBody {
    let mut echo = json!({"from": "15550783881", "to": "16505551234", "id": "wamid.E",
        "timestamp": "1749416383"});
    echo.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    only(
        "smb_message_echoes",
        json!({"metadata": {"display_phone_number": "15550783881",
        "phone_number_id": "1"}, "message_echoes": [echo]}),
    )
}

#[test]
fn echoes_are_what_the_business_said_elsewhere() {
    match echo(json!({"type": "text", "text": {"body": "hi"}})) {
        InboundBody::Echo { to, provider_at, content, .. } => {
            assert_eq!(to.wa_id.as_deref(), Some("16505551234"));
            assert_eq!(provider_at, Timestamp::from_millis(1_749_416_383_000));
            assert_eq!(content, Content::Text { body: "hi".into() });
        }
        other => panic!("{other:?}"),
    }
    let undated = json!({"type": "text", "text": {"body": "hi"}, "timestamp": "soon"});
    assert!(matches!(echo(undated), InboundBody::Echo { provider_at: NOW, .. }));
    let revoke = json!({"type": "revoke", "revoke": {"original_message_id": "wamid.0"}});
    assert_eq!(echo(revoke), account("smb_message_echoes"));
}

fn preference(value: &str, category: &str) -> InboundBody {
    only(
        "user_preferences",
        json!({"metadata": {"phone_number_id": "1"},
        "user_preferences": [{"wa_id": "16505551234", "category": category, "value": value,
            "timestamp": 1_731_705_721}]}),
    )
}

#[test]
fn marketing_preferences_are_opt_outs_and_others_are_not() {
    let marketing = "marketing_messages";
    for (value, stops) in [("stop", true), ("resume", false), ("signup", false)] {
        let body = preference(value, marketing);
        assert!(
            matches!(&body, InboundBody::Preference { stop, .. } if *stop == stops),
            "{body:?}"
        );
    }
    assert_eq!(preference("maybe", marketing), account("user_preferences"));
    assert_eq!(preference("stop", "carrier_pigeons"), account("user_preferences"));
}

#[test]
fn a_changed_user_id_comes_again_under_the_same_id() {
    let change = || {
        only(
            "user_id_update",
            json!({"metadata": {"phone_number_id": "1"}, "user_id_update": [
            {"wa_id": "1650", "user_id": {"previous": "US.1", "current": "US.2"},
                "timestamp": "1749416383"}]}),
        )
    };
    assert_eq!(change(), change());
    match change() {
        InboundBody::UserIdChanged { sender, previous, current, provider_id } => {
            assert_eq!(sender.user_id, previous);
            assert_eq!((previous.as_deref(), current.as_str()), (Some("US.1"), "US.2"));
            assert_eq!(provider_id, "user_id_update US.1 US.2 1749416383000");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn notices_about_the_account_are_kept_by_their_field() {
    for field in [
        "message_template_status_update",
        "message_template_quality_update",
        "template_category_update",
        "message_template_components_update",
        "account_update",
        "account_review_update",
        "account_alerts",
        "phone_number_quality_update",
        "phone_number_name_update",
        "business_capability_update",
        "calls",
        "security",
    ] {
        assert_eq!(only(field, json!({"event": "X"})), account(field));
    }
    let out_of_band = json!({"metadata": {"phone_number_id": "1"},
        "errors": [{"code": 0, "title": "We were unable to authenticate the app user"}]});
    assert_eq!(only("messages", out_of_band), account("errors"));
}

#[test]
fn what_came_is_kept_word_for_word() {
    let body = r#"{"entry":[{"id":"1","changes":[{"field":"messages","value":{"metadata":
        {"phone_number_id":"1"},"messages":[{"id":"w","from":"16505551234","type":"text",
        "text":{"body":"x"},"later":[1,2]}]}}]}]}"#;
    let whole = Bytes::from_static(body.as_bytes());
    let update = wire::parse(&whole).unwrap().remove(0);
    let raw = translate(update, &whole, NOW).raw.unwrap();
    assert!(raw.contains("\"later\""), "{raw}");
    assert!(whole.as_ptr_range().contains(&raw.as_ptr()), "the body itself, not a copy");
    // What does not stand in the body as it is, is kept all the same.
    for (body, kept) in [
        (
            &br#"{"entry":[{"changes":[{"field":"messages","value":{"messages":[null]}}]}]}"#[..],
            "null",
        ),
        (
            &b"{\"entry\":[{\"changes\":[{\"field\":\"messages\",\"value\":\"\xff\"}]}]}"[..],
            "\"\u{fffd}\"",
        ),
    ] {
        let whole = Bytes::from_static(body);
        let update = wire::parse(&whole).unwrap().remove(0);
        assert_eq!(translate(update, &whole, NOW).raw.unwrap(), kept);
    }
}
