#![expect(clippy::needless_pass_by_value, reason = "tables of literals")]

use serde_json::{Value, json};

use super::*;

fn body(kind: &str, content: &Value) -> Value {
    json!({"messaging_product": "whatsapp", "recipient_type": "individual", "to": "+49 (30) 123-4567",
        "type": kind, kind: content})
}

#[track_caller]
fn takes(kind: &str, content: Value) {
    if let Err(why) = message(&body(kind, &content)) {
        panic!("{kind} {content} refused: {why:?}");
    }
}

#[track_caller]
fn refuses(kind: &str, content: Value, code: i64, mentions: &str) {
    match message(&body(kind, &content)) {
        Ok(_) => panic!("{kind} {content} taken"),
        Err(why) => {
            assert_eq!(why.code, code, "{why:?}");
            assert!(why.details.contains(mentions), "{why:?}");
        }
    }
}

fn many(text: &str, times: usize) -> String {
    text.repeat(times)
}

#[test]
fn every_type_of_the_documentation_is_taken() {
    takes("text", json!({"body": "hello", "preview_url": false}));
    takes("image", json!({"id": "1", "caption": "front"}));
    takes("video", json!({"link": "https://x.example/v.mp4"}));
    takes("audio", json!({"id": "1", "voice": true}));
    takes("document", json!({"id": "1", "filename": "a.pdf", "caption": "c"}));
    takes("sticker", json!({"id": "1"}));
    takes("location", json!({"latitude": 37.7, "longitude": -122.4, "name": "n", "address": "a"}));
    takes(
        "contacts",
        json!([{"name": {"formatted_name": "J S", "first_name": "J"},
        "phones": [{"phone": "+1", "type": "WORK", "wa_id": "1"}]}]),
    );
    takes("reaction", json!({"message_id": "wamid.x", "emoji": "😀"}));
    takes("reaction", json!({"message_id": "wamid.x", "emoji": ""}));
    takes("reaction", json!({"message_id": "wamid.x", "emoji": "1️⃣"}));
    takes(
        "template",
        json!({"name": "order_update", "language": {"code": "en_US"}, "components": [
        {"type": "header", "parameters": [{"type": "image", "image": {"link": "https://x.example"}}]},
        {"type": "body", "parameters": [{"type": "text", "text": "Chef"},
            {"type": "currency", "currency": {"fallback_value": "$1", "code": "USD", "amount_1000": 1000}},
            {"type": "date_time", "date_time": {"fallback_value": "today"}}]},
        {"type": "button", "sub_type": "quick_reply", "index": "0",
            "parameters": [{"type": "payload", "payload": "P1"}]}]}),
    );
}

#[test]
fn every_interactive_type_is_taken() {
    let with =
        |kind: &str, action: Value| json!({"type": kind, "body": {"text": "b"}, "action": action});
    takes(
        "interactive",
        with(
            "button",
            json!({"buttons": [
        {"type": "reply", "reply": {"id": "q1", "title": "Sales"}}]}),
        ),
    );
    takes(
        "interactive",
        with(
            "list",
            json!({"button": "Menu", "sections": [
        {"rows": [{"id": "r1", "title": "Billing", "description": "d"}]}]}),
        ),
    );
    takes(
        "interactive",
        with(
            "cta_url",
            json!({"name": "cta_url",
        "parameters": {"display_text": "Visit", "url": "https://x.example"}}),
        ),
    );
    takes("interactive", with("location_request_message", json!({"name": "send_location"})));
    takes(
        "interactive",
        with(
            "flow",
            json!({"name": "flow", "parameters": {
        "flow_message_version": "3", "flow_id": "1", "flow_cta": "Book", "flow_token": "t",
        "flow_action": "navigate", "flow_action_payload": {"screen": "S1", "data": {}}}}),
        ),
    );
}

#[test]
fn limits_hold_to_the_character() {
    takes("text", json!({"body": many("é", 4096)}));
    refuses("text", json!({"body": many("é", 4097)}), 100, "text['body'] must be at most 4096");
    takes("image", json!({"id": "1", "caption": many("x", 1024)}));
    refuses("image", json!({"id": "1", "caption": many("x", 1025)}), 100, "image['caption']");
    let buttons = |n: usize, title: usize| {
        let all: Vec<Value> = (0..n)
            .map(|i| json!({"type": "reply", "reply": {"id": format!("{i}"), "title": format!("{i:0title$}")}}))
            .collect();
        json!({"type": "button", "body": {"text": "b"}, "action": {"buttons": all}})
    };
    takes("interactive", buttons(3, 20));
    refuses("interactive", buttons(4, 20), 100, "Min allowed 1, max allowed 3");
    refuses("interactive", buttons(3, 21), 100, "at most 20");
    let sections = |sections: usize, rows: usize| {
        let all: Vec<Value> = (0..sections)
            .map(|s| {
                let rows: Vec<Value> =
                    (0..rows).map(|r| json!({"id": format!("{s}.{r}"), "title": "t"})).collect();
                json!({"title": "s", "rows": rows})
            })
            .collect();
        json!({"type": "list", "body": {"text": "b"}, "action": {"button": "m", "sections": all}})
    };
    takes("interactive", sections(10, 1));
    takes("interactive", sections(2, 5));
    refuses("interactive", sections(2, 6), 100, "Total row count");
    refuses("interactive", sections(11, 1), 100, "max allowed 10");
    let mut long = body("text", &json!({"body": "b"}));
    long["biz_opaque_callback_data"] = json!(many("x", 513));
    assert_eq!(message(&long).unwrap_err().code, 100);
}

