//! Several services over two nodes: each has an owner of its own, every node is a door to all of them, and
//! who comes or goes takes or leaves no more than is its own.

use std::time::Duration;

use usher_tests::postgres;

use super::nodes::Nodes;
use super::now;
use crate::agent::Agent;
use crate::shop::Shop;
use crate::wait::{PATIENCE, until_within};

/// So many that both nodes win some: all but one time in five hundred.
const KEYS: [&str; 10] =
    ["ash", "birch", "cedar", "elm", "fir", "hazel", "larch", "oak", "pine", "rowan"];

/// Longer than it takes to hand one over, and to begin with the next.
const NOTHING_MOVES: Duration = Duration::from_secs(3);

/// Waits until the newcomer has its share, and returns how many services each has then.
async fn spread(nodes: &Nodes) -> (u64, u64) {
    let mut before = (now(), (0, 0));
    until_within(2 * PATIENCE, "services on both nodes", async || {
        let has = (nodes.counted(0).await?, nodes.counted(1).await?);
        let (since, had) = before;
        if has != had {
            before = (now(), has);
        }
        let is_settled = since.elapsed() > NOTHING_MOVES && has == had;
        if is_settled && has.0 + has.1 == KEYS.len() as u64 && has.1 > 0 {
            return Ok(has);
        }
        Err(format!("{has:?}\n{}", nodes.log(1)))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_are_spread_and_people_work_through_any_node() {
    let shops = KEYS.map(|key| Shop::new(key, &["anna"]));
    let mut nodes = Nodes::first(&shops, postgres::database(), "2s").await;
    nodes.run(1);
    let (ones, twos) = spread(&nodes).await;
    println!("services of the two nodes: {ones} and {twos}");

    let mut annas = Vec::new();
    for (index, shop) in shops.iter().enumerate() {
        nodes.house.shop = shop.clone();
        let (webhooks, agents) = (index % 2, 1 - index % 2);
        nodes.go_through(agents);
        let mut anna = Agent::arrives(&nodes.house, "anna").await;
        assert!(nodes.takes(webhooks, &format!("wamid.{}", shop.key)).await);
        let enquiry = anna.picks_up().await;
        anna.says(enquiry, "through any door").await.unwrap();
        let mine = nodes.house.get(&anna.token, "/v1/enquiries").await;
        assert!(mine.status().is_success(), "{}: {mine:?}", shop.key);
        annas.push((anna, enquiry));
    }

    assert!(nodes.terminate(1).await.success());
    nodes.has(0, KEYS.len()).await;
    nodes.go_through(0);
    for ((anna, enquiry), shop) in annas.iter_mut().zip(&shops) {
        nodes.house.shop = shop.clone();
        anna.goes_to(&nodes.house).await;
        assert!(nodes.takes(0, &format!("wamid.{}-after", shop.key)).await);
        anna.says(*enquiry, "by whoever is left").await.unwrap();
        assert_eq!(nodes.kept(&format!("wamid.{}", shop.key)), 1, "{}", shop.key);
        assert_eq!(nodes.kept(&format!("wamid.{}-after", shop.key)), 1, "{}", shop.key);
    }
    // What it had moves back, and nobody notices.
    nodes.run(1);
    spread(&nodes).await;
    for ((anna, enquiry), shop) in annas.iter_mut().zip(&shops) {
        nodes.house.shop = shop.clone();
        anna.goes_to(&nodes.house).await;
        anna.says(*enquiry, "and by who has come").await.unwrap();
    }
}
