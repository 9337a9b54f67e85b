//! Two nodes, each with services of its own, and services that go from one to the other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use usher_domain::ids::ServiceId;
use usher_domain::record::Record;
use usher_tests::postgres::{database, name_of, shared as server};

use crate::contract::{commit, entries, reopen, shared, submit};
use crate::postgres::{self, Own, Purpose};
use crate::script::{Cast, NOON};
use crate::sql::Id as _;
use crate::{
    CommitFailed, DataDir, DbError, Lag, Ownership, Postgres, Reached, Store, StoreError,
    StoreOptions, Stuck, rebuild,
};

const NORTHS: ServiceId = ServiceId::from_number(1);
const SOUTHS: ServiceId = ServiceId::from_number(2);
const MOVES: ServiceId = ServiceId::from_number(3);

struct Nodes {
    url: String,
    north: Store,
    south: Store,
    ownership: Ownership,
    _dirs: [TempDir; 2],
}

impl Nodes {
    fn new() -> Self {
        let url = database();
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let open = |dir: &TempDir| {
            Store::open(dir.path(), StoreOptions { one_by_one: true, ..shared(&url) }).unwrap()
        };
        // At once, as nodes are started: one makes what both need.
        let (north, south) = thread::scope(|threads| {
            let south = threads.spawn(|| open(&dirs[1]));
            (open(&dirs[0]), south.join().unwrap())
        });
        let lease = Duration::from_secs(5);
        let ownership =
            Ownership::open(Postgres::new(&url, None).unwrap(), "me".into(), lease).unwrap();
        Self { url, north, south, ownership, _dirs: dirs }
    }

    async fn claim(&self, service: ServiceId) -> u64 {
        let epoch = self.ownership.standing(service).await.unwrap().epoch;
        assert!(self.ownership.claim(service, epoch + 1, epoch).await.unwrap());
        epoch + 1
    }

    async fn give(&self, service: ServiceId, to: &Store) {
        to.take(service, self.claim(service).await).unwrap();
    }

    /// Closes both; the archive is what the journal says, record by record.
    fn compare(self) {
        let Self { url, north, south, _dirs: dirs, .. } = self;
        for store in [&north, &south] {
            let reader = store.journal().reader().unwrap();
            for (service, last) in reader.services().unwrap() {
                let rows = reader.read_after(service, 0, 100_000).unwrap();
                let seqs: Vec<u64> = rows.iter().map(|row| row.seq).collect();
                assert_eq!(seqs, (1..=last).collect::<Vec<_>>(), "{service}");
            }
        }
        north.close();
        south.close();
        let dir = tempfile::tempdir().unwrap();
        let dump = || {
            let store =
                Store::open(dir.path(), StoreOptions { one_by_one: true, ..shared(&url) }).unwrap();
            store.archive().reader().unwrap().dump().unwrap()
        };
        let shown = dump();
        let postgres = Some(Postgres::new(&url, None).unwrap());
        rebuild(&DataDir::lock(dir.path()).unwrap(), postgres).unwrap();
        assert_eq!(shown, dump());
        drop(dirs);
    }
}

fn tales(count: u64) -> Vec<Record> {
    (1..=count).flat_map(|number| Cast(number.into()).whole()).collect()
}

/// Tells of a service from where it stands until it is told to end or refused; how far it was told that
/// all is durable.
fn tell_on(store: &Store, service: ServiceId, tale: &[Record], end: &AtomicBool) -> u64 {
    let mut last = reopen(store, service).unwrap();
    while !end.load(Ordering::Relaxed) && last < tale.len() as u64 {
        let next = usize::try_from(last).unwrap();
        let some = &tale[next..(next + 7).min(tale.len())];
        match commit(store, service, entries(last + 1, some)) {
            Ok(()) => last += some.len() as u64,
            Err(
                CommitFailed::NotHere | CommitFailed::Superseded { .. } | CommitFailed::Refused,
            ) => return last,
            Err(other) => panic!("{other:?}"),
        }
    }
    last
}

