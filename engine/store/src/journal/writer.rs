//! The journal's thread: what goes into one transaction, and what a failed one means.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

use usher_domain::ids::ServiceId;

use super::here::Here;
use super::kept::{Kept, Written};
use super::rewrite::Rewrite;
use super::{CommitFailed, CommitInfo, Entry, JournalOptions};
use crate::error::StoreError;
use crate::progress::{Progress, monotonic};

pub(super) enum Job {
    Commit(Records, Told<()>),
    Between(Between),
}

/// Records of one submission.
pub(super) struct Records {
    pub(super) service: ServiceId,
    pub(super) entries: Vec<Entry>,
}

/// What is done between two transactions.
pub(super) enum Between {
    Reopen {
        service: ServiceId,
        done: Told<u64>,
    },
    Rewrite {
        service: ServiceId,
        rewrite: Rewrite,
        done: Told<()>,
    },
    Own {
        service: ServiceId,
        least: u64,
        done: Told<u64>,
    },
    Take {
        service: ServiceId,
        epoch: u64,
        done: Told<u64>,
    },
    Leave {
        service: ServiceId,
        done: Told<u64>,
    },
    Close,
    #[cfg(test)]
    Run(super::Run),
}

/// Who waits for an outcome: hears one in any case, that of a closed journal when it is dropped.
pub(super) struct Told<T>(Option<Waiting<T>>);

type Waiting<T> = Box<dyn FnOnce(Result<T, CommitFailed>) + Send>;

impl<T> Told<T> {
    pub(super) fn new(waiting: Waiting<T>) -> Self {
        Self(Some(waiting))
    }

    fn tell(mut self, outcome: Result<T, CommitFailed>) {
        self.release(outcome);
    }

    /// A panic of whoever waits must not end the journal.
    fn release(&mut self, outcome: Result<T, CommitFailed>) {
        let Some(waiting) = self.0.take() else { return };
        if catch_unwind(AssertUnwindSafe(|| waiting(outcome))).is_err() {
            tracing::error!("what waited for a commit panicked");
        }
    }
}

impl<T> Drop for Told<T> {
    fn drop(&mut self) {
        self.release(Err(CommitFailed::Closed));
    }
}

pub(super) struct Writer<K> {
    pub(super) kept: K,
    pub(super) here: Here,
    /// Services with a failed commit: taking later records of theirs would leave a gap.
    pub(super) refused: HashSet<ServiceId>,
    pub(super) options: JournalOptions,
    pub(super) jobs: Receiver<Job>,
    pub(super) queued: Arc<AtomicUsize>,
    pub(super) progress: Arc<Progress>,
    /// Wakes the projector.
    pub(super) wake: SyncSender<()>,
}

/// What waits for one transaction.
#[derive(Default)]
struct Batch {
    commits: Vec<(Records, Told<()>)>,
    records: usize,
}

impl<K: Kept> Writer<K> {
    pub(super) fn run(mut self) {
        while let Ok(job) = self.jobs.recv() {
            let (batch, then) = self.gather(job);
            self.commit(batch);
            match then {
                None => (),
                Some(Between::Close) => break,
                Some(between) => self.between(between),
            }
        }
        self.progress.end();
    }

    fn between(&mut self, between: Between) {
        match between {
            Between::Reopen { service, done } => self.reopen(service, done),
            Between::Rewrite { service, rewrite, done } => {
                done.tell(self.rewrite(service, &rewrite));
            }
            Between::Own { service, least, done } => done.tell(self.own(service, least)),
            Between::Take { service, epoch, done } => done.tell(self.take(service, epoch)),
            Between::Leave { service, done } => done.tell(self.leave(service)),
            Between::Close => {}
            #[cfg(test)]
            Between::Run(run) => self.kept.run(run),
        }
    }

    /// What has arrived, up to the first job that is not a commit or does not fit.
    fn gather(&mut self, first: Job) -> (Batch, Option<Between>) {
        let mut batch = Batch::default();
        let mut next = Some(first);
        while let Some(job) = next {
            let (records, done) = match job {
                Job::Commit(records, done) => (records, done),
                Job::Between(between) => return (batch, Some(between)),
            };
            self.queued.fetch_sub(1, Ordering::AcqRel);
            batch.records += records.entries.len();
            batch.commits.push((records, done));
            if batch.records >= self.options.batch_max {
                break;
            }
            next = self.jobs.try_recv().ok();
        }
        (batch, None)
    }

    fn commit(&mut self, batch: Batch) {
        if batch.commits.is_empty() {
            return;
        }
        let began = monotonic();
        let opened = self.open();
        let mut outcomes = Vec::with_capacity(batch.commits.len());
        let mut accepted = Vec::with_capacity(batch.commits.len());
        let mut expected = HashMap::new();
        for (records, done) in batch.commits {
            let verdict = match &opened {
                Ok(()) => self.judge(&records, &mut expected),
                Err(failed) => Err(failed.clone()),
            };
            outcomes.push((records.service, done, verdict.clone()));
            match verdict {
                Ok(()) => accepted.push(records),
                // Nothing of it that follows in this transaction is taken either.
                Err(_) => drop(self.refused.insert(records.service)),
            }
        }
        let written = self.write(&accepted);
        self.told(&accepted, began.elapsed(), written.as_ref().ok());
        for (service, done, verdict) in outcomes {
            let outcome = verdict.and_then(|()| match &written {
                Ok(written) => is_ours(written, service),
                Err(failed) => Err(failed.clone()),
            });
            if outcome.is_err() {
                self.refused.insert(service);
            }
            done.tell(outcome);
        }
        if let Some(info) = self.kept.between() {
            (self.options.on_log)(&info);
        }
    }

