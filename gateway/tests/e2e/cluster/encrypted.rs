//! Nodes that show each other certificates.

use reqwest::StatusCode;
use serde_json::json;
use usher_tests::certificates::{Authority, Issued};
use usher_tests::postgres;

use super::nodes::{Nodes, SECRET};
use crate::agent::Agent;
use crate::shop::Shop;
use crate::wait::until;

/// Both show a certificate of ours; the second believes those of `believed`.
async fn nodes(name: &'static str, ours: &Authority, believed: &Authority) -> Nodes {
    let shops = [Shop::new(name, &["anna"])];
    let mut nodes = Nodes::to_be_run(&shops, postgres::database(), "1h").await;
    nodes.house.write("ours.pem", &ours.certificate);
    nodes.house.write("believed.pem", &believed.certificate);
    for (at, others) in ["ours.pem", "believed.pem"].into_iter().enumerate() {
        let Issued { certificate, key } = ours.issue("IP:127.0.0.1");
        let set = |setting: &str, name: &str| {
            format!("cluster.{setting}={}", nodes.house.path(name).display())
        };
        let (shown, kept) = (format!("certificate-{at}.pem"), format!("key-{at}.pem"));
        let also = [
            set("tls_certificate", &shown),
            set("tls_key_file", &kept),
            set("certificates", others),
        ];
        nodes.house.write(&shown, &certificate);
        nodes.house.write(&kept, &key);
        nodes.also[at] = also.into();
    }
    nodes.run(0);
    nodes.is_ready(0).await;
    nodes.run(1);
    nodes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_nodes_say_to_each_other_is_under_their_certificates() {
    let ours = Authority::new("ours");
    let mut nodes = nodes("encrypted", &ours, &ours).await;
    nodes.stands_by(1).await;
    nodes.go_through(1);
    let mut anna = Agent::arrives(&nodes.house, "anna").await;
    assert!(nodes.takes(1, "wamid.through-the-door").await);
    assert_eq!(nodes.kept("wamid.through-the-door"), 1);
    nodes.has_a_link().await;
    let enquiry = anna.picks_up().await;
    anna.says(enquiry, "nobody listens").await.unwrap();
    // Who speaks plainly is not even asked for the secret.
    let owner = nodes.holder();
    let plain = nodes.house.http.get(nodes.between(0, "/livez"));
    let plain = plain.header("usher-secret", SECRET).header("usher-node", owner);
    assert!(plain.send().await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_certificate_is_not_believed_is_told_nothing() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let mut nodes = nodes("unbelieved", &ours, &theirs).await;
    nodes
        .says_of_itself(1, StatusCode::OK, |told| {
            let elsewhere = told["elsewhere"].as_object();
            elsewhere.is_some_and(|all| all.values().any(|of| of["answers"] == false))
        })
        .await;
    // By the database, which both reach.
    assert!(nodes.takes(1, "wamid.by-the-inbox").await);
    until("webhook in the inbox is read", async || match nodes.kept("wamid.by-the-inbox") {
        1 => Ok(()),
        kept => Err((kept, nodes.log(0))),
    })
    .await;
    nodes.go_through(1);
    let who = json!({ "email": nodes.house.shop.email("anna"), "password": "whatever" });
    let anna = nodes.house.post("", "/v1/sessions", &who).await;
    assert_eq!(anna.status(), StatusCode::SERVICE_UNAVAILABLE);
}
