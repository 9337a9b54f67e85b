//! When the log goes back into the file: most of it beside the commits, the rest between two.
//!
//! A thread of its own writes back what the log holds while commits go on adding to it; that way
//! it never comes to the log's end. Once the log is long enough, the writer does the short rest,
//! and the next commit begins the log anew.

use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;

use super::disk::{self, JournalFile};
use super::log::{self, Mode, Reached};
use crate::directory::DataDir;
use crate::error::StoreError;

/// How long the journal's write-ahead log may get, and what happens then.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LogLimits {
    /// Written back beside the commits each time about this much was added.
    pub piece_bytes: u64,
    /// About this long it is written back to its end, and begins anew. Its file has this length
    /// from the start.
    pub bytes: u64,
    /// So long, commits wait for what holds it back: for a reader only a moment, so that a slow one
    /// lets it grow on.
    pub bytes_max: u64,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self { piece_bytes: 4 << 20, bytes: 16 << 20, bytes_max: 64 << 20 }
    }
}

/// How commits waited for the log, for metrics.
#[derive(Clone, Copy, Debug)]
pub struct LogInfo {
    /// How long the log had become.
    pub bytes: u64,
    pub waited: Duration,
    /// It had become as long as it may.
    pub full: bool,
    pub succeeded: bool,
}

/// A reader that holds back a log that is full is waited for no longer than this, again and again.
const READERS_WAITED_FOR: Duration = Duration::from_millis(250);

type Outcome = Result<Option<Reached>, StoreError>;

/// The way to the thread that writes back, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct WriteBack {
    limits: LogLimits,
    /// `None` once the thread is to end.
    orders: Option<SyncSender<()>>,
    outcomes: Receiver<Outcome>,
    under_way: bool,
    thread: Option<JoinHandle<()>>,
    /// Kept open longer than any connection of the writer: with the first of a process's
    /// descriptors that is closed go the locks that SQLite has on the file.
    file: Arc<File>,
}

impl WriteBack {
    pub(super) fn start(dir: &DataDir, limits: LogLimits) -> Result<Self, StoreError> {
        let path = dir.journal();
        let file = File::options().read(true).write(true).open(&path);
        let file = Arc::new(file.map_err(StoreError::file(&path))?);
        let (orders, taken) = sync_channel(1);
        let (told, outcomes) = sync_channel(1);
        let beside = Beside { dir: dir.clone(), connection: None, file: Arc::clone(&file) };
        let thread = thread::Builder::new()
            .name("journal-log".to_owned())
            .spawn(move || beside.run(&taken, &told))
            .map_err(StoreError::file(&path))?;
        let (orders, thread) = (Some(orders), Some(thread));
        Ok(Self { limits, orders, outcomes, under_way: false, thread, file })
    }

    /// The journal's file as a file.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) const fn is_full(&self, file: &JournalFile) -> bool {
        file.log().bytes() >= self.limits.bytes_max
    }

    /// What is due between two commits; whether a commit would have waited for it.
    pub(super) fn turn(&mut self, file: &mut JournalFile) -> Result<bool, StoreError> {
        if file.remains() {
            self.settle().transpose()?;
            file.write_back(Mode::Truncate, Duration::ZERO)?;
            return Ok(true);
        }
        let full = self.is_full(file);
        let outcome = if full { self.settle() } else { self.heard() };
        if let Some(outcome) = outcome {
            file.written_back_beside(outcome?);
            let long = file.log().bytes() >= self.limits.bytes;
            if long {
                let mode = if full { Mode::Restart } else { Mode::Passive };
                file.write_back(mode, READERS_WAITED_FOR)?;
            }
            return Ok(long || full);
        }
        if !self.under_way && file.log().added_bytes() >= self.limits.piece_bytes {
            file.written_back_from_here();
            self.send();
        }
        Ok(false)
    }

    /// Waits until nothing is written back any more; what came of it, unless that was heard.
    pub(super) fn settle(&mut self) -> Option<Outcome> {
        if !self.under_way {
            return None;
        }
        self.under_way = false;
        Some(self.outcomes.recv().expect(ENDS_LAST))
    }

    fn heard(&mut self) -> Option<Outcome> {
        match self.outcomes.try_recv() {
            Err(TryRecvError::Empty) => None,
            heard => {
                self.under_way = false;
                Some(heard.expect(ENDS_LAST))
            }
        }
    }

    fn send(&mut self) {
        let orders = self.orders.as_ref().expect(ENDS_LAST);
        orders.send(()).expect(ENDS_LAST);
        self.under_way = true;
    }
}

const ENDS_LAST: &str = "the thread that writes the log back ends with its only listener";

impl Drop for WriteBack {
    fn drop(&mut self) {
        self.orders = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that writes the journal's log back panicked");
        }
    }
}

/// What the thread has.
#[derive(Debug)]
struct Beside {
    dir: DataDir,
    /// `None` at first and after a failure.
    connection: Option<Connection>,
    file: Arc<File>,
}

impl Beside {
    fn run(mut self, orders: &Receiver<()>, told: &SyncSender<Outcome>) {
        for () in orders {
            let outcome = self.write_back();
            if outcome.is_err() {
                self.connection = None;
            }
            if told.send(outcome).is_err() {
                return;
            }
        }
    }

    fn write_back(&mut self) -> Outcome {
        let connection = match &self.connection {
            Some(connection) => connection,
            None => self.connection.insert(disk::open_beside(&self.dir)?),
        };
        let reached = log::write_back(connection, Mode::Passive)?;
        // SQLite syncs the file only when it has come to the log's end. What is left of that is
        // done here, so that the writer has little to sync.
        self.file.sync_data().map_err(StoreError::file(&self.dir.journal()))?;
        Ok(reached)
    }
}
