//! Agents' sockets on a node that may not have their service: the session is always where the service is,
//! and between it and the client, but for its end, what passes is not looked at.
//!
//! Whose a socket is says the token, which may come with the first frame alone: that is waited for here, and
//! passed on with the rest. A socket ends with either side. An owner that goes without a goodbye is waited
//! for: once there is another, the client is let go, comes back by any node and resumes, instead of asking
//! again and again meanwhile.

use std::pin::pin;
use std::time::Duration;

use actix_http::{Request, Response};
use actix_web::ResponseError as _;
use actix_web::http::StatusCode;
use actix_web::http::header::AUTHORIZATION;
use bytes::BytesMut;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use metrics::counter;
use reqwest::header::{CONNECTION, UPGRADE};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};
use usher_domain::ids::ServiceId;
use usher_protocol::close::Close;

use super::frames::Frames;
use super::request::{head, passed};
use super::{Owner, Relay, Wanted};
use crate::http::Problem;
use crate::metrics::RELAYED;
use crate::socket::Sockets;
use crate::upgrade::{Opened, Upgrade};

/// Held for each socket: what is told to an agent, …
const TOLD: usize = 4 * 1024;
/// … and what an agent says.
const SAID: usize = 1024;
/// So long there may be no owner before a client has to ask again: a lease, and a start.
const PATIENCE: Duration = Duration::from_secs(10);
/// The owner's goodbye to a client that has said its own.
const FAREWELL: Duration = Duration::from_secs(2);

/// A socket's session elsewhere.
struct There {
    owner: Owner,
    answer: reqwest::Response,
}

impl There {
    fn is_open(&self) -> bool {
        self.answer.status() == reqwest::StatusCode::SWITCHING_PROTOCOLS
    }
}

