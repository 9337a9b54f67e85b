//! What is pruned or erased is gone from the journal and the archive alike.

use usher_domain::ids::ServiceId;
use usher_domain::message::Content;
use usher_domain::record::{Event, Record};
use usher_domain::time::Timestamp;

use crate::contract::{Home, Opened, commit, disk, entries, memory, postgres};
use crate::script::{CHANNEL, Cast, NOON, SERVICE};
use crate::{JournalRow, Store};

const OTHER: ServiceId = ServiceId::from_number(99);
const FIRST: Cast = Cast(1);
const SECOND: Cast = Cast(2);

/// Three enquiries: two that were closed one after the other, their records interleaved, and one
/// that is live.
fn tale() -> Vec<Record> {
    let (first, second) = (FIRST.whole(), SECOND.whole());
    let mut records = Vec::new();
    for (one, other) in first.into_iter().zip(second) {
        records.push(one);
        records.push(other);
    }
    for (record, at) in records.iter_mut().zip(0..) {
        record.at = Timestamp::from_millis(NOON.millis() + at);
    }
    records.extend(Cast(3).opening());
    records
}

async fn told(store: &Store) {
    for service in [SERVICE, OTHER] {
        let tale = tale();
        commit(store, service, entries(1, &tale)).unwrap();
        store.archive().wait(service, tale.len() as u64).await.unwrap();
    }
}

/// After everything in the tale was closed.
fn late() -> Timestamp {
    Timestamp::from_millis(NOON.millis() + 1_000_000)
}

fn rows(store: &Store, service: ServiceId) -> Vec<JournalRow> {
    store.journal().reader().unwrap().read_after(service, 0, 10_000).unwrap()
}

fn dump(store: &Store) -> String {
    store.archive().reader().unwrap().dump().unwrap()
}

/// The archive as the journal alone makes it.
fn rebuilt(home: &Home) -> String {
    home.rebuild();
    dump(&home.open())
}

/// The first lines in which two dumps differ.
fn assert_same(one: &str, other: &str) {
    let differing = one.lines().zip(other.lines()).find(|(one, other)| one != other);
    assert_eq!(differing, None);
    assert_eq!(one.lines().count(), other.lines().count());
}

async fn a_pruned_enquiry_leaves_nothing_and_a_rebuild_agrees(home: &Home) {
    let store = home.open();
    told(&store).await;
    let before = rows(&store, SERVICE).len();
    assert_eq!(store.prune(SERVICE, NOON, 10).unwrap(), crate::Pruned::default());
    for service in [SERVICE, OTHER] {
        let pruned = store.prune(service, late(), 1).unwrap();
        assert_eq!(pruned.enquiries, 1, "the longest closed one");
    }
    let reader = store.archive().reader().unwrap();
    assert_eq!(reader.enquiry(SERVICE, FIRST.enquiry()).unwrap(), None);
    assert!(reader.enquiry(SERVICE, SECOND.enquiry()).unwrap().is_some());
    let left = rows(&store, SERVICE);
    let gone = FIRST.enquiry().to_string();
    assert!(left.iter().all(|row| !row.body.contains(&gone)), "{left:#?}");
    assert!(left.len() + 30 < before, "{} of {before}", left.len());
    assert!(left.iter().filter(|row| row.body.contains("settings_applied")).count() == 3);
    assert_eq!(reader.search(SERVICE, "umbrella", None, 10).unwrap().len(), 1);
    drop(reader);
    let after = dump(&store);
    store.close();
    assert_same(&rebuilt(home), &after);
}

async fn what_stood_on_pruned_records_still_stands(home: &Home) {
    let store = home.open();
    // Nothing after the closed enquiry restates its counters and its visitor.
    let tale = FIRST.whole();
    commit(&store, SERVICE, entries(1, &tale)).unwrap();
    store.archive().wait(SERVICE, tale.len() as u64).await.unwrap();
    let live = |store: &Store| {
        let mut states = Vec::new();
        store.archive().reader().unwrap().live(SERVICE, |state| states.push(state)).unwrap();
        states
    };
    let before = live(&store);
    assert!(before.len() >= 3, "{before:?}");
    assert_eq!(store.prune(SERVICE, late(), 10).unwrap().enquiries, 1);
    let after = dump(&store);
    assert_eq!(live(&store), before);
    store.close();
    assert_same(&rebuilt(home), &after);
    let store = home.open();
    assert_eq!(live(&store), before);
    let reader = store.archive().reader().unwrap();
    assert!(reader.visitor_by_wa_id(SERVICE, &FIRST.wa_id()).unwrap().is_some());
    assert_eq!(reader.bindings_to(SERVICE, crate::script::STAFF).unwrap().len(), 1);
    // The sequence goes on where it was.
    commit(&store, SERVICE, entries(tale.len() as u64 + 1, &SECOND.whole())).unwrap();
}

