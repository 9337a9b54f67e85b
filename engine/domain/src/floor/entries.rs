//! Where a live enquiry is kept: a small number stands for its id while it is live.

use std::collections::BTreeMap;

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

/// All live enquiries. An id is looked up once a turn; from then on its number does.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries {
    /// Boxed, so that growing moves nothing but pointers.
    kept: Vec<Option<Box<Entry>>>,
    keys: BTreeMap<EnquiryId, Key>,
    free: Vec<Key>,
}

impl Entries {
    pub(super) fn key(&self, enquiry: EnquiryId) -> Option<Key> {
        self.keys.get(&enquiry).copied()
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
        self.keys.remove(&entry.id);
        self.free.push(key);
        Some(entry)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &Entry)> {
        self.keys.values().filter_map(|key| Some((*key, self.get(*key)?)))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        self.keys.values().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }
}
