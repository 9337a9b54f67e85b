//! Decides what a failure asks for: retry, slow down, wait, stop, or tell the people.

mod class;

use std::fmt;
use std::time::Duration;

use crate::json::{self, Node};

pub use class::{Class, classify_code};

/// How much of an unreadable answer is kept for the log.
const EXCERPT_CHARS: usize = 200;

/// One element of an `errors` array.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ProviderError {
    pub code: Option<i64>,
    pub title: Option<String>,
    pub details: Option<String>,
}

impl ProviderError {
    pub(crate) fn list(errors: &Node<'_>) -> Vec<Self> {
        errors.items().iter().filter(|node| node.is_object()).map(Self::read).collect()
    }

    fn read(node: &Node<'_>) -> Self {
        let message = node.get("message");
        let user = [node.get("error_user_title"), node.get("error_user_msg")];
        let title = node.get("title").text().or_else(|| message.text());
        let details =
            [node.get("error_data").get("details"), node.get("details"), user[1], user[0]]
                .into_iter()
                .find_map(words);
        let code = node.get("code").whole().or_else(|| code_in(message.filled()?));
        Self { code, title, details }
    }

    /// What a `failed` receipt with this error asks for.
    pub fn class(&self) -> Class {
        self.code.map_or(Class::Permanent, classify_code)
    }
}

/// A refusal, or an answer that leaves the outcome open.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    pub http_status: u16,
    pub code: Option<i64>,
    pub title: Option<String>,
    pub details: Option<String>,
    /// The provider's reference for support.
    pub trace_id: Option<String>,
    pub class: Class,
    /// What the provider asked for; only seconds are understood.
    pub retry_after: Option<Duration>,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (HTTP {}", self.class.label(), self.http_status)?;
        if let Some(code) = self.code {
            write!(formatter, ", code {code}")?;
        }
        formatter.write_str(")")?;
        for text in [&self.title, &self.details].into_iter().flatten() {
            write!(formatter, ": {text}")?;
        }
        Ok(())
    }
}

/// Judges an answer that is not a success, of whatever shape.
///
/// The code in the body decides, the HTTP status only in its absence. An answer that is not JSON
/// says nothing about what became of the message, unless its status does.
pub fn classify(http_status: u16, body: &[u8]) -> Failure {
    let text = String::from_utf8_lossy(body);
    let node = json::read(text.trim()).ok().filter(Node::is_object);
    let (error, trace_id) = node.as_ref().map(error).unwrap_or_default();
    let class = match error.code {
        Some(code) => by_code(code, http_status, node.as_ref()),
        None if node.is_some() => by_status(http_status, &error),
        None => by_bare_status(http_status),
    };
    let title = match node {
        Some(_) => error.title,
        None => Some(text.trim().chars().take(EXCERPT_CHARS).collect())
            .filter(|text: &String| !text.is_empty()),
    };
    Failure {
        http_status,
        code: error.code,
        title,
        details: error.details,
        trace_id,
        class,
        retry_after: None,
    }
}

/// Finds the error in the shapes of Meta, of 360dialog's gateway, of its Partner API and of lists.
fn error(root: &Node<'_>) -> (ProviderError, Option<String>) {
    let meta = root.get("meta");
    match root.get("error") {
        error if error.is_object() => (ProviderError::read(error), error.get("fbtrace_id").text()),
        error if error.filled().is_some() => {
            let details = root.get("error_description").text();
            (ProviderError { code: None, title: error.text(), details }, None)
        }
        _ if meta.is_object() => (gateway_error(meta), None),
        _ => (ProviderError::list(root.get("errors")).into_iter().next().unwrap_or_default(), None),
    }
}

fn gateway_error(meta: &Node<'_>) -> ProviderError {
    let message = meta.get("developer_message");
    ProviderError {
        code: message.filled().and_then(code_in),
        title: message.text(),
        details: [meta.get("error_data").get("details"), meta.get("details")]
            .into_iter()
            .find_map(words),
    }
}

