//! The inbox in a real PostgreSQL: what is put is there, once, in order, and within its limits.

use bytes::Bytes;
use usher_domain::ids::{ChannelId, ServiceId};
use usher_tests::postgres::{Server, database, name_of, shared as server};

use crate::script::{CHANNEL, NOON, SERVICE};
use crate::{Arrived, Inbox, InboxLimits, Portion, Postgres, StoreError};

const OTHER: ServiceId = ServiceId::from_number(99);
const OTHERS: ChannelId = ChannelId::from_number(990);
const PORTION: Portion = Portion { rows: 1_000, bytes: 1_000_000 };

fn inbox(url: &str, rows: u64, bytes: u64) -> Inbox {
    Inbox::open(Postgres::new(url, None).unwrap(), InboxLimits { rows, bytes }).unwrap()
}

fn ample() -> Inbox {
    inbox(&database(), 1_000, 1_000_000)
}

fn ours(body: &str) -> Arrived {
    let body = Bytes::copy_from_slice(body.as_bytes());
    Arrived { service: SERVICE, channel: CHANNEL, received_at: NOON, body }
}

fn theirs(body: &str) -> Arrived {
    Arrived { service: OTHER, channel: OTHERS, ..ours(body) }
}

fn bodies(inbox: &Inbox, channels: &[ChannelId]) -> Vec<String> {
    let rows = inbox.take(channels, PORTION).unwrap();
    rows.iter().map(|row| String::from_utf8(row.arrived.body.to_vec()).unwrap()).collect()
}

#[test]
fn what_is_put_is_there_in_order_until_it_is_done() {
    let inbox = ample();
    assert!(inbox.take(&[CHANNEL], PORTION).unwrap().is_empty());
    // Bytes of whatever kind, and of no length.
    let odd = Arrived { body: Bytes::from_static(b"\0\xff\\x"), ..ours("") };
    let put = [ours("first"), theirs("between"), odd.clone(), ours("")];
    let mut room = inbox.put(&put).unwrap();
    room.sort_unstable();
    assert_eq!(room, [SERVICE, OTHER]);
    assert_eq!(inbox.another().put(&[ours("last")]).unwrap(), [SERVICE]);
    assert_eq!(inbox.held().unwrap(), 5);

    let rows = inbox.take(&[CHANNEL, OTHERS], PORTION).unwrap();
    let all: Vec<_> = rows.iter().map(|row| row.arrived.clone()).collect();
    assert_eq!(all, [ours("first"), theirs("between"), odd, ours(""), ours("last")]);
    assert!(rows.is_sorted_by_key(|row| row.id));
    // Of channels that nobody here knows nothing is taken, and nothing is lost.
    assert_eq!(bodies(&inbox, &[OTHERS]), ["between"]);

    let ids: Vec<u64> = rows.iter().map(|row| row.id).collect();
    assert_eq!(inbox.done(SERVICE, &ids).unwrap(), 0, "another service's stay where they are");
    assert_eq!(bodies(&inbox, &[CHANNEL, OTHERS]), ["between"]);
    assert_eq!(inbox.done(SERVICE, &ids).unwrap(), 0, "what is gone is not counted again");
    assert_eq!((inbox.done(OTHER, &ids).unwrap(), inbox.held().unwrap()), (0, 0));
}

#[test]
fn a_portion_has_its_limits_and_at_least_one_row() {
    let inbox = ample();
    inbox.put(&["aaaa", "bbbb", "cccc", "dddd"].map(ours)).unwrap();
    let taken = |rows, bytes| inbox.take(&[CHANNEL], Portion { rows, bytes }).unwrap().len();
    assert_eq!(taken(3, 1_000), 3);
    assert_eq!((taken(10, 1), taken(10, 4), taken(10, 5), taken(10, 100)), (1, 1, 2, 4));
}

