//! How failures are answered: RFC 9457 problem details with a stable code.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use actix_web::error::{JsonPayloadError, ResponseError};
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, Responder};
use serde::Serialize;
use usher_engine::Unavailable;
use usher_protocol::refusal::{Code, Refusal};
use usher_store::StoreError;

/// A failure as clients see it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Problem {
    status: StatusCode,
    /// Stable; the same words as on the agent socket.
    code: &'static str,
    detail: Cow<'static, str>,
    retry_after: Option<Duration>,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
}

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, code, detail: detail.into(), retry_after: None }
    }

    pub(crate) fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    fn of(code: Code) -> Self {
        Self::new(status(code), code.name(), code.text())
    }

    /// Also for what is there, but not for whoever asks.
    pub(crate) fn not_found() -> Self {
        Self::of(Code::NotFound)
    }

    pub(crate) fn forbidden() -> Self {
        Self::of(Code::Forbidden)
    }

    pub(crate) fn unavailable() -> Self {
        Self::of(Code::Unavailable).after(Duration::from_secs(5))
    }

    pub(crate) fn malformed(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::Malformed.name(), detail)
    }

    /// The body did not arrive whole, or not in time.
    pub(crate) fn cut_off() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "cut_off", "The body did not arrive whole.")
    }

    pub(crate) fn too_large(limit: u64) -> Self {
        let detail = format!("The body may have at most {limit} bytes.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, Code::TooLarge.name(), detail)
    }

    pub(crate) fn unauthorized(detail: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    pub(crate) fn rate_limited(wait: Duration) -> Self {
        Self::of(Code::RateLimited).after(wait)
    }

    pub(crate) fn from_json(error: &JsonPayloadError) -> Self {
        match error {
            JsonPayloadError::Overflow { limit }
            | JsonPayloadError::OverflowKnownLength { limit, .. } => Self::too_large(*limit as u64),
            JsonPayloadError::ContentType => Self::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "The body has to be application/json.",
            ),
            other => Self::malformed(format!("the body was not understood: {other}")),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let code = refusal.code;
        let mut problem = Self::new(status(code), code.name(), refusal.text);
        let seconds = refusal.retry_after.or_else(|| code.retry().then_some(1));
        problem.retry_after = seconds.map(|seconds| Duration::from_secs(seconds.into()));
        problem
    }
}

impl From<Unavailable> for Problem {
    fn from(unavailable: Unavailable) -> Self {
        match unavailable {
            // Who is signed in has one: it has just gone to another node.
            Unavailable::NoService | Unavailable::Busy | Unavailable::NotDurable => {
                Self::unavailable()
            }
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "the archive was not read");
        Self::unavailable()
    }
}

impl From<actix_web::error::BlockingError> for Problem {
    fn from(_: actix_web::error::BlockingError) -> Self {
        Self::unavailable()
    }
}

const fn status(code: Code) -> StatusCode {
    match code {
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::Forbidden | Code::NotOwner | Code::NotOffered => StatusCode::FORBIDDEN,
        Code::Malformed => StatusCode::BAD_REQUEST,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unsupported | Code::TemplateUnfit => StatusCode::UNPROCESSABLE_ENTITY,
        // What the state of things does not allow now.
        _ => StatusCode::CONFLICT,
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let body = Body {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
        };
        let mut response = HttpResponse::build(self.status);
        response.content_type("application/problem+json");
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.insert_header((header::RETRY_AFTER, seconds.max(1).to_string()));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        response.body(serde_json::to_string(&body).expect("texts and numbers are JSON"))
    }
}

impl Responder for Problem {
    type Body = actix_web::body::BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        self.error_response()
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;
    use serde_json::{Value, json};

    use super::*;

    async fn told(problem: &Problem) -> (HttpResponse<()>, Value) {
        let (head, body) = problem.error_response().into_parts();
        let bytes = to_bytes(body).await.unwrap();
        (head, serde_json::from_slice(&bytes).unwrap())
    }

    fn header<'a>(head: &'a HttpResponse<()>, name: &str) -> &'a str {
        head.headers().get(name).unwrap().to_str().unwrap()
    }

    #[actix_web::test]
    async fn a_refusal_keeps_its_code_and_its_words() {
        let (head, body) = told(&Problem::from(Refusal::from(Code::AlreadyTaken))).await;
        assert_eq!(header(&head, "content-type"), "application/problem+json");
        let expected = json!({"type": "about:blank", "title": "Conflict", "status": 409,
            "code": "already_taken", "detail": Code::AlreadyTaken.text()});
        assert_eq!(body, expected);
    }

    #[actix_web::test]
    async fn what_passes_says_when_to_come_back() {
        let wait = Duration::from_millis(1_200);
        let (head, body) = told(&Problem::rate_limited(wait)).await;
        assert_eq!((head.status().as_u16(), header(&head, "retry-after")), (429, "2"));
        assert_eq!(body["code"], "rate_limited");
        let (head, _) = told(&Problem::from(Unavailable::NotDurable)).await;
        assert_eq!(head.status(), 503);
        assert!(head.headers().contains_key("retry-after"));
    }

    #[test]
    fn every_code_has_a_status_of_an_error() {
        for &code in Code::ALL {
            assert!(status(code).as_u16() >= 400, "{code:?}");
        }
        assert_eq!(status(Code::NotFound), StatusCode::NOT_FOUND);
    }
}
