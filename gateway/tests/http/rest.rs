//! Enquiries, visitors and settings by HTTP, through to the visitor's phone.

use reqwest::Method;
use serde_json::{Value, json};

use crate::bench::{Bench, PHONE, SUPPORT};

/// What the phone has got from the business, oldest first.
async fn got(bench: &Bench) -> Vec<Value> {
    let shown = bench.phone_shows(SUPPORT).await;
    let entries = shown["entries"].as_array().cloned().unwrap_or_default();
    entries.into_iter().filter(|entry| entry["from"] == "business").collect()
}

#[actix_web::test]
async fn from_the_phone_to_an_answer_and_back() {
    let mut bench = Bench::demo();
    let ada = bench.token("ada").await;
    bench.phone_writes(json!({"number": SUPPORT, "text": "hello", "name": "Vera"})).await;
    let enquiry = bench.enquiry(&ada).await;
    let path = |rest: &str| format!("/v1/enquiries/{enquiry}{rest}");

    assert_eq!(bench.post(&ada, &path("/take_over"), json!({})).await.status, 200);
    let answer = json!({"content": {"kind": "text", "body": "Good day"}});
    let send = || {
        let request = bench.request(Method::POST, &path("/send")).bearer_auth(&ada);
        bench.answer(request.header("Idempotency-Key", "k-1").json(&answer))
    };
    let (first, again) = (send().await, send().await);
    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!(first.body, again.body, "the same key is the same message");
    let said = bench.until(async || got(&bench).await.into_iter().nth(1)).await;
    assert_eq!(said["body"]["text"]["body"], "*Ada*\nGood day");

    let read = bench
        .until(async || {
            let shown = bench.get(&ada, &path("")).await.body;
            (shown["room"]["entries"][0]["delivery"] == "read").then_some(shown)
        })
        .await;
    assert_eq!(read["enquiry"]["state"], "ongoing");
    assert_eq!(read["enquiry"]["visitor"]["name"], "Vera");
    assert_eq!(read["enquiry"]["visitor"]["phone"], format!("+{PHONE}"));
    assert!(!read["decisions"].as_array().unwrap().is_empty());
    assert_eq!(got(&bench).await.len(), 2, "the welcome and one answer");

    let closed = bench.post(&ada, &path("/close"), json!({"silent": true})).await;
    assert_eq!(closed.status, 200, "{closed:?}");
    let listed = bench.get(&ada, "/v1/enquiries?state=closed").await.body;
    assert_eq!(listed["enquiries"][0]["id"], enquiry);
    let visitor = read["enquiry"]["visitor"]["id"].as_str().unwrap();
    let visitor = bench.get(&ada, &format!("/v1/visitors/{visitor}")).await.body;
    assert_eq!(visitor["enquiries"][0]["state"], "closed");
    bench.stop().await;
}

#[actix_web::test]
async fn what_is_not_ones_own_is_not_there() {
    let mut bench = Bench::demo();
    let (ada, dev) = (bench.token("ada").await, bench.token("dev").await);
    bench.phone_writes(json!({"number": SUPPORT, "text": "hello"})).await;
    let enquiry = bench.enquiry(&ada).await;
    // Dev is in no group of this rule.
    let theirs = bench.get(&dev, &format!("/v1/enquiries/{enquiry}")).await;
    let nobodys = bench.get(&dev, "/v1/enquiries/enq_00000000000000000000000000000001").await;
    assert_eq!(theirs.code(), (404, "not_found"));
    assert_eq!(theirs.body, nobodys.body, "word for word");
    let listed = bench.get(&dev, "/v1/enquiries").await.body;
    assert_eq!(listed["enquiries"], json!([]));
    let unserved = "/v1/enquiries/unserved?state=waiting&limit=5";
    let none = bench.get(&dev, unserved).await.body;
    assert_eq!(none, json!({"heads": [], "next": null}));
    let anna = bench.token("anna").await;
    let waits = bench.get(&anna, unserved).await.body;
    assert_eq!(waits["heads"][0]["id"], enquiry, "{waits}");
    assert_eq!(waits["heads"][0]["visitor"]["phone"], Value::Null, "not before it is theirs");
    let nonsense = bench.get(&anna, "/v1/enquiries/unserved?state=lost").await;
    assert_eq!(nonsense.status, 400);
    for command in ["take_over", "send", "note"] {
        let path = format!("/v1/enquiries/{enquiry}/{command}");
        let body = match command {
            "send" => json!({"key": "k", "content": {"kind": "text", "body": "x"}}),
            "note" => json!({"text": "x"}),
            _ => json!({}),
        };
        assert_eq!(bench.post(&dev, &path, body).await.code(), (404, "not_found"), "{command}");
    }
    for path in ["/v1/stats", "/v1/quarantine"] {
        assert_eq!(bench.get(&dev, path).await.code(), (403, "forbidden"), "{path}");
    }
    let explain = bench.post(&dev, "/v1/routing/explain", json!({"channel": "Support"})).await;
    assert_eq!(explain.code(), (403, "forbidden"));
    let unknown = bench.post(&ada, &format!("/v1/enquiries/{enquiry}/explode"), json!({})).await;
    assert_eq!(unknown.code(), (404, "not_found"));
    bench.stop().await;
}

#[actix_web::test]
async fn a_rule_explains_itself_and_changes_nothing() {
    let mut bench = Bench::demo();
    let sam = bench.token("sam").await;
    let asked = json!({"channel": "Support", "presence": "everyone"});
    let explained = bench.post(&sam, "/v1/routing/explain", asked).await;
    assert_eq!(explained.status, 200, "{explained:?}");
    let steps = explained.body["steps"].as_array().unwrap();
    assert!(steps.iter().any(|step| step["step"] == "arrived"), "{steps:?}");
    let names = explained.body["names"].as_object().unwrap();
    assert!(names.values().any(|name| name == "Anna Arnold"));
    let stats = bench.get(&sam, "/v1/stats").await.body;
    assert_eq!(stats["live"]["open"], 0);
    let unknown = bench.post(&sam, "/v1/routing/explain", json!({"channel": "Nowhere"})).await;
    assert_eq!(unknown.code(), (404, "not_found"));
    bench.stop().await;
}

#[actix_web::test]
async fn templates_are_there_after_the_start_and_can_be_synced() {
    let mut bench = Bench::demo();
    let (ada, anna) = (bench.token("ada").await, bench.token("anna").await);
    let templates = bench
        .until(async || {
            let body = bench.get(&anna, "/v1/templates").await.body;
            (body["channels"].as_array()?.len() == 2).then_some(body)
        })
        .await;
    let first = &templates["channels"][0]["templates"][0];
    assert_eq!(first["status"], "approved", "{first}");
    let channel = bench.channel(&ada, "Support").await;
    let path = format!("/v1/channels/{channel}/templates/sync");
    assert_eq!(bench.post(&anna, &path, json!({})).await.code(), (403, "forbidden"));
    let synced = bench.post(&ada, &path, json!({})).await;
    assert_eq!(synced.status, 200);
    assert!(synced.body["templates"].as_u64().unwrap() > 0);
    let hook = bench.post(&ada, &format!("/v1/channels/{channel}/webhook"), json!({})).await;
    assert_eq!(hook.status, 200, "{hook:?}");
    let ends = format!("/hooks/360dialog/{channel}");
    assert!(hook.body["url"].as_str().unwrap().ends_with(&ends));
    // What was registered still lets its webhooks in.
    bench.phone_writes(json!({"number": SUPPORT, "text": "hello"})).await;
    bench.enquiry(&ada).await;
    bench.stop().await;
}
