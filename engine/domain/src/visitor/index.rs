//! Finds whose an id is, by its hash: a million texts are neither kept a second time nor compared on
//! the way down a tree.

use crate::numbers::{Numbers, hash_of_text};

/// Visitors' numbers by the hash of one of their ids; the id itself stands with the visitor.
#[derive(Debug, Default)]
pub(super) struct Index(Numbers);

impl Index {
    /// `has`: whether the visitor of this number has the id; others may share its hash.
    pub(super) fn find(&self, id: &str, has: impl Fn(u32) -> bool) -> Option<u32> {
        self.0.find(hash_of_text(id), has)
    }

    /// Puts the visitor's id in, or takes it out; `id_of`: as it stands with the visitor.
    pub(super) fn set<'a>(
        &mut self,
        number: u32,
        known: bool,
        id_of: impl Fn(u32) -> Option<&'a str>,
    ) {
        let Some(hash) = id_of(number).map(hash_of_text) else { return };
        if known {
            self.0.insert(hash, number, |number| id_of(number).map_or(0, hash_of_text));
        } else {
            self.0.remove(hash, |other| other == number);
        }
    }
}
