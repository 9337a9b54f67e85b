//! What the parser makes of every kind of update.

#![expect(
    clippy::panic,
    clippy::unnecessary_wraps,
    clippy::unwrap_used,
    reason = "helpers of tests fail the test when something is not as expected"
)]

mod support;

use dialog360::inbound::{
    Content, Echo, IgnoredReason, MediaKind, Message, PreferenceValue, Receipt, ReceiptStatus,
    Unreadable, Update, UpdateBody, parse, parse_sandbox,
};
use support::FIXTURES;

fn updates(name: &str) -> Vec<Update<'static>> {
    let (_, body) = FIXTURES.iter().find(|(known, _)| *known == name).unwrap();
    parse(body.as_bytes()).unwrap()
}

fn messages(name: &str) -> Vec<Message> {
    let message = |update: Update<'_>| match update.body {
        UpdateBody::Message(message) => *message,
        other => panic!("{other:?}"),
    };
    updates(name).into_iter().map(message).collect()
}

fn contents(name: &str) -> Vec<Content> {
    messages(name).into_iter().map(|message| message.content).collect()
}

fn some<T: From<&'static str>>(text: &'static str) -> Option<T> {
    Some(text.into())
}

#[test]
fn a_text_says_who_when_where_and_what() {
    let update = updates("text").remove(0);
    assert_eq!(update.waba_id, some("700800900"));
    assert_eq!(update.phone_number_id, some("900100200300"));
    assert_eq!(update.display_phone_number, some("4930111222"));
    assert_eq!(update.field, "messages");
    assert!(update.raw.starts_with('{') && update.raw.ends_with('}'));
    assert!(update.raw.contains("in green"));
    let message = messages("text").remove(0);
    assert_eq!(message.id, some("wamid.IN0001"));
    assert_eq!(message.timestamp, Some(1_764_000_000_000));
    assert_eq!(message.from.wa_id, some("4915112345678"));
    assert_eq!(message.from.user_id, some("DE.1000000000000000001"));
    assert_eq!(message.from.parent_user_id, some("DE.ENT.77"));
    assert_eq!(message.from.profile_name, some("Ann Archer"));
    assert_eq!(message.from.username, some("ann.a"));
    assert_eq!(message.content, Content::Text { body: "Do you have it in green? 🟢".to_owned() });
}

#[test]
fn media_keep_their_kind_and_place() {
    use MediaKind::{Audio, Document, Image, Sticker, Video, Voice};

    let media: Vec<_> = contents("media")
        .into_iter()
        .map(|content| match content {
            Content::Media(media) => media,
            other => panic!("{other:?}"),
        })
        .collect();
    let kinds: Vec<_> = media.iter().map(|media| media.kind).collect();
    assert_eq!(kinds, [Image, Video, Voice, Audio, Voice, Document, Sticker, Image, Document]);
    assert_eq!(media[0].caption, some("front"));
    assert!(media[0].url.as_ref().unwrap().ends_with("&hash=AR"));
    assert_eq!(media[2].mime_type, some("audio/ogg; codecs=opus"));
    assert_eq!(media[5].filename, some("bill.pdf"));
    assert!(media[6].animated);
    assert_eq!((&media[7].id, &media[7].url), (&None, &None));
    assert_eq!(media[8].errors[0].code, Some(131_052));
}

#[test]
fn places_and_people() {
    let contents = contents("places_and_people");
    let Content::Location(place) = &contents[0] else { panic!("{contents:?}") };
    assert_eq!((place.latitude, place.longitude), (Some(52.52), Some(13.405)));
    assert_eq!(place.name, some("Dome"));
    let Content::Location(place) = &contents[1] else { panic!("{contents:?}") };
    assert_eq!((place.latitude, place.longitude), (Some(-33.5), Some(151.0)));
    let Content::Contacts(cards) = &contents[2] else { panic!("{contents:?}") };
    assert_eq!(cards.len(), 2);
    assert_eq!(cards[0].formatted_name, some("Dr. Eva Ernst"));
    assert_eq!(cards[0].phones[0].wa_id, some("491515550001"));
    assert_eq!(cards[0].phones[1].phone, some("030 1"));
    assert_eq!(cards[0].emails[0].value, some("eva@example.org"));
    assert_eq!(cards[0].company, some("Ernst & Co"));
    assert_eq!(cards[0].addresses[0].zip, some("10115"));
    assert_eq!(cards[0].birthday, some("1980-02-29"));
}

