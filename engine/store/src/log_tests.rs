//! The journal's log: how long it gets, and that nothing is lost on its way into the file.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use rusqlite::Connection;

use crate::contract::{commit, reopen, submit};
use crate::disk_tests::fill_disk;
use crate::script::SERVICE;
use crate::{Entry, JournalOptions, LogInfo, LogLimits, Store, StoreOptions};

const SHORT: LogLimits = LogLimits { piece_bytes: 1 << 16, bytes: 1 << 18, bytes_max: 1 << 20 };
const BODY_BYTES: usize = 1 << 14;
const PAGE_BYTES: u64 = 4096;
/// Records of one transaction, at most, and what that takes of the log: a body lies on five pages of its own,
/// and shares two.
const BATCH: usize = 64;
const BATCH_BYTES: u64 = BATCH as u64 * 7 * (PAGE_BYTES + 24);
const NO_PAGE: [u8; 4096] = [0; 4096];

fn open(path: &Path, log: LogLimits) -> (Store, Receiver<LogInfo>) {
    let (heard, told) = channel();
    let on_log = Box::new(move |info: &LogInfo| heard.send(*info).unwrap());
    let journal = JournalOptions { log, on_log, batch_max: BATCH, ..JournalOptions::default() };
    let options = StoreOptions { journal, ..StoreOptions::default() };
    (Store::open(path, options).unwrap(), told)
}

fn body(seq: u64) -> String {
    format!("{seq:0BODY_BYTES$}")
}

fn entries(seqs: Range<u64>) -> impl Iterator<Item = Vec<Entry>> {
    seqs.map(|seq| vec![Entry { seq, body: body(seq) }])
}

fn log_bytes(dir: &Path) -> u64 {
    std::fs::metadata(dir.join("journal.db-wal")).unwrap().len()
}

/// Somebody who reads and does not end.
fn hold(dir: &Path) -> Connection {
    let connection = Connection::open(dir.join("journal.db")).unwrap();
    connection.execute_batch("BEGIN; SELECT count(*) FROM records").unwrap();
    connection
}

#[test]
fn under_constant_writing_and_reading_the_log_keeps_its_length() {
    let dir = tempfile::tempdir().unwrap();
    let (store, told) = open(dir.path(), SHORT);
    assert_eq!(log_bytes(dir.path()), SHORT.bytes, "it has its length from the start");
    std::thread::scope(|scope| {
        let (stop, stopped) = channel::<()>();
        let reader = store.journal().reader().unwrap();
        scope.spawn(move || {
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                reader.read_after(SERVICE, 0, 1).unwrap();
            }
        });
        let outcomes: Vec<_> =
            entries(1..2_000).map(|entries| submit(&store, SERVICE, entries)).collect();
        for outcome in outcomes {
            outcome.recv().unwrap().unwrap();
        }
        drop(stop);
    });
    // One transaction may be longer than all the rest.
    let most = SHORT.bytes_max + BATCH_BYTES;
    assert!(log_bytes(dir.path()) < most, "{}", log_bytes(dir.path()));
    // However long the last transactions were, one by one the log comes back to its length.
    for entries in entries(2_000..2_500) {
        commit(&store, SERVICE, entries).unwrap();
    }
    assert!(log_bytes(dir.path()) < 2 * SHORT.bytes_max, "{}", log_bytes(dir.path()));
    let file = std::fs::metadata(dir.path().join("journal.db")).unwrap().len();
    assert!(file > 2_000 * BODY_BYTES as u64, "{file}");
    store.close();
    assert!(told.iter().all(|info| info.succeeded));
}

#[test]
fn the_log_begins_anew_between_two_commits() {
    let dir = tempfile::tempdir().unwrap();
    let (store, told) = open(dir.path(), SHORT);
    for entries in entries(1..500) {
        commit(&store, SERVICE, entries).unwrap();
    }
    // On a slow disk it gets as long as it may, and commits wait.
    assert!(log_bytes(dir.path()) < 2 * SHORT.bytes_max, "{}", log_bytes(dir.path()));
    store.close();
    assert!(told.iter().all(|info| info.succeeded));
}

#[test]
fn a_reader_who_holds_the_log_lets_it_grow_and_commits_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (store, told) = open(dir.path(), SHORT);
    commit(&store, SERVICE, entries(1..2).next().unwrap()).unwrap();
    let slow = hold(dir.path());
    for entries in entries(2..90) {
        commit(&store, SERVICE, entries).unwrap();
    }
    let long = log_bytes(dir.path());
    assert!(long > SHORT.bytes_max, "{long}");
    assert!(told.try_iter().any(|info| info.full && info.succeeded), "commits never waited");
    slow.execute_batch("ROLLBACK").unwrap();
    for entries in entries(90..600) {
        commit(&store, SERVICE, entries).unwrap();
    }
    // Begun anew, the file is cut.
    assert!(log_bytes(dir.path()) < 2 * SHORT.bytes_max, "{}", log_bytes(dir.path()));
}

/// Pages that lie in the file because they were written back beside commits; not all do yet.
fn written_back(dir: &Path, file: &File) -> Vec<u64> {
    // The first ones are older than this log.
    let pages = 10..std::fs::metadata(dir.join("journal.db")).unwrap().len() / PAGE_BYTES;
    let mut page = NO_PAGE;
    let lies_there = |number: &u64| {
        file.read_exact_at(&mut page, number * PAGE_BYTES).unwrap();
        page != NO_PAGE
    };
    pages.filter(lies_there).collect()
}

/// The sync after a write-back has failed, as nobody noticed: pages that SQLite takes for written
/// back are not on the disk.
#[test]
fn what_the_disk_lost_of_a_write_back_is_taken_from_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let never_anew = LogLimits { bytes: 1 << 24, bytes_max: 1 << 26, ..SHORT };
    let (store, _told) = open(dir.path(), never_anew);
    let file = File::options().read(true).write(true).open(dir.path().join("journal.db")).unwrap();
    // Whoever reads keeps what follows from being written back, and so the log from beginning anew:
    // the first one all of it, the second one what comes after the first 149.
    let first = hold(dir.path());
    for entries in entries(1..150) {
        commit(&store, SERVICE, entries).unwrap();
    }
    let held = hold(dir.path());
    first.execute_batch("ROLLBACK").unwrap();
    for entries in entries(150..200) {
        commit(&store, SERVICE, entries).unwrap();
    }
    let pages = written_back(dir.path(), &file);
    assert!(pages.len() > 200, "{pages:?}");
    for number in pages {
        file.write_all_at(&NO_PAGE, number * PAGE_BYTES).unwrap();
    }
    fill_disk(&store);
    commit(&store, SERVICE, vec![Entry { seq: 200, body: "x".repeat(1 << 20) }]).unwrap_err();
    held.execute_batch("ROLLBACK").unwrap();
    assert_eq!(reopen(&store, SERVICE).unwrap(), 199);

    let rows = store.journal().reader().unwrap().read_after(SERVICE, 0, 1_000).unwrap();
    assert_eq!(rows.len(), 199);
    assert!(rows.iter().all(|row| row.body == body(row.seq)));
    drop((file, store));
}
