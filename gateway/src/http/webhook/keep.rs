//! How the node that runs the services keeps a webhook: to which channel each update goes, and that it
//! is only kept once all of it is durable.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use actix_web::web::Bytes;
use dialog360::inbound::{self as wire, Update};
use futures_util::future::{join_all, try_join_all};
use usher_config::{Config, Service};
use usher_domain::ids::{ChannelId, ServiceId};
use usher_domain::record::Event;
use usher_domain::time::Timestamp;
use usher_engine::{Clock, Engine, Inbound, InboundBody, Unavailable};
use usher_store::StoreError;

use super::Door;
use super::gate::{Gate, Hook, Outcome};
use crate::provider::inbound::{part_of, translate};

/// Updates handed over at once. The provider batches up to 1,000; each takes one of the service's
/// credits, and more than there are would never be taken.
const UPDATES_AT_ONCE: usize = 1_000;

/// The door of the node that runs the services.
pub(crate) struct Webhooks {
    gate: Gate,
    engine: Engine,
    clock: Clock,
    /// By the provider's id of a number, over all services.
    numbers: RwLock<HashMap<String, ChannelId>>,
}

/// A webhook that another node has taken in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Whole {
    pub(crate) channel: ChannelId,
    /// By the clock of that node.
    pub(crate) received_at: Timestamp,
    pub(crate) body: Bytes,
}

/// What became of one of several that were kept together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kept {
    Durably,
    NotNow,
    /// There is no such channel here.
    Nowhere,
}

/// Updates of several webhooks for one channel, in their order.
struct Gathered {
    service: ServiceId,
    channel: ChannelId,
    updates: Vec<Inbound>,
    /// The places of those that they are of.
    of: Vec<usize>,
}

type ByChannel = Vec<(ChannelId, Vec<Inbound>)>;

impl Door for Webhooks {
    fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Stores all that a body holds, whatever it is.
    async fn keep(&self, hook: &Hook, body: Bytes) -> Outcome {
        let (sorted, outcome) = self.read(hook, &body, self.clock.now()).await;
        // The connection has its buffer back while the commit runs.
        drop(body);
        let stored = match sorted {
            Ok(by_channel) => self.store(hook.service, by_channel).await,
            Err(unavailable) => Err(unavailable),
        };
        stored.map_or(Outcome::Unavailable, |()| outcome)
    }
}

impl Webhooks {
    pub(crate) fn new(
        config: &Config,
        services: &[Service],
        engine: Engine,
    ) -> anyhow::Result<Self> {
        let gate = Gate::new(config, services)?;
        let set = services.iter().flat_map(|service| &service.numbers);
        let set =
            set.filter_map(|(&channel, number)| Some((number.phone_number_id.clone()?, channel)));
        let (clock, numbers) = (Clock::system(), RwLock::new(set.collect()));
        let webhooks = Self { gate, engine, clock, numbers };
        for service in webhooks.engine.services() {
            webhooks.begin_service(service)?;
        }
        Ok(webhooks)
    }

    /// A service begins to run here: reads what its channels have learned. Blocks.
    pub(crate) fn begin_service(&self, service: ServiceId) -> Result<(), StoreError> {
        let learned = self.engine.store().archive().reader()?.numbers(service)?;
        let mut numbers = self.numbers.write().unwrap_or_else(PoisonError::into_inner);
        for (channel, number) in learned {
            // What is set outranks what was learned.
            numbers.entry(number).or_insert(channel);
        }
        Ok(())
    }

    pub(crate) const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Stores what all of these hold, together; what became of each.
    pub(crate) async fn keep_all(&self, all: &[Whole]) -> Vec<Kept> {
        let mut kept = Vec::with_capacity(all.len());
        let mut gathered: Vec<Gathered> = Vec::new();
        for (at, Whole { channel, received_at, body }) in all.iter().enumerate() {
            let Some(hook) = self.gate.hook(*channel) else {
                kept.push(Kept::Nowhere);
                continue;
            };
            let (sorted, _) = self.read(hook, body, *received_at).await;
            kept.push(if sorted.is_ok() { Kept::Durably } else { Kept::NotNow });
            for (channel, updates) in sorted.unwrap_or_default() {
                gather(&mut gathered, (hook.service, channel), updates, at);
            }
        }
        let stored =
            gathered.into_iter().map(async |Gathered { service, channel, updates, of }| {
                (of, self.hand_over(service, channel, updates).await)
            });
        for (of, stored) in join_all(stored).await {
            for at in of.into_iter().filter(|_| stored.is_err()) {
                kept[at] = Kept::NotNow;
            }
        }
        kept
    }

