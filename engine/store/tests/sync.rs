//! One commit is one fdatasync of the journal's log, and what could not be synced is not
//! acknowledged, nor is it lost when that happens on the way from the log into the file.
//!
//! The writer is this test binary, started again under strace, which counts its system calls or
//! makes them fail. What it acknowledged is read from the same trace, so that the order holds.

#![expect(clippy::unwrap_used, reason = "a test of system calls that cannot go on has failed")]

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::channel;

use usher_domain::ids::{EnquiryId, ServiceId};
use usher_domain::record::{Event, Record};
use usher_domain::time::Timestamp;
use usher_store::{
    Commit, CommitFailed, Entry, Journal, JournalOptions, LogLimits, Store, StoreOptions, encode,
};

const DIRECTORY: &str = "USHER_STORE_SYNC_DIR";
const SERVICE: ServiceId = ServiceId::from_number(1);
const COMMITS: u64 = 60;
/// The journal's thread is let through to this one.
const FIRST_FAILURE: u64 = 25;

#[test]
fn a_commit_is_one_fdatasync_and_nothing_else() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        return write(Path::new(&directory), (COMMITS, LogLimits::default()));
    }
    let dir = tempfile::tempdir().unwrap();
    let trace = traced("a_commit_is_one_fdatasync_and_nothing_else", dir.path(), &[]);
    // The first commit of a log writes its beginning, and the end writes the log back.
    let begun = position(&trace, |line| acknowledged(line) == Some(1));
    let ended = position(&trace, |line| acknowledged(line) == Some(COMMITS));
    let synced: Vec<&str> = trace[begun..ended].iter().copied().filter(|l| is_sync(l)).collect();
    let of_the_log = |line: &&str| line.contains("fdatasync(") && line.contains("journal.db-wal");
    let others: Vec<_> = synced.iter().filter(|line| !of_the_log(line)).collect();
    assert!(others.is_empty(), "other syncs than of the log: {others:#?}");
    assert_eq!(synced.len() as u64, COMMITS - 1, "{synced:#?}");
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_and_what_was_is_found_again_eio() {
    failing("after_a_failed_sync_nothing_is_acknowledged_and_what_was_is_found_again_eio", "EIO");
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_and_what_was_is_found_again_enospc() {
    failing(
        "after_a_failed_sync_nothing_is_acknowledged_and_what_was_is_found_again_enospc",
        "ENOSPC",
    );
}

fn failing(test: &str, error: &str) {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        return write(Path::new(&directory), (COMMITS, LogLimits::default()));
    }
    let dir = tempfile::tempdir().unwrap();
    let inject = format!("inject=fdatasync:error={error}:when={FIRST_FAILURE}+");
    let trace = traced(test, dir.path(), &["-e", &inject]);
    let failed = position(&trace, |line| line.contains("INJECTED"));
    let acked = |lines: &[&str]| lines.iter().filter_map(|line| acknowledged(line)).max();
    assert_eq!(acked(&trace[failed..]), None, "acknowledged after a failed sync");
    let last = acked(&trace[..failed]).unwrap();
    assert!(last > FIRST_FAILURE / 2 && last < COMMITS, "{last} acknowledged before it");
    assert!(trace[failed..].iter().any(|line| line.contains("\"refused ")), "nobody was told");

    let store = Store::open(&dir.path().join("data"), StoreOptions::default()).unwrap();
    let rows = store.journal().reader().unwrap().read_after(SERVICE, 0, usize::MAX).unwrap();
    // A transaction whose sync failed may have been kept, but only whole and in order.
    assert!(rows.len() as u64 >= last, "{last} acknowledged, {} kept", rows.len());
    for (row, seq) in rows.iter().zip(1..) {
        assert_eq!((row.seq, &row.body), (seq, &body(seq)));
    }
    assert_eq!(store.archive().reached(SERVICE).seq, rows.len() as u64);
}

