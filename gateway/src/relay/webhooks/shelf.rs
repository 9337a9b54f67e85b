//! The inbox, as what runs on many threads knows it: one question at a time, none of them waited for
//! longer than makes sense.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::Mutex;
use tokio::time::timeout;
use usher_domain::ids::ServiceId;
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

/// Of which services this node has put something into the inbox that may still stand there.
#[derive(Debug)]
pub(super) struct Marks(BTreeMap<ServiceId, Mark>);

#[derive(Debug, Default)]
struct Mark {
    put: AtomicU64,
    /// So many of these were put before the inbox was last seen to be emptied.
    emptied: AtomicU64,
}

/// What stood there of several services when it was asked; empty where nothing did.
pub(super) type Stood = Vec<(ServiceId, u64)>;

impl Marks {
    pub(super) fn new(services: impl Iterator<Item = ServiceId>) -> Self {
        Self(services.map(|service| (service, Mark::default())).collect())
    }

    /// To be called before anybody hears that it is kept: what comes next comes after it.
    pub(super) fn put(&self, service: ServiceId) {
        if let Some(mark) = self.0.get(&service) {
            mark.put.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// What [`Self::emptied`] is told, if the inbox is to be emptied before anything else is taken.
    pub(super) fn stand(&self, services: impl IntoIterator<Item = ServiceId>) -> Stood {
        let stands = |service| {
            let mark = self.0.get(&service)?;
            let put = mark.put.load(Ordering::Acquire);
            (put > mark.emptied.load(Ordering::Acquire)).then_some((service, put))
        };
        services.into_iter().filter_map(stands).collect()
    }

    /// Since it was asked what stood there.
    pub(super) fn emptied(&self, stood: &Stood) {
        for (service, put) in stood {
            if let Some(mark) = self.0.get(service) {
                mark.emptied.fetch_max(*put, Ordering::AcqRel);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: ServiceId = ServiceId::from_number(1);
    const TWO: ServiceId = ServiceId::from_number(2);

    #[test]
    fn what_is_put_while_the_inbox_is_emptied_may_still_stand_there() {
        let marks = Marks::new([ONE, TWO].into_iter());
        assert_eq!(marks.stand([ONE, TWO]), []);
        marks.put(ONE);
        let stood = marks.stand([ONE, TWO]);
        marks.put(ONE);
        marks.emptied(&stood);
        let stood = marks.stand([ONE, TWO]);
        assert_eq!(stood, [(ONE, 2)], "and nothing of the other");
        marks.emptied(&stood);
        assert_eq!(marks.stand([ONE, TWO]), []);
    }
}
