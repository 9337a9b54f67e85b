//! Where a live enquiry is kept: a small number stands for its id while it is live.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::entry::Entry;
use crate::ids::EnquiryId;
use crate::time::Timestamp;

/// Stands for a live enquiry; given out again once it is closed.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Key(u32);

impl Key {
    pub(super) const FIRST: Self = Self(0);
    /// Of those ordered by time, later than any.
    pub(super) const BEHIND_ALL: (Timestamp, Self) =
        (Timestamp::from_millis(u64::MAX), Self(u32::MAX));

    /// One of those that no live enquiry has.
    pub(super) const fn of_nobody(number: u16) -> Self {
        Self(u32::MAX - number as u32)
    }

    const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Each grows by itself, so that no turn waits until room is made for all.
const SHARDS: usize = 64;

/// The number of each live enquiry. Only looked up in, never gone through: its order means nothing.
#[derive(Clone, Debug)]
struct Keys(Vec<HashMap<EnquiryId, Key, BuildHasherDefault<Scatter>>>);

impl Default for Keys {
    fn default() -> Self {
        Self(vec![HashMap::default(); SHARDS])
    }
}

impl Keys {
    fn shard(enquiry: EnquiryId) -> usize {
        usize::from(enquiry.uuid().as_bytes()[15]) % SHARDS
    }

    fn get(&self, enquiry: EnquiryId) -> Option<Key> {
        self.0[Self::shard(enquiry)].get(&enquiry).copied()
    }

    fn insert(&mut self, enquiry: EnquiryId, key: Key) {
        self.0[Self::shard(enquiry)].insert(enquiry, key);
    }

    fn remove(&mut self, enquiry: EnquiryId) {
        self.0[Self::shard(enquiry)].remove(&enquiry);
    }
}

/// Hashes ids of our own making, which nobody outside chooses; the same in every run.
#[derive(Clone, Debug, Default)]
struct Scatter(u64);

impl Hasher for Scatter {
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        // Fibonacci hashing (Knuth, TAOCP 3, 6.4); turned, since the table looks at both ends.
        self.0 = (self.0 ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(26);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// All live enquiries. An id is looked up once a turn; from then on its number does.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries {
    /// Boxed, so that growing moves nothing but pointers.
    kept: Vec<Option<Box<Entry>>>,
    keys: Keys,
    free: Vec<Key>,
}

impl Entries {
    pub(super) fn key(&self, enquiry: EnquiryId) -> Option<Key> {
        self.keys.get(enquiry)
    }

    pub(super) fn find(&self, enquiry: EnquiryId) -> Option<&Entry> {
        self.get(self.key(enquiry)?)
    }

    pub(super) fn get(&self, key: Key) -> Option<&Entry> {
        self.kept.get(key.index())?.as_deref()
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Entry> {
        self.kept.get_mut(key.index())?.as_deref_mut()
    }

    /// Puts one in that is not there yet.
    pub(super) fn insert(&mut self, entry: Entry) -> Key {
        let key = self.free.pop().unwrap_or_else(|| {
            self.kept.push(None);
            let last = u32::try_from(self.kept.len() - 1);
            Key(last.expect("memory ends before four thousand million enquiries"))
        });
        self.keys.insert(entry.id, key);
        self.kept[key.index()] = Some(Box::new(entry));
        key
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Box<Entry>> {
        let entry = self.kept.get_mut(key.index())?.take()?;
        self.keys.remove(entry.id);
        self.free.push(key);
        Some(entry)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &Entry)> {
        let numbered = (0..).map(Key).zip(&self.kept);
        numbered.filter_map(|(key, entry)| Some((key, entry.as_deref()?)))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        self.iter().map(|(key, _)| key)
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len() - self.free.len()
    }
}
