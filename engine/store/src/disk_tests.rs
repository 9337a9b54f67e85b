//! What only a store on disk can show: reopening, failed commits, a new archive.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use usher_domain::ids::{MessageId, ServiceId};
use usher_domain::record::{After, Event, Record};
use usher_domain::time::Timestamp;

use crate::contract::{commit, entries, reopen, submit, tell};
use crate::script::{Cast, NOON, SERVICE};
use crate::{
    ArchiveOptions, Commit, CommitFailed, DataDir, Entry, Full, JournalOptions, Store, StoreError,
    StoreOptions, rebuild,
};

const OTHER: ServiceId = ServiceId::from_number(99);

fn open(path: &std::path::Path) -> Store {
    Store::open(path, StoreOptions::default()).unwrap()
}

#[tokio::test]
async fn reopened_it_is_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    tell(&store, SERVICE, &Cast(9).whole()).await;
    let before = store.archive().reader().unwrap().dump().unwrap();
    assert!(matches!(
        Store::open(dir.path(), StoreOptions::default()),
        Err(StoreError::InUse { .. })
    ));
    store.close();
    let store = open(dir.path());
    let end = Cast(9).whole().len() as u64;
    assert_eq!(store.archive().reached(SERVICE).seq, end, "known before anybody waits");
    assert_eq!(store.archive().reader().unwrap().dump().unwrap(), before);
    commit(&store, SERVICE, entries(end + 1, &Cast(10).whole())).unwrap();
}

#[tokio::test]
async fn an_archive_thrown_away_or_rebuilt_is_the_same_archive() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        archive: ArchiveOptions { batch_max: 7, ..ArchiveOptions::default() },
        ..StoreOptions::default()
    };
    let store = Store::open(dir.path(), options).unwrap();
    for service in [SERVICE, OTHER] {
        let tales: Vec<_> = (1..6).flat_map(|number| Cast(number).whole()).collect();
        tell(&store, service, &tales).await;
    }
    let before = store.archive().reader().unwrap().dump().unwrap();
    assert!(before.lines().count() > 500, "{}", before.lines().count());
    store.close();

    rebuild(&DataDir::lock(dir.path()).unwrap(), None).unwrap();
    let store = open(dir.path());
    let reader = store.archive().reader().unwrap();
    assert_eq!(reader.dump().unwrap(), before);
    assert_eq!(reader.search(OTHER, "umbrella", None, 10).unwrap().len(), 5);
    store.close();

    for file in std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()) {
        if file.file_name().unwrap().to_str().unwrap().starts_with("archive") {
            std::fs::remove_file(file).unwrap();
        }
    }
    let store = open(dir.path());
    assert_eq!(store.archive().reader().unwrap().dump().unwrap(), before);
}

fn after_hours(hours: u64) -> Timestamp {
    NOON + Duration::from_hours(hours)
}

/// The first message of the opening once more, which leaves the window so long.
fn said(opening: &[Record], number: u64, hours: u64) -> Record {
    let heard = opening.iter().find(|told| matches!(told.event, Event::MessageReceived(_)));
    let mut record = heard.unwrap().clone();
    if let Event::MessageReceived(received) = &mut record.event {
        received.message = MessageId::from_number(70_000 + u128::from(number));
        received.provider_id = format!("wamid.again.{number}");
    }
    record.after.retain(|after| matches!(after, After::Enquiry { .. }));
    for after in &mut record.after {
        let After::Enquiry { kept: Some(kept), .. } = after else { continue };
        kept.window_until = after_hours(hours);
    }
    record
}

/// The floor's word on the enquiry, with the window as it knows it.
fn stood(opening: &[Record], hours: u64) -> Record {
    let mut left = opening.iter().flat_map(|told| &told.after);
    let place = left.find_map(|after| match after {
        After::Place { enquiry, place } => Some((*enquiry, place.clone().unwrap())),
        _ => None,
    });
    let (enquiry, mut place) = place.unwrap();
    place.window_until = after_hours(hours);
    Record::new(NOON, Event::FloorKept {}).leaving(After::Place { enquiry, place: Some(place) })
}

