//! Talks to 360dialog, and says of every call whether it happened, did not, or may have.

mod admin;
mod files;
mod wants;

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use thiserror::Error;

use crate::errors::{Class, Failure, classify};
use crate::json::{self, Node};
use crate::media::Unfit;
use crate::outbound::Prepared;

pub use admin::{
    Entity, Health, Sendability, StoredTemplate, TemplateState, WebhookConfig, webhook_url_fits,
};
pub use files::{Download, MediaInfo};
pub use wants::{ButtonWanted, ButtonWants, HeaderWants, Wants};

const KEY_HEADER: &str = "d360-api-key";

/// The largest answer that is not a file.
const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Longer waits than this are not believed.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// How to reach the outside.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HttpOptions {
    pub connect_timeout: Duration,
    /// Of a whole call.
    pub timeout: Duration,
    /// Of a whole upload or download.
    pub transfer_timeout: Duration,
    /// A proxy for `https` addresses.
    pub proxy: Option<String>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
            transfer_timeout: Duration::from_mins(2),
            proxy: None,
        }
    }
}

/// The pool of connections, shared by the clients of all channels.
#[derive(Clone, Debug)]
pub struct Http {
    inner: reqwest::Client,
    transfer_timeout: Duration,
}

impl Http {
    /// Needs a TLS provider to be installed in the process, and panics without.
    pub fn new(options: &HttpOptions) -> Result<Self, SetupError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("usher/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.connect_timeout)
            .timeout(options.timeout)
            // The key would go wherever a redirect points: none is followed blindly.
            .redirect(reqwest::redirect::Policy::none());
        if let Some(proxy) = &options.proxy {
            builder = builder.proxy(reqwest::Proxy::https(proxy).map_err(SetupError::Http)?);
        }
        let inner = builder.build().map_err(SetupError::Http)?;
        Ok(Self { inner, transfer_timeout: options.transfer_timeout })
    }
}

/// Why a client could not be made.
#[derive(Debug, Error)]
pub enum SetupError {
    #[error("the base is not an http(s) address without query and credentials")]
    Base,
    #[error("the key has characters that no header can hold")]
    Key,
    #[error("the HTTP client could not be set up")]
    Http(#[source] reqwest::Error),
}

/// Where the provider is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    base: String,
    messages_path: &'static str,
}

impl Endpoint {
    pub const PRODUCTION: &str = "https://waba-v2.360dialog.io";
    pub const SANDBOX: &str = "https://waba-sandbox.360dialog.io";

    /// A base as in production, where messages go to `/messages`.
    pub fn new(base: &str) -> Result<Self, SetupError> {
        let url = Url::parse(base).map_err(|_| SetupError::Base)?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.host_str().is_some()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !plain {
            return Err(SetupError::Base);
        }
        Ok(Self { base: base.trim_end_matches('/').to_owned(), messages_path: "/messages" })
    }

    /// Messages go to `/v1/messages`, as in the provider's sandbox.
    #[must_use]
    pub fn with_versioned_messages(mut self) -> Self {
        self.messages_path = "/v1/messages";
        self
    }
}