    /// Whether the records follow what is durable or goes before them in this transaction.
    fn judge(
        &self,
        records: &Records,
        expected: &mut HashMap<ServiceId, u64>,
    ) -> Result<(), CommitFailed> {
        if !self.here.has(records.service) {
            return Err(CommitFailed::NotHere);
        }
        if self.refused.contains(&records.service) {
            return Err(CommitFailed::Refused);
        }
        let head = self.kept.head(records.service);
        if let Some(epoch) = head.superseded {
            return Err(CommitFailed::Superseded { epoch });
        }
        let next = expected.entry(records.service).or_insert(head.seq + 1);
        let after = follow(*next, &records.entries)?;
        *next = after;
        Ok(())
    }

    fn write(&mut self, accepted: &[Records]) -> Result<Written, CommitFailed> {
        if accepted.iter().all(|records| records.entries.is_empty()) {
            return Ok(Written::default());
        }
        match self.kept.append(accepted) {
            Ok(written) => {
                self.progress.committed(self.kept.position());
                self.wake_projector();
                Ok(written)
            }
            Err(error) => {
                tracing::error!(%error, cause = ?error, "a commit of the journal failed");
                Err(CommitFailed::Storage(Arc::new(error)))
            }
        }
    }

    /// Opened and read again when the last transaction failed.
    fn open(&mut self) -> Result<(), CommitFailed> {
        let opened = self.kept.open().map_err(|error| {
            tracing::error!(%error, cause = ?error, "the journal cannot be opened again");
            CommitFailed::Storage(Arc::new(error))
        })?;
        if opened {
            // A transaction whose sync failed may turn out to have been kept.
            self.progress.committed(self.kept.position());
            self.wake_projector();
        }
        Ok(())
    }

    fn wake_projector(&self) {
        match self.wake.try_send(()) {
            // Full: it is awake already. Gone: the archive was closed first.
            Ok(()) | Err(_) => (),
        }
    }

    fn reopen(&mut self, service: ServiceId, done: Told<u64>) {
        let outcome = self.open().and_then(|()| {
            if !self.here.has(service) {
                return Err(CommitFailed::NotHere);
            }
            let head = self.kept.head(service);
            if let Some(epoch) = head.superseded {
                return Err(CommitFailed::Superseded { epoch });
            }
            self.refused.remove(&service);
            Ok(head.seq)
        });
        done.tell(outcome);
    }

    fn rewrite(&mut self, service: ServiceId, rewrite: &Rewrite) -> Result<(), CommitFailed> {
        self.open()?;
        if !self.here.has(service) {
            return Err(CommitFailed::NotHere);
        }
        self.kept.rewrite(service, rewrite).map_err(|error| {
            tracing::error!(%error, cause = ?error, "the journal could not be rewritten");
            CommitFailed::Storage(Arc::new(error))
        })
    }

    fn own(&mut self, service: ServiceId, least: u64) -> Result<u64, CommitFailed> {
        self.open()?;
        let epoch = self.kept.own(service, least).map_err(|error| not_taken(service, error))?;
        self.begins(service);
        Ok(epoch)
    }

    fn take(&mut self, service: ServiceId, epoch: u64) -> Result<u64, CommitFailed> {
        self.open()?;
        let head = self.kept.take(service, epoch).map_err(|error| not_taken(service, error))?;
        if let Some(epoch) = head.superseded {
            return Err(CommitFailed::Superseded { epoch });
        }
        self.begins(service);
        Ok(head.seq)
    }

    fn begins(&mut self, service: ServiceId) {
        self.here.take(service);
        self.refused.remove(&service);
        self.progress.committed(self.kept.position());
        self.wake_projector();
    }

    fn leave(&mut self, service: ServiceId) -> Result<u64, CommitFailed> {
        self.here.leave(service);
        // Where a commit was not answered, whether it was kept is asked now or never.
        let opened = self.open();
        let seq = self.kept.head(service).seq;
        self.kept.leave(service);
        self.refused.remove(&service);
        opened.map(|()| seq)
    }

    fn told(&self, commits: &[Records], took: Duration, written: Option<&Written>) {
        let records = commits.iter().flat_map(|records| &records.entries);
        let (count, bytes) =
            records.fold((0, 0), |(count, bytes), entry| (count + 1, bytes + entry.body.len()));
        if commits.is_empty() {
            return;
        }
        (self.options.on_commit)(&CommitInfo {
            submissions: commits.len(),
            records: count,
            bytes,
            took,
            synced: written.map_or(Duration::ZERO, |written| written.synced),
            succeeded: written.is_some(),
            superseded: written.map_or_else(Vec::new, |written| {
                written.superseded.iter().map(|(service, _)| *service).collect()
            }),
            queued: self.queued.load(Ordering::Acquire),
        });
    }
}

fn not_taken(service: ServiceId, error: StoreError) -> CommitFailed {
    tracing::error!(%error, cause = ?error, %service, "a service could not be taken over");
    CommitFailed::Storage(Arc::new(error))
}

fn is_ours(written: &Written, service: ServiceId) -> Result<(), CommitFailed> {
    let superseded = written.superseded.iter().find(|(other, _)| *other == service);
    superseded.map_or(Ok(()), |(_, epoch)| Err(CommitFailed::Superseded { epoch: *epoch }))
}

/// Checks that `records` are `next`, `next + 1`, …; returns what follows them.
pub(super) fn follow(next: u64, records: &[Entry]) -> Result<u64, CommitFailed> {
    records.iter().try_fold(next, |expected, entry| {
        if entry.seq == expected {
            Ok(expected + 1)
        } else {
            Err(CommitFailed::Conflict { expected, found: entry.seq })
        }
    })
}
