//! Files both ways: up, down through the rewritten address, away, and what happens to those who insist.

use super::bench::{Bench, KEY, PHONE, text_to};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

fn form(bytes: Vec<u8>, mime: &str) -> Form {
    let part = Part::bytes(bytes).file_name("x").mime_str(mime).unwrap();
    Form::new().text("messaging_product", "whatsapp").part("file", part)
}

async fn upload(bench: &Bench, form: Form) -> super::bench::Answer {
    let request = bench.client.post(format!("{}/media", bench.base)).header("D360-API-KEY", KEY);
    bench.answer(request.multipart(form)).await
}

fn rewritten(url: &Value) -> String {
    let url = url.as_str().unwrap();
    url.strip_prefix("https://lookaside.fbsbx.com/").expect("the provider's host").to_owned()
}

async fn round_trip(bench: &Bench) {
    let up = upload(bench, form(b"a picture".to_vec(), "image/jpeg")).await;
    assert_eq!(up.status, 200);
    let id = up.body["id"].as_str().unwrap().to_owned();
    let about = bench.read(&id).await.body;
    assert_eq!(about["mime_type"], "image/jpeg");
    assert_eq!(about["file_size"], "9");
    let down = bench.read(&rewritten(&about["url"])).await;
    assert_eq!((down.status, &down.bytes[..]), (200, &b"a picture"[..]));
    assert_eq!(down.headers["content-type"], "image/jpeg");

    bench.open_window().await;
    let image = |kind: &str, id: &str| json!({"messaging_product": "whatsapp", "to": PHONE, "type": kind, kind: {"id": id}});
    assert_eq!(bench.provider("messages", image("image", &id)).await.status, 200);
    assert_eq!(bench.provider("messages", image("video", &id)).await.code(), 131_053);
    assert_eq!(bench.provider("messages", image("image", "123")).await.code(), 131_053);

    let gone = bench.client.delete(format!("{}/{id}", bench.base)).header("D360-API-KEY", KEY);
    assert_eq!(bench.answer(gone).await.body, json!({"success": true}));
    assert_eq!(bench.read(&id).await.body["error"]["error_subcode"], 33);
}

#[tokio::test]
async fn an_upload_comes_back_whole_from_memory_and_from_disk() {
    let bench = Bench::start(|_| {});
    round_trip(&bench).await;
    bench.stop().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("media");
    let bench = Bench::start(|options| options.media_dir = Some(path));
    round_trip(&bench).await;
    bench.stop().await;
}

#[tokio::test]
async fn what_a_phone_sends_can_be_fetched() {
    let bench = Bench::start(|_| {});
    let spec =
        json!({"type": "image", "data": "aGVsbG8=", "mime": "image/jpeg", "caption": "look"});
    let sent = bench.control(&format!("phones/{PHONE}/messages"), spec).await;
    bench.attempts(&sent["id"], 1).await;
    let image = bench.hook.values().remove(0)["messages"][0]["image"].clone();
    assert_eq!(image["caption"], "look");
    assert_eq!(image["sha256"], "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=");
    let direct = bench.read(&rewritten(&image["url"])).await;
    assert_eq!(&direct.bytes[..], b"hello");
    let about = bench.read(image["id"].as_str().unwrap()).await.body;
    let again = bench.read(&rewritten(&about["url"])).await;
    assert_eq!(&again.bytes[..], b"hello");
    let rebuilt = rewritten(&about["url"]).replace("%3D", "=");
    assert_eq!(bench.read(&rebuilt).await.status, 404, "not byte for byte");
    bench.stop().await;
}

#[tokio::test]
async fn an_address_expires_and_an_upload_must_fit_the_table() {
    let bench = Bench::start(|options| options.media_url_ttl_s = 0);
    let up = upload(&bench, form(vec![1], "image/png")).await;
    let about = bench.read(up.body["id"].as_str().unwrap()).await.body;
    assert_eq!(bench.read(&rewritten(&about["url"])).await.status, 404);
    assert_eq!(upload(&bench, form(vec![1], "image/gif")).await.code(), 100);
    assert_eq!(upload(&bench, form(vec![0; 101 * 1024], "image/webp")).await.code(), 131_053);
    let part = Part::bytes(vec![1]).mime_str("image/png").unwrap();
    assert_eq!(upload(&bench, Form::new().part("file", part)).await.code(), 100);
    bench.stop().await;
}

#[tokio::test]
async fn twenty_errors_block_the_endpoint_but_not_the_messages() {
    let bench = Bench::start(|_| {});
    bench.open_window().await;
    let up = upload(&bench, form(vec![1], "image/png")).await;
    let id = up.body["id"].as_str().unwrap().to_owned();
    bench.control("faults", json!({"media_404": 19})).await;
    for _ in 0..19 {
        assert_eq!(bench.read(&id).await.status, 404);
    }
    assert_eq!(bench.read(&id).await.status, 200);
    assert_eq!(bench.read("999").await.status, 400);
    let blocked = bench.read(&id).await;
    assert_eq!((blocked.status, &blocked.body["meta"]["http_code"]), (403, &json!(403)));
    assert_eq!(bench.provider("messages", text_to(PHONE, "x")).await.status, 200);
    bench.stop().await;
}

#[tokio::test]
async fn uploads_are_limited_to_25_a_second() {
    let bench = Bench::start(|_| {});
    let all = (0..40).map(|_| upload(&bench, form(vec![1], "image/png")));
    let answers = futures_util::future::join_all(all).await;
    let refused = answers.iter().filter(|answer| answer.status == 429).count();
    assert!(refused > 0, "none of 40 at once was refused");
    assert!(answers.iter().filter(|answer| answer.status == 200).count() >= 25);
    bench.stop().await;
}
