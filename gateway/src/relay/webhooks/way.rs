//! The ways to the owners: who has a service, whether that one can be expected to answer, and how it is
//! asked.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use actix_web::web::Bytes;
use anyhow::{Context as _, bail};
use reqwest::header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use reqwest::{Method, StatusCode, Upgraded};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use usher_domain::ids::ServiceId;
use usher_domain::ownership::placement::NodeId;

use super::PATH;
use crate::relay::{Home, Homes, Others, Owner};

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Way {
    others: Others,
    homes: Homes,
    /// Owners that did not answer when they were last asked.
    shut: Arc<RwLock<BTreeSet<NodeId>>>,
    /// How often one was found not to answer.
    silences: Arc<AtomicU64>,
}

impl Way {
    pub(super) fn new(others: Others, homes: Homes) -> Self {
        Self { others, homes, shut: Arc::default(), silences: Arc::default() }
    }

    /// All other nodes that have a service; of those that had one it is forgotten that they were silent.
    pub(super) fn known(&self) -> BTreeSet<Owner> {
        let known = self.homes.others();
        let mut shut = self.shut.write().unwrap_or_else(PoisonError::into_inner);
        shut.retain(|node| known.iter().any(|owner| owner.node == *node));
        known
    }

    /// Of those that are this node's to pass on.
    pub(super) fn services_of(&self, owner: &Owner) -> Vec<ServiceId> {
        let of = |(service, home)| (home == Home::There(owner.clone())).then_some(service);
        self.homes.all().filter_map(of).collect()
    }

    /// The owner, if it is another node and can be expected to answer.
    pub(super) fn open(&self, service: ServiceId) -> Option<Owner> {
        let Some(owner) = self.homes.elsewhere(service) else {
            self.homes.doubt(service);
            return None;
        };
        let shut = self.shut.read().unwrap_or_else(PoisonError::into_inner);
        (!shut.contains(&owner.node)).then_some(owner)
    }

    /// Nobody waits for this one until it has answered a probe, or has nothing any more.
    pub(super) fn shut(&self, owner: &Owner) {
        let mut shut = self.shut.write().unwrap_or_else(PoisonError::into_inner);
        if shut.insert(owner.node.clone()) {
            self.silences.fetch_add(1, Ordering::AcqRel);
            tracing::warn!(node = %owner.node, "the owner does not take webhooks; they go into the inbox");
        }
    }

    pub(super) fn is_open_to(&self, owner: &Owner) {
        let mut shut = self.shut.write().unwrap_or_else(PoisonError::into_inner);
        if shut.remove(&owner.node) {
            tracing::info!(node = %owner.node, "the owner takes webhooks");
        }
    }

    /// Changes when an owner is found not to answer: connections from before may lead nowhere.
    pub(super) fn silences(&self) -> u64 {
        self.silences.load(Ordering::Acquire)
    }

    /// They may be another's by now.
    pub(super) fn doubt(&self, services: impl IntoIterator<Item = ServiceId>) {
        services.into_iter().for_each(|service| self.homes.doubt(service));
    }

    pub(super) async fn ask(&self, owner: &Owner, body: Vec<u8>) -> anyhow::Result<Bytes> {
        let answer = self.others.ask(owner, Method::POST, PATH).body(body).send().await?;
        if answer.status() != StatusCode::OK {
            bail!("it answered {}", answer.status());
        }
        answer.bytes().await.context("its answer did not come whole")
    }

    /// A connection that batches pass by. `None`: that node has none, and is asked by requests.
    pub(super) async fn link(&self, owner: &Owner) -> anyhow::Result<Option<Upgraded>> {
        let asked = self.others.ask(owner, Method::GET, PATH);
        let asked = asked.header(CONNECTION, "upgrade").header(UPGRADE, "websocket");
        let asked = asked.header(SEC_WEBSOCKET_VERSION, "13");
        let answer = asked.header(SEC_WEBSOCKET_KEY, generate_key()).send().await?;
        match answer.status() {
            StatusCode::SWITCHING_PROTOCOLS => Ok(Some(answer.upgrade().await?)),
            StatusCode::NOT_FOUND => Ok(None),
            refused => bail!("it answered {refused}"),
        }
    }
}
