//! Who may claim a service, and who keeps others from it.

use std::time::Duration;

use usher_domain::ids::ServiceId;
use usher_tests::postgres::{database, name_of, shared as server};

use crate::contract::{commit, entries, shared};
use crate::script::{Cast, SERVICE};
use crate::{CommitFailed, Ownership, Postgres, Standing, Store, StoreError, StoreOptions};

const OTHER: ServiceId = ServiceId::from_number(99);
const LEASE: Duration = Duration::from_secs(5);

fn open_as(name: &str, url: &str) -> Ownership {
    Ownership::open(Postgres::new(url, None).unwrap(), name.into(), LEASE).unwrap()
}

fn dirs() -> [tempfile::TempDir; 2] {
    [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()]
}

#[tokio::test]
async fn a_service_is_claimed_over_the_epoch_that_was_seen_and_by_one() {
    let (dirs, url) = (dirs(), database());
    let tale = Cast(9).whole();
    let ownership = open_as("a", &url);
    assert_eq!(ownership.standing(SERVICE).await.unwrap().epoch, 0);
    assert!(ownership.claim(SERVICE, 1, 0).await.unwrap());
    assert!(!ownership.claim(SERVICE, 1, 0).await.unwrap(), "it is taken");
    assert!(!ownership.claim(SERVICE, 9, 0).await.unwrap(), "by an epoch that was not seen");
    assert_eq!(ownership.standing(SERVICE).await.unwrap().epoch, 1);

    let open = |dir: &tempfile::TempDir| {
        Store::open(dir.path(), StoreOptions { one_by_one: true, ..shared(&url) })
    };
    let first = open(&dirs[0]).unwrap();
    let early = commit(&first, SERVICE, entries(1, &tale[..2]));
    assert!(matches!(early, Err(CommitFailed::NotHere)), "{early:?}");
    first.take(SERVICE, 1).unwrap();
    commit(&first, SERVICE, entries(1, &tale[..2])).unwrap();
    let others = commit(&first, OTHER, entries(1, &tale[..1]));
    assert!(matches!(others, Err(CommitFailed::NotHere)), "{others:?}");
    assert_eq!(ownership.standing(SERVICE).await.unwrap().epoch, 1, "opening takes nothing over");

    assert!(ownership.claim(SERVICE, 7, 1).await.unwrap());
    let late = commit(&first, SERVICE, entries(3, &tale[2..3]));
    assert!(matches!(late, Err(CommitFailed::Superseded { epoch: 7 })), "{late:?}");
    let second = open(&dirs[1]).unwrap();
    second.take(SERVICE, 7).unwrap();
    commit(&second, SERVICE, entries(3, &tale[2..3])).unwrap();
    let late = open(&dirs[0]);
    assert!(late.is_err(), "the directory is in use: {late:?}");
    first.close();
    let zombie = open(&dirs[0]).unwrap();
    let late = zombie.take(SERVICE, 1);
    let superseded = CommitFailed::Superseded { epoch: 7 };
    assert!(
        matches!(&late, Err(StoreError::Journal(why)) if why.to_string() == superseded.to_string()),
        "{late:?}"
    );
    let late = commit(&zombie, SERVICE, entries(4, &tale[3..4]));
    assert!(matches!(late, Err(CommitFailed::NotHere)), "{late:?}");
}

/// As if so many milliseconds had passed for whoever holds something.
fn pass(url: &str, millis: i64) {
    let passed = format!("interval '{millis} milliseconds'");
    server()
        .say(name_of(url), &format!("UPDATE usher.heads SET held_until = held_until - {passed}"));
}

fn free(epoch: u64) -> Standing {
    Standing { epoch, held: None }
}

#[tokio::test]
async fn what_is_held_nobody_claims_until_it_lapses_or_is_released() {
    let url = database();
    let [one, other] = ["one", "other"].map(|name| open_as(name, &url));
    assert!(!one.hold(SERVICE, 1).await.unwrap(), "it is nobody's");
    assert!(one.claim(SERVICE, 1, 0).await.unwrap());
    assert_eq!(other.standing(SERVICE).await.unwrap(), free(1), "a claim holds nothing");
    assert!(!one.hold(SERVICE, 2).await.unwrap());

    assert!(one.hold(SERVICE, 1).await.unwrap());
    let held = other.standing(SERVICE).await.unwrap().held.unwrap();
    assert!(&*held.by == "one" && held.left <= LEASE && held.left > LEASE / 2, "{held:?}");
    assert!(!other.claim(SERVICE, 2, 1).await.unwrap(), "it is held");
    pass(&url, 4_000);
    assert!(!other.claim(SERVICE, 2, 1).await.unwrap(), "it is held still");
    assert!(one.hold(SERVICE, 1).await.unwrap());
    pass(&url, 4_000);
    assert!(!other.claim(SERVICE, 2, 1).await.unwrap(), "it was held again");
    pass(&url, 1_001);
    assert_eq!(other.standing(SERVICE).await.unwrap(), free(1));
    assert!(other.claim(SERVICE, 2, 1).await.unwrap());
    assert!(!one.hold(SERVICE, 1).await.unwrap(), "it is another's");

    assert!(other.hold(SERVICE, 2).await.unwrap());
    one.release(SERVICE, 1).await.unwrap();
    assert!(!one.claim(SERVICE, 3, 2).await.unwrap(), "what another holds is not released");
    other.release(SERVICE, 2).await.unwrap();
    assert!(one.claim(SERVICE, 3, 2).await.unwrap());
}

#[tokio::test]
async fn a_hold_from_before_the_database_s_clock_was_set_back_keeps_nobody_away() {
    let url = database();
    let [one, other] = ["one", "other"].map(|name| open_as(name, &url));
    assert!(one.claim(SERVICE, 1, 0).await.unwrap() && one.hold(SERVICE, 1).await.unwrap());
    pass(&url, -3_000);
    assert!(!other.claim(SERVICE, 2, 1).await.unwrap(), "a little: it is waited for");
    pass(&url, -3_600_000);
    assert_eq!(other.standing(SERVICE).await.unwrap(), free(1));
    assert!(other.claim(SERVICE, 2, 1).await.unwrap());
}

#[tokio::test]
async fn a_hold_and_commits_do_not_hinder_each_other() {
    let (dir, url) = (tempfile::tempdir().unwrap(), database());
    let ownership = open_as("one", &url);
    assert!(ownership.claim(SERVICE, 1, 0).await.unwrap());
    let options = StoreOptions { one_by_one: true, ..shared(&url) };
    let store = Store::open(dir.path(), options).unwrap();
    store.take(SERVICE, 1).unwrap();
    let tale = Cast(9).whole();
    for (seq, record) in (1..).zip(&tale) {
        let holding = ownership.hold(SERVICE, 1);
        commit(&store, SERVICE, entries(seq, std::slice::from_ref(record))).unwrap();
        assert!(holding.await.unwrap());
    }
}

#[tokio::test]
async fn of_many_questions_at_once_each_is_answered() {
    let url = database();
    let ownership = open_as("one", &url);
    let asked: Vec<_> = (0..64)
        .map(|number| {
            let ownership = ownership.clone();
            tokio::spawn(async move { ownership.claim(ServiceId::from_number(number), 1, 0).await })
        })
        .collect();
    for asked in asked {
        assert!(asked.await.unwrap().unwrap());
    }
}
