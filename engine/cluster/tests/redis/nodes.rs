//! Who lives.

use std::collections::BTreeMap;
use std::time::Duration;

use usher_cluster::{NODES_MAX, Nodes};

use crate::server::{LEASE, Server, eventually, name};

async fn heard(nodes: &Nodes) -> BTreeMap<String, bool> {
    let live = nodes.heartbeat(false).await.unwrap();
    live.iter().map(|node| (node.id().to_string(), node.is_leaving())).collect()
}

#[tokio::test]
async fn nodes_hear_of_each_other_until_they_leave() {
    let server = Server::start().await;
    let (a, b) = (server.nodes("a"), server.nodes("b"));
    assert_eq!(heard(&a).await, [("a".to_owned(), false)].into());
    assert_eq!(heard(&b).await.len(), 2);
    b.heartbeat(true).await.unwrap();
    assert_eq!(heard(&a).await, [("a".to_owned(), false), ("b".to_owned(), true)].into());
    b.leave().await.unwrap();
    assert_eq!(heard(&a).await.len(), 1);
    assert_eq!(server.cli(&["HLEN", "usher:{nodes}:known"]).trim(), "1");
}

#[tokio::test]
async fn a_silent_node_is_forgotten_and_begins_anew() {
    let server = Server::start().await;
    let short = Duration::from_millis(200);
    let a = Nodes::new(server.redis(), name("a"), 1, short);
    let b = server.nodes("b");
    b.heartbeat(false).await.unwrap();
    assert_eq!(heard(&a).await.len(), 2);
    eventually("b is forgotten", async || {
        let live = heard(&a).await;
        if live.len() == 1 { Ok(()) } else { Err(live) }
    })
    .await;
    assert_eq!(server.cli(&["ZCARD", "usher:{nodes}:beats"]).trim(), "1");
    let a_lived = a.heartbeat(false).await.unwrap()[0].lived();
    assert!(a_lived >= short, "{a_lived:?}");
    let live = b.heartbeat(false).await.unwrap();
    let b_lived = live.iter().find(|node| *node.id() == name("b")).unwrap().lived();
    assert!(b_lived < short, "{b_lived:?}");
}

#[tokio::test]
async fn who_would_rather_have_had_nothing_begins_anew() {
    let server = Server::start().await;
    let a = server.nodes("a");
    let long = Duration::from_millis(200);
    eventually("it has lived a while", async || {
        let lived = a.heartbeat(false).await.unwrap()[0].lived();
        if lived > long { Ok(()) } else { Err(lived) }
    })
    .await;
    assert!(a.heartbeat(true).await.unwrap()[0].lived() > long, "not yet");
    assert!(a.heartbeat(false).await.unwrap()[0].lived() < long);
}

#[tokio::test]
async fn no_more_nodes_are_told_than_there_may_be() {
    let server = Server::start().await;
    let many = "local now = redis.call('TIME')[1] * 1000
        for n = 1, ARGV[1] do
            redis.call('ZADD', 'usher:{nodes}:beats', now, 'n' .. n)
            redis.call('HSET', 'usher:{nodes}:known', 'n' .. n, now .. ' 1 0')
        end";
    server.cli(&["EVAL", many, "0", &(NODES_MAX + 20).to_string()]);
    let last = server.nodes("last").heartbeat(false).await.unwrap();
    assert_eq!(last.len(), NODES_MAX);
    assert_eq!(*last[0].id(), name("last"));
    assert!(last.iter().all(|node| node.lived() < LEASE));
}
