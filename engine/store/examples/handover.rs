//! Prints how long it takes a second node to take a service that the first has left, and how many
//! connections the two have.
//!
//! `cargo run --release -p usher-store --example handover -- [records] [services]`, in a PostgreSQL that is
//! thrown away and syncs nothing.

#![expect(clippy::print_stdout, reason = "a program that prints numbers")]
#![expect(clippy::disallowed_methods, reason = "measures")]

use std::error::Error;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use usher_domain::ids::{ServiceId, SessionId};
use usher_domain::record::{Event, Record};
use usher_domain::time::Timestamp;
use usher_store::{Commit, Entry, Ownership, Postgres, Store, StoreOptions, encode};
use usher_tests::postgres::{database, name_of, shared};

const LEASE: Duration = Duration::from_secs(5);

struct House {
    url: String,
    ownership: Ownership,
}

impl House {
    fn open(&self, dir: &TempDir) -> Result<Store, Box<dyn Error>> {
        let postgres = Some(Postgres::new(&self.url, None)?);
        let options = StoreOptions { postgres, one_by_one: true, ..StoreOptions::default() };
        Ok(Store::open(dir.path(), options)?)
    }

    /// How long it took from the claim.
    async fn give(&self, service: ServiceId, to: &Store) -> Result<Duration, Box<dyn Error>> {
        let epoch = self.ownership.standing(service).await?.epoch;
        self.ownership.claim(service, epoch + 1, epoch).await?;
        let began = Instant::now();
        to.take(service, epoch + 1)?;
        Ok(began.elapsed())
    }

    fn connections(&self) -> String {
        let sql = "SELECT count(*) FROM pg_stat_activity
                   WHERE application_name = 'usher' AND datname = current_database()";
        shared().say(name_of(&self.url), sql)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let number = |at| std::env::args().nth(at).map(|text| text.parse::<u64>()).transpose();
    let (records, services) = (number(1)?.unwrap_or(60_000), number(2)?.unwrap_or(20));
    let url = database();
    let ownership = Ownership::open(Postgres::new(&url, None)?, "me".into(), LEASE)?;
    let house = House { url, ownership };
    let dirs = [tempfile::tempdir()?, tempfile::tempdir()?];
    let (north, south) = (house.open(&dirs[0])?, house.open(&dirs[1])?);
    let all = (1..=services).map(|number| ServiceId::from_number(number.into()));
    for service in all.clone() {
        house.give(service, &north).await?;
        tell(&north, service, records / services)?;
    }
    println!("{records} records of {services} services, {} connections", house.connections());
    let (mut leaves, mut takes) = (Vec::new(), Vec::new());
    for service in all {
        let began = Instant::now();
        north.leave(service);
        leaves.push(began.elapsed());
        takes.push(house.give(service, &south).await?);
    }
    for (what, mut times) in [("leave", leaves), ("take", takes)] {
        times.sort();
        let (half, last) = (times.get(times.len() / 2), times.last());
        println!("{what}: half within {half:?}, all within {last:?}");
    }
    println!("{} connections", house.connections());
    Ok(())
}

fn tell(store: &Store, service: ServiceId, count: u64) -> Result<(), Box<dyn Error>> {
    let (told, outcome) = channel();
    let records = (1..=count).map(|seq| Entry { seq, body: body(seq) }).collect();
    let done = Box::new(move |result| told.send(result).expect("it is waited for"));
    store.journal().submit(Commit { service, records, done })?;
    outcome.recv()??;
    Ok(())
}

fn body(number: u64) -> String {
    let session = SessionId::from_number(number.into());
    encode(&Record::new(Timestamp::from_millis(number), Event::SessionEnded { session }))
}
