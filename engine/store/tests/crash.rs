//! A process that is killed while it writes has lost nothing that it acknowledged.
//!
//! The writer is this test binary, started again with the directory to write to; it prints what
//! was acknowledged, and is killed in the middle of it.

#![expect(clippy::unwrap_used, reason = "a crash test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use usher_domain::ids::{ChannelId, EnquiryId, MessageId, ServiceId, VisitorId};
use usher_domain::message::{Content, Counts};
use usher_domain::record::{Event, MessageReceived, Record};
use usher_domain::time::Timestamp;
use usher_store::{Commit, DataDir, Entry, Store, StoreOptions, encode, rebuild};

const DIRECTORY: &str = "USHER_STORE_CRASH_DIR";
const ROUNDS: u64 = 20;
const SERVICES: u128 = 3;
/// Submissions under way at any moment.
const UNDER_WAY: usize = 32;

/// What record `seq` of a service says, whoever asks.
fn body(service: u128, seq: u64) -> String {
    let number = service << 64 | u128::from(seq);
    let enquiry = EnquiryId::from_number(service << 64 | u128::from(seq / 10));
    let event = if seq.is_multiple_of(10) {
        let (channel, visitor) = (ChannelId::from_number(1), VisitorId::from_number(service));
        Event::EnquiryOpened { enquiry, channel, visitor }
    } else {
        Event::MessageReceived(Box::new(MessageReceived {
            message: MessageId::from_number(number),
            channel: ChannelId::from_number(1),
            visitor: VisitorId::from_number(service),
            enquiry: Some(enquiry),
            provider_id: format!("wamid.{number}"),
            provider_at: Timestamp::from_millis(seq),
            counts: Counts::Message,
            content: Content::Text { body: "word ".repeat(usize::try_from(seq % 97).unwrap()) },
            reply_to: None,
            referral: None,
            forwarded: false,
        }))
    };
    encode(&Record::new(Timestamp::from_millis(seq), event))
}

#[test]
fn twenty_kills_lose_nothing_acknowledged() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        return write_until_killed(Path::new(&directory));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeMap::new();
    for round in 0..ROUNDS {
        // Few at first, so that some kills fall into the opening.
        run_and_kill(dir.path(), 1 + round * 67, &mut acknowledged);
        check(dir.path(), &acknowledged);
    }
    let total: u64 = acknowledged.values().sum();
    println!("{ROUNDS} kills, {total} records acknowledged, none lost");
    assert!(total > 5_000, "only {total} records were written");

    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let kept = store.archive().reader().unwrap().dump().unwrap();
    store.close();
    rebuild(&DataDir::lock(dir.path()).unwrap(), None).unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let same = store.archive().reader().unwrap().dump().unwrap() == kept;
    assert!(same, "the archive that saw the kills differs from one made anew");
}

/// Kills the writer after `enough` acknowledgements; those still in the pipe count as well.
fn run_and_kill(dir: &Path, enough: u64, acknowledged: &mut BTreeMap<u128, u64>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "twenty_kills_lose_nothing_acknowledged", "--nocapture"])
        .env(DIRECTORY, OsString::from(dir))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut heard = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).split(b'\n') {
        let line = String::from_utf8(line.unwrap()).unwrap();
        // The last line may be cut off, and the harness prints lines of its own.
        let Some(line) = line.strip_prefix("ack ").and_then(|rest| rest.strip_suffix(" .")) else {
            continue;
        };
        let (service, seq) = line.split_once(' ').unwrap();
        let last = acknowledged.entry(service.parse().unwrap()).or_default();
        *last = (*last).max(seq.parse().unwrap());
        heard += 1;
        if heard == enough {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(heard >= enough, "the writer ended by itself after {heard} acknowledgements");
}

fn check(dir: &Path, acknowledged: &BTreeMap<u128, u64>) {
    let store = Store::open(dir, StoreOptions::default()).unwrap();
    let reader = store.journal().reader().unwrap();
    for (service, last) in acknowledged {
        let id = ServiceId::from_number(*service);
        let head = reader.last_seq(id).unwrap();
        assert!(head >= *last, "service {service}: {last} acknowledged, {head} kept");
        let rows = reader.read_after(id, 0, usize::MAX).unwrap();
        assert!(rows.iter().map(|row| row.seq).eq(1..=head), "service {service} has a gap");
        assert!(rows.iter().all(|row| row.body == body(*service, row.seq)));
        assert_eq!(store.archive().reached(id).seq, head);
    }
}

fn write_until_killed(dir: &Path) {
    let store = Store::open(dir, StoreOptions::default()).unwrap();
    let (free, freed) = sync_channel(UNDER_WAY);
    for _ in 0..UNDER_WAY {
        free.send(()).unwrap();
    }
    let reader = store.journal().reader().unwrap();
    let mut next: Vec<u64> = (0..SERVICES)
        .map(|service| reader.last_seq(ServiceId::from_number(service)).unwrap() + 1)
        .collect();
    loop {
        for (service, next) in (0..SERVICES).zip(&mut next) {
            let last = *next + service.min(2) as u64;
            submit(&store, service, *next..=last, (&free, &freed));
            *next = last + 1;
        }
    }
}

fn submit(
    store: &Store,
    service: u128,
    seqs: std::ops::RangeInclusive<u64>,
    (free, freed): (&SyncSender<()>, &Receiver<()>),
) {
    freed.recv().unwrap();
    let last = *seqs.end();
    let records = seqs.map(|seq| Entry { seq, body: body(service, seq) }).collect();
    let free = free.clone();
    let done = Box::new(move |outcome: Result<(), _>| {
        outcome.unwrap();
        let mut out = std::io::stdout().lock();
        // The parent kills: a pipe that nobody reads any more is how that may look.
        writeln!(out, "ack {service} {last} .").and_then(|()| out.flush()).unwrap();
        free.send(()).unwrap();
    });
    store
        .journal()
        .submit(Commit { service: ServiceId::from_number(service), records, done })
        .unwrap();
}
