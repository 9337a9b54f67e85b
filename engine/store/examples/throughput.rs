//! Prints how many records a second the journal makes durable and the archive takes in.
//!
//! `cargo run --release -p usher-store --example throughput -- [records] [postgres]`; the second
//! word: in a PostgreSQL that is thrown away and syncs nothing.

#![expect(clippy::print_stdout, reason = "a program that prints numbers")]
#![expect(clippy::disallowed_methods, reason = "measures")]

use std::error::Error;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use usher_domain::floor::place::SeatKept;
use usher_domain::ids::{ChannelId, EnquiryId, MessageId, ServiceId, StaffId, VisitorId};
use usher_domain::message::{Content, Counts};
use usher_domain::record::{After, Event, MessageReceived, Record};
use usher_domain::time::Timestamp;
use usher_store::{Commit, Entry, JournalOptions, Postgres, Store, StoreOptions, encode};

fn main() -> Result<(), Box<dyn Error>> {
    let records = std::env::args().nth(1).map_or(Ok(200_000), |text| text.parse())?;
    let bodies: Vec<String> = (1..=records).map(body).collect();
    let shared = std::env::args().nth(2).is_some_and(|word| word == "postgres");
    println!("{records} records of {} bytes", bodies.first().map_or(0, String::len));
    for batch_max in [64, 512] {
        measure(batch_max, &bodies, shared)?;
    }
    Ok(())
}

fn measure(batch_max: usize, bodies: &[String], shared: bool) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let journal =
        JournalOptions { batch_max, queue_max: bodies.len(), ..JournalOptions::default() };
    let postgres = shared.then(|| Postgres::new(&usher_tests::postgres::database(), None));
    let postgres = postgres.transpose()?;
    let store =
        Store::open(dir.path(), StoreOptions { journal, postgres, ..StoreOptions::default() })?;
    let service = ServiceId::from_number(1);
    let (told, outcome) = channel();
    let began = Instant::now();
    for (seq, body) in (1..).zip(bodies) {
        let records = vec![Entry { seq, body: body.clone() }];
        let (told, last) = (told.clone(), seq == bodies.len() as u64);
        let done = Box::new(move |result| {
            if last {
                told.send(result).expect("the measurement waits for it");
            }
        });
        store.journal().submit(Commit { service, records, done })?;
    }
    outcome.recv()??;
    let durable = began.elapsed();
    let behind = store.archive().lag().records;
    store.close();
    let projected = began.elapsed();
    let count = f64::from(u32::try_from(bodies.len())?);
    let rate = |time: Duration| count / time.as_secs_f64();
    println!(
        "batch {batch_max}: {:.0} durable/s, archive {behind} behind then, {:.0} projected/s in all",
        rate(durable),
        rate(projected)
    );
    Ok(())
}

/// A message and the state it leaves, as a busy service writes them.
fn body(number: u64) -> String {
    let at = Timestamp::from_millis(1_793_534_400_000 + number);
    let enquiry = EnquiryId::from_number(u128::from(number / 20));
    let event = Event::MessageReceived(Box::new(MessageReceived {
        message: MessageId::from_number(u128::from(number)),
        channel: ChannelId::from_number(1),
        visitor: VisitorId::from_number(u128::from(number / 20)),
        enquiry: Some(enquiry),
        provider_id: format!("wamid.HBgLODUyNjAwMDAwMDAVAgASGBQzQTdC{number:016X}"),
        provider_at: at,
        counts: Counts::Message,
        content: Content::Text { body: format!("Where is my parcel number {number}, please?") },
        reply_to: None,
        referral: None,
        forwarded: false,
    }));
    let staff = StaffId::from_number(u128::from(number % 500));
    let after =
        After::Seat { staff, seat: SeatKept { last_held: Some(at), ..SeatKept::default() } };
    encode(&Record::new(at, event).leaving(after))
}
