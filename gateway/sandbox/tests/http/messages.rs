//! Messages both ways: their shape, their limits, their receipts.

use std::time::Duration;

use super::bench::{Bench, KEY, PHONE, text_to};
use serde_json::{Value, json};

#[tokio::test]
async fn anything_but_200_is_redelivered_until_it_is_200() {
    let bench = Bench::start(|options| options.time_scale = 0.02);
    bench.hook.answer_next(&[500, 204]);
    let sent = bench.control("phones/4915550001111/messages", json!({"text": "hello"})).await;
    let attempts = bench.attempts(&sent["id"], 3).await;
    let outcomes: Vec<&Value> = attempts.iter().map(|attempt| &attempt["outcome"]).collect();
    assert_eq!(outcomes, [&json!("500"), &json!("204"), &json!("200")]);
    let pause = |n: usize| {
        attempts[n]["begun_ms"].as_u64().unwrap() - attempts[n - 1]["at_ms"].as_u64().unwrap()
    };
    assert!(pause(1) >= 19 && pause(2) >= 39, "{} {}", pause(1), pause(2));
    let bodies = bench.hook.received();
    assert_eq!(bodies.len(), 3);
    assert!(bodies.windows(2).all(|pair| pair[0].body == pair[1].body));
    let counted = bench.get("stats").await;
    assert_eq!(counted["webhooks"]["delivered"], 1);
    assert_eq!(counted["webhooks"]["failed_attempts"], 2);
    assert_eq!(counted["webhooks"]["pending"], 0);
    bench.stop().await;
}

#[tokio::test]
async fn a_webhook_is_shaped_headed_and_signed_as_the_providers() {
    let bench = Bench::start(|options| {
        options.numbers[0].signing_secret = Some("platform_secret".to_owned());
    });
    let url = bench.hook.url();
    let registered = bench
        .provider("v1/configs/webhook", json!({"url": url, "headers": {"X-Tenant": "7"}}))
        .await;
    assert_eq!((registered.status, &registered.body["headers"]["X-Tenant"]), (200, &json!("7")));
    let spec = json!({"text": "hi", "profile": {"name": "Ann"}, "referral": {"source_type": "ad"}});
    let sent = bench.control(&format!("phones/{PHONE}/messages"), spec).await;
    bench.attempts(&sent["id"], 1).await;
    let first = bench.hook.received().remove(0);
    assert_eq!(first.headers["x-tenant"], "7");
    assert_eq!(first.headers["x-360dialog-signature"].len(), 64);
    let body: Value = serde_json::from_slice(&first.body).unwrap();
    let value = &body["entry"][0]["changes"][0]["value"];
    assert_eq!(body["object"], "whatsapp_business_account");
    assert_eq!(value["metadata"]["phone_number_id"], "106540352242922");
    assert_eq!(value["metadata"]["display_phone_number"], "4930901820");
    let message = &value["messages"][0];
    assert_eq!(message["from"], PHONE);
    assert_eq!(message["text"]["body"], "hi");
    assert_eq!(message["referral"]["source_type"], "ad");
    assert_eq!(message["timestamp"].as_str().unwrap().len(), 10);
    assert_eq!(message["from_user_id"], value["contacts"][0]["user_id"]);
    assert_eq!(value["contacts"][0]["profile"]["name"], "Ann");
    bench.stop().await;
}

#[tokio::test]
async fn receipts_carry_the_callback_data_and_reach_the_phone() {
    let bench = Bench::start(|_| {});
    bench.open_window().await;
    let mut body = text_to(PHONE, "hello");
    body["biz_opaque_callback_data"] = json!("t7:m1");
    let sent = bench.provider("messages", body).await;
    assert_eq!(sent.status, 200);
    let wamid = sent.body["messages"][0]["id"].clone();
    assert!(wamid.as_str().unwrap().starts_with("wamid."));
    assert_eq!(sent.body["contacts"][0]["wa_id"], PHONE);
    let statuses = bench.statuses(&wamid, 3).await;
    let names: Vec<&Value> = statuses.iter().map(|status| &status["status"]).collect();
    assert_eq!(names, ["sent", "delivered", "read"]);
    assert!(statuses.iter().all(|s| s["biz_opaque_callback_data"] == "t7:m1"));
    assert!(statuses.iter().all(|s| s["recipient_id"] == PHONE));
    assert_eq!(statuses[0]["pricing"]["category"], "service");
    let thread = bench.get(&format!("phones/{PHONE}/thread")).await;
    let last = thread["entries"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["id"], &last["status"]), (&wamid, &json!("read")));
    let ledger = bench.get("ledger?kind=message").await;
    assert_eq!(ledger["entries"].as_array().unwrap().len(), 1);
    assert_eq!(ledger["entries"][0]["callback_data"], "t7:m1");
    assert_eq!(ledger["entries"][0]["wamid"], wamid);
    assert_eq!(ledger["entries"][0]["body"]["text"]["body"], "hello");
    bench.stop().await;
}

