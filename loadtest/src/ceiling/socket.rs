//! Bare sockets of the same library: they echo, and carry what is posted to one or all of them.

use std::net::TcpListener;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use actix::{Actor, Addr, AsyncContext as _, Handler, Message, StreamHandler};
use actix_web::web::{self, Bytes, Data, Path, Payload};
use actix_web::{App, Error, HttpRequest, HttpResponse, HttpServer};
use actix_web_actors::ws;
use bytestring::ByteString;

const WORKERS: usize = 2;
/// It stands idle while others have their turn.
const KEEP_ALIVE: Duration = Duration::from_hours(1);

/// Every socket, in the order they came.
type Open = RwLock<Vec<Addr<Socket>>>;

struct Socket {
    open: Data<Open>,
}

/// To be written to the socket.
#[derive(Message)]
#[rtype(result = "()")]
struct Write(ByteString);

impl Actor for Socket {
    type Context = ws::WebsocketContext<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        open.push(context.address());
    }
}

impl StreamHandler<Result<ws::Message, ws::ProtocolError>> for Socket {
    fn handle(
        &mut self,
        said: Result<ws::Message, ws::ProtocolError>,
        context: &mut Self::Context,
    ) {
        match said {
            Ok(ws::Message::Text(text)) => context.text(text),
            Ok(ws::Message::Ping(bytes)) => context.pong(&bytes),
            _ => {}
        }
    }
}

impl Handler<Write> for Socket {
    type Result = ();

    fn handle(&mut self, Write(text): Write, context: &mut Self::Context) {
        context.text(text);
    }
}

pub(super) async fn serve(listener: TcpListener) -> anyhow::Result<()> {
    let open = Data::new(Open::default());
    let cores = std::thread::available_parallelism().map_or(WORKERS, usize::from);
    let app = move || {
        App::new()
            .app_data(open.clone())
            .route("/v1/agent/socket", web::get().to(join))
            .route("/hooks/360dialog/{socket}", web::post().to(carry))
    };
    let server = HttpServer::new(app)
        .workers(cores.max(WORKERS))
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(Duration::ZERO);
    server.listen(listener)?.run().await?;
    Ok(())
}

async fn join(
    request: HttpRequest,
    payload: Payload,
    open: Data<Open>,
) -> Result<HttpResponse, Error> {
    ws::start(Socket { open }, &request, payload)
}

/// Passes a body on to one socket, then answers.
async fn carry(socket: Path<usize>, body: Bytes, open: Data<Open>) -> HttpResponse {
    let Ok(text) = ByteString::try_from(body) else { return HttpResponse::BadRequest().finish() };
    let open = open.read().unwrap_or_else(PoisonError::into_inner);
    match open.get(*socket) {
        Some(address) => {
            address.do_send(Write(text));
            HttpResponse::Ok().finish()
        }
        None => HttpResponse::NotFound().finish(),
    }
}
