//! The data directory: where the files lie, and that one process alone has it.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::StoreError;

/// A data directory locked by this process for as long as a copy of this lives.
#[derive(Clone, Debug)]
pub struct DataDir {
    path: Arc<Path>,
    /// Held, never read: the lock ends with it.
    _lock: Arc<File>,
}

impl DataDir {
    /// Makes the directory where it is missing, and locks it.
    pub fn lock(path: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(path).map_err(StoreError::file(path))?;
        let lock_path = path.join("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(StoreError::file(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.into(), _lock: Arc::new(lock) }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { dir: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(StoreError::File { path: lock_path, source }),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.path.join("journal.db")
    }

    /// Its write-ahead log, beside it under SQLite's name.
    pub(crate) fn journal_log(&self) -> PathBuf {
        self.path.join("journal.db-wal")
    }

    pub(crate) fn archive(&self) -> PathBuf {
        self.path.join("archive.db")
    }

    /// Where a new archive grows before it takes the old one's place.
    pub(crate) fn archive_new(&self) -> PathBuf {
        self.path.join("archive.new.db")
    }

    pub(crate) fn media(&self) -> PathBuf {
        self.path.join("media")
    }

    pub(crate) fn seen(&self) -> PathBuf {
        self.path.join("seen")
    }
}

/// Makes a rename or a removal in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir).and_then(|opened| opened.sync_all()).map_err(StoreError::file(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_alone_has_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let held = DataDir::lock(dir.path()).unwrap();
        assert!(matches!(DataDir::lock(dir.path()), Err(StoreError::InUse { .. })));
        drop(held);
        DataDir::lock(dir.path()).unwrap();
    }
}
