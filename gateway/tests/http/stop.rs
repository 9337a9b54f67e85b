//! Health, and how the program ends.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::time::Instant;

use crate::bench::{Bench, SUPPORT};

#[actix_web::test]
async fn it_says_when_it_is_alive_and_ready() {
    let mut bench = Bench::demo();
    for path in ["/livez", "/readyz"] {
        assert_eq!(bench.answer(bench.request(Method::GET, path)).await.status, 200, "{path}");
    }
    let nowhere = bench.answer(bench.request(Method::GET, "/nowhere")).await;
    assert_eq!(nowhere.code(), (404, "not_found"));
    let metrics = bench.answer(bench.request(Method::GET, "/metrics")).await;
    assert_eq!(metrics.status, 404, "never on the public listener");
    bench.stop().await;
}

#[actix_web::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let mut bench = Bench::demo();
    let ada = bench.token("ada").await;
    bench.phone_writes(json!({"number": SUPPORT, "text": "hello"})).await;
    let enquiry = bench.enquiry(&ada).await;
    bench.restart().await;
    assert_eq!(bench.enquiry(&ada).await, enquiry);
    let began = Instant::now();
    let ended = bench.stop().await;
    assert!(ended.success(), "{ended}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[actix_web::test]
async fn a_data_directory_in_use_is_said_in_one_line() {
    let mut bench = Bench::demo();
    let data = format!("data_dir={}", bench.dir().join("data").display());
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_usher"))
        .args(["--set", &data, "--set", "http.bind=127.0.0.1:0", "--set", "metrics.bind="])
        .args(["--set", "log.level=error", "--set", "services.demo=true"])
        .output()
        .unwrap();
    let told = String::from_utf8(second.stderr).unwrap();
    assert!(!second.status.success());
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.contains("in use by another process"), "{told}");
    bench.stop().await;
}
