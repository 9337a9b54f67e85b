//! Files that nodes share, in a real PostgreSQL: stored by one, read by another, removed for all.

use std::io::Read as _;
use std::sync::atomic::AtomicBool;

use usher_tests::postgres::{database, name_of, shared as server};

use crate::contract::shared;
use crate::{DataDir, MediaStore, Postgres, Store, StoreError, move_to_postgres};

struct Node {
    dir: tempfile::TempDir,
    store: Store,
}

impl Node {
    fn start(url: &str) -> Self {
        Self::over(tempfile::tempdir().unwrap(), url)
    }

    fn over(dir: tempfile::TempDir, url: &str) -> Self {
        let store = Store::open(dir.path(), shared(url)).unwrap();
        Self { dir, store }
    }

    fn reads(&self, sha256: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        self.store.media().get(sha256).unwrap()?.read_to_end(&mut bytes).unwrap();
        Some(bytes)
    }

    fn levels(&self) {
        self.store.media().level(&AtomicBool::new(false)).unwrap();
    }

    fn has_copy(&self, sha256: &str) -> bool {
        self.store.media().path(sha256).unwrap().exists()
    }
}

/// Of several pieces, the last of which is not whole.
fn long() -> Vec<u8> {
    (0..700_001_u32).map(|at| at.to_le_bytes()[0] ^ at.to_le_bytes()[1]).collect()
}

#[test]
fn what_one_node_stored_another_reads_and_keeps_a_copy_of() {
    let url = database();
    let (one, two) = (Node::start(&url), Node::start(&url));
    for bytes in [long(), b"short".to_vec(), Vec::new(), vec![1; 256 * 1024]] {
        let stored = one.store.media().put(&bytes[..]).unwrap();
        assert_eq!(stored.bytes, bytes.len() as u64);
        assert!(!two.has_copy(&stored.sha256));
        assert_eq!(two.reads(&stored.sha256).unwrap(), bytes);
        assert!(two.has_copy(&stored.sha256));
        // The same once more, by the other.
        assert_eq!(two.store.media().put(&bytes[..]).unwrap().sha256, stored.sha256);
    }
    assert!(two.reads(&"0".repeat(64)).is_none());
}

#[test]
fn what_is_removed_is_gone_everywhere_and_may_come_again() {
    let url = database();
    let (one, two) = (Node::start(&url), Node::start(&url));
    let sha256 = one.store.media().put(&long()[..]).unwrap().sha256;
    assert!(two.reads(&sha256).is_some());
    two.store.media().remove(&sha256).unwrap();
    two.store.media().remove(&sha256).unwrap();
    assert!(two.reads(&sha256).is_none());
    let pieces = server().say(name_of(&url), "SELECT count(*) FROM usher.file_pieces");
    assert_eq!(pieces, "0");
    assert!(one.has_copy(&sha256), "it has not heard of it");
    one.levels();
    assert!(!one.has_copy(&sha256));
    assert!(one.reads(&sha256).is_none());
    one.store.media().put(&long()[..]).unwrap();
    assert_eq!(two.reads(&sha256).unwrap(), long());
}

#[test]
fn files_from_before_the_database_come_into_it() {
    let (dir, url) = (tempfile::tempdir().unwrap(), database());
    let before = MediaStore::open(&dir.path().join("media")).unwrap();
    let sha256 = before.put(&long()[..]).unwrap().sha256;
    let beside = before.path(&sha256).unwrap().with_file_name("odd");
    std::fs::write(beside, "not one of ours").unwrap();
    let one = Node::over(dir, &url);
    one.levels();
    assert_eq!(Node::start(&url).reads(&sha256).unwrap(), long());

    let (moved, url) = (tempfile::tempdir().unwrap(), database());
    let store = Store::open(moved.path(), crate::StoreOptions::default()).unwrap();
    let sha256 = store.media().put(&b"moved"[..]).unwrap().sha256;
    store.close();
    let lock = DataDir::lock(moved.path()).unwrap();
    move_to_postgres(&lock, Postgres::new(&url, None).unwrap(), |_| ()).unwrap();
    drop(lock);
    assert_eq!(Node::start(&url).reads(&sha256).unwrap(), b"moved");
}

#[test]
fn a_file_that_is_not_what_its_digest_says_is_refused_and_not_kept() {
    let url = database();
    let (one, two) = (Node::start(&url), Node::start(&url));
    let sha256 = one.store.media().put(&long()[..]).unwrap().sha256;
    let damage = "UPDATE usher.file_pieces SET piece = overlay(piece placing '\\x00ff00' from 100) WHERE at = 1";
    server().say(name_of(&url), damage);
    let read = two.store.media().get(&sha256);
    assert!(matches!(read, Err(StoreError::FileDiffers { .. })), "{read:?}");
    assert!(!two.has_copy(&sha256));
    let dir = two.dir.path().join("media");
    let kept: usize = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| std::fs::read_dir(entry.unwrap().path()).unwrap().count())
        .sum();
    assert_eq!(kept, 0, "nothing is left lying about");
}
