//! Turns of several actors that come between each other, and crashes between two of them.

use std::time::Duration;

use serde_json::json;
use usher_domain::enquiry::{Command as Clock, Enquiry, Terms};
use usher_domain::floor::event::{Closer, FloorEvent};
use usher_domain::floor::place::{Errand, Place, Stage};
use usher_domain::ids::{EnquiryId, MessageId, ServiceId, SessionId, StaffId, VisitorId};
use usher_domain::message::{Content, Counts};
use usher_domain::record::{After, Event, MessageReceived, Record};
use usher_domain::settings::Settings;
use usher_domain::time::Timestamp;
use usher_domain::visitor::{Identities, Visitor};
use usher_store::{Commit, Entry, Store, encode};

use super::{Open, Shop, VISITOR, enquiry_of, message, stores};
use crate::clock::Clock as Wall;
use crate::handle::{Attach, ConnectionId};

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
pub(super) fn left_by_a_crash(
    settings: &Settings,
    then: impl FnOnce(EnquiryId) -> Vec<Record>,
) -> Store {
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
    let store = stores::owned(stores::fresh(), service);
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

/// Nobody took it, and the crash came before anything was said about that.
fn missed(settings: &Settings, enquiry: EnquiryId, since: Timestamp, away: bool) -> Record {
    let channel = settings.channels.values().find(|channel| channel.name == "Support").unwrap().id;
    let place = Place {
        channel,
        visitor: VisitorId::from_number(6),
        language: None,
        country: None,
        arrival: 1,
        opened_at: since,
        stage: Stage::Missed { since, again_at: None },
        epoch: 0,
        hold_until: None,
        visitor_waits: Some(since),
        window_until: since + Duration::from_hours(24),
        errand: Errand::None,
        drawn: None,
        groups: std::sync::Arc::default(),
    };
    let place = Some(place.into());
    Record::new(since, Event::Floor(FloorEvent::Missed { enquiry, away }))
        .leaving(After::Place { enquiry, place })
}

/// What is said of an enquiry that was missed at `since`, over two restarts.
async fn said_of_missed(since: Timestamp, away: bool) -> Vec<String> {
    let settings = Shop::settings();
    let store = left_by_a_crash(&settings, |enquiry| vec![missed(&settings, enquiry, since, away)]);
    let mut shop = Shop::set(store, 100, settings).await;
    shop.enquiries().await;
    let mut sent = shop.sent_by_now().await;
    shop.breaks(super::Break::Router).await;
    shop.until_ready().await;
    shop.enquiries().await;
    sent.extend(shop.sent_by_now().await);
    sent
}

#[actix::test]
async fn away_is_said_once_though_the_crash_came_right_after_the_miss() {
    tokio::time::pause();
    let sent = said_of_missed(Wall::system().now(), true).await;
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(sent[0].starts_with("Nobody is at the counter"), "{sent:?}");
}

#[actix::test]
async fn away_is_not_said_after_a_transfer_nor_long_after_the_miss() {
    tokio::time::pause();
    assert_eq!(said_of_missed(Wall::system().now(), false).await, Vec::<String>::new());
    let long_ago = Wall::system().now() - Duration::from_mins(11);
    assert_eq!(said_of_missed(long_ago, true).await, Vec::<String>::new());
}

fn with_sticky_routing() -> Settings {
    let mut settings = Shop::settings();
    for channel in settings.channels.values_mut() {
        channel.sticky.on = true;
    }
    settings
}

#[actix::test]
async fn who_served_is_remembered_though_the_crash_came_right_after_the_close_message() {
    tokio::time::pause();
    let settings = with_sticky_routing();
    let anna =
        settings.staff.values().find(|person| person.first_name == "Anna").map(|anna| anna.id);
    let store = left_by_a_crash(&settings, |enquiry| {
        let now = Wall::system().now();
        let closed = FloorEvent::Closed {
            enquiry,
            by: Closer::Staff { staff: anna.unwrap() },
            silent: false,
            reason: None,
            owner: anna,
        };
        let mut kept = Enquiry::new(now, None).kept().clone();
        (kept.staff_wrote, kept.over) = (anna, true);
        let kept = Some(Box::new(kept));
        vec![
            Record::new(now, Event::Floor(closed)).leaving(After::Place { enquiry, place: None }),
            Record::new(now, Event::ClockSet { enquiry }).leaving(After::Enquiry { enquiry, kept }),
        ]
    });
    let mut shop = Shop::set(store, 100, settings).await;
    shop.enquiries().await;
    assert_eq!(shop.sent_by_now().await, Vec::<String>::new(), "it was said before");
    shop.enquiries().await;
    let known = shop.reader().visitor_by_wa_id(shop.service(), VISITOR).unwrap().unwrap();
    assert_eq!(known.bindings.first().map(|binding| binding.staff), anna);
    let mut live = 0;
    shop.reader().live_rooms(shop.service(), |_| live += 1).unwrap();
    assert_eq!(live, 0, "it is not live any more");
    shop.write("wamid.2", "One more thing").await.unwrap();
    assert_eq!(shop.enquiries().await.len(), 2);
}

#[actix::test]
async fn an_enquiry_ends_in_one_group_with_what_the_visitor_is_remembered_by() {
    tokio::time::pause();
    let shop = Shop::set(stores::fresh(), 100, with_sticky_routing()).await;
    let mut anna = shop.connect("Anna", 1).await;
    shop.write("wamid.1", "Hello?").await.unwrap();
    let enquiry = enquiry_of(&anna.event("enquiry.offered").await);
    shop.does("Anna", json!({ "pick_up": { "enquiry": enquiry } })).await.unwrap();
    let send = json!({ "send": {
        "enquiry": enquiry, "key": "k1", "content": { "kind": "text", "body": "Yes." } } });
    shop.does("Anna", send).await.unwrap();
    shop.does("Anna", json!({ "close": { "enquiry": enquiry } })).await.unwrap();
    anna.event("enquiry.closed").await;
    shop.enquiries().await;
    let journal = shop.engine.store().journal().reader().unwrap();
    let rows = journal.read_after(shop.service(), 0, 1_000).unwrap();
    let records: Vec<_> = rows.iter().map(|row| usher_store::decode(&row.body).unwrap()).collect();
    let ends = |record: &Record| {
        record.after.iter().any(|after| matches!(after, After::Enquiry { kept: None, .. }))
    };
    let end = records.iter().position(ends).expect("it has ended");
    let Event::VisitorChanged { visitor } = &records[end - 1].event else {
        panic!("{:?}", records[end - 1])
    };
    assert_eq!(visitor.bindings.first().map(|binding| binding.staff), Some(shop.staff("Anna")));
    let said = records[..end].iter().rev().find(|record| {
        matches!(&record.event, Event::MessageQueued(queued) if queued.enquiry == Some(enquiry))
    });
    let over =
        |after: &After| matches!(after, After::Enquiry { kept: Some(kept), .. } if kept.over);
    assert!(said.expect("a close message").after.iter().any(over), "{said:?}");
}

#[actix::test]
async fn what_is_due_waits_for_a_credit_like_everything_else() {
    tokio::time::pause();
    let shop = Shop::open().await;
    let mut anna = shop.connect("Anna", 1).await;
    shop.write("wamid.1", "Hello?").await.unwrap();
    let enquiry = enquiry_of(&anna.event("enquiry.offered").await);
    shop.enquiries().await;
    let credits = shop.engine.credits_of(shop.service());
    let all = u32::try_from(credits.available_permits()).unwrap();
    let taken = credits.clone().try_acquire_many_owned(all).unwrap();
    tokio::time::sleep(Duration::from_hours(1)).await;
    shop.enquiries().await;
    assert_eq!(shop.enquiries().await[0].state, "open", "nothing is due without a credit");
    drop(taken);
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(shop.enquiries().await[0].state, "missed");
    assert_eq!(shop.enquiries().await[0].enquiry, enquiry);
    shop.enquiries().await;
    assert_eq!(u32::try_from(credits.available_permits()), Ok(all), "and each comes back");
}

/// What becomes of a connection, and after how long.
async fn until_let_go(shop: &Shop, connection: u64, reads: bool) -> Duration {
    let (service, staff) = (shop.service(), shop.staff("Anna"));
    let id = ConnectionId(connection);
    let session = SessionId::from_number(connection.into());
    let attach = Attach { staff, connection: id, session, resume: None };
    let mut pulls = shop.engine.attach(service, attach).await.unwrap();
    let began = tokio::time::Instant::now();
    if !reads {
        // Its client answers pings, and the door does not come for what there is.
        while began.elapsed() < Duration::from_mins(1) {
            shop.engine.alive(service, staff, id);
            tokio::time::sleep(Duration::from_secs(1)).await;
            let open = shop.engine.service_of(service).send(Open(staff)).await.unwrap();
            if !open {
                return began.elapsed();
            }
        }
        panic!("never let go");
    }
    while pulls.next().await.is_ok() {}
    began.elapsed()
}

#[actix::test]
async fn who_is_dead_or_reads_too_slowly_is_let_go_in_time() {
    tokio::time::pause();
    let shop = Shop::open().await;
    let dead = until_let_go(&shop, 1, true).await.as_secs();
    assert!((33..35).contains(&dead), "{dead} s");
    let slow = until_let_go(&shop, 2, false).await.as_secs();
    assert!((10..13).contains(&slow), "{slow} s");
}

#[actix::test]
async fn who_reads_nothing_is_let_go_though_the_socket_takes_all_there_is() {
    tokio::time::pause();
    let shop = Shop::open().await;
    let mut anna = shop.connect("Anna", 1).await;
    shop.write("wamid.0", "Hello?").await.unwrap();
    let enquiry = enquiry_of(&anna.event("enquiry.offered").await);
    shop.does("Anna", json!({ "pick_up": { "enquiry": enquiry } })).await.unwrap();
    let writes = async {
        for number in 1..80 {
            shop.write(&format!("wamid.{number}"), "And?").await.unwrap();
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    let (let_go, ()) = tokio::join!(until_let_go(&shop, 2, true), writes);
    assert!((6..=9).contains(&let_go.as_secs()), "{let_go:?}");
    // The other connection of the same person answers what it is asked, and stays.
    shop.write("wamid.last", "Are you there?").await.unwrap();
    while anna.event("message.received").await["message"]["content"]["body"] != "Are you there?" {}
}
