//! The two stores, on disk and in memory, each opened whole: journal, archive, and what joins them.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;

use crate::archive::{Archive, ArchiveOptions, Projector};
use crate::directory::DataDir;
use crate::error::StoreError;
use crate::journal::{Journal, JournalFile, JournalOptions, MemoryJournal};
use crate::media::MediaStore;
use crate::progress::Progress;

/// Limits and listeners of a store.
#[derive(Debug, Default)]
pub struct StoreOptions {
    pub journal: JournalOptions,
    pub archive: ArchiveOptions,
}

/// An open store. Dropping it commits what was submitted and brings the archive level.
#[derive(Debug)]
pub struct Store {
    journal: Journal,
    archive: Archive,
    media: MediaStore,
    dir: Option<DataDir>,
    /// The journal's thread, then the projector's: ended in this order.
    threads: Vec<JoinHandle<()>>,
    /// Where a store in memory keeps its media.
    _scratch: Option<tempfile::TempDir>,
}

impl Store {
    /// Locks and opens a data directory; the archive is level with the journal when this returns.
    pub fn open(path: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let dir = DataDir::lock(path)?;
        let file = JournalFile::open(&dir, options.journal.log)?;
        let progress = Arc::new(Progress::new(file.last_id()));
        let (wake, woken) = sync_channel(1);
        let (archive, projecting) =
            Archive::open(&dir, options.archive, Arc::clone(&progress), woken)?;
        let media = MediaStore::open(&dir.media())?;
        let (journal, writing) = Journal::open(&dir, options.journal, progress, file, wake)?;
        let threads = vec![writing, projecting];
        Ok(Self { journal, archive, media, dir: Some(dir), threads, _scratch: None })
    }

    /// A store that forgets everything, for tests and for trying things out. It commits and
    /// projects in the thread that submits, before `submit` returns.
    pub fn memory() -> Result<Self, StoreError> {
        let progress = Arc::new(Progress::new(0));
        let (projector, archive) = Projector::memory(progress)?;
        let journal = Journal::memory(MemoryJournal::new(projector));
        let scratch = tempfile::tempdir().map_err(StoreError::file(Path::new("media")))?;
        let media = MediaStore::open(scratch.path())?;
        let threads = Vec::new();
        Ok(Self { journal, archive, media, dir: None, threads, _scratch: Some(scratch) })
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
        self.journal.close();
        self.archive.hurry();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
    }
}
