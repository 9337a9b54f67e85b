//! Finds things by their ids in little memory: each has a small number while it is there, and a table
//! of numbers, looked up in by the hash of an id, is all that is kept besides the things themselves.
//!
//! Tables are only looked up in, never gone through: their order means nothing.

use std::hash::{DefaultHasher, Hasher as _};

use hashbrown::HashTable;
use uuid::Uuid;

/// Each grows by itself, so that no turn waits until room is made for all.
const SHARDS: usize = 64;

/// Things by their numbers, which are given out again once a thing is gone.
#[derive(Clone, Debug)]
pub struct Slots<T> {
    all: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { all: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    pub fn insert(&mut self, thing: T) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.all.push(None);
            let last = u32::try_from(self.all.len() - 1);
            last.expect("memory ends before four thousand million things")
        });
        self.all[number as usize] = Some(thing);
        number
    }

    pub fn get(&self, number: u32) -> Option<&T> {
        self.all.get(number as usize)?.as_ref()
    }

    pub fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.all.get_mut(number as usize)?.as_mut()
    }

    pub fn remove(&mut self, number: u32) -> Option<T> {
        let thing = self.all.get_mut(number as usize)?.take()?;
        self.free.push(number);
        Some(thing)
    }

    /// In the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(&self.all).filter_map(|(number, thing)| Some((number, thing.as_ref()?)))
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.all.iter_mut().flatten()
    }

    pub const fn len(&self) -> usize {
        self.all.len() - self.free.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Numbers by the hash of one of their things' ids.
#[derive(Clone, Debug)]
pub struct Numbers(Vec<HashTable<u32>>);

impl Default for Numbers {
    fn default() -> Self {
        Self(vec![HashTable::new(); SHARDS])
    }
}

/// The tables find their places by the lower bits.
const fn shard(hash: u64) -> usize {
    (hash >> 48) as usize % SHARDS
}

impl Numbers {
    /// `is`: whether the thing of this number has the id; others may share its hash.
    pub fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        self.0[shard(hash)].find(hash, |number| is(*number)).copied()
    }

    /// `hash_of`: of any number that is in here.
    pub fn insert(&mut self, hash: u64, number: u32, hash_of: impl Fn(u32) -> u64) {
        self.0[shard(hash)].insert_unique(hash, number, |number| hash_of(*number));
    }

    pub fn remove(&mut self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        let found = self.0[shard(hash)].find_entry(hash, |number| is(*number)).ok()?;
        Some(found.remove().0)
    }
}

/// Hashes ids of our own making, which nobody outside chooses; the same in every run.
pub const fn hash_of_id(id: Uuid) -> u64 {
    let (high, low) = id.as_u64_pair();
    // Fibonacci hashing (Knuth, TAOCP 3, 6.4); turned, since tables look at both ends.
    let mixed = high.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(26);
    (mixed ^ low).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(26)
}

/// Hashes ids that others have chosen; the same in every run, its keys being fixed.
pub fn hash_of_text(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(id.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn of_several_with_one_hash_the_one_meant_is_found() {
        let mut numbers = Numbers::default();
        numbers.insert(7, 1, |_| 7);
        numbers.insert(7, 2, |_| 7);
        assert_eq!(numbers.find(7, |number| number == 2), Some(2));
        assert_eq!(numbers.find(7, |number| number == 3), None);
        assert_eq!(numbers.remove(7, |number| number == 1), Some(1));
        assert_eq!(numbers.find(7, |number| number == 1), None);
        assert_eq!(numbers.find(7, |_| true), Some(2));
    }

    proptest! {
        #[test]
        fn what_was_put_in_is_found_and_nothing_else(
            steps in prop::collection::vec((0_u128..40, any::<bool>()), 1..400),
        ) {
            let hash = |id: u128| hash_of_id(Uuid::from_u128(id << 100 | id));
            let (mut things, mut numbers) = (Slots::default(), Numbers::default());
            let mut model = BTreeMap::new();
            for (id, put_in) in steps {
                let found = numbers.find(hash(id), |number| things.get(number) == Some(&id));
                prop_assert_eq!(found, model.get(&id).copied());
                match (found, put_in) {
                    (None, true) => {
                        let number = things.insert(id);
                        numbers.insert(hash(id), number, |number| hash(things.get(number).copied().unwrap()));
                        model.insert(id, number);
                    }
                    (Some(number), false) => {
                        numbers.remove(hash(id), |other| other == number).unwrap();
                        prop_assert_eq!(things.remove(number), Some(id));
                        model.remove(&id);
                    }
                    (None, false) | (Some(_), true) => {}
                }
                prop_assert_eq!(things.len(), model.len());
                prop_assert_eq!(things.is_empty(), model.is_empty());
                prop_assert_eq!(things.iter().count(), model.len());
            }
        }
    }
}
