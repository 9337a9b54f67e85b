//! What was kept long enough goes by itself.

use std::time::Duration;

use usher_domain::floor::event::{Closer, FloorEvent};
use usher_domain::ids::{EnquiryId, StaffId};
use usher_domain::record::{After, Event, Record};

use super::Shop;
use super::turns::left_by_a_crash;
use crate::clock::Clock;

const DAY: Duration = Duration::from_hours(24);

/// An enquiry that was closed so many days ago, in a shop that keeps rooms for thirty.
async fn closed(days: u32) -> Shop {
    let mut settings = Shop::settings();
    settings.retention.rooms = 30 * DAY;
    let store = left_by_a_crash(&settings, |enquiry| {
        let by = Closer::Staff { staff: StaffId::from_number(1) };
        let closed = FloorEvent::Closed { enquiry, by, silent: true, reason: None, owner: None };
        let at = Clock::system().now() - days * DAY;
        let end = Record::new(at, Event::Floor(closed))
            .leaving(After::Place { enquiry, place: None })
            .leaving(After::Enquiry { enquiry, kept: None });
        vec![end]
    });
    Shop::set(store, 100, settings).await
}

async fn is_kept(shop: &Shop) -> bool {
    let room = EnquiryId::from_number(5);
    assert!(shop.reader().enquiry(shop.service(), room).unwrap().is_some(), "at first");
    tokio::time::sleep(Duration::from_mins(10)).await;
    // What is done on another thread, and the clock of this one does not go on before.
    tokio::time::sleep(Duration::from_secs(1)).await;
    shop.reader().enquiry(shop.service(), room).unwrap().is_some()
}

#[actix::test]
async fn a_room_goes_once_it_was_kept_long_enough_and_not_before() {
    tokio::time::pause();
    assert!(is_kept(&closed(29).await).await);
    let shop = closed(31).await;
    assert!(!is_kept(&shop).await);
    let journal = shop.engine.store().journal().reader().unwrap();
    let rows = journal.read_after(shop.service(), 0, 1_000).unwrap();
    let room = EnquiryId::from_number(5).to_string();
    assert!(rows.iter().all(|row| !row.body.contains(&room)), "{rows:#?}");
}