#[tokio::test]
async fn a_phone_shows_messages_in_the_order_they_were_taken() {
    let bench = Bench::start(|options| options.receipts.delay_ms = (0, 60));
    bench.open_window().await;
    let mut taken = Vec::new();
    for n in 0..20 {
        let sent = bench.provider("messages", text_to(PHONE, &n.to_string())).await;
        taken.push(sent.body["messages"][0]["id"].clone());
    }
    // As somebody who looks at the phone sees them come.
    let (mut cursor, mut shown) = (0, Vec::new());
    while shown.len() < taken.len() {
        let path = format!("phones/{PHONE}/thread?after={cursor}&wait_ms=20000");
        let thread = bench.get(&path).await;
        cursor = thread["cursor"].as_u64().unwrap();
        let entries = thread["entries"].as_array().unwrap();
        assert!(!entries.is_empty(), "{shown:?}");
        for entry in entries.iter().filter(|e| e["from"] == "business" && e["shown"] == true) {
            if !shown.contains(&entry["id"]) {
                shown.push(entry["id"].clone());
            }
        }
    }
    assert_eq!(shown, taken);
    bench.stop().await;
}

#[tokio::test]
async fn outside_the_window_only_templates_arrive() {
    let bench = Bench::start(|_| {});
    let fails = async |why: &str| {
        let sent = bench.provider("messages", text_to(PHONE, why)).await;
        assert_eq!(sent.status, 200, "{why}");
        let statuses = bench.statuses(&sent.body["messages"][0]["id"], 1).await;
        assert_eq!(statuses[0]["status"], "failed", "{why}");
        assert_eq!(statuses[0]["errors"][0]["code"], 131_047, "{why}");
    };
    fails("never written").await;
    let path = format!("phones/{PHONE}/messages");
    let day_ago = Bench::now_s() - 24 * 3600 - 5;
    bench.control(&path, json!({"text": "old", "timestamp": day_ago})).await;
    fails("a day ago").await;
    bench.control(&path, json!({"type": "request_welcome"})).await;
    fails("a welcome opens nothing").await;
    let template = json!({"messaging_product": "whatsapp", "to": PHONE, "type": "template",
        "template": {"name": "follow_up", "language": {"code": "en_US"}, "components": [
            {"type": "body", "parameters": [{"type": "text", "text": "Ann"}]}]}});
    let sent = bench.provider("messages", template.clone()).await;
    assert_eq!(sent.body["messages"][0]["message_status"], "accepted");
    assert_eq!(bench.statuses(&sent.body["messages"][0]["id"], 3).await.len(), 3);
    let mut wrong = template;
    wrong["template"]["components"] = json!([]);
    assert_eq!(bench.provider("messages", wrong.clone()).await.code(), 132_000);
    wrong["template"]["name"] = json!("new_promo");
    assert_eq!(bench.provider("messages", wrong).await.code(), 132_001);
    bench.stop().await;
}

#[tokio::test]
async fn keys_shapes_and_limits_are_checked() {
    let bench = Bench::start(|_| {});
    bench.open_window().await;
    let stranger = bench.with_key("no-such-key", text_to(PHONE, "x")).await;
    assert_eq!((stranger.status, &stranger.body["meta"]["http_code"]), (401, &json!(401)));
    let long = bench.provider("v1/messages", text_to(PHONE, &"x".repeat(4097))).await;
    assert_eq!((long.status, long.code()), (400, 100));
    let mut odd = text_to(PHONE, "x");
    odd["colour"] = json!("red");
    let odd = bench.provider("messages", odd).await;
    assert_eq!(odd.code(), 100);
    assert!(odd.body["error"]["error_data"]["details"].as_str().unwrap().contains("colour"));
    assert_eq!(bench.provider("messages", text_to("+49 30 901820", "x")).await.code(), 131_021);
    let refused = bench.get("ledger?kind=refused").await;
    assert_eq!(refused["entries"].as_array().unwrap().len(), 3);
    bench.stop().await;
}

#[tokio::test]
async fn one_user_gets_a_burst_of_45_and_others_do_not_suffer() {
    let bench = Bench::start(|options| options.numbers[0].mps = 1000);
    bench.open_window().await;
    for n in 0..45 {
        assert_eq!(bench.provider("messages", text_to(PHONE, "x")).await.status, 200, "{n}");
    }
    assert_eq!(bench.provider("messages", text_to(PHONE, "x")).await.code(), 131_056);
    assert_eq!(bench.provider("messages", text_to("4915550002222", "x")).await.status, 200);
    bench.stop().await;
}

