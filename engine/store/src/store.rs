//! The two stores, on disk and in memory, each opened whole: journal, archive, and what joins them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use usher_domain::ids::ServiceId;

use crate::archive::{Archive, ArchiveOptions, Projector};
use crate::directory::DataDir;
use crate::error::StoreError;
use crate::journal::{
    CommitFailed, Here, Journal, JournalFile, JournalOptions, MemoryJournal, PgJournal, Step,
};
use crate::media::MediaStore;
use crate::mine::Mine;
use crate::postgres::{Files, Pool, Postgres, Purpose, Server, migrate, until_done};
use crate::progress::Progress;

/// Whoever has the service next does not wait for a database that is silent.
const LEAVES_WITHIN: Duration = Duration::from_secs(5);

/// Limits and listeners of a store.
#[derive(Debug, Default)]
pub struct StoreOptions {
    pub journal: JournalOptions,
    pub archive: ArchiveOptions,
    /// Records are kept there; `None`: in the data directory, like everything else.
    pub postgres: Option<Postgres>,
    /// Services come one by one ([`Store::take`]), and nothing else is written; `false`: all are this
    /// process's, taken over from whoever had them.
    pub one_by_one: bool,
    /// Whoever submits waits until it is committed and projected, as with a store in memory: for tests
    /// under a paused clock, which is not to go on meanwhile.
    pub in_step: bool,
}

/// Longest wait for what was committed to be projected.
const STEP_WITHIN: Duration = Duration::from_secs(30);

/// An open store. Dropping it commits what was submitted and brings the archive level.
#[derive(Debug)]
pub struct Store {
    journal: Journal,
    archive: Archive,
    media: MediaStore,
    dir: Option<DataDir>,
    /// The journal's thread, then the projector's: ended in this order; then what levels files.
    threads: Vec<JoinHandle<()>>,
    closing: Arc<AtomicBool>,
    /// Where a store in memory keeps its media.
    _scratch: Option<tempfile::TempDir>,
}

impl Store {
    /// Locks and opens a data directory; the archive is level with the journal when this returns.
    ///
    /// With PostgreSQL, every service that ever wrote is taken over from whoever had it, unless they
    /// come one by one.
    pub fn open(path: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let dir = DataDir::lock(path)?;
        match options.postgres.clone() {
            None => Self::on_disk(dir, options),
            Some(postgres) => Self::shared(dir, postgres, options),
        }
    }

    fn on_disk(dir: DataDir, options: StoreOptions) -> Result<Self, StoreError> {
        let file = JournalFile::open(&dir, options.journal.log)?;
        let progress = Arc::new(Progress::new(file.last_id()));
        let (wake, woken) = sync_channel(1);
        let (archive, projecting) = Archive::open(&dir, options.archive, &progress, woken)?;
        let media = MediaStore::open(&dir.media())?;
        let file = (file, Here::new(options.one_by_one));
        let (journal, writing) = Journal::open(&dir, options.journal, progress, file, wake)?;
        let journal = if options.in_step { journal.in_step(step(&archive)) } else { journal };
        let (threads, closing) = (vec![writing, projecting], Arc::default());
        Ok(Self { journal, archive, media, dir: Some(dir), threads, closing, _scratch: None })
    }

    fn shared(dir: DataDir, postgres: Postgres, options: StoreOptions) -> Result<Self, StoreError> {
        let server = Server::new(postgres)?;
        migrate(&server.connect(Purpose::Journal)?)?;
        let mine = Arc::new(Mine::new(options.one_by_one));
        let mut kept = PgJournal::open(Arc::clone(&server), Arc::clone(&mine));
        if !options.one_by_one {
            kept.take_over()?;
        }
        let pool = Pool::new(Arc::clone(&server));
        let progress = Arc::new(Progress::new(0));
        let (wake, woken) = sync_channel(1);
        let known = (Arc::clone(&progress), mine);
        let (archive, projecting) =
            Archive::shared((&server, &pool), options.archive, known, woken)?;
        let media = MediaStore::shared(&dir.media(), Arc::new(Files::new(&server)))?;
        let kept = (kept, Here::new(options.one_by_one), pool);
        let (journal, writing) = Journal::shared(kept, options.journal, progress, wake)?;
        let journal = if options.in_step { journal.in_step(step(&archive)) } else { journal };
        let closing = Arc::new(AtomicBool::new(false));
        let levelling = level(media.clone(), Arc::clone(&closing))?;
        let threads = vec![writing, projecting, levelling];
        Ok(Self { journal, archive, media, dir: Some(dir), threads, closing, _scratch: None })
    }

