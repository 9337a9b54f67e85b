//! The journal's write-ahead log: how long it may get, and how what it holds comes into the file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rusqlite::Connection;

use crate::error::StoreError;

/// A page in the log with the head before it.
const FRAME_BYTES: u64 = PAGE_BYTES + FRAME_HEAD_BYTES;
const PAGE_BYTES: u64 = 4096;
/// The page's number, and with it what tells whether the frame is of this log and whole.
const FRAME_HEAD_BYTES: u64 = 24;
const HEAD_BYTES: u64 = 32;

/// Pages that every transaction writes beside those of its bodies: the leaf that it begins in, the
/// one above it, and the services' heads.
const PAGES_BESIDE: u64 = 3;

/// How far the log was written back.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Reached {
    /// Frames that the log holds.
    pub(super) held: u64,
    /// Of these, frames that stand in the file as well; durable there only once all of them are.
    pub(super) back: u64,
}

impl Reached {
    /// The next commit begins the log anew, unless somebody reads in it.
    pub(super) const fn is_whole(self) -> bool {
        self.held == self.back
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Mode {
    /// As far as it goes without waiting for anybody.
    Passive,
    /// Waits for readers, so that the next commit does begin the log anew.
    Restart,
    /// As `Restart`, and nothing that the log held is left in it.
    Truncate,
}

/// Writes the log back; `None` while somebody keeps that from being done to the end.
pub(super) fn write_back(
    connection: &Connection,
    mode: Mode,
) -> Result<Option<Reached>, StoreError> {
    let sql = match mode {
        Mode::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
        Mode::Restart => "PRAGMA wal_checkpoint(RESTART)",
        Mode::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
    };
    let (busy, held, back): (bool, i64, i64) =
        connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let reached = u64::try_from(held).ok().zip(u64::try_from(back).ok());
    Ok(reached.filter(|_| !busy).map(|(held, back)| Reached { held, back }))
}

/// How long the log is, as far as is known without asking.
#[derive(Debug, Default)]
pub(super) struct Length {
    frames: u64,
    /// Of these, added since somebody was last asked to write it back.
    added: u64,
}

impl Length {
    /// A transaction with `bytes` of rows was added.
    pub(super) const fn grew(&mut self, bytes: u64) {
        let frames = bytes / PAGE_BYTES + PAGES_BESIDE;
        self.frames += frames;
        self.added += frames;
    }

    /// It was written back while nobody added to it.
    pub(super) const fn told(&mut self, reached: Reached) {
        self.frames = if reached.is_whole() { 0 } else { reached.held };
        self.added = 0;
    }

    /// It was written back as far as it had come when somebody was asked to.
    pub(super) const fn told_beside(&mut self, reached: Reached) {
        self.frames = reached.held + self.added;
    }

    pub(super) const fn asked(&mut self) {
        self.added = 0;
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.frames * FRAME_BYTES
    }

    pub(super) const fn added_bytes(&self) -> u64 {
        self.added * FRAME_BYTES
    }
}

/// Gives the log its length beforehand: a file that does not grow is synced without a transaction
/// of the file system, which would wait for what others have written meanwhile. SQLite takes
/// frames of zeros for none.
pub(super) fn extend(log: &Path, bytes: u64) -> io::Result<()> {
    let piece = vec![0; 1 << 16];
    let mut file = File::options().append(true).open(log)?;
    let mut length = file.metadata()?.len();
    while length < bytes {
        file.write_all(&piece)?;
        length += piece.len() as u64;
    }
    file.sync_data()
}

/// Writes the newest of each page among the log's first `frames` into the file once more, and
/// syncs it.
///
/// SQLite takes them for written back. After a failed sync they may be clean in memory and missing
/// on the disk, and no later sync would notice; here they still stand.
pub(super) fn write_again(log: &Path, frames: u64, file: &File) -> io::Result<()> {
    let log = File::open(log)?;
    let mut newest = BTreeMap::new();
    for frame in 0..frames {
        let at = HEAD_BYTES + frame * FRAME_BYTES;
        let mut number = [0; 4];
        log.read_exact_at(&mut number, at)?;
        newest.insert(u32::from_be_bytes(number), at + FRAME_HEAD_BYTES);
    }
    let mut page = vec![0; usize::try_from(PAGE_BYTES).unwrap_or(usize::MAX)];
    for (number, at) in newest {
        log.read_exact_at(&mut page, at)?;
        file.write_all_at(&page, u64::from(number.saturating_sub(1)) * PAGE_BYTES)?;
    }
    file.sync_data()
}
