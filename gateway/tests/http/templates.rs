//! Templates are judged by what the provider has listed, before anything is queued.

use serde_json::{Value, json};

use crate::bench::{Bench, SUPPORT};

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
    assert_eq!(order["wants"]["body"], 2, "{order}");

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
        ("summer_sale", "en_US", &["Ann", "25 %"], "header"),
        ("welcome_offer", "en_US", &["Ann", "10 %"], "named"),
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