#[tokio::test]
async fn what_many_records_say_of_an_enquiry_is_the_same_in_one_transaction_or_in_many() {
    let opening = Cast(9).opening();
    let end = After::Enquiry { enquiry: Cast(9).enquiry(), kept: None };
    let ended = Record::new(NOON, Event::FloorKept {}).leaving(end);
    let more = [
        (vec![said(&opening, 1, 30), stood(&opening, 26)], 26, true),
        (vec![said(&opening, 1, 30), stood(&opening, 26), said(&opening, 2, 31)], 31, true),
        (vec![said(&opening, 1, 30), said(&opening, 2, 31), ended], 31, false),
    ];
    for (more, window, live) in more {
        let tale = [&opening[..], &more].concat();
        let (one_by_one, together) = (shown(&tale, 1).await, shown(&tale, 4_096).await);
        assert_eq!((one_by_one.1, one_by_one.2), (Some(after_hours(window)), usize::from(live)));
        assert_eq!(one_by_one, together);
    }
}

/// What the archive then holds, the window of the one enquiry, and how many are kept.
async fn shown(tale: &[Record], batch_max: usize) -> (String, Option<Timestamp>, usize) {
    let dir = tempfile::tempdir().unwrap();
    let archive = ArchiveOptions { batch_max, ..ArchiveOptions::default() };
    let options = StoreOptions { archive, ..StoreOptions::default() };
    let store = Store::open(dir.path(), options).unwrap();
    commit(&store, SERVICE, entries(1, tale)).unwrap();
    store.archive().wait(SERVICE, tale.len() as u64).await.unwrap();
    let reader = store.archive().reader().unwrap();
    let row = reader.enquiry(SERVICE, Cast(9).enquiry()).unwrap().unwrap();
    let mut kept = 0;
    let count = |found: crate::LiveState| {
        kept += usize::from(matches!(found.state, After::Enquiry { .. }));
    };
    reader.live(SERVICE, count).unwrap();
    (reader.dump().unwrap(), row.window_until, kept)
}

#[test]
fn an_archive_ahead_of_its_journal_is_made_anew() {
    let (ahead, behind) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(ahead.path());
    commit(&store, SERVICE, entries(1, &Cast(9).whole())).unwrap();
    store.close();
    let store = open(behind.path());
    commit(&store, SERVICE, entries(1, &Cast(9).opening())).unwrap();
    store.close();
    std::fs::copy(ahead.path().join("archive.db"), behind.path().join("archive.db")).unwrap();
    let store = open(behind.path());
    let reached = store.archive().reached(SERVICE).seq;
    assert_eq!(reached, Cast(9).opening().len() as u64);
}

/// A disk that is full, as SQLite sees it, until the connection is opened again.
pub(crate) fn fill_disk(store: &Store) {
    let (full, told) = channel();
    store.journal().with_connection(Box::new(move |connection| {
        connection.pragma_update(None, "max_page_count", 1).unwrap();
        full.send(()).unwrap();
    }));
    told.recv().unwrap();
}

#[tokio::test]
async fn a_failed_commit_concerns_every_service_in_it_and_leaves_no_gap() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let tale = Cast(9).whole();
    for service in [SERVICE, OTHER] {
        commit(&store, service, entries(1, &tale[..2])).unwrap();
    }
    fill_disk(&store);
    let big = |seq| vec![Entry { seq, body: "x".repeat(1 << 20) }];
    let failed = commit(&store, SERVICE, big(3));
    assert!(matches!(failed, Err(CommitFailed::Storage(_))), "{failed:?}");
    for seq in [3, 4] {
        let refused = commit(&store, SERVICE, entries(seq, &tale[2..3]));
        assert!(matches!(refused, Err(CommitFailed::Refused)), "{refused:?}");
    }
    commit(&store, OTHER, entries(3, &tale[2..3])).unwrap();
    assert_eq!(reopen(&store, SERVICE).unwrap(), 2, "what is durable is read again");
    commit(&store, SERVICE, entries(3, &tale[2..])).unwrap();
    store.archive().wait(SERVICE, tale.len() as u64).await.unwrap();
    let rows = store.journal().reader().unwrap().read_after(SERVICE, 0, 1000).unwrap();
    assert!(rows.iter().map(|row| row.seq).eq(1..=tale.len() as u64));
}

