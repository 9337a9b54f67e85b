//! A service that comes to a running engine and leaves it, again and again.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{Semaphore, mpsc};
use usher_domain::ids::ServiceId;
use usher_domain::message::Delivery;
use usher_domain::settings::Settings;
use usher_store::Store;

use super::{Screen, Shop, enquiry_of, from, message, stores};
use crate::handle::{Engine, EngineOptions, Unavailable};
use crate::outgoing::{Outgoing, ProviderCall, SendOutcome};

/// How the service goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Goes {
    InOrder,
    AtOnce,
}

/// As a node whose lease is granted.
async fn comes(shop: &Shop) {
    shop.engine.store().own(shop.service(), 0).unwrap();
    shop.engine.add(Arc::clone(&shop.settings)).await.unwrap();
    assert!(shop.engine.runs(shop.service()) && shop.engine.is_ready().await);
    assert_eq!(shop.engine.services(), [shop.service()]);
}

/// Nobody has a hold on it but the test: every actor of the service does, by what they share.
async fn until_all_have_ended(credits: &Arc<Semaphore>) {
    for _ in 0..10_000 {
        if Arc::strong_count(credits) == 1 {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{} still have it", Arc::strong_count(credits) - 1);
}

async fn until_let_go(mut screen: Screen) {
    while screen.frames.recv().await.is_some() {}
}

async fn next_call(shop: &mut Shop) -> Box<Outgoing> {
    loop {
        if let ProviderCall::Send(outgoing) = shop.provider.recv().await.unwrap() {
            return outgoing;
        }
    }
}

fn accepted(shop: &Shop, outgoing: &Outgoing) {
    let provider_id = format!("wamid.OUT.{}", outgoing.message);
    let outcome = SendOutcome::Accepted { provider_id, wa_id: None, user_id: None };
    shop.engine.outcome(outgoing.service, outgoing.channel, outgoing.message, outcome);
}

#[actix::test]
async fn a_service_comes_and_goes_many_times_and_leaves_nothing_behind() {
    tokio::time::pause();
    let mut shop = Shop::with(stores::fresh(), 1_000).await;
    let service = shop.service();
    let (mut written, ways) = (0, [Goes::InOrder, Goes::AtOnce, Goes::InOrder, Goes::AtOnce]);
    for goes in ways {
        let credits = shop.engine.credits_of(service);
        let all = credits.available_permits();
        let mut anna = shop.connect("Anna", 1).await;
        for _ in 0..3 {
            written += 1;
            let update = from(&format!("49151{written:08}"), &format!("wamid.{written}"), "Hi");
            shop.deliver(vec![update]).await.unwrap();
        }
        anna.event("enquiry.offered").await;
        let engine = shop.engine.clone();
        let late = message(&format!("wamid.late.{written}"), "And?");
        let (channel, under_way) = (shop.channel(), vec![late]);
        // Let in before it goes: told to be durable, or told that it is not.
        let receiving =
            actix::spawn(async move { engine.receive(service, channel, under_way).await });
        tokio::task::yield_now().await;
        let before = shop.enquiries().await.len();
        match goes {
            Goes::InOrder => shop.engine.remove(service).await,
            Goes::AtOnce => shop.engine.abandon(service),
        }
        let received = receiving.await.unwrap();
        assert_eq!(shop.write("wamid.x", "?").await, Err(Unavailable::NoService));
        assert!(!shop.engine.runs(service) && shop.engine.services().is_empty());
        assert!(shop.engine.is_ready().await, "what does not run here is not waited for");
        until_let_go(anna).await;
        until_all_have_ended(&credits).await;
        assert_eq!(credits.available_permits(), all, "{goes:?}");
        shop.engine.store().leave(service);
        comes(&shop).await;
        let now = shop.enquiries().await.len();
        assert!(now == before || (received.is_ok() && now == before + 1), "{goes:?}");
        while shop.provider.try_recv().is_ok() {}
    }
    assert!(shop.enquiries().await.len() >= 12);
}

#[actix::test]
async fn what_has_left_by_the_provider_s_door_is_waited_for_and_nothing_more_leaves() {
    tokio::time::pause();
    let mut shop = Shop::open().await;
    let service: ServiceId = shop.service();
    let mut anna = shop.connect("Anna", 1).await;
    shop.write("wamid.1", "Hello?").await.unwrap();
    let enquiry = enquiry_of(&anna.event("enquiry.offered").await);
    shop.does("Anna", json!({ "pick_up": { "enquiry": enquiry } })).await.unwrap();
    shop.sent_by_now().await;
    for (key, body) in [("k1", "One moment."), ("k2", "Here it is.")] {
        let content = json!({ "kind": "text", "body": body });
        let send = json!({ "send": { "enquiry": enquiry, "key": key, "content": content } });
        shop.does("Anna", send).await.unwrap();
    }
    let first = next_call(&mut shop).await;
    let engine = shop.engine.clone();
    let removing = actix::spawn(async move { engine.remove(service).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!removing.is_finished(), "its outcome has not come");
    assert_eq!(shop.write("wamid.2", "?").await, Err(Unavailable::NoService));
    accepted(&shop, &first);
    removing.await.unwrap();
    assert!(shop.provider.try_recv().is_err(), "the second waits for who has the service next");
    shop.engine.store().leave(service);
    comes(&shop).await;
    let second = next_call(&mut shop).await;
    assert_ne!(second.message, first.message);
    accepted(&shop, &second);
    shop.enquiries().await;
    let row = shop.reader().message(service, first.message).unwrap().unwrap();
    assert_eq!(row.delivery, Some(Delivery::Accepted), "and is not in doubt");
}

#[actix::test]
async fn what_never_ends_is_not_waited_for_for_ever() {
    tokio::time::pause();
    let mut shop = Shop::open().await;
    let mut anna = shop.connect("Anna", 1).await;
    shop.write("wamid.1", "Hello?").await.unwrap();
    let enquiry = enquiry_of(&anna.event("enquiry.offered").await);
    shop.does("Anna", json!({ "pick_up": { "enquiry": enquiry } })).await.unwrap();
    let lost = next_call(&mut shop).await;
    let credits = shop.engine.credits_of(shop.service());
    let kept = Arc::clone(&credits).try_acquire_owned().unwrap();
    shop.engine.remove(shop.service()).await;
    drop(kept);
    until_all_have_ended(&credits).await;
    accepted(&shop, &lost);
    shop.engine.store().leave(shop.service());
    comes(&shop).await;
    shop.enquiries().await;
    let row = shop.reader().message(shop.service(), lost.message).unwrap().unwrap();
    assert_ne!(row.delivery, Some(Delivery::Accepted));
}

#[actix::test]
async fn a_service_starts_on_the_thread_with_the_fewest() {
    let (calls, _provider) = mpsc::channel(10);
    let options = EngineOptions {
        services: Vec::new(),
        credits_per_service: 8,
        arbiters: 2,
        messages_per_second: 80,
        sends_at_once: 32,
    };
    let engine = Engine::start(options, Store::memory().unwrap(), calls).await.unwrap();
    assert!(engine.services().is_empty() && engine.is_ready().await);
    let ids = [1, 2, 3, 4].map(ServiceId::from_number);
    let add = async |service| {
        let settings = Arc::new(Settings { service, ..Shop::settings() });
        engine.add(settings).await.unwrap();
        engine.thread_of(service)
    };
    let threads = [add(ids[0]).await, add(ids[1]).await, add(ids[2]).await, add(ids[3]).await];
    assert_eq!(threads, [0, 1, 0, 1]);
    engine.remove(ids[1]).await;
    engine.abandon(ids[3]);
    assert_eq!(engine.services(), [ids[0], ids[2]]);
    assert_eq!([add(ids[3]).await, add(ids[1]).await], [1, 1]);
    assert!(engine.is_ready().await);
    engine.stop().await;
}
