//! Webhooks by the node that does not run the services: taken at any time, kept once, read in order.

use std::collections::BTreeMap;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;
use tokio::time::interval;
use usher_tests::postgres::Server;

use super::nodes::Nodes;
use super::now;
use crate::agent::{Agent, texts};
use crate::house::signal;
use crate::shop::Shop;
use crate::wait::until;

const VISITORS: u32 = 8;
/// Between one message of a visitor's and the next.
const PACE: Duration = Duration::from_millis(20);

/// What visitors write, one message after the other, each once the one before was acknowledged; to the
/// second node alone.
struct Stream {
    ends: AtomicBool,
}

/// What came of it.
#[derive(Debug, Default)]
struct Written {
    /// Of each visitor: all were acknowledged.
    messages: Vec<u32>,
    slowest: Duration,
}

impl Stream {
    fn new() -> Self {
        Self { ends: AtomicBool::new(false) }
    }

    fn end(&self) {
        self.ends.store(true, Ordering::Relaxed);
    }

    async fn run(&self, nodes: &Nodes) -> Written {
        let all = join_all((0..VISITORS).map(|visitor| self.of(nodes, visitor))).await;
        let messages = all.iter().map(|(messages, _)| *messages).collect();
        let slowest = all.into_iter().map(|(_, slowest)| slowest).max().unwrap_or_default();
        Written { messages, slowest }
    }

    async fn of(&self, nodes: &Nodes, visitor: u32) -> (u32, Duration) {
        let mut pace = interval(PACE);
        let (mut written, mut slowest) = (0, Duration::ZERO);
        while !self.ends.load(Ordering::Relaxed) {
            pace.tick().await;
            let body = crate::disk::webhook(&nodes.house, &wamid(visitor, written));
            let body = body.replace("4915112345678", &format!("49151123450{visitor:02}"));
            let began = now();
            let answer = nodes.post(1, body).await.expect("there is no moment without a door");
            slowest = slowest.max(began.elapsed());
            let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
            assert_eq!(status, StatusCode::OK, "{text}");
            written += 1;
        }
        (written, slowest)
    }
}

fn wamid(visitor: u32, message: u32) -> String {
    format!("wamid.stream-{visitor}-{message}-")
}

/// Every one is kept, once, and in the order in which it was written.
async fn are_kept(nodes: &Nodes, written: &Written) {
    until("empty inbox", async || match nodes.says("SELECT count(*) FROM usher.inbox").as_str() {
        "0" => Ok(()),
        held => Err(held.to_owned()),
    })
    .await;
    let bodies = nodes.says(
        "SELECT substring(body FROM 'wamid\\.stream-[0-9]+-[0-9]+-') FROM usher.journal
         WHERE body LIKE '%message_received%' AND body LIKE '%wamid.stream-%' ORDER BY seq",
    );
    let mut found: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for line in bodies.lines() {
        let mut numbers = line.split('-').skip(1).map(str::parse::<u32>);
        let (visitor, message) = (numbers.next(), numbers.next());
        let (visitor, message) = (visitor.unwrap().unwrap(), message.unwrap().unwrap());
        found.entry(visitor).or_default().push(message);
    }
    for (visitor, count) in (0..).zip(&written.messages) {
        let expected: Vec<u32> = (0..*count).collect();
        assert_eq!(found.remove(&visitor).unwrap_or_default(), expected, "visitor {visitor}");
    }
    assert!(found.is_empty(), "{found:?}");
    println!(
        "{} webhooks to the other node, all acknowledged, the slowest after {:?}",
        written.messages.iter().sum::<u32>(),
        written.slowest
    );
}

const JOURNAL: &str = "count(*) FROM usher.journal";
/// Nothing is taken out of it while its owner sleeps.
const INBOX: &str = "coalesce(sum(rows), 0) FROM usher.inbox_held";

/// Waits until there are a few dozen more.
async fn flows(nodes: &Nodes, to: &'static str) {
    let before = nodes.counts(to).await;
    until("webhooks that flow", async || match nodes.counts(to).await {
        now if now > before + 40 => Ok(()),
        now => Err((before, now)),
    })
    .await;
}

