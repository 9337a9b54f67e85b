//! What leaves, and what is refused before it does.

#![expect(clippy::unwrap_used, reason = "a helper of tests that fails has failed the test")]

use dialog360::outbound::{
    ButtonKind, Card, CardPhone, Component, Content, Header, Interactive, Invalid, Media,
    MediaSource, Message, Parameter, Recipient, ReplyButton, Row, Section, Template,
};
use serde_json::{Value, json};

fn to() -> Recipient {
    Recipient::Phone("+1 (650) 555-1234".to_owned())
}

#[track_caller]
fn check(content: Content, kind: &str, expected: &Value) {
    let prepared = Message::new(to(), content).prepare().unwrap();
    let mut body: Value = serde_json::from_slice(prepared.body()).unwrap();
    let mut wanted = json!({
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": "16505551234",
        "type": kind,
    });
    wanted[kind] = expected.clone();
    assert_eq!(body.take(), wanted);
}

#[track_caller]
fn refused(content: Content, expected: Invalid) {
    assert_eq!(Message::new(to(), content).prepare(), Err(expected));
}

fn text(body: &str) -> Content {
    Content::Text { body: body.to_owned(), preview_url: false }
}

fn buttons(titles: &[&str]) -> Interactive {
    let button = |(n, title): (usize, &&str)| ReplyButton {
        id: format!("b{n}"),
        title: (*title).to_owned(),
    };
    Interactive::Buttons {
        header: None,
        body: "Choose".to_owned(),
        footer: None,
        buttons: titles.iter().enumerate().map(button).collect(),
    }
}

fn list(sections: Vec<Section>) -> Interactive {
    Interactive::List {
        header: Some("Head".to_owned()),
        body: "Choose".to_owned(),
        footer: Some("Foot".to_owned()),
        button: "Menu".to_owned(),
        sections,
    }
}

fn section(title: Option<&str>, rows: std::ops::Range<usize>) -> Section {
    let row = |n| Row { id: format!("r{n}"), title: format!("Row {n}"), description: None };
    Section { title: title.map(str::to_owned), rows: rows.map(row).collect() }
}

#[test]
fn simple_kinds_have_their_form() {
    check(text("Hi"), "text", &json!({"body": "Hi", "preview_url": false}));
    let image = Media::link("https://x.example/y.jpg").with_caption("front");
    check(
        Content::Image(image),
        "image",
        &json!({"link": "https://x.example/y.jpg", "caption": "front"}),
    );
    let voice = Media { voice: true, ..Media::id("5") };
    check(Content::Audio(voice), "audio", &json!({"id": "5", "voice": true}));
    let bill = Media::id("6").with_filename("a.pdf");
    check(Content::Document(bill), "document", &json!({"id": "6", "filename": "a.pdf"}));
    check(Content::Sticker(Media::id("7")), "sticker", &json!({"id": "7"}));
    check(Content::Video(Media::id("8")), "video", &json!({"id": "8"}));
    let place = Content::Location {
        latitude: 37.5,
        longitude: -122.25,
        name: Some("Philz".to_owned()),
        address: None,
    };
    check(place, "location", &json!({"latitude": 37.5, "longitude": -122.25, "name": "Philz"}));
    let reaction = |emoji: Option<&str>| Content::Reaction {
        message_id: "wamid.T".to_owned(),
        emoji: emoji.map(str::to_owned),
    };
    check(reaction(Some("😀")), "reaction", &json!({"message_id": "wamid.T", "emoji": "😀"}));
    check(reaction(None), "reaction", &json!({"message_id": "wamid.T", "emoji": ""}));
    let phone = CardPhone { phone: "+49 30 1".to_owned(), wa_id: None, label: Some("WORK".into()) };
    let card =
        Card { formatted_name: "Eva Ernst".to_owned(), phones: vec![phone], ..Card::default() };
    check(
        Content::Contacts(vec![card]),
        "contacts",
        &json!([{"name": {"formatted_name": "Eva Ernst", "first_name": "Eva Ernst"},
            "phones": [{"phone": "+49 30 1", "type": "WORK"}]}]),
    );
}

#[test]
fn interactive_kinds_have_their_form() {
    check(
        Content::Interactive(buttons(&["Sales", "Help"])),
        "interactive",
        &json!({"type": "button", "body": {"text": "Choose"}, "action": {"buttons": [
            {"type": "reply", "reply": {"id": "b0", "title": "Sales"}},
            {"type": "reply", "reply": {"id": "b1", "title": "Help"}}]}}),
    );
    check(
        Content::Interactive(list(vec![section(None, 0..1)])),
        "interactive",
        &json!({"type": "list", "header": {"type": "text", "text": "Head"},
            "body": {"text": "Choose"}, "footer": {"text": "Foot"},
            "action": {"button": "Menu", "sections": [{"rows": [{"id": "r0", "title": "Row 0"}]}]}}),
    );
    let link = Interactive::CtaUrl {
        header: Some(Header::Image(MediaSource::Id("9".to_owned()))),
        body: "See".to_owned(),
        footer: None,
        display_text: "Visit".to_owned(),
        url: "https://x.example".to_owned(),
    };
    check(
        Content::Interactive(link),
        "interactive",
        &json!({"type": "cta_url", "header": {"type": "image", "image": {"id": "9"}},
            "body": {"text": "See"}, "action": {"name": "cta_url", "parameters":
            {"display_text": "Visit", "url": "https://x.example"}}}),
    );
}

