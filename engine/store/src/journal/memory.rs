//! A journal that forgets everything when the process ends, and commits in the caller's thread.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use usher_domain::ids::ServiceId;

use super::writer::follow;
use super::{Commit, CommitFailed, Entry, JournalRow, Reopened, Rewrite};
use crate::archive::{Projector, Told};

/// Keeps records in memory and projects them at once, so that nothing ever has to be waited for.
#[derive(Debug)]
pub(crate) struct MemoryJournal {
    #[expect(clippy::disallowed_types, reason = "commits in the caller's thread, whichever it is")]
    kept: std::sync::Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    /// By row.
    rows: BTreeMap<u64, JournalRow>,
    last_id: u64,
    services: BTreeMap<ServiceId, Service>,
    refused: BTreeSet<ServiceId>,
    left: BTreeSet<ServiceId>,
    closed: bool,
    projector: Projector,
}

#[derive(Debug, Default)]
struct Service {
    head: u64,
    /// Rows by sequence.
    rows: BTreeMap<u64, u64>,
}

impl MemoryJournal {
    pub(crate) fn new(projector: Projector) -> Arc<Self> {
        let kept = Kept {
            rows: BTreeMap::new(),
            last_id: 0,
            services: BTreeMap::new(),
            refused: BTreeSet::new(),
            left: BTreeSet::new(),
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
            if kept.left.contains(&service) {
                return Err(CommitFailed::NotHere);
            }
            if kept.refused.contains(&service) {
                return Err(CommitFailed::Refused);
            }
            if let Err(conflict) = follow(kept.head(service) + 1, &records) {
                kept.refused.insert(service);
                return Err(conflict);
            }
            let last = kept.last_id;
            for Entry { seq, body } in records {
                kept.last_id += 1;
                let id = kept.last_id;
                let known = kept.services.entry(service).or_default();
                known.head = seq;
                known.rows.insert(seq, id);
                kept.rows.insert(id, JournalRow { id, service, seq, body });
            }
            kept.project_after(last);
            Ok(())
        });
        done(outcome);
    }

    pub(super) fn reopen(&self, service: ServiceId, done: Reopened) {
        let outcome = self.with(|kept| {
            if kept.closed {
                return Err(CommitFailed::Closed);
            }
            if kept.left.contains(&service) {
                return Err(CommitFailed::NotHere);
            }
            kept.refused.remove(&service);
            Ok(kept.head(service))
        });
        done(outcome);
    }

    pub(super) fn take(&self, service: ServiceId) -> u64 {
        self.with(|kept| {
            kept.left.remove(&service);
            kept.refused.remove(&service);
            kept.head(service)
        })
    }

    pub(super) fn leave(&self, service: ServiceId) -> u64 {
        self.with(|kept| {
            kept.left.insert(service);
            kept.head(service)
        })
    }

    pub(super) fn close(&self) {
        self.with(|kept| kept.closed = true);
    }

    pub(super) fn heads(&self) -> Vec<(ServiceId, u64)> {
        self.with(|kept| kept.services.iter().map(|(id, known)| (*id, known.head)).collect())
    }

    pub(super) fn head(&self, service: ServiceId) -> u64 {
        self.with(|kept| kept.head(service))
    }

    pub(super) fn read_after(&self, service: ServiceId, seq: u64, limit: usize) -> Vec<JournalRow> {
        self.with(|kept| {
            let Some(known) = kept.services.get(&service) else { return Vec::new() };
            let ids = known.rows.range(seq.saturating_add(1)..).map(|(_, id)| id);
            ids.filter_map(|id| kept.rows.get(id)).take(limit).cloned().collect()
        })
    }

    pub(super) fn read_after_id(&self, id: u64, limit: usize) -> Vec<JournalRow> {
        self.with(|kept| kept.after(id).take(limit).cloned().collect())
    }

    pub(super) fn rewrite(&self, rewrite: Rewrite) {
        self.with(|kept| {
            for (id, body) in rewrite.changed {
                if let Some(row) = kept.rows.get_mut(&id) {
                    row.body = body;
                }
            }
            for row in rewrite.removed.iter().filter_map(|id| kept.rows.remove(id)) {
                if let Some(known) = kept.services.get_mut(&row.service) {
                    known.rows.remove(&row.seq);
                }
            }
        });
    }
}

impl Kept {
    fn head(&self, service: ServiceId) -> u64 {
        self.services.get(&service).map_or(0, |known| known.head)
    }

    fn after(&self, id: u64) -> impl Iterator<Item = &JournalRow> {
        self.rows.range(id.saturating_add(1)..).map(|(_, row)| row)
    }

    /// In memory only a record itself can fail, and that stops its service alone.
    fn project_after(&mut self, last: u64) {
        let told: Vec<Told> = self.after(last).cloned().map(Told::read).collect();
        if let Err(error) = self.projector.absorb(&told) {
            tracing::error!(%error, cause = ?error, "the archive in memory failed");
        }
    }
}
