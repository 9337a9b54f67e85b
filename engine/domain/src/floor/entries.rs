//! Where a live enquiry is kept: a small number stands for its id while it is live.

use super::entry::Entry;
use crate::ids::EnquiryId;
use crate::numbers::{Numbers, Slots, hash_of_id};
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
}

/// All live enquiries. An id is looked up once a turn; from then on its number does.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries {
    /// Boxed, so that growing moves nothing but pointers.
    kept: Slots<Box<Entry>>,
    keys: Numbers,
}

fn hash_of(enquiry: EnquiryId) -> u64 {
    hash_of_id(enquiry.uuid())
}

impl Entries {
    pub(super) fn key(&self, enquiry: EnquiryId) -> Option<Key> {
        let is = |number| self.kept.get(number).is_some_and(|entry| entry.id == enquiry);
        self.keys.find(hash_of(enquiry), is).map(Key)
    }

    pub(super) fn find(&self, enquiry: EnquiryId) -> Option<&Entry> {
        self.get(self.key(enquiry)?)
    }

    pub(super) fn get(&self, key: Key) -> Option<&Entry> {
        self.kept.get(key.0).map(|entry| &**entry)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Entry> {
        self.kept.get_mut(key.0).map(|entry| &mut **entry)
    }

    /// Puts one in that is not there yet.
    pub(super) fn insert(&mut self, entry: Entry) -> Key {
        let hash = hash_of(entry.id);
        let number = self.kept.insert(Box::new(entry));
        let hash_of = |number| self.kept.get(number).map_or(0, |entry| hash_of(entry.id));
        self.keys.insert(hash, number, hash_of);
        Key(number)
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Box<Entry>> {
        let entry = self.kept.remove(key.0)?;
        self.keys.remove(hash_of(entry.id), |number| number == key.0);
        Some(entry)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &Entry)> {
        self.kept.iter().map(|(number, entry)| (Key(number), &**entry))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        self.iter().map(|(key, _)| key)
    }

    pub(super) const fn len(&self) -> usize {
        self.kept.len()
    }
}
