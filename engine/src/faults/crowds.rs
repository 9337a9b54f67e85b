//! Many people in one group of which much was missed.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use usher_domain::ids::StaffId;
use usher_domain::settings::{Settings, Staff};

use super::{Screen, Shop, WRITTEN, enquiry_of, from, stores};

const PEOPLE: usize = 40;
const MISSED: usize = 250;
/// The rule ends with a line of this length.
const WAITING: usize = 20;
/// What a snapshot shows of either.
const SHOWN: usize = 100;

/// The group behind "Support" has so many people more.
fn crowded() -> Settings {
    let mut settings = Shop::settings();
    let anna = settings.staff.values().find(|person| person.first_name == "Anna").unwrap().clone();
    for number in 1..=PEOPLE {
        let id = StaffId::from_number(number as u128);
        let person = Staff { id, first_name: format!("Number {number}"), ..anna.clone() };
        settings.staff.insert(id, person);
        for group in settings.groups.values_mut().filter(|group| group.name == "Support") {
            group.members.push(id);
        }
    }
    settings
}

/// Everybody is away, and visitors write.
async fn much_was_missed() -> Shop {
    let mut settings = crowded();
    settings.missed_offer_when_free = false;
    let shop = Shop::set(stores::fresh(), 10_000, settings).await;
    for first in (0..MISSED + WAITING).step_by(51) {
        let some = first..(first + 51).min(MISSED + WAITING);
        let wrote = some.map(|n| from(&format!("49151{n:08}"), &format!("wamid.{n}"), "Hello?"));
        shop.deliver(wrote.collect()).await.unwrap();
    }
    shop
}

/// The heads of the snapshot, by what they are to the person; and how many there are in all.
async fn shown(screen: &mut Screen) -> (usize, usize, Value) {
    let (mut waiting, mut missed) = (0, 0);
    loop {
        let frame = screen.frame().await;
        for head in frame["snapshot"]["heads"].as_array().into_iter().flatten() {
            waiting += usize::from(head["as"] == "waiting");
            missed += usize::from(head["as"] == "missed");
        }
        if frame["now"] == "counters" {
            return (waiting, missed, frame["data"].clone());
        }
    }
}

#[actix::test]
async fn everybody_who_comes_back_sees_the_newest_and_each_head_is_written_once() {
    tokio::time::pause();
    let shop = Rc::new(much_was_missed().await);
    WRITTEN.set(0);
    let everybody: Vec<_> = (1..=PEOPLE)
        .map(|number| {
            let shop = Rc::clone(&shop);
            let name = format!("Number {number}");
            actix::spawn(async move { shop.connect(&name, number as u64).await })
        })
        .collect();
    let mut screens = Vec::new();
    for screen in everybody {
        screens.push(screen.await.unwrap());
    }
    let heads = SHOWN + WAITING;
    let written = WRITTEN.get();
    assert!((heads..heads * 5).contains(&written), "{written} for {PEOPLE} people");
    for screen in &mut screens {
        let (waiting, missed, counters) = shown(screen).await;
        assert_eq!(missed, SHOWN);
        assert_eq!(counters["missed"], MISSED, "{counters}");
        // Whoever is there first is offered what waits.
        assert!(waiting <= WAITING);
    }
}

/// What is longer than one batch comes whole, though nothing else happens that would have it looked for.
#[actix::test]
async fn a_greeting_of_many_batches_is_given_whole_and_at_once() {
    tokio::time::pause();
    let shop = much_was_missed().await;
    let asked = tokio::time::Instant::now();
    let mut screen = shop.connect("Anna", 1).await;
    assert_eq!(shown(&mut screen).await.1, SHOWN);
    let took = asked.elapsed();
    assert!(took < Duration::from_millis(100), "{took:?}");
}

