//! The journal: every service's records, in the one order they happened, durable before told.

mod disk;
mod here;
mod kept;
mod log;
mod memory;
mod on_disk;
mod postgres;
mod reader;
mod rewrite;
mod write_back;
mod writer;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use thiserror::Error;
use usher_domain::ids::ServiceId;

use crate::db::DbError;
use crate::directory::DataDir;
use crate::error::StoreError;
use crate::postgres::Pool;
use crate::progress::Progress;

pub(crate) use disk::JournalFile;
pub(crate) use here::Here;
use kept::Kept;
pub(crate) use memory::MemoryJournal;
use on_disk::OnDisk;
pub(crate) use postgres::PgJournal;
pub use reader::{JournalReader, JournalRow};
pub(crate) use rewrite::Rewrite;
use write_back::WriteBack;
pub use write_back::{LogInfo, LogLimits};
use writer::{Between, Job, Records, Told, Writer};

/// One record as it is handed in: its place in the service's sequence, and its body.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Gapless per service, from 1.
    pub seq: u64,
    pub body: String,
}

type Tells<T> = Box<dyn FnOnce(Result<T, CommitFailed>) + Send>;

/// Told once, in order of submission; runs on the journal's thread, so it only passes on.
pub type Done = Tells<()>;

/// Told how far a service is durable when it is taken again.
pub type Reopened = Tells<u64>;

/// Where a journal's readers read.
#[derive(Clone, Debug)]
enum Read {
    Disk(DataDir),
    Postgres(Arc<Pool>),
}

/// Records that become durable together, and what waits for it. No records: a fence.
pub struct Commit {
    pub service: ServiceId,
    pub records: Vec<Entry>,
    pub done: Done,
}

impl fmt::Debug for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commit")
            .field("service", &self.service)
            .field("records", &self.records.len())
            .finish_non_exhaustive()
    }
}

/// The journal's queue is full; the commit comes back untouched.
#[derive(Debug, Error)]
#[error("the journal's queue is full")]
pub struct Full(pub Commit);

/// Why records are not durable.
#[derive(Clone, Debug, Error)]
pub enum CommitFailed {
    #[error("the journal could not be written")]
    Storage(#[source] Arc<StoreError>),
    #[error("record {found} does not follow the last one; expected {expected}")]
    Conflict { expected: u64, found: u64 },
    /// An earlier commit of the service failed and the service was not reopened since.
    #[error("an earlier commit of this service failed")]
    Refused,
    /// Another process owns the service: nothing of it is written from here any more.
    #[error("the service is owned by somebody else, under epoch {epoch}")]
    Superseded { epoch: u64 },
    /// The service was not taken by this process, or has left it.
    #[error("the service is not written here")]
    NotHere,
    #[error("the journal has been closed")]
    Closed,
}

/// What one transaction was, for metrics.
#[derive(Clone, Debug)]
pub struct CommitInfo {
    pub submissions: usize,
    pub records: usize,
    pub bytes: usize,
    /// From the transaction's begin to its end, the wait for the disk included.
    pub took: Duration,
    /// The COMMIT alone: in essence the wait for the disk.
    pub synced: Duration,
    pub succeeded: bool,
    /// Services in it that somebody else owns by now; the others were written.
    pub superseded: Vec<ServiceId>,
    /// Submissions that came meanwhile.
    pub queued: usize,
}

/// Hears of every transaction.
pub type OnCommit = Box<dyn Fn(&CommitInfo) + Send>;

/// Hears whenever commits waited for the log to be written back.
pub type OnLog = Box<dyn Fn(&LogInfo) + Send>;

/// What a test does on the writer's connection.
#[cfg(test)]
type Run = Box<dyn FnOnce(&rusqlite::Connection) + Send>;

/// Limits of the journal and who hears of its commits.
pub struct JournalOptions {
    /// Most records of one transaction (a submission is never split).
    pub batch_max: usize,
    /// Most submissions waiting; beyond it [`Journal::submit`] answers [`Full`].
    pub queue_max: usize,
    pub log: LogLimits,
    /// Runs on the journal's thread after each transaction.
    pub on_commit: OnCommit,
    /// Runs on the journal's thread whenever commits waited for the log.
    pub on_log: OnLog,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            batch_max: 1024,
            queue_max: 65_536,
            log: LogLimits::default(),
            on_commit: Box::new(|_| ()),
            on_log: Box::new(|_| ()),
        }
    }
}

impl fmt::Debug for JournalOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournalOptions")
            .field("batch_max", &self.batch_max)
            .field("queue_max", &self.queue_max)
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

