//! The public listener with a certificate of its own.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use reqwest::header::{CONNECTION, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use reqwest::{Certificate, Client, Method};
use usher_tests::certificates::{Authority, Issued};

use crate::bench::{Bench, PASSWORD};

const SETTINGS: [&str; 2] =
    ["http.tls_certificate={dir}/certificate.pem", "http.tls_key_file={dir}/key.pem"];

#[actix_web::test]
async fn everything_is_said_under_the_certificate() {
    let authority = Authority::new("ours");
    let Issued { certificate, key } = authority.issue("IP:127.0.0.1");
    let theirs = Authority::new("theirs").certificate;
    let beside = [
        ("certificate.pem", certificate.as_str()),
        ("key.pem", key.as_str()),
        ("ours.pem", authority.certificate.as_str()),
        ("theirs.pem", theirs.as_str()),
    ];
    let mut bench = Bench::without_phones(&beside, &SETTINGS);
    let trusted = Certificate::from_pem(authority.certificate.as_bytes()).unwrap();
    let stranger = std::mem::replace(
        &mut bench.client,
        Client::builder().tls_certs_only([trusted]).https_only(true).build().unwrap(),
    );
    let alive = bench.request(Method::GET, "/livez");
    assert!(alive.try_clone().unwrap().build().unwrap().url().as_str().starts_with("https://"));
    assert_eq!(bench.answer(alive).await.status, 200);
    assert_eq!(bench.sign_in("anna", PASSWORD).await.status, 201);
    let socket = bench
        .request(Method::GET, "/v1/agent/socket")
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header(SEC_WEBSOCKET_PROTOCOL, "usher.v1");
    assert_eq!(socket.send().await.unwrap().status(), 101);

    // From the terminal: who types nothing leaves once they are connected, and hears of it if they are not.
    let base = bench.request(Method::GET, "").build().unwrap().url().to_string();
    let told = agent(&base, &bench.dir().join("ours.pem"));
    assert!(told.status.success() && told.stdout.is_empty(), "{told:?}");
    let untold = agent(&base, &bench.dir().join("theirs.pem"));
    assert!(!untold.status.success(), "{untold:?}");

    // Who does not know the certificate says nothing, and plain HTTP is not understood.
    let url = bench.request(Method::GET, "/livez").build().unwrap().url().clone();
    assert!(stranger.get(url.clone()).send().await.is_err());
    let plain = url.as_str().replacen("https", "http", 1);
    assert!(stranger.get(plain).send().await.is_err());
    bench.stop().await;
}

/// `usher agent` by somebody who types nothing, and believes these certificates alone.
fn agent(url: &str, believed: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_usher"))
        .args(["agent", "--url", url, "--email", "anna@demo.example", "--password", PASSWORD])
        .env("SSL_CERT_FILE", believed)
        .env_remove("SSL_CERT_DIR")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[actix_web::test]
async fn a_key_of_another_certificate_is_told_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let authority = Authority::new("ours");
    let [one, other] = [(); 2].map(|()| authority.issue("IP:127.0.0.1"));
    std::fs::write(path("certificate.pem"), one.certificate).unwrap();
    std::fs::write(path("key.pem"), other.key).unwrap();
    let started = Command::new(env!("CARGO_BIN_EXE_usher"))
        .args(["--set", "services.demo=true", "--set", "http.bind=127.0.0.1:0"])
        .args(["--set", "metrics.bind=", "--set", &format!("data_dir={}", path("data"))])
        .args(["--set", &format!("http.tls_certificate={}", path("certificate.pem"))])
        .args(["--set", &format!("http.tls_key_file={}", path("key.pem"))])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&started.stderr).into_owned();
    assert!(!started.status.success() && said.contains("http.tls_certificate"), "{said}");
}
