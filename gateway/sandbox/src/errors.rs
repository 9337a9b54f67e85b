//! The three faces of a provider error: Meta's `error`, the gateway's `meta`, and a proxy's HTML.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use serde_json::{Value, json};

/// A refusal with Meta's code and the text an integrator reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invalid {
    pub(crate) code: i64,
    pub(crate) details: String,
}

pub(crate) type Check<T = ()> = Result<T, Invalid>;

impl Invalid {
    pub(crate) fn new(code: i64, details: impl Into<String>) -> Self {
        Self { code, details: details.into() }
    }

    pub(crate) fn answer(&self) -> HttpResponse {
        let status = match self.code {
            130_429 => 429,
            _ => 400,
        };
        graph(status, self.code, &self.details)
    }
}

/// The short text Meta puts beside a code.
pub(crate) const fn title(code: i64) -> &'static str {
    match code {
        100 => "Invalid parameter",
        130_403 => "Business blocked this user",
        130_429 => "Rate limit hit",
        130_472 => "User's number is part of an experiment",
        131_000 => "Something went wrong",
        131_008 => "Required parameter is missing",
        131_009 => "Parameter value is not valid",
        131_016 => "Service unavailable",
        131_021 => "Recipient cannot be sender",
        131_026 => "Message undeliverable",
        131_047 => "Re-engagement message",
        131_048 => "Spam rate limit hit",
        131_049 => "Message not delivered to maintain healthy ecosystem engagement",
        131_050 => "User has stopped marketing messages",
        131_051 => "Unsupported message type",
        131_053 => "Media upload error",
        131_056 => "(Business Account, Consumer Account) pair rate limit hit",
        131_057 => "Account in maintenance mode",
        131_062 => "Business-scoped user id not supported for this message",
        132_000 => "Number of parameters does not match the expected number of params",
        132_001 => "Template name does not exist in the translation",
        132_005 => "Translated text too long",
        132_012 => "Parameter format does not match format in the created template",
        132_015 => "Template is paused",
        132_016 => "Template is disabled",
        _ => "Unknown error",
    }
}

/// What comes with a `failed` receipt.
pub(crate) fn failure(code: i64) -> Value {
    let details = match code {
        131_047 => {
            "Message failed to send because more than 24 hours have passed since the customer last replied to this number."
        }
        131_009 => "The message to react to is not in this conversation.",
        131_026 => "Message Undeliverable.",
        131_053 => "Media file could not be fetched or has a wrong type.",
        _ => title(code),
    };
    json!({
        "code": code,
        "title": title(code),
        "message": title(code),
        "error_data": {"details": details},
        "href": "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/",
    })
}

/// Meta's form, passed through by the gateway.
pub(crate) fn graph(http: u16, code: i64, details: &str) -> HttpResponse {
    respond(
        http,
        &json!({"error": {
            "message": format!("(#{code}) {}", title(code)),
            "type": "OAuthException",
            "code": code,
            "error_data": {"messaging_product": "whatsapp", "details": details},
            "fbtrace_id": "ASandbox",
        }}),
    )
}

/// The gateway's own form.
pub(crate) fn meta(http: u16, text: &str) -> HttpResponse {
    respond(
        http,
        &json!({"meta": {"success": false, "http_code": http, "developer_message": text}}),
    )
}

/// What a proxy in front of the gateway says when nothing is behind it.
pub(crate) fn html_502() -> HttpResponse {
    HttpResponse::BadGateway().content_type("text/html").body(
        "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>",
    )
}

/// The control side's refusal.
#[derive(Debug)]
pub(crate) struct Refusal {
    http: u16,
    text: String,
}

pub(crate) fn control(http: u16, text: impl Into<String>) -> Refusal {
    Refusal { http, text: text.into() }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        respond(self.http, &json!({"error": self.text}))
    }
}

pub(crate) fn respond(http: u16, body: &Value) -> HttpResponse {
    HttpResponse::build(StatusCode::from_u16(http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
        .json(body)
}
