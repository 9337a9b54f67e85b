//! Finds whose an id is, by its hash: a million texts are neither kept a second time nor compared on
//! the way down a tree.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hasher as _};

use crate::ids::VisitorId;

/// By the hash of one of their ids; the id itself stands with the visitor.
#[derive(Debug, Default)]
pub(super) struct Index(BTreeSet<(u64, VisitorId)>);

impl Index {
    /// `has`: whether this visitor has the id; others may share its hash.
    pub(super) fn find(&self, id: &str, has: impl Fn(VisitorId) -> bool) -> Option<VisitorId> {
        let hash = hash_of(id);
        let alike = self.0.range((hash, VisitorId::from_number(0))..);
        let mut alike = alike.take_while(|(found, _)| *found == hash).map(|(_, visitor)| *visitor);
        alike.find(|visitor| has(*visitor))
    }

    /// A visitor's id has changed.
    pub(super) fn moved(&mut self, visitor: VisitorId, old: Option<&str>, new: Option<&str>) {
        if let Some(old) = old {
            self.0.remove(&(hash_of(old), visitor));
        }
        if let Some(new) = new {
            self.0.insert((hash_of(new), visitor));
        }
    }
}

/// The same in every run: its keys are fixed.
fn hash_of(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(id.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_with_one_hash_the_one_who_has_the_id_is_found() {
        let (a, b) = (VisitorId::from_number(1), VisitorId::from_number(2));
        let mut index = Index::default();
        index.moved(a, None, Some("250788123200"));
        index.0.insert((hash_of("250788123200"), b));
        assert_eq!(index.find("250788123200", |visitor| visitor == b), Some(b));
        assert_eq!(index.find("250788123200", |_| false), None);
        assert_eq!(index.find("250788123201", |_| true), None);
        index.moved(a, Some("250788123200"), Some("250788123201"));
        assert_eq!(index.find("250788123200", |visitor| visitor == a), None);
        assert_eq!(index.find("250788123201", |_| true), Some(a));
    }
}