    /// What a body holds, by channel; `now` stands for times that it does not name.
    async fn read(
        &self,
        hook: &Hook,
        body: &Bytes,
        now: Timestamp,
    ) -> (Result<ByChannel, Unavailable>, Outcome) {
        match wire::parse(body) {
            Ok(updates) => (self.sorted(hook, updates, body, now).await, Outcome::Stored),
            Err(why) => {
                tracing::warn!(channel = %hook.channel, %why, "a webhook was not readable");
                let unreadable = vec![(hook.channel, vec![unreadable(body)])];
                (Ok(unreadable), Outcome::Unreadable)
            }
        }
    }

    async fn store(
        &self,
        service: ServiceId,
        mut by_channel: ByChannel,
    ) -> Result<(), Unavailable> {
        if by_channel.len() <= 1 {
            let Some((channel, all)) = by_channel.pop() else { return Ok(()) };
            return self.hand_over(service, channel, all).await;
        }
        let all = by_channel.into_iter();
        let all = all.map(|(channel, updates)| self.hand_over(service, channel, updates));
        try_join_all(all).await.map(|_| ())
    }

    /// The updates of a body, by the channels whose numbers they name.
    async fn sorted(
        &self,
        hook: &Hook,
        updates: Vec<Update<'_>>,
        body: &Bytes,
        now: Timestamp,
    ) -> Result<ByChannel, Unavailable> {
        let mut by_channel: ByChannel = Vec::with_capacity(1);
        for update in updates {
            let to = self.addressee(hook, update.phone_number_id.as_deref()).await?;
            let inbound = match to {
                Some(_) => translate(update, body, now),
                None => unknown_number(update, body),
            };
            let channel = to.unwrap_or(hook.channel);
            match by_channel.iter_mut().find(|(known, _)| *known == channel) {
                Some((_, all)) => all.push(inbound),
                None => by_channel.push((channel, vec![inbound])),
            }
        }
        Ok(by_channel)
    }

    async fn hand_over(
        &self,
        service: ServiceId,
        channel: ChannelId,
        mut updates: Vec<Inbound>,
    ) -> Result<(), Unavailable> {
        while updates.len() > UPDATES_AT_ONCE {
            let rest = updates.split_off(UPDATES_AT_ONCE);
            self.engine.receive(service, channel, updates).await?;
            updates = rest;
        }
        self.engine.receive(service, channel, updates).await
    }

    /// The channel of a number, if it is one of this service's. A door that has no number yet
    /// learns the first one it hears of.
    async fn addressee(
        &self,
        hook: &Hook,
        number: Option<&str>,
    ) -> Result<Option<ChannelId>, Unavailable> {
        let Some(number) = number else { return Ok(Some(hook.channel)) };
        let known = {
            let numbers = self.numbers.read().unwrap_or_else(PoisonError::into_inner);
            numbers.get(number).copied()
        };
        match known {
            Some(channel) if self.is_of(hook.service, channel) => Ok(Some(channel)),
            Some(_) => Ok(None),
            None => self.learn(hook, number).await,
        }
    }

    fn is_of(&self, service: ServiceId, channel: ChannelId) -> bool {
        self.gate.hook(channel).is_some_and(|hook| hook.service == service)
    }

    async fn learn(&self, hook: &Hook, number: &str) -> Result<Option<ChannelId>, Unavailable> {
        {
            let mut numbers = self.numbers.write().unwrap_or_else(PoisonError::into_inner);
            if numbers.values().any(|channel| *channel == hook.channel) {
                return Ok(None);
            }
            numbers.insert(number.to_owned(), hook.channel);
        }
        let (channel, phone_number_id) = (hook.channel, number.to_owned());
        let event = Event::NumberLearned { channel, phone_number_id };
        if let Err(error) = self.engine.record(hook.service, event).await {
            let mut numbers = self.numbers.write().unwrap_or_else(PoisonError::into_inner);
            numbers.remove(number);
            return Err(error);
        }
        tracing::info!(%channel, "the channel has learned its number");
        Ok(Some(channel))
    }
}

fn gather(
    gathered: &mut Vec<Gathered>,
    (service, channel): (ServiceId, ChannelId),
    updates: Vec<Inbound>,
    at: usize,
) {
    match gathered.iter_mut().find(|known| known.channel == channel) {
        Some(known) => {
            known.updates.extend(updates);
            known.of.push(at);
        }
        None => gathered.push(Gathered { service, channel, updates, of: vec![at] }),
    }
}

/// All of a body, as one update that nobody is named for.
fn unreadable(body: &Bytes) -> Inbound {
    let raw = part_of(body, String::from_utf8_lossy(body));
    Inbound { body: InboundBody::Unattributed { why: "unreadable" }, raw: Some(raw) }
}

fn unknown_number(update: Update<'_>, body: &Bytes) -> Inbound {
    let phone_number_id = update.phone_number_id.unwrap_or_default().into_owned();
    let raw = Some(part_of(body, update.raw));
    Inbound { body: InboundBody::UnknownNumber { phone_number_id }, raw }
}
