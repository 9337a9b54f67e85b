//! Turns of several actors that come between each other, and crashes between two of them.

use std::time::Duration;

use serde_json::json;
use usher_domain::enquiry::{Command as Clock, Enquiry, Terms};
use usher_domain::floor::event::{Closer, FloorEvent};
use usher_domain::ids::{EnquiryId, MessageId, ServiceId, StaffId, VisitorId};
use usher_domain::message::{Content, Counts};
use usher_domain::record::{After, Event, MessageReceived, Record};
use usher_domain::settings::Settings;
use usher_domain::visitor::{Identities, Visitor};
use usher_store::{Commit, Entry, Store, encode};

use super::{Shop, VISITOR, enquiry_of, message};
use crate::clock::Clock as Wall;

#[actix::test]
async fn two_first_messages_at_once_are_welcomed_once() {
    tokio::time::pause();
    let mut shop = Shop::open().await;
    shop.deliver(vec![message("wamid.1", "Hello"), message("wamid.2", "Anybody?")]).await.unwrap();
    let sent = shop.sent_by_now().await;
    let welcomes = sent.iter().filter(|text| text.starts_with("Hello, this is")).count();
    assert_eq!(welcomes, 1, "{sent:?}");
    let enquiries = shop.enquiries().await;
    assert_eq!(enquiries.len(), 1);
    assert_eq!(shop.heard_in(enquiries[0].enquiry).len(), 2);
}

/// However close: what is said after the floor has closed an enquiry opens the next one.
#[actix::test]
async fn a_message_at_the_very_end_is_in_exactly_one_enquiry_and_none_that_had_closed() {
    tokio::time::pause();
    for turns in 0..24 {
        let shop = Shop::open().await;
        let mut anna = shop.connect("Anna", 1).await;
        shop.write("wamid.1", "Hello?").await.unwrap();
        let enquiry = enquiry_of(&anna.event("enquiry.offered").await);
        shop.does("Anna", json!({ "pick_up": { "enquiry": enquiry } })).await.unwrap();
        let late = async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            shop.write("wamid.2", "One more thing").await.unwrap();
        };
        let close = json!({ "close": { "enquiry": enquiry } });
        let (closed, ()) = tokio::join!(shop.does("Anna", close), late);
        closed.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
        let enquiries = shop.enquiries().await;
        let rooms: Vec<_> = enquiries.iter().map(|row| row.enquiry).collect();
        let mut found = 0;
        for room in rooms {
            for row in shop.heard_in(room) {
                found += usize::from(row.provider_id.as_deref() == Some("wamid.2"));
                let closed = shop.closed_at(room).unwrap_or(u64::MAX);
                assert!(row.seq < closed, "after {turns} turns: said in a closed enquiry");
            }
        }
        assert_eq!(found, 1, "after {turns} turns");
    }
}

/// What a crash leaves of an enquiry: opened and spoken in, and whatever `then` adds.
fn left_by_a_crash(settings: &Settings, then: impl FnOnce(EnquiryId) -> Vec<Record>) -> Store {
    let now = Wall::system().now();
    let (enquiry, visitor) = (EnquiryId::from_number(5), VisitorId::from_number(6));
    let channel = settings.channels.values().find(|channel| channel.name == "Support").unwrap().id;
    let mut clock = Enquiry::new(now, None);
    let terms =
        Terms { auto_close: settings.auto_close_of(channel), stale_close: settings.stale_close };
    let wrote = Clock::VisitorWrote { counts: Counts::Message, provider_at: now };
    clock.apply(&terms, now, wrote, &mut Vec::new()).unwrap();
    let identities = Identities { wa_id: Some(VISITOR.into()), ..Identities::default() };
    let received = MessageReceived {
        message: MessageId::from_number(7),
        channel,
        visitor,
        enquiry: Some(enquiry),
        provider_id: "wamid.1".into(),
        provider_at: now,
        counts: Counts::Message,
        content: Content::Text { body: "Hello?".into() },
        reply_to: None,
        referral: None,
        forwarded: false,
    };
    let kept = After::Enquiry { enquiry, kept: Some(Box::new(clock.kept().clone())) };
    let mut records = vec![
        Record::new(
            now,
            Event::VisitorChanged { visitor: Box::new(Visitor::new(visitor, identities)) },
        ),
        Record::new(now, Event::EnquiryOpened { enquiry, channel, visitor }),
        Record::new(now, Event::MessageReceived(Box::new(received))).leaving(kept),
    ];
    records.extend(then(enquiry));
    stored(settings.service, &records)
}

fn stored(service: ServiceId, records: &[Record]) -> Store {
    let store = Store::memory().unwrap();
    let records =
        records.iter().zip(1..).map(|(record, seq)| Entry { seq, body: encode(record) }).collect();
    let commit = Commit { service, records, done: Box::new(|outcome| outcome.unwrap()) };
    store.journal().submit(commit).unwrap();
    store
}

#[actix::test]
async fn what_was_acknowledged_and_not_yet_routed_is_routed_after_a_restart() {
    tokio::time::pause();
    let settings = Shop::settings();
    let store = left_by_a_crash(&settings, |_| Vec::new());
    let shop = Shop::set(store, 100, settings).await;
    let mut anna = shop.connect("Anna", 1).await;
    let offered = enquiry_of(&anna.event("enquiry.offered").await);
    assert_eq!(offered, EnquiryId::from_number(5));
}

#[actix::test]
async fn what_the_floor_had_closed_is_closed_after_a_restart() {
    tokio::time::pause();
    let settings = Shop::settings();
    let store = left_by_a_crash(&settings, |enquiry| {
        let closed = FloorEvent::Closed {
            enquiry,
            by: Closer::Staff { staff: StaffId::from_number(1) },
            silent: false,
            reason: None,
            owner: None,
        };
        let record = Record::new(Wall::system().now(), Event::Floor(closed));
        vec![record.leaving(After::Place { enquiry, place: None })]
    });
    let mut shop = Shop::set(store, 100, settings).await;
    let sent = shop.sent_by_now().await;
    assert!(sent.iter().any(|text| text.contains("closed")), "its close message: {sent:?}");
    shop.write("wamid.2", "One more thing").await.unwrap();
    let enquiries = shop.enquiries().await;
    assert_eq!(enquiries.len(), 2, "the old one is not live");
    assert_eq!(shop.heard_in(EnquiryId::from_number(5)).len(), 1);
}
