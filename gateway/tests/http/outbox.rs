//! Messages that failed: who sees them, and how they are sent again.

use serde_json::{Value, json};

use crate::bench::{Bench, SUPPORT};

/// The provider takes the next message and reports its failure later.
async fn next_fails(bench: &Bench) {
    bench.sandbox("faults", json!({"fail_with": {"code": 131_026, "count": 1}})).await;
}

async fn failed(bench: &Bench, token: &str) -> Vec<Value> {
    let listed = bench.get(token, "/v1/outbox?state=failed").await;
    assert_eq!(listed.status, 200, "{listed:?}");
    listed.body["messages"].as_array().unwrap().clone()
}

/// Picks the enquiry up, says something that fails, and answers what stands in the list then.
async fn say_in_vain(bench: &Bench, token: &str, enquiry: &str, key: &str) -> Value {
    next_fails(bench).await;
    let body = json!({"key": key, "content": {"kind": "text", "body": key}});
    let sent = bench.post(token, &format!("/v1/enquiries/{enquiry}/send"), body).await;
    assert_eq!(sent.status, 200, "{sent:?}");
    let message = sent.body["message"].clone();
    bench
        .until(async || {
            let rows = failed(bench, token).await;
            rows.into_iter().find(|row| row["message"] == message)
        })
        .await
}

fn resend(row: &Value) -> String {
    format!("/v1/outbox/{}/resend", row["message"].as_str().unwrap())
}

#[actix_web::test]
async fn what_failed_is_listed_and_sent_again_once() {
    let mut bench = Bench::demo();
    let (ada, ben) = (bench.token("ada").await, bench.token("ben").await);
    bench.phone_writes(json!({"number": SUPPORT, "text": "hello"})).await;
    let enquiry = bench.enquiry(&ada).await;
    let take = bench.post(&ada, &format!("/v1/enquiries/{enquiry}/take_over"), json!({})).await;
    assert_eq!(take.status, 200, "{take:?}");
    let row = say_in_vain(&bench, &ada, &enquiry, "first").await;
    assert_eq!((&row["failure"]["code"], &row["resent"]), (&json!(131_026), &Value::Null));
    assert_eq!((&row["enquiry"], &row["content"]["body"]), (&json!(enquiry), &json!("first")));
    assert_eq!(row["channel"]["name"], "Support");

    // Ben has nothing to do with it.
    assert_eq!(failed(&bench, &ben).await, Vec::<Value>::new());
    let theirs = bench.post(&ben, &resend(&row), json!({})).await;
    let nobodys = json!({"message": "msg_00000000000000000000000000000001"});
    let nobodys = bench.post(&ben, &resend(&nobodys), json!({})).await;
    assert_eq!(theirs.code(), (404, "not_found"));
    assert_eq!(theirs.body, nobodys.body, "word for word");
    // Sam supervises the group.
    assert_eq!(failed(&bench, &bench.token("sam").await).await.len(), 1);

    let again = bench.post(&ada, &resend(&row), json!({})).await;
    assert_eq!(again.status, 200, "{again:?}");
    let twice = bench.post(&ada, &resend(&row), json!({})).await;
    assert_eq!(again.body, twice.body, "however often it is asked for");
    let sam = bench.token("sam").await;
    let join = bench.post(&sam, &format!("/v1/enquiries/{enquiry}/join"), json!({})).await;
    assert_eq!(join.status, 200, "{join:?}");
    let by_another = bench.post(&sam, &resend(&row), json!({})).await;
    assert_eq!(again.body, by_another.body, "by whomever");
    let listed = bench
        .until(async || {
            let row = failed(&bench, &ada).await.remove(0);
            (row["resent"]["delivery"] == "read").then_some(row)
        })
        .await;
    assert_eq!(listed["resent"]["message"], again.body["message"]);
    assert_eq!(listed["resent"]["by"]["name"], "Ada Adams");
    let shown = bench.phone_shows(SUPPORT).await;
    let shown = shown["entries"].as_array().unwrap();
    let texts = shown.iter().filter(|entry| entry["body"]["text"]["body"] == "*Ada*\nfirst");
    assert_eq!(texts.filter(|entry| entry["shown"] == true).count(), 1, "{shown:?}");

    let read = json!({"message": again.body["message"]});
    let arrived = bench.post(&ada, &resend(&read), json!({})).await;
    assert_eq!(arrived.code(), (409, "not_failed"));
    bench.stop().await;
}

#[actix_web::test]
async fn what_cannot_be_sent_now_cannot_be_sent_again() {
    let mut bench = Bench::demo();
    let ada = bench.token("ada").await;
    // The welcome fails, too.
    next_fails(&bench).await;
    bench.phone_writes(json!({"number": SUPPORT, "text": "hello"})).await;
    let enquiry = bench.enquiry(&ada).await;
    let path = |rest: &str| format!("/v1/enquiries/{enquiry}/{rest}");
    let welcome = bench.until(async || failed(&bench, &ada).await.pop()).await;
    let refused = bench.post(&ada, &resend(&welcome), json!({})).await;
    assert_eq!(refused.code(), (409, "not_resendable"), "auto-messages are dropped");

    assert_eq!(bench.post(&ada, &path("take_over"), json!({})).await.status, 200);
    let row = say_in_vain(&bench, &ada, &enquiry, "late").await;
    let with_body = bench.post(&ada, &resend(&row), json!({"text": "other"})).await;
    assert_eq!(with_body.code(), (400, "malformed"));
    assert_eq!(bench.post(&ada, &path("close"), json!({"silent": true})).await.status, 200);
    let refused = bench.post(&ada, &resend(&row), json!({})).await;
    assert_eq!(refused.code(), (409, "closed"));

    let waiting = bench.get(&ada, "/v1/outbox?state=waiting").await.body;
    assert_eq!(waiting["messages"], json!([]));
    let page = bench.get(&ada, "/v1/outbox?limit=1").await.body;
    assert_eq!(page["messages"][0]["message"], row["message"], "the newest first");
    let next = bench.get(&ada, &format!("/v1/outbox?limit=1&cursor={}", page["next"])).await.body;
    assert_eq!(next["messages"][0]["message"], welcome["message"]);
    let odd = bench.get(&ada, "/v1/outbox?state=lost").await;
    assert_eq!(odd.code(), (400, "malformed"));
    bench.stop().await;
}
