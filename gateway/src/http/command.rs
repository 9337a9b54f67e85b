//! The commands of the agent socket, asked for by HTTP: the same words, the same answers.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::web::{self, Bytes};
use actix_web::{FromRequest, HttpRequest};
use serde::Serialize;
use serde_json::{Map, Value};
use usher_protocol::command::Command;

use super::problem::Problem;

/// Bytes of a command.
const BODY_MAX: usize = 256 * 1024;
/// For a body to arrive whole.
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// How deep a body may be nested.
const DEPTH_MAX: usize = 8;

/// A small body as it came, or nothing.
pub(super) struct Body(pub(super) Bytes);

impl FromRequest for Body {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let payload = web::Payload::from_request(request, payload);
        Box::pin(async move {
            let payload = payload.await.map_err(|_| Problem::cut_off())?;
            whole(payload, BODY_MAX, BODY_WITHIN).await.map(Body)
        })
    }
}

/// A body of at most `limit` bytes.
pub(super) async fn whole(
    payload: web::Payload,
    limit: usize,
    within: Duration,
) -> Result<Bytes, Problem> {
    match tokio::time::timeout(within, payload.to_bytes_limited(limit)).await {
        Ok(Ok(Ok(body))) => Ok(body),
        Ok(Ok(Err(_))) | Err(_) => Err(Problem::cut_off()),
        Ok(Err(_)) => Err(Problem::too_large(limit as u64)),
    }
}

/// Reads the command `name` from a body and what stands in the path.
pub(super) fn command(
    request: &HttpRequest,
    name: &str,
    body: &[u8],
    about: Option<(&str, &dyn ErasedId)>,
) -> Result<Command, Problem> {
    let mut fields = fields(body)?;
    if let Some((field, id)) = about {
        if fields.contains_key(field) {
            return Err(Problem::malformed(format!("`{field}` stands in the path already")));
        }
        fields.insert(field.to_owned(), id.value());
    }
    if matches!(name, "send" | "start")
        && let Some(key) = request.headers().get("idempotency-key")
    {
        let key = key.to_str().map_err(|_| Problem::malformed("the key is not plain text"))?;
        fields.entry("key").or_insert_with(|| key.into());
    }
    let command = Value::Object(Map::from_iter([(name.to_owned(), Value::Object(fields))]));
    serde_json::from_value(command)
        .map_err(|error| Problem::malformed(format!("`{name}` was not understood: {error}")))
}

/// An id as it stands in a command.
pub(super) trait ErasedId {
    fn value(&self) -> Value;
}

impl<I: Serialize> ErasedId for I {
    fn value(&self) -> Value {
        serde_json::to_value(self).unwrap_or(Value::Null)
    }
}

fn fields(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) if fields.values().all(|value| depth(value) < DEPTH_MAX) => {
            Ok(fields)
        }
        Ok(Value::Object(_)) => Err(Problem::malformed("the body is nested too deeply")),
        Ok(_) => Err(Problem::malformed("the body has to be a JSON object")),
        Err(error) => Err(Problem::malformed(format!("the body was not understood: {error}"))),
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(all) => 1 + all.iter().map(depth).max().unwrap_or(0),
        Value::Object(all) => 1 + all.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use usher_domain::ids::EnquiryId;

    use super::*;

    fn read(name: &str, body: &str) -> Result<Command, Problem> {
        let request = TestRequest::default().insert_header(("idempotency-key", "k1"));
        let id = EnquiryId::from_number(7);
        command(&request.to_http_request(), name, body.as_bytes(), Some(("enquiry", &id)))
    }

    #[test]
    fn the_path_says_what_it_is_about_and_the_body_the_rest() {
        let enquiry = EnquiryId::from_number(7);
        assert_eq!(read("pick_up", ""), Ok(Command::PickUp { enquiry }));
        let close = Command::Close { enquiry, silent: true, reason: None };
        assert_eq!(read("close", r#"{"silent":true}"#), Ok(close));
    }

    #[test]
    fn the_idempotency_key_is_the_key_unless_there_is_one() {
        let key = |body| match read("send", body).unwrap() {
            Command::Send { key, .. } => key.as_str().to_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!(key(r#"{"content":{"kind":"text","body":"x"}}"#), "k1");
        assert_eq!(key(r#"{"key":"k2","content":{"kind":"text","body":"x"}}"#), "k2");
    }

    #[test]
    fn what_does_not_belong_is_refused_by_its_name() {
        for (name, body, named) in [
            ("pick_up", r#"{"colour":"red"}"#, "colour"),
            ("pick_up", r#"{"enquiry":"enq_1"}"#, "enquiry"),
            ("note", "{}", "text"),
            ("note", "[1]", "object"),
            ("note", r#"{"text":[[[[[[[[[]]]]]]]]]}"#, "deep"),
        ] {
            let problem = read(name, body).unwrap_err().to_string();
            assert!(problem.contains(named), "{problem}");
        }
    }
}
