//! Enquiries at rest: nobody can tell, whatever comes, and whenever it comes.

use std::time::Duration;

use actix::prelude::*;
use serde_json::json;
use tokio::time::Instant;
use usher_domain::ids::EnquiryId;

use super::{ActorOf, Break, Screen, Shop, enquiry_of, from};
use crate::channel::{Channel, HowManyAwake, RestAll};

/// Silent for longer than any enquiry stays awake.
const SILENCE: Duration = Duration::from_secs(20);

async fn channel(shop: &Shop) -> Addr<Channel> {
    let service = shop.engine.service_of(shop.service());
    service.send(ActorOf(shop.channel())).await.unwrap().unwrap()
}

async fn awake(shop: &Shop) -> usize {
    channel(shop).await.send(HowManyAwake).await.unwrap()
}

/// One that Anna serves.
async fn served(shop: &Shop) -> (Screen, EnquiryId) {
    let mut anna = shop.connect("Anna", 1).await;
    shop.write("wamid.0", "Hello?").await.unwrap();
    let enquiry = enquiry_of(&anna.event("enquiry.offered").await);
    shop.does("Anna", json!({ "pick_up": { "enquiry": enquiry } })).await.unwrap();
    (anna, enquiry)
}

#[actix::test]
async fn who_is_silent_rests_and_goes_on_as_they_were() {
    tokio::time::pause();
    let shop = Shop::open().await;
    let (mut anna, enquiry) = served(&shop).await;
    let hi = json!({ "kind": "text", "body": "Hi" });
    let says = json!({ "send": { "enquiry": enquiry, "key": "k1", "content": hi } });
    let said = shop.does("Anna", says.clone()).await.unwrap();
    let labelled = json!({ "label": { "enquiry": enquiry, "label": "parcels", "on": true } });
    shop.does("Anna", labelled).await.unwrap();
    let added = json!({ "add_staff": { "enquiry": enquiry, "staff": shop.staff("Ben") } });
    shop.does("Anna", added).await.unwrap();
    tokio::time::sleep(SILENCE).await;
    assert_eq!(awake(&shop).await, 0, "it is silent");
    assert_eq!(shop.does("Anna", says).await.unwrap(), said, "the same key is the same message");
    assert_eq!(shop.does("Ben", json!({ "typing": { "enquiry": enquiry } })).await, Ok(json!({})));
    shop.write("wamid.1", "Anybody?").await.unwrap();
    anna.event("message.received").await;
    let head = shop.connect("Anna", 2).await.head(enquiry).await;
    assert_eq!(head["first_message"], "Hello?");
    assert_eq!(head["labels"], json!(["parcels"]));
    assert_eq!(head["people"].as_array().unwrap().len(), 1);
    assert_eq!(shop.heard_in(enquiry).len(), 2);
}

/// However its answer and what it is told come between each other.
#[actix::test]
async fn nothing_is_lost_or_turned_around_by_resting() {
    tokio::time::pause();
    let shop = Shop::open().await;
    let (_anna, enquiry) = served(&shop).await;
    let mut expected = vec!["wamid.0".to_owned()];
    for turns in 0..24 {
        let ids = ["a", "b", "c"].map(|which| format!("wamid.{turns}.{which}"));
        let asked = async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            channel(&shop).await.do_send(RestAll);
        };
        let told = async {
            for id in &ids {
                shop.write(id, "And another thing").await.unwrap();
            }
        };
        tokio::join!(asked, told);
        expected.extend(ids);
    }
    shop.engine.archive_is_level(shop.service()).await.unwrap();
    let heard = shop.heard_in(enquiry).into_iter().filter_map(|row| row.provider_id);
    assert_eq!(heard.collect::<Vec<_>>(), expected);
}

/// A crowd, and now and then everybody is asked to rest.
#[actix::test]
async fn of_a_crowd_that_wakes_and_rests_everybody_is_heard_in_order() {
    tokio::time::pause();
    let shop = std::rc::Rc::new(Shop::open().await);
    let writers: Vec<_> = (0..40)
        .map(|visitor| {
            let shop = std::rc::Rc::clone(&shop);
            actix::spawn(async move {
                for number in 0..25 {
                    let id = format!("wamid.{visitor}.{number:02}");
                    let said = from(&format!("49151{visitor:07}"), &id, "And another thing");
                    shop.deliver(vec![said]).await.unwrap();
                    if (visitor + number) % 7 == 0 {
                        channel(&shop).await.do_send(RestAll);
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let enquiries = shop.enquiries().await;
    assert_eq!(enquiries.len(), 40);
    for row in enquiries {
        let heard = shop.heard_in(row.enquiry).into_iter().filter_map(|row| row.provider_id);
        let heard: Vec<_> = heard.collect();
        assert_eq!(heard.len(), 25, "{heard:?}");
        assert!(heard.is_sorted(), "{heard:?}");
    }
}

#[actix::test]
async fn what_is_due_wakes_who_rests_in_time() {
    tokio::time::pause();
    let mut shop = Shop::open().await;
    let (mut anna, _) = served(&shop).await;
    let began = Instant::now();
    tokio::time::sleep(SILENCE).await;
    assert_eq!(awake(&shop).await, 0, "it is silent");
    while !shop.sends().await.contains("closes in 1 min") {}
    let silence = began.elapsed().as_secs();
    assert!((119..125).contains(&silence), "{silence} s of silence");
    tokio::time::sleep(SILENCE).await;
    assert_eq!(awake(&shop).await, 0, "it is silent again");
    anna.event("enquiry.closed").await;
    let open = began.elapsed().as_secs();
    assert!((179..190).contains(&open), "{open} s open");
}

#[actix::test]
async fn a_restart_leaves_those_at_rest_who_have_nothing_to_do() {
    tokio::time::pause();
    let mut shop = Shop::open().await;
    let (_anna, enquiry) = served(&shop).await;
    tokio::time::sleep(SILENCE).await;
    assert_eq!(awake(&shop).await, 0, "it is silent");
    shop.breaks(Break::Router).await;
    shop.until_ready().await;
    assert_eq!(awake(&shop).await, 0, "there is nothing to do");
    while !shop.sends().await.contains("closes in 1 min") {}
    let mut anna = shop.connect("Anna", 2).await;
    assert_eq!(anna.head(enquiry).await["first_message"], "Hello?");
    shop.write_until_taken("wamid.1", "Anybody?").await;
    anna.event("message.received").await;
    assert_eq!(shop.heard_in(enquiry).len(), 2);
    while !shop.sends().await.contains("closes in 1 min") {}
    anna.event("enquiry.closed").await;
}
