//! Lines: who waits where, first in first out within priority.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::entries::Key;
use super::team::Spot;
use crate::ids::StaffId;

/// Where an enquiry can wait.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Line {
    At(Spot),
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
pub(super) struct Lines {
    /// By the number of the spot.
    at: Vec<BTreeSet<Rank>>,
    /// Those in which nobody stands take no room.
    named: BTreeMap<StaffId, BTreeSet<Rank>>,
}

impl Lines {
    pub(super) fn enter(&mut self, line: Line, rank: Rank) {
        match line {
            Line::At(spot) => {
                let enough = self.at.len().max(spot.index() + 1);
                self.at.resize_with(enough, BTreeSet::new);
                self.at[spot.index()].insert(rank);
            }
            Line::For(staff) => {
                self.named.entry(staff).or_default().insert(rank);
            }
        }
    }

    pub(super) fn leave(&mut self, line: Line, rank: Rank) {
        match line {
            Line::At(spot) => {
                if let Some(ranks) = self.at.get_mut(spot.index()) {
                    ranks.remove(&rank);
                }
            }
            Line::For(staff) => {
                if let Some(ranks) = self.named.get_mut(&staff) {
                    ranks.remove(&rank);
                    if ranks.is_empty() {
                        self.named.remove(&staff);
                    }
                }
            }
        }
    }

    fn of(&self, line: Line) -> Option<&BTreeSet<Rank>> {
        match line {
            Line::At(spot) => self.at.get(spot.index()),
            Line::For(staff) => self.named.get(&staff),
        }
    }

    pub(super) fn ranks(&self, line: Line) -> impl Iterator<Item = Rank> {
        self.of(line).into_iter().flatten().copied()
    }

    pub(super) fn length(&self, line: Line) -> usize {
        self.of(line).map_or(0, BTreeSet::len)
    }

    /// How many stand before `rank`, plus one; counted from the end that is nearer.
    pub(super) fn position(&self, line: Line, rank: Rank) -> u32 {
        let Some(ranks) = self.of(line) else { return 1 };
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

    /// Everybody who stands in any of them.
    pub(super) fn everybody(&self) -> impl Iterator<Item = Key> {
        let all = self.at.iter().chain(self.named.values());
        all.flatten().map(|rank| rank.enquiry)
    }
}