/// The way to the journal; cheap to clone, never blocks on the disk.
#[derive(Clone, Debug)]
pub struct Journal {
    way: Way,
    /// What whoever submits waits for besides the commit.
    step: Option<Step>,
}

/// Waits for the archive to show a service's record.
#[derive(Clone)]
pub(crate) struct Step(Arc<dyn Fn(ServiceId, u64) + Send + Sync>);

impl Step {
    pub(crate) fn new(made: impl Fn(ServiceId, u64) + Send + Sync + 'static) -> Self {
        Self(Arc::new(made))
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step").finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
enum Way {
    Thread {
        jobs: Sender<Job>,
        queued: Arc<AtomicUsize>,
        queue_max: usize,
        read: Read,
    },
    /// Commits in the caller's thread, so that a run under a paused clock repeats.
    Memory(Arc<MemoryJournal>),
}

impl Journal {
    /// Opens `journal.db` and starts its thread, which ends after [`Journal::close`].
    pub(crate) fn open(
        dir: &DataDir,
        options: JournalOptions,
        progress: Arc<Progress>,
        (file, here): (JournalFile, Here),
        wake: SyncSender<()>,
    ) -> Result<(Self, JoinHandle<()>), StoreError> {
        let back = WriteBack::start(dir, options.log)?;
        let limits = options.log;
        let kept = OnDisk { dir: dir.clone(), file: Some(file), back, limits };
        Self::start((kept, here, Read::Disk(dir.clone())), options, progress, wake)
    }

    /// The journal in PostgreSQL, read through `pool`.
    pub(crate) fn shared(
        (kept, here, pool): (PgJournal, Here, Arc<Pool>),
        options: JournalOptions,
        progress: Arc<Progress>,
        wake: SyncSender<()>,
    ) -> Result<(Self, JoinHandle<()>), StoreError> {
        Self::start((kept, here, Read::Postgres(pool)), options, progress, wake)
    }

    fn start(
        (kept, here, read): (impl Kept + 'static, Here, Read),
        options: JournalOptions,
        progress: Arc<Progress>,
        wake: SyncSender<()>,
    ) -> Result<(Self, JoinHandle<()>), StoreError> {
        let (jobs, taken) = channel();
        let queued = Arc::new(AtomicUsize::new(0));
        let queue_max = options.queue_max;
        let writer = Writer {
            kept,
            here,
            refused: HashSet::new(),
            options,
            jobs: taken,
            queued: Arc::clone(&queued),
            progress,
            wake,
        };
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| StoreError::Database(DbError::Io(error)))?;
        Ok((Self { way: Way::Thread { jobs, queued, queue_max, read }, step: None }, thread))
    }

    pub(crate) fn memory(memory: Arc<MemoryJournal>) -> Self {
        Self { way: Way::Memory(memory), step: None }
    }

    /// From now on, whoever submits or reopens waits until it was done, and until `step` has been made.
    pub(crate) fn in_step(self, step: Step) -> Self {
        Self { step: Some(step), ..self }
    }

    /// Hands records in; whatever arrives while a commit runs becomes the next transaction.
    ///
    /// `done` hears the outcome in any case but [`Full`].
    pub fn submit(&self, commit: Commit) -> Result<(), Full> {
        match &self.way {
            Way::Memory(memory) => memory.submit(commit),
            Way::Thread { jobs, queued, queue_max, .. } => {
                if queued.fetch_add(1, Ordering::AcqRel) >= *queue_max {
                    queued.fetch_sub(1, Ordering::AcqRel);
                    return Err(Full(commit));
                }
                let (service, last) = (commit.service, commit.records.last().map(|last| last.seq));
                let (done, heard) = self.heard(commit.done);
                let records = Records { service, entries: commit.records };
                // Nobody there to take it: dropped, it says so itself.
                drop(jobs.send(Job::Commit(records, Told::new(done))));
                let (Some(heard), Some(step)) = (heard, &self.step) else { return Ok(()) };
                if let (Ok(true), Some(last)) = (heard.recv(), last) {
                    (step.0)(service, last);
                }
            }
        }
        Ok(())
    }

    /// In step, also tells right here whether it succeeded.
    fn heard<T: 'static>(&self, done: Tells<T>) -> (Tells<T>, Option<Receiver<bool>>) {
        if self.step.is_none() {
            return (done, None);
        }
        let (told, heard) = channel();
        let both = move |outcome: Result<T, CommitFailed>| {
            let succeeded = outcome.is_ok();
            done(outcome);
            // Whoever submits waits for it.
            told.send(succeeded).ok();
        };
        (Box::new(both), Some(heard))
    }

    /// Takes records of a service again after a failed commit; what was submitted before this is
    /// still refused. `done` hears the last durable sequence, from which the service is rebuilt.
    pub fn reopen(&self, service: ServiceId, done: Reopened) {
        match &self.way {
            Way::Memory(memory) => memory.reopen(service, done),
            Way::Thread { jobs, .. } => {
                let (done, heard) = self.heard(done);
                let done = Told::new(done);
                drop(jobs.send(Job::Between(Between::Reopen { service, done })));
                // Whatever came of it.
                heard.and_then(|heard| heard.recv().ok());
            }
        }
    }

    /// Takes durable rows of a service out or says them anew, between two transactions; waits for it.
    pub(crate) fn rewrite(&self, service: ServiceId, rewrite: Rewrite) -> Result<(), CommitFailed> {
        match &self.way {
            Way::Memory(memory) => {
                memory.rewrite(rewrite);
                Ok(())
            }
            Way::Thread { jobs, .. } => {
                asked(jobs, |done| Between::Rewrite { service, rewrite, done }, ANSWERED_ANY_TIME)
            }
        }
    }

    /// Takes a service over from whoever had it; the epoch under which it is written from now on,
    /// higher than any before and at least `least`. Waits for it.
    pub(crate) fn own(&self, service: ServiceId, least: u64) -> Result<u64, CommitFailed> {
        match &self.way {
            Way::Memory(memory) => {
                memory.take(service);
                Ok(least.max(1))
            }
            Way::Thread { jobs, .. } => {
                asked(jobs, |done| Between::Own { service, least, done }, ANSWERED_ANY_TIME)
            }
        }
    }

    /// Writes a service from now on, under the epoch under which it was claimed; its last durable
    /// sequence. Waits for it.
    pub(crate) fn take(&self, service: ServiceId, epoch: u64) -> Result<u64, CommitFailed> {
        match &self.way {
            Way::Memory(memory) => Ok(memory.take(service)),
            Way::Thread { jobs, .. } => {
                asked(jobs, |done| Between::Take { service, epoch, done }, ANSWERED_ANY_TIME)
            }
        }
    }

    /// Writes nothing of a service that is submitted after this; its last durable sequence. Waits for
    /// what was submitted before, no longer than `within`; it is refused at its turn all the same.
    pub(crate) fn leave(&self, service: ServiceId, within: Duration) -> Result<u64, CommitFailed> {
        match &self.way {
            Way::Memory(memory) => Ok(memory.leave(service)),
            Way::Thread { jobs, .. } => {
                asked(jobs, |done| Between::Leave { service, done }, within)
            }
        }
    }

    /// Commits what was submitted, then refuses everything.
    pub fn close(&self) {
        match &self.way {
            Way::Memory(memory) => memory.close(),
            // Nobody there: it has ended already.
            Way::Thread { jobs, .. } => drop(jobs.send(Job::Between(Between::Close))),
        }
    }

    /// Submissions that wait for a transaction.
    pub fn queued(&self) -> usize {
        match &self.way {
            Way::Memory(_) => 0,
            Way::Thread { queued, .. } => queued.load(Ordering::Acquire),
        }
    }

    /// A connection of one's own for reading what is durable.
    pub fn reader(&self) -> Result<JournalReader, StoreError> {
        match &self.way {
            Way::Memory(memory) => Ok(JournalReader::memory(Arc::clone(memory))),
            Way::Thread { read: Read::Disk(dir), .. } => JournalReader::open(dir),
            Way::Thread { read: Read::Postgres(pool), .. } => {
                Ok(JournalReader::pooled(Arc::clone(pool)))
            }
        }
    }

    /// Runs on the writer's own connection, to break it in tests.
    #[cfg(test)]
    pub(crate) fn with_connection(&self, run: Run) {
        if let Way::Thread { jobs, .. } = &self.way {
            jobs.send(Job::Between(Between::Run(run))).unwrap();
        }
    }
}

/// As long as it takes the journal's thread, which always answers, or ends.
const ANSWERED_ANY_TIME: Duration = Duration::MAX;

/// Has something done between two transactions, and waits for what came of it.
fn asked<T: Send + 'static>(
    jobs: &Sender<Job>,
    between: impl FnOnce(Told<T>) -> Between,
    within: Duration,
) -> Result<T, CommitFailed> {
    let (told, outcome) = channel();
    let done = Told::new(Box::new(move |result| {
        // Who asked has waited long enough.
        drop(told.send(result));
    }));
    drop(jobs.send(Job::Between(between(done))));
    outcome.recv_timeout(within).unwrap_or(Err(CommitFailed::Closed))
}
