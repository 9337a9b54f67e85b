//! The journal in a file of the data directory, which one process alone has.

use usher_domain::ids::ServiceId;

use super::disk::JournalFile;
use super::kept::{Head, Kept, Written};
use super::rewrite::Rewrite;
use super::write_back::WriteBack;
use super::writer::Records;
use super::{LogInfo, LogLimits};
use crate::directory::DataDir;
use crate::error::StoreError;
use crate::progress::monotonic;

pub(super) struct OnDisk {
    pub(super) dir: DataDir,
    /// `None` after the disk failed, until it could be opened and read again.
    pub(super) file: Option<JournalFile>,
    pub(super) back: WriteBack,
    pub(super) limits: LogLimits,
}

impl OnDisk {
    /// After a failure the connection is not trusted any more.
    fn with<T>(
        &mut self,
        run: impl FnOnce(&mut JournalFile) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut file = self.file.take().ok_or(StoreError::CheckpointHeld)?;
        let done = run(&mut file)?;
        self.file = Some(file);
        Ok(done)
    }
}

impl Kept for OnDisk {
    fn open(&mut self) -> Result<bool, StoreError> {
        if self.file.is_some() {
            return Ok(false);
        }
        // Whatever came of it, the log is written back anew.
        drop(self.back.settle());
        self.file = Some(JournalFile::reopen(&self.dir, self.limits, self.back.file())?);
        Ok(true)
    }

    fn head(&self, service: ServiceId) -> Head {
        let seq = self.file.as_ref().map_or(0, |file| file.head(service));
        Head { seq, superseded: None }
    }

    fn position(&self) -> u64 {
        self.file.as_ref().map_or(0, JournalFile::last_id)
    }

    fn append(&mut self, commits: &[Records]) -> Result<Written, StoreError> {
        let synced = self.with(|file| file.append(commits))?;
        Ok(Written { synced, superseded: Vec::new() })
    }

    fn rewrite(&mut self, _: ServiceId, rewrite: &Rewrite) -> Result<(), StoreError> {
        let settled = self.back.settle().transpose();
        self.with(|file| settled.and_then(|_| file.rewrite(rewrite)))
    }

    /// The directory's lock is the ownership of everything in it.
    fn own(&mut self, _: ServiceId, least: u64) -> Result<u64, StoreError> {
        Ok(least.max(1))
    }

    fn take(&mut self, service: ServiceId, _: u64) -> Result<Head, StoreError> {
        Ok(self.head(service))
    }

    fn leave(&mut self, _: ServiceId) {}

    fn between(&mut self) -> Option<LogInfo> {
        let file = self.file.as_mut()?;
        let (bytes, full, began) = (file.log().bytes(), self.back.is_full(file), monotonic());
        let turned = self.back.turn(file);
        let succeeded = turned.is_ok();
        let waited = turned.unwrap_or_else(|error| {
            tracing::error!(%error, cause = ?error, "the journal's log cannot be written back");
            self.file = None;
            true
        });
        waited.then(|| LogInfo { bytes, waited: began.elapsed(), full, succeeded })
    }

    #[cfg(test)]
    fn run(&mut self, run: super::Run) {
        run(self.file.as_ref().unwrap().connection());
    }
}
