//! Pruning: whole enquiries leave once they have been closed long enough; settings never do.
//!
//! Of a pruned record nothing is lost that a restart would need: a state of something else that
//! still stands on it (a counter, a seat) is restated in its place, under its own sequence, in the
//! transaction that removes the others. So no sequence is taken from the service's actors, and no
//! instant exists at which the journal alone says something else than the archive.

mod plan;

use std::collections::BTreeMap;

use usher_domain::ids::ServiceId;
use usher_domain::time::Timestamp;

use crate::archive::forget;
use crate::archive::read::{ArchiveReader, ClosedEnquiry};
use crate::error::StoreError;
use crate::store::Store;
use plan::Plan;

/// What was taken out.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Pruned {
    pub enquiries: usize,
    pub records: usize,
    pub files: usize,
}

impl Store {
    /// Takes out up to `limit` enquiries closed before `before`, the longest closed first; fewer
    /// than `limit` taken out: no more are left. Blocks; commits wait for one transaction a service.
    ///
    /// The journal goes first and the archive after it, so that what is cut short is found again.
    /// `before` has to lie further back than messages are repeated by the provider (8 days).
    pub fn prune(&self, before: Timestamp, limit: usize) -> Result<Pruned, StoreError> {
        let reader = self.archive().reader()?;
        let mut services: BTreeMap<ServiceId, Vec<ClosedEnquiry>> = BTreeMap::new();
        for closed in reader.closed_before(before, limit)? {
            services.entry(closed.service).or_default().push(closed);
        }
        let mut pruned = Pruned::default();
        for (service, closed) in services {
            let of_service = self.prune_service(&reader, service, &closed, before)?;
            pruned.enquiries += of_service.enquiries;
            pruned.records += of_service.records;
            pruned.files += of_service.files;
        }
        Ok(pruned)
    }

    fn prune_service(
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
            self.journal().rewrite(rewrite)?;
        }
        let unused = self.archive().change(|tx| forget::forget(tx, service, &gone))?;
        for sha256 in &unused {
            self.media().remove(sha256)?;
        }
        Ok(Pruned { enquiries: gone.enquiries.len(), records, files: unused.len() })
    }
}