impl Relay {
    /// Takes a connection that leaves HTTP; `here` has it if its service runs here, or is unknown.
    pub(crate) fn upgraded(self, here: Sockets, upgrade: Upgrade) -> LocalBoxFuture<'static, ()> {
        async move {
            if !upgrade.head().headers().contains_key(AUTHORIZATION) {
                return self.by_greeting(here, upgrade).await;
            }
            match self.addressed.by_headers(upgrade.head().headers()).await {
                Some(service) if !self.homes.is_here(service) => {
                    self.by_header(service, upgrade).boxed_local().await;
                }
                Some(_) | None => here.upgraded(upgrade).await,
            }
        }
        .boxed_local()
    }

    /// The owner judges the upgrade, and its answer is the client's.
    async fn by_header(self, service: ServiceId, upgrade: Upgrade) {
        let found = self.open(service, upgrade.request()).await;
        count(found.is_ok());
        let there = match found {
            Ok(there) => there,
            Err(problem) => return upgrade.refuse(problem.error_response()).await,
        };
        let (is_open, There { owner, answer }) = (there.is_open(), there);
        if !is_open {
            let mut response = head(&answer);
            let body = answer.bytes().await.unwrap_or_default();
            return upgrade.refuse(response.body(body)).await;
        }
        let (opened, stream) = (upgrade.accept(switching(&answer)), answer.upgrade().await);
        let (Ok((_, opened)), Ok(stream)) = (opened, stream) else { return };
        self.pass(service, &owner, opened, stream).await;
    }

    /// The upgrade is judged here, as the owner would; then the client's greeting says whose it is.
    async fn by_greeting(self, here: Sockets, upgrade: Upgrade) {
        let Some((request, mut opened)) = here.accept(upgrade).await else { return };
        let token = here.greeting(&mut opened).await;
        let service = match &token {
            Some(token) => self.addressed.by_token(token.expose()).await,
            None => None,
        };
        let Some(service) = service.filter(|service| !self.homes.is_here(*service)) else {
            return here.serve(opened, None).await;
        };
        let found = self.open(service, &request).boxed_local().await;
        drop(request);
        let found = found.ok().filter(There::is_open);
        count(found.is_some());
        // A session for a service that is not here asks the client to come back.
        let Some(There { owner, answer }) = found else { return here.serve(opened, None).await };
        let Ok(stream) = answer.upgrade().await else { return here.serve(opened, None).await };
        self.pass(service, &owner, opened, stream).boxed_local().await;
    }

    /// Asks the owner for a session.
    async fn open(&self, service: ServiceId, request: &Request) -> Result<There, Problem> {
        let wanted = Wanted::new(&self.homes, service, PATIENCE);
        let question = |owner: &Owner| {
            let asked = self.ask(owner, request.head()).header(CONNECTION, "upgrade");
            Some(asked.header(UPGRADE, "websocket"))
        };
        // A socket that was opened for nobody is closed there.
        let (owner, answer) = wanted.asked(true, question).await?;
        Ok(There { owner, answer })
    }

    async fn pass(
        &self,
        service: ServiceId,
        owner: &Owner,
        Opened { pipe, read, unwritten }: Opened,
        stream: impl AsyncRead + AsyncWrite,
    ) {
        let (said, mut tells) = tokio::io::split(pipe);
        let (told, says) = tokio::io::split(stream);
        if tells.write_all(&unwritten).await.is_err() {
            return;
        }
        drop(unwritten);
        let towards = async {
            towards(read, said, says).await;
            sleep(FAREWELL).await;
        };
        tokio::select! {
            () = towards => {}
            () = self.back((service, owner), told, &mut tells) => {}
        }
        // The client may have gone before.
        tells.shutdown().await.ok();
    }

    /// What the owner says, as fast as the client takes it.
    async fn back(
        &self,
        (service, owner): (ServiceId, &Owner),
        mut told: impl AsyncRead + Unpin,
        tells: &mut (impl AsyncWrite + Unpin),
    ) {
        let (mut frames, mut buffer) = (Frames::default(), BytesMut::with_capacity(TOLD));
        // Once for the socket, not for each of its frames.
        let mut replaced = pin!(self.homes.replaced(service, owner));
        let mut stopped = pin!(self.stopped());
        loop {
            buffer.clear();
            let read = tokio::select! {
                read = told.read_buf(&mut buffer) => read,
                () = &mut replaced => return,
                () = &mut stopped => {
                    if frames.are_whole() {
                        // The client may have gone before.
                        tells.write_all(&goodbye()).await.ok();
                    }
                    return;
                }
            };
            if !matches!(read, Ok(1..)) {
                break;
            }
            frames.pass(&buffer);
            if tells.write_all(&buffer).await.is_err() {
                return;
            }
        }
        if !frames.have_closed() {
            drop(timeout(PATIENCE, replaced).await);
        }
    }
}

/// What the client says; `read` is what it has said already.
async fn towards(
    read: BytesMut,
    mut said: impl AsyncRead + Unpin,
    mut says: impl AsyncWrite + Unpin,
) {
    let mut buffer = read;
    loop {
        if says.write_all(&buffer).await.is_err() {
            break;
        }
        if buffer.capacity() < SAID {
            buffer = BytesMut::with_capacity(SAID);
        }
        buffer.clear();
        if !matches!(said.read_buf(&mut buffer).await, Ok(1..)) {
            break;
        }
    }
    // The other side may have gone before.
    says.shutdown().await.ok();
}

/// The close frame of a server (RFC 6455 §5.5.1): this node ends.
fn goodbye() -> Vec<u8> {
    let (code, reason) = (Close::Restarting, Close::Restarting.reason(Some(1)));
    let length = u8::try_from(reason.len() + 2).unwrap_or(u8::MAX);
    let mut frame = vec![0x88, length];
    frame.extend(code.number().to_be_bytes());
    frame.extend(reason.as_bytes());
    frame
}

fn switching(answer: &reqwest::Response) -> Response<()> {
    let mut response = Response::build(StatusCode::SWITCHING_PROTOCOLS);
    for header in passed(answer) {
        response.append_header(header);
    }
    response.upgrade("websocket").finish().drop_body()
}

fn count(answered: bool) {
    let outcome = if answered { "answered" } else { "refused" };
    counter!(RELAYED, "what" => "socket", "outcome" => outcome).increment(1);
}
