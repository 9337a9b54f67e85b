//! Redis dies, and the owner goes on: the database keeps the services for it.

use std::time::Duration;

use super::nodes::Nodes;
use super::now;
use crate::agent::Agent;
use crate::shop::Shop;
use crate::wait::until;

/// More than two leases.
const LONG: Duration = Duration::from_secs(7);

async fn is_held(nodes: &Nodes) {
    until("hold in the database", async || match nodes.held_for() {
        0 => Err((nodes.log(0), nodes.log(1))),
        _ => Ok(()),
    })
    .await;
}

/// The one that is meant to has the lease again.
async fn is_known(nodes: &Nodes, owner: &str) {
    until("lease in Redis", async || {
        let leases = nodes.redis_says(&["KEYS", "usher:*:lease"]);
        let held = nodes.redis_says(&["GET", &leases]);
        if held.ends_with(owner) { Ok(()) } else { Err(held) }
    })
    .await;
}

async fn goes_on(name: &'static str, empty: bool) {
    let mut nodes = Nodes::start(Shop::new(name, &["anna"])).await;
    nodes.go_through(1);
    let mut anna = Agent::arrives(&nodes.house, "anna").await;
    assert!(nodes.takes(0, "wamid.first").await);
    let enquiry = anna.picks_up().await;
    let (owner, epoch) = (nodes.holder(), nodes.epoch());

    nodes.kill_redis();
    let gone = now();
    let mut taken = 0;
    until("end of a long time without Redis", async || {
        for at in [0, 1] {
            let wamid = format!("wamid.{at}-{taken}");
            assert!(nodes.takes(at, &wamid).await, "refused after {:?}", gone.elapsed());
        }
        taken += 1;
        if gone.elapsed() > LONG { Ok(()) } else { Err(()) }
    })
    .await;
    assert!(nodes.held_for() > 0);
    anna.says(enquiry, "still here").await.unwrap();

    if empty {
        nodes.forget_redis();
    }
    nodes.start_redis().await;
    let back = now();
    is_known(&nodes, &owner).await;
    println!("Redis is back (empty: {empty}) to its knowing the owner: {:?}", back.elapsed());
    until("end of the hold", async || match nodes.held_for() {
        0 => Ok(()),
        left => Err(left),
    })
    .await;
    is_known(&nodes, &owner).await;
    nodes.stands_by(1).await;
    anna.says(enquiry, "here all the time").await.unwrap();
    assert_eq!(nodes.epoch(), epoch);
    for at in [0, 1] {
        assert_eq!(nodes.kept(&format!("wamid.{at}-{}", taken - 1)), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_the_owner_goes_on_and_is_known_again_as_it_was() {
    goes_on("as-it-was", false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_the_owner_goes_on_and_is_told_to_an_empty_one() {
    goes_on("empty", true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_dies_without_redis_is_followed_once_redis_is_back() {
    let mut nodes = Nodes::start(Shop::new("both-gone", &["anna"])).await;
    assert!(nodes.takes(0, "wamid.first").await);
    let epoch = nodes.epoch();
    nodes.kill_redis();
    is_held(&nodes).await;
    nodes.kill(0);
    nodes.start_redis().await;
    nodes.is_ready(1).await;
    assert!(nodes.takes(1, "wamid.second").await);
    assert!(nodes.epoch() > epoch);
    assert_eq!((nodes.kept("wamid.first"), nodes.kept("wamid.second")), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_still_held_is_handed_over_at_once() {
    let mut nodes = Nodes::start(Shop::new("held-over", &["anna"])).await;
    let owner = nodes.holder();
    nodes.kill_redis();
    is_held(&nodes).await;
    nodes.start_redis().await;
    is_known(&nodes, &owner).await;
    assert!(nodes.terminate(0).await.success());
    assert_eq!(nodes.held_for(), 0, "the next one would have to wait");
    nodes.is_ready(1).await;
}