#[test]
fn taps_reactions_and_orders() {
    let contents = contents("taps");
    assert_eq!(contents[0], Content::ButtonReply { id: some("b-sales"), title: some("Sales") });
    assert_eq!(
        contents[1],
        Content::ListReply {
            id: some("r-1"),
            title: some("Billing"),
            description: some("Bills and refunds")
        }
    );
    let Content::FlowReply { name, response_json, .. } = &contents[2] else { panic!() };
    assert_eq!(name, &some("flow"));
    assert_eq!(response_json, &some(r#"{"flow_token":"t","stars":"4"}"#));
    assert!(matches!(&contents[3], Content::FlowReply { name: None, .. }));
    assert_eq!(
        contents[4],
        Content::CallPermissionReply {
            response: some("accept"),
            permanent: false,
            expires_at: Some(1_764_600_000_000)
        }
    );
    assert_eq!(
        contents[5],
        Content::TemplateButton { payload: some("STOP-ADS"), text: some("Stop") }
    );
    let reaction = |emoji| Content::Reaction { message_id: "wamid.OUT1".to_owned(), emoji };
    assert_eq!(contents[6..9], [reaction(some("👍🏽")), reaction(None), reaction(None)]);
    let Content::Order(order) = &contents[9] else { panic!() };
    assert_eq!(order.items[0].item_price, some("30.5"));
    assert_eq!(order.items[1].quantity, some("1"));
    let context = messages("taps")[0].context.clone().unwrap();
    assert_eq!(context.message_id, some("wamid.OUT1"));
}

#[test]
fn system_messages_are_told_apart() {
    let new_number = |body: &'static str| Content::NumberChange {
        new_wa_id: "4915199999999".to_owned(),
        body: some(body),
    };
    assert_eq!(
        contents("system"),
        [
            new_number("Ann changed from 4915112345678 to 4915199999999"),
            new_number("older form"),
            Content::IdentityChange { body: some("identity") },
            Content::UserIdChanged {
                user_id: "DE.3".to_owned(),
                parent_user_id: some("DE.ENT.3"),
                wa_id: some("4915112345678"),
                body: some("id"),
            },
            Content::OtherSystem { body: some("something new") },
            Content::RequestWelcome,
        ]
    );
    assert_eq!(messages("system")[0].from.wa_id, some("4915112345678"));
}

#[test]
fn edits_deletions_and_what_is_not_supported() {
    let contents = contents("changes");
    assert_eq!(
        contents[0],
        Content::Edit {
            original_message_id: "wamid.IN0001".to_owned(),
            content: Box::new(Content::Text { body: "In blue, I mean".to_owned() }),
        }
    );
    let Content::Edit { content, .. } = &contents[1] else { panic!() };
    assert!(matches!(&**content, Content::Media(media) if media.caption == some("better")));
    assert_eq!(contents[2], Content::Revoke { original_message_id: "wamid.IN0001".to_owned() });
    let Content::Unsupported { kind, errors } = &contents[3] else { panic!() };
    assert_eq!((kind, errors[0].code), (&some("poll"), Some(131_051)));
    assert_eq!(errors[0].details, some("Message type is currently not supported."));
    let Content::Unsupported { kind: None, errors } = &contents[4] else { panic!() };
    assert_eq!(errors[0].details, some("Message type is not currently supported"));
    assert_eq!(contents[5], Content::Unknown { kind: some("hologram") });
}

#[test]
fn errors_beside_an_empty_message_explain_it() {
    let contents = contents("contentless_interactive");
    let [Content::Unsupported { kind, errors }] = contents.as_slice() else { panic!() };
    assert_eq!((kind, errors[0].code), (&some("interactive"), Some(131_000)));
}

#[test]
fn context_referral_and_group() {
    let all = messages("context");
    let product = all[0].context.clone().unwrap().referred_product.unwrap();
    assert_eq!(product.product_retailer_id, some("sku-1"));
    assert!(all[1].context.as_ref().unwrap().forwarded);
    assert!(all[2].context.as_ref().unwrap().frequently_forwarded);
    let referral = all[3].referral.clone().unwrap();
    assert_eq!(referral.source_type, some("ad"));
    assert_eq!(referral.welcome_message, some("Hi there!"));
    assert_eq!(all[4].group_id, some("grp.1"));
}

#[test]
fn senders_are_found_and_our_own_words_are_echoes() {
    let all = updates("senders");
    let sender = |index: usize| match &all[index].body {
        UpdateBody::Message(message) => message.from.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(sender(0).profile_name, some("Ann Archer"));
    assert_eq!((sender(1).wa_id, sender(1).username), (None, some("cleo")));
    assert_eq!(sender(2).wa_id, some("4915112345678"));
    assert_eq!((sender(3).wa_id, sender(3).user_id), (None, None));
    assert_eq!((sender(4).wa_id, sender(4).user_id), (None, None));
    for echo in &all[5..7] {
        assert!(matches!(echo.body, UpdateBody::Echo(_)), "{echo:?}");
    }
}

#[test]
fn odd_forms_are_understood_or_kept() {
    let all = messages("odd_forms");
    let text = |body: &str| Content::Text { body: body.to_owned() };
    assert_eq!(all[0].content, text("no type"));
    let times: Vec<_> = all[..4].iter().map(|message| message.timestamp).collect();
    assert_eq!(
        times,
        [Some(1_764_000_000_000), Some(1_764_000_000_000), Some(1_764_000_000_123), None]
    );
    assert_eq!(all[4].content, text(""));
    assert_eq!(all[5].content, text("just text"));
    assert_eq!((&all[6].id, &all[6].from.wa_id), (&some("42"), &some("4915112345678")));
    assert_eq!(all[7].content, Content::Unknown { kind: some("text") });
    assert_eq!(all[8].content, Content::Unknown { kind: some("text") });
    for (message, update) in all[9..].iter().zip(&updates("odd_forms")[9..]) {
        assert_eq!(message.content, Content::Unknown { kind: None });
        assert_eq!(message.id, None);
        let raw: String = update.raw.split_whitespace().collect();
        assert!(["{}", "5", "null", "\"x\"", "[1]"].contains(&raw.as_str()));
    }
    assert_eq!(all.len(), 14);
}

#[test]
fn every_array_is_walked() {
    let all = updates("batch");
    let fields: Vec<_> = all.iter().map(|update| update.field.as_ref()).collect();
    let (m, p) = ("messages", "user_preferences");
    assert_eq!(fields, [m, m, m, p, p, m]);
    assert_eq!(all[5].waba_id, some("700800901"));
    assert_eq!(all[5].phone_number_id, some("900100200301"));
    assert_eq!(all[5].display_phone_number, some("4930333444"));
    let UpdateBody::Preference(preference) = &all[3].body else { panic!() };
    assert_eq!(preference.value, PreferenceValue::Stop);
    assert_eq!(preference.user_id, some("DE.1000000000000000001"));
    assert_eq!(messages("duplicate").len(), 2);
}

#[test]
fn receipts() {
    use ReceiptStatus::{Delivered, Failed, Other, Played, Read, Sent};

    let all: Vec<Receipt<'_>> = updates("statuses")
        .into_iter()
        .map(|update| match update.body {
            UpdateBody::Receipt(receipt) => *receipt,
            other => panic!("{other:?}"),
        })
        .collect();
    let statuses: Vec<_> = all.iter().map(|receipt| receipt.status.clone()).collect();
    let deleted = Other("deleted".to_owned());
    assert_eq!(
        statuses,
        [Sent, Delivered, Read, Played, Failed, Failed, deleted, Delivered, Delivered, Sent]
    );
    assert_eq!(all[0].callback_data, some("s1:m1"));
    assert_eq!(all[0].recipient_user_id, some("DE.1000000000000000001"));
    assert_eq!(all[0].pricing.as_ref().unwrap().billable, Some(false));
    let conversation = all[0].conversation.as_ref().unwrap();
    assert_eq!(conversation.expires_at, Some(1_764_086_400_000));
    assert_eq!(conversation.origin, some("service"));
    assert_eq!(all[1].timestamp, Some(1_764_000_001_000));
    assert_eq!(all[4].errors[0].code, Some(131_047));
    assert_eq!(all[4].errors[0].class(), dialog360::errors::Class::WindowLapsed);
    assert_eq!(all[4].errors[0].details, some("More than 24 hours have passed"));
    assert_eq!(all[5].errors[0].title, some("Media upload error"));
    assert!(all[7].to_group);
    assert_eq!(all[7].recipient_id, some("grp.1"));
    assert_eq!(all[7].participant, some("4915112345678"));
    assert_eq!(all[7].pricing.as_ref().unwrap().billable, Some(true));
    assert_eq!(all[8].participant, some("4915187654321"));
    assert_eq!(
        (&all[9].recipient_id, &all[9].recipient_user_id),
        (&None, &some("FR.2000000000000000002"))
    );
}

#[test]
fn notices_of_every_field() {
    let all = updates("notices");
    assert!(all.iter().all(|update| update.entry_time_ms == Some(1_764_000_000_000)));
    let mut bodies = all.into_iter().map(|update| update.body);
    let mut next = || bodies.next().unwrap();
    let UpdateBody::TemplateStatus(status) = next() else { panic!() };
    assert_eq!((status.event, status.reason), (some("APPROVED"), None));
    assert_eq!(status.template.id, some("1689556908129832"));
    let UpdateBody::TemplateStatus(status) = next() else { panic!() };
    assert_eq!((status.event, status.detail), (some("REJECTED"), some("too loud")));
    let UpdateBody::TemplateQuality(quality) = next() else { panic!() };
    assert_eq!(quality.new, some("YELLOW"));
    let UpdateBody::TemplateCategory(category) = next() else { panic!() };
    assert_eq!(category.new, some("MARKETING"));
    assert!(matches!(next(), UpdateBody::TemplateComponents(_)));
    let UpdateBody::AccountUpdate(account) = next() else { panic!() };
    assert_eq!(account.restrictions[0].expires_at, Some(1_764_100_000_000));
    let UpdateBody::AccountUpdate(account) = next() else { panic!() };
    assert_eq!(account.ban_state, some("DISABLE"));
    let UpdateBody::AccountUpdate(account) = next() else { panic!() };
    assert_eq!(account.violation_type, some("ADULT"));
    let UpdateBody::AccountUpdate(account) = next() else { panic!() };
    assert_eq!(account.disconnection_reason, some("asked"));
    assert_eq!(next(), UpdateBody::AccountReview { decision: some("APPROVED") });
    let UpdateBody::AccountAlert(alert) = next() else { panic!() };
    assert_eq!((alert.severity, alert.kind), (some("CRITICAL"), some("X")));
    let UpdateBody::PhoneQuality(quality) = next() else { panic!() };
    assert_eq!(quality.event, some("THROUGHPUT_UPGRADE"));
    let UpdateBody::PhoneName(name) = next() else { panic!() };
    assert_eq!(name.rejection_reason, some("taken"));
    let UpdateBody::UserIdChange(change) = next() else { panic!() };
    assert_eq!((change.previous, change.current), (some("DE.1"), some("DE.2")));
    let UpdateBody::Echo(echo) = next() else { panic!() };
    let Echo { from, to_wa_id, to_user_id, .. } = *echo;
    assert_eq!((from, to_wa_id), (some("4930111222"), some("4915112345678")));
    assert_eq!(to_user_id, some("DE.1000000000000000001"));
    let UpdateBody::Echo(echo) = next() else { panic!() };
    assert!(matches!(echo.content, Content::Revoke { .. }));
    let UpdateBody::AccountError(errors) = next() else { panic!() };
    assert_eq!(errors[0].code, Some(0));
    let ignored = |reason| UpdateBody::Ignored { reason };
    assert_eq!(next(), ignored(IgnoredReason::UnknownField));
    assert_eq!(next(), ignored(IgnoredReason::UnknownField));
    assert_eq!(next(), ignored(IgnoredReason::Empty));
}

#[test]
fn the_form_without_envelope_is_for_the_sandbox() {
    let (_, bare) = FIXTURES[0];
    let ignored = UpdateBody::Ignored { reason: IgnoredReason::Empty };
    assert_eq!(parse(bare.as_bytes()).unwrap()[0].body, ignored);
    let update = parse_sandbox(bare.as_bytes()).unwrap().remove(0);
    let UpdateBody::Message(message) = update.body else { panic!() };
    assert_eq!(message.from.wa_id, some("4915112345678"));
    assert_eq!(update.phone_number_id, None);
}

#[test]
fn only_what_is_no_json_object_is_unreadable() {
    assert_eq!(parse(b""), Err(Unreadable::NotJson { at: 0 }));
    assert_eq!(parse(b"{\"entry\":["), Err(Unreadable::NotJson { at: 10 }));
    assert_eq!(parse(b"[]"), Err(Unreadable::NotAnObject));
    let deep = format!("{{\"entry\":{}{}}}", "[".repeat(100), "]".repeat(100));
    assert_eq!(parse(deep.as_bytes()), Err(Unreadable::TooDeep));
    assert_eq!(parse(br#"{"entry":[]}"#), Ok(Vec::new()));
    let whole_body = parse(br#"{"hello":"world"}"#).unwrap();
    assert_eq!(whole_body[0].raw, r#"{"hello":"world"}"#);
}

#[test]
fn a_broken_neighbour_costs_nothing() {
    // A number out of range, half an emoji and bytes that are no UTF-8.
    let mut body = br#"{"entry":[{"changes":[{"field":"messages","value":{
        "contacts":[{"profile":{"name":"cut \ud83d"},"wa_id":"4915112345678"},7],
        "messages":[{"id":1e999,"timestamp":{}},[[]],
        {"id":"wamid.A","from":"4915112345678","type":"text","text":{"body":"?"}}]}}]}]}"#
        .to_vec();
    let at = body.iter().rposition(|&byte| byte == b'?').unwrap();
    body[at] = 0xff;
    let updates = parse(&body).unwrap();
    assert_eq!(updates.len(), 3);
    let UpdateBody::Message(message) = &updates[2].body else { panic!() };
    assert_eq!(message.from.profile_name, some("cut \u{fffd}"));
    assert_eq!(message.id, some("wamid.A"));
    assert_eq!(message.content, Content::Text { body: "\u{fffd}".to_owned() });
}
