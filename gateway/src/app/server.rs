//! How people, providers and other nodes are served: HTTP with every limit of it, until a connection is upgraded.

use std::ffi::CStr;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_codec::Framed;
use actix_http::error::DispatchError;
use actix_http::h1::Codec;
use actix_http::{HttpService, Protocol, Request};
use actix_rt::net::TcpStream;
use actix_service::{IntoServiceFactory as _, ServiceFactoryExt as _, fn_service, map_config};
use actix_web::App as WebApp;
use actix_web::dev::{AppConfig, Server, ServerHandle};
use actix_web::web::ServiceConfig;
use futures_util::FutureExt as _;
use rustls::ServerConfig;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use usher_config::Config;

use super::{amount, threads, tls, tune};
use crate::upgrade::{Pipe, Upgrade};

/// A client that opens a connection and says nothing.
const REQUEST_HEAD_WITHIN: Duration = Duration::from_secs(10);
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(3);
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// For what is still under way on a connection that is to be closed.
const CLOSED_WITHIN: Duration = Duration::from_secs(1);

/// Who comes in by a listener.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Side {
    Public,
    /// Other nodes.
    Between,
}

impl Side {
    fn tls(self, config: &Config) -> anyhow::Result<Option<ServerConfig>> {
        let (set, table) = match self {
            Self::Public => (config.http.tls.as_ref(), "http"),
            Self::Between => {
                let encrypted =
                    config.cluster.between.as_ref().and_then(|it| it.encrypted.as_ref());
                (encrypted.map(|encrypted| &encrypted.own), "cluster")
            }
        };
        set.map(|set| tls::server(set, table)).transpose()
    }
}

/// Serves `routes`, and has `upgraded` take every connection whose client asks for another protocol. A
/// connection counts until that is done with it.
pub(super) fn serve<R, U, F>(
    config: &Config,
    listener: TcpListener,
    side: Side,
    routes: R,
    upgraded: U,
) -> anyhow::Result<ServerHandle>
where
    R: Fn(&mut ServiceConfig) + Clone + Send + 'static,
    U: Fn(Upgrade) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + 'static,
{
    let acceptor = side.tls(config)?.map(|tls| TlsAcceptor::from(Arc::new(tls)));
    // Two even where there is one processor: what waits for a disk holds up one of them.
    let workers = threads().max(2);
    let server = Server::build()
        .workers(workers)
        .max_concurrent_connections(amount(config.http.connections_max).div_ceil(workers))
        .shutdown_timeout(config.http.stop_grace.as_secs())
        .disable_signals();
    let stopping = server.graceful_shutdown_signal();
    let server = server.listen("http", listener, move || {
        // Each worker's own thread runs this.
        name_thread(c"http");
        let stopping = stopping.clone();
        let (routes, upgraded) = (routes.clone(), upgraded.clone());
        let app = WebApp::new().configure(routes).into_factory();
        let upgraded = fn_service(move |(request, framed): (Request, Framed<Pipe, Codec>)| {
            upgraded(Upgrade::new(request, framed)).map(Ok::<_, actix_web::Error>)
        });
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(REQUEST_HEAD_WITHIN)
            .client_disconnect_timeout(CLOSED_WITHIN)
            .finish(map_config(app, |()| AppConfig::default()))
            .upgrade(Some(upgraded));
        let acceptor = acceptor.clone();
        fn_service(move |stream| open(stream, acceptor.clone())).and_then(http)
    });
    let server = server?.run();
    let handle = server.handle();
    drop(tokio::spawn(server));
    Ok(handle)
}

/// From an accepted connection to one that HTTP is spoken on.
async fn open(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
) -> Result<(Pipe, Protocol, Option<std::net::SocketAddr>), DispatchError> {
    tune::tune(&stream);
    let peer = stream.peer_addr().ok();
    let pipe = match acceptor {
        None => Pipe::Plain(stream),
        Some(acceptor) => {
            // In a box: this future stays as large as it ever was, for as long as its connection lasts.
            let shaken = timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)).boxed_local().await;
            Pipe::Encrypted(Box::new(shaken.map_err(io::Error::from)??))
        }
    };
    Ok((pipe, Protocol::Http1, peer))
}

/// What operators see of the thread; nothing depends on it.
fn name_thread(name: &CStr) {
    rustix::thread::set_name(name).ok();
}
