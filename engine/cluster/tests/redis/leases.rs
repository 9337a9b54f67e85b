//! Who is granted what.

use std::time::Duration;

use usher_cluster::{Heard, Leases};
use usher_domain::ids::ServiceId;
use usher_domain::ownership::Epoch;
use usher_domain::ownership::lease::Answer;

use crate::server::{LEASE, Server, name};

const SERVICE: ServiceId = ServiceId::from_number(7);

fn acquired(epoch: u64) -> Answer {
    Answer::Acquired { epoch: Epoch(epoch), over: Epoch(epoch - 1) }
}

async fn ask(leases: &Leases, store: u64) -> Heard {
    leases.acquire(SERVICE, Epoch(store)).await.unwrap()
}

#[tokio::test]
async fn of_several_one_is_granted_it() {
    let server = Server::start().await;
    let nodes: Vec<Leases> = (0..8).map(|n| server.leases(&format!("n{n}"))).collect();
    let mut granted = Vec::new();
    for (n, node) in nodes.iter().enumerate() {
        let heard = ask(node, 0).await;
        match heard.answer {
            Answer::Acquired { epoch, .. } => granted.push((n, epoch)),
            Answer::Held { left } => assert!(left <= LEASE && left > Duration::from_secs(3)),
            other => panic!("{other:?}"),
        }
        assert_eq!(heard.holder, Some(name("n0")));
    }
    assert_eq!(granted, [(0, Epoch(1))]);
    let other = ServiceId::from_number(8);
    let heard = nodes[1].acquire(other, Epoch(0)).await.unwrap();
    assert_eq!(heard.answer, acquired(1), "services are apart");
}

#[tokio::test]
async fn many_at_once_and_one_is_granted_it() {
    let server = Server::start().await;
    let asks: Vec<_> = (0..16)
        .map(|n| {
            let node = server.leases(&format!("n{n}"));
            tokio::spawn(async move { ask(&node, 0).await.answer })
        })
        .collect();
    let mut granted = 0;
    for asked in asks {
        granted += u32::from(asked.await.unwrap() == acquired(1));
    }
    assert_eq!(granted, 1);
}

#[tokio::test]
async fn an_epoch_only_rises_also_to_what_the_store_knows() {
    let server = Server::start().await;
    let (a, b) = (server.leases("a"), server.leases("b"));
    assert_eq!(ask(&a, 0).await.answer, acquired(1));
    let again = ask(&a, 1).await;
    assert!(matches!(again.answer, Answer::Held { .. }), "whose answer was lost waits: {again:?}");
    assert!(a.release(SERVICE, Epoch(1), None).await.unwrap());
    assert_eq!(ask(&a, 1).await.answer, acquired(2));
    assert!(!a.release(SERVICE, Epoch(1), None).await.unwrap(), "that was another time");
    assert!(a.release(SERVICE, Epoch(2), None).await.unwrap());
    assert_eq!(ask(&b, 2).await.answer, acquired(3));
    assert!(b.release(SERVICE, Epoch(3), None).await.unwrap());
    let heard = ask(&a, 41).await;
    assert_eq!(heard, Heard { answer: Answer::Held { left: LEASE }, holder: None });
    let left = ask(&b, 41).await.answer;
    assert!(matches!(left, Answer::Held { left } if left <= LEASE), "it waits once: {left:?}");
    server.cli(&["DEL", &format!("usher:{{{SERVICE}}}:lease")]);
    assert_eq!(ask(&a, 41).await.answer, acquired(42));
    let key = format!("usher:{{{SERVICE}}}:epoch");
    assert_eq!(server.cli(&["GET", &key]).trim(), "42");
    assert_eq!(server.cli(&["TTL", &key]).trim(), "-1", "it never expires");
}

#[tokio::test]
async fn only_the_holder_renews_and_only_its_epoch() {
    let server = Server::start().await;
    let (a, b) = (server.leases("a"), server.leases("b"));
    assert_eq!(ask(&a, 0).await.answer, acquired(1));
    let key = format!("usher:{{{SERVICE}}}:lease");
    server.cli(&["PEXPIRE", &key, "1000"]);
    assert_eq!(a.renew(SERVICE, Epoch(1)).await.unwrap().answer, Answer::Renewed);
    let left: u64 = server.cli(&["PTTL", &key]).trim().parse().unwrap();
    assert!(left > 4_000, "{left} ms");
    let missing = |holder| Heard { answer: Answer::Missing, holder: Some(name(holder)) };
    assert_eq!(b.renew(SERVICE, Epoch(1)).await.unwrap(), missing("a"));
    assert_eq!(a.renew(SERVICE, Epoch(0)).await.unwrap(), missing("a"));
    // It has expired, and another has it.
    server.cli(&["DEL", &key]);
    assert_eq!(ask(&b, 1).await.answer, acquired(2));
    assert_eq!(a.renew(SERVICE, Epoch(1)).await.unwrap(), missing("b"));
    assert!(!a.release(SERVICE, Epoch(1), None).await.unwrap());
    assert_eq!(b.renew(SERVICE, Epoch(2)).await.unwrap().answer, Answer::Renewed);
}

#[tokio::test]
async fn a_lease_ends_by_itself() {
    let server = Server::start().await;
    let short = Duration::from_millis(150);
    let a = Leases::new(server.redis(), name("a"), short);
    let b = Leases::new(server.redis(), name("b"), short);
    assert_eq!(ask(&a, 0).await.answer, acquired(1));
    let Answer::Held { left } = ask(&b, 1).await.answer else { panic!("it is free") };
    assert!(left <= short);
    let taken =
        crate::server::eventually("the lease is over", async || match ask(&b, 1).await.answer {
            Answer::Acquired { epoch, .. } => Ok(epoch),
            other => Err(other),
        });
    assert_eq!(taken.await, Epoch(2));
}

#[tokio::test]
async fn a_lease_handed_over_is_kept_for_the_next_one() {
    let server = Server::start().await;
    let [a, b, c] = ["a", "b", "c"].map(|node| server.leases(node));
    assert_eq!(ask(&a, 0).await.answer, acquired(1));
    assert!(a.release(SERVICE, Epoch(1), Some(&name("b"))).await.unwrap());
    let heard = ask(&c, 1).await;
    assert!(matches!(heard.answer, Answer::Held { .. }), "{heard:?}");
    assert_eq!(heard.holder, Some(name("b")));
    assert_eq!(a.renew(SERVICE, Epoch(1)).await.unwrap().answer, Answer::Missing);
    assert_eq!(ask(&b, 1).await.answer, acquired(2));
}
