//! What the document for makers of bots shows is what happens.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use serde_json::Value;
use usher_config::{Config, LoadOptions};
use usher_domain::ids::{BotCallId, BotId, ChannelId, EnquiryId, MessageId, VisitorId};
use usher_domain::message::Content;
use usher_domain::time::Timestamp;
use usher_engine::{BotAction, BotCall};
use usher_protocol::event::{Direction, Message, Named, Person, Writer};

use super::answer::{self, Unfit};
use super::payload;
use super::sign::{ID, SIGNATURE, Signer, TIMESTAMP};

const DOCUMENT: &str = include_str!("../../../docs/bots.md");

/// Somewhere for a bot to be set.
const SHOP: &str = r#"
[[service]]
key = "shop"
[service.staff.ada]
first_name = "Ada"
email = "ada@example.com"
[service.groups.all]
members = ["ada"]
[service.rules.all]
alternative = ["bot:greeter", "group:all"]
"#;

/// The code blocks of one language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    DOCUMENT.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// The question in the document.
fn question() -> BotCall {
    let at = Timestamp::from_millis(1_795_424_400_000);
    let id = |text: &str| format!("019a00000000700080000000000000{text}");
    let enquiry: EnquiryId = format!("enq_{}", id("01")).parse().unwrap();
    let channel: ChannelId = format!("chn_{}", id("02")).parse().unwrap();
    let visitor: VisitorId = format!("vis_{}", id("03")).parse().unwrap();
    let message: MessageId = format!("msg_{}", id("04")).parse().unwrap();
    let message = Message {
        id: message,
        enquiry,
        order: 3,
        direction: Direction::In,
        writer: Writer::Visitor,
        content: Content::Text { body: "Hello".to_owned() },
        time: at.into(),
        provider_time: Some(at.into()),
        reply_to: None,
        delivery: None,
        failure: None,
        key: None,
        referral: None,
        forwarded: false,
        changed: None,
        reactions: Vec::new(),
    };
    BotCall {
        service: usher_domain::ids::ServiceId::from_number(1),
        bot: BotId::from_number(7),
        id: BotCallId::from_number(8),
        at,
        enquiry,
        channel: Named::new(channel, "Support"),
        opened_at: at,
        visitor: Person {
            id: visitor,
            name: Some("Vera".to_owned()),
            phone: Some("+4915112345678".to_owned()),
            opted_out: false,
        },
        language: None,
        country: Some("DE".to_owned()),
        message: message.clone(),
        last: vec![message],
    }
}

#[test]
fn the_question_is_asked_as_it_stands_there() {
    let shown: Value = serde_json::from_str(blocks("json")[0]).unwrap();
    let asked: Value = serde_json::from_slice(&payload::body(&question()).unwrap()).unwrap();
    assert_eq!(asked, shown);
}

#[test]
fn the_answers_are_understood() {
    let answer = answer::read(blocks("json")[1].as_bytes()).unwrap();
    let language = Some("de".to_owned());
    let text = "Guten Tag!".to_owned();
    let expected = [BotAction::Set { language }, BotAction::Reply { text }, BotAction::HandOver];
    assert_eq!(answer, expected);
    // Each action of the table by itself.
    let rows = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| `{\"")?.split('`').next());
    let actions: Vec<String> =
        rows.map(|row| format!("{{\"actions\":[{{\"{}]}}", row.replace('…', "x"))).collect();
    assert_eq!(actions.len(), 4, "{actions:?}");
    for action in actions {
        assert_eq!(answer::read(action.as_bytes()).map(|all| all.len()).unwrap(), 1, "{action}");
    }
    assert!(answer::read(b"").unwrap().is_empty());
    let after = br#"{"actions":[{"close":{}},{"reply":{"text":"x"}}]}"#;
    assert!(matches!(answer::read(after), Err(Unfit::AfterTheEnd)));
}

#[test]
fn the_unasked_request_is_let_in_once_it_is_signed() {
    let request = blocks("text")[0];
    let (head, body) = request.trim_end().split_once("\n\n").unwrap();
    let mut lines = head.lines();
    let path = lines.next().unwrap().strip_prefix("POST /v1/enquiries/").unwrap();
    assert!(path.strip_suffix("/bot").unwrap().parse::<EnquiryId>().is_ok());
    let headers: BTreeMap<&str, &str> = lines.map(|line| line.split_once(": ").unwrap()).collect();
    assert!(headers["usher-bot"].parse::<BotId>().is_ok());
    let secret = SecretString::from(format!("whsec_{}", STANDARD.encode("key")));
    let own = Signer::new(&secret).unwrap();
    let at: u64 = headers[TIMESTAMP].parse().unwrap();
    let signature = own.sign(headers[ID], at, body.as_bytes());
    assert!(signature.starts_with(headers[SIGNATURE].trim_end_matches('…')));
    let signed = super::Signed {
        id: headers[ID],
        timestamp: headers[TIMESTAMP],
        signatures: &signature,
        body: body.as_bytes(),
    };
    assert!(own.verify(signed, at + 299));
    assert!(!own.verify(signed, at + 301), "five minutes");
    assert_eq!(answer::read(body.as_bytes()).unwrap().len(), 1);
}

#[test]
fn the_settings_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("shop.toml");
    let shop = format!("{SHOP}\n{}", blocks("toml")[0]);
    std::fs::write(&file, shop).unwrap();
    let options = LoadOptions {
        overrides: [("services.files".to_owned(), file.display().to_string())].into(),
        environment: [("GREETER_SECRET".to_owned(), "x".to_owned())].into(),
        ..LoadOptions::default()
    };
    let services = Config::load(&options).unwrap().services;
    let bot = services[0].settings.bots.values().next().unwrap();
    assert_eq!((bot.name.as_str(), bot.url.as_str()), ("Greeter", "https://bot.example.com/usher"));
    assert_eq!(bot.hand_over_words, ["human"]);
    assert!(services[0].bots.values().all(|access| !access.allow_private));
}
