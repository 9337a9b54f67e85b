//! A Redis that dies, or forgets what it had granted.

use usher_cluster::{Heard, Leases};
use usher_domain::ids::ServiceId;
use usher_domain::ownership::Epoch;
use usher_domain::ownership::lease::Answer;

use crate::server::{LEASE, Server, eventually, name};

const SERVICE: ServiceId = ServiceId::from_number(7);

/// Acquired under epoch 7.
async fn own(server: &Server, leases: &Leases) {
    server.cli(&["SET", &format!("usher:{{{SERVICE}}}:epoch"), "6"]);
    let heard = leases.acquire(SERVICE, Epoch(6)).await.unwrap();
    assert_eq!(heard.answer, Answer::Acquired { epoch: Epoch(7), over: Epoch(6) });
}

#[tokio::test]
async fn what_was_flushed_is_told_again_by_the_owner() {
    let server = Server::start().await;
    let (a, b) = (server.leases("a"), server.leases("b"));
    own(&server, &a).await;
    server.cli(&["FLUSHALL"]);
    // Another sees by the store's epoch that something was forgotten.
    let heard = b.acquire(SERVICE, Epoch(7)).await.unwrap();
    assert_eq!(heard, Heard { answer: Answer::Held { left: LEASE }, holder: None });
    assert_eq!(a.renew(SERVICE, Epoch(7)).await.unwrap().answer, Answer::Missing);
    assert_eq!(a.reassert(SERVICE, Epoch(7)).await.unwrap().answer, Answer::Renewed);
    let heard = b.acquire(SERVICE, Epoch(7)).await.unwrap();
    assert_eq!(heard.holder, Some(name("a")), "{heard:?}");
    assert_eq!(a.renew(SERVICE, Epoch(7)).await.unwrap().answer, Answer::Renewed);
}

/// Of whom the store says so: who was granted it meanwhile cannot claim it.
#[tokio::test]
async fn who_holds_it_in_the_store_puts_a_newer_lease_aside_and_no_epoch_falls() {
    let server = Server::start().await;
    let (a, b) = (server.leases("a"), server.leases("b"));
    own(&server, &a).await;
    server.cli(&["DEL", &format!("usher:{{{SERVICE}}}:lease")]);
    let granted = b.acquire(SERVICE, Epoch(7)).await.unwrap().answer;
    assert_eq!(granted, Answer::Acquired { epoch: Epoch(8), over: Epoch(7) });
    assert_eq!(a.renew(SERVICE, Epoch(7)).await.unwrap().answer, Answer::Missing);
    assert_eq!(a.reassert(SERVICE, Epoch(7)).await.unwrap().answer, Answer::Renewed);
    assert_eq!(a.renew(SERVICE, Epoch(7)).await.unwrap().answer, Answer::Renewed);
    assert_eq!(b.renew(SERVICE, Epoch(8)).await.unwrap().answer, Answer::Missing);
    // Had it come late, another might act under the newer one by now: it only lapses.
    assert!(!a.release(SERVICE, Epoch(7), None).await.unwrap());
    let held = b.acquire(SERVICE, Epoch(7)).await.unwrap();
    assert_eq!(held.holder, Some(name("a")));
    server.cli(&["DEL", &format!("usher:{{{SERVICE}}}:lease")]);
    let granted = b.acquire(SERVICE, Epoch(7)).await.unwrap().answer;
    assert_eq!(granted, Answer::Acquired { epoch: Epoch(9), over: Epoch(7) });
}

/// A replica that had not heard of the last owner became the master.
#[tokio::test]
async fn a_lease_of_an_older_epoch_gives_way_to_the_newer_owner() {
    let server = Server::start().await;
    let (a, b) = (server.leases("a"), server.leases("b"));
    own(&server, &b).await;
    server.cli(&["SET", &format!("usher:{{{SERVICE}}}:lease"), "6 a", "PX", "4000"]);
    server.cli(&["SET", &format!("usher:{{{SERVICE}}}:epoch"), "6"]);
    assert_eq!(b.renew(SERVICE, Epoch(7)).await.unwrap().answer, Answer::Missing);
    assert_eq!(b.reassert(SERVICE, Epoch(7)).await.unwrap().answer, Answer::Renewed);
    assert_eq!(a.renew(SERVICE, Epoch(6)).await.unwrap().answer, Answer::Missing);
}

#[tokio::test]
async fn a_redis_that_was_killed_is_found_again() {
    let mut server = Server::start().await;
    let a = server.leases("a");
    own(&server, &a).await;
    server.kill();
    let error = a.renew(SERVICE, Epoch(7)).await.unwrap_err();
    assert!(!error.to_string().is_empty());
    server.again().await;
    let heard = eventually("it is back", async || a.renew(SERVICE, Epoch(7)).await).await;
    assert_eq!(heard.answer, Answer::Missing);
    assert_eq!(a.reassert(SERVICE, Epoch(7)).await.unwrap().answer, Answer::Renewed);
}

#[tokio::test]
async fn a_redis_that_is_silent_is_not_waited_for() {
    let server = Server::start().await;
    let a = server.leases("a");
    a.acquire(SERVICE, Epoch(0)).await.unwrap();
    server.cli(&["CLIENT", "PAUSE", "3000", "ALL"]);
    a.renew(SERVICE, Epoch(1)).await.unwrap_err();
    let heard = eventually("it answers again", async || a.renew(SERVICE, Epoch(1)).await).await;
    assert_eq!(heard.answer, Answer::Renewed);
}

#[tokio::test]
async fn a_password_is_asked_for_and_given() {
    use secrecy::SecretString;
    use usher_cluster::{Redis, RedisOptions};
    let server = Server::start().await;
    server.cli(&["CONFIG", "SET", "requirepass", "open sesame"]);
    let with = |password: Option<&str>| {
        let redis = Redis::new(RedisOptions {
            address: server.address.parse().unwrap(),
            password: password.map(SecretString::from),
            certificates: None,
            patience: std::time::Duration::from_secs(1),
        });
        Leases::new(redis, name("a"), LEASE)
    };
    assert!(with(None).renew(SERVICE, Epoch(1)).await.is_err());
    assert!(with(Some("wrong")).renew(SERVICE, Epoch(1)).await.is_err());
    let opened = with(Some("open sesame"));
    assert!(!format!("{opened:?}").contains("sesame"), "it is printed");
    opened.renew(SERVICE, Epoch(1)).await.unwrap();
}