#[tokio::test]
async fn a_number_has_its_throughput_in_and_out_together() {
    let bench = Bench::start(|options| options.numbers[0].mps = 4);
    let specs: Vec<Value> =
        (0..3).map(|n| json!({"from": format!("491555000{n:04}"), "text": "x"})).collect();
    bench.control("batch", json!(specs)).await;
    let mut codes = Vec::new();
    for n in 0..3 {
        codes.push(bench.provider("messages", text_to(&format!("491555100{n:04}"), "x")).await);
    }
    let refused = codes.iter().filter(|sent| sent.code() == 130_429 && sent.status == 429).count();
    assert!(refused >= 1, "{codes:?}");
    bench.stop().await;
}

#[tokio::test]
async fn reading_and_typing_are_seen_by_the_phone() {
    let bench = Bench::start(|_| {});
    let wamid = bench.open_window().await;
    let mut body = json!({"messaging_product": "whatsapp", "status": "read", "message_id": wamid,
        "typing_indicator": {"type": "text"}});
    assert_eq!(bench.provider("messages", body.clone()).await.body, json!({"success": true}));
    let thread = bench.get(&format!("phones/{PHONE}/thread")).await;
    assert_eq!(thread["entries"][0]["read_by_business"], true);
    assert_eq!(thread["typing"], true);
    body["message_id"] = json!("wamid.unknown");
    assert_eq!(bench.provider("messages", body).await.code(), 131_009);
    bench.stop().await;
}

#[tokio::test]
async fn an_offline_phone_catches_up_and_a_reaction_is_only_sent() {
    let bench = Bench::start(|options| options.receipts.delay_ms = (20, 20));
    let theirs = bench.open_window().await;
    let state = format!("phones/{PHONE}/state");
    bench.control(&state, json!({"online": false})).await;
    let sent = bench.provider("messages", text_to(PHONE, "are you there?")).await;
    let wamid = &sent.body["messages"][0]["id"];
    bench.control("phones/4915550002222/messages", json!({"text": "hi"})).await;
    let later = bench.provider("messages", text_to("4915550002222", "hello")).await;
    bench.statuses(&later.body["messages"][0]["id"], 3).await;
    assert_eq!(bench.statuses(wamid, 1).await.len(), 1, "one is read, the earlier one only sent");
    bench.control(&state, json!({"online": true})).await;
    let statuses = bench.statuses(wamid, 3).await;
    assert_eq!(statuses.last().unwrap()["status"], "read");
    let react = |to: &Value| {
        json!({"messaging_product": "whatsapp", "to": PHONE, "type": "reaction",
            "reaction": {"message_id": to, "emoji": "👍"}})
    };
    let reaction = bench.provider("messages", react(&theirs)).await;
    bench.statuses(&reaction.body["messages"][0]["id"], 1).await;
    let lost = bench.provider("messages", react(&json!("wamid.x"))).await;
    let failed = bench.statuses(&lost.body["messages"][0]["id"], 1).await;
    assert_eq!(failed[0]["errors"][0]["code"], 131_009);
    // Long after the lost one has failed, the good one still has its single receipt.
    assert_eq!(bench.statuses(&reaction.body["messages"][0]["id"], 1).await.len(), 1);
    bench.stop().await;
}

#[tokio::test]
async fn the_thread_waits_for_what_is_new() {
    let bench = Bench::start(|_| {});
    bench.open_window().await;
    let first = bench.get(&format!("phones/{PHONE}/thread")).await;
    let path = format!("phones/{PHONE}/thread?wait_ms=20000&after={}", first["cursor"]);
    let (waited, sent) =
        tokio::join!(bench.get(&path), bench.provider("messages", text_to(PHONE, "later")));
    assert_eq!(waited["entries"][0]["id"], sent.body["messages"][0]["id"]);
    assert_eq!(waited["entries"].as_array().unwrap().len(), 1);
    bench.stop().await;
}

