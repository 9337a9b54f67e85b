//! What every store must do; each one is run through the same tests.

use std::sync::mpsc::{Receiver, channel};

use usher_domain::ids::{ServiceId, StaffId, VisitorId};
use usher_domain::message::{Author, Delivery};
use usher_domain::record::{After, Event, Record};

use crate::script::{CHANNEL, Cast, NOON, OTHER, SERVICE, STAFF};
use crate::{
    AsideKind, Commit, CommitFailed, Cursor, DataDir, EnquiryFilter, Entry, OutboxFilter,
    OutboxState, Postgres, RoomEntry, SeenIds, Span, Store, StoreOptions, encode, rebuild,
};

/// A store and, where it is on disk, the directory it lives in.
pub(crate) struct Opened {
    pub(crate) store: Store,
    _dir: Option<tempfile::TempDir>,
}

pub(crate) fn memory() -> Opened {
    Opened { store: Store::memory().unwrap(), _dir: None }
}

pub(crate) fn disk() -> Opened {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    Opened { store, _dir: Some(dir) }
}

/// In a database of its own.
pub(crate) fn postgres() -> Opened {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), shared(&usher_tests::postgres::database())).unwrap();
    Opened { store, _dir: Some(dir) }
}

/// Where a store lives that is opened more than once.
pub(crate) struct Home {
    dir: tempfile::TempDir,
    url: Option<String>,
}

impl Home {
    pub(crate) fn disk() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), url: None }
    }

    pub(crate) fn postgres() -> Self {
        Self { url: Some(usher_tests::postgres::database()), ..Self::disk() }
    }

    pub(crate) fn open(&self) -> Store {
        let options = self.url.as_deref().map_or_else(StoreOptions::default, shared);
        Store::open(self.dir.path(), options).unwrap()
    }

    pub(crate) fn rebuild(&self) {
        let postgres = self.url.as_deref().map(|url| Postgres::new(url, None).unwrap());
        rebuild(&DataDir::lock(self.dir.path()).unwrap(), postgres).unwrap();
    }

    pub(crate) fn journal_file(&self) -> Option<Vec<u8>> {
        self.url.is_none().then(|| std::fs::read(self.dir.path().join("journal.db")).unwrap())
    }
}

/// Options of a store whose records are kept at `url`.
pub(crate) fn shared(url: &str) -> StoreOptions {
    let postgres = Some(Postgres::new(url, None).unwrap());
    StoreOptions { postgres, ..StoreOptions::default() }
}

pub(crate) fn entries(first: u64, records: &[Record]) -> Vec<Entry> {
    (first..).zip(records).map(|(seq, record)| Entry { seq, body: encode(record) }).collect()
}

/// Submits and says where the outcome will be.
pub(crate) fn submit(
    store: &Store,
    service: ServiceId,
    records: Vec<Entry>,
) -> Receiver<Result<(), CommitFailed>> {
    let (outcome, told) = channel();
    let done = Box::new(move |result| outcome.send(result).unwrap());
    store.journal().submit(Commit { service, records, done }).unwrap();
    told
}

pub(crate) fn commit(
    store: &Store,
    service: ServiceId,
    records: Vec<Entry>,
) -> Result<(), CommitFailed> {
    submit(store, service, records).recv().unwrap()
}

pub(crate) fn reopen(store: &Store, service: ServiceId) -> Result<u64, CommitFailed> {
    let (outcome, told) = channel();
    store.journal().reopen(service, Box::new(move |result| outcome.send(result).unwrap()));
    told.recv().unwrap()
}

/// Commits records one by one from sequence 1 and waits for the archive.
pub(crate) async fn tell(store: &Store, service: ServiceId, records: &[Record]) {
    for entry in entries(1, records) {
        commit(store, service, vec![entry]).unwrap();
    }
    store.archive().wait(service, records.len() as u64).await.unwrap();
}

const CAST: Cast = Cast(9);

