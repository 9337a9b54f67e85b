//! The ways to the owners: who has a service, whether that one can be expected to answer, and how it is
//! asked.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use actix_web::web::Bytes;
use anyhow::{Context as _, bail};
use reqwest::Method;
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
}

impl Way {
    pub(super) fn new(others: Others, homes: Homes) -> Self {
        Self { others, homes, shut: Arc::default() }
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
            tracing::warn!(node = %owner.node, "the owner does not take webhooks; they go into the inbox");
        }
    }

    pub(super) fn is_open_to(&self, owner: &Owner) {
        let mut shut = self.shut.write().unwrap_or_else(PoisonError::into_inner);
        if shut.remove(&owner.node) {
            tracing::info!(node = %owner.node, "the owner takes webhooks");
        }
    }

    /// They may be another's by now.
    pub(super) fn doubt(&self, services: impl IntoIterator<Item = ServiceId>) {
        services.into_iter().for_each(|service| self.homes.doubt(service));
    }

    pub(super) async fn ask(&self, owner: &Owner, body: Vec<u8>) -> anyhow::Result<Bytes> {
        let answer = self.others.ask(owner, Method::POST, PATH).body(body).send().await?;
        if answer.status() != reqwest::StatusCode::OK {
            bail!("it answered {}", answer.status());
        }
        answer.bytes().await.context("its answer did not come whole")
    }
}
