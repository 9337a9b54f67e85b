//! The webhook door, knocked at by hand.

use reqwest::{Method, RequestBuilder};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::bench::{Bench, SALES};

const SERVICE: &str = r#"
[[service]]
key = "shop"
name = "Shop"
demo = true
[service.staff.ada]
first_name = "Ada"
email = "ada@demo.example"
role = "administrator"
demo_password = "usher-demo"
[service.groups.all]
members = ["ada"]
[service.rules.all]
alternative = ["group:all"]
[service.channels.one]
name = "One"
rule = "all"
sandbox = true
[service.channels.one.number]
phone_number_id = "100000000000001"
webhook_secret_file = "{dir}/secret"
webhook_header = "X-Shop"
signature = "optional"
platform_secret_file = "{dir}/platform"
[service.channels.two]
name = "Two"
rule = "all"
sandbox = true
[service.channels.two.number]
phone_number_id = "100000000000002"
webhook_user = "hook"
webhook_secret_file = "{dir}/secret"
signature = "required"
platform_secret_file = "{dir}/platform"
"#;

fn shop() -> Bench {
    Bench::with(Some(SERVICE), &[("secret", "s3cret"), ("platform", "platform_secret")])
}

fn text(id: &str, number: &str) -> Value {
    json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [
        {"field": "messages", "value": {"messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "1", "phone_number_id": number},
            "contacts": [{"profile": {"name": "Vera"}, "wa_id": "16505551234"}],
            "messages": [{"from": "16505551234", "id": id, "timestamp": "1795426200",
                "type": "text", "text": {"body": "hello"}}]}}]}]})
}

fn hook(bench: &Bench, channel: &str, body: &str) -> RequestBuilder {
    bench.request(Method::POST, &format!("/hooks/360dialog/{channel}")).body(body.to_owned())
}

async fn quarantined(bench: &Bench, token: &str, kind: &str) -> Vec<Value> {
    let path = format!("/v1/quarantine?kind={kind}");
    bench.get(token, &path).await.body["entries"].as_array().unwrap().clone()
}

#[actix_web::test]
async fn only_who_knows_the_secret_gets_in() {
    let mut bench = shop();
    let token = bench.token("ada").await;
    let (one, two) = (bench.channel(&token, "One").await, bench.channel(&token, "Two").await);
    let body = text("wamid.1", "100000000000001").to_string();

    let knock = async |request: RequestBuilder| bench.answer(request).await.status;
    assert_eq!(knock(hook(&bench, &one, &body)).await, 401);
    assert_eq!(knock(hook(&bench, &one, &body).header("X-Shop", "s3creT")).await, 401);
    assert_eq!(knock(hook(&bench, &one, &body).header("X-Shop", "s3cret")).await, 200);
    let unknown = "chn_00000000000000000000000000000001";
    assert_eq!(knock(hook(&bench, unknown, &body).header("X-Shop", "s3cret")).await, 404);
    assert_eq!(knock(hook(&bench, "support", &body).header("X-Shop", "s3cret")).await, 404);
    let greeting = bench.request(Method::GET, &format!("/hooks/360dialog/{one}"));
    assert_eq!(knock(greeting).await, 200);

    // Optional: checked where it is there.
    let platform = SecretString::from("platform_secret");
    let good = dialog360::signature::sign(&platform, body.as_bytes());
    let signed = |signature: &str| {
        let request = hook(&bench, &one, &body).header("X-Shop", "s3cret");
        request.header("x-360dialog-signature", signature.to_owned())
    };
    assert_eq!(knock(signed(&good)).await, 200);
    assert_eq!(knock(signed(&format!("sha256={good}"))).await, 200);
    assert_eq!(knock(signed("00ff")).await, 401);

    // Required, behind Basic auth.
    let body = text("wamid.2", "100000000000002").to_string();
    let basic = || hook(&bench, &two, &body).basic_auth("hook", Some("s3cret"));
    let good = dialog360::signature::sign(&platform, body.as_bytes());
    assert_eq!(knock(basic()).await, 401);
    assert_eq!(knock(basic().header("x-360dialog-signature", &good)).await, 200);
    let wrong = hook(&bench, &two, &body).basic_auth("hook", Some("s3creT"));
    assert_eq!(knock(wrong.header("x-360dialog-signature", good)).await, 401);
    bench.stop().await;
}

#[actix_web::test]
async fn what_cannot_be_read_is_kept_and_acknowledged_and_what_is_too_large_is_not() {
    let mut bench = shop();
    let token = bench.token("ada").await;
    let one = bench.channel(&token, "One").await;
    let send =
        async |body: &str| bench.answer(hook(&bench, &one, body).header("X-Shop", "s3cret")).await;
    assert_eq!(send("{\"entry\":").await.status, 200);
    let kept = quarantined(&bench, &token, "quarantined").await;
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(kept[0]["raw"], "{\"entry\":");

    let large = send(&" ".repeat(4 * 1024 * 1024 + 1)).await;
    assert_eq!(large.code(), (413, "too_large"));
    bench.stop().await;
}

#[actix_web::test]
async fn each_update_goes_to_the_channel_of_its_number() {
    let mut bench = shop();
    let token = bench.token("ada").await;
    let one = bench.channel(&token, "One").await;
    let send = async |body: Value| {
        let request = hook(&bench, &one, &body.to_string()).header("X-Shop", "s3cret");
        assert_eq!(bench.answer(request).await.status, 200);
    };
    send(text("wamid.1", "100000000000002")).await;
    let enquiry = bench.get(&token, "/v1/enquiries").await.body["enquiries"][0].clone();
    assert_eq!(enquiry["channel"]["name"], "Two", "by number, not by address");

    send(text("wamid.9", "999")).await;
    let unknown = quarantined(&bench, &token, "unknown_number").await;
    assert_eq!((unknown.len(), &unknown[0]["subject"]), (1, &json!("999")));
    bench.stop().await;
}

#[actix_web::test]
async fn the_same_message_twice_is_one_message() {
    let mut bench = Bench::demo();
    let token = bench.token("ada").await;
    bench.sandbox("faults", json!({"duplicate_webhooks": true})).await;
    bench.phone_writes(json!({"number": SALES, "text": "once"})).await;
    let enquiry = bench.enquiry(&token).await;
    bench.phone_writes(json!({"number": SALES, "text": "twice"})).await;
    let texts = bench
        .until(async || {
            let room = bench.get(&token, &format!("/v1/enquiries/{enquiry}")).await.body;
            let entries = room["room"]["entries"].as_array().unwrap().clone();
            let said = entries.iter().filter(|entry| entry["direction"] == "in");
            let texts: Vec<_> = said.map(|entry| entry["content"]["body"].clone()).collect();
            (texts.len() >= 2).then_some(texts)
        })
        .await;
    assert_eq!(texts, ["twice", "once"]);
    bench.stop().await;
}
