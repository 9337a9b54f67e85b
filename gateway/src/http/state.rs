//! What request handlers work with, and how they read the archive.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use tokio::sync::{Mutex, Semaphore};
use usher_config::Service;
use usher_domain::access::Sight;
use usher_domain::ids::{EnquiryId, ServiceId};
use usher_domain::settings::{Role, Settings};
use usher_domain::time::Timestamp;
use usher_engine::{Clock, Engine};
use usher_store::{ArchiveReader, StoreError};

use super::client::Proxies;
use super::problem::Problem;
use crate::accounts::{People, Person};
use crate::provider::Provider;

/// Longest wait for the archive to show what was done just before.
const LEVEL_WITHIN: Duration = Duration::from_secs(1);
/// Reads of the archive and transfers of files at once, over all workers.
const READS: usize = 16;
const TRANSFERS: usize = 4;

/// The parts of the program that requests are carried out with.
pub(crate) struct Doors {
    pub(crate) engine: Engine,
    pub(crate) people: People,
    pub(crate) provider: Provider,
    pub(crate) clock: Clock,
    pub(crate) proxies: Proxies,
    /// As the outside reaches us.
    pub(crate) public_url: String,
    pub(crate) services: Vec<Service>,
    reads: Arc<Semaphore>,
    /// Held while a message is sent again.
    pub(crate) resends: Mutex<()>,
    pub(crate) transfers: Semaphore,
}

impl Doors {
    pub(crate) fn new(
        engine: Engine,
        people: People,
        provider: Provider,
        (public_url, proxies): (String, Proxies),
        services: Vec<Service>,
    ) -> Self {
        Self {
            engine,
            people,
            provider,
            clock: Clock::system(),
            proxies,
            public_url,
            services,
            reads: Arc::new(Semaphore::new(READS)),
            resends: Mutex::new(()),
            transfers: Semaphore::new(TRANSFERS),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn settings(&self, service: ServiceId) -> Result<&Arc<Settings>, Problem> {
        self.people.settings(service).ok_or_else(Problem::not_found)
    }

    /// Reads the archive off the worker, as it is once it shows what was done before.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        service: ServiceId,
        read: impl FnOnce(&ArchiveReader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        let level = self.engine.archive_is_level(service);
        // Behind it may be, and is then answered from what there is.
        drop(tokio::time::timeout(LEVEL_WITHIN, level).await);
        let permit = Arc::clone(&self.reads).acquire_owned().await;
        let permit = permit.map_err(|_| Problem::unavailable())?;
        let archive = self.engine.store().archive().clone();
        let result = web::block(move || {
            let _permit = permit;
            archive.reader().and_then(|reader| read(&reader))
        });
        Ok(result.await??)
    }

    /// Waits until the archive shows what was done before; not for ever.
    pub(crate) async fn level(&self, service: ServiceId) -> Result<(), Problem> {
        let level = self.engine.archive_is_level(service);
        let level = tokio::time::timeout(LEVEL_WITHIN, level).await;
        level.map_err(|_| Problem::unavailable())?.map_err(Problem::from)
    }

    pub(crate) async fn may_see(
        &self,
        person: &Person,
        enquiry: EnquiryId,
    ) -> Result<bool, Problem> {
        let sight = self.sight(person, enquiry).await?;
        Ok(!matches!(sight, Sight::Head | Sight::Nothing))
    }

    /// How much of an enquiry's room a person sees.
    pub(crate) async fn sight(
        &self,
        person: &Person,
        enquiry: EnquiryId,
    ) -> Result<Sight, Problem> {
        if person.role == Role::Administrator {
            return Ok(Sight::Whole);
        }
        Ok(self.engine.sight(person.service, person.staff, enquiry).await?)
    }

    /// Carries out a command in a person's name.
    pub(crate) async fn command(
        &self,
        person: &Person,
        command: usher_protocol::command::Command,
    ) -> Result<serde_json::Value, Problem> {
        Ok(self.engine.command(person.service, person.staff, command).await?)
    }
}
