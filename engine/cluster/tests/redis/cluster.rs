//! A Redis Cluster of three masters.

use std::process::Command;

use usher_cluster::Leases;
use usher_domain::ids::ServiceId;
use usher_domain::ownership::Epoch;
use usher_domain::ownership::lease::Answer;

use usher_tests::ports;

use crate::server::{LEASE, Server, connect, eventually, name};

#[tokio::test]
async fn services_are_spread_over_a_cluster_and_each_is_whole() {
    let mut servers = Vec::new();
    for _ in 0..3 {
        let more = ["--cluster-enabled", "yes", "--cluster-config-file", "nodes"];
        servers.push(Server::on_port(ports::free(), &more).await);
    }
    let places: Vec<String> = servers
        .iter()
        .map(|server| server.address.trim_start_matches("redis://").to_owned())
        .collect();
    let made = Command::new("redis-cli")
        .args(["--cluster", "create"])
        .args(&places)
        .args(["--cluster-replicas", "0", "--cluster-yes"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
    let redis = connect(&format!("redis+cluster://{}", places[0]));
    let (a, b) =
        (Leases::new(redis.clone(), name("a"), LEASE), Leases::new(redis, name("b"), LEASE));
    for service in (1..40).map(ServiceId::from_number) {
        let heard = eventually("the Cluster is up", async || a.acquire(service, Epoch(0)).await);
        let Answer::Acquired { epoch, .. } = heard.await.answer else { panic!("it is held") };
        let held = b.acquire(service, epoch).await.unwrap();
        assert_eq!(held.holder, Some(name("a")));
        assert_eq!(a.renew(service, epoch).await.unwrap().answer, Answer::Renewed);
        assert!(a.release(service, epoch, None).await.unwrap());
    }
    let kept: Vec<u32> =
        servers.iter().map(|server| server.cli(&["DBSIZE"]).trim().parse().unwrap()).collect();
    assert!(kept.iter().all(|count| *count > 0), "{kept:?}");
    assert_eq!(kept.iter().sum::<u32>(), 39, "one epoch each, and no lease is left");
}