/// A text, or a list of texts joined.
fn words(node: &Node<'_>) -> Option<String> {
    let all: Vec<_> = node.items().iter().filter_map(Node::filled).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// The code in a message such as `(#130429) Rate limit hit`.
fn code_in(message: &str) -> Option<i64> {
    let (_, rest) = message.split_once("(#")?;
    rest.split_once(')')?.0.parse().ok()
}

fn by_code(code: i64, http_status: u16, node: Option<&Node<'_>>) -> Class {
    let transient = node.is_some_and(|n| n.get("error").get("is_transient").bool() == Some(true));
    match class::known(code) {
        Some(class) => class,
        None if http_status == 429 => Class::RateLimitedNumber,
        None if transient => Class::Transient { max_tries: 3 },
        None if http_status >= 500 || http_status == 408 => Class::Ambiguous,
        None => Class::Permanent,
    }
}

fn by_status(http_status: u16, error: &ProviderError) -> Class {
    let title = error.title.as_deref().unwrap_or_default().to_ascii_lowercase();
    match http_status {
        429 => Class::RateLimitedNumber,
        400 if title.contains("rate limit") => Class::RateLimitedNumber,
        400 if title.contains("disabled") || title.contains("payment") => Class::StopChannel,
        401 | 403 => Class::StopChannel,
        // 200: a success without the id it should carry.
        408 | 500.. | 200..300 => Class::Ambiguous,
        _ => Class::Permanent,
    }
}

fn by_bare_status(http_status: u16) -> Class {
    match http_status {
        429 => Class::RateLimitedNumber,
        401 | 403 => Class::StopChannel,
        413 => Class::Permanent,
        _ => Class::Ambiguous,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, body: &str, code: Option<i64>, class: Class) -> Failure {
        let failure = classify(status, body.as_bytes());
        assert_eq!((failure.code, failure.class), (code, class), "{status} {body}");
        failure
    }

    #[test]
    fn the_code_decides_whatever_the_status() {
        let body = r#"{"error":{"message":"(#130429) Rate limit hit","type":"OAuthException",
            "code":130429,"error_data":{"messaging_product":"whatsapp",
            "details":"Cloud API message throughput has been reached."},"fbtrace_id":"Az8"}}"#;
        for status in [400, 403, 429, 500] {
            let failure = check(status, body, Some(130_429), Class::RateLimitedNumber);
            assert_eq!(failure.title.as_deref(), Some("(#130429) Rate limit hit"));
            let details = "Cloud API message throughput has been reached.";
            assert_eq!(failure.details.as_deref(), Some(details));
            assert_eq!(failure.trace_id.as_deref(), Some("Az8"));
        }
        check(400, r#"{"error":{"code":"131047"}}"#, Some(131_047), Class::WindowLapsed);
        check(400, r#"{"error":{"message":"(#131056) pair"}}"#, Some(131_056), Class::PairRate);
        check(
            400,
            r#"{"errors":[{"code":131026,"title":"x"}]}"#,
            Some(131_026),
            Class::Undeliverable,
        );
    }

    #[test]
    fn the_gateway_speaks_otherwise() {
        let body = r#"{"meta":{"success":false,"http_code":403,
            "developer_message":"No permission for that number","details":["a","b"]}}"#;
        let failure = check(403, body, None, Class::StopChannel);
        assert_eq!(failure.title.as_deref(), Some("No permission for that number"));
        assert_eq!(failure.details.as_deref(), Some("a; b"));
        let limit =
            r#"{"meta":{"developer_message":"You have exceeded the endpoint rate limit."}}"#;
        check(400, limit, None, Class::RateLimitedNumber);
        let disabled =
            r#"{"meta":{"developer_message":"Your WhatsApp for Business API has been disabled"}}"#;
        check(400, disabled, None, Class::StopChannel);
        check(401, r#"{"meta":{"developer_message":"Invalid api_key"}}"#, None, Class::StopChannel);
        check(500, r#"{"meta":{"developer_message":"Internal"}}"#, None, Class::Ambiguous);
        check(404, r#"{"meta":{"developer_message":"gone"}}"#, None, Class::Permanent);
    }

    #[test]
    fn partner_errors_are_words() {
        let body = r#"{"error":"invalid_grant","error_description":"Wrong"}"#;
        let failure = check(401, body, None, Class::StopChannel);
        assert_eq!(failure.title.as_deref(), Some("invalid_grant"));
        assert_eq!(failure.details.as_deref(), Some("Wrong"));
    }

    #[test]
    fn no_json_leaves_the_outcome_open() {
        let failure = check(502, "<html>Bad gateway</html>", None, Class::Ambiguous);
        assert_eq!(failure.title.as_deref(), Some("<html>Bad gateway</html>"));
        assert_eq!(check(504, "", None, Class::Ambiguous).title, None);
        check(200, "ok", None, Class::Ambiguous);
        check(404, "not here", None, Class::Ambiguous);
        check(429, "slow down", None, Class::RateLimitedNumber);
        check(401, "", None, Class::StopChannel);
        check(413, "<html>", None, Class::Permanent);
    }

    #[test]
    fn unknown_codes_fall_back_to_the_status() {
        check(400, r#"{"error":{"code":999999}}"#, Some(999_999), Class::Permanent);
        check(500, r#"{"error":{"code":999999}}"#, Some(999_999), Class::Ambiguous);
        check(429, r#"{"error":{"code":999999}}"#, Some(999_999), Class::RateLimitedNumber);
        let transient = r#"{"error":{"code":999999,"is_transient":true}}"#;
        check(400, transient, Some(999_999), Class::Transient { max_tries: 3 });
    }

    #[test]
    fn a_failure_reads_well_in_a_log() {
        let failure = classify(
            400,
            br#"{"error":{"code":131047,"message":"m","error_data":{"details":"d"}}}"#,
        );
        assert_eq!(failure.to_string(), "window_lapsed (HTTP 400, code 131047): m: d");
    }
}
