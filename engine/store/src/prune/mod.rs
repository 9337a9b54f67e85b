//! Pruning: whole enquiries leave once they have been closed long enough; settings never do.
//!
//! Of a pruned record nothing is lost that a restart would need: a state of something else that
//! still stands on it (a counter, a seat) is restated in its place, under its own sequence, in the
//! transaction that removes the others. So no sequence is taken from the service's actors, and no
//! instant exists at which the journal alone says something else than the archive.

mod media;
mod plan;

use usher_domain::ids::ServiceId;
use usher_domain::time::Timestamp;

use crate::archive::forget;
use crate::archive::read::{ArchiveReader, ClosedEnquiry};
use crate::error::StoreError;
use crate::store::Store;
pub(crate) use media::WHY;
use plan::Plan;

/// What was taken out.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Pruned {
    pub enquiries: usize,
    pub records: usize,
    /// Files that nothing refers to any more.
    pub files: usize,
    /// What referred to files.
    pub media: usize,
}

impl Store {
    /// Takes out up to `limit` enquiries closed before `before`, the longest closed first; fewer
    /// than `limit` taken out: no more are left. Blocks; commits wait for one transaction.
    ///
    /// The journal goes first and the archive after it, so that what is cut short is found again.
    /// `before` has to lie further back than messages are repeated by the provider (8 days).
    pub fn prune(
        &self,
        service: ServiceId,
        before: Timestamp,
        limit: usize,
    ) -> Result<Pruned, StoreError> {
        let reader = self.archive().reader()?;
        let closed = reader.closed_before(service, before, limit)?;
        if closed.is_empty() {
            return Ok(Pruned::default());
        }
        self.prune_closed(&reader, service, &closed, before)
    }

    /// As [`Store::prune`], of files stored before `before`, whatever they were sent in.
    pub fn prune_media(
        &self,
        service: ServiceId,
        before: Timestamp,
        limit: usize,
    ) -> Result<Pruned, StoreError> {
        let old = self.archive().reader()?.media_before(service, before, limit)?;
        if old.is_empty() {
            return Ok(Pruned::default());
        }
        let rewrite = media::plan(&self.journal().reader()?, service, &old)?;
        let records = rewrite.changed.len();
        if !rewrite.is_empty() {
            self.journal().rewrite(service, rewrite)?;
        }
        let unused = self.archive().change(service, |tx| forget::expired(tx, service, &old))?;
        for sha256 in &unused {
            self.media().remove(sha256)?;
        }
        Ok(Pruned { enquiries: 0, records, files: unused.len(), media: old.len() })
    }

    fn prune_closed(
        &self,
        reader: &ArchiveReader,
        service: ServiceId,
        closed: &[ClosedEnquiry],
        before: Timestamp,
    ) -> Result<Pruned, StoreError> {
        let plan = Plan::make(reader, &self.journal().reader()?, (service, before), closed)?;
        let Plan { rewrite, gone } = plan;
        let records = rewrite.removed.len();
        if !rewrite.is_empty() {
            self.journal().rewrite(service, rewrite)?;
        }
        let unused = self.archive().change(service, |tx| forget::forget(tx, service, &gone))?;
        for sha256 in &unused {
            self.media().remove(sha256)?;
        }
        let (enquiries, media) = (gone.enquiries.len(), gone.media.len());
        Ok(Pruned { enquiries, records, files: unused.len(), media })
    }
}
