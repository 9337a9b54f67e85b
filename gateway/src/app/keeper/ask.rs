//! What the leases ask of Redis and of the database, and how the answers come back.

use std::time::Duration;

use metrics::counter;
use tokio::time::timeout;
use usher_cluster::Heard;
use usher_domain::ids::ServiceId;
use usher_domain::ownership::Epoch;
use usher_domain::ownership::keeping::Word;
use usher_domain::ownership::lease::{Answer, Ask};
use usher_domain::ownership::placement::NodeId;
use usher_store::{Held, Standing};

use super::{Said, Thread};
use crate::metrics::LEASE_HOLDS;

impl Thread {
    /// What is held in the store is not asked for in Redis (H1 of `ownership::lease`).
    pub(super) fn acquire(&self, service: ServiceId, ask: Ask) {
        let (ownership, leases) = (self.ownership.clone(), self.leases.clone());
        self.ask(service, ask, async move {
            let Standing { epoch, held } = ownership.standing(service).await?;
            if let Some(Held { by, left }) = held {
                return Ok(Heard { answer: Answer::Held { left }, holder: Some(NodeId(by)) });
            }
            Ok(leases.acquire(service, Epoch(epoch)).await?)
        });
    }

    pub(super) fn hold(&self, service: ServiceId, (ask, epoch): (Ask, Epoch)) {
        let ownership = self.ownership.clone();
        self.ask(service, ask, async move {
            let held = ownership.hold(service, epoch.0).await;
            let (answer, outcome) = match &held {
                Ok(true) => (Answer::Holding, "held"),
                Ok(false) => (Answer::Superseded, "superseded"),
                Err(_) => (Answer::Failed, "failed"),
            };
            counter!(LEASE_HOLDS, "outcome" => outcome).increment(1);
            if let Err(error) = held {
                tracing::warn!(%service, cause = ?error, "neither Redis nor the database keeps it");
            }
            Ok(Heard { answer, holder: None })
        });
    }

    /// First where others look first, and in Redis for whom it is to be next.
    pub(super) fn release(&mut self, service: ServiceId, epoch: Epoch, next: Option<NodeId>) {
        let (ownership, leases) = (self.ownership.clone(), self.leases.clone());
        while self.releases.try_join_next().is_some() {}
        // A database that does not answer holds nothing for long.
        let within = if self.rules.is_fit() { self.terms.patience() } else { Duration::ZERO };
        self.releases.spawn(async move {
            let released = timeout(within, ownership.release(service, epoch.0)).await;
            if !released.is_ok_and(|released| released.is_ok()) {
                tracing::debug!(%service, "a hold was not taken back");
            }
            if let Err(error) = leases.release(service, epoch, next.as_ref()).await {
                tracing::warn!(%error, %service, "a lease was not taken back; it ends by itself");
            }
        });
    }

    /// Asks, and says what came of it; what failed may have been done.
    pub(super) fn ask(
        &self,
        service: ServiceId,
        ask: Ask,
        question: impl Future<Output = anyhow::Result<Heard>> + Send + 'static,
    ) {
        let say = self.say.clone();
        drop(tokio::spawn(async move {
            let Heard { answer, holder } = question.await.unwrap_or_else(|error| {
                tracing::debug!(cause = ?error, "a lease was not asked for");
                Heard { answer: Answer::Failed, holder: None }
            });
            // The thread has ended: nobody waits for it.
            say.send(Said::Word(Word::Heard { service, ask, answer, holder })).await.ok();
        }));
    }

    pub(super) fn claim(&self, service: ServiceId, epoch: Epoch, over: Epoch) {
        let (ownership, say) = (self.ownership.clone(), self.say.clone());
        drop(tokio::spawn(async move {
            let claimed = ownership.claim(service, epoch.0, over.0).await;
            let taken = claimed.unwrap_or_else(|error| {
                tracing::warn!(cause = ?error, %service, "a service could not be claimed");
                false
            });
            say.send(Said::Word(Word::Claimed { service, epoch, taken })).await.ok();
        }));
    }

    pub(super) fn beat(&self, leaving: bool) {
        let (nodes, say) = (self.nodes.clone(), self.say.clone());
        drop(tokio::spawn(async move {
            match nodes.heartbeat(leaving).await {
                Ok(live) => drop(say.send(Said::Word(Word::Live(live))).await),
                Err(error) => tracing::warn!(%error, "Redis is not to be asked"),
            }
        }));
        self.ask_the_database();
    }

    fn ask_the_database(&self) {
        let Some(service) = self.orders.keys().next().copied() else { return };
        let (ownership, say, patience) =
            (self.ownership.clone(), self.say.clone(), self.terms.patience());
        drop(tokio::spawn(async move {
            let asked = timeout(patience, ownership.standing(service)).await;
            let answered = asked.is_ok_and(|standing| standing.is_ok());
            say.send(Said::Word(Word::Answered(answered))).await.ok();
        }));
    }
}
