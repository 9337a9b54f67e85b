//! The webhook door: who may deliver, to which channel each update goes, and that 200 is only said
//! once all of it is durable.

mod body;

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use actix_web::http::header::{self, HeaderName};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{self, Bytes, Data, Payload, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, ResponseError as _};
use dialog360::inbound::{self as wire, Update};
use dialog360::signature::{self, Expected, Verifier};
use futures_util::future::try_join_all;
use metrics::{Counter, Histogram, counter, histogram};
use tokio::time::Instant;
use usher_config::{Config, Number, Service, Signature, WebhookAuth};
use usher_domain::ids::{ChannelId, ServiceId};
use usher_domain::record::Event;
use usher_engine::{Clock, Engine, Inbound, InboundBody, Unavailable};

use super::problem::Problem;
use crate::metrics::{AUTH_FAILURES, WEBHOOK_SECONDS, WEBHOOKS};
use crate::provider::inbound::{part_of, translate};
use body::Cut;

const PATH: &str = "/hooks/360dialog";
/// Updates handed over at once. The provider batches up to 1,000; each takes one of the service's
/// credits, and more than there are would never be taken.
const UPDATES_AT_ONCE: usize = 1_000;
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Who delivers to which channel.
pub(crate) struct Webhooks {
    engine: Engine,
    clock: Clock,
    hooks: HashMap<ChannelId, Hook>,
    /// By the provider's id of a number, over all services.
    numbers: RwLock<HashMap<String, ChannelId>>,
    /// Bytes.
    body_max: usize,
    counters: Counters,
}

/// One channel's door.
#[derive(Debug)]
struct Hook {
    service: ServiceId,
    channel: ChannelId,
    auth: Auth,
    signature: Signed,
}

/// What a webhook has to carry.
#[derive(Debug)]
enum Auth {
    Header { name: HeaderName, secret: Expected },
    Basic(Expected),
}

#[derive(Debug)]
enum Signed {
    Never,
    /// Checked where it is there.
    Perhaps(Verifier),
    Always(Verifier),
}

/// Looked up once: every webhook counts.
struct Counters {
    stored: Counter,
    unreadable: Counter,
    unauthorized: Counter,
    not_found: Counter,
    too_large: Counter,
    lost: Counter,
    unavailable: Counter,
    wrong_secret: Counter,
    seconds: Histogram,
}

/// What became of a webhook.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    Stored,
    /// Kept as it came.
    Unreadable,
    Unauthorized,
    NotFound,
    TooLarge,
    /// The connection broke before the body was whole.
    Lost,
    Unavailable,
}

impl Webhooks {
    pub(crate) fn new(
        config: &Config,
        services: &[Service],
        engine: Engine,
    ) -> anyhow::Result<Self> {
        let mut hooks = HashMap::new();
        let mut numbers = HashMap::new();
        let archive = engine.store().archive().reader()?;
        for service in services {
            let id = service.settings.service;
            // What is set outranks what was learned.
            let learned = archive.numbers(id)?;
            numbers.extend(learned.into_iter().map(|(channel, number)| (number, channel)));
            for (&channel, number) in &service.numbers {
                hooks.insert(channel, Hook::new(id, channel, number)?);
                let set = number.phone_number_id.clone();
                numbers.extend(set.map(|phone_number_id| (phone_number_id, channel)));
            }
        }
        Ok(Self {
            engine,
            clock: Clock::system(),
            hooks,
            numbers: RwLock::new(numbers),
            body_max: config.http.body_max,
            counters: Counters::new(),
        })
    }

    async fn take(
        &self,
        channel: Option<ChannelId>,
        request: &HttpRequest,
        payload: Payload,
    ) -> Outcome {
        let hook = channel.and_then(|channel| self.hooks.get(&channel));
        let Some(hook) = hook else { return Outcome::NotFound };
        if !hook.knows_secret(request) {
            return Outcome::Unauthorized;
        }
        let declared = request.headers().get(header::CONTENT_LENGTH);
        let declared = declared.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if declared.is_some_and(|length| length > self.body_max) {
            return Outcome::TooLarge;
        }
        let body = match body::whole(payload, self.body_max).await {
            Ok(body) => body,
            Err(Cut::Lost) => return Outcome::Lost,
            Err(Cut::TooLarge) => return Outcome::TooLarge,
        };
        if !hook.is_signed(request, &body) {
            return Outcome::Unauthorized;
        }
        self.keep(hook, body).await
    }

    /// Stores all that a body holds, whatever it is.
    async fn keep(&self, hook: &Hook, body: Bytes) -> Outcome {
        let (sorted, outcome) = match wire::parse(&body) {
            Ok(updates) => (self.sorted(hook, updates, &body).await, Outcome::Stored),
            Err(why) => {
                tracing::warn!(channel = %hook.channel, %why, "a webhook was not readable");
                let unreadable = vec![(hook.channel, vec![unreadable(&body)])];
                (Ok(unreadable), Outcome::Unreadable)
            }
        };
        // The connection has its buffer back while the commit runs.
        drop(body);
        let stored = match sorted {
            Ok(by_channel) => self.store(hook, by_channel).await,
            Err(unavailable) => Err(unavailable),
        };
        stored.map_or(Outcome::Unavailable, |()| outcome)
    }

    async fn store(
        &self,
        hook: &Hook,
        mut by_channel: Vec<(ChannelId, Vec<Inbound>)>,
    ) -> Result<(), Unavailable> {
        if by_channel.len() <= 1 {
            let Some((channel, all)) = by_channel.pop() else { return Ok(()) };
            return self.hand_over(hook, channel, all).await;
        }
        let all = by_channel.into_iter().map(|(channel, all)| self.hand_over(hook, channel, all));
        try_join_all(all).await.map(|_| ())
    }