#[test]
fn a_service_has_as_much_room_as_it_is_given_and_gets_it_back() {
    let url = database();
    let few = inbox(&url, 3, 1_000);
    assert_eq!(few.put(&["1", "2"].map(ours)).unwrap(), [SERVICE]);
    // Both or none, and the other service is not held up by it.
    assert_eq!(few.put(&[ours("3"), ours("4"), theirs("5")]).unwrap(), [OTHER]);
    assert_eq!(few.put(&[ours("6")]).unwrap(), [SERVICE]);
    assert!(few.put(&[ours("7")]).unwrap().is_empty());
    let first = few.take(&[CHANNEL], PORTION).unwrap()[0].id;
    assert_eq!(few.done(SERVICE, &[first]).unwrap(), 2);
    assert_eq!(few.put(&[ours("8")]).unwrap(), [SERVICE]);
    assert_eq!(bodies(&few, &[CHANNEL]), ["2", "6", "8"]);

    let small = inbox(&url, 1_000, 8);
    assert!(small.put(&[ours("123456")]).unwrap().is_empty());
    assert_eq!(small.put(&[ours("12345")]).unwrap(), [SERVICE]);
}

#[test]
fn many_nodes_put_at_once_and_the_owner_takes_all_of_it_once() {
    let inbox = inbox(&database(), 100_000, 1_000_000);
    let mut taken: Vec<String> = Vec::new();
    std::thread::scope(|scope| {
        let nodes: Vec<_> = (0..4)
            .map(|node| {
                let door = inbox.another();
                scope.spawn(move || {
                    for n in 0..40 {
                        // In either order, so that locks would be waited for crosswise.
                        let mut batch = [ours(&format!("{node}.{n:02}")), theirs("beside")];
                        batch.rotate_left(n % 2);
                        assert_eq!(door.put(&batch).unwrap().len(), 2);
                    }
                })
            })
            .collect();
        while !nodes.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            taken.extend(emptied(&inbox));
        }
    });
    taken.extend(emptied(&inbox));
    for node in ["0.", "1.", "2.", "3."] {
        let of_node: Vec<_> = taken.iter().filter(|body| body.starts_with(node)).collect();
        assert!(of_node.len() == 40 && of_node.is_sorted(), "{of_node:?}");
    }
    assert_eq!(taken.iter().filter(|body| *body == "beside").count(), 160);
    assert_eq!(inbox.held().unwrap(), 0);
}

/// Takes a portion of everything and forgets it.
fn emptied(inbox: &Inbox) -> Vec<String> {
    let rows = inbox.take(&[CHANNEL, OTHERS], Portion { rows: 7, bytes: 1_000 }).unwrap();
    let ids: Vec<u64> = rows.iter().map(|row| row.id).collect();
    for service in [SERVICE, OTHER] {
        inbox.done(service, &ids).unwrap();
    }
    let rest = if ids.is_empty() { Vec::new() } else { emptied(inbox) };
    let said = rows.iter().map(|row| String::from_utf8(row.arrived.body.to_vec()).unwrap());
    said.chain(rest).collect()
}

#[test]
fn a_server_that_is_gone_is_told_of_and_found_again() {
    let mut gone = Server::start();
    let inbox = inbox(&gone.database(), 10, 1_000);
    inbox.put(&[ours("before")]).unwrap();
    assert!(inbox.is_writable().unwrap());
    gone.kill();
    let refused = inbox.put(&[ours("meanwhile")]);
    assert!(matches!(refused, Err(StoreError::Database(_))), "{refused:?}");
    assert!(inbox.is_writable().is_err());
    gone.start_again();
    inbox.put(&[ours("after")]).unwrap();
    assert_eq!(bodies(&inbox, &[CHANNEL]), ["before", "after"]);
}

#[test]
fn a_database_that_takes_no_changes_is_known_as_such() {
    let url = database();
    let inbox = inbox(&url, 10, 1_000);
    assert!(inbox.is_writable().unwrap());
    let sql = format!("ALTER DATABASE {} SET default_transaction_read_only = on", name_of(&url));
    server().say("postgres", &sql);
    let later = inbox.another();
    assert!(!later.is_writable().unwrap());
    assert!(later.put(&[ours("too late")]).is_err());
}
