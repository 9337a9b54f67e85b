//! What operators ask: is it alive, can it work, how is it doing.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpResponse, web};
use metrics_exporter_prometheus::PrometheusHandle;
use usher_engine::Engine;

use super::problem::Problem;

const READY_WITHIN: Duration = Duration::from_secs(1);

pub(crate) async fn livez() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("alive\n")
}

/// Ready: every service has recovered and takes work.
pub(crate) async fn readyz(engine: Data<Engine>) -> Result<HttpResponse, Problem> {
    match tokio::time::timeout(READY_WITHIN, engine.is_ready()).await {
        Ok(true) => {
            Ok(HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ready\n"))
        }
        Ok(false) | Err(_) => Err(why_not(&engine).await),
    }
}

/// A service that has stopped names the record; the others come back by themselves.
async fn why_not(engine: &Engine) -> Problem {
    let stopped = tokio::time::timeout(READY_WITHIN, engine.stopped()).await.unwrap_or_default();
    let words: Vec<String> = stopped.iter().map(ToString::to_string).collect();
    if words.is_empty() {
        return Problem::unavailable();
    }
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopped", words.join("; "))
}

pub(crate) async fn metrics(handle: Data<PrometheusHandle>) -> Result<HttpResponse, Problem> {
    let text = web::block(move || handle.render()).await?;
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text))
}
