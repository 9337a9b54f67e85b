//! What only a store in PostgreSQL can show: who owns a service, and what a lost server means.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use usher_domain::ids::ServiceId;
use usher_domain::record::Record;
use usher_tests::postgres::{Server, database, name_of, shared as server};

use crate::contract::{Home, commit, entries, reopen, shared, submit, tell};
use crate::postgres::{self, Own, Purpose};
use crate::script::{Cast, SERVICE};
use crate::sql::Id as _;
use crate::{
    CommitFailed, DataDir, Entry, Ownership, Postgres, Store, StoreError, StoreOptions, WhyNot,
    move_to_postgres,
};

const OTHER: ServiceId = ServiceId::from_number(99);

fn open(dir: &tempfile::TempDir, url: &str) -> Store {
    Store::open(dir.path(), shared(url)).unwrap()
}

fn dirs() -> [tempfile::TempDir; 2] {
    [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()]
}

#[tokio::test]
async fn the_archive_is_the_same_as_in_a_file_and_rebuilt_or_lost_it_is_again() {
    let (file, home) = (Home::disk(), Home::postgres());
    let dumps = [&file, &home].map(|home| async move {
        let store = home.open();
        for service in [SERVICE, OTHER] {
            let tales: Vec<_> = (1..4).flat_map(|number| Cast(number).whole()).collect();
            tell(&store, service, &tales).await;
        }
        store.archive().reader().unwrap().dump().unwrap()
    });
    let [in_file, in_postgres] = dumps;
    let (in_file, in_postgres) = (in_file.await, in_postgres.await);
    assert!(in_file.lines().count() > 300);
    assert_eq!(in_postgres, in_file);
    home.rebuild();
    assert_eq!(home.open().archive().reader().unwrap().dump().unwrap(), in_file);
}

#[tokio::test]
async fn an_archive_that_is_gone_or_of_another_version_is_made_anew() {
    let (dir, url) = (tempfile::tempdir().unwrap(), database());
    let store = open(&dir, &url);
    tell(&store, SERVICE, &Cast(9).whole()).await;
    let before = store.archive().reader().unwrap().dump().unwrap();
    store.close();
    for damage in [
        "UPDATE usher.archive SET version = 1; DELETE FROM usher_archive.messages",
        "DROP SCHEMA usher_archive CASCADE; DELETE FROM usher.archive",
        "DROP SCHEMA usher_archive CASCADE",
    ] {
        server().say(name_of(&url), damage);
        assert_eq!(open(&dir, &url).archive().reader().unwrap().dump().unwrap(), before);
    }
}

#[test]
fn a_second_process_makes_the_first_ones_commits_fail() {
    let ([one, other], url) = (dirs(), database());
    let tale = Cast(9).whole();
    let first = open(&one, &url);
    commit(&first, SERVICE, entries(1, &tale[..2])).unwrap();
    let second = open(&other, &url);
    let late = commit(&first, SERVICE, entries(3, &tale[2..3]));
    assert!(matches!(late, Err(CommitFailed::Superseded { epoch: 2 })), "{late:?}");
    let again = reopen(&first, SERVICE);
    assert!(matches!(again, Err(CommitFailed::Superseded { epoch: 2 })), "{again:?}");
    commit(&second, SERVICE, entries(3, &tale[2..])).unwrap();
    let rows = second.journal().reader().unwrap().read_after(SERVICE, 0, 1000).unwrap();
    assert!(rows.iter().map(|row| row.seq).eq(1..=tale.len() as u64));
    // A service that neither had is had by whoever is first.
    commit(&first, OTHER, entries(1, &tale[..1])).unwrap();
    let late = commit(&second, OTHER, entries(1, &tale[..1]));
    assert!(matches!(late, Err(CommitFailed::Superseded { .. })), "{late:?}");
}