#[test]
fn templates_have_their_form() {
    let text = |text: &str, name: Option<&str>| Parameter::Text {
        text: text.to_owned(),
        name: name.map(str::to_owned),
    };
    let currency = Parameter::Currency {
        fallback: "$1".to_owned(),
        code: "USD".to_owned(),
        amount_1000: 1000,
    };
    let template = Template {
        name: "order_update".to_owned(),
        language: "en_US".to_owned(),
        components: vec![
            Component::Header(vec![Parameter::Image(MediaSource::Id("9".to_owned()))]),
            Component::Body(vec![text("Chef", Some("who")), currency]),
            Component::Button {
                kind: ButtonKind::QuickReply,
                index: 0,
                parameters: vec![Parameter::Payload("P1".to_owned())],
            },
        ],
    };
    check(
        Content::Template(template.clone()),
        "template",
        &json!({"name": "order_update", "language": {"code": "en_US"}, "components": [
            {"type": "header", "parameters": [{"type": "image", "image": {"id": "9"}}]},
            {"type": "body", "parameters": [
                {"type": "text", "text": "Chef", "parameter_name": "who"},
                {"type": "currency", "currency":
                    {"fallback_value": "$1", "code": "USD", "amount_1000": 1000}}]},
            {"type": "button", "sub_type": "quick_reply", "index": "0",
                "parameters": [{"type": "payload", "payload": "P1"}]}]}),
    );
    let shouting = Template { name: "Order".to_owned(), ..template };
    refused(Content::Template(shouting), Invalid::Malformed { field: "template.name" });
}

#[test]
fn a_message_may_quote_carry_data_and_go_to_a_user_id() {
    let message = Message::new(Recipient::UserId("US.1".to_owned()), text("Hi"))
        .replying_to("wamid.Q")
        .with_callback_data("s:1");
    let body: Value = serde_json::from_slice(message.prepare().unwrap().body()).unwrap();
    assert_eq!(body["recipient"], "US.1");
    assert_eq!(body.get("to"), None);
    assert_eq!(body["context"], json!({"message_id": "wamid.Q"}));
    assert_eq!(body["biz_opaque_callback_data"], "s:1");
    let long = Message::new(to(), text("Hi")).with_callback_data("x".repeat(513));
    let field = "biz_opaque_callback_data";
    assert_eq!(long.prepare(), Err(Invalid::TooLong { field, limit: 512, given: 513 }));
    let nobody = Message::new(Recipient::Phone("Ann".to_owned()), text("Hi"));
    assert_eq!(nobody.prepare(), Err(Invalid::Malformed { field: "to" }));
}

#[test]
fn lengths_are_counted_in_characters() {
    assert!(Message::new(to(), text(&"ß".repeat(4096))).prepare().is_ok());
    let field = "text.body";
    refused(text(&"ß".repeat(4097)), Invalid::TooLong { field, limit: 4096, given: 4097 });
    refused(text("  "), Invalid::Empty { field });
    let caption = Media::id("1").with_caption("x".repeat(1025));
    let too_long = Invalid::TooLong { field: "caption", limit: 1024, given: 1025 };
    refused(Content::Image(caption), too_long);
    assert_eq!(too_long.to_string(), "caption has 1025 characters, at most 1024");
    assert_eq!(too_long.field(), "caption");
}

#[test]
fn interactive_limits_hold() {
    let title = "interactive.action.buttons.reply.title";
    let all = "interactive.action.buttons";
    let too_many = Invalid::TooMany { field: all, limit: 3, given: 4 };
    refused(Content::Interactive(buttons(&["a", "b", "c", "d"])), too_many);
    refused(Content::Interactive(buttons(&[])), Invalid::Empty { field: all });
    refused(Content::Interactive(buttons(&["a", "a"])), Invalid::Repeated { field: title });
    let long = "x".repeat(21);
    let too_long = Invalid::TooLong { field: title, limit: 20, given: 21 };
    refused(Content::Interactive(buttons(&[&long])), too_long);
    let rows = "interactive.action.sections.rows";
    let many = list(vec![section(Some("A"), 0..6), section(Some("B"), 6..11)]);
    refused(Content::Interactive(many), Invalid::TooMany { field: rows, limit: 10, given: 11 });
    let untitled = list(vec![section(Some("A"), 0..1), section(None, 1..2)]);
    let field = "interactive.action.sections.title";
    refused(Content::Interactive(untitled), Invalid::Empty { field });
    let same = list(vec![section(Some("A"), 0..1), section(Some("B"), 0..1)]);
    let field = "interactive.action.sections.rows.id";
    refused(Content::Interactive(same), Invalid::Repeated { field });
}

#[test]
fn what_does_not_go_together_is_refused() {
    let caption = || Media::id("1").with_caption("c");
    let not_allowed = |field| Invalid::NotAllowed { field };
    refused(Content::Audio(caption()), not_allowed("caption"));
    refused(Content::Sticker(caption()), not_allowed("caption"));
    refused(Content::Image(Media::id("1").with_filename("f")), not_allowed("filename"));
    refused(Content::Image(Media::link("ftp://x")), Invalid::Malformed { field: "media.link" });
    refused(Content::Video(Media::id("")), Invalid::Empty { field: "media.id" });
    let pole = Content::Location { latitude: 90.5, longitude: 0.0, name: None, address: None };
    refused(pole, Invalid::Malformed { field: "location.latitude" });
    let card = Card { formatted_name: "A".to_owned(), ..Card::default() };
    let field = "contacts";
    refused(Content::Contacts(vec![card; 6]), Invalid::TooMany { field, limit: 5, given: 6 });
}
