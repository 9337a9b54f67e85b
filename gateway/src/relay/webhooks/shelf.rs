//! The inbox, as what runs on many threads knows it: one question at a time, none of them waited for
//! longer than makes sense.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::Mutex;
use tokio::time::timeout;
use usher_store::{Inbox, StoreError};

/// One way to the inbox; cheap to clone.
#[derive(Clone)]
pub(super) struct Shelf(Arc<Mutex<Inbox>>);

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf").finish_non_exhaustive()
    }
}

impl Shelf {
    pub(super) fn new(inbox: Inbox) -> Self {
        Self(Arc::new(Mutex::new(inbox)))
    }

    /// Whoever is not answered in time does not know what became of the question.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        within: Duration,
        question: impl FnOnce(&Inbox) -> Result<T, StoreError> + Send + 'static,
    ) -> anyhow::Result<T> {
        let asked = async {
            // Kept until it is answered, so that no more than one thread waits for the database.
            let inbox = Arc::clone(&self.0).lock_owned().await;
            tokio::task::spawn_blocking(move || question(&inbox)).await
        };
        let answer = timeout(within, asked).await.context("the inbox did not answer in time")?;
        Ok(answer??)
    }
}

/// Whether this node has put something into the inbox that may still stand there.
#[derive(Debug, Default)]
pub(super) struct Mark {
    put: AtomicU64,
    /// So many of these were put before the inbox was last seen to be emptied.
    emptied: AtomicU64,
}

impl Mark {
    /// To be called before anybody hears that it is kept: what comes next comes after it.
    pub(super) fn put(&self) {
        self.put.fetch_add(1, Ordering::AcqRel);
    }

    /// What [`Self::emptied`] is told, if the inbox is to be emptied before anything else is taken.
    pub(super) fn stands(&self) -> Option<u64> {
        let put = self.put.load(Ordering::Acquire);
        (put > self.emptied.load(Ordering::Acquire)).then_some(put)
    }

    /// Since `stood` was asked for.
    pub(super) fn emptied(&self, stood: u64) {
        self.emptied.fetch_max(stood, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_while_the_inbox_is_emptied_may_still_stand_there() {
        let mark = Mark::default();
        assert_eq!(mark.stands(), None);
        mark.put();
        let stood = mark.stands().unwrap();
        mark.put();
        mark.emptied(stood);
        let stood = mark.stands().unwrap();
        mark.emptied(stood);
        assert_eq!(mark.stands(), None);
    }
}