#[test]
fn services_are_taken_over_one_by_one_and_others_go_on_in_the_same_batch() {
    let ([one, other], url) = (dirs(), database());
    let tale = Cast(9).whole();
    let first = open(&one, &url);
    for service in [SERVICE, OTHER] {
        assert_eq!(first.own(service, 0).unwrap(), 1);
        commit(&first, service, entries(1, &tale[..2])).unwrap();
    }
    let second = open(&other, &url);
    assert_eq!(second.own(SERVICE, 40).unwrap(), 40, "as high as is asked for");
    assert_eq!(first.own(OTHER, 0).unwrap(), 3, "always higher than it was");
    let fenced = submit(&first, SERVICE, entries(3, &tale[2..3]));
    let ours = submit(&first, OTHER, entries(3, &tale[2..3]));
    let fenced = fenced.recv().unwrap();
    assert!(matches!(fenced, Err(CommitFailed::Superseded { epoch: 40 })), "{fenced:?}");
    ours.recv().unwrap().unwrap();
    let reader = second.journal().reader().unwrap();
    assert_eq!((reader.last_seq(SERVICE).unwrap(), reader.last_seq(OTHER).unwrap()), (2, 3));
}

#[tokio::test]
async fn whoever_projects_beside_another_takes_no_record_twice() {
    let ([one, other], url) = (dirs(), database());
    let tale = Cast(9).whole();
    let first = open(&one, &url);
    commit(&first, SERVICE, entries(1, &tale[..3])).unwrap();
    let second = open(&other, &url);
    second.own(SERVICE, 0).unwrap();
    commit(&second, SERVICE, entries(4, &tale[3..])).unwrap();
    // Both bring the archive on; a message that is counted twice would show in the dump.
    for store in [&first, &second] {
        store.archive().hurry();
    }
    second.archive().wait(SERVICE, tale.len() as u64).await.unwrap();
    let shown = second.archive().reader().unwrap().dump().unwrap();
    first.close();
    second.close();
    let home = Home::disk();
    let store = home.open();
    commit(&store, SERVICE, entries(1, &tale)).unwrap();
    store.archive().wait(SERVICE, tale.len() as u64).await.unwrap();
    let without_rows = |dump: &str| {
        let messages = dump.lines().filter(|line| line.starts_with("enquiries|"));
        messages.map(str::to_owned).collect::<Vec<_>>()
    };
    let whole = store.archive().reader().unwrap().dump().unwrap();
    assert_eq!(without_rows(&shown), without_rows(&whole));
}

/// Commits eight records at a time; says so after the first eight.
fn until_one_fails(
    store: &Store,
    first: u64,
    begun: &SyncSender<()>,
    record: &[Record],
) -> Vec<Result<(), CommitFailed>> {
    let mut told = Vec::new();
    while told.iter().all(Result::is_ok) {
        let next = first + told.len() as u64;
        let under_way = (next..next + 8).map(|seq| submit(store, SERVICE, entries(seq, record)));
        let under_way: Vec<_> = under_way.collect();
        told.extend(under_way.into_iter().map(|outcome| outcome.recv().unwrap()));
        begun.try_send(()).ok();
    }
    told
}

/// Whatever was acknowledged is there after each of several kills in the midst of commits.
#[tokio::test]
async fn a_server_that_is_killed_loses_nothing_acknowledged_and_all_goes_on() {
    let mut server = Server::start();
    let (dir, url) = (tempfile::tempdir().unwrap(), server.database());
    let store = open(&dir, &url);
    let record = &Cast(9).whole()[..1];
    let (mut failed, mut next) = (0, 1);
    for _ in 0..3 {
        let (enough, so_far) = sync_channel(1);
        let told = thread::scope(|scope| {
            let busy = scope.spawn(|| until_one_fails(&store, next, &enough, record));
            so_far.recv().unwrap();
            server.kill();
            busy.join().unwrap()
        });
        let acknowledged =
            next - 1 + told.iter().take_while(|outcome| outcome.is_ok()).count() as u64;
        next += told.len() as u64;
        let lost = told.iter().filter(|outcome| {
            matches!(outcome, Err(CommitFailed::Storage(_) | CommitFailed::Refused))
        });
        failed += lost.count();
        let refused = commit(&store, SERVICE, entries(next, record));
        assert!(
            matches!(refused, Err(CommitFailed::Storage(_) | CommitFailed::Refused)),
            "{refused:?}"
        );
        let gone = reopen(&store, SERVICE);
        assert!(matches!(gone, Err(CommitFailed::Storage(_))), "{gone:?}");
        assert!(store.archive().reader().unwrap().position(SERVICE).is_err());
        server.start_again();
        let durable = reopen(&store, SERVICE).unwrap();
        assert!(durable >= acknowledged, "{durable} of {acknowledged}");
        next = durable + 1;
        commit(&store, SERVICE, entries(next, record)).unwrap();
        next += 1;
    }
    assert!(failed > 0, "no kill came in the midst of commits");
    let rows = store.journal().reader().unwrap().read_after(SERVICE, 0, 10_000).unwrap();
    assert!(rows.iter().map(|row| row.seq).eq(1..next));
    store.archive().wait(SERVICE, next - 1).await.unwrap();
    assert_eq!(store.archive().lag().records, 0);
}

