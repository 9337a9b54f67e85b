//! Files, both ways.

use reqwest::Method;
use serde_json::{Value, json};

use crate::bench::{Answer, Bench, SUPPORT};

const PICTURE: &[u8] = b"\xff\xd8 a picture";
/// The same in base64.
const PICTURE_BASE64: &str = "/9ggYSBwaWN0dXJl";

pub(crate) async fn upload(
    bench: &Bench,
    token: &str,
    query: &str,
    mime_type: &str,
    body: &[u8],
) -> Answer {
    let request = bench.request(Method::POST, &format!("/v1/media?{query}")).bearer_auth(token);
    bench.answer(request.header("content-type", mime_type).body(body.to_vec())).await
}

#[actix_web::test]
async fn a_file_of_ours_reaches_the_phone_and_is_uploaded_once() {
    let mut bench = Bench::demo();
    let ada = bench.token("ada").await;
    bench.phone_writes(json!({"number": SUPPORT, "text": "hello"})).await;
    let enquiry = bench.enquiry(&ada).await;
    bench.post(&ada, &format!("/v1/enquiries/{enquiry}/take_over"), json!({})).await;
    let uploaded = upload(&bench, &ada, "filename=a.jpg", "image/jpeg", PICTURE).await;
    assert_eq!(uploaded.status, 201, "{uploaded:?}");
    assert_eq!((&uploaded.body["sort"], &uploaded.body["bytes"]), (&json!("image"), &json!(12)));
    let file = uploaded.body["id"].as_str().unwrap();
    let mut sent = Vec::new();
    for key in ["k1", "k2"] {
        let body = json!({"key": key, "content":
            {"kind": "media", "file": file, "sort": "image", "caption": "look"}});
        let answer = bench.post(&ada, &format!("/v1/enquiries/{enquiry}/send"), body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        sent.push(answer.body["message"].as_str().unwrap().to_owned());
    }
    let pictures = bench
        .until(async || {
            let shown = bench.phone_shows(SUPPORT).await;
            let entries = shown["entries"].as_array()?.clone();
            let pictures: Vec<Value> =
                entries.into_iter().filter(|entry| entry["type"] == "image").collect();
            (pictures.len() == 2).then_some(pictures)
        })
        .await;
    let id = |picture: &Value| picture["body"]["image"]["id"].as_str().unwrap().to_owned();
    assert_eq!(id(&pictures[0]), id(&pictures[1]), "one upload, sent twice");
    assert_eq!(pictures[0]["body"]["image"]["caption"], "*Ada*\nlook");

    // Whoever may see the room may have it; by the message it stands in.
    let sam = bench.token("sam").await;
    let dev = bench.token("dev").await;
    let path = format!("/v1/media/{file}?message={}", sent[0]);
    assert_eq!(bench.get(&sam, &path).await.bytes, PICTURE);
    assert_eq!(bench.get(&dev, &path).await.code(), (404, "not_found"));
    assert_eq!(bench.get(&sam, &format!("/v1/media/{file}")).await.status, 404);
    bench.stop().await;
}

#[actix_web::test]
async fn a_file_of_the_visitors_is_fetched_and_harmless() {
    let mut bench = Bench::demo();
    let (ada, dev) = (bench.token("ada").await, bench.token("dev").await);
    let message = json!({"number": SUPPORT, "type": "image", "data": PICTURE_BASE64,
        "mime": "image/jpeg", "caption": "see"});
    bench.phone_writes(message).await;
    let enquiry = bench.enquiry(&ada).await;
    let file = bench
        .until(async || {
            let shown = bench.get(&ada, &format!("/v1/enquiries/{enquiry}")).await.body;
            let entries = shown["room"]["entries"].as_array()?.clone();
            let file = entries.iter().find_map(|entry| entry["content"]["file"].as_str());
            file.map(str::to_owned)
        })
        .await;
    let answer = bench.get(&ada, &format!("/v1/media/{file}")).await;
    assert_eq!((answer.status, answer.bytes.as_slice()), (200, PICTURE));
    assert_eq!(answer.headers["content-type"], "image/jpeg");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    let disposition = answer.headers["content-disposition"].to_str().unwrap();
    assert!(disposition.starts_with("attachment"));
    assert_eq!(bench.get(&dev, &format!("/v1/media/{file}")).await.code(), (404, "not_found"));
    bench.stop().await;
}

#[actix_web::test]
async fn what_whatsapp_would_not_take_is_not_stored() {
    let mut bench = Bench::demo();
    let anna = bench.token("anna").await;
    let gif = upload(&bench, &anna, "sort=image", "image/gif", b"GIF89a").await;
    assert_eq!(gif.code(), (415, "unsupported_media_type"));
    let large = vec![0; 5 * 1024 * 1024 + 1];
    let large = upload(&bench, &anna, "sort=image", "image/png", &large).await;
    assert_eq!(large.code(), (413, "too_large"));
    let empty = upload(&bench, &anna, "", "image/png", b"").await;
    assert_eq!(empty.code(), (400, "malformed"));
    let media = bench.dir().join("data").join("media");
    assert_eq!(std::fs::read_dir(media).unwrap().count(), 0);
    bench.stop().await;
}