/// What is written back beside the commits could not be synced: all that the log holds is written
/// into the file once more, and that is synced, before the log is cut.
#[test]
fn a_failed_write_back_is_made_good_from_the_log() {
    const COMMITS: u64 = 600;
    let short = LogLimits { piece_bytes: 1 << 20, ..LogLimits::default() };
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        return write(Path::new(&directory), (COMMITS, short));
    }
    let dir = tempfile::tempdir().unwrap();
    // What makes the file is not to fail.
    Store::open(&dir.path().join("data"), StoreOptions::default()).unwrap().close();
    let file = dir.path().join("data/journal.db");
    // The first sync of the file that each thread asks for fails; the log's are let through.
    let inject = "inject=fdatasync:error=EIO:when=1";
    let options = ["-P", file.to_str().unwrap(), "-e", inject];
    let trace = run("a_failed_write_back_is_made_good_from_the_log", dir.path(), &options);
    let failed = position(&trace, |line| line.contains("INJECTED"));
    let thread = |line: &str| line.split(' ').next().map(str::to_owned);
    let beside = thread(trace[failed]);
    let written = |lines: &[&str], wanted: &dyn Fn(&str) -> bool| -> BTreeSet<u64> {
        lines.iter().filter(|line| wanted(line)).filter_map(|line| offset(line)).collect()
    };
    let lost = written(&trace[..failed], &|line| thread(line) == beside);
    // How many pages a piece holds is chance: how the commits were gathered.
    assert!(lost.len() > 2, "hardly anything was written back: {lost:?}");
    // Nothing is written back beside the journal's own thread until that has made it good.
    let meanwhile = trace[failed + 1..].split(|line| thread(line) == beside).next().unwrap();
    let synced = |line: &&str| is_sync(line) && line.ends_with("= 0");
    let end = meanwhile.iter().rposition(synced).expect("was never synced");
    let again = written(&meanwhile[..end], &|_| true);
    assert!(again.is_superset(&lost), "left out: {:?}", lost.difference(&again));

    let store = Store::open(&dir.path().join("data"), StoreOptions::default()).unwrap();
    let rows = store.journal().reader().unwrap().read_after(SERVICE, 0, usize::MAX).unwrap();
    assert!(rows.len() as u64 > COMMITS / 2, "{} kept", rows.len());
    assert!(rows.iter().zip(1..).all(|(row, seq)| (row.seq, &row.body) == (seq, &body(seq))));
}

/// Where a `pwrite64` wrote.
fn offset(line: &str) -> Option<u64> {
    let (call, _) = line.split_once(") = ")?;
    call.contains("pwrite64(").then(|| call.rsplit(", ").next())??.trim().parse().ok()
}

/// What strace saw the journal's thread do.
fn traced(test: &str, dir: &Path, options: &[&str]) -> Vec<&'static str> {
    let read = run(test, dir, options);
    // Nobody waits for the archive's syncs: they are other threads'.
    let first = read.iter().find(|line| acknowledged(line).is_some()).unwrap();
    let journal = first.split(' ').next();
    read.iter().copied().filter(|line| line.split(' ').next() == journal).collect()
}

/// Runs a test of this binary as the writer, and returns what strace saw.
fn run(test: &str, dir: &Path, options: &[&str]) -> Vec<&'static str> {
    let trace = dir.join("trace");
    let calls = "trace=fsync,fdatasync,sync_file_range,sync,syncfs,msync,write,pwrite64";
    let ran = Command::new("strace")
        .args(["-f", "-y", "-s", "64", "-e", calls])
        .args(options)
        .args([OsStr::new("-o"), trace.as_os_str()])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(DIRECTORY, dir.join("data"))
        .output()
        .expect("strace is needed; `make tools` installs it");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let read: &'static str = String::leak(std::fs::read_to_string(&trace).unwrap());
    read.lines().collect()
}

fn position(trace: &[&str], wanted: impl Fn(&str) -> bool) -> usize {
    let found = trace.iter().position(|line| wanted(line));
    assert!(found.is_some(), "not in {trace:#?}");
    found.unwrap()
}

fn is_sync(line: &str) -> bool {
    // The second half of a call that another thread's call interrupted is no call of its own.
    line.contains("sync") && !line.contains("write(") && !line.contains("resumed>")
}

/// Of a line that shows the writer's acknowledgement.
fn acknowledged(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once("\"ack ")?;
    rest.split_once(' ')?.0.parse().ok()
}

fn body(seq: u64) -> String {
    let event = Event::ClockSet { enquiry: EnquiryId::from_number(seq.into()) };
    encode(&Record::new(Timestamp::from_millis(seq), event))
}

/// One commit after the other. After a failure it goes on as a service does that is rebuilt.
fn write(dir: &Path, (commits, log): (u64, LogLimits)) {
    let journal = JournalOptions { log, ..JournalOptions::default() };
    let options = StoreOptions { journal, ..StoreOptions::default() };
    let store = Store::open(dir, options).unwrap();
    let mut next = 1;
    for _ in 0..commits {
        if commit(store.journal(), next) {
            next += 1;
        } else {
            next = reopened(store.journal()).map_or(next, |durable| durable + 1);
        }
    }
}

/// The journal's thread says what came of it, at once and with one write.
fn commit(journal: &Journal, seq: u64) -> bool {
    let (told, outcome) = channel();
    let done = Box::new(move |result: Result<(), CommitFailed>| {
        let word = if result.is_ok() { "ack" } else { "refused" };
        writeln!(std::io::stdout().lock(), "{word} {seq} .").unwrap();
        told.send(result.is_ok()).unwrap();
    });
    let records = vec![Entry { seq, body: body(seq) }];
    journal.submit(Commit { service: SERVICE, records, done }).unwrap();
    outcome.recv().unwrap()
}

fn reopened(journal: &Journal) -> Option<u64> {
    let (told, outcome) = channel();
    journal.reopen(SERVICE, Box::new(move |result| told.send(result.ok()).unwrap()));
    outcome.recv().unwrap()
}