async fn pruning_in_steps_or_while_records_come_in_ends_the_same(home: &Home) {
    let store = home.open();
    told(&store).await;
    let (first, second) = (tale(), Cast(4).whole());
    let mut steps = 0;
    let prune_one = || {
        let of = |service| store.prune(service, late(), 1).unwrap().enquiries;
        of(SERVICE) == 1 || of(OTHER) == 1
    };
    while prune_one() {
        let seq = first.len() as u64 + 1 + steps;
        commit(&store, SERVICE, entries(seq, &second[usize::try_from(steps).unwrap()..][..1]))
            .unwrap();
        steps += 1;
    }
    assert_eq!(steps, 4);
    // Late words about what is gone have no effect.
    let seq = first.len() as u64 + 1 + steps;
    let late = [
        Event::ReceiptTaken {
            message: FIRST.message(1),
            delivery: usher_domain::message::Delivery::Played,
            participant: Some("85261111111".to_owned()),
            provider_at: NOON,
            code: None,
        },
        Event::WindowLapsed { enquiry: FIRST.enquiry(), by_provider: false },
    ]
    .map(|event| Record::new(NOON, event));
    commit(&store, SERVICE, entries(seq, &late)).unwrap();
    store.archive().wait(SERVICE, seq + 1).await.unwrap();
    let after = dump(&store);
    assert!(!after.contains("85261111111"), "{after}");
    store.close();
    assert_same(&rebuilt(home), &after);
}

#[tokio::test]
async fn the_file_of_a_pruned_message_goes_with_its_last_use() {
    for opened in [memory(), disk(), postgres()] {
        let store = &opened.store;
        let file = store.media().put(&b"a parcel"[..]).unwrap();
        for cast in [FIRST, SECOND] {
            let mut tale = cast.whole();
            for record in &mut tale {
                now_with_file(record, &file.sha256);
            }
            let seq = store.archive().reached(SERVICE).seq + 1;
            commit(store, SERVICE, entries(seq, &tale)).unwrap();
            store.archive().wait(SERVICE, seq + tale.len() as u64 - 1).await.unwrap();
        }
        assert_eq!(store.prune(SERVICE, late(), 1).unwrap().files, 0, "another message has it");
        assert!(store.media().get(&file.sha256).unwrap().is_some());
        assert_eq!(store.prune(SERVICE, late(), 1).unwrap().files, 1);
        assert!(store.media().get(&file.sha256).unwrap().is_none());
        assert_eq!(store.prune(SERVICE, late(), 1).unwrap().enquiries, 0);
        let reader = store.archive().reader().unwrap();
        assert_eq!(reader.last_closed(SERVICE, CHANNEL, FIRST.visitor()).unwrap(), None);
        assert_unchanged_by_projecting(&opened);
    }
}

async fn a_file_kept_long_enough_goes_and_its_room_says_so(home: &Home) {
    let store = home.open();
    let file = store.media().put(&b"a parcel"[..]).unwrap();
    let mut tale = FIRST.whole();
    for record in &mut tale {
        now_with_file(record, &file.sha256);
    }
    commit(&store, SERVICE, entries(1, &tale)).unwrap();
    store.archive().wait(SERVICE, tale.len() as u64).await.unwrap();
    let stored = tale.iter().find_map(|record| match &record.event {
        Event::MediaStored { media, message, .. } => Some((*media, message.unwrap(), record.at)),
        _ => None,
    });
    let (media, message, at) = stored.unwrap();
    let nothing = store.prune_media(SERVICE, at, 10).unwrap();
    assert_eq!(nothing, crate::Pruned::default(), "not yet");
    let pruned = store.prune_media(SERVICE, late(), 10).unwrap();
    assert_eq!((pruned.media, pruned.files, pruned.enquiries), (1, 1, 0));
    assert!(store.media().get(&file.sha256).unwrap().is_none());
    let reader = store.archive().reader().unwrap();
    assert_eq!(reader.media(SERVICE, media).unwrap(), None);
    let row = reader.message(SERVICE, message).unwrap().unwrap();
    assert_eq!(row.media_unavailable.as_deref(), Some("it is kept no longer"));
    let Content::Media(shown) = row.content else { panic!("{:?}", row.content) };
    assert_eq!(shown.file, None);
    drop(reader);
    let after = dump(&store);
    store.close();
    assert_same(&rebuilt(home), &after);
}

fn now_with_file(record: &mut Record, digest: &str) {
    if let Event::MediaStored { sha256, .. } = &mut record.event {
        digest.clone_into(sha256);
    }
}

/// What is left can still be read by service and by row.
fn assert_unchanged_by_projecting(opened: &Opened) {
    let left = rows(&opened.store, SERVICE);
    assert!(left.is_sorted_by_key(|row| row.seq) && left.is_sorted_by_key(|row| row.id));
    let head = opened.store.journal().reader().unwrap().last_seq(SERVICE).unwrap();
    assert_eq!(left.last().map(|row| row.seq), Some(head));
}

