//! Prints what commits wait and what each thread of the store costs while a recorded journal is
//! written once more, at a rate.
//!
//! `cargo run --release -p usher-store --example replay -- <data directory> [records a second]`

#![expect(clippy::print_stdout, reason = "a program that prints numbers")]
#![expect(clippy::disallowed_methods, reason = "measures")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use usher_store::{
    Commit, CommitFailed, Entry, JournalOptions, JournalRow, LogInfo, Store, StoreError,
    StoreOptions,
};

/// Records of one submission.
const GROUP: usize = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let recorded = std::env::args().nth(1).ok_or("which data directory?")?;
    let rate: u32 = std::env::args().nth(2).map_or(Ok(4_000), |text| text.parse())?;
    let rows = read(Path::new(&recorded))?;
    let dir = tempfile::tempdir()?;
    let (waited, waits) = channel();
    let on_log = Box::new(move |info: &LogInfo| {
        // Nobody listens once everything was measured.
        waited.send(info.waited).ok();
    });
    let journal = JournalOptions { on_log, ..JournalOptions::default() };
    let store = Store::open(dir.path(), StoreOptions { journal, ..StoreOptions::default() })?;
    // What is measured does not begin in an empty archive.
    let (before, measured) = rows.split_at(rows.len() / 5);
    write(&store, before, u32::MAX)?;
    while store.archive().lag().records > 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    waits.try_iter().for_each(drop);
    let (spent, began) = (spent()?, Instant::now());
    show("a commit waited", write(&store, measured, rate)?);
    let lag = store.archive().lag();
    show("for the log", waits.try_iter().collect());
    let count = u32::try_from(measured.len())?;
    println!("{count} records in {:.1?}, the archive {lag:?} behind then", began.elapsed());
    while store.archive().lag().records > 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    for (what, after) in self::spent()? {
        let more = after - spent.get(&what).unwrap_or(&0);
        println!("{what}: {} a record", more / u64::from(count));
    }
    Ok(())
}

fn read(recorded: &Path) -> Result<Vec<JournalRow>, StoreError> {
    let store = Store::open(recorded, StoreOptions::default())?;
    let reader = store.journal().reader()?;
    let mut rows = Vec::new();
    for (service, _) in reader.services()? {
        rows.extend(reader.read_after(service, 0, usize::MAX)?);
    }
    rows.sort_by_key(|row| row.id);
    Ok(rows)
}

/// Submits `rows` on a schedule; how long each submission took from when it was due.
fn write(store: &Store, rows: &[JournalRow], rate: u32) -> Result<Vec<Duration>, Box<dyn Error>> {
    let (told, heard) = channel();
    let began = Instant::now();
    let mut due = began;
    for group in rows.chunks(GROUP) {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        submit(store, group, (due.max(began), &told))?;
        due += Duration::from_secs(1) * u32::try_from(group.len())? / rate;
    }
    drop(told);
    heard.iter().map(|outcome: Result<_, String>| Ok(outcome?)).collect()
}

type Told = Sender<Result<Duration, String>>;

fn submit(
    store: &Store,
    rows: &[JournalRow],
    (due, told): (Instant, &Told),
) -> Result<(), Box<dyn Error>> {
    for rows in rows.chunk_by(|one, next| one.service == next.service) {
        let records = rows.iter().map(|row| Entry { seq: row.seq, body: row.body.clone() });
        let told = told.clone();
        let done = Box::new(move |outcome: Result<(), CommitFailed>| {
            let outcome = outcome.map(|()| due.elapsed()).map_err(|error| error.to_string());
            told.send(outcome).expect("the measurement waits for it");
        });
        let service = rows[0].service;
        store.journal().submit(Commit { service, records: records.collect(), done })?;
    }
    Ok(())
}

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let Some(last) = times.len().checked_sub(1) else { return println!("{what}: never") };
    let [p50, p99, max] = [50, 99, 100].map(|percent| times[last * percent / 100]);
    println!("{what}: p50 {p50:.2?}, p99 {p99:.2?}, max {max:.2?} ({} times)", times.len());
}

/// Nanoseconds of processor time and bytes handed to the kernel, by thread.
fn spent() -> Result<BTreeMap<String, u64>, Box<dyn Error>> {
    let mut spent = BTreeMap::new();
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        let name = fs::read_to_string(task.join("comm"))?;
        let time = fs::read_to_string(task.join("schedstat"))?;
        let time = time.split(' ').next().ok_or("no processor time")?.parse::<u64>()?;
        *spent.entry(format!("{}, ns", name.trim())).or_default() += time;
        let io = fs::read_to_string(task.join("io"))?;
        let bytes = io.lines().find_map(|line| line.strip_prefix("wchar: "));
        let bytes = bytes.ok_or("no bytes written")?.parse::<u64>()?;
        *spent.entry(format!("{}, bytes written", name.trim())).or_default() += bytes;
    }
    Ok(spent)
}
