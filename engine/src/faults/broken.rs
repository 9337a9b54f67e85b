//! Panics, failed commits, poison: the service is rebuilt, and nothing that was promised is lost.

use serde_json::json;
use usher_domain::ids::ChannelId;
use usher_domain::record::{Event, Record};
use usher_store::{AsideKind, Commit, Entry, encode};

use super::{Break, Shop, break_at_the_start, enquiry_of, message, stores};
use crate::handle::Unavailable;

async fn goes_on_after(which: impl Fn(&Shop) -> Break) {
    let shop = Shop::open().await;
    let mut anna = shop.connect("Anna", 1).await;
    shop.write("wamid.1", "Hello?").await.unwrap();
    let enquiry = enquiry_of(&anna.event("enquiry.offered").await);
    shop.does("Anna", json!({ "pick_up": { "enquiry": enquiry } })).await.unwrap();
    shop.breaks(which(&shop)).await;
    shop.until_ready().await;
    // The provider repeats what it was not told to be safe.
    shop.write_until_taken("wamid.2", "Still there?").await;
    shop.write_until_taken("wamid.2", "Still there?").await;
    let mut anna = shop.connect("Anna", 2).await;
    let shown = anna.head(enquiry).await;
    assert_eq!((shown["as"].as_str(), shown["state"].as_str()), (Some("owner"), Some("ongoing")));
    shop.write_until_taken("wamid.3", "Hm.").await;
    let told = anna.event("message.received").await;
    assert_eq!(told["message"]["content"]["body"], "Hm.");
    assert_eq!(shop.enquiries().await.len(), 1);
    let taken: Vec<_> =
        shop.heard_in(enquiry).into_iter().filter_map(|row| row.provider_id).collect();
    assert_eq!(taken, ["wamid.1", "wamid.2", "wamid.3"]);
    shop.does("Anna", json!({ "close": { "enquiry": enquiry } })).await.unwrap();
}

macro_rules! each_actor {
    ($($name:ident: |$shop:ident| $which:expr;)*) => {$(
        #[actix::test]
        async fn $name() {
            tokio::time::pause();
            goes_on_after(|$shop: &Shop| $which).await;
        }
    )*};
}

each_actor! {
    a_broken_directory_is_got_over: |_shop| Break::Directory;
    a_broken_router_is_got_over: |_shop| Break::Router;
    a_broken_timer_is_got_over: |_shop| Break::Timer;
    a_broken_channel_is_got_over: |shop| Break::Channel(shop.channel());
    a_broken_staff_is_got_over: |shop| Break::Staff(shop.staff("Ben"));
    a_broken_enquiry_is_got_over: |shop| Break::Enquiry(shop.channel());
}

#[actix::test]
async fn what_is_broken_again_and_again_is_built_again_and_again() {
    tokio::time::pause();
    let shop = Shop::open().await;
    for number in 0..5 {
        shop.write_until_taken(&format!("wamid.{number}"), "Hello?").await;
        shop.breaks(Break::Router).await;
        shop.until_ready().await;
    }
    let enquiries = shop.enquiries().await;
    assert_eq!(enquiries.len(), 1);
    assert_eq!(shop.heard_in(enquiries[0].enquiry).len(), 5);
}

#[actix::test]
async fn an_update_that_broke_twice_is_kept_aside() {
    tokio::time::pause();
    let shop = Shop::open().await;
    shop.write("wamid.1", "Hello").await.unwrap();
    let refused = shop.write_until_taken("wamid.poison", "Boo").await;
    assert!(refused >= 2, "tried twice, and answered by error each time: {refused}");
    shop.until_ready().await;
    shop.write("wamid.2", "Still there?").await.unwrap();
    let enquiries = shop.enquiries().await;
    let aside = shop.reader().aside(shop.service(), AsideKind::Quarantined, None, 10).unwrap();
    assert_eq!(aside.len(), 1);
    assert_eq!(aside[0].raw, "{\"id\":\"wamid.poison\"}");
    assert_eq!(shop.heard_in(enquiries[0].enquiry).len(), 2);
}

/// Somebody else's record takes the place that the service's next one was to have.
fn spoil(shop: &Shop, channel: ChannelId) {
    let service = shop.service();
    let seq = shop.reader().position(service).unwrap().seq + 1;
    let field = "spoilt".into();
    let record = Record::new(
        usher_domain::time::Timestamp::default(),
        Event::ProviderNoticed { channel, field, raw: String::new() },
    );
    let records = vec![Entry { seq, body: encode(&record) }];
    let commit = Commit { service, records, done: Box::new(|_| ()) };
    shop.engine.store().journal().submit(commit).unwrap();
}

#[actix::test]
async fn a_failed_commit_is_an_error_to_the_provider_and_the_next_try_is_taken() {
    tokio::time::pause();
    let shop = Shop::open().await;
    shop.write("wamid.1", "Hello").await.unwrap();
    spoil(&shop, shop.channel());
    let (first, second) =
        tokio::join!(shop.write("wamid.2", "Hello?"), shop.write("wamid.2", "Hello?"));
    assert_eq!(first, Err(Unavailable::NotDurable));
    assert_eq!(second, Err(Unavailable::NotDurable), "a repeat is no safer than what it repeats");
    shop.write_until_taken("wamid.2", "Hello?").await;
    let enquiries = shop.enquiries().await;
    assert_eq!(shop.heard_in(enquiries[0].enquiry).len(), 2);
}

