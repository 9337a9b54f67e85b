//! The two stores, on disk and in memory, each opened whole: journal, archive, and what joins them.

use std::collections::BTreeMap;
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
    CommitFailed, Journal, JournalFile, JournalOptions, MemoryJournal, PgJournal, Step,
};
use crate::media::MediaStore;
use crate::postgres::{Files, Pool, Postgres, Purpose, Server, free_archive, migrate, until_done};
use crate::progress::Progress;

/// Limits and listeners of a store.
#[derive(Debug, Default)]
pub struct StoreOptions {
    pub journal: JournalOptions,
    pub archive: ArchiveOptions,
    /// Records are kept there; `None`: in the data directory, like everything else.
    pub postgres: Option<Postgres>,
    /// The epochs under which services were claimed for this process, and nothing else is written;
    /// `None`: all are taken over from whoever had them.
    pub claimed: Option<BTreeMap<ServiceId, u64>>,
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
    /// were claimed one by one before.
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
        let (archive, projecting) =
            Archive::open(&dir, options.archive, Arc::clone(&progress), woken)?;
        let media = MediaStore::open(&dir.media())?;
        let (journal, writing) = Journal::open(&dir, options.journal, progress, file, wake)?;
        let journal = if options.in_step { journal.in_step(step(&archive)) } else { journal };
        let (threads, closing) = (vec![writing, projecting], Arc::default());
        Ok(Self { journal, archive, media, dir: Some(dir), threads, closing, _scratch: None })
    }

    fn shared(dir: DataDir, postgres: Postgres, options: StoreOptions) -> Result<Self, StoreError> {
        let server = Server::new(postgres)?;
        migrate(&server.connect(Purpose::Journal)?)?;
        let kept = PgJournal::open(Arc::clone(&server), options.claimed.as_ref())?;
        if options.claimed.is_some() {
            free_archive(&server);
        }
        let pool = Pool::new(Arc::clone(&server));
        let progress = Arc::new(Progress::new(0));
        let (wake, woken) = sync_channel(1);
        let (archive, projecting) =
            Archive::shared((&server, &pool), options.archive, Arc::clone(&progress), woken)?;
        let media = MediaStore::shared(&dir.media(), Arc::new(Files::new(&server)))?;
        let (journal, writing) = Journal::shared((kept, pool), options.journal, progress, wake)?;
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