#[test]
fn what_arrives_during_a_commit_is_one_transaction_told_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let commits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&commits);
    let journal = JournalOptions {
        on_commit: Box::new(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
        }),
        ..JournalOptions::default()
    };
    let options = StoreOptions { journal, ..StoreOptions::default() };
    let store = Store::open(dir.path(), options).unwrap();
    let (go_on, gone_on) = channel::<()>();
    store.journal().with_connection(Box::new(move |_| gone_on.recv().unwrap()));
    let (outcome, told) = channel();
    for entry in entries(1, &Cast(9).whole()) {
        let (outcome, seq) = (outcome.clone(), entry.seq);
        let done = Box::new(move |result: Result<(), CommitFailed>| {
            result.unwrap();
            outcome.send(seq).unwrap();
        });
        store.journal().submit(Commit { service: SERVICE, records: vec![entry], done }).unwrap();
    }
    drop(outcome);
    assert!(store.journal().queued() >= Cast(9).whole().len() - 1);
    go_on.send(()).unwrap();
    assert!(told.iter().eq(1..=Cast(9).whole().len() as u64));
    assert_eq!(commits.load(Ordering::Relaxed), 1);
}

#[test]
fn a_full_queue_gives_the_commit_back() {
    let dir = tempfile::tempdir().unwrap();
    let journal = JournalOptions { queue_max: 2, ..JournalOptions::default() };
    let options = StoreOptions { journal, ..StoreOptions::default() };
    let store = Store::open(dir.path(), options).unwrap();
    let (go_on, gone_on) = channel::<()>();
    store.journal().with_connection(Box::new(move |_| gone_on.recv().unwrap()));
    let tale = Cast(9).whole();
    let first = submit(&store, SERVICE, entries(1, &tale[..1]));
    let second = submit(&store, SERVICE, entries(2, &tale[1..2]));
    let records = entries(3, &tale[2..3]);
    let done = Box::new(|_| panic!("was never taken"));
    let full = store.journal().submit(Commit { service: SERVICE, records, done });
    let Err(Full(commit)) = full else { panic!("{full:?}") };
    assert_eq!(commit.records.len(), 1);
    go_on.send(()).unwrap();
    first.recv().unwrap().unwrap();
    second.recv().unwrap().unwrap();
}

#[test]
fn whoever_panics_when_told_does_not_end_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let done = Box::new(|_| panic!("on purpose"));
    store.journal().submit(Commit { service: SERVICE, records: Vec::new(), done }).unwrap();
    commit(&store, SERVICE, entries(1, &Cast(9).whole())).unwrap();
}

#[test]
fn everybody_hears_an_outcome_while_the_journal_closes() {
    for _ in 0..30 {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let busy = scope.spawn(|| {
                (0..300).map(|_| submit(&store, SERVICE, Vec::new())).collect::<Vec<_>>()
            });
            store.journal().close();
            busy.join().unwrap()
        });
        for outcome in outcomes {
            let heard = outcome.recv().unwrap();
            assert!(matches!(heard, Ok(()) | Err(CommitFailed::Closed)), "{heard:?}");
        }
    }
}

/// Were it not for whoever waits, this would take an hour.
#[tokio::test]
async fn the_projector_does_not_gather_while_somebody_waits() {
    let dir = tempfile::tempdir().unwrap();
    let gather = Duration::from_hours(1);
    let archive = ArchiveOptions { gather, ..ArchiveOptions::default() };
    let options = StoreOptions { archive, ..StoreOptions::default() };
    let store = Store::open(dir.path(), options).unwrap();
    for (seq, record) in (1..).zip(&Cast(9).whole()) {
        commit(&store, SERVICE, entries(seq, std::slice::from_ref(record))).unwrap();
        store.archive().wait(SERVICE, seq).await.unwrap();
    }
}

#[tokio::test]
async fn a_store_whose_archive_cannot_be_written_still_closes_and_catches_up_later() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        archive: ArchiveOptions { batch_max: 1, ..ArchiveOptions::default() },
        ..StoreOptions::default()
    };
    let store = Store::open(dir.path(), options).unwrap();
    let tale = Cast(9).whole();
    commit(&store, SERVICE, entries(1, &tale[..1])).unwrap();
    store.archive().wait(SERVICE, 1).await.unwrap();
    // Whoever holds the archive's lock keeps the projector out.
    let held = rusqlite::Connection::open(dir.path().join("archive.db")).unwrap();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    commit(&store, SERVICE, entries(2, &tale[1..])).unwrap();
    store.close();
    held.execute_batch("ROLLBACK").unwrap();
    drop(held);
    let store = open(dir.path());
    assert_eq!(store.archive().reached(SERVICE).seq, tale.len() as u64);
}