macro_rules! store_contract {
    ($name:ident) => {
        mod $name {
            use super::*;

            fn open() -> Opened {
                super::$name()
            }

            #[test]
            fn keeps_what_it_acknowledged_in_order() {
                let opened = open();
                let store = &opened.store;
                let (one, two) = (SERVICE, ServiceId::from_number(99));
                let story = CAST.whole();
                commit(store, one, entries(1, &story[..3])).unwrap();
                commit(store, two, entries(1, &story[..2])).unwrap();
                commit(store, one, entries(4, &story[3..])).unwrap();
                let reader = store.journal().reader().unwrap();
                let read = reader.read_after(one, 0, 1000).unwrap();
                let bodies: Vec<Entry> = read
                    .into_iter()
                    .map(|row| Entry { seq: row.seq, body: row.body })
                    .collect();
                assert_eq!(bodies, entries(1, &story));
                assert_eq!(reader.last_seq(one).unwrap(), story.len() as u64);
                assert_eq!(reader.last_seq(ServiceId::from_number(7)).unwrap(), 0);
                let page = reader.read_after(one, 2, 2).unwrap();
                assert_eq!(page.iter().map(|row| row.seq).collect::<Vec<_>>(), [3, 4]);
                let mut services = reader.services().unwrap();
                services.sort();
                assert_eq!(services, [(one, story.len() as u64), (two, 2)]);
            }

            #[test]
            fn refuses_gaps_and_overlaps_until_reopened() {
                let opened = open();
                let store = &opened.store;
                let story = CAST.whole();
                commit(store, SERVICE, entries(1, &story[..2])).unwrap();
                for (wrong, found) in [(2, 2), (4, 4)] {
                    let outcome = commit(store, SERVICE, entries(wrong, &story[..1]));
                    assert!(
                        matches!(outcome, Err(CommitFailed::Conflict { expected: 3, found: at })
                            if at == found),
                        "{outcome:?}"
                    );
                    let next = commit(store, SERVICE, entries(3, &story[..1]));
                    assert!(matches!(next, Err(CommitFailed::Refused)), "{next:?}");
                    commit(store, ServiceId::from_number(found.into()), entries(1, &story[..1]))
                        .unwrap();
                    assert_eq!(reopen(store, SERVICE).unwrap(), 2);
                }
                commit(store, SERVICE, entries(3, &story[..1])).unwrap();
            }

            #[test]
            fn an_empty_commit_is_a_fence_and_a_closed_store_refuses() {
                let opened = open();
                let store = &opened.store;
                commit(store, SERVICE, Vec::new()).unwrap();
                store.journal().close();
                let outcome = commit(store, SERVICE, entries(1, &CAST.whole()));
                assert!(matches!(outcome, Err(CommitFailed::Closed)), "{outcome:?}");
                assert!(matches!(reopen(store, SERVICE), Err(CommitFailed::Closed)));
            }

            #[tokio::test]
            async fn visitors_are_found_by_every_id_and_merges_move_what_was_theirs() {
                let opened = open();
                tell(&opened.store, SERVICE, &CAST.whole()).await;
                let reader = opened.store.archive().reader().unwrap();
                let person = *CAST.person(Some(&CAST.wa_id()));
                let by_wa_id = reader.visitor_by_wa_id(SERVICE, &CAST.wa_id()).unwrap();
                assert_eq!(by_wa_id.as_ref(), Some(&person));
                assert_eq!(reader.visitor_by_user_id(SERVICE, "HK.9").unwrap(), by_wa_id);
                assert_eq!(reader.visitor(SERVICE, CAST.gone()).unwrap(), by_wa_id);
                assert_eq!(reader.visitor(SERVICE, VisitorId::from_number(1)).unwrap(), None);
                let other = ServiceId::from_number(99);
                assert_eq!(reader.visitor_by_wa_id(other, &CAST.wa_id()).unwrap(), None);
                assert_eq!(reader.bindings_to(SERVICE, STAFF).unwrap().len(), 1);
                // The gone one's binding gave way to what the kept one was restated with.
                assert_eq!(reader.bindings_to(SERVICE, OTHER).unwrap(), []);
                let enquiry = reader.enquiry(SERVICE, CAST.enquiry()).unwrap().unwrap();
                assert_eq!(enquiry.visitor, CAST.visitor());
            }

            #[tokio::test]
            async fn a_closed_enquiry_is_listed_with_all_that_is_asked_of_it() {
                let opened = open();
                tell(&opened.store, SERVICE, &CAST.whole()).await;
                let reader = opened.store.archive().reader().unwrap();
                let row = reader.enquiry(SERVICE, CAST.enquiry()).unwrap().unwrap();
                assert_eq!(row.state, "closed");
                assert_eq!((row.owner, row.bucket.as_deref()), (Some(STAFF), Some("north")));
                assert_eq!((row.first_message, row.messages), (Some(CAST.message(0)), 5));
                assert_eq!(row.labels, ["parcel"]);
                assert!(row.picked_up_at < row.missed_at && row.missed_at < row.closed_at);
                let filter = EnquiryFilter {
                    state: Some("closed".to_owned()),
                    owner: Some(STAFF),
                    channel: Some(CHANNEL),
                    ..EnquiryFilter::default()
                };
                assert_eq!(reader.enquiries(SERVICE, &filter, 10).unwrap(), std::slice::from_ref(&row));
                let before = EnquiryFilter { before: Some(row.opened_seq), ..filter };
                assert_eq!(reader.enquiries(SERVICE, &before, 10).unwrap(), []);
                assert_eq!(reader.earlier(SERVICE, CAST.visitor(), None, 9).unwrap().len(), 1);
                let closed = reader.last_closed(SERVICE, CHANNEL, CAST.visitor()).unwrap();
                assert_eq!(closed.unwrap().owner, Some(STAFF));
                assert_eq!(reader.decisions(SERVICE, CAST.enquiry()).unwrap().len(), 1);
                let live = count_live(&reader);
                assert_eq!(live, ["attendance", "draws", "seat"], "nothing of a closed enquiry is live");
            }

            #[tokio::test]
            async fn live_states_and_the_outbox_are_what_a_restart_needs() {
                let opened = open();
                tell(&opened.store, SERVICE, &CAST.opening()).await;
                let reader = opened.store.archive().reader().unwrap();
                assert_eq!(count_live(&reader), ["enquiry", "draws", "place", "seat"]);
                let mut unsent = Vec::new();
                reader.unsent(SERVICE, |message| unsent.push(message)).unwrap();
                let [message] = &unsent[..] else { panic!("{unsent:?}") };
                assert_eq!((message.attempts, message.sending), (1, true));
                assert_eq!(message.identities.wa_id.as_deref(), Some(CAST.wa_id().as_str()));
                let row = reader.enquiry(SERVICE, CAST.enquiry()).unwrap().unwrap();
                assert_eq!((row.state.as_str(), row.owner), ("ongoing", Some(STAFF)));
            }

            #[tokio::test]
            async fn a_room_is_paged_in_stored_order() {
                let opened = open();
                tell(&opened.store, SERVICE, &CAST.whole()).await;
                let reader = opened.store.archive().reader().unwrap();
                let page = |cursor, limit| {
                    let page = reader.room(SERVICE, CAST.enquiry(), cursor, limit).unwrap();
                    page.iter().map(RoomEntry::seq).collect::<Vec<_>>()
                };
                let whole = page(Cursor::After(0), 1000);
                assert!(whole.is_sorted() && whole.len() > 20, "{whole:?}");
                let end = whole.len();
                assert_eq!(page(Cursor::Latest, 7), whole[end - 7..]);
                assert_eq!(page(Cursor::Before(whole[end - 7]), 5), whole[end - 12..end - 7]);
                assert_eq!(page(Cursor::After(whole[3]), 4), whole[4..8]);
                let thread = (CHANNEL, CAST.visitor());
                let messages = reader.thread(SERVICE, thread, Cursor::After(0), 100).unwrap();
                assert_eq!(messages.len(), 5, "a reaction is no message");
                let members = reader.room_members(SERVICE, CAST.enquiry()).unwrap();
                assert!(members[0].left_at.is_some());
            }

            #[tokio::test]
            async fn deliveries_move_forward_only_and_edits_reactions_files_show() {
                let opened = open();
                tell(&opened.store, SERVICE, &CAST.whole()).await;
                let reader = opened.store.archive().reader().unwrap();
                let author = Author::Staff { staff: STAFF };
                let ours = reader.message_by_key(SERVICE, &author, "key-9-1").unwrap().unwrap();
                assert_eq!(ours.delivery, Some(Delivery::Read), "delivered came after read");
                assert_eq!(ours.participants[0].delivery, Delivery::Delivered);
                assert_eq!(ours.provider_id, Some(CAST.wamid("ours")));
                let other = Author::Staff { staff: StaffId::from_number(1) };
                assert_eq!(reader.message_by_key(SERVICE, &other, "key-9-1").unwrap(), None);
                let first =
                    reader.message_by_provider_id(SERVICE, &CAST.wamid("first")).unwrap().unwrap();
                assert!(first.edited_at.is_some() && first.original.is_some());
                assert_eq!(first.reactions.len(), 1, "the second took the first's place");
                assert_eq!(first.reactions[0].emoji, "👍");
                let photo = reader.message(SERVICE, CAST.message(2)).unwrap().unwrap();
                assert!(photo.revoked_at.is_some() && photo.media_unavailable.is_none());
                let content = crate::sql::json(&photo.content);
                assert!(content.contains(&CAST.media().to_string()), "{content}");
                let media = reader.media(SERVICE, CAST.media()).unwrap().unwrap();
                assert_eq!((media.bytes, media.message), (1000, Some(CAST.message(2))));
                let lost = reader.message(SERVICE, CAST.message(6)).unwrap().unwrap();
                assert_eq!(lost.delivery, Some(Delivery::Unknown));
                let mut unsent = 0;
                reader.unsent(SERVICE, |_| unsent += 1).unwrap();
                assert_eq!(unsent, 0);
            }

            #[tokio::test]
            async fn figures_are_made_from_what_was_opened_in_a_span() {
                let opened = open();
                tell(&opened.store, SERVICE, &CAST.whole()).await;
                let reader = opened.store.archive().reader().unwrap();
                let at = reader.enquiry(SERVICE, CAST.enquiry()).unwrap().unwrap().opened_at;
                let after = at + std::time::Duration::from_millis(1);
                let span = Span { from: at, until: after };
                assert_eq!(reader.opened_in(SERVICE, span).unwrap(), 1);
                let mut rows = Vec::new();
                reader.each_opened_in(SERVICE, span, |row| rows.push(row)).unwrap();
                let [row] = &rows[..] else { panic!("{rows:?}") };
                assert!(row.is_closed && row.closer.is_some() && row.decisions.len() == 1);
                let picked = reader.pick_ups_in(SERVICE, span).unwrap();
                assert!(picked.iter().any(|(staff, n)| *staff == STAFF && *n > 0), "{picked:?}");
                let later = Span { from: after, until: after + std::time::Duration::from_secs(9) };
                assert_eq!(reader.opened_in(SERVICE, later).unwrap(), 0);
                assert_eq!(reader.pick_ups_in(SERVICE, later).unwrap(), []);
                let live = reader.live_by_state(SERVICE).unwrap();
                assert!(live.iter().all(|(_, n)| *n == 0), "{live:?}");
            }

            #[tokio::test]
            async fn what_has_not_gone_out_is_listed_by_its_state() {
                let opened = open();
                tell(&opened.store, SERVICE, &CAST.whole()).await;
                let reader = opened.store.archive().reader().unwrap();
                let listed = |state, of, before| {
                    let filter = OutboxFilter { state, of, before };
                    let rows = reader.outbox(SERVICE, filter, 10).unwrap();
                    rows.iter().map(|row| (row.state, row.message.id)).collect::<Vec<_>>()
                };
                let all = listed(None, None, None);
                assert!(all.len() >= 2 && all.is_sorted_by(|a, b| a.1 > b.1), "{all:?}");
                let unknown = listed(Some(OutboxState::Unknown), None, None);
                assert_eq!(unknown.len(), 1, "{unknown:?}");
                assert!(all.contains(&unknown[0]));
                assert_eq!(listed(Some(OutboxState::Waiting), None, None), []);
                assert_eq!(listed(None, None, Some(all[0].1)), all[1..]);
                assert_eq!(listed(None, Some(StaffId::from_number(99)), None), []);
            }

            #[tokio::test]
            async fn words_are_found_as_they_stand_now() {
                let opened = open();
                tell(&opened.store, SERVICE, &CAST.whole()).await;
                let reader = opened.store.archive().reader().unwrap();
                let found = |text: &str| reader.search(SERVICE, text, None, 10).unwrap().len();
                assert_eq!(found("umbrella where"), 1);
                assert_eq!(found("umbr"), 1, "the last word may be unfinished");
                assert_eq!(found("grusse"), 0, "edited away");
                assert_eq!(found("parcel"), 0, "edited away, and deleted");
                assert_eq!(found("\" OR text:*"), 0, "nothing in it is an operator");
                assert_eq!(found(" ' "), 0);
                let other = ServiceId::from_number(99);
                assert_eq!(reader.search(other, "umbrella", None, 10).unwrap(), []);
            }

            #[tokio::test]
            async fn what_belongs_to_nobody_is_kept_and_sessions_settings_are_found() {
                let opened = open();
                tell(&opened.store, SERVICE, &CAST.whole()).await;
                let reader = opened.store.archive().reader().unwrap();
                for kind in [
                    AsideKind::UnmatchedReceipt,
                    AsideKind::UnknownNumber,
                    AsideKind::Quarantined,
                    AsideKind::ProviderNotice,
                ] {
                    let rows = reader.aside(SERVICE, kind, None, 10).unwrap();
                    assert_eq!(rows.len(), 1, "{kind:?}");
                    assert_eq!(reader.aside(SERVICE, kind, Some(rows[0].seq), 10).unwrap(), []);
                }
                let session = reader.session_by_token("token-9").unwrap().unwrap();
                assert_eq!((session.service, session.staff), (SERVICE, STAFF));
                assert!(session.ended_at.is_some());
                assert_eq!(reader.sessions(SERVICE, NOON).unwrap(), []);
                assert_eq!(reader.settings(SERVICE).unwrap().unwrap().settings, "{}");
                assert_eq!(reader.templates(SERVICE).unwrap()[0].templates, "[]");
                assert_eq!(reader.numbers(SERVICE).unwrap()[0].0, CHANNEL);
            }

            #[tokio::test]
            async fn an_id_is_seen_from_its_commit_on() {
                let opened = open();
                let reader = opened.store.archive().reader().unwrap();
                let dir = opened.store.dir();
                let mut seen = SeenIds::load(dir, SERVICE, NOON, &reader).unwrap();
                assert!(!seen.check(&CAST.wamid("first"), NOON, &reader).unwrap());
                seen.note(&CAST.wamid("first"), 6, NOON);
                assert!(seen.check(&CAST.wamid("first"), NOON, &reader).unwrap());
                tell(&opened.store, SERVICE, &CAST.whole()).await;
                seen.projected(opened.store.archive().reached(SERVICE));
                assert_eq!(seen.size().0, 0);
                assert!(reader.is_seen(SERVICE, &CAST.wamid("ours")).unwrap());
                for name in ["first", "edit", "heart", "system"] {
                    assert!(reader.is_seen(SERVICE, &CAST.wamid(name)).unwrap(), "{name}");
                    assert!(seen.check(&CAST.wamid(name), NOON, &reader).unwrap(), "{name}");
                }
                assert!(!seen.check("wamid.new", NOON, &reader).unwrap());
            }

            #[tokio::test]
            async fn a_message_that_is_journaled_twice_is_there_once_and_nothing_stops() {
                let opened = open();
                let (store, story) = (&opened.store, CAST.opening());
                tell(store, SERVICE, &story).await;
                let rows = |store: &Store| {
                    let reader = store.archive().reader().unwrap();
                    reader.room(SERVICE, CAST.enquiry(), Cursor::Latest, 100).unwrap().len()
                };
                let (before, end) = (rows(store), story.len() as u64);
                let said = story.iter().filter(|it| matches!(it.event, Event::MessageReceived(_)));
                let again: Vec<Record> = said.cloned().collect();
                assert!(!again.is_empty());
                commit(store, SERVICE, entries(end + 1, &again)).unwrap();
                store.archive().wait(SERVICE, end + again.len() as u64).await.unwrap();
                assert_eq!(rows(store), before);
            }

            #[tokio::test]
            async fn a_record_that_cannot_be_read_stops_its_service_only() {
                let opened = open();
                let store = &opened.store;
                let other = ServiceId::from_number(99);
                let story = CAST.whole();
                let bad = Entry { seq: 2, body: r#"{"v":1,"at":1,"what":{"event":"nothing"}}"#.to_owned() };
                let mut records = entries(1, &story[..1]);
                records.push(bad);
                records.extend(entries(3, &story[2..4]));
                commit(store, SERVICE, records).unwrap();
                tell(store, other, &story).await;
                let stuck = store.archive().wait(SERVICE, 3).await;
                assert_eq!(stuck, Err(crate::Stuck::At { after: 1 }));
                assert!(store.archive().reached(SERVICE).stuck);
                assert_eq!(store.archive().lag().records, 0);
            }
        }
    };
}

store_contract!(memory);
store_contract!(disk);
store_contract!(postgres);

/// The kinds of what is live, each once.
fn count_live(reader: &crate::ArchiveReader) -> Vec<&'static str> {
    let mut kinds = Vec::new();
    reader
        .live(SERVICE, |live| {
            kinds.push(match live.state {
                After::Place { .. } => "place",
                After::Enquiry { .. } => "enquiry",
                After::Talk { .. } => "talk",
                After::Seat { .. } => "seat",
                After::Attendance { .. } => "attendance",
                After::Draws { .. } => "draws",
            });
        })
        .unwrap();
    kinds.dedup();
    kinds
}