/// Whoever was told that the archive is level builds on it, and nobody looks again.
#[tokio::test]
async fn a_server_that_is_killed_has_the_archive_as_it_was_told() {
    let mut server = Server::start();
    let (dir, url) = (tempfile::tempdir().unwrap(), server.database());
    let store = open(&dir, &url);
    let record = &Cast(9).whole()[..1];
    for next in 1..6 {
        commit(&store, SERVICE, entries(next, record)).unwrap();
        store.archive().wait(SERVICE, next).await.unwrap();
        server.kill();
        server.start_again();
        assert_eq!(reopen(&store, SERVICE).unwrap(), next);
        let position = store.archive().reader().unwrap().position(SERVICE).unwrap();
        assert_eq!(position.seq, next);
    }
}

#[tokio::test]
async fn a_text_that_postgresql_cannot_hold_stops_nothing() {
    let home = Home::postgres();
    let store = home.open();
    let mut tale = Cast(9).opening();
    for record in &mut tale {
        if let usher_domain::record::Event::MessageReceived(received) = &mut record.event {
            let body = format!("nul \0 {} {}", "é".repeat(3000), "x".repeat(9000));
            received.content = usher_domain::message::Content::Text { body };
        }
    }
    tell(&store, SERVICE, &tale).await;
    let reader = store.archive().reader().unwrap();
    assert!(!reader.search(SERVICE, "nul", None, 10).unwrap().is_empty());
    assert!(!store.archive().reached(SERVICE).stuck);
}

#[test]
fn words_are_found_without_their_accents() {
    let home = Home::postgres();
    let store = home.open();
    let mut tale = Cast(9).opening();
    for record in &mut tale {
        if let usher_domain::record::Event::MessageReceived(received) = &mut record.event {
            let body = "Grüße aus Besançon, ΑΘΗΝΑ".to_owned();
            received.content = usher_domain::message::Content::Text { body };
        }
    }
    commit(&store, SERVICE, entries(1, &tale)).unwrap();
    store.close();
    let reader = home.open().archive().reader().unwrap();
    for word in ["grusse", "GRÜSSE", "besancon", "Αθην"] {
        let found = reader.search(SERVICE, word, None, 10).unwrap().len();
        assert_eq!(found > 0, !word.contains("sse") && !word.contains("SSE"), "{word}");
    }
    assert!(!reader.search(SERVICE, "gruße", None, 10).unwrap().is_empty());
}

#[tokio::test]
async fn a_journal_is_moved_whole_into_an_empty_database_and_nowhere_else() {
    let (dir, url) = (tempfile::tempdir().unwrap(), database());
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    for service in [SERVICE, OTHER] {
        let tales: Vec<_> = (1..4).flat_map(|number| Cast(number).whole()).collect();
        tell(&store, service, &tales).await;
    }
    let before = store.archive().reader().unwrap().dump().unwrap();
    let next = store.archive().reached(SERVICE).seq + 1;
    store.close();
    let postgres = || Postgres::new(&url, None).unwrap();
    let locked = DataDir::lock(dir.path()).unwrap();
    let mut steps = 0;
    let moved = move_to_postgres(&locked, postgres(), |_| steps += 1).unwrap();
    assert_eq!((moved.services, moved.records), (2, 2 * (next - 1)));
    assert!(steps > 0 && moved.bytes > moved.records * 50);
    let again = move_to_postgres(&locked, postgres(), |_| ());
    assert!(matches!(again, Err(StoreError::NotEmpty)), "{again:?}");
    drop(locked);
    let store = open(&dir, &url);
    assert_eq!(store.archive().reader().unwrap().dump().unwrap(), before);
    let found = store.archive().reader().unwrap().search(OTHER, "umbrella", None, 10).unwrap();
    assert_eq!(found.len(), 3);
    // Both go on: the row numbers, too.
    commit(&store, SERVICE, entries(next, &Cast(9).whole())).unwrap();
}