#[tokio::test]
async fn a_service_goes_to_and_fro_under_load_and_nothing_is_lost_doubled_or_shown_twice() {
    let nodes = Nodes::new();
    let Nodes { north, south, .. } = &nodes;
    nodes.give(NORTHS, north).await;
    nodes.give(SOUTHS, south).await;
    let (tale, end) = (&tales(60), &AtomicBool::new(false));
    thread::scope(|threads| {
        let stay = [(north, NORTHS), (south, SOUTHS)]
            .map(|(store, service)| threads.spawn(move || tell_on(store, service, tale, end)));
        let nodes = &nodes;
        threads.spawn(move || {
            let moved = (0..6).fold(0, |known, round| goes_on(nodes, round, tale, known));
            assert!(moved > 0);
            end.store(true, Ordering::Relaxed);
        });
        for stays in stay {
            assert!(stays.join().unwrap() > 0, "others go on");
        }
    });
    for (store, service) in [(north, NORTHS), (south, SOUTHS)] {
        let last = store.journal().reader().unwrap().last_seq(service).unwrap();
        store.archive().wait(service, last).await.unwrap();
        assert_eq!(store.archive().lag(), Lag::default(), "what has left is not waited for");
    }
    nodes.compare();
}

/// The service comes to the one node and leaves it in the middle; how far it was acknowledged at least.
fn goes_on(nodes: &Nodes, round: u32, tale: &[Record], known: u64) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let Nodes { north, south, .. } = nodes;
    let (here, there) = if round.is_multiple_of(2) { (north, south) } else { (south, north) };
    let epoch = runtime.block_on(nodes.claim(MOVES));
    here.take(MOVES, epoch).unwrap();
    let shown = here.archive().reader().unwrap().position(MOVES).unwrap();
    assert_eq!(shown, here.archive().reached(MOVES));
    assert!(shown.seq >= known, "what was durable is shown");
    assert_eq!(there.archive().reached(MOVES), Reached::default());
    let known = in_the_middle(here, tale, known, || {
        if round % 3 == 2 {
            // Another is quicker, and this one hears of it by a commit.
            runtime.block_on(nodes.claim(MOVES));
        } else {
            here.leave(MOVES);
        }
    });
    let late = commit(here, MOVES, entries(known + 1, &tale[..1]));
    assert!(late.is_err(), "it is nobody's here");
    here.leave(MOVES);
    here.leave(MOVES);
    let waited = runtime.block_on(here.archive().wait(MOVES, 1_000_000));
    assert_eq!(waited, Err(Stuck::NotHere));
    known
}

/// Does something while the service is told on; how far it was acknowledged at least.
fn in_the_middle(store: &Store, tale: &[Record], known: u64, what: impl FnOnce()) -> u64 {
    let never = AtomicBool::new(false);
    let at_least = reopen(store, MOVES).unwrap() + 20;
    thread::scope(|threads| {
        let telling = threads.spawn(|| tell_on(store, MOVES, tale, &never));
        let reader = store.journal().reader().unwrap();
        while reader.last_seq(MOVES).unwrap() < at_least {
            thread::yield_now();
        }
        what();
        telling.join().unwrap().max(known)
    })
}

#[tokio::test]
async fn who_has_left_a_service_refuses_without_asking_and_what_was_submitted_before_is_shown() {
    let nodes = Nodes::new();
    let north = &nodes.north;
    nodes.give(MOVES, north).await;
    let tale = tales(4);
    let told: Vec<_> = (1..)
        .zip(&tale)
        .map(|(seq, record)| submit(north, MOVES, entries(seq, std::slice::from_ref(record))))
        .collect();
    north.leave(MOVES);
    for outcome in told {
        outcome.recv().unwrap().unwrap();
    }
    let shown = north.archive().reader().unwrap().position(MOVES).unwrap();
    assert_eq!(shown.seq, tale.len() as u64);
    // Whoever asked for its row now would wait, and fail otherwise.
    let own = Own::new(
        postgres::Server::new(Postgres::new(&nodes.url, None).unwrap()).unwrap(),
        Purpose::Journal,
    );
    let held = own.begin().unwrap();
    let sql = "UPDATE heads SET seq = seq WHERE service = ?1";
    own.with(|connection| connection.count(sql, [MOVES.blob()])).unwrap();
    let late = commit(north, MOVES, entries(shown.seq + 1, &tale[..1]));
    assert!(matches!(late, Err(CommitFailed::NotHere)), "{late:?}");
    assert!(matches!(reopen(north, MOVES), Err(CommitFailed::NotHere)));
    drop(held);
    nodes.give(MOVES, &nodes.south).await;
    nodes.compare();
}

