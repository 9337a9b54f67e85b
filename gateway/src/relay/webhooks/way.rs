//! The way to the owner: who it is, whether it can be expected to answer, and how it is asked.

use std::sync::{Arc, PoisonError, RwLock};

use actix_web::web::Bytes;
use anyhow::{Context as _, bail};
use reqwest::header::HeaderValue;
use usher_domain::ownership::placement::NodeId;

use super::PATH;
use crate::relay::{NODE, Owner, Owners, SECRET};

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Way {
    client: reqwest::Client,
    owners: Owners,
    secret: HeaderValue,
    /// The owner that did not answer when it was last asked.
    shut: Arc<RwLock<Option<NodeId>>>,
}

impl Way {
    pub(super) fn new(client: reqwest::Client, owners: Owners, secret: HeaderValue) -> Self {
        Self { client, owners, secret, shut: Arc::default() }
    }

    pub(super) fn known(&self) -> Option<Owner> {
        self.owners.borrow().clone()
    }

    /// The owner, if it can be expected to answer.
    pub(super) fn open(&self) -> Option<Owner> {
        let owner = self.known()?;
        let shut = self.shut.read().unwrap_or_else(PoisonError::into_inner);
        (shut.as_ref() != Some(&owner.node)).then_some(owner)
    }

    /// As `open`, without a copy.
    pub(super) fn is_open(&self) -> bool {
        let owner = self.owners.borrow();
        let shut = self.shut.read().unwrap_or_else(PoisonError::into_inner);
        owner.as_ref().is_some_and(|owner| shut.as_ref() != Some(&owner.node))
    }

    /// Nobody waits for this one until it has answered a probe, or another is the owner.
    pub(super) fn shut(&self, owner: &Owner) {
        let mut shut = self.shut.write().unwrap_or_else(PoisonError::into_inner);
        if shut.as_ref() != Some(&owner.node) {
            tracing::warn!(node = %owner.node, "the owner does not take webhooks; they go into the inbox");
            *shut = Some(owner.node.clone());
        }
    }

    pub(super) fn is_open_to(&self, owner: &Owner) {
        let mut shut = self.shut.write().unwrap_or_else(PoisonError::into_inner);
        if shut.as_ref() == Some(&owner.node) {
            tracing::info!(node = %owner.node, "the owner takes webhooks");
            *shut = None;
        }
    }

    pub(super) async fn ask(&self, owner: &Owner, body: Vec<u8>) -> anyhow::Result<Bytes> {
        let asked = self.client.post(format!("http://{}{PATH}", owner.address));
        let asked = asked.header(NODE, &*owner.node.0).header(SECRET, self.secret.clone());
        let answer = asked.body(body).send().await?;
        if answer.status() != reqwest::StatusCode::OK {
            bail!("it answered {}", answer.status());
        }
        answer.bytes().await.context("its answer did not come whole")
    }
}