    /// Takes a service over from whoever had it: what they try to commit from now on is refused.
    /// Returns the epoch under which it is written here, higher than any before and at least
    /// `least`. A data directory has one process anyway, and its epoch stays what is asked for.
    pub fn own(&self, service: ServiceId, least: u64) -> Result<u64, CommitFailed> {
        self.journal.own(service, least)
    }

    /// From now on a service is written here under `epoch`, under which it was claimed in the database
    /// before: who had it can commit nothing more. The archive shows all of it when this returns, and
    /// until then nothing may be submitted. Blocks, for as long as the archive takes to show what was
    /// committed elsewhere last.
    pub fn take(&self, service: ServiceId, epoch: u64) -> Result<(), StoreError> {
        let seq = self.journal.take(service, epoch)?;
        let taken = self.archive.take(service, seq);
        if taken.is_err() {
            self.leave(service);
        }
        taken
    }

    /// Nothing of a service that is submitted after this is written here. What was submitted before is
    /// durable and in the archive, or was refused. Blocks, no longer than twice `LEAVES_WITHIN`: what is
    /// under way then is the database's to refuse, once another has claimed the service.
    pub fn leave(&self, service: ServiceId) {
        match self.journal.leave(service, LEAVES_WITHIN) {
            Ok(seq) => self.archive.leave(service, seq, LEAVES_WITHIN),
            Err(error) => {
                tracing::warn!(%error, %service, "what is durable of a service that left is not known");
                self.archive.leave(service, 0, LEAVES_WITHIN);
            }
        }
    }

    /// A store that forgets everything, for tests and for trying things out. It commits and
    /// projects in the thread that submits, before `submit` returns.
    pub fn memory() -> Result<Self, StoreError> {
        let progress = Arc::new(Progress::new(0));
        let (projector, archive) = Projector::memory(progress)?;
        let journal = Journal::memory(MemoryJournal::new(projector));
        let scratch = tempfile::tempdir().map_err(StoreError::file(Path::new("media")))?;
        let media = MediaStore::open(scratch.path())?;
        let (threads, closing) = (Vec::new(), Arc::default());
        Ok(Self { journal, archive, media, dir: None, threads, closing, _scratch: Some(scratch) })
    }

    pub const fn journal(&self) -> &Journal {
        &self.journal
    }

    pub const fn archive(&self) -> &Archive {
        &self.archive
    }

    pub const fn media(&self) -> &MediaStore {
        &self.media
    }

    /// Where it is kept; `None` in memory.
    pub const fn dir(&self) -> Option<&DataDir> {
        self.dir.as_ref()
    }

    /// Commits what was submitted, brings the archive level, and ends both threads.
    pub fn close(self) {
        drop(self);
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        self.journal.close();
        self.archive.hurry();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
    }
}

fn step(archive: &Archive) -> Step {
    let archive = archive.clone();
    Step::new(move |service, seq| {
        let shown = until_done(archive.wait(service, seq), STEP_WITHIN);
        if !matches!(shown, Some(Ok(()))) {
            tracing::warn!(%service, seq, ?shown, "what was committed is not shown");
        }
    })
}

/// Beside everything else: nothing waits for it.
fn level(media: MediaStore, closing: Arc<AtomicBool>) -> Result<JoinHandle<()>, StoreError> {
    std::thread::Builder::new()
        .name("media".to_owned())
        .spawn(move || {
            if let Err(error) = media.level(&closing) {
                // The next start tries it again.
                tracing::warn!(cause = ?error, "files on this disk and in the database may differ");
            }
        })
        .map_err(StoreError::file(Path::new("media")))
}
