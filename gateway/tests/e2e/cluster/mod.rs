//! Two nodes for the same services: who has one runs it, and the other is a door to it and takes over.

mod doors;
mod encrypted;
mod nodes;
mod spread;
mod webhooks;
mod without_redis;

use std::time::Instant;

use reqwest::StatusCode;

use crate::shop::Shop;
use crate::wait::until;
use nodes::Nodes;

#[expect(clippy::disallowed_methods, reason = "the time of other processes is measured")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_owner_is_killed_the_other_takes_over_and_knows_everything() {
    let mut nodes = Nodes::start(Shop::new("failover", &["anna"])).await;
    assert_eq!(nodes.house.http.get(nodes.url(1, "/livez")).send().await.unwrap().status(), 200);

    let mut acknowledged = Vec::new();
    for n in 0..50 {
        let wamid = format!("wamid.before-{n}");
        assert!(nodes.takes(0, &wamid).await);
        acknowledged.push(wamid);
    }
    let epoch = nodes.epoch();
    nodes.kill(0);
    let killed = now();
    // As the provider does it: again and again, until somebody has it.
    until("node that takes over", async || {
        if nodes.takes(1, "wamid.meanwhile").await { Ok(()) } else { Err(nodes.log(1)) }
    })
    .await;
    println!(
        "killed to the first 200 of the other: {:?} ({} leases)",
        killed.elapsed(),
        nodes::LEASE
    );
    acknowledged.push("wamid.meanwhile".to_owned());
    nodes.is_ready(1).await;
    assert!(nodes.epoch() > epoch);
    // What was acknowledged before is known, and is not taken twice.
    for wamid in acknowledged.iter().take(10) {
        assert!(nodes.takes(1, wamid).await);
    }
    for wamid in &acknowledged {
        assert_eq!(nodes.kept(wamid), 1, "{wamid}");
    }
    nodes.run(0);
    nodes.stands_by(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_was_asleep_commits_nothing_more_and_stands_by() {
    let nodes = Nodes::start(Shop::new("zombie", &["anna"])).await;
    assert!(nodes.takes(0, "wamid.first").await);
    nodes.signal(0, "STOP");
    // On its way while the owner sleeps, and read by it when it wakes.
    let late = nodes.deliver(0, "wamid.late");
    let taken_over = async {
        nodes.is_ready(1).await;
        assert!(nodes.takes(1, "wamid.second").await);
        nodes.signal(0, "CONT");
    };
    let (late, ()) = tokio::join!(late, taken_over);
    nodes.stands_by(0).await;
    // As a door it may have put it into the inbox; otherwise it is not acknowledged.
    let told = late.as_ref().map_or(None, |answer| Some(answer.status()));
    let expected = u32::from(told == Some(StatusCode::OK));
    until("late webhook", async || match nodes.kept("wamid.late") {
        kept if kept == expected => Ok(()),
        kept => Err((kept, told)),
    })
    .await;
    assert_eq!((nodes.kept("wamid.first"), nodes.kept("wamid.second")), (1, 1));
    assert!(nodes.takes(1, "wamid.third").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_is_told_to_stop_hands_over_at_once() {
    let mut nodes = Nodes::start(Shop::new("handover", &["anna"])).await;
    assert!(nodes.takes(0, "wamid.first").await);
    assert!(nodes.terminate(0).await.success());
    let ended = now();
    nodes.is_ready(1).await;
    println!("the end of the one to the other's being ready: {:?}", ended.elapsed());
    assert!(nodes.takes(1, "wamid.first").await);
    assert_eq!(nodes.kept("wamid.first"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_forgets_everything_changes_no_owner() {
    let nodes = Nodes::start(Shop::new("forgetful", &["anna"])).await;
    let epoch = nodes.epoch();
    nodes.redis_says(&["FLUSHALL"]);
    until("owner that tells Redis again", async || {
        let log = nodes.log(0);
        if log.contains("the database need not keep a lease any more") { Ok(()) } else { Err(log) }
    })
    .await;
    assert!(nodes.takes(0, "wamid.first").await);
    nodes.stands_by(1).await;
    assert_eq!(nodes.epoch(), epoch);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_whose_commit_is_refused_lets_go_at_once() {
    let nodes = Nodes::start(Shop::new("superseded", &["anna"])).await;
    assert!(nodes.takes(0, "wamid.first").await);
    nodes.raise_epoch();
    // Not by the one that has lost it; as a door it may put it into the inbox.
    let told = nodes.takes(0, "wamid.second").await;
    until("owner that lets go", async || {
        let log = nodes.log(0);
        if log.contains("Superseded") { Ok(()) } else { Err(log) }
    })
    .await;
    until("owner of the services", async || {
        assert!(nodes.takes(1, "wamid.third").await, "the other takes it in any case");
        if nodes.kept("wamid.third") == 1 { Ok(()) } else { Err(()) }
    })
    .await;
    let expected = u32::from(told);
    until("second webhook, if it was acknowledged", async || match nodes.kept("wamid.second") {
        kept if kept == expected => Ok(()),
        kept => Err((kept, told)),
    })
    .await;
    assert_eq!(nodes.kept("wamid.third"), 1);
}