    /// The updates of a body, by the channels whose numbers they name.
    async fn sorted(
        &self,
        hook: &Hook,
        updates: Vec<Update<'_>>,
        body: &Bytes,
    ) -> Result<Vec<(ChannelId, Vec<Inbound>)>, Unavailable> {
        let mut by_channel: Vec<(ChannelId, Vec<Inbound>)> = Vec::with_capacity(1);
        let now = self.clock.now();
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
        hook: &Hook,
        channel: ChannelId,
        mut updates: Vec<Inbound>,
    ) -> Result<(), Unavailable> {
        while updates.len() > UPDATES_AT_ONCE {
            let rest = updates.split_off(UPDATES_AT_ONCE);
            self.engine.receive(hook.service, channel, updates).await?;
            updates = rest;
        }
        self.engine.receive(hook.service, channel, updates).await
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
        self.hooks.get(&channel).is_some_and(|hook| hook.service == service)
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

impl Hook {
    fn new(service: ServiceId, channel: ChannelId, number: &Number) -> anyhow::Result<Self> {
        let auth = match &number.webhook {
            WebhookAuth::Header { name, secret } => {
                Auth::Header { name: name.parse()?, secret: Expected::value(secret) }
            }
            WebhookAuth::Basic { user, password } => Auth::Basic(Expected::basic(user, password)),
        };
        let signature = match &number.signature {
            Signature::Off => Signed::Never,
            Signature::Optional(secret) => Signed::Perhaps(Verifier::new(secret)),
            Signature::Required(secret) => Signed::Always(Verifier::new(secret)),
        };
        Ok(Self { service, channel, auth, signature })
    }

    fn knows_secret(&self, request: &HttpRequest) -> bool {
        match &self.auth {
            Auth::Header { name, secret } => {
                let given = request.headers().get(name);
                given.is_some_and(|given| secret.is(given.as_bytes()))
            }
            Auth::Basic(credentials) => {
                let given = request.headers().get(header::AUTHORIZATION);
                let given = given.and_then(|given| given.to_str().ok());
                given.is_some_and(|given| credentials.is_basic(given))
            }
        }
    }

    fn is_signed(&self, request: &HttpRequest, body: &[u8]) -> bool {
        let (verifier, required) = match &self.signature {
            Signed::Never => return true,
            Signed::Perhaps(verifier) => (verifier, false),
            Signed::Always(verifier) => (verifier, true),
        };
        match request.headers().get(signature::HEADER) {
            None => !required,
            Some(given) => given.to_str().is_ok_and(|given| verifier.verify(body, given)),
        }
    }
}

impl Counters {
    fn new() -> Self {
        let of = |outcome| counter!(WEBHOOKS, "provider" => "360dialog", "outcome" => outcome);
        Self {
            stored: of("stored"),
            unreadable: of("unreadable"),
            unauthorized: of("unauthorized"),
            not_found: of("not_found"),
            too_large: of("too_large"),
            lost: of("lost"),
            unavailable: of("unavailable"),
            wrong_secret: counter!(AUTH_FAILURES, "door" => "webhook"),
            seconds: histogram!(WEBHOOK_SECONDS),
        }
    }

    fn count(&self, outcome: Outcome, took: Duration) {
        match outcome {
            Outcome::Stored => self.stored.increment(1),
            Outcome::Unreadable => self.unreadable.increment(1),
            Outcome::Unauthorized => {
                self.wrong_secret.increment(1);
                self.unauthorized.increment(1);
            }
            Outcome::NotFound => self.not_found.increment(1),
            Outcome::TooLarge => self.too_large.increment(1),
            Outcome::Lost => self.lost.increment(1),
            Outcome::Unavailable => self.unavailable.increment(1),
        }
        if matches!(outcome, Outcome::Stored | Outcome::Unreadable) {
            self.seconds.record(took.as_secs_f64());
        }
    }
}

impl Outcome {
    fn answer(self, body_max: usize) -> HttpResponse {
        let problem = match self {
            Self::Stored | Self::Unreadable => return HttpResponse::Ok().finish(),
            Self::Unauthorized => Problem::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "The webhook's secret or signature is missing or wrong.",
            ),
            Self::NotFound => Problem::not_found(),
            Self::TooLarge => Problem::too_large(body_max as u64),
            Self::Lost => Problem::cut_off(),
            Self::Unavailable => Problem::unavailable().after(AGAIN_AFTER),
        };
        problem.error_response()
    }
}

/// One scope for all channels: what follows is looked up, not compared with a route for each.
pub(super) fn routes(webhooks: &Data<Webhooks>, config: &mut ServiceConfig) {
    let webhooks = webhooks.clone();
    let take = move |request, payload| receive(webhooks.clone(), request, payload);
    config.service(web::scope(PATH).default_service(web::to(take)));
}

async fn receive(
    webhooks: Data<Webhooks>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let rest = request.match_info().unprocessed();
    let channel = rest.strip_prefix('/').filter(|channel| !channel.is_empty());
    let channel =
        channel.filter(|channel| !channel.contains('/')).ok_or_else(Problem::not_found)?;
    if *request.method() != Method::POST {
        return Ok(greet(request.method()));
    }
    let began = Instant::now();
    let outcome = webhooks.take(channel.parse().ok(), &request, payload).await;
    webhooks.counters.count(outcome, began.elapsed());
    Ok(outcome.answer(webhooks.body_max))
}

/// Whoever looks whether the address is there hears that it is.
fn greet(method: &Method) -> HttpResponse {
    match *method {
        Method::GET => HttpResponse::Ok().finish(),
        _ => HttpResponse::MethodNotAllowed().finish(),
    }
}