fn shop(key: &'static str) -> Shop {
    // Nothing but the webhooks writes.
    Shop { welcome: false, ..Shop::new(key, &["anna"]) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_to_another_node_is_the_owners_at_once() {
    let mut nodes = Nodes::start(shop("passed-on")).await;
    nodes.go_through(0);
    let mut anna = Agent::arrives(&nodes.house, "anna").await;
    assert!(nodes.takes(1, "wamid.by-the-other").await);
    assert_eq!(nodes.kept("wamid.by-the-other"), 1, "kept by the owner before it is acknowledged");
    assert_eq!(nodes.says("SELECT coalesce(sum(rows), 0) FROM usher.inbox_held"), "0");
    let enquiry = anna.picks_up().await;
    let said = texts(&anna.room(enquiry).await);
    assert!(said.iter().any(|(_, text)| text == "wamid.by-the-other"), "{said:?}");
    // By either door it is the same one.
    assert!(
        nodes.takes(0, "wamid.by-the-other").await && nodes.takes(1, "wamid.by-the-other").await
    );
    assert_eq!(nodes.kept("wamid.by-the-other"), 1);
    nodes.has_a_link().await;
    // Who may deliver is judged by whichever node they come to.
    let hook = nodes.url(1, &format!("/hooks/360dialog/{}", nodes.house.shop.channel()));
    let stranger = nodes.house.http.post(hook).body("{}").send().await.unwrap();
    assert_eq!(stranger.status(), StatusCode::UNAUTHORIZED);
    let nowhere = nodes.url(1, "/hooks/360dialog/chn_000000000000000000000000000000ff");
    let nowhere = nodes.house.http.post(nowhere).body("{}").send().await.unwrap();
    assert_eq!(nowhere.status(), StatusCode::NOT_FOUND);
}

/// The owner comes to an `end` while there is a stream of webhooks to the other node.
async fn the_door_stays_open(key: &'static str, end: impl AsyncFnOnce(&mut Child)) -> Nodes {
    let mut nodes = Nodes::start(shop(key)).await;
    let stream = Stream::new();
    let mut owner = nodes.take_child(0);
    let faults = async {
        flows(&nodes, JOURNAL).await;
        end(&mut owner).await;
        nodes.is_ready(1).await;
        // Both the last connections of the door that was and the new ones carry some.
        flows(&nodes, JOURNAL).await;
        stream.end();
    };
    let (written, ()) = tokio::join!(stream.run(&nodes), faults);
    are_kept(&nodes, &written).await;
    nodes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_is_killed_and_the_other_nodes_door_stays_open() {
    let killed = async |owner: &mut Child| {
        owner.kill().unwrap();
        owner.wait().unwrap();
    };
    let mut nodes = the_door_stays_open("open-door", killed).await;
    nodes.run(0);
    nodes.stands_by(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_hands_over_and_the_other_nodes_door_stays_open() {
    let told = async |owner: &mut Child| {
        signal(owner.id(), "TERM");
        until("end after SIGTERM", async || owner.try_wait().unwrap().ok_or(())).await;
    };
    the_door_stays_open("in-order", told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_sleeps_and_the_other_nodes_door_stays_open() {
    let nodes = Nodes::start(shop("sleeper")).await;
    let stream = Stream::new();
    let faults = async {
        flows(&nodes, JOURNAL).await;
        nodes.signal(0, "STOP");
        nodes.is_ready(1).await;
        nodes.signal(0, "CONT");
        nodes.stands_by(0).await;
        stream.end();
    };
    let (written, ()) = tokio::join!(stream.run(&nodes), faults);
    are_kept(&nodes, &written).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_is_away_for_a_moment_and_takes_in_what_came_meanwhile() {
    let nodes = Nodes::start(shop("moment")).await;
    let stream = Stream::new();
    let faults = async {
        for _ in 0..3 {
            nodes.signal(0, "STOP");
            flows(&nodes, INBOX).await;
            nodes.signal(0, "CONT");
            flows(&nodes, JOURNAL).await;
            nodes.stands_by(1).await;
        }
        stream.end();
    };
    let (written, ()) = tokio::join!(stream.run(&nodes), faults);
    are_kept(&nodes, &written).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_put_aside_once_and_what_came_before_is_known() {
    let mut nodes = Nodes::start(shop("unreadable")).await;
    assert!(nodes.takes(0, "wamid.before").await);
    nodes.kill(0);
    let unreadable = nodes.post(1, "not json".to_owned()).await.unwrap();
    assert_eq!(unreadable.status(), StatusCode::OK);
    assert!(nodes.takes(1, "wamid.before").await, "the provider delivers it again");
    assert!(nodes.takes(1, "wamid.after").await);
    nodes.is_ready(1).await;
    nodes.go_through(1);
    let inbox = || nodes.says("SELECT count(*) FROM usher.inbox");
    until("empty inbox", async || if inbox() == "0" { Ok(()) } else { Err(inbox()) }).await;
    assert_eq!((nodes.kept("wamid.before"), nodes.kept("wamid.after")), (1, 1));
    let ada = nodes.house.sign_in("ada").await;
    let aside = nodes.house.get(&ada, "/v1/quarantine").await;
    let aside: serde_json::Value = aside.json().await.unwrap();
    assert_eq!(aside["entries"].as_array().unwrap().len(), 1, "{aside}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_owner_and_database_webhooks_are_refused_and_then_taken_again() {
    let mut server = Server::start();
    let mut nodes = Nodes::start_on(shop("nowhere"), server.database()).await;
    server.kill();
    nodes.kill(0);
    nodes.says_of_itself(1, StatusCode::SERVICE_UNAVAILABLE, |told| told["inbox"] == false).await;
    let refused = nodes.deliver(1, "wamid.refused").await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key(RETRY_AFTER));
    server.start_again();
    until("webhook that is taken", async || {
        if nodes.takes(1, "wamid.again").await { Ok(()) } else { Err(nodes.log(1)) }
    })
    .await;
    nodes.is_ready(1).await;
}
