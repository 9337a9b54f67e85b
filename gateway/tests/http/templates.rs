//! Templates are judged by what the provider has listed, before anything is queued.

use serde_json::{Value, json};

use crate::bench::{Bench, SUPPORT};
use crate::media::upload;

#[actix_web::test]
async fn a_template_that_cannot_be_sent_is_refused_at_once() {
    let mut bench = Bench::demo();
    let ada = bench.token("ada").await;
    let channels = async || {
        let listed = bench.get(&ada, "/v1/templates").await.body;
        (listed["channels"].as_array()?.len() == 2).then_some(listed)
    };
    let listed = bench.until(channels).await;
    let all = listed["channels"][0]["templates"].as_array().unwrap();
    let order = all.iter().find(|template| template["name"] == "order_update").unwrap();
    assert_eq!(order["wants"]["body"], json!(["1", "2"]), "{order}");

    bench.phone_writes(json!({"number": SUPPORT, "text": "hello"})).await;
    let enquiry = bench.enquiry(&ada).await;
    let path = |rest: &str| format!("/v1/enquiries/{enquiry}/{rest}");
    assert_eq!(bench.post(&ada, &path("take_over"), json!({})).await.status, 200);
    let send = async |name: &str, language: &str, body: &[&str]| {
        let content = json!({"kind": "template", "name": name, "language": language, "body": body});
        let key = format!("{name}-{language}-{}", body.len());
        bench.post(&ada, &path("send"), json!({"key": key, "content": content})).await
    };
    for (name, language, body, says) in [
        ("order_updates", "en_US", &["Ann", "7"][..], "no template"),
        ("order_update", "de", &["Ann", "7"], "does not exist in de"),
        ("order_update", "en_US", &["Ann"], "2 variables"),
        ("order_update", "en_US", &["Ann", " "], "is empty"),
        ("new_promo", "en_US", &["Ann"], "is pending"),
        ("summer_sale", "en_US", &["Ann", "25 %"], "wants an image in its header"),
        ("welcome_offer", "en_US", &["Ann", "10 %"], "give first_name, discount by name"),
        ("login_code", "en_US", &["4711"], "Button 0 of the template login_code wants"),
    ] {
        let refused = send(name, language, body).await;
        assert_eq!(refused.code(), (422, "template_unfit"), "{name}: {refused:?}");
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.contains(says), "{detail}");
    }
    let good = send("order_update", "en_US", &["Ann", "7"]).await;
    assert_eq!(good.status, 200, "{good:?}");
    let templates = async || {
        let shown = bench.phone_shows(SUPPORT).await;
        let entries = shown["entries"].as_array().cloned().unwrap_or_default();
        let of_kind = |entry: &Value| entry["type"] == "template";
        let got: Vec<Value> = entries.into_iter().filter(of_kind).collect();
        (!got.is_empty()).then_some(got)
    };
    let got = bench.until(templates).await;
    assert_eq!((got.len(), &got[0]["body"]["template"]["name"]), (1, &json!("order_update")));
    assert_eq!(bench.get(&ada, "/v1/outbox?state=failed").await.body["messages"], json!([]));
    bench.stop().await;
}

/// What the provider's ledger took, not only what we sent: it refuses what does not fit.
#[actix_web::test]
async fn every_part_of_a_template_is_filled_in() {
    let mut bench = Bench::demo();
    let ada = bench.token("ada").await;
    bench.phone_writes(json!({"number": SUPPORT, "text": "hello"})).await;
    let enquiry = bench.enquiry(&ada).await;
    let path = |rest: &str| format!("/v1/enquiries/{enquiry}/{rest}");
    assert_eq!(bench.post(&ada, &path("take_over"), json!({})).await.status, 200);
    let uploaded = upload(&bench, &ada, "filename=sale.jpg", "image/jpeg", b"\xff\xd8 sale").await;
    let file = uploaded.body["id"].as_str().unwrap();
    let templates = [
        json!({"name": "summer_sale", "body": ["Ann", "25 %"],
            "header": {"media": {"file": file, "sort": "image"}},
            "buttons": [{"index": 1, "kind": "url", "value": "x7"},
                {"index": 0, "kind": "reply", "value": "stop-it"}]}),
        json!({"name": "welcome_offer", "body": {"first_name": "Ann", "discount": "10 %"}}),
        json!({"name": "appointment_reminder", "header": {"text": ["Ann"]},
            "body": ["Monday", "9:00", "Room 2"]}),
        json!({"name": "login_code", "body": ["4711"],
            "buttons": [{"index": 0, "kind": "url", "value": "4711"}]}),
    ];
    let send = async |mut content: Value, key: &str| {
        content["kind"] = json!("template");
        content["language"] = json!("en_US");
        bench.post(&ada, &path("send"), json!({"key": key, "content": content})).await
    };
    for template in &templates {
        let sent = send(template.clone(), template["name"].as_str().unwrap()).await;
        assert_eq!(sent.status, 200, "{sent:?}");
    }
    let mut lost = templates[0].clone();
    lost["header"]["media"]["file"] = json!("med_00000000000000000000000000000000");
    assert_eq!(send(lost, "lost").await.code(), (404, "not_found"));

    let shown = bench
        .until(async || {
            let shown = bench.phone_shows(SUPPORT).await;
            let entries = shown["entries"].as_array()?.clone();
            let of_kind = |entry: &Value| entry["type"] == "template";
            let got: Vec<Value> = entries.into_iter().filter(of_kind).collect();
            (got.len() == templates.len()).then_some(got)
        })
        .await;
    let sale = &shown[0]["body"]["template"]["components"];
    assert!(sale[0]["parameters"][0]["image"]["id"].is_string(), "{sale}");
    assert_eq!(sale[3]["parameters"][0]["payload"], "stop-it", "{sale}");
    let room = bench.get(&ada, &format!("/v1/enquiries/{enquiry}")).await.body;
    let entries = room["room"]["entries"].as_array().unwrap();
    let sale = entries.iter().find(|entry| entry["content"]["name"] == "summer_sale").unwrap();
    assert_eq!(sale["content"]["header"]["media"]["file"], file, "staff see what was filled in");
    // Who sees the room sees the picture.
    let picture = format!("/v1/media/{file}?message={}", sale["id"].as_str().unwrap());
    assert_eq!(bench.get(&ada, &picture).await.bytes, b"\xff\xd8 sale");
    bench.stop().await;
}
