//! A suspended channel opens nothing; once it is live again everybody who was not answered has one
//! enquiry.
//!
//! Not on a paused clock, which would run ahead of what a store on disk does.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use usher_domain::message::Content;
use usher_domain::settings::{ChannelState, Settings};
use usher_store::{EnquiryFilter, EnquiryRow};

use super::{Shop, VISITOR, enquiry_of, from, message, stores};
use crate::clock::Clock;
use crate::inbound::{Inbound, InboundBody, Sender};

fn with_channel(state: ChannelState) -> Settings {
    let mut settings = Shop::settings();
    let channels = settings.channels.values_mut();
    for channel in channels.filter(|channel| channel.name == "Support") {
        channel.state = state;
    }
    settings
}

fn number(which: usize) -> String {
    format!("4915100000{which:03}")
}

/// Enquiries in the order in which they were opened.
async fn opened(shop: &Shop) -> Vec<EnquiryRow> {
    let mut enquiries = shop.enquiries().await;
    enquiries.sort_by_key(|row| row.opened_seq);
    enquiries
}

async fn until_opened(shop: &Shop, wanted: usize) -> Vec<EnquiryRow> {
    for _ in 0..1_000 {
        let opened = opened(shop).await;
        if opened.len() >= wanted {
            return opened;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never {wanted} enquiries");
}

#[actix::test]
async fn nothing_is_opened_and_what_is_live_runs_on() {
    let (dir, store) = stores::kept();
    let mut shop = Shop::set(store, 1_000, with_channel(ChannelState::Live)).await;
    let mut anna = shop.connect("Anna", 1).await;
    shop.write("wamid.1", "Hello?").await.unwrap();
    shop.sends().await;
    let enquiry = enquiry_of(&anna.event("enquiry.offered").await);
    shop.does("Anna", json!({ "pick_up": { "enquiry": enquiry } })).await.unwrap();
    shop.enquiries().await;

    let (_dir, store) = stores::after_a_crash(dir.path());
    let mut shop = Shop::set(store, 1_000, with_channel(ChannelState::Suspended)).await;
    let mut anna = shop.connect("Anna", 1).await;
    anna.head(enquiry).await;
    shop.write("wamid.2", "Still there?").await.unwrap();
    let told = anna.event("message.received").await;
    assert_eq!(told["message"]["content"]["body"], "Still there?", "it runs on");
    shop.deliver(vec![from(&number(1), "wamid.3", "Anybody?")]).await.unwrap();
    let send = json!({ "send": {
        "enquiry": enquiry, "key": "k1", "content": { "kind": "text", "body": "Yes." } } });
    shop.does("Anna", send).await.unwrap();
    let sent = shop.sends().await;
    assert!(sent.ends_with("Yes."), "nobody is welcomed: {sent}");
    assert_eq!(shop.enquiries().await.len(), 1, "nothing is opened");
}

#[actix::test]
async fn everybody_who_was_not_answered_has_one_enquiry_however_often_it_crashes() {
    let people = 30;
    let (dir, store) = stores::kept();
    let shop = Shop::set(store, 1_000, with_channel(ChannelState::Suspended)).await;
    for which in 0..people {
        let first = from(&number(which), &format!("wamid.{which}"), "Anybody?");
        let second = from(&number(which), &format!("wamid.{which}.again"), "Hello?");
        shop.deliver(vec![first, second]).await.unwrap();
    }
    assert!(opened(&shop).await.is_empty());
    let (dir, store) = stores::after_a_crash(dir.path());
    let shop = Shop::set(store, 1_000, with_channel(ChannelState::Live)).await;
    let half = until_opened(&shop, 7).await.len();
    assert!(half < people, "not all at once: {half}");
    let (_dir, store) = stores::after_a_crash(dir.path());
    let reader = store.archive().reader().unwrap();
    let before = reader.enquiries(shop.service(), &EnquiryFilter::default(), 100).unwrap().len();
    let shop = Shop::set(store, 1_000, with_channel(ChannelState::Live)).await;
    until_opened(&shop, people).await;
    // Were there more to come, they would have come by now.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let opened = opened(&shop).await;
    let visitors: BTreeSet<_> = opened.iter().map(|row| row.visitor).collect();
    assert_eq!((opened.len(), visitors.len()), (people, people));
    for (row, which) in opened.iter().zip(0..) {
        let heard = shop.heard_in(row.enquiry);
        let ids: Vec<_> = heard.into_iter().filter_map(|row| row.provider_id).collect();
        let own = [format!("wamid.{which}"), format!("wamid.{which}.again")];
        assert_eq!(ids, own, "oldest first, and both messages stand in its room");
        assert!(row.messages > 2, "and the welcome");
    }
    assert!(people - before > 11);
    for pair in opened[before..].windows(11) {
        let passed = pair[10].opened_at.since(pair[0].opened_at);
        assert!(passed >= Duration::from_secs(1), "at most ten a second: {passed:?}");
    }
}

#[actix::test]
async fn whose_window_has_lapsed_is_missed_without_a_word() {
    let (dir, store) = stores::kept();
    let shop = Shop::set(store, 1_000, with_channel(ChannelState::Suspended)).await;
    let mut late = message("wamid.1", "Anybody?");
    if let InboundBody::Message(message) = &mut late.body {
        message.provider_at = Some(Clock::system().now() - Duration::from_hours(25));
    }
    shop.deliver(vec![late]).await.unwrap();
    shop.enquiries().await;
    let (_dir, store) = stores::after_a_crash(dir.path());
    let mut shop = Shop::set(store, 1_000, with_channel(ChannelState::Live)).await;
    let mut anna = shop.connect("Anna", 1).await;
    let missed = anna.event("enquiry.missed").await;
    assert_eq!(missed["enquiry"]["first_message"], "Anybody?");
    let opened = until_opened(&shop, 1).await;
    assert_eq!(opened[0].state, "missed");
    assert_eq!(shop.offers_in(opened[0].enquiry), 0);
    assert_eq!(shop.sent_by_now().await, Vec::<String>::new());
}

#[actix::test]
async fn who_was_answered_or_only_opted_out_has_none() {
    let (dir, store) = stores::kept();
    let shop = Shop::set(store, 1_000, with_channel(ChannelState::Suspended)).await;
    shop.write("wamid.1", "Anybody?").await.unwrap();
    let echo = InboundBody::Echo {
        to: Sender { wa_id: Some(VISITOR.into()), ..Sender::default() },
        provider_id: "wamid.echo".into(),
        provider_at: Clock::system().now(),
        content: Content::Text { body: "Answered by phone.".into() },
    };
    shop.deliver(vec![Inbound { body: echo, raw: None }]).await.unwrap();
    shop.deliver(vec![from(&number(1), "wamid.2", "stop")]).await.unwrap();
    shop.deliver(vec![from(&number(2), "wamid.3", "Hello?")]).await.unwrap();
    shop.enquiries().await;
    let (_dir, store) = stores::after_a_crash(dir.path());
    let shop = Shop::set(store, 1_000, with_channel(ChannelState::Live)).await;
    let opened = until_opened(&shop, 1).await;
    // Were there more to come, they would have come by now.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(shop.enquiries().await.len(), 1);
    let heard = shop.heard_in(opened[0].enquiry);
    assert_eq!(heard[0].provider_id.as_deref(), Some("wamid.3"));
}