#[tokio::test]
async fn usernames_hide_the_phone_and_a_changed_number_moves_it() {
    let bench = Bench::start(|_| {});
    let path = format!("phones/{PHONE}/messages");
    let spec = json!({"text": "hi", "hide_phone": true, "username": "ann", "user_id": "DE.123"});
    let sent = bench.control(&path, spec).await;
    bench.attempts(&sent["id"], 1).await;
    let value = bench.hook.values().remove(0);
    assert_eq!(value["messages"][0]["from"], Value::Null);
    assert_eq!(value["messages"][0]["from_user_id"], "DE.123");
    assert_eq!(value["contacts"][0]["wa_id"], Value::Null);
    assert_eq!(value["contacts"][0]["profile"]["username"], "ann");
    let mut body = text_to("x", "hello");
    body.as_object_mut().unwrap().remove("to");
    body["recipient"] = json!("DE.123");
    let answer = bench.provider("messages", body.clone()).await;
    assert_eq!(answer.body["contacts"], json!([{"input": "DE.123", "user_id": "DE.123"}]));
    let statuses = bench.statuses(&answer.body["messages"][0]["id"], 3).await;
    assert!(statuses.iter().all(|s| s["recipient_id"].is_null()));
    bench.control(&path, json!({"text": "shown again", "hide_phone": false})).await;
    let answer = bench.provider("messages", body).await;
    let statuses = bench.statuses(&answer.body["messages"][0]["id"], 3).await;
    assert!(statuses.iter().all(|s| s["recipient_id"].is_null()), "it was sent to the user id");
    let moved = json!({"type": "number_change", "new_wa_id": "4915550009999"});
    let sent = bench.control(&path, moved).await;
    bench.attempts(&sent["id"], 1).await;
    let value = bench.hook.values().pop().unwrap();
    assert_eq!(value["messages"][0]["from"], PHONE);
    assert_eq!(value["messages"][0]["system"]["wa_id"], "4915550009999");
    assert_eq!(value["contacts"], Value::Null);
    let thread = bench.get("phones/4915550009999/thread").await;
    assert_eq!(thread["entries"].as_array().unwrap().len(), 5);
    bench.stop().await;
}

#[tokio::test]
async fn a_batch_is_one_webhook_of_several_entries() {
    let bench = Bench::start(|_| {});
    let specs: Vec<Value> =
        (0..250).map(|n| json!({"from": format!("491555000{n:04}"), "text": "x"})).collect();
    let sent = bench.control("batch", json!(specs)).await;
    assert_eq!(sent["ids"].as_array().unwrap().len(), 250);
    bench.attempts(&sent["ids"][0], 1).await;
    let bodies = bench.hook.received();
    assert_eq!(bodies.len(), 1);
    let body: Value = serde_json::from_slice(&bodies[0].body).unwrap();
    assert_eq!(body["entry"].as_array().unwrap().len(), 3);
    let raw = json!({"body": {"object": "x", "entry": []}});
    bench.control("raw", raw).await;
    let text = json!({"text": "not json", "once": true});
    bench.control("raw", text).await;
    bench.until(async || bench.hook.received().len() == 3).await;
    assert_eq!(bench.control_status("batch", json!([])).await, 400);
    assert_eq!(bench.control_status("phones/12/messages", json!({})).await, 400);
    bench.stop().await;
}

#[tokio::test]
async fn templates_come_in_pages_and_a_verdict_is_told() {
    let bench = Bench::start(|_| {});
    let filter =
        "v1/configs/templates?limit=5&offset=5&filters=%7B%22status%22%3A%22approved%22%7D";
    let page = bench.read(filter).await.body;
    assert_eq!((&page["total"], &page["count"]), (&json!(8), &json!(3)));
    assert_eq!(page["waba_templates"][0]["status"], "approved");
    let new = json!({"name": "late_news", "category": "UTILITY", "language": "en_US",
        "components": [{"type": "BODY", "text": "News: {{1}}."}]});
    assert_eq!(bench.provider("v1/configs/templates", new).await.body["status"], "submitted");
    bench.control("templates/late_news", json!({"status": "approved"})).await;
    bench.until(async || bench.hook.values().iter().any(|v| v["event"] == "APPROVED")).await;
    assert_eq!(
        bench.read("health_status").await.body["health_status"]["can_send_message"],
        "AVAILABLE"
    );
    bench.stop().await;
}

#[tokio::test]
async fn it_listens_on_loopback_only_and_shows_its_page() {
    let options = usher_sandbox::SandboxOptions {
        bind: "0.0.0.0:0".parse().unwrap(),
        ..usher_sandbox::SandboxOptions::default()
    };
    assert!(usher_sandbox::Sandbox::start(options).is_err());
    let bench = Bench::start(|_| {});
    let page = bench.client.get(format!("{}/sandbox", bench.base)).send().await.unwrap();
    assert!(page.text().await.unwrap().contains("<!doctype html>"));
    let base = bench.base.clone();
    bench.stop().await;
    let gone = reqwest::Client::new().get(base).header("D360-API-KEY", KEY);
    assert!(gone.timeout(Duration::from_secs(5)).send().await.is_err());
}