#[test]
fn what_is_unknown_missing_or_of_the_wrong_type_is_refused() {
    refuses(
        "text",
        json!({"body": "b", "colour": "red"}),
        100,
        "Unexpected key \"colour\" on param text",
    );
    refuses("text", json!({"body": 7}), 100, "must be a string");
    refuses("text", json!({"body": "  "}), 100, "must not be empty");
    refuses("text", json!({}), 131_008, "text['body'] is required");
    refuses("image", json!({"id": "1", "link": "https://x.example"}), 100, "Only one of");
    refuses("image", json!({}), 131_008, "image['id']");
    refuses("audio", json!({"id": "1", "caption": "c"}), 100, "caption");
    refuses("image", json!({"link": "ftp://x"}), 131_009, "not a valid URI");
    refuses("location", json!({"latitude": "1", "longitude": 2}), 100, "must be a number");
    refuses("location", json!({"latitude": 91, "longitude": 2}), 131_009, "between -90 and 90");
    refuses("reaction", json!({"message_id": "wamid.x", "emoji": "ok"}), 131_009, "single emoji");
    refuses("reaction", json!({"message_id": "wamid.x"}), 131_008, "emoji");
    refuses("contacts", json!([{"name": {"formatted_name": "J"}}]), 131_008, "first_name");
    refuses("hologram", json!({}), 131_009, "must be one of");
    let twice = json!({"type": "button", "body": {"text": "b"}, "action": {"buttons": [
        {"type": "reply", "reply": {"id": "a", "title": "A"}},
        {"type": "reply", "reply": {"id": "a", "title": "B"}}]}});
    refuses("interactive", twice, 131_009, "must be unique");
    let untitled = json!({"type": "list", "body": {"text": "b"}, "action": {"button": "m", "sections": [
        {"rows": [{"id": "1", "title": "t"}]}, {"title": "x", "rows": [{"id": "2", "title": "t"}]}]}});
    refuses("interactive", untitled, 131_008, "title");
}

#[test]
fn the_common_part_is_checked_too() {
    let with = |key: &str, value: Value| {
        let mut body = body("text", &json!({"body": "b"}));
        body[key] = value;
        message(&body)
    };
    assert_eq!(with("image", json!({"id": "1"})).unwrap_err().code, 100);
    assert_eq!(with("messaging_product", json!("sms")).unwrap_err().code, 131_009);
    assert_eq!(with("to", json!("12a4567")).unwrap_err().code, 131_009);
    assert_eq!(with("to", json!(491_234_567)).unwrap_err().code, 100);
    assert_eq!(with("context", json!({"id": "wamid.x"})).unwrap_err().code, 100);
    let fine = with("context", json!({"message_id": "wamid.x"})).unwrap();
    assert_eq!(fine.recipient, Recipient::Phone("49301234567".to_owned()));
    let by_id = json!({"messaging_product": "whatsapp", "recipient": "US.13491208655302741918",
        "type": "text", "text": {"body": "b"}});
    assert!(matches!(message(&by_id).unwrap().recipient, Recipient::UserId(_)));
    let nobody = json!({"messaging_product": "whatsapp", "type": "text", "text": {"body": "b"}});
    assert_eq!(message(&nobody).unwrap_err().code, 131_008);
}

#[test]
fn reading_is_strict_as_well() {
    let read = json!({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.x"});
    assert!(!reading(&read).unwrap().typing);
    let mut typing = read.clone();
    typing["typing_indicator"] = json!({"type": "text"});
    assert!(reading(&typing).unwrap().typing);
    typing["typing_indicator"] = json!({"type": "dots"});
    assert_eq!(reading(&typing).unwrap_err().code, 131_009);
    let mut odd = read;
    odd["to"] = json!("49301234567");
    assert_eq!(reading(&odd).unwrap_err().code, 100);
}
