//! A node that does not run the services: people work through it as if it did.

use reqwest::StatusCode;
use serde_json::json;
use usher_domain::message::MediaKind;
use usher_protocol::command::Outgoing;
use usher_protocol::event::Event;

use super::nodes::{Nodes, SECRET};
use crate::agent::Agent;
use crate::shop::Shop;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_works_through_a_node_that_does_not_run_the_services() {
    let mut nodes = Nodes::start(Shop::new("doors", &["anna"])).await;
    nodes.go_through(1);
    let mut anna = Agent::arrives(&nodes.house, "anna").await;
    assert!(nodes.takes(0, "wamid.hello").await);
    let enquiry = anna.picks_up().await;
    anna.says(enquiry, "through the door").await.unwrap();

    let wrong = json!({ "email": "nobody@example.com", "password": "wrong" });
    let refused = nodes.house.post("", "/v1/sessions", &wrong).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let unknown = nodes.house.get(&anna.token, "/v1/enquiries?state=nonsense").await;
    assert_eq!(unknown.status(), StatusCode::BAD_REQUEST, "the owner's answer, as it was");
    let type_of = unknown.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(type_of.starts_with("application/problem+json"), "{type_of}");

    // Longer than what is kept to be sent twice, and back.
    let file = vec![7_u8; 700 * 1024];
    let url = nodes.house.url("/v1/media?filename=plan.pdf");
    let sent = nodes.house.http.post(url).bearer_auth(&anna.token);
    let sent = sent.header("content-type", "application/pdf").body(file.clone()).send().await;
    let stored: serde_json::Value = sent.unwrap().json().await.unwrap();
    let id = stored["id"].as_str().unwrap_or_else(|| panic!("{stored}")).parse().unwrap();
    let (sort, filename) = (MediaKind::Document, Some("plan.pdf".to_owned()));
    let document = Outgoing::Media { file: id, sort, caption: None, filename };
    let message = anna.sends(enquiry, document).await.unwrap();
    let message = message["message"].as_str().unwrap_or_else(|| panic!("{message}"));
    let path = format!("/v1/media/{id}?message={message}");
    let back = nodes.house.get(&anna.token, &path).await;
    assert_eq!((back.status(), back.bytes().await.unwrap().len()), (StatusCode::OK, file.len()));

    // Its own close, word for word.
    let url = nodes.house.url("/v1/sessions/current");
    let signed_out = nodes.house.http.delete(url).bearer_auth(&anna.token);
    let signed_out = signed_out.json(&json!({ "held": "keep" })).send().await.unwrap();
    assert!(signed_out.status().is_success(), "{signed_out:?}");
    let gone = loop {
        if let Err(gone) = anna.hear().await {
            break gone;
        }
    };
    assert_eq!(gone.code.map(|code| code / 100), Some(42), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_whose_owner_dies_resumes_through_the_same_node() {
    let mut nodes = Nodes::start(Shop::new("resumes", &["anna"])).await;
    nodes.go_through(1);
    let mut anna = Agent::arrives(&nodes.house, "anna").await;
    assert!(nodes.takes(0, "wamid.hello").await);
    let enquiry = anna.picks_up().await;
    nodes.kill(0);
    while anna.hear().await.is_ok() {}
    // Let go once there is another owner: the first attempt is good.
    anna.comes_back().await.unwrap();
    assert!(nodes.takes(1, "wamid.after").await);
    anna.until("message of the time after", |event| match event {
        Event::Received { message } => Some(message.id),
        _ => None,
    })
    .await;
    anna.says(enquiry, "still here").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_nodes_come_in_between_them_and_only_to_whom_they_mean() {
    let nodes = Nodes::start(Shop::new("between", &["anna"])).await;
    let owner = nodes.holder();
    let ask = |secret: &str, node: &str| {
        let asked = nodes.house.http.get(nodes.between(0, "/livez"));
        asked.header("usher-secret", secret).header("usher-node", node).send()
    };
    assert_eq!(ask(SECRET, &owner).await.unwrap().status(), StatusCode::OK);
    assert_eq!(ask("not the secret of them", &owner).await.unwrap().status(), 401);
    assert_eq!(ask(SECRET, "one/00000000@127.0.0.1:1").await.unwrap().status(), 421);
    let standing_by =
        nodes.house.http.get(nodes.between(1, "/livez")).header("usher-secret", SECRET);
    assert_eq!(standing_by.send().await.unwrap().status(), 421);
}
