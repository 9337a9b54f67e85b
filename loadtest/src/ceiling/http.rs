//! A bare handler that reads the body: what any service on the same HTTP library pays at least.

use std::net::TcpListener;
use std::time::Duration;

use actix_web::web::{self, Bytes};
use actix_web::{App, HttpResponse, HttpServer};

/// As many as Usher has.
const WORKERS: usize = 2;
/// It stands idle while others have their turn.
const KEEP_ALIVE: Duration = Duration::from_hours(1);
const BODY_MAX: usize = 4 << 20;

pub(super) async fn serve(listener: TcpListener) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism().map_or(WORKERS, usize::from);
    let app = || {
        App::new()
            .app_data(web::PayloadConfig::new(BODY_MAX))
            .route("/hooks/360dialog/{channel}", web::post().to(read))
    };
    let server = HttpServer::new(app)
        .workers(cores.max(WORKERS))
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(Duration::ZERO);
    server.listen(listener)?.run().await?;
    Ok(())
}

async fn read(body: Bytes) -> HttpResponse {
    if body.is_empty() { HttpResponse::BadRequest().finish() } else { HttpResponse::Ok().finish() }
}
