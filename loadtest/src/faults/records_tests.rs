//! Who judges a round, before wrong that was planted in a real database: it has to be seen.

use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Instant;

use usher_domain::ids::{ChannelId, EnquiryId, MessageId, ServiceId, StaffId, VisitorId};
use usher_domain::message::{Author, Content, Counts};
use usher_domain::record::{Event, MessageQueued, MessageReceived, Record};
use usher_domain::time::Timestamp;
use usher_store::{Commit, CommitFailed, Entry, Postgres, Store, StoreOptions, encode};

use super::book::{Book, Fact};
use super::ground::Kind;
use super::postgres::Server;
use super::records::{Wrong, judge, watch};
use crate::drive::wire;
use crate::house::Sent;

const SERVICE: ServiceId = ServiceId::from_number(1);
const CHANNEL: ChannelId = ChannelId::from_number(2);
const VISITOR: VisitorId = VisitorId::from_number(3);

/// A node's way to the records.
fn node(server: &Server, name: &str, dir: &Path) -> Store {
    let postgres = Postgres::new(&server.url(name), None).unwrap();
    let options =
        StoreOptions { postgres: Some(postgres), in_step: true, ..StoreOptions::default() };
    let store = Store::open(dir, options).unwrap();
    store.own(SERVICE, 0).unwrap();
    store
}

fn commit(store: &Store, seq: u64, event: Event) -> Result<(), CommitFailed> {
    let (told, hears) = channel();
    let body = encode(&Record::new(Timestamp::default(), event));
    let done = Box::new(move |outcome| told.send(outcome).unwrap());
    let records = vec![Entry { seq, body }];
    store.journal().submit(Commit { service: SERVICE, records, done }).unwrap();
    hears.recv().unwrap()
}

fn opened(enquiry: u128) -> Event {
    let enquiry = EnquiryId::from_number(enquiry);
    Event::EnquiryOpened { enquiry, channel: CHANNEL, visitor: VISITOR }
}

fn received(message: u128, id: u64) -> Event {
    Event::MessageReceived(Box::new(MessageReceived {
        message: MessageId::from_number(message),
        channel: CHANNEL,
        visitor: VISITOR,
        enquiry: None,
        provider_id: wire::wamid(id),
        provider_at: Timestamp::default(),
        counts: Counts::Message,
        content: Content::Text { body: "Hello?".into() },
        reply_to: None,
        referral: None,
        forwarded: false,
    }))
}

fn queued(message: MessageId) -> Event {
    Event::MessageQueued(Box::new(MessageQueued {
        message,
        channel: CHANNEL,
        visitor: VISITOR,
        enquiry: None,
        author: Author::Staff { staff: StaffId::from_number(4) },
        content: Content::Text { body: "Yes.".into() },
        reply_to: None,
        reacts_to: None,
        key: None,
        withdraw_at: None,
    }))
}

/// A database on which two nodes have been, one after the other, and a book of what was promised: all
/// of it is right.
struct Scene {
    server: Server,
    first: Store,
    second: Store,
    book: Book,
    _dirs: [tempfile::TempDir; 2],
}

const PROMISED: MessageId = MessageId::from_number(20);

impl Scene {
    async fn new() -> Self {
        let server = Server::start(Kind::Loopback.place(1).unwrap(), false).await.unwrap();
        for name in ["node1", "node2"] {
            let role = format!("CREATE ROLE {name} LOGIN SUPERUSER");
            server.say("usher", &role).await.unwrap();
        }
        let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let first = node(&server, "node1", dirs[0].path());
        watch(&server).await.unwrap();
        // Whoever had claimed before the watch began is not known.
        first.own(SERVICE, 0).unwrap();
        commit(&first, 1, opened(10)).unwrap();
        commit(&first, 2, received(11, 0)).unwrap();
        let second = node(&server, "node2", dirs[1].path());
        commit(&second, 3, queued(PROMISED)).unwrap();
        let mut book = Book::default();
        book.write(Instant::now(), Fact::Acknowledged { id: 0 });
        book.write(Instant::now(), Fact::Promised { message: PROMISED.to_string() });
        book.sent(&sent("wamid.1"));
        Self { server, first, second, book, _dirs: dirs }
    }

    async fn judged(&self) -> Wrong {
        judge(&self.server, &self.book).await.unwrap()
    }

    async fn plant(&self, sql: &str) {
        self.server.say("usher", sql).await.unwrap();
    }
}

fn sent(wamid: &str) -> Sent {
    let (wa_id, text) = (wire::wa_id(1), "Reply a1-1.".to_owned());
    Sent { channel: 0, wa_id, wamid: wamid.to_owned(), callback_data: None, text }
}

#[tokio::test]
async fn what_is_right_is_found_right_and_a_refusal_is_nothing_wrong() {
    let scene = Scene::new().await;
    let refused = commit(&scene.first, 3, received(12, 1)).unwrap_err();
    assert!(matches!(refused, CommitFailed::Superseded { .. }), "{refused:?}");
    assert_eq!(scene.judged().await, Wrong::default());
}

#[tokio::test]
async fn what_is_there_twice_is_seen() {
    let mut scene = Scene::new().await;
    commit(&scene.second, 4, received(12, 0)).unwrap();
    assert_eq!(scene.judged().await, Wrong { doubled: 1, ..Wrong::default() }, "a message");
    commit(&scene.second, 5, opened(13)).unwrap();
    assert_eq!(scene.judged().await, Wrong { doubled: 2, ..Wrong::default() }, "an enquiry");
    scene.book.sent(&sent("wamid.2"));
    assert_eq!(scene.judged().await, Wrong { doubled: 3, ..Wrong::default() }, "a reply");
}

#[tokio::test]
async fn what_is_not_there_is_seen() {
    let mut scene = Scene::new().await;
    scene.book.write(Instant::now(), Fact::Acknowledged { id: 77 });
    assert_eq!(scene.judged().await, Wrong { lost: 1, ..Wrong::default() }, "a message");
    let message = MessageId::from_number(78).to_string();
    scene.book.write(Instant::now(), Fact::Promised { message });
    assert_eq!(scene.judged().await, Wrong { lost: 2, ..Wrong::default() }, "a reply");
}

#[tokio::test]
async fn what_somebody_commits_whose_service_it_was_is_seen() {
    let scene = Scene::new().await;
    let writes = "UPDATE usher.heads SET seq = seq + 1";
    scene.plant(&format!("SET SESSION AUTHORIZATION node2; {writes}")).await;
    assert_eq!(scene.judged().await, Wrong::default(), "it is the second one's");
    scene.plant(&format!("SET SESSION AUTHORIZATION node1; {writes}")).await;
    assert_eq!(scene.judged().await, Wrong { stale: 1, ..Wrong::default() }, "under its epoch");
    // An epoch that falls back to the one that was the first one's.
    scene.plant("SET SESSION AUTHORIZATION node1; UPDATE usher.heads SET epoch = epoch - 1").await;
    scene.plant(&format!("SET SESSION AUTHORIZATION node1; {writes}")).await;
    assert_eq!(scene.judged().await, Wrong { stale: 2, ..Wrong::default() }, "under its own");
}
