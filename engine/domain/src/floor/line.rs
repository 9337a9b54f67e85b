//! Lines: who waits where, first in first out within priority.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{EnquiryId, StaffId};
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
    /// Drawn on arrival in the line, rising over the whole floor; kept while at the same stop.
    pub(super) ticket: u64,
    pub(super) enquiry: EnquiryId,
}

/// All lines of the floor; an empty line takes no room.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines(BTreeMap<Line, BTreeSet<Rank>>);

impl Lines {
    pub(super) fn enter(&mut self, line: Line, rank: Rank) {
        self.0.entry(line).or_default().insert(rank);
    }

    pub(super) fn leave(&mut self, line: Line, rank: Rank) {
        if let Some(ranks) = self.0.get_mut(&line) {
            ranks.remove(&rank);
            if ranks.is_empty() {
                self.0.remove(&line);
            }
        }
    }

    pub(super) fn ranks(&self, line: Line) -> impl Iterator<Item = Rank> {
        self.0.get(&line).into_iter().flatten().copied()
    }

    pub(super) fn length(&self, line: Line) -> usize {
        self.0.get(&line).map_or(0, BTreeSet::len)
    }

    /// How many stand before `rank`, plus one.
    pub(super) fn position(&self, line: Line, rank: Rank) -> u32 {
        let before = self.0.get(&line).map_or(0, |ranks| ranks.range(..rank).count());
        u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (Line, &BTreeSet<Rank>)> {
        self.0.iter().map(|(line, ranks)| (*line, ranks))
    }
}
