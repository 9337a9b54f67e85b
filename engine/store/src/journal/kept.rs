//! What the writer's thread needs of whatever keeps the journal: a file or a database.

use std::time::Duration;

use usher_domain::ids::ServiceId;

use super::LogInfo;
use super::rewrite::Rewrite;
use super::writer::Records;
use crate::error::StoreError;

/// What came of one transaction.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// How long the COMMIT itself took: in essence the wait for the disk.
    pub(super) synced: Duration,
    /// Services that somebody else owns by now, and under which epoch: nothing of theirs was
    /// written.
    pub(super) superseded: Vec<(ServiceId, u64)>,
}

/// Where a service stands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Head {
    /// Its last durable sequence.
    pub(super) seq: u64,
    /// Somebody else owns it, under this epoch.
    pub(super) superseded: Option<u64>,
}

/// After an error nothing is taken for durable until [`Kept::open`] has read it again.
pub(super) trait Kept: Send {
    /// Opens it, or opens it again after something failed; whether it had to.
    fn open(&mut self) -> Result<bool, StoreError>;

    fn head(&self, service: ServiceId) -> Head;

    /// How far the journal has come, as [`crate::progress::Progress`] counts.
    fn position(&self) -> u64;

    /// One transaction over all of `commits`, whose sequences were checked.
    fn append(&mut self, commits: &[Records]) -> Result<Written, StoreError>;

    /// Takes rows of a service out or changes their bodies.
    fn rewrite(&mut self, service: ServiceId, rewrite: &Rewrite) -> Result<(), StoreError>;

    /// Takes a service over from whoever had it; the epoch under which it is written from now on.
    fn own(&mut self, service: ServiceId, least: u64) -> Result<u64, StoreError>;

    /// Writes a service under the epoch under which it was claimed, unless somebody else has claimed it
    /// since.
    fn take(&mut self, service: ServiceId, epoch: u64) -> Result<Head, StoreError>;

    /// Nothing more is written of a service.
    fn leave(&mut self, service: ServiceId);

    /// What has to be done between two transactions; `Some` where a commit would have waited.
    fn between(&mut self) -> Option<LogInfo>;

    /// Runs on the writer's own connection, to break it in tests.
    #[cfg(test)]
    fn run(&mut self, run: super::Run);
}