#[actix::test]
async fn a_repeat_on_the_heels_of_the_first_delivery_is_answered_when_that_one_is_safe() {
    tokio::time::pause();
    let shop = Shop::open().await;
    shop.write("wamid.1", "Hello").await.unwrap();
    let twice = vec![message("wamid.2", "Hello?"), message("wamid.2", "Hello?")];
    shop.deliver(twice).await.unwrap();
    let enquiries = shop.enquiries().await;
    assert_eq!(shop.heard_in(enquiries[0].enquiry).len(), 2);
}

#[actix::test]
async fn an_update_for_a_channel_that_is_not_there_is_kept_aside() {
    tokio::time::pause();
    let shop = Shop::open().await;
    let nowhere = ChannelId::from_number(99);
    for _ in 0..2 {
        let updates = vec![message("wamid.1", "Hello")];
        shop.engine.receive(shop.service(), nowhere, updates).await.unwrap();
    }
    shop.enquiries().await;
    let aside = shop.reader().aside(shop.service(), AsideKind::Quarantined, None, 10).unwrap();
    assert!(!aside.is_empty());
}

#[actix::test]
async fn a_full_door_loses_nothing() {
    tokio::time::pause();
    let mut shop = Shop::with(stores::fresh(), 1).await;
    for number in 1..=4 {
        let wa_id = format!("49151000000{number}");
        let update = super::from(&wa_id, &format!("wamid.{number}"), "Hello");
        shop.deliver(vec![update]).await.unwrap();
    }
    for _ in 0..4 {
        let next = tokio::time::timeout(std::time::Duration::from_mins(2), shop.sends()).await;
        assert!(next.expect("a welcome for each").starts_with("Hello"));
    }
}

#[actix::test]
async fn after_a_restart_nobody_is_offered_anything_before_they_are_back() {
    tokio::time::pause();
    let shop = Shop::open().await;
    let mut anna = shop.connect("Anna", 1).await;
    shop.write("wamid.1", "Hello?").await.unwrap();
    let enquiry = enquiry_of(&anna.event("enquiry.offered").await);
    let before = shop.offers_in(enquiry);
    shop.breaks(Break::Router).await;
    shop.until_ready().await;
    shop.enquiries().await;
    assert_eq!(shop.offers_in(enquiry), before, "she is not back yet");
    let mut anna = shop.connect("Anna", 2).await;
    let head = anna.head(enquiry).await;
    let offered = match head["as"].as_str() {
        Some("offered") => head,
        _ => anna.event("enquiry.offered").await["enquiry"].clone(),
    };
    assert_eq!(offered["id"], json!(enquiry));
}

#[actix::test]
async fn what_breaks_at_every_start_stops_the_service_and_names_the_record() {
    tokio::time::pause();
    let shop = Shop::open().await;
    shop.write("wamid.1", "Hello?").await.unwrap();
    shop.enquiries().await;
    break_at_the_start(true);
    shop.breaks(Break::Router).await;
    let last = shop.reader().position(shop.service()).unwrap().seq;
    tokio::time::sleep(std::time::Duration::from_mins(1)).await;
    let stopped = shop.engine.stopped().await;
    assert_eq!(stopped.len(), 1, "it has stopped");
    assert_eq!((stopped[0].service, stopped[0].seq), (shop.service(), last));
    assert!(stopped[0].to_string().contains(&format!("at record {last}")), "{}", stopped[0]);
    assert!(!shop.engine.is_ready().await);
    // Not even what would help now brings it back by itself.
    break_at_the_start(false);
    tokio::time::sleep(std::time::Duration::from_mins(1)).await;
    assert_eq!(shop.write("wamid.2", "Hello?").await, Err(Unavailable::NotDurable));
}

#[actix::test]
async fn what_breaks_at_some_starts_is_got_over() {
    tokio::time::pause();
    let shop = Shop::open().await;
    shop.write("wamid.1", "Hello?").await.unwrap();
    break_at_the_start(true);
    shop.breaks(Break::Router).await;
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    break_at_the_start(false);
    shop.write_until_taken("wamid.2", "Still there?").await;
    assert_eq!(shop.engine.stopped().await, []);
}

#[actix::test]
async fn a_command_that_broke_twice_is_refused() {
    tokio::time::pause();
    let shop = Shop::open().await;
    let mut anna = shop.connect("Anna", 1).await;
    shop.write("wamid.1", "Hello?").await.unwrap();
    let enquiry = enquiry_of(&anna.event("enquiry.offered").await);
    shop.does("Anna", json!({ "pick_up": { "enquiry": enquiry } })).await.unwrap();
    let note = json!({ "note": { "enquiry": enquiry, "text": "wamid.poison" } });
    let mut refused = Vec::new();
    for _ in 0..4 {
        refused.push(shop.does("Anna", note.clone()).await.unwrap_err());
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        shop.until_ready().await;
    }
    assert_eq!(refused, ["unavailable", "unavailable", "malformed", "malformed"]);
    let note = json!({ "note": { "enquiry": enquiry, "text": "harmless" } });
    shop.does("Anna", note).await.unwrap();
}
