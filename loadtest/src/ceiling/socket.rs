//! Bare sockets of the same library: they echo, and carry what is posted to one of them.
//!
//! As Usher's own they have left HTTP; what they read into and write from is the library's.

use std::net::TcpListener;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use actix_codec::Framed;
use actix_http::h1::{Codec, Message as Http};
use actix_http::ws::{self, Frame, Message};
use actix_http::{HttpService, Request};
use actix_rt::net::TcpStream;
use actix_service::{IntoServiceFactory as _, fn_service, map_config};
use actix_web::dev::{AppConfig, Server};
use actix_web::web::{self, Bytes, Data, Path};
use actix_web::{App, HttpResponse};
use bytestring::ByteString;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::mpsc;

const WORKERS: usize = 2;
/// It stands idle while others have their turn.
const KEEP_ALIVE: Duration = Duration::from_hours(1);
/// Texts that wait for one socket.
const WAITING_MAX: usize = 1_024;

/// Every socket, in the order they came.
type Open = RwLock<Vec<mpsc::Sender<ByteString>>>;

pub(super) async fn serve(listener: TcpListener) -> anyhow::Result<()> {
    let open = Data::new(Open::default());
    let cores = std::thread::available_parallelism().map_or(WORKERS, usize::from);
    let server =
        Server::build().workers(cores.max(WORKERS)).listen("ceiling", listener, move || {
            let posts = open.clone();
            let app = App::new()
                .app_data(posts)
                .route("/hooks/360dialog/{socket}", web::post().to(carry))
                .into_factory();
            let open = open.clone();
            let join = move |(request, framed): (Request, Framed<TcpStream, Codec>)| {
                let open = open.clone();
                async move {
                    // Whoever hangs up has ended it.
                    drop(join(request, framed, open).await);
                    Ok::<_, actix_web::Error>(())
                }
            };
            HttpService::build()
                .keep_alive(KEEP_ALIVE)
                .client_request_timeout(Duration::ZERO)
                .finish(map_config(app, |()| AppConfig::default()))
                .upgrade(Some(fn_service(join)))
                .tcp()
        });
    server?.run().await?;
    Ok(())
}

async fn join(
    request: Request,
    mut framed: Framed<TcpStream, Codec>,
    open: Data<Open>,
) -> anyhow::Result<()> {
    let answer = ws::handshake(request.head())?.finish().drop_body();
    framed.send(Http::Item((answer, actix_http::body::BodySize::None))).await?;
    drop(request);
    let mut framed = framed.replace_codec(ws::Codec::new());
    let (posted, mut posts) = mpsc::channel(WAITING_MAX);
    open.write().unwrap_or_else(PoisonError::into_inner).push(posted);
    loop {
        let said = tokio::select! {
            frame = framed.next() => match frame {
                Some(Ok(Frame::Text(text))) => Message::Text(ByteString::try_from(text)?),
                Some(Ok(Frame::Ping(bytes))) => Message::Pong(bytes),
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return Ok(()),
            },
            Some(text) = posts.recv() => Message::Text(text),
        };
        framed.send(said).await?;
    }
}

/// Passes a body on to one socket, then answers.
async fn carry(socket: Path<usize>, body: Bytes, open: Data<Open>) -> HttpResponse {
    let Ok(text) = ByteString::try_from(body) else { return HttpResponse::BadRequest().finish() };
    let open = open.read().unwrap_or_else(PoisonError::into_inner);
    match open.get(*socket).map(|socket| socket.try_send(text)) {
        Some(Ok(())) => HttpResponse::Ok().finish(),
        Some(Err(_)) => HttpResponse::ServiceUnavailable().finish(),
        None => HttpResponse::NotFound().finish(),
    }
}