async fn an_erased_person_is_nowhere_any_more_and_a_rebuild_agrees(home: &Home) {
    let store = home.open();
    told(&store).await;
    let file = store.media().put(&b"a parcel"[..]).unwrap();
    let seq = tale().len() as u64 + 1;
    let said = [
        Event::MediaStored {
            media: usher_domain::ids::MediaId::from_number(77),
            message: Some(FIRST.message(2)),
            sha256: file.sha256.clone(),
            mime_type: "image/jpeg".to_owned(),
            bytes: 8,
            filename: Some("Ada.jpg".to_owned()),
        },
        Event::Quarantined {
            channel: CHANNEL,
            why: "no sender".to_owned(),
            raw: format!(r#"{{"from":"{}"}}"#, FIRST.wa_id()),
        },
    ]
    .map(|event| Record::new(NOON, event));
    commit(&store, SERVICE, entries(seq, &said)).unwrap();
    store.archive().wait(SERVICE, seq + 1).await.unwrap();

    let live = store.erase(SERVICE, Cast(3).visitor());
    assert!(matches!(live, Err(crate::StoreError::Live { .. })), "{live:?}");
    let unknown = store.erase(SERVICE, usher_domain::ids::VisitorId::from_number(5)).unwrap();
    assert_eq!(unknown, crate::Erased::default());
    let before = rows(&store, SERVICE).len();
    let erased = store.erase(SERVICE, FIRST.gone()).unwrap();
    assert!(erased.records >= 20 && erased.files == 1, "{erased:?}");
    assert_eq!(store.erase(SERVICE, FIRST.visitor()).unwrap(), crate::Erased::default());
    assert!(store.media().get(&file.sha256).unwrap().is_none());

    let left = rows(&store, SERVICE);
    assert_eq!(left.len(), before);
    let after = dump(&store);
    let of_service = format!("|{}|", hex::encode(SERVICE.uuid().into_bytes()));
    for secret in [FIRST.wa_id().as_str(), "HK.1\"", "wamid.1.first", "Ada.jpg"] {
        let told = left.iter().find(|row| row.body.contains(secret));
        assert_eq!(told, None, "{secret}");
        let mut shown = after.lines().filter(|line| line.contains(&of_service));
        assert_eq!(shown.find(|line| line.contains(secret)), None, "{secret}");
    }
    let enquiry = FIRST.enquiry().to_string();
    for text in ["parcel first", "umbrella", "Cantonese", "queued\"}", "the number"] {
        let theirs = left.iter().filter(|row| row.body.contains(&enquiry));
        assert_eq!(theirs.filter(|row| row.body.contains(text)).count(), 0, "{text}");
    }
    let reader = store.archive().reader().unwrap();
    let found = reader.search(SERVICE, "umbrella", None, 10).unwrap();
    assert_eq!(found.len(), 1, "the other one's");
    let row = reader.enquiry(SERVICE, FIRST.enquiry()).unwrap().unwrap();
    assert_eq!((row.messages, row.state.as_str()), (5, "closed"));
    let [first, photo] =
        [0, 2].map(|number| reader.message(SERVICE, FIRST.message(number)).unwrap().unwrap());
    assert_eq!(first.reactions.len(), 1, "ids still lead where they led");
    assert_eq!(photo.media_unavailable.as_deref(), Some(""));
    let number = FIRST.wa_id();
    let other = rows(&store, OTHER);
    let of_other = other.iter().map(|row| row.body.matches(&number).count()).sum::<usize>();
    // A database keeps what was overwritten until it cleans up by itself.
    if let Some(bytes) = home.journal_file() {
        let kept = bytes.windows(number.len()).filter(|part| *part == number.as_bytes()).count();
        assert_eq!(kept, of_other, "overwritten, not only unlinked");
    }
    drop(reader);
    store.close();
    assert_same(&rebuilt(home), &after);
}

macro_rules! over {
    ($($home:ident: $($test:ident)*;)*) => {$(
        mod $home {
            use super::Home;

            $(#[tokio::test]
            async fn $test() {
                super::$test(&Home::$home()).await;
            })*
        }
    )*};
}

over! {
    disk: a_pruned_enquiry_leaves_nothing_and_a_rebuild_agrees what_stood_on_pruned_records_still_stands pruning_in_steps_or_while_records_come_in_ends_the_same a_file_kept_long_enough_goes_and_its_room_says_so an_erased_person_is_nowhere_any_more_and_a_rebuild_agrees;
    postgres: a_pruned_enquiry_leaves_nothing_and_a_rebuild_agrees what_stood_on_pruned_records_still_stands pruning_in_steps_or_while_records_come_in_ends_the_same a_file_kept_long_enough_goes_and_its_room_says_so an_erased_person_is_nowhere_any_more_and_a_rebuild_agrees;
}