#[test]
fn a_database_that_cannot_be_used_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    for (url, why) in [
        ("mysql://somewhere", WhyNot::Url),
        ("postgres://me:secret@localhost/db", WhyNot::Password),
        ("host=localhost user=me", WhyNot::Url),
    ] {
        let refused = Postgres::new(url, None);
        assert!(matches!(refused, Err(StoreError::Url(found)) if found == why), "{url}");
    }
    let url = database();
    open(&dir, &url).close();
    server().say(name_of(&url), "INSERT INTO usher.migrations (number) VALUES (1000)");
    let newer = Store::open(dir.path(), shared(&url));
    assert!(matches!(newer, Err(StoreError::Newer { found: 1000, .. })), "{newer:?}");
}

#[test]
fn records_that_wait_for_the_row_of_their_service_are_one_statement_afterwards() {
    let (dir, url) = (tempfile::tempdir().unwrap(), database());
    let store = open(&dir, &url);
    let entry = |seq| vec![Entry { seq, body: "{}".to_owned() }];
    commit(&store, SERVICE, entry(1)).unwrap();
    let before =
        server().say(name_of(&url), "SELECT xmin FROM usher.journal ORDER BY id DESC LIMIT 1");
    let told: Vec<_> = (2..200).map(|seq| submit(&store, SERVICE, entry(seq))).collect();
    for outcome in told {
        outcome.recv().unwrap().unwrap();
    }
    let transactions = server().say(
        name_of(&url),
        &format!(
            "SELECT count(DISTINCT xmin::text) FROM usher.journal WHERE xmin::text <> '{before}'"
        ),
    );
    let transactions: u32 = transactions.parse().unwrap();
    assert!((1..100).contains(&transactions), "{transactions} transactions for 198 records");
}

#[tokio::test]
async fn who_sleeps_in_the_middle_of_a_change_of_the_archive_holds_up_nobody_who_takes_over() {
    let (dirs, url) = (dirs(), database());
    let tale = Cast(9).whole();
    let first = open(&dirs[0], &url);
    commit(&first, SERVICE, entries(1, &tale)).unwrap();
    first.close();
    let asleep = asleep(&url);
    let (me, lease) = ("me".into(), Duration::from_secs(5));
    let ownership = Ownership::open(Postgres::new(&url, None).unwrap(), me, lease).unwrap();
    assert!(ownership.claim(SERVICE, 2, 1).await.unwrap());
    let options = StoreOptions { one_by_one: true, ..shared(&url) };
    let second = Store::open(dirs[1].path(), options).unwrap();
    second.take(SERVICE, 2).unwrap();
    asleep.wake();
}

/// Somebody who changes what is shown of the service, whom the server does not end by itself.
struct Asleep {
    ends: SyncSender<()>,
    thread: thread::JoinHandle<bool>,
}

impl Asleep {
    /// It has been cut off meanwhile.
    fn wake(self) {
        self.ends.send(()).unwrap();
        assert!(self.thread.join().unwrap(), "it could still change the archive");
    }
}

fn asleep(url: &str) -> Asleep {
    let server = postgres::Server::new(Postgres::new(url, None).unwrap()).unwrap();
    let (ends, ended) = sync_channel(0);
    let (begun, begins) = sync_channel(0);
    let thread = thread::spawn(move || {
        let own = Own::new(server, Purpose::Archive);
        let never = "SET idle_in_transaction_session_timeout = 0; SET statement_timeout = 0";
        own.with(|connection| connection.batch(never)).unwrap();
        let transaction = own.begin().unwrap();
        let sql = "UPDATE positions SET seq = seq WHERE service = ?1";
        own.with(|connection| connection.count(sql, [SERVICE.blob()])).unwrap();
        begun.send(()).unwrap();
        ended.recv().unwrap();
        transaction.commit().is_err()
    });
    begins.recv().unwrap();
    Asleep { ends, thread }
}
