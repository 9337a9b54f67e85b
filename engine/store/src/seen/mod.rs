//! Whether an update of the provider's was seen before: exactly, for eight days and more, mostly
//! without a read.
//!
//! Ids that the archive does not have yet are kept exactly; the others stand in one filter per day.
//! A filter may take a new id for a known one, never the reverse, so its yes is asked of the
//! archive, whose unique index is the truth.

mod file;
mod filter;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use usher_domain::ids::ServiceId;
use usher_domain::time::Timestamp;

use crate::archive::Reached;
use crate::archive::read::ArchiveReader;
use crate::directory::DataDir;
use crate::error::StoreError;
use filter::Filter;

const DAY: Duration = Duration::from_hours(24);

/// Today and the eight days before it.
const DAYS: u64 = 9;

/// Ids put into the filters in one step of [`SeenIds::refill`] when it is called without a wish.
const REFILL_STEP: usize = 10_000;

/// The memory of one service.
#[derive(Debug)]
pub struct SeenIds {
    service: ServiceId,
    /// Where the filters are saved; `None` in memory.
    dir: Option<PathBuf>,
    /// Ids noted and not yet projected, with their sequence.
    exact: HashMap<Box<str>, u64>,
    /// The same, in order: sequence, day, id.
    order: VecDeque<(u64, u64, Box<str>)>,
    days: BTreeMap<u64, Day>,
    /// Every id up to this journal row stands in a filter (of those young enough).
    through: u64,
    /// The filters miss ids: every id is looked up until they are refilled.
    gappy: bool,
}

#[derive(Debug, Default)]
struct Day {
    filter: Filter,
    /// Journal row under which the filter's file was saved; `None`: it changed since.
    saved: Option<u64>,
}

impl SeenIds {
    /// Loads the saved filters and adds what the archive got since. Without saved filters every
    /// id is looked up until [`SeenIds::refill`] is through.
    pub fn load(
        dir: Option<&DataDir>,
        service: ServiceId,
        now: Timestamp,
        reader: &ArchiveReader,
    ) -> Result<Self, StoreError> {
        let dir = dir.map(|dir| dir.seen().join(service.to_string()));
        let saved = dir.as_deref().and_then(file::load);
        let mut seen = Self {
            service,
            dir,
            exact: HashMap::new(),
            order: VecDeque::new(),
            days: BTreeMap::new(),
            through: 0,
            gappy: true,
        };
        match saved {
            Some(saved) if saved.through <= reader.position(service)?.journal_id => {
                let through = saved.through;
                seen.days = saved
                    .days
                    .into_iter()
                    .map(|(day, (filter, row))| (day, Day { filter, saved: Some(row) }))
                    .collect();
                seen.through = through;
                // Little is missing: what was projected since the last save.
                while !seen.refill(reader, REFILL_STEP)? {}
            }
            Some(_) | None => {
                let oldest = day_of(now).saturating_sub(DAYS - 1);
                let from = Timestamp::from_millis(0) + DAY * u32::try_from(oldest).unwrap_or(0);
                seen.through = reader.row_before(from)?;
            }
        }
        Ok(seen)
    }

    /// Whether the id was seen before. `now` is not needed to answer, only to forget in time.
    pub fn check(
        &mut self,
        provider_id: &str,
        now: Timestamp,
        reader: &ArchiveReader,
    ) -> Result<bool, StoreError> {
        self.forget(day_of(now));
        if self.exact.contains_key(provider_id) {
            return Ok(true);
        }
        if self.gappy || self.days.values().any(|day| day.filter.may_hold(provider_id)) {
            return reader.is_seen(self.service, provider_id);
        }
        Ok(false)
    }

    /// The id stands in record `seq`, which is being committed.
    pub fn note(&mut self, provider_id: &str, seq: u64, now: Timestamp) {
        if self.exact.insert(provider_id.into(), seq).is_none() {
            self.order.push_back((seq, day_of(now), provider_id.into()));
        }
    }

    /// The archive has come this far: those ids go to the filters.
    pub fn projected(&mut self, reached: Reached) {
        while self.order.front().is_some_and(|(seq, _, _)| *seq <= reached.seq) {
            let Some((_, day, id)) = self.order.pop_front() else { break };
            self.exact.remove(&id);
            self.hold(day, &id);
        }
        if !self.gappy {
            self.through = self.through.max(reached.journal_id);
        }
    }

    /// Records after `seq` did not become durable: their ids were not seen.
    pub fn forget_after(&mut self, seq: u64) {
        self.order.retain(|(at, _, id)| {
            if *at > seq {
                self.exact.remove(id);
            }
            *at <= seq
        });
    }

    /// Whether every id is looked up because the filters are not filled.
    pub const fn needs_refill(&self) -> bool {
        self.gappy
    }

    /// Puts up to `limit` ids of the archive into the filters; true when none are missing.
    pub fn refill(&mut self, reader: &ArchiveReader, limit: usize) -> Result<bool, StoreError> {
        let level = reader.position(self.service)?.journal_id;
        let ids = reader.ids_after(self.service, self.through, limit)?;
        let whole = ids.len() < limit;
        for (row, at, id) in ids {
            self.hold(day_of(at), &id);
            self.through = row;
        }
        if whole {
            self.through = self.through.max(level);
            self.gappy = false;
        }
        Ok(whole)
    }

    /// Saves the filters that changed; nothing while they miss ids, or in memory.
    pub fn save(&mut self) -> Result<(), StoreError> {
        let Some(dir) = &self.dir else { return Ok(()) };
        if self.gappy {
            return Ok(());
        }
        for (number, day) in &mut self.days {
            if day.saved.is_none() {
                file::save_day(dir, *number, self.through, &day.filter)?;
                day.saved = Some(self.through);
            }
        }
        let files = self.days.iter().filter_map(|(number, day)| Some((*number, day.saved?)));
        file::save_list(dir, self.through, &files.collect::<Vec<_>>())
    }

    /// Ids kept exactly, and bytes of all filters.
    pub fn size(&self) -> (usize, usize) {
        (self.exact.len(), self.days.values().map(|day| day.filter.bytes()).sum())
    }

    fn hold(&mut self, day: u64, id: &str) {
        let day = self.days.entry(day).or_default();
        day.filter.add(id);
        day.saved = None;
    }

    /// Filters of days gone by are dropped as a whole.
    fn forget(&mut self, today: u64) {
        while let Some(oldest) = self.days.first_entry() {
            if oldest.key() + DAYS > today {
                break;
            }
            oldest.remove();
        }
    }
}

fn day_of(at: Timestamp) -> u64 {
    at.millis() / u64::try_from(DAY.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
