//! The journal's thread: what goes into one transaction, and what a failed one means.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

use usher_domain::ids::ServiceId;

use super::disk::JournalFile;
use super::rewrite::Rewrite;
use super::write_back::WriteBack;
use super::{CommitFailed, CommitInfo, Entry, JournalOptions, LogInfo};
use crate::directory::DataDir;
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
        rewrite: Rewrite,
        done: Told<()>,
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

pub(super) struct Writer {
    pub(super) dir: DataDir,
    /// `None` after the disk failed, until it could be opened and read again.
    pub(super) file: Option<JournalFile>,
    pub(super) back: WriteBack,
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

impl Writer {
    pub(super) fn run(mut self) {
        while let Ok(job) = self.jobs.recv() {
            let (batch, then) = self.gather(job);
            self.commit(batch);
            match then {
                None => (),
                Some(Between::Reopen { service, done }) => self.reopen(service, done),
                Some(Between::Rewrite { rewrite, done }) => self.rewrite(&rewrite, done),
                Some(Between::Close) => break,
                #[cfg(test)]
                Some(Between::Run(run)) => run(self.file.as_ref().unwrap().connection()),
            }
        }
        self.progress.end();
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
            if verdict.is_ok() {
                accepted.push(records);
            } else {
                self.refused.insert(records.service);
            }
            outcomes.push((done, verdict));
        }
        let written = self.write(&accepted);
        if let Ok(synced) = &written {
            self.told(&accepted, began.elapsed(), *synced, true);
        } else {
            self.refused.extend(accepted.iter().map(|records| records.service));
            self.told(&accepted, began.elapsed(), Duration::ZERO, false);
        }
        for (done, verdict) in outcomes {
            done.tell(verdict.and_then(|()| written.clone().map(|_| ())));
        }
        self.write_back();
    }

    /// Whether the records follow what is durable or goes before them in this transaction.
    fn judge(
        &self,
        records: &Records,
        expected: &mut HashMap<ServiceId, u64>,
    ) -> Result<(), CommitFailed> {
        if self.refused.contains(&records.service) {
            return Err(CommitFailed::Refused);
        }
        let durable = || self.file.as_ref().map_or(0, |file| file.head(records.service));
        let next = expected.entry(records.service).or_insert_with(|| durable() + 1);
        let after = follow(*next, &records.entries)?;
        *next = after;
        Ok(())
    }

    /// One transaction; after a failure the connection is not trusted any more.
    fn write(&mut self, accepted: &[Records]) -> Result<Duration, CommitFailed> {
        let Some(file) = &mut self.file else { return Ok(Duration::ZERO) };
        if accepted.iter().all(|records| records.entries.is_empty()) {
            return Ok(Duration::ZERO);
        }
        match file.append(accepted) {
            Ok(synced) => {
                self.progress.committed(file.last_id());
                self.wake_projector();
                Ok(synced)
            }
            Err(error) => {
                tracing::error!(%error, cause = ?error, "a commit of the journal failed");
                self.file = None;
                Err(CommitFailed::Storage(Arc::new(error)))
            }
        }
    }

    /// The file, opened and read again when the last transaction failed.
    fn open(&mut self) -> Result<(), CommitFailed> {
        if self.file.is_none() {
            // Whatever came of it, the log is written back anew.
            drop(self.back.settle());
            let file = JournalFile::reopen(&self.dir, self.options.log, self.back.file());
            let file = file.map_err(|error| {
                tracing::error!(%error, cause = ?error, "the journal cannot be opened again");
                CommitFailed::Storage(Arc::new(error))
            })?;
            // A transaction whose sync failed may turn out to have been kept.
            self.progress.committed(file.last_id());
            self.wake_projector();
            self.file = Some(file);
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
        let outcome = self.open().map(|()| {
            self.refused.remove(&service);
            self.file.as_ref().map_or(0, |file| file.head(service))
        });
        done.tell(outcome);
    }

    fn rewrite(&mut self, rewrite: &Rewrite, done: Told<()>) {
        let outcome = self.open().and_then(|()| {
            let Some(file) = &mut self.file else { return Ok(()) };
            let settled = self.back.settle().transpose();
            settled.and_then(|_| file.rewrite(rewrite)).map_err(|error| {
                tracing::error!(%error, cause = ?error, "the journal could not be rewritten");
                self.file = None;
                CommitFailed::Storage(Arc::new(error))
            })
        });
        done.tell(outcome);
    }

    /// What the log needs between two transactions.
    fn write_back(&mut self) {
        let Some(file) = &mut self.file else { return };
        let (bytes, full, began) = (file.log().bytes(), self.back.is_full(file), monotonic());
        let turned = self.back.turn(file);
        let succeeded = turned.is_ok();
        if !turned.unwrap_or_else(|error| {
            tracing::error!(%error, cause = ?error, "the journal's log cannot be written back");
            self.file = None;
            true
        }) {
            return;
        }
        (self.options.on_log)(&LogInfo { bytes, waited: began.elapsed(), full, succeeded });
    }

    fn told(&self, commits: &[Records], took: Duration, synced: Duration, succeeded: bool) {
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
            synced,
            succeeded,
            queued: self.queued.load(Ordering::Acquire),
        });
    }
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
