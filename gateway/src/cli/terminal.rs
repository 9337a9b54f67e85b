//! What the terminal clients share: lines in and out, and plain calls of an HTTP API.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use anyhow::{Context as _, bail};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Lines typed ahead, at most.
const AHEAD: usize = 64;

/// Writes one line; a reader that has gone away ends the program, as people expect of a pipe.
pub(super) fn say(line: impl AsRef<str>) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", printable(line.as_ref())).context("nobody reads")
}

/// Without characters that would steer the terminal: visitors choose their names and words.
fn printable(line: &str) -> String {
    let shown = |char: char| if char.is_control() && char != '\n' { '\u{fffd}' } else { char };
    line.chars().map(shown).collect()
}

/// Whether a person sits at the keyboard.
pub(super) fn is_interactive() -> bool {
    io::stdin().is_terminal()
}

/// The lines that are typed; the channel ends with them.
pub(super) fn lines() -> mpsc::Receiver<String> {
    let (typed, lines) = mpsc::channel(AHEAD);
    // A thread of its own: reading the keyboard cannot be cancelled, and must not delay the end.
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if typed.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// An HTTP client.
pub(super) fn client() -> anyhow::Result<Client> {
    // Another part of the program may have installed it before.
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::builder().build().context("no HTTP client could be made")
}

/// Signs in and returns the token.
pub(super) async fn sign_in(
    client: &Client,
    url: &str,
    email: &str,
    password: &str,
) -> anyhow::Result<String> {
    let request = client
        .post(format!("{url}/v1/sessions"))
        .json(&json!({ "email": email, "password": password }));
    let answer = call(request).await.with_context(|| format!("{email} cannot sign in at {url}"))?;
    let token = answer.get("token").and_then(Value::as_str).context("the answer has no token")?;
    Ok(token.to_owned())
}

/// The JSON of a good answer; of a bad one, what it says.
pub(super) async fn call(request: RequestBuilder) -> anyhow::Result<Value> {
    let response = request.send().await.context("no answer; is it running?")?;
    let status = response.status();
    let text = response.text().await.context("the answer broke off")?;
    let body: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    if !status.is_success() {
        bail!("{}", refused(status, &body));
    }
    Ok(body)
}

/// Problem details (RFC 9457), or whatever else stands for them.
fn refused(status: StatusCode, body: &Value) -> String {
    let text = |field| body.get(field).and_then(Value::as_str);
    let said = text("detail").or(text("error")).or(text("title")).unwrap_or("no reason given");
    format!("{said} ({})", status.as_u16())
}

/// Without a slash at the end.
pub(super) fn base(url: &str) -> String {
    url.trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visitor_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\r"), "a\u{fffd}[2Jb\u{fffd}");
        assert_eq!(printable("Grüße 👋"), "Grüße 👋");
    }

    #[test]
    fn a_refusal_says_what_the_server_said() {
        let problem = json!({"title": "Unauthorized", "detail": "Wrong password."});
        assert_eq!(refused(StatusCode::UNAUTHORIZED, &problem), "Wrong password. (401)");
        assert_eq!(refused(StatusCode::BAD_GATEWAY, &Value::Null), "no reason given (502)");
    }
}