#[tokio::test]
async fn an_archive_that_is_made_anew_under_those_who_write_it_goes_on_from_where_it_then_is() {
    let nodes = Nodes::new();
    let Nodes { north, south, .. } = &nodes;
    nodes.give(NORTHS, north).await;
    nodes.give(SOUTHS, south).await;
    let (tale, end, dir) = (&tales(30), &AtomicBool::new(false), tempfile::tempdir().unwrap());
    thread::scope(|threads| {
        let telling = [(north, NORTHS), (south, SOUTHS)]
            .map(|(store, service)| threads.spawn(move || tell_on(store, service, tale, end)));
        for _ in 0..3 {
            let postgres = Some(Postgres::new(&nodes.url, None).unwrap());
            rebuild(&DataDir::lock(dir.path()).unwrap(), postgres).unwrap();
        }
        end.store(true, Ordering::Relaxed);
        for told in telling {
            told.join().unwrap();
        }
    });
    // Made from less than was shown before, as where it overtook what was committed meanwhile.
    let say = |sql| server().say(name_of(&nodes.url), sql);
    say("CREATE TABLE usher.late AS SELECT * FROM usher.journal WHERE seq > 10;
         DELETE FROM usher.journal WHERE seq > 10");
    let postgres = Some(Postgres::new(&nodes.url, None).unwrap());
    rebuild(&DataDir::lock(dir.path()).unwrap(), postgres).unwrap();
    say("INSERT INTO usher.journal SELECT * FROM usher.late");
    assert_eq!(north.archive().reader().unwrap().position(NORTHS).unwrap().seq, 10);
    for (store, service) in [(north, NORTHS), (south, SOUTHS)] {
        let last = reopen(store, service).unwrap();
        commit(store, service, entries(last + 1, &tales(31)[tale.len()..])).unwrap();
        store.archive().wait(service, last + 1).await.unwrap();
    }
    nodes.compare();
}

#[tokio::test]
async fn an_archive_of_another_version_is_left_alone() {
    let nodes = Nodes::new();
    let Nodes { north, south, .. } = &nodes;
    nodes.give(MOVES, north).await;
    let (tale, db) = (tales(1), name_of(&nodes.url));
    server().say(db, "UPDATE usher.archive SET version = version + 1");
    commit(north, MOVES, entries(1, &tale[..9])).unwrap();
    let epoch = nodes.claim(MOVES).await;
    let refused = south.take(MOVES, epoch);
    assert!(matches!(refused, Err(StoreError::Database(DbError::OtherVersion))), "{refused:?}");
    assert_eq!(server().say(db, "SELECT seq FROM usher_archive.positions"), "0");
    let late = commit(south, MOVES, entries(10, &tale[9..20]));
    assert!(matches!(late, Err(CommitFailed::NotHere)), "{late:?}");
    server().say(db, "UPDATE usher.archive SET version = version - 1");
    south.take(MOVES, epoch).unwrap();
    commit(south, MOVES, entries(10, &tale[9..20])).unwrap();
    south.archive().wait(MOVES, 20).await.unwrap();
    nodes.compare();
}

#[tokio::test]
async fn who_takes_out_what_was_kept_long_enough_does_so_of_its_own_services() {
    let nodes = Nodes::new();
    let Nodes { north, south, .. } = &nodes;
    nodes.give(NORTHS, north).await;
    nodes.give(SOUTHS, south).await;
    let tale = tales(6);
    for (store, service) in [(north, NORTHS), (south, SOUTHS)] {
        commit(store, service, entries(1, &tale)).unwrap();
        store.archive().wait(service, tale.len() as u64).await.unwrap();
    }
    let later = NOON + Duration::from_hours(24);
    let others = north.prune(SOUTHS, later, 2);
    assert!(matches!(others, Err(StoreError::Journal(CommitFailed::NotHere))), "{others:?}");
    let pruned = thread::scope(|threads| {
        let prunes = |store: &Store, service| {
            (0..3).map(|_| store.prune(service, later, 2).unwrap().enquiries).sum::<usize>()
        };
        let south = threads.spawn(move || prunes(south, SOUTHS));
        (prunes(north, NORTHS), south.join().unwrap())
    });
    assert_eq!(pruned, (6, 6));
    for (store, service) in [(north, NORTHS), (south, SOUTHS)] {
        assert_eq!(store.prune(service, later, 2).unwrap().enquiries, 0);
        commit(store, service, entries(tale.len() as u64 + 1, &Cast(9).whole())).unwrap();
    }
}
