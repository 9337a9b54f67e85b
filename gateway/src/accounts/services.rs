//! Whose service a token or an address is, and what comes and goes here with a service.

use actix_web::web;
use usher_domain::ids::ServiceId;
use usher_domain::time::Timestamp;
use usher_store::StoreError;
use uuid::Uuid;

use super::{People, digest, read, write};

impl People {
    /// A service begins to run here: reads the sessions that outlived what ran of it before. Blocks.
    pub(crate) fn begin_service(
        &self,
        service: ServiceId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let rows = self.inner.engine.store().archive().reader()?.sessions(service, now)?;
        write(&self.inner.asleep).extend(rows.into_iter().map(|row| (row.session, row)));
        Ok(())
    }

    /// A service does not run here any more: its sessions go on, elsewhere.
    pub(crate) fn end_service(&self, service: ServiceId) {
        write(&self.inner.sessions).retain(|_, held| held.person.service != service);
        write(&self.inner.asleep).retain(|_, row| row.service != service);
        self.count();
    }

    /// `None`: nobody has this address.
    pub(crate) fn service_of_email(&self, email: &str) -> Option<ServiceId> {
        Some(self.inner.accounts.get(&email.trim().to_lowercase())?.service)
    }

    /// Of what a token says of itself, and of those that say nothing what is kept of them. `None`: nothing.
    pub(crate) async fn service_of_token(&self, token: &str) -> Option<ServiceId> {
        let said = match named_in(token) {
            None => self.look_up(token).await,
            named => named,
        };
        said.filter(|service| self.inner.settings.contains_key(service))
    }

    /// Tokens given out before they named their service.
    async fn look_up(&self, token: &str) -> Option<ServiceId> {
        let digest = digest(token);
        if let Some(held) = read(&self.inner.sessions).get(&digest) {
            return Some(held.person.service);
        }
        let _look = self.inner.looks.acquire().await.ok()?;
        let archive = self.inner.engine.store().archive().clone();
        let row = web::block(move || archive.reader()?.session_by_token(&hex::encode(digest)));
        Some(row.await.ok()?.ok()??.service)
    }

    /// Whether a token may be good where its service runs, which is not here.
    pub(crate) fn is_elsewhere(&self, token: &str) -> bool {
        let runs = |service| self.inner.engine.runs(service);
        match named_in(token) {
            Some(service) => self.inner.settings.contains_key(&service) && !runs(service),
            // Given out before tokens named their service: it may be any that does not run here.
            None => is_nameless(token) && self.inner.settings.keys().any(|service| !runs(*service)),
        }
    }
}

/// Names its service, so that every node knows which one to ask.
pub(super) fn token_for(service: ServiceId) -> String {
    format!("{}.{}", hex::encode(rand::random::<[u8; 32]>()), service.uuid().simple())
}

fn named_in(token: &str) -> Option<ServiceId> {
    let (_, service) = token.split_once('.')?;
    Some(ServiceId::new(Uuid::try_parse(service).ok()?))
}

/// As tokens were before they named their service.
fn is_nameless(token: &str) -> bool {
    token.len() == 64 && token.bytes().all(|byte| byte.is_ascii_hexdigit())
}
