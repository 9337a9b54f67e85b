//! Which updates have broken an actor, and whether one has done so too often to be tried again.

use std::collections::VecDeque;

use crate::inbound::Inbound;

/// Updates that broke an actor; an update that has done so twice is kept aside.
#[derive(Debug, Default)]
pub(crate) struct Poison {
    broke: VecDeque<(String, u8)>,
}

impl Poison {
    const REMEMBERED_MAX: usize = 1_000;
    const TIMES_MAX: u8 = 2;

    pub(crate) fn broke(&mut self, mark: String) {
        match self.broke.iter_mut().find(|(known, _)| *known == mark) {
            Some((_, times)) => *times = times.saturating_add(1),
            None => self.broke.push_back((mark, 1)),
        }
        if self.broke.len() > Self::REMEMBERED_MAX {
            self.broke.pop_front();
        }
    }

    pub(crate) fn holds(&self, update: &Inbound) -> bool {
        if self.broke.is_empty() {
            return false;
        }
        let mark = update.body.mark();
        self.broke.iter().any(|(known, times)| *times >= Self::TIMES_MAX && *known == mark)
    }
}
