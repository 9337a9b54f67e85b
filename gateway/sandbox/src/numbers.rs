//! One WhatsApp number at the provider: its key, pace, webhook, and how patient the media endpoint still is.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::Uri;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use crate::clock::Bucket;
use crate::errors::{Check, Invalid};
use crate::options::NumberOptions;
use crate::validate::Part;

/// Webhooks waiting or under way for one number; beyond it phones are told to come back.
const PENDING: usize = 20_000;
/// Webhook requests of one number at the same time.
const IN_FLIGHT: usize = 64;
/// Media uploads per second and number.
const UPLOADS: u32 = 25;
const MEDIA_ERRORS: usize = 20;
const HOUR_MS: u64 = 3_600_000;

/// Where a number's webhooks go.
#[derive(Debug, Clone)]
pub(crate) struct Webhook {
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
}

#[derive(Debug)]
pub(crate) struct Number {
    pub(crate) id: String,
    pub(crate) display: String,
    pub(crate) waba: String,
    pub(crate) api_key: String,
    pub(crate) webhook: Option<Webhook>,
    pub(crate) signing_secret: Option<String>,
    /// What health says: `AVAILABLE`, `LIMITED` or `BLOCKED`.
    pub(crate) health: String,
    pub(crate) throughput: Bucket,
    pub(crate) uploads: Bucket,
    /// Held by every webhook from the moment it is due until it got its 200.
    pub(crate) pending: Arc<Semaphore>,
    pub(crate) in_flight: Arc<Semaphore>,
    /// When GET media went wrong within the last hour.
    media_errors: VecDeque<u64>,
    media_blocked_until_ms: u64,
}

impl Number {
    pub(crate) fn new(options: &NumberOptions) -> Self {
        let webhook = options
            .webhook_url
            .as_ref()
            .map(|url| Webhook { url: url.clone(), headers: options.webhook_headers.clone() });
        let every = Duration::from_secs(1) / options.mps.max(1);
        Self {
            id: options.phone_number_id.clone(),
            display: options.display_phone_number.clone(),
            waba: options.waba_id.clone(),
            api_key: options.api_key.clone(),
            webhook,
            signing_secret: options.signing_secret.clone(),
            health: "AVAILABLE".to_owned(),
            throughput: Bucket::new(options.mps.max(1), every),
            uploads: Bucket::new(UPLOADS, Duration::from_secs(1) / UPLOADS),
            pending: Arc::new(Semaphore::new(PENDING)),
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT)),
            media_errors: VecDeque::new(),
            media_blocked_until_ms: 0,
        }
    }

    /// The digits of the number itself.
    pub(crate) fn digits(&self) -> String {
        self.display.chars().filter(char::is_ascii_digit).collect()
    }

    pub(crate) const fn media_blocked(&self, now_ms: u64) -> bool {
        now_ms < self.media_blocked_until_ms
    }

    /// 20 errors within 60 minutes close the endpoint for 30.
    pub(crate) fn media_error(&mut self, now_ms: u64) {
        self.media_errors.push_back(now_ms);
        while self.media_errors.front().is_some_and(|at| at + HOUR_MS < now_ms) {
            self.media_errors.pop_front();
        }
        if self.media_errors.len() >= MEDIA_ERRORS {
            self.media_errors.clear();
            self.media_blocked_until_ms = now_ms + HOUR_MS / 2;
        }
    }

    pub(crate) fn show(&self) -> Value {
        json!({
            "phone_number_id": self.id,
            "display_phone_number": self.display,
            "waba_id": self.waba,
            "webhook_url": self.webhook.as_ref().map(|webhook| &webhook.url),
            "signed": self.signing_secret.is_some(),
            "health": self.health,
            "webhooks_pending": PENDING - self.pending.available_permits().min(PENDING),
        })
    }

    pub(crate) fn show_webhook(&self) -> Value {
        let Some(webhook) = &self.webhook else { return json!({"url": null}) };
        let headers: Map<String, Value> =
            webhook.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        json!({"url": webhook.url, "headers": headers})
    }

    pub(crate) fn show_health(&self) -> Value {
        let entity = |kind: &str, id: &str, state: &str| json!({"entity_type": kind, "id": id, "can_send_message": state});
        let mut number = entity("PHONE_NUMBER", &self.id, &self.health);
        if self.health != "AVAILABLE" {
            number["errors"] = json!([{"error_code": 141_006,
                "error_description": "There is an error with the payment method.",
                "possible_solution": "Check the payment method of the account."}]);
        }
        json!({"health_status": {
            "can_send_message": self.health,
            "entities": [number, entity("WABA", &self.waba, "AVAILABLE"),
                entity("BUSINESS", "506914307656634", "AVAILABLE"),
                entity("APP", "634974688087057", "AVAILABLE")],
        }})
    }
}

/// `{"url":…,"headers"?:{…}}` as `POST /v1/configs/webhook` takes it.
pub(crate) fn webhook(body: &Value) -> Check<Webhook> {
    let root = Part::of(body, "")?;
    root.only(&["url", "headers"])?;
    let url = root.text("url", 2000)?.to_owned();
    if let Err(why) = webhook_url(&url) {
        return Err(Invalid::new(100, why));
    }
    let mut headers = Vec::new();
    if let Some(map) = root.value("headers") {
        let map = map.as_object().ok_or_else(|| root.wrong("headers", "must be an object."))?;
        for (name, value) in map {
            let value =
                value.as_str().ok_or_else(|| root.wrong("headers", "must hold strings."))?;
            headers.push((name.clone(), value.to_owned()));
        }
    }
    Ok(Webhook { url, headers })
}

/// The real rules for real hosts; plain HTTP with a port for this machine, which the real one never sees.
fn webhook_url(url: &str) -> Result<(), &'static str> {
    let uri: Uri = url.parse().map_err(|_| "url is not a valid URL")?;
    let host = uri.host().ok_or("url has no host")?;
    if matches!(host, "127.0.0.1" | "localhost" | "[::1]") {
        return Ok(());
    }
    if uri.scheme_str() != Some("https") {
        return Err("url must be https");
    }
    if host.contains('_') {
        return Err("url must not have an underscore in its host");
    }
    if uri.port().is_some() {
        return Err("url must not have a port");
    }
    Ok(())
}

/// The key a request came with.
pub(crate) fn key_of(request: &HttpRequest) -> Option<&str> {
    request.headers().get("D360-API-KEY")?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_errors_in_an_hour_close_the_media_endpoint_for_half_an_hour() {
        let mut number = Number::new(&NumberOptions::new("1", "+49 30 1", "w", "k"));
        number.media_error(0);
        for i in 1..20 {
            number.media_error(HOUR_MS + 1 + i);
        }
        assert!(!number.media_blocked(HOUR_MS + 100), "the first one is over an hour old");
        number.media_error(HOUR_MS + 100);
        assert!(number.media_blocked(HOUR_MS + 101));
        assert!(!number.media_blocked(HOUR_MS + 100 + HOUR_MS / 2));
        assert_eq!(number.digits(), "49301");
    }

    #[test]
    fn webhook_addresses_follow_the_providers_rules() {
        assert!(webhook_url("https://hooks.example.com/wa/7f3c").is_ok());
        assert!(webhook_url("http://127.0.0.1:8080/wa").is_ok());
        assert!(webhook_url("http://hooks.example.com/wa").is_err());
        assert!(webhook_url("https://my_hooks.example.com/wa").is_err());
        assert!(webhook_url("https://hooks.example.com:8443/wa").is_err());
        assert!(webhook_url("/wa").is_err());
    }
}
