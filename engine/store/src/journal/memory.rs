//! A journal that forgets everything when the process ends, and commits in the caller's thread.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use usher_domain::ids::ServiceId;

use super::writer::follow;
use super::{Commit, CommitFailed, JournalRow, Reopened};
use crate::archive::Projector;

/// Keeps records in memory and projects them at once, so that nothing ever has to be waited for.
#[derive(Debug)]
pub(crate) struct MemoryJournal {
    #[expect(clippy::disallowed_types, reason = "commits in the caller's thread, whichever it is")]
    kept: std::sync::Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    rows: Vec<JournalRow>,
    /// Positions in `rows`, per service.
    services: BTreeMap<ServiceId, Vec<usize>>,
    refused: BTreeSet<ServiceId>,
    closed: bool,
    projector: Projector,
}

impl MemoryJournal {
    pub(crate) fn new(projector: Projector) -> Arc<Self> {
        let kept = Kept {
            rows: Vec::new(),
            services: BTreeMap::new(),
            refused: BTreeSet::new(),
            closed: false,
            projector,
        };
        Arc::new(Self { kept: kept.into() })
    }

    fn with<T>(&self, run: impl FnOnce(&mut Kept) -> T) -> T {
        run(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn submit(&self, commit: Commit) {
        let Commit { service, records, done } = commit;
        let outcome = self.with(|kept| {
            if kept.closed {
                return Err(CommitFailed::Closed);
            }
            if kept.refused.contains(&service) {
                return Err(CommitFailed::Refused);
            }
            if let Err(conflict) = follow(kept.head(service) + 1, &records) {
                kept.refused.insert(service);
                return Err(conflict);
            }
            let first = kept.rows.len();
            for entry in records {
                kept.services.entry(service).or_default().push(kept.rows.len());
                let id = kept.rows.len() as u64 + 1;
                kept.rows.push(JournalRow { id, service, seq: entry.seq, body: entry.body });
            }
            kept.project_from(first);
            Ok(())
        });
        done(outcome);
    }

    pub(super) fn reopen(&self, service: ServiceId, done: Reopened) {
        let outcome = self.with(|kept| {
            if kept.closed {
                return Err(CommitFailed::Closed);
            }
            kept.refused.remove(&service);
            Ok(kept.head(service))
        });
        done(outcome);
    }

    pub(super) fn close(&self) {
        self.with(|kept| kept.closed = true);
    }

    pub(super) fn heads(&self) -> Vec<(ServiceId, u64)> {
        self.with(|kept| kept.services.iter().map(|(id, rows)| (*id, rows.len() as u64)).collect())
    }

    pub(super) fn head(&self, service: ServiceId) -> u64 {
        self.with(|kept| kept.head(service))
    }

    pub(super) fn read_after(&self, service: ServiceId, seq: u64, limit: usize) -> Vec<JournalRow> {
        let skip = usize::try_from(seq).unwrap_or(usize::MAX);
        self.with(|kept| {
            let rows = kept.services.get(&service).map_or(&[][..], Vec::as_slice);
            rows.iter().skip(skip).take(limit).map(|row| kept.rows[*row].clone()).collect()
        })
    }

    pub(super) fn read_after_id(&self, id: u64, limit: usize) -> Vec<JournalRow> {
        let skip = usize::try_from(id).unwrap_or(usize::MAX);
        self.with(|kept| kept.rows.iter().skip(skip).take(limit).cloned().collect())
    }
}

impl Kept {
    fn head(&self, service: ServiceId) -> u64 {
        self.services.get(&service).map_or(0, |rows| rows.len() as u64)
    }

    /// In memory only a record itself can fail, and that stops its service alone.
    fn project_from(&mut self, first: usize) {
        if let Err(error) = self.projector.absorb(&self.rows[first..]) {
            tracing::error!(%error, cause = ?error, "the archive in memory failed");
        }
    }
}
