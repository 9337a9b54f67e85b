//! Who may deliver to which channel, and what it has to carry; whatever is done with it then.

use std::collections::HashMap;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName};
use actix_web::web::{Bytes, Payload};
use actix_web::{HttpRequest, HttpResponse, ResponseError as _};
use dialog360::signature::{self, Expected, Verifier};
use metrics::{Counter, Histogram, counter, histogram};
use usher_config::{Config, Number, Service, Signature, WebhookAuth};
use usher_domain::ids::{ChannelId, ServiceId};

use super::body::{self, Cut};
use crate::http::Problem;
use crate::metrics::{AUTH_FAILURES, WEBHOOK_SECONDS, WEBHOOKS};

const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// The doors of all channels.
pub(crate) struct Gate {
    hooks: HashMap<ChannelId, Hook>,
    /// Bytes.
    body_max: usize,
    counters: Counters,
}

/// One channel's door.
#[derive(Debug)]
pub(crate) struct Hook {
    pub(crate) service: ServiceId,
    pub(crate) channel: ChannelId,
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
    relayed: Counter,
    inboxed: Counter,
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
pub(crate) enum Outcome {
    Stored,
    /// By the node that runs the service.
    Relayed,
    /// In the inbox, for the node that will.
    Inboxed,
    /// Kept as it came.
    Unreadable,
    Unauthorized,
    NotFound,
    TooLarge,
    /// The connection broke before the body was whole.
    Lost,
    Unavailable,
}

impl Gate {
    pub(crate) fn new(config: &Config, services: &[Service]) -> anyhow::Result<Self> {
        let mut hooks = HashMap::new();
        for service in services {
            for (&channel, number) in &service.numbers {
                hooks.insert(channel, Hook::new(service.settings.service, channel, number)?);
            }
        }
        Ok(Self { hooks, body_max: config.http.body_max, counters: Counters::new() })
    }

    pub(crate) fn hook(&self, channel: ChannelId) -> Option<&Hook> {
        self.hooks.get(&channel)
    }

    pub(crate) fn channels(&self) -> impl Iterator<Item = (ServiceId, ChannelId)> {
        self.hooks.values().map(|hook| (hook.service, hook.channel))
    }

    /// Bytes of the largest webhook.
    pub(crate) const fn body_max(&self) -> usize {
        self.body_max
    }

    /// A webhook that is whole, and from whoever may deliver it.
    pub(super) async fn whole(
        &self,
        channel: Option<ChannelId>,
        request: &HttpRequest,
        payload: Payload,
    ) -> Result<(&Hook, Bytes), Outcome> {
        let hook = channel.and_then(|channel| self.hooks.get(&channel));
        let hook = hook.ok_or(Outcome::NotFound)?;
        if !hook.knows_secret(request) {
            return Err(Outcome::Unauthorized);
        }
        let declared = request.headers().get(header::CONTENT_LENGTH);
        let declared = declared.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if declared.is_some_and(|length| length > self.body_max) {
            return Err(Outcome::TooLarge);
        }
        let body = body::whole(payload, self.body_max).await.map_err(|cut| match cut {
            Cut::Lost => Outcome::Lost,
            Cut::TooLarge => Outcome::TooLarge,
        })?;
        if hook.is_signed(request, &body) { Ok((hook, body)) } else { Err(Outcome::Unauthorized) }
    }

    /// Counts what became of it, and says so.
    pub(super) fn answer(&self, outcome: Outcome, took: Duration) -> HttpResponse {
        self.counters.count(outcome, took);
        outcome.answer(self.body_max)
    }
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
            relayed: of("relayed"),
            inboxed: of("inboxed"),
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
            Outcome::Relayed => self.relayed.increment(1),
            Outcome::Inboxed => self.inboxed.increment(1),
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
        if outcome.is_kept() {
            self.seconds.record(took.as_secs_f64());
        }
    }
}

impl Outcome {
    /// Durably, wherever.
    const fn is_kept(self) -> bool {
        matches!(self, Self::Stored | Self::Relayed | Self::Inboxed | Self::Unreadable)
    }

    fn answer(self, body_max: usize) -> HttpResponse {
        let problem = match self {
            Self::Stored | Self::Relayed | Self::Inboxed | Self::Unreadable => {
                return HttpResponse::Ok().finish();
            }
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
