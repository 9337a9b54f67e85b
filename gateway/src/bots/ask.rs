//! One question: signed, tried a few times within its time, answered or failed.

use std::time::Duration;

use bytes::BytesMut;
use metrics::{counter, histogram};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout};
use usher_engine::{BotAction, BotCall, BotSaid};

use super::answer::{self, BODY_MAX, Unfit};
use super::{Bot, payload, reach, sign, unix_seconds};
use crate::metrics::{BOT_CALLS, BOT_SECONDS};

const TRIES_MAX: u32 = 3;

/// How long a bot has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) one_try: Duration,
    pub(super) all: Duration,
    /// Before the second try; doubled before the third.
    pub(super) pause: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            one_try: Duration::from_secs(10),
            all: Duration::from_secs(30),
            pause: Duration::from_millis(500),
        }
    }
}

/// Why a bot did not answer.
#[derive(Debug, Error)]
pub(super) enum Failed {
    #[error("its address is private, which is not allowed")]
    Private,
    #[error("it could not be reached")]
    Unreachable(#[source] reqwest::Error),
    #[error("it did not answer in time")]
    TimeOut,
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error("its answer was not taken")]
    Unfit(#[from] Unfit),
    #[error("the question could not be written")]
    Payload(#[from] serde_json::Error),
}

impl Failed {
    const fn label(&self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Unreachable(_) => "unreachable",
            Self::TimeOut => "time_out",
            Self::Status(_) => "status",
            Self::Unfit(_) => "malformed",
            Self::Payload(_) => "unwritten",
        }
    }

    /// Whether another try may end otherwise.
    fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::TimeOut => true,
            Self::Status(status) => {
                status.is_server_error()
                    || *status == StatusCode::TOO_MANY_REQUESTS
                    || *status == StatusCode::REQUEST_TIMEOUT
            }
            Self::Private | Self::Unfit(_) | Self::Payload(_) => false,
        }
    }
}

impl Bot {
    pub(super) async fn ask(&self, call: &BotCall, times: Times) -> BotSaid {
        let began = Instant::now();
        let outcome = timeout(times.all, self.try_hard(call, times)).await;
        let outcome = outcome.unwrap_or(Err(Failed::TimeOut));
        let label = outcome.as_ref().map_or_else(Failed::label, |_| "answered");
        counter!(BOT_CALLS, "outcome" => label).increment(1);
        histogram!(BOT_SECONDS, "outcome" => label).record(began.elapsed().as_secs_f64());
        match outcome {
            Ok(actions) => BotSaid::Actions(actions),
            Err(failed) => {
                let error = &failed as &dyn std::error::Error;
                tracing::warn!(error, bot = %self.id, name = self.name, "a bot failed");
                BotSaid::Failed
            }
        }
    }

    async fn try_hard(&self, call: &BotCall, times: Times) -> Result<Vec<BotAction>, Failed> {
        if !self.allow_private && reach::is_written_as_private(&self.url) {
            return Err(Failed::Private);
        }
        let body = payload::body(call)?;
        let id = call.id.to_string();
        // Never closed.
        let _turn = self.turns.acquire().await.ok();
        let mut pause = times.pause;
        for _ in 1..TRIES_MAX {
            let failed = match self.try_once(&id, &body, times.one_try).await {
                Ok(actions) => return Ok(actions),
                Err((failed, _)) if !failed.may_pass() => return Err(failed),
                Err((_, wished)) => wished,
            };
            sleep(failed.unwrap_or_default().max(pause)).await;
            pause *= 2;
        }
        self.try_once(&id, &body, times.one_try).await.map_err(|(failed, _)| failed)
    }

    /// With a failure: how long the bot wants to be left alone.
    async fn try_once(
        &self,
        id: &str,
        body: &[u8],
        within: Duration,
    ) -> Result<Vec<BotAction>, (Failed, Option<Duration>)> {
        let at = unix_seconds(self.clock);
        let request = self
            .client
            .post(self.url.clone())
            .timeout(within)
            .header(CONTENT_TYPE, "application/json")
            .header(sign::ID, id)
            .header(sign::TIMESTAMP, at)
            .header(sign::SIGNATURE, self.signer.sign(id, at, body))
            .body(body.to_vec());
        let response = request.send().await.map_err(|error| (lost(error), None))?;
        let status = response.status();
        if !status.is_success() {
            let wished = response.headers().get(RETRY_AFTER);
            let wished = wished.and_then(|seconds| seconds.to_str().ok()?.parse().ok());
            return Err((Failed::Status(status), wished.map(Duration::from_secs)));
        }
        read(response).await.map_err(|failed| (failed, None))
    }
}

fn lost(error: reqwest::Error) -> Failed {
    if error.is_timeout() { Failed::TimeOut } else { Failed::Unreachable(error) }
}

async fn read(mut response: Response) -> Result<Vec<BotAction>, Failed> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(lost)? {
        if body.len() + chunk.len() > BODY_MAX {
            return Err(Unfit::TooLarge.into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(answer::read(&body)?)
}
