//! What the journal says, while the program does not run.

use usher_domain::ids::ServiceId;
use usher_domain::record::{Event, Record};
use usher_store::{Store, decode};

/// Every record of a node, in order, service by service.
pub(crate) fn records(store: &Store) -> Vec<Record> {
    let reader = store.journal().reader().unwrap();
    let services: Vec<ServiceId> =
        reader.services().unwrap().into_iter().map(|(service, _)| service).collect();
    let mut records = Vec::new();
    for service in services {
        let mut after = 0;
        loop {
            let rows = reader.read_after(service, after, 4096).unwrap();
            let Some(last) = rows.last() else { break };
            after = last.seq;
            records.extend(rows.iter().map(|row| decode(&row.body).unwrap()));
        }
    }
    records
}

/// How many records say what is looked for.
pub(crate) fn count(records: &[Record], says: impl Fn(&Event) -> bool) -> usize {
    records.iter().filter(|record| says(&record.event)).count()
}
