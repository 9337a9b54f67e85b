//! One number at 360dialog: its client, and the bounds on what is under way there.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use dialog360::client::Client;
use dialog360::media::Kind;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use usher_config::{Number, WebhookAuth};
use usher_domain::ids::{ChannelId, ServiceId};

use super::count_error;
use super::errors::MediaErrors;

/// Calls of one number waiting or under way.
const ROOM: usize = 2_000;
/// Files of one number being fetched at once.
const FETCHES: usize = 2;
/// The provider keeps an uploaded file for 30 days.
const UPLOAD_GOOD_FOR: Duration = Duration::from_hours(29 * 24);
/// Uploads remembered; beyond it the oldest is uploaded anew.
const UPLOADS_MAX: usize = 1_000;

#[derive(Debug)]
pub(super) struct Line {
    pub(super) service: ServiceId,
    pub(super) channel: ChannelId,
    pub(super) client: Client,
    /// What webhooks have to carry.
    pub(super) webhook: WebhookAuth,
    pub(super) is_sandbox: bool,
    pub(super) sends: Semaphore,
    sends_max: u32,
    pub(super) fetches: Semaphore,
    pub(super) room: Arc<Semaphore>,
    pub(super) media_errors: MediaErrors,
    /// The provider's id of a file of ours, by digest, and until when it is good.
    uploads: RwLock<BTreeMap<(String, u8), Uploaded>>,
}

#[derive(Clone, Debug)]
struct Uploaded {
    provider_id: String,
    until: Instant,
}

impl Line {
    pub(super) fn new(
        service: ServiceId,
        channel: ChannelId,
        client: Client,
        number: &Number,
        sends_max: u32,
    ) -> Self {
        let permits = usize::try_from(sends_max).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            service,
            channel,
            client,
            webhook: number.webhook.clone(),
            is_sandbox: number.sandbox,
            sends: Semaphore::new(permits),
            sends_max,
            fetches: Semaphore::new(FETCHES),
            room: Arc::new(Semaphore::new(ROOM)),
            media_errors: MediaErrors::default(),
            uploads: RwLock::default(),
        }
    }

    /// Comes back once nothing is being sent.
    pub(super) async fn settled(&self) {
        self.sends.acquire_many(self.sends_max).await.ok();
    }

    /// Marks a visitor's message as read, or shows that somebody is writing.
    pub(super) async fn read(&self, provider_id: &str, typing: bool) {
        let done = if typing {
            self.client.show_typing(provider_id).await
        } else {
            self.client.mark_read(provider_id).await
        };
        if let Err(error) = done {
            count_error(error.class());
            tracing::debug!(channel = %self.channel, %error, "a message was not marked as read");
        }
    }

    /// The provider's id of a file uploaded before.
    pub(super) fn uploaded(&self, sha256: &str, kind: Kind) -> Option<String> {
        let uploads = self.uploads.read().unwrap_or_else(PoisonError::into_inner);
        let found = uploads.get(&(sha256.to_owned(), place(kind)))?;
        (Instant::now() < found.until).then(|| found.provider_id.clone())
    }

    pub(super) fn remember_upload(&self, sha256: &str, kind: Kind, provider_id: String) {
        let mut uploads = self.uploads.write().unwrap_or_else(PoisonError::into_inner);
        if uploads.len() >= UPLOADS_MAX {
            let oldest = uploads.iter().min_by_key(|(_, file)| file.until);
            let oldest = oldest.map(|(key, _)| key.clone());
            oldest.and_then(|oldest| uploads.remove(&oldest));
        }
        let until = Instant::now() + UPLOAD_GOOD_FOR;
        uploads.insert((sha256.to_owned(), place(kind)), Uploaded { provider_id, until });
    }

    /// The provider did not take the id: it is uploaded anew next time.
    pub(super) fn forget_upload(&self, provider_id: &str) {
        let mut uploads = self.uploads.write().unwrap_or_else(PoisonError::into_inner);
        uploads.retain(|_, file| file.provider_id != provider_id);
    }
}

/// A file may be uploaded once per kind: a picture as picture and as document.
const fn place(kind: Kind) -> u8 {
    match kind {
        Kind::Image => 0,
        Kind::StaticSticker => 1,
        Kind::AnimatedSticker => 2,
        Kind::Audio => 3,
        Kind::Video => 4,
        Kind::Document => 5,
    }
}