/// Why a call has no result.
#[derive(Debug, Error)]
pub enum CallError {
    #[error("360dialog refused: {0}")]
    Refused(Box<Failure>),
    /// No connection came about, so the request never left.
    #[error("360dialog could not be reached")]
    NotSent(#[source] reqwest::Error),
    /// The connection broke or time ran out: the call may have had its effect.
    #[error("the connection to 360dialog was lost")]
    Lost(#[source] reqwest::Error),
    #[error("360dialog answered {http_status} with something unexpected")]
    Unexpected { http_status: u16 },
    #[error("more than {limit} bytes")]
    TooLarge { limit: u64 },
    /// The key goes to no other host.
    #[error("the address leads to a foreign host")]
    ForeignHost,
    #[error("not a media id")]
    MediaId,
    #[error("the file does not fit")]
    Unfit(#[from] Unfit),
}

impl CallError {
    /// What the failure asks for; `Ambiguous` when nothing is known.
    pub fn class(&self) -> Class {
        match self {
            Self::Refused(failure) => failure.class,
            Self::NotSent(_) => Class::Transient { max_tries: u8::MAX },
            Self::Lost(_) | Self::Unexpected { .. } => Class::Ambiguous,
            Self::TooLarge { .. } | Self::ForeignHost | Self::MediaId | Self::Unfit(_) => {
                Class::Permanent
            }
        }
    }
}

/// A message the provider took over.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Accepted {
    pub message_id: String,
    /// May differ from the phone it was sent to.
    pub wa_id: Option<String>,
    pub user_id: Option<String>,
    /// For templates: `accepted`, `held_for_quality_assessment` or `paused`.
    pub status: Option<String>,
}

/// What became of a message.
#[derive(Debug)]
pub enum SendOutcome {
    Accepted(Accepted),
    /// It was refused; the class says what to do.
    Failed(Box<Failure>),
    /// It may have been sent.
    Ambiguous(CallError),
    /// It certainly was not.
    NotSent(CallError),
}

/// One channel's access to the provider.
#[derive(Clone)]
pub struct Client {
    http: Http,
    endpoint: Endpoint,
    key: HeaderValue,
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

struct Answer {
    http_status: u16,
    retry_after: Option<Duration>,
    content_type: Option<String>,
    location: Option<String>,
    body: Bytes,
}

impl Client {
    pub fn new(http: &Http, endpoint: Endpoint, key: &SecretString) -> Result<Self, SetupError> {
        let mut header = HeaderValue::from_str(key.expose_secret()).map_err(|_| SetupError::Key)?;
        header.set_sensitive(true);
        Ok(Self { http: http.clone(), endpoint, key: header })
    }

    /// Sends a message, once. There is no idempotency key: what is ambiguous may arrive twice if
    /// it is sent again.
    pub async fn send(&self, message: &Prepared) -> SendOutcome {
        let path = self.endpoint.messages_path;
        let request = self.post_json(path, message.body().clone());
        match self.call(request).await {
            Ok(answer) => match accepted(&answer) {
                Some(accepted) => SendOutcome::Accepted(accepted),
                None => SendOutcome::Ambiguous(unexpected(&answer)),
            },
            Err(CallError::Refused(failure)) if failure.class != Class::Ambiguous => {
                SendOutcome::Failed(failure)
            }
            Err(error @ CallError::NotSent(_)) => SendOutcome::NotSent(error),
            Err(error) => SendOutcome::Ambiguous(error),
        }
    }

    /// Marks a visitor's message, and all before it, as read.
    pub async fn mark_read(&self, message_id: &str) -> Result<(), CallError> {
        let body = json!({
            "messaging_product": "whatsapp",
            "status": "read",
            "message_id": message_id,
        });
        self.post_status(&body).await
    }

    /// Shows the visitor that somebody is typing, for at most 25 s; also marks as read.
    pub async fn show_typing(&self, message_id: &str) -> Result<(), CallError> {
        let body = json!({
            "messaging_product": "whatsapp",
            "status": "read",
            "message_id": message_id,
            "typing_indicator": { "type": "text" },
        });
        self.post_status(&body).await
    }

    async fn post_status(&self, body: &serde_json::Value) -> Result<(), CallError> {
        let request = self.post_json(self.endpoint.messages_path, body.to_string().into());
        self.call(request).await.map(|_| ())
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.request_to(method, &format!("{}{path}", self.endpoint.base))
    }

    /// `url` must lie within the base: the key goes with it.
    fn request_to(&self, method: Method, url: &str) -> RequestBuilder {
        self.http.inner.request(method, url).header(KEY_HEADER, self.key.clone())
    }

    fn post_json(&self, path: &str, body: Bytes) -> RequestBuilder {
        self.request(Method::POST, path).header(CONTENT_TYPE, "application/json").body(body)
    }

    /// Makes a call whose answer is not a file; anything but a success is a refusal.
    async fn call(&self, request: RequestBuilder) -> Result<Answer, CallError> {
        success(exchange(request, ANSWER_BYTES_MAX).await?)
    }
}

async fn exchange(request: RequestBuilder, limit: u64) -> Result<Answer, CallError> {
    let response = request.send().await.map_err(|error| {
        let error = error.without_url();
        let unsent = error.is_connect() || error.is_builder();
        if unsent { CallError::NotSent(error) } else { CallError::Lost(error) }
    })?;
    let headers = response.headers();
    let mut answer = Answer {
        http_status: response.status().as_u16(),
        retry_after: retry_after(headers),
        content_type: text_header(headers, &CONTENT_TYPE),
        location: text_header(headers, &LOCATION),
        body: Bytes::new(),
    };
    let done = response.status().is_success();
    match read_body(response, limit).await {
        Ok(body) => answer.body = body,
        // A refusal is one, even if its words got lost.
        Err(error) if done => return Err(error),
        Err(_) => {}
    }
    Ok(answer)
}

async fn read_body(mut response: Response, limit: u64) -> Result<Bytes, CallError> {
    let too_large = CallError::TooLarge { limit };
    if response.content_length().is_some_and(|length| length > limit) {
        return Err(too_large);
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut body = BytesMut::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| CallError::Lost(error.without_url()))?
    {
        if chunk.len() > limit - body.len() {
            return Err(too_large);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn text_header(headers: &HeaderMap, name: &reqwest::header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

fn success(answer: Answer) -> Result<Answer, CallError> {
    if (200..300).contains(&answer.http_status) && !hides_error(&answer) {
        return Ok(answer);
    }
    Err(refusal(&answer))
}

fn refusal(answer: &Answer) -> CallError {
    let mut failure = classify(answer.http_status, &answer.body);
    failure.retry_after = answer.retry_after;
    CallError::Refused(Box::new(failure))
}

/// An error in an answer that calls itself a success.
fn hides_error(answer: &Answer) -> bool {
    with_json(answer, |node| {
        let error = node.get("error");
        (error.is_object() && !error.get("code").is_null()).then_some(())
    })
    .is_some()
}

fn unexpected(answer: &Answer) -> CallError {
    CallError::Unexpected { http_status: answer.http_status }
}

/// Reads something out of an answer in JSON.
fn with_json<T>(answer: &Answer, read: impl FnOnce(&Node<'_>) -> Option<T>) -> Option<T> {
    let text = std::str::from_utf8(&answer.body).ok()?;
    read(&json::read(text).ok()?)
}

fn accepted(answer: &Answer) -> Option<Accepted> {
    with_json(answer, |node| {
        let message = node.get("messages").items().first()?;
        let contact = node.get("contacts").items().first();
        let contact = |key: &str| contact.and_then(|node| node.get(key).text());
        Some(Accepted {
            message_id: message.get("id").text()?,
            wa_id: contact("wa_id"),
            user_id: contact("user_id"),
            status: message.get("message_status").text(),
        })
    })
}
