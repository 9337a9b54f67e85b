//! Lines: who waits where, first in first out within priority.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::entries::Key;
use crate::ids::StaffId;
use crate::rule::Destination;

/// Where an enquiry can wait.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Line {
    At(Destination),
    /// For one named person.
    For(StaffId),
}

/// Order within and across lines: the highest priority, then the longest waiting.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Rank {
    pub(super) priority: Reverse<u8>,
    /// Drawn on arrival in the line, rising over the whole floor; kept while at the same stop. No two
    /// have the same.
    pub(super) ticket: u64,
    pub(super) enquiry: Key,
}

/// All lines of the floor.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines(BTreeMap<Line, BTreeSet<Rank>>);

impl Lines {
    pub(super) fn enter(&mut self, line: Line, rank: Rank) {
        self.0.entry(line).or_default().insert(rank);
    }

    pub(super) fn leave(&mut self, line: Line, rank: Rank) {
        if let Some(ranks) = self.0.get_mut(&line) {
            ranks.remove(&rank);
        }
    }

    /// Lines in which nobody stands take no room any more.
    pub(super) fn forget_empty(&mut self) {
        self.0.retain(|_, ranks| !ranks.is_empty());
    }

    pub(super) fn ranks(&self, line: Line) -> impl Iterator<Item = Rank> {
        self.0.get(&line).into_iter().flatten().copied()
    }

    pub(super) fn length(&self, line: Line) -> usize {
        self.0.get(&line).map_or(0, BTreeSet::len)
    }

    /// How many stand before `rank`, plus one; counted from the end that is nearer.
    pub(super) fn position(&self, line: Line, rank: Rank) -> u32 {
        let Some(ranks) = self.0.get(&line) else { return 1 };
        let (mut front, mut back) = (ranks.iter(), ranks.iter().rev());
        let mut passed = 0;
        let before = loop {
            if front.next().is_none_or(|first| *first >= rank) {
                break passed;
            }
            if back.next().is_none_or(|last| *last <= rank) {
                break ranks.len() - 1 - passed;
            }
            passed += 1;
        };
        u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (Line, &BTreeSet<Rank>)> {
        self.0.iter().map(|(line, ranks)| (*line, ranks))
    }
}
