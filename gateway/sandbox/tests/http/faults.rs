//! Every misfortune the sandbox can cause, seen from the business's side.

use std::time::Duration;

use super::bench::{Bench, KEY, PHONE, text_to};
use serde_json::{Value, json};

#[tokio::test]
async fn refusals_come_in_every_form_and_then_stop() {
    let bench = Bench::start(|_| {});
    bench.open_window().await;
    let send = async || bench.provider("messages", text_to(PHONE, "x")).await;
    bench.control("faults", json!({"html_502": 1})).await;
    let html = send().await;
    assert_eq!((html.status, html.body.is_null()), (502, true));
    bench.control("faults", json!({"meta_403": 1})).await;
    assert_eq!(send().await.body["meta"]["http_code"], 403);
    bench.control("faults", json!({"bad_key_401": 1})).await;
    assert_eq!(send().await.status, 401);
    bench.control("faults", json!({"rate_429": {"count": 1, "retry_after": 7}})).await;
    let slow_down = send().await;
    assert_eq!((slow_down.status, &slow_down.headers["retry-after"]), (429, &"7".parse().unwrap()));
    bench.control("faults", json!({"drop_connection": 1})).await;
    let dropped = bench.post("messages", KEY, &text_to(PHONE, "x")).send().await;
    assert!(dropped.is_err(), "{dropped:?}");
    assert_eq!(bench.get("ledger?kind=message").await["entries"], json!([]), "none was accepted");
    assert_eq!(send().await.status, 200);
    assert_eq!(bench.get("ledger?kind=fault").await["entries"].as_array().unwrap().len(), 5);
    assert_eq!(bench.control_status("faults", json!({"nonsense": 1})).await, 400);
    bench.stop().await;
}

#[tokio::test]
async fn ambiguous_answers_have_sent_the_message() {
    let bench = Bench::start(|_| {});
    bench.open_window().await;
    bench.control("faults", json!({"ambiguous_5xx": 1, "accept_then_timeout": 1})).await;
    let send = |data: &str| {
        let mut body = text_to(PHONE, "x");
        body["biz_opaque_callback_data"] = json!(data);
        bench.post("messages", KEY, &body).timeout(Duration::from_millis(300))
    };
    assert_eq!(bench.answer(send("a")).await.status, 500);
    assert!(send("b").send().await.unwrap_err().is_timeout());
    let ledger = bench.get("ledger?kind=message").await;
    for (n, data) in ["a", "b"].iter().enumerate() {
        assert_eq!(ledger["entries"][n]["callback_data"], *data);
        let statuses = bench.statuses(&ledger["entries"][n]["wamid"], 3).await;
        assert_eq!(statuses[0]["biz_opaque_callback_data"], *data);
    }
    bench.stop().await;
}

#[tokio::test]
async fn receipts_can_precede_the_answer() {
    let bench = Bench::start(|options| options.receipts.delay_ms = (5_000, 5_000));
    bench.open_window().await;
    bench.control("faults", json!({"status_before_response": 1})).await;
    let sent = bench.provider("messages", text_to(PHONE, "x")).await;
    let values = bench.hook.values();
    let early: Vec<&Value> = values
        .iter()
        .filter(|value| value["statuses"][0]["id"] == sent.body["messages"][0]["id"])
        .collect();
    assert_eq!(early.len(), 3, "all were told before the answer was read");
    bench.stop().await;
}

#[tokio::test]
async fn webhooks_double_mix_and_change_their_clock() {
    let bench = Bench::start(|_| {});
    bench
        .control("faults", json!({"duplicate_webhooks": 1, "ms_timestamps": 1, "bsuid_only": 1}))
        .await;
    let wamid = bench.open_window().await;
    let attempts = bench.attempts(&wamid, 2).await;
    assert_ne!(attempts[0]["delivery"], attempts[1]["delivery"]);
    let message = bench.hook.values()[0]["messages"][0].clone();
    assert_eq!(message["timestamp"].as_str().unwrap().len(), 13);
    assert!(message["from"].is_null() && message["from_user_id"].is_string());
    // The first shuffle is for the plan of the receipts.
    bench.control("faults", json!({"shuffle_webhooks": 1, "duplicate_statuses": 3})).await;
    let sent = bench.provider("messages", text_to(PHONE, "x")).await;
    let statuses = bench.statuses(&sent.body["messages"][0]["id"], 6).await;
    let names: Vec<&str> = statuses.iter().map(|s| s["status"].as_str().unwrap()).collect();
    assert_eq!(names.iter().filter(|name| **name == "sent").count(), 2);
    assert_ne!(names, ["sent", "sent", "delivered", "delivered", "read", "read"]);
    bench.stop().await;
}

#[tokio::test]
async fn a_failure_can_be_aimed_at_one_user() {
    let bench = Bench::start(|_| {});
    bench.open_window().await;
    bench.control("phones/4915550002222/messages", json!({"text": "me too"})).await;
    bench.control("faults", json!({"fail_with": {"code": 131_026, "to": PHONE}})).await;
    let fine = bench.provider("messages", text_to("4915550002222", "x")).await;
    assert_eq!(bench.statuses(&fine.body["messages"][0]["id"], 3).await[2]["status"], "read");
    let bad = bench.provider("messages", text_to(PHONE, "x")).await;
    let failed = bench.statuses(&bad.body["messages"][0]["id"], 1).await;
    assert_eq!(failed[0]["errors"][0]["code"], 131_026);
    let by_hand = json!({"wamid": bad.body["messages"][0]["id"], "status": "delivered"});
    bench.control("statuses", by_hand).await;
    let both = bench.statuses(&bad.body["messages"][0]["id"], 2).await;
    assert_eq!(both[1]["status"], "delivered", "late, and against the order");
    let gone = bench.client.delete(format!("{}/sandbox/api/faults", bench.base));
    assert_eq!(bench.answer(gone).await.body, json!({}));
    bench.stop().await;
}

#[tokio::test]
async fn a_slow_answer_is_slow_and_still_right() {
    let bench = Bench::start(|_| {});
    bench.open_window().await;
    bench.control("faults", json!({"slow_ms": {"ms": 400, "count": 1}})).await;
    let hasty =
        bench.post("messages", KEY, &text_to(PHONE, "x")).timeout(Duration::from_millis(100));
    assert!(hasty.send().await.unwrap_err().is_timeout());
    assert_eq!(bench.provider("messages", text_to(PHONE, "x")).await.status, 200);
    bench.stop().await;
}
