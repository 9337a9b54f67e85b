//! The provider's door in both directions: what 360dialog tells, and what is asked of it.

mod errors;
mod fetch;
pub mod inbound;
mod line;
mod outbound;
mod send;
mod setup;
mod template;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dialog360::client::{Client, Endpoint, Http, HttpOptions, SetupError};
use futures_util::future::join_all;
use metrics::counter;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use usher_config::{Config, Service};
use usher_domain::ids::{ChannelId, MessageId, ServiceId};
use usher_domain::record::Event;
use usher_engine::{Engine, ProviderCall, SendOutcome};

use crate::bots;
use crate::metrics::PROVIDER_ERRORS;
use line::Line;
pub(crate) use outbound::upload_kind;
pub(crate) use setup::{SetupFailed, hook_headers, hook_url};

/// How often templates are looked up, besides when somebody asks.
const TEMPLATES_EVERY: Duration = Duration::from_hours(1);

/// Longest wait for sends under way when the program stops.
const SENDS_END_WITHIN: Duration = Duration::from_secs(2);

/// All numbers' access to 360dialog; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Provider {
    lines: Arc<BTreeMap<ChannelId, Arc<Line>>>,
    bots: bots::Door,
    engine: Engine,
}

impl Provider {
    /// `sandbox` is where the local 360dialog listens, for the numbers that live there.
    pub(crate) fn new(
        config: &Config,
        services: &[Service],
        engine: Engine,
        sandbox: Option<&str>,
        bots: bots::Door,
    ) -> Result<Self, SetupError> {
        let options = HttpOptions {
            connect_timeout: config.provider.connect_timeout,
            timeout: config.provider.timeout,
            ..HttpOptions::default()
        };
        let http = Http::new(&options)?;
        let mut lines = BTreeMap::new();
        for service in services {
            for (&channel, number) in &service.numbers {
                let base = match (number.sandbox, sandbox) {
                    (true, Some(sandbox)) => sandbox,
                    (true, None) => continue,
                    (false, _) => &config.provider.base_url,
                };
                let client = Client::new(&http, Endpoint::new(base)?, &number.api_key)?;
                let service = service.settings.service;
                let line =
                    Line::new(service, channel, client, number, config.provider.in_flight_max);
                lines.insert(channel, Arc::new(line));
            }
        }
        Ok(Self { lines: Arc::new(lines), bots, engine })
    }

    /// Does what the engine asks for until it asks no more.
    pub(crate) async fn run(self, mut calls: mpsc::Receiver<ProviderCall>) {
        while let Some(call) = calls.recv().await {
            self.take(call);
        }
    }

    /// Each call runs by itself: no number waits for another one's.
    fn take(&self, call: ProviderCall) {
        match call {
            ProviderCall::Send(outgoing) => match self.line_with_room(outgoing.channel) {
                Some((line, room)) => {
                    let sends = send::send(self.engine.clone(), line, outgoing);
                    tokio::spawn(async move {
                        sends.await;
                        drop(room);
                    });
                }
                None => self.engine.outcome(
                    outgoing.service,
                    outgoing.channel,
                    outgoing.message,
                    SendOutcome::NotSent,
                ),
            },
            ProviderCall::Bot(call) => self.bots.spawn(call),
            ProviderCall::Read { channel, provider_id, typing } => {
                // A blue tick is not worth a queue.
                if let Some((line, room)) = self.line_with_room(channel) {
                    tokio::spawn(async move {
                        line.read(&provider_id, typing).await;
                        drop(room);
                    });
                }
            }
            ProviderCall::Fetch {
                service,
                channel,
                message,
                provider_id,
                mime_type,
                filename,
                sha256,
            } => {
                let file = fetch::Wanted { message, provider_id, mime_type, filename, sha256 };
                match self.line_with_room(channel) {
                    Some((line, room)) => {
                        let fetches = fetch::fetch(self.engine.clone(), line, file);
                        tokio::spawn(async move {
                            fetches.await;
                            drop(room);
                        });
                    }
                    None => self.unfetched(service, file.message),
                }
            }
        }
    }

    fn unfetched(&self, service: ServiceId, message: MessageId) {
        let engine = self.engine.clone();
        let why = "too many files came at once".to_owned();
        tokio::spawn(async move {
            let event = Event::MediaUnavailable { message, why };
            fetch::record(&engine, service, event).await;
        });
    }

    fn line_with_room(&self, channel: ChannelId) -> Option<(Arc<Line>, OwnedSemaphorePermit)> {
        let line = self.lines.get(&channel)?;
        let room = Arc::clone(&line.room).try_acquire_owned().ok()?;
        Some((Arc::clone(line), room))
    }

    /// Looks up every number's templates, now and from time to time.
    pub(crate) async fn keep_templates(self) {
        let mut ticks = tokio::time::interval(TEMPLATES_EVERY);
        loop {
            ticks.tick().await;
            for service in self.engine.services() {
                self.look_up_templates(service).await;
            }
        }
    }

    /// Those of all numbers of a service.
    pub(crate) async fn look_up_templates(&self, service: ServiceId) {
        for line in self.lines.values().filter(|line| line.service == service) {
            if let Err(error) = self.sync_templates(line.service, line.channel).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(channel = %line.channel, error, "templates were not read");
            }
        }
    }

    /// Waits, but not for long, until what is being sent has an outcome; of one service or of all.
    pub(crate) async fn settle(&self, service: Option<ServiceId>) {
        let lines = self.lines.values();
        let lines = lines.filter(|line| service.is_none_or(|service| line.service == service));
        let all = join_all(lines.map(|line| line.settled()));
        if tokio::time::timeout(SENDS_END_WITHIN, all).await.is_err() {
            tracing::warn!("messages were still being sent; their outcome will be unknown");
        }
    }
}

/// Counts a call that did not succeed.
fn count_error(class: dialog360::errors::Class) {
    counter!(PROVIDER_ERRORS, "class" => class.label()).increment(1);
}
