//! Which updates and commands have broken an actor, and whether one has done so too often to be
//! tried again.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher as _};

use crate::inbound::Inbound;

/// By what an update or a command is known again when it comes once more. Every turn makes one, so
/// it is a number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Mark(u64);

impl Mark {
    pub(crate) fn of(what: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// What broke an actor; what has done so twice is kept aside, or refused.
#[derive(Debug, Default)]
pub(crate) struct Poison {
    broke: VecDeque<(Mark, u8)>,
}

impl Poison {
    const REMEMBERED_MAX: usize = 1_000;
    const TIMES_MAX: u8 = 2;

    pub(crate) fn broke(&mut self, mark: Mark) {
        match self.broke.iter_mut().find(|(known, _)| *known == mark) {
            Some((_, times)) => *times = times.saturating_add(1),
            None => self.broke.push_back((mark, 1)),
        }
        if self.broke.len() > Self::REMEMBERED_MAX {
            self.broke.pop_front();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.broke.is_empty()
    }

    pub(crate) fn holds_update(&self, update: &Inbound) -> bool {
        self.holds(update.body.mark())
    }

    pub(crate) fn holds(&self, mark: Mark) -> bool {
        self.broke.iter().any(|(known, times)| *times >= Self::TIMES_MAX && *known == mark)
    }
}
