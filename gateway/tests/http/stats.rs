//! What a supervisor is told about a span of time.

use serde_json::json;

use crate::bench::{Bench, SUPPORT};

#[actix_web::test]
async fn what_came_in_and_what_became_of_it() {
    let mut bench = Bench::demo();
    let (ada, sam, anna) =
        (bench.token("ada").await, bench.token("sam").await, bench.token("anna").await);
    bench.phone_writes(json!({"number": SUPPORT, "text": "hello"})).await;
    let enquiry = bench.enquiry(&ada).await;
    let act = async |what: &str, body| {
        let done = bench.post(&ada, &format!("/v1/enquiries/{enquiry}/{what}"), body).await;
        assert_eq!(done.status, 200, "{what}: {done:?}");
    };
    act("take_over", json!({})).await;
    let live = bench.get(&sam, "/v1/stats").await.body;
    assert_eq!(live["live"]["ongoing"], 1, "{live}");
    act("close", json!({"silent": true})).await;

    let stats = bench.get(&ada, "/v1/stats").await.body;
    let total = &stats["total"];
    assert_eq!((&total["opened"], &total["picked_up"]), (&json!(1), &json!(1)), "{stats}");
    assert_eq!((&total["closed"], &stats["live"]["ongoing"]), (&json!({"staff": 1}), &json!(0)));
    assert_eq!((&total["judged"], &stats["service_level_within_seconds"]), (&json!(1), &json!(60)));
    assert!(total["wait_seconds"]["p90"].as_f64().unwrap() < 20.0);
    let channel = &stats["channels"][0];
    assert_eq!((&channel["name"], &channel["opened"]), (&json!("Support"), &json!(1)));
    let staff = stats["staff"].as_array().unwrap();
    assert_eq!(staff.len(), 1, "{staff:?}");
    assert_eq!((&staff[0]["name"], &staff[0]["picked_up"]), (&json!("Ada Adams"), &json!(1)));

    let until = stats["from"].as_str().unwrap();
    let before = bench.get(&ada, &format!("/v1/stats?until={until}")).await.body;
    assert_eq!(before["total"]["opened"], 0, "a day of its own: {before}");
    let backwards = format!("/v1/stats?from={}&until={until}", stats["until"].as_str().unwrap());
    assert_eq!(bench.get(&ada, &backwards).await.code(), (400, "malformed"));
    assert_eq!(bench.get(&anna, "/v1/stats").await.code(), (403, "forbidden"));
    bench.stop().await;
}
