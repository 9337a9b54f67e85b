//! Signing in and out.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::bench::{Bench, PASSWORD};

#[actix_web::test]
async fn who_signs_in_is_known_until_they_sign_out() {
    let mut bench = Bench::demo();
    let signed_in = bench.sign_in("Anna", PASSWORD).await;
    assert_eq!(signed_in.status, 201);
    assert_eq!(
        (&signed_in.body["name"], &signed_in.body["role"]),
        (&json!("Anna Arnold"), &json!("agent"))
    );
    let token = signed_in.body["token"].as_str().unwrap();
    let (secret, service) = token.split_once('.').unwrap();
    assert_eq!(secret.len(), 64, "256 bits");
    let whose = signed_in.body["service"].as_str().unwrap();
    assert_eq!(whose.strip_prefix("svc_"), Some(service), "nodes ask the one that has it");

    bench.restart().await;
    let current = bench.get(token, "/v1/sessions/current").await;
    assert_eq!((current.status, &current.body["session"]), (200, &signed_in.body["session"]));

    let gone = bench.request(Method::DELETE, "/v1/sessions/current").bearer_auth(token);
    assert_eq!(bench.answer(gone).await.status, 200);
    let after = bench.get(token, "/v1/sessions/current").await;
    assert_eq!(after.code(), (401, "unauthorized"));
    assert_eq!(after.headers["www-authenticate"], "Bearer");
    assert_eq!(after.headers["content-type"], "application/problem+json");

    bench.restart().await;
    let later = bench.get(token, "/v1/sessions/current").await;
    assert_eq!(later.status, 401, "an ended session does not come back");
    bench.stop().await;
}

/// As a person's sockets do that come back after a restart, on several workers.
#[actix_web::test]
async fn one_token_may_come_many_times_at_once_after_a_restart() {
    let mut bench = Bench::demo();
    let signed_in = bench.sign_in("Anna", PASSWORD).await;
    let token = signed_in.body["token"].as_str().unwrap();
    for _ in 0..8 {
        bench.restart().await;
        let asked = (0..16).map(|_| bench.get(token, "/v1/sessions/current"));
        let answers = join_all(asked).await;
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200; 16]);
    }
    bench.stop().await;
}

#[actix_web::test]
async fn ten_wrong_passwords_lock_whether_there_is_an_account_or_not() {
    let mut bench = Bench::demo();
    for name in ["ben", "nobody"] {
        for _ in 0..10 {
            assert_eq!(bench.sign_in(name, "wrong").await.code(), (401, "wrong_password"));
        }
        let locked = bench.sign_in(name, PASSWORD).await;
        assert_eq!(locked.code(), (429, "locked"));
        assert_eq!(locked.headers["retry-after"], "900");
    }
    assert_eq!(bench.sign_in("anna", PASSWORD).await.status, 201, "others go on");
    bench.stop().await;
}

#[actix_web::test]
async fn who_guesses_from_one_address_has_to_wait_whoever_they_say_they_are() {
    let settings = ["sessions.wrong_passwords_per_address=10", "http.trusted_proxies=127.0.0.1"];
    let mut bench = Bench::demo_with(&settings);
    let sign_in = async |from: &str, name: &str, password: &str| {
        let body = json!({"email": format!("{name}@demo.example"), "password": password});
        let request = bench.request(Method::POST, "/v1/sessions").header("X-Forwarded-For", from);
        bench.answer(request.json(&body)).await
    };
    for number in 0..10 {
        let guessed = sign_in("203.0.113.9", &format!("n{number}"), "wrong").await;
        assert_eq!(guessed.code(), (401, "wrong_password"));
    }
    // What they write themselves is not believed: only what the proxy adds.
    for from in ["203.0.113.9", "198.51.100.7, 203.0.113.9"] {
        let refused = sign_in(from, "anna", PASSWORD).await;
        assert_eq!(refused.code(), (429, "rate_limited"), "{from}");
        let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=90).contains(&wait), "{wait}");
    }
    for _ in 0..12 {
        let from_elsewhere = sign_in("203.0.113.10", "anna", PASSWORD).await;
        assert_eq!(from_elsewhere.status, 201, "{from_elsewhere:?}");
    }
    bench.stop().await;

    let mut bench = Bench::demo_with(&settings[..1]);
    for number in 0..10 {
        assert_eq!(bench.sign_in(&format!("n{number}"), "wrong").await.status, 401);
    }
    let body = json!({"email": "anna@demo.example", "password": PASSWORD});
    let request = bench.request(Method::POST, "/v1/sessions").header("X-Forwarded-For", "1.2.3.4");
    let refused = bench.answer(request.json(&body)).await;
    assert_eq!(refused.code(), (429, "rate_limited"), "no proxy is believed");
    bench.stop().await;
}

#[actix_web::test]
async fn without_a_token_or_with_unknown_fields_nothing_is_done() {
    let mut bench = Bench::demo();
    let without = bench.answer(bench.request(Method::GET, "/v1/enquiries")).await;
    assert_eq!(without.code(), (401, "unauthorized"));
    assert_eq!(bench.get(&"0".repeat(64), "/v1/enquiries").await.status, 401);
    let body = json!({"email": "anna@demo.example", "password": PASSWORD, "colour": "red"});
    let refused = bench.answer(bench.request(Method::POST, "/v1/sessions").json(&body)).await;
    assert_eq!(refused.code(), (400, "malformed"));
    assert!(refused.body["detail"].as_str().unwrap().contains("`colour`"), "{refused:?}");
    let elsewhere = json!({"service": "other", "email": "anna@demo.example", "password": PASSWORD});
    let refused = bench.answer(bench.request(Method::POST, "/v1/sessions").json(&elsewhere)).await;
    assert_eq!(refused.code(), (401, "wrong_password"));
    bench.stop().await;
}

#[actix_web::test]
async fn a_session_may_only_ask_for_so_much() {
    let mut bench = Bench::demo();
    let token = bench.token("anna").await;
    let asked = (0..100).map(|_| bench.get(&token, "/v1/sessions/current"));
    let answers = join_all(asked).await;
    let limited = answers.iter().find(|answer| answer.status == 429).expect("a limit");
    assert_eq!(limited.code(), (429, "rate_limited"));
    assert_eq!(limited.headers["retry-after"], "1");
    assert!(answers.iter().filter(|answer| answer.status == 200).count() >= 60, "the burst");
    bench.stop().await;
}
