use std::time::Duration;

use usher_domain::time::Timestamp;

use super::SeenIds;
use crate::contract::{Opened, disk, tell};
use crate::script::{Cast, NOON, SERVICE};

const LATER: Timestamp = Timestamp::from_millis(NOON.millis() + 1000);

async fn told() -> Opened {
    let opened = disk();
    tell(&opened.store, SERVICE, &Cast(9).whole()).await;
    opened
}

fn load(opened: &Opened, now: Timestamp) -> (SeenIds, crate::ArchiveReader) {
    let reader = opened.store.archive().reader().unwrap();
    (SeenIds::load(opened.store.dir(), SERVICE, now, &reader).unwrap(), reader)
}

#[tokio::test]
async fn without_saved_filters_every_id_is_looked_up_until_they_are_refilled() {
    let opened = told().await;
    let (mut seen, reader) = load(&opened, LATER);
    assert!(seen.needs_refill());
    assert!(seen.check(&Cast(9).wamid("first"), LATER, &reader).unwrap());
    while !seen.refill(&reader, 2).unwrap() {}
    assert!(!seen.needs_refill());
    for name in ["first", "edit", "heart"] {
        assert!(seen.check(&Cast(9).wamid(name), LATER, &reader).unwrap(), "{name}");
    }
}

#[tokio::test]
async fn saved_filters_are_loaded_and_topped_up_with_what_came_since() {
    let opened = disk();
    let story = Cast(9).whole();
    let first = story.len() / 2;
    tell(&opened.store, SERVICE, &story[..first]).await;
    let (mut seen, reader) = load(&opened, LATER);
    while !seen.refill(&reader, 100).unwrap() {}
    seen.save().unwrap();
    for (entry, seq) in story[first..].iter().zip(first as u64 + 1..) {
        let entry = crate::Entry { seq, body: crate::encode(entry) };
        crate::contract::commit(&opened.store, SERVICE, vec![entry]).unwrap();
    }
    opened.store.archive().wait(SERVICE, story.len() as u64).await.unwrap();
    let (mut seen, reader) = load(&opened, LATER);
    assert!(!seen.needs_refill());
    for name in ["first", "edit", "heart", "system"] {
        assert!(seen.check(&Cast(9).wamid(name), LATER, &reader).unwrap(), "{name}");
    }
    seen.save().unwrap();
    let (again, _) = load(&opened, LATER);
    assert!(!again.needs_refill());
}

#[tokio::test]
async fn a_damaged_filter_is_not_believed() {
    let opened = told().await;
    let (mut seen, reader) = load(&opened, LATER);
    while !seen.refill(&reader, 100).unwrap() {}
    seen.save().unwrap();
    let dir = seen.dir.clone().unwrap();
    let filter = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|ending| ending == "filter"))
        .unwrap();
    let mut bytes = std::fs::read(&filter).unwrap();
    bytes.fill(0);
    std::fs::write(&filter, bytes).unwrap();
    let (mut seen, reader) = load(&opened, LATER);
    assert!(seen.needs_refill());
    assert!(seen.check(&Cast(9).wamid("first"), LATER, &reader).unwrap());
}

#[tokio::test]
async fn eight_days_are_remembered_and_records_that_failed_are_not() {
    let opened = told().await;
    let (mut seen, reader) = load(&opened, LATER);
    while !seen.refill(&reader, 100).unwrap() {}
    let day = Duration::from_hours(24);
    let first = Cast(9).wamid("first");
    assert!(seen.check(&first, LATER + day * 8, &reader).unwrap());
    assert!(!seen.check(&first, LATER + day * 9, &reader).unwrap(), "its filter has gone");
    seen.note("wamid.new", 1000, LATER);
    seen.note("wamid.newer", 1001, LATER);
    seen.forget_after(1000);
    assert!(seen.check("wamid.new", LATER, &reader).unwrap());
    assert!(!seen.check("wamid.newer", LATER, &reader).unwrap());
}