#[actix::test]
async fn what_a_snapshot_leaves_out_is_there_page_by_page() {
    tokio::time::pause();
    let shop = much_was_missed().await;
    let mut before = Value::Null;
    let mut seen = Vec::new();
    loop {
        let asked = json!({ "unserved": { "state": "missed", "before": before, "limit": 60 } });
        let page = shop.does("Anna", asked).await.unwrap();
        let heads = page["heads"].as_array().unwrap();
        assert!(heads.len() <= 60);
        assert!(heads.iter().all(|head| head["as"] == "missed"), "{page}");
        seen.extend(heads.iter().map(|head| head["id"].as_str().unwrap().to_owned()));
        before = page["next"].clone();
        if before.is_null() {
            break;
        }
    }
    let all: BTreeSet<_> = seen.iter().cloned().collect();
    assert_eq!((seen.len(), all.len()), (MISSED, MISSED));
    assert!(seen.is_sorted_by(|one, next| one > next), "the newest first");
    // Dev is in another group.
    let none = json!({ "unserved": { "state": "missed" } });
    assert_eq!(shop.does("Dev", none).await.unwrap(), json!({ "heads": [], "next": null }));
}

#[actix::test]
async fn a_head_on_the_board_is_not_shown_once_the_enquiry_has_moved() {
    tokio::time::pause();
    let shop = much_was_missed().await;
    let asked = || json!({ "unserved": { "state": "missed", "limit": 1 } });
    let newest = shop.does("Anna", asked()).await.unwrap();
    let enquiry = newest["heads"][0]["id"].clone();
    drop(shop.connect("Anna", 1).await);
    shop.does("Anna", json!({ "pick_up": { "enquiry": enquiry } })).await.unwrap();
    let next = shop.does("Ben", asked()).await.unwrap();
    assert_ne!(next["heads"][0]["id"], enquiry);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(shop.does("Ben", asked()).await.unwrap(), next);
}

#[actix::test]
async fn nobody_is_told_again_what_has_not_changed() {
    tokio::time::pause();
    let shop = Shop::open().await;
    let mut ben = shop.connect("Ben", 1).await;
    shop.write("wamid.1", "Hello?").await.unwrap();
    let offered = ben.event("enquiry.offered").await;
    let enquiry = enquiry_of(&offered);
    shop.does("Ben", json!({ "pick_up": { "enquiry": enquiry } })).await.unwrap();
    let mut states = async || {
        let mut names = Vec::new();
        while let Ok(Some(frame)) =
            tokio::time::timeout(Duration::from_secs(3), ben.frames.recv()).await
        {
            names.extend(frame["now"].as_str().map(str::to_owned));
        }
        names
    };
    let after_the_pick_up = states().await;
    assert!(after_the_pick_up.contains(&"counters".to_owned()), "{after_the_pick_up:?}");
    shop.write("wamid.2", "Are you there?").await.unwrap();
    assert_eq!(states().await, Vec::<String>::new(), "the floor has heard, and nothing moved");
}

/// Whoever connects is told what holds at that moment, even where it soon holds no more.
#[actix::test]
async fn nobody_is_left_with_what_held_for_a_moment() {
    tokio::time::pause();
    let shop = Shop::open().await;
    let mut first = shop.connect("Ben", 1).await;
    drop(first.position().await);
    shop.write("wamid.1", "Hello?").await.unwrap();
    let enquiry = enquiry_of(&first.event("enquiry.offered").await);
    let mut ben = shop.connect("Ben", 2).await;
    for command in ["pick_up", "close"] {
        let asked = json!({ command: { "enquiry": enquiry } });
        shop.does("Ben", asked).await.unwrap();
    }
    let mut last = Value::Null;
    while let Ok(Some(mut frame)) =
        tokio::time::timeout(Duration::from_secs(3), ben.frames.recv()).await
    {
        if frame["now"] == "counters" {
            last = frame["data"].take();
        }
    }
    assert_eq!((&last["load"], &last["offers"]), (&json!(0), &json!(0)), "{last}");
}
