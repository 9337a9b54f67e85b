//! The stores that suites run on: in memory and in files, or all of them in a real PostgreSQL where
//! `USHER_TEST_STORE=postgres` says so. Under a paused clock no time passes while they commit.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use usher_domain::ids::ServiceId;
use usher_store::{Postgres, Store, StoreOptions};
use usher_tests::postgres;

thread_local! {
    /// The database behind each data directory of the test on this thread.
    static DATABASES: RefCell<BTreeMap<PathBuf, String>> = RefCell::default();
    /// Directories that go with the test.
    static DIRS: RefCell<Vec<TempDir>> = RefCell::default();
}

/// An empty one that nobody opens a second time.
pub(crate) fn fresh() -> Store {
    let Some(url) = postgres::wanted() else { return Store::memory().unwrap() };
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Some(url));
    DIRS.with_borrow_mut(|dirs| dirs.push(dir));
    store
}

/// An empty one, and where it is kept.
pub(crate) fn kept() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), postgres::wanted());
    (dir, store)
}

/// What a crash at this moment would leave, opened at a place of its own.
pub(crate) fn after_a_crash(dir: &Path) -> (TempDir, Store) {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
    }
    let url = DATABASES.with_borrow(|databases| databases.get(dir).cloned());
    let store = open(copy.path(), url.map(|url| postgres::shared().copy(&url)));
    (copy, store)
}

fn open(dir: &Path, url: Option<String>) -> Store {
    let postgres = url.as_deref().map(|url| Postgres::new(url, None).unwrap().with_readers(2));
    if let Some(url) = url {
        DATABASES.with_borrow_mut(|databases| databases.insert(dir.to_owned(), url));
    }
    let options = StoreOptions { postgres, in_step: true, ..StoreOptions::default() };
    Store::open(dir, options).unwrap()
}

/// Nobody else writes of this service from now on, as the program sees to before it starts.
pub(crate) fn owned(store: Store, service: ServiceId) -> Store {
    store.own(service, 0).unwrap();
    store
}
