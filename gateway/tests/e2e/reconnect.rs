//! Connections that break, and people with several devices.

use std::collections::BTreeSet;

use usher_domain::message::Content;
use usher_protocol::command::{Command, Key, Outgoing, SetPresence};
use usher_protocol::event::{Event, Withdrawal};

use crate::agent::Agent;
use crate::house::House;
use crate::phone::Phone;
use crate::shop::Shop;
use crate::wait::until;

/// What a visitor says in an event.
fn said(event: &Event) -> Option<String> {
    match event {
        Event::Received { message } => match &message.content {
            Content::Text { body } => Some(body.clone()),
            _ => None,
        },
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_has_missed_nothing_and_repeats_nothing() {
    let house = House::open(Shop::new("resume", &["anna"])).await;
    let mut anna = Agent::arrives(&house, "anna").await;
    let ada = Phone::new(&house, "4915112345678");
    ada.writes("first").await;
    let enquiry = anna.picks_up().await;
    for round in 0..5 {
        anna.falls_away();
        let texts: Vec<String> = (0..10).map(|n| format!("{round}-{n}")).collect();
        for text in &texts {
            ada.writes(text).await;
        }
        anna.comes_back().await.unwrap();
        assert!(anna.welcome.as_ref().unwrap().recovered, "the feed reaches back");
        // Webhooks overtake each other; what counts is that each is there.
        let mut missing: BTreeSet<String> = texts.into_iter().collect();
        while !missing.is_empty() {
            let said = anna.until("message of the meantime", said).await;
            missing.remove(&said);
        }
    }
    let numbers: Vec<u64> = anna.events.iter().map(|(at, _)| *at).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "gapless: {numbers:?}");

    // A reply whose answer was lost with the connection is repeated under its key, and sent once.
    let id = {
        let key = Key::try_from("once".to_owned()).unwrap();
        let content = Outgoing::Text { body: "only once".to_owned() };
        anna.asks(Command::Send { enquiry, key, content, reply_to: None }).await
    };
    anna.falls_away();
    anna.comes_back().await.unwrap();
    anna.answer(id).await.unwrap().unwrap();
    let mut ada = ada;
    ada.gets_text("*anna*\nonly once").await;
    ada.writes("end").await;
    anna.until("end", said).await;
    let sent = ada.texts().into_iter().filter(|text| text.contains("only once")).count();
    assert_eq!(sent, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pick_up_on_one_device_ends_the_offer_on_the_other() {
    let house = House::open(Shop::new("devices", &["anna"])).await;
    let mut desk = Agent::arrives(&house, "anna").await;
    let mut tablet = Agent::arrives(&house, "anna").await;
    Phone::new(&house, "4915112345678").writes("hello").await;
    let enquiry = desk.offered().await;
    assert_eq!(tablet.offered().await, enquiry);
    desk.order(Command::PickUp { enquiry }).await.unwrap();
    let why = tablet
        .until("withdrawal", |event| match event {
            Event::Withdrawn { why, .. } => Some(*why),
            _ => None,
        })
        .await;
    assert_eq!(why, Withdrawal::Elsewhere);
    assert!(tablet.order(Command::PickUp { enquiry }).await.is_err(), "it is taken");
    let numbers = |agent: &Agent| agent.events.iter().map(|(at, _)| *at).collect::<Vec<_>>();
    let shared = numbers(&desk).len().min(numbers(&tablet).len());
    assert_eq!(numbers(&desk)[..shared], numbers(&tablet)[..shared], "one feed, one order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_out_ends_every_socket_of_the_sign_in_at_once() {
    let house = House::open(Shop::new("signout", &["anna"])).await;
    let mut desk = Agent::arrives(&house, "anna").await;
    let mut same = Agent::with_token(&house, desk.token.clone()).await;
    let mut other = Agent::arrives(&house, "anna").await;
    let signed_out = house
        .http
        .delete(house.url("/v1/sessions/current"))
        .bearer_auth(&desk.token)
        .send()
        .await
        .unwrap();
    assert!(signed_out.status().is_success());
    for agent in [&mut desk, &mut same] {
        let gone = loop {
            if let Err(gone) = agent.hear().await {
                break gone;
            }
        };
        assert_eq!(gone.code, Some(4200));
    }
    let presence = SetPresence::Busy;
    other.order(Command::PresenceSet { presence, staff: None }).await.unwrap();
    let again = house.get(&desk.token, "/v1/sessions/current").await;
    assert_eq!(again.status(), 401, "the token is nobody's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_is_not_read_holds_little_and_the_client_resumes() {
    let house = House::open(Shop::new("slow", &["anna"])).await;
    let mut anna = Agent::arrives(&house, "anna").await;
    let ada = Phone::new(&house, "4915112345678");
    ada.writes("first").await;
    let enquiry = anna.picks_up().await;
    // Nothing is read while 600 messages of 2 KB go by: more than the feed reaches back.
    let long = "x".repeat(2_000);
    for batch in 0..6 {
        let texts = (0..100).map(|n| {
            serde_json::json!({"from": "4915112345678", "type": "text", "text": format!("{batch}-{n} {long}")})
        });
        house.sandbox_post("batch", &texts.collect()).await;
    }
    until("600 messages", async || {
        let received = house.metric("usher_messages_total").await;
        if received >= 600.0 { Ok(()) } else { Err(received) }
    })
    .await;
    // What can still be read is gapless; then the server says why it lets go.
    let gone = loop {
        if let Err(gone) = anna.hear().await {
            break gone;
        }
    };
    assert_eq!(gone.code, Some(4000), "{gone:?}");
    anna.comes_back().await.unwrap();
    assert!(!anna.welcome.as_ref().unwrap().recovered, "a snapshot, not a part of the feed");
    assert!(anna.heads.iter().any(|head| head.id == enquiry));
}
