//! Files on disk, each under the SHA-256 of what it holds: stored once, never changed. Where records are
//! kept in a database that nodes share, so are files, and those on the disk are copies.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use crate::directory::sync_dir;
use crate::error::StoreError;
use crate::postgres::{Files, Known, PutFailed};

/// Copies looked at in one question.
const LEVELLED_AT_ONCE: usize = 64;

/// A file that is stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredFile {
    /// Lower-case hexadecimal.
    pub sha256: String,
    pub bytes: u64,
    pub path: PathBuf,
}

/// Where files lie: `media/ab/cdef…`. Every call blocks on the disk.
#[derive(Clone, Debug)]
pub struct MediaStore {
    root: Arc<Path>,
    /// Whence the other nodes read them.
    files: Option<Arc<Files>>,
}

/// A file that is being stored; dropped before [`MediaWriter::finish`], it never was.
#[derive(Debug)]
pub struct MediaWriter {
    store: MediaStore,
    file: NamedTempFile,
    digest: Sha256,
    bytes: u64,
}

impl MediaStore {
    pub(crate) fn open(root: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(root).map_err(StoreError::file(root))?;
        Ok(Self { root: root.into(), files: None })
    }

    pub(crate) fn shared(root: &Path, files: Arc<Files>) -> Result<Self, StoreError> {
        Ok(Self { files: Some(files), ..Self::open(root)? })
    }

    /// Begins a file whose bytes come one after the other.
    pub fn begin(&self) -> Result<MediaWriter, StoreError> {
        let file = NamedTempFile::new_in(&self.root).map_err(StoreError::file(&self.root))?;
        Ok(MediaWriter { store: self.clone(), file, digest: Sha256::new(), bytes: 0 })
    }

    /// Stores all that `from` yields.
    pub fn put(&self, mut from: impl Read) -> Result<StoredFile, StoreError> {
        let mut writer = self.begin()?;
        io::copy(&mut from, &mut writer).map_err(StoreError::file(&self.root))?;
        writer.finish()
    }

    /// The stored file; `None` when there is none of that digest.
    pub fn get(&self, sha256: &str) -> Result<Option<File>, StoreError> {
        let path = self.path(sha256)?;
        match File::open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.fetch(sha256, &path),
            Err(source) => Err(StoreError::File { path, source }),
        }
    }

    /// Copies a file that another node has stored.
    fn fetch(&self, sha256: &str, path: &Path) -> Result<Option<File>, StoreError> {
        let Some(files) = &self.files else { return Ok(None) };
        let mut writer = self.begin()?;
        if !files.get(&digest(sha256)?, &mut writer).map_err(|failed| told(failed, path))? {
            return Ok(None);
        }
        let copied = writer.keep()?;
        if copied.sha256 != sha256 {
            forget(&copied.path)?;
            return Err(StoreError::FileDiffers { sha256: sha256.to_owned() });
        }
        File::open(path).map(Some).map_err(StoreError::file(path))
    }

    /// Makes the database and the copies on this disk agree: what only lies here is brought there, what was
    /// removed there goes here. Ends early when it is told to.
    pub(crate) fn level(&self, stop: &AtomicBool) -> Result<(), StoreError> {
        let Some(files) = &self.files else { return Ok(()) };
        for first in 0..=u8::MAX {
            let copies = copies(&self.root.join(hex::encode([first])))?;
            for some in copies.chunks(LEVELLED_AT_ONCE) {
                if stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                self.level_some(files, some)?;
            }
        }
        Ok(())
    }

    fn level_some(&self, files: &Files, copies: &[[u8; 32]]) -> Result<(), StoreError> {
        let known = files.known(copies)?;
        for sha256 in copies {
            let path = self.path(&hex::encode(sha256))?;
            match known.get(sha256) {
                Some(Known::There) => {}
                Some(Known::Removed) => forget(&path)?,
                None => bring(files, sha256, &path)?,
            }
        }
        Ok(())
    }

    /// Removes a file; one that is not there is no error.
    pub fn remove(&self, sha256: &str) -> Result<(), StoreError> {
        if let Some(files) = &self.files {
            files.remove(&digest(sha256)?)?;
        }
        forget(&self.path(sha256)?)
    }

    /// Where a file of that digest lies or would lie.
    pub fn path(&self, sha256: &str) -> Result<PathBuf, StoreError> {
        let hexadecimal = |c: char| c.is_ascii_digit() || matches!(c, 'a'..='f');
        match sha256.split_at_checked(2) {
            Some((first, rest)) if rest.len() == 62 && sha256.chars().all(hexadecimal) => {
                Ok(self.root.join(first).join(rest))
            }
            Some(_) | None => Err(StoreError::NotADigest),
        }
    }
}

