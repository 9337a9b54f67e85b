//! The door to bots: their questions leave signed, and their answers come back as the engine's words.

mod answer;
mod ask;
#[cfg(test)]
mod document;
mod payload;
mod reach;
mod sign;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use reqwest::{Client, Url};
use thiserror::Error;
use tokio::sync::Semaphore;
use usher_config::Service;
use usher_domain::ids::{BotId, ServiceId};
use usher_engine::{BotAction, BotCall, BotSaid, BotWord, Clock, Engine};

use crate::metrics::BOT_CALLS;
pub(crate) use answer::{BODY_MAX, Unfit};
use ask::Times;
use sign::Signer;
pub(crate) use sign::{ID, SIGNATURE, Signed, TIMESTAMP};

/// Questions under way or waiting for their turn, to all bots.
const QUESTIONS_MAX: usize = 4_096;
/// Questions to one bot at once; the others wait within their time.
const AT_ONCE: usize = 64;

/// Why bots cannot be reached.
#[derive(Debug, Error)]
pub(crate) enum SetupError {
    #[error("the address of the bot {name} is not one")]
    Address { name: String },
    #[error(
        "the secret of the bot {name} is empty, or begins with whsec_ and goes on as no base64"
    )]
    Secret { name: String },
    #[error("the HTTP client could not be set up")]
    Http(#[source] reqwest::Error),
}

/// All bots' access; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    bots: Arc<BTreeMap<BotId, Arc<Bot>>>,
    engine: Engine,
    room: Arc<Semaphore>,
    times: Times,
}

/// How one bot is reached.
#[derive(Debug)]
struct Bot {
    id: BotId,
    name: String,
    service: ServiceId,
    url: Url,
    signer: Signer,
    allow_private: bool,
    client: Client,
    turns: Semaphore,
    clock: Clock,
}

impl Door {
    /// Needs a TLS provider to be installed in the process, and panics without.
    pub(crate) fn new(services: &[Service], engine: Engine) -> Result<Self, SetupError> {
        let anywhere = reach::client(true).map_err(SetupError::Http)?;
        let public_only = reach::client(false).map_err(SetupError::Http)?;
        let mut bots = BTreeMap::new();
        for service in services {
            for (&id, access) in &service.bots {
                let Some(bot) = service.settings.bots.get(&id) else { continue };
                let name = bot.name.clone();
                let url =
                    Url::parse(&bot.url).map_err(|_| SetupError::Address { name: name.clone() })?;
                let signer = Signer::new(&access.secret)
                    .ok_or_else(|| SetupError::Secret { name: name.clone() })?;
                let client = if access.allow_private { &anywhere } else { &public_only };
                bots.insert(
                    id,
                    Arc::new(Bot {
                        id,
                        name,
                        service: service.settings.service,
                        url,
                        signer,
                        allow_private: access.allow_private,
                        client: client.clone(),
                        turns: Semaphore::new(AT_ONCE),
                        clock: Clock::system(),
                    }),
                );
            }
        }
        let room = Arc::new(Semaphore::new(QUESTIONS_MAX));
        Ok(Self { bots: bots.into(), engine, room, times: Times::default() })
    }

    /// Puts the question and tells the engine what came of it, whatever that is.
    pub(crate) fn spawn(&self, call: Box<BotCall>) {
        let bot = self.bots.get(&call.bot).cloned();
        let room = Arc::clone(&self.room).try_acquire_owned().ok();
        let (engine, times) = (self.engine.clone(), self.times);
        tokio::spawn(async move {
            let said = match (&bot, &room) {
                (Some(bot), Some(_)) => bot.ask(&call, times).await,
                (Some(_), None) => {
                    counter!(BOT_CALLS, "outcome" => "full").increment(1);
                    BotSaid::Failed
                }
                (None, _) => BotSaid::Failed,
            };
            tell(&engine, &call, said).await;
            drop(room);
        });
    }

    pub(crate) const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Of whom nothing is known but the name it gives itself.
    pub(crate) fn service_of(&self, bot: BotId) -> Option<ServiceId> {
        self.bots.get(&bot).map(|bot| bot.service)
    }

    /// Whose word this is, if it is signed as that bot signs.
    pub(crate) fn knows(&self, bot: BotId, signed: Signed<'_>) -> Option<ServiceId> {
        let bot = self.bots.get(&bot)?;
        bot.signer.verify(signed, unix_seconds(bot.clock)).then_some(bot.service)
    }

    /// What a bot says without being asked.
    pub(crate) fn read(body: &[u8]) -> Result<Vec<BotAction>, Unfit> {
        answer::read(body)
    }
}

async fn tell(engine: &Engine, call: &BotCall, said: BotSaid) {
    let word = BotWord { bot: call.bot, call: Some(call.id), key: None, said };
    if let Err(refusal) = engine.bot_said(call.service, call.enquiry, word).await {
        // Somebody took the enquiry over meanwhile, or it was closed.
        tracing::debug!(code = refusal.code.name(), bot = %call.bot, "a bot's answer came too late");
    }
}

fn unix_seconds(clock: Clock) -> u64 {
    clock.now().since(usher_domain::time::Timestamp::default()).as_secs()
}

/// Signatures older or newer than this are not believed.
const SIGNED_WITHIN: Duration = Duration::from_mins(5);
