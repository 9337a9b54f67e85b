//! Whether an update was seen before, and when what was delivered again is safe.

use std::sync::Arc;

use super::Directory;
use crate::ledger::{Ack, Release};
use crate::metrics;

/// Most records between an update's arrival here and the record that holds its id: all the door's
/// credits, times what one update can come to.
const RECORDS_AHEAD_MAX: u64 = 32_768;

impl Directory {
    /// Gives the ack back for an id never seen; takes care of it for one that was.
    pub(super) fn first_time(&mut self, provider_id: &str, ack: Arc<Ack>) -> Option<Arc<Ack>> {
        let seen = match self.seen.check(provider_id, self.peers.now(), &self.peers.reader) {
            Ok(false) => return Some(ack),
            Ok(true) => self.peers.reader.is_seen(self.peers.id, provider_id),
            Err(error) => Err(error),
        };
        match seen {
            Ok(durable) => {
                ::metrics::counter!(metrics::DUPLICATES).increment(1);
                if durable {
                    self.peers.ledger.release(Release::Ack(ack));
                } else {
                    self.again.push((provider_id.into(), ack));
                }
            }
            // Without the answer it may be taken twice or lost; the service is rebuilt, and the
            // provider delivers it again.
            Err(error) => {
                tracing::error!(%error, "the archive could not be asked for a message id");
                self.peers.broken("archive");
            }
        }
        None
    }

    /// What was delivered again is safe where the archive has the first delivery by now.
    pub(super) fn release_again(&mut self) {
        let peers = &self.peers;
        self.again.retain(|(provider_id, ack)| {
            match peers.reader.is_seen(peers.id, provider_id) {
                Ok(true) => peers.ledger.release(Release::Ack(Arc::clone(ack))),
                Ok(false) => return true,
                Err(error) => {
                    tracing::error!(%error, "the archive could not be asked for a message id");
                    peers.broken("archive");
                }
            }
            false
        });
    }

    pub(super) fn note_seen(&mut self, provider_id: &str) {
        let ahead = self.peers.ledger.last() + RECORDS_AHEAD_MAX;
        self.seen.note(provider_id, ahead, self.peers.now());
    }
}