impl Write for MediaWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.digest.update(bytes.get(..written).unwrap_or_default());
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl MediaWriter {
    /// What was written so far, for limits.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes the file durable under its digest, for all nodes.
    pub fn finish(self) -> Result<StoredFile, StoreError> {
        let files = self.store.files.clone();
        let stored = self.keep()?;
        if let Some(files) = files {
            let sha256 = digest(&stored.sha256)?;
            if files.known(&[sha256])?.get(&sha256) != Some(&Known::There) {
                bring(&files, &sha256, &stored.path)?;
            }
        }
        Ok(stored)
    }

    /// On this disk.
    fn keep(self) -> Result<StoredFile, StoreError> {
        let sha256 = hex::encode(self.digest.finalize());
        let path = self.store.path(&sha256)?;
        let dir = path.parent().unwrap_or(&self.store.root);
        if !dir.exists() {
            fs::create_dir_all(dir).map_err(StoreError::file(dir))?;
            sync_dir(&self.store.root)?;
        }
        self.file.as_file().sync_all().map_err(StoreError::file(&path))?;
        self.file.persist(&path).map_err(|failed| StoreError::file(&path)(failed.error))?;
        sync_dir(dir)?;
        Ok(StoredFile { sha256, bytes: self.bytes, path })
    }
}

fn forget(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::file(path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn digest(sha256: &str) -> Result<[u8; 32], StoreError> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(sha256, &mut bytes).map_err(|_| StoreError::NotADigest)?;
    Ok(bytes)
}

fn bring(files: &Files, sha256: &[u8; 32], path: &Path) -> Result<(), StoreError> {
    let file = File::open(path).map_err(StoreError::file(path))?;
    files.put(sha256, file).map_err(|failed| told(failed, path))
}

fn told(failed: PutFailed, path: &Path) -> StoreError {
    match failed {
        PutFailed::Read(source) => StoreError::file(path)(source),
        PutFailed::Database(error) => error.into(),
    }
}

/// The files of one directory; what is not a file of ours is left alone.
fn copies(dir: &Path) -> Result<Vec<[u8; 32]>, StoreError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::file(dir)(error)),
    };
    let first = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.map_err(StoreError::file(dir))?.file_name();
        found.extend(digest(&format!("{first}{}", name.to_string_lossy())).ok());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_lies_under_its_digest_and_is_stored_once() {
        let dir = tempfile::tempdir().unwrap();
        let media = MediaStore::open(dir.path()).unwrap();
        let stored = media.put(&b"abc"[..]).unwrap();
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((stored.sha256.as_str(), stored.bytes), (digest, 3));
        assert_eq!(media.put(&b"abc"[..]).unwrap(), stored);
        let mut read = String::new();
        media.get(digest).unwrap().unwrap().read_to_string(&mut read).unwrap();
        assert_eq!(read, "abc");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left lying about");
        media.remove(digest).unwrap();
        assert!(media.get(digest).unwrap().is_none());
    }

    #[test]
    fn what_is_not_a_digest_is_no_path() {
        let dir = tempfile::tempdir().unwrap();
        let media = MediaStore::open(dir.path()).unwrap();
        let capital = "B".repeat(64);
        for bad in ["", "../../etc/passwd", "ab", &"/".repeat(64), &capital] {
            assert!(matches!(media.get(bad), Err(StoreError::NotADigest)), "{bad}");
        }
        drop(media.begin().unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
