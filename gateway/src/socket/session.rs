//! One connection of a staff member: the greeting, its commands, its signs of life, its end.
//!
//! | stage | hears | becomes |
//! |---|---|---|
//! | Greeting | `hello` with a good token | Attaching |
//! | Greeting | anything else, or nothing for 10 s | Ending |
//! | Attaching | the service has taken it on | Live |
//! | Live | commands, pongs | Live |
//! | any | a close of either side, a frame that makes no sense | Ending |
//! | Ending | the client's close, or nothing for 2 s | (gone) |

use std::rc::Rc;
use std::time::Duration;

use actix::{Actor, ActorContext as _, ActorFutureExt as _, AsyncContext as _, Handler, Message};
use actix::{SpawnHandle, StreamHandler, WrapFuture as _};
use actix_http::ws::Item;
use actix_web_actors::ws::{self, CloseCode, CloseReason, ProtocolError, WebsocketContext};
use bytestring::ByteString;
use usher_domain::ids::SessionId;
use usher_domain::time::Timestamp;
use usher_engine::{Answer, Attach, Unavailable};
use usher_protocol::close::{Bye, Close};
use usher_protocol::command::Command;
use usher_protocol::frame::{
    ClientFrame, Hello, ServerFrame, Token, parse_client, parse_server, reply_error, reply_ok,
};
use usher_protocol::refusal::{Code, Refusal};
use usher_protocol::{HEARTBEAT_SECONDS, HELLO_SECONDS, Malformed};

use super::body::Feed;
use super::gate::{Passage, Refused};
use super::pace::{Pace, Verdict};
use super::pieces::Pieces;
use super::{Member, Sockets};

/// Between the moments at which hearts beat.
const BEATS_MILLIS: u64 = 250;
/// How long the client may take to answer our close.
const FAREWELL: Duration = Duration::from_secs(2);
/// Seconds after which somebody who found no room may try again.
const CROWDED_RETRY: u32 = 30;
const UNAVAILABLE_RETRY: u32 = 2;
/// Who was not heard for so long was let go for that.
const SILENCE: Duration = Duration::from_secs(30);
/// Who was asked for so long whether it reads what it is given was let go for that.
const UNREAD: Duration = Duration::from_secs(5);

pub(super) struct Session {
    sockets: Sockets,
    passage: Rc<Passage>,
    feed: Rc<Feed>,
    stage: Stage,
    pace: Pace,
    pieces: Pieces,
    /// Of the upgrade, then of the greeting: what the sign-in is looked up by.
    token: Option<Token>,
    /// The last frame of any kind.
    heard: Timestamp,
    /// The patience with somebody who does not greet.
    hello: Option<SpawnHandle>,
}

enum Stage {
    Greeting,
    Attaching(Attached),
    Live(Attached),
    Ending,
}

/// A connection the service knows of, and no longer than this lives.
struct Attached {
    sockets: Sockets,
    member: Member,
}

impl Drop for Attached {
    fn drop(&mut self) {
        let Member { service, staff, connection, .. } = self.member;
        self.sockets.shared.registry.leave(self.member);
        self.sockets.shared.engine.detach(service, staff, connection);
    }
}

/// Ends the connection from outside.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct End {
    pub(super) close: Close,
    /// Seconds.
    pub(super) retry_after: Option<u32>,
}

/// The feed has come to an end.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) enum Ended {
    Decided(Close),
    /// The service has let go of the connection.
    LetGo,
    /// The service's own `bye` has been written.
    Said(String),
}

impl Session {
    pub(super) fn new(
        sockets: Sockets,
        token: Option<Token>,
        passage: Rc<Passage>,
        feed: Rc<Feed>,
    ) -> Self {
        let limits = sockets.shared.limits;
        let heard = sockets.shared.clock.now();
        let pace = Pace::new(limits.per_second, limits.burst, heard);
        let (stage, pieces) = (Stage::Greeting, Pieces::default());
        Self { sockets, passage, feed, stage, pace, pieces, token, heard, hello: None }
    }

    const fn member(&self) -> Option<Member> {
        match &self.stage {
            Stage::Live(attached) => Some(attached.member),
            Stage::Greeting | Stage::Attaching(_) | Stage::Ending => None,
        }
    }

    fn text(&mut self, text: &ByteString, ctx: &mut WebsocketContext<Self>) {
        match (parse_client(text), &self.stage) {
            (Ok(ClientFrame::Hello(hello)), Stage::Greeting) => self.hello(hello, ctx),
            (Ok(ClientFrame::Command { id, command }), Stage::Live(_)) => {
                self.command(id, command, ctx);
            }
            (_, Stage::Greeting) => self.end(Close::NoHello, None, ctx),
            (Ok(_), Stage::Attaching(_) | Stage::Live(_)) => self.end(Close::Malformed, None, ctx),
            (Err(malformed), Stage::Attaching(_) | Stage::Live(_)) => {
                self.malformed(&malformed, ctx);
            }
            (_, Stage::Ending) => {}
        }
    }

    fn malformed(&mut self, malformed: &Malformed, ctx: &mut WebsocketContext<Self>) {
        let Some(answer) = malformed.answer() else {
            self.end(malformed.close(), None, ctx);
            return;
        };
        match self.pace.next(self.sockets.shared.clock.now()) {
            Verdict::Flooding => self.end(Close::Flooding, None, ctx),
            Verdict::Granted | Verdict::Refused { .. } => ctx.text(answer.encode()),
        }
    }

    fn hello(&mut self, hello: Hello, ctx: &mut WebsocketContext<Self>) {
        if let Some(patience) = self.hello.take() {
            ctx.cancel_future(patience);
        }
        let shared = &self.sockets.shared;
        self.token = hello.token.or(self.token.take());
        let person = self
            .token
            .as_ref()
            .and_then(|token| shared.people.authenticate(token.expose(), shared.clock.now()));
        let Some(person) = person else {
            self.end(Close::TokenRefused, None, ctx);
            return;
        };
        let member = Member {
            service: person.service,
            staff: person.staff,
            session: person.session,
            connection: shared.registry.next_connection(),
        };
        let most = shared.limits.connections_per_staff;
        if let Err(close) = shared.registry.enter(member, ctx.address(), most) {
            self.end(close, Some(CROWDED_RETRY), ctx);
            return;
        }
        self.stage = Stage::Attaching(Attached { sockets: self.sockets.clone(), member });
        let engine = self.sockets.shared.engine.clone();
        let attach = Attach {
            staff: member.staff,
            connection: member.connection,
            session: member.session,
            resume: hello.resume,
        };
        let attached = async move { engine.attach(member.service, attach).await };
        ctx.spawn(attached.into_actor(self).map(Self::attached));
    }

    fn attached(
        attached: Result<(), Unavailable>,
        session: &mut Self,
        ctx: &mut WebsocketContext<Self>,
    ) {
        match (attached, std::mem::replace(&mut session.stage, Stage::Ending)) {
            (Ok(()), Stage::Attaching(attached)) => {
                session.feed.of.set(Some(attached.member));
                session.watch_sign_in(attached.member.session, ctx);
                session.stage = Stage::Live(attached);
            }
            (Err(_), Stage::Attaching(attached)) => {
                // Back, so that there is something to end.
                session.stage = Stage::Attaching(attached);
                session.end(Close::Unavailable, Some(UNAVAILABLE_RETRY), ctx);
            }
            (_, stage) => session.stage = stage,
        }
    }

    fn command(&mut self, id: u64, command: Command, ctx: &mut WebsocketContext<Self>) {
        let Some(Member { service, staff, connection, .. }) = self.member() else { return };
        match self.pace.next(self.sockets.shared.clock.now()) {
            Verdict::Flooding => self.end(Close::Flooding, None, ctx),
            Verdict::Refused { after } => {
                ctx.text(reply_error(id, Refusal::from(Code::RateLimited).after(after)));
            }
            Verdict::Granted if matches!(command, Command::SignOut { .. }) => {
                self.sign_out(id, command, ctx);
            }
            Verdict::Granted => {
                self.sockets.shared.engine.order(service, staff, connection, id, command);
            }
        }
    }

    /// The one command that is not the service's alone: the sign-in ends with it.
    fn sign_out(&mut self, id: u64, command: Command, ctx: &mut WebsocketContext<Self>) {
        let Some(Member { service, staff, session, .. }) = self.member() else { return };
        let sockets = self.sockets.clone();
        let done = async move {
            let answer = sockets.shared.engine.command(service, staff, command).await;
            if answer.is_ok() {
                sockets.shared.people.end(session).await;
            }
            answer
        };
        let told = done.into_actor(self).map(move |answer: Answer, session, ctx| match answer {
            Ok(ok) => {
                if let Ok(answer) = reply_ok(id, &ok) {
                    ctx.text(answer);
                }
                session.end(Close::SignedOut, None, ctx);
            }
            Err(refusal) => ctx.text(reply_error(id, refusal)),
        });
        ctx.spawn(told);
    }

    /// Ends with the sign-in, wherever that is ended.
    fn watch_sign_in(&self, session: SessionId, ctx: &mut WebsocketContext<Self>) {
        let ended = self.sockets.shared.people.watch(session);
        let ends = async move {
            if let Some(mut ended) = ended {
                // The other half going away means the same.
                ended.wait_for(|ended| *ended).await.ok();
            }
        };
        ctx.spawn(ends.into_actor(self).map(|(), session, ctx| {
            session.end(Close::SignedOut, None, ctx);
        }));
    }

    /// The client is there.
    fn alive(&self) {
        if let Some(Member { service, staff, connection, .. }) = self.member() {
            self.sockets.shared.engine.alive(service, staff, connection);
        }
    }

    /// The service does not say why it lets go; the rest is known here.
    fn let_go(&self) -> Close {
        let shared = &self.sockets.shared;
        let since = |then| shared.clock.now().since(then);
        if shared.registry.is_stopping() {
            Close::Restarting
        } else if since(self.heard) >= SILENCE {
            Close::Silent
        } else if self.feed.asked.get().is_some_and(|asked| since(asked) >= UNREAD) {
            Close::Behind
        } else {
            Close::Rebuilt
        }
    }

    /// The heartbeat: a ping, and a look whether the sign-in still holds.
    fn beat(&mut self, ctx: &mut WebsocketContext<Self>) {
        if matches!(self.stage, Stage::Ending) {
            return;
        }
        ctx.ping(b"");
        let shared = &self.sockets.shared;
        let holds = self.token.as_ref().is_some_and(|token| {
            shared.people.authenticate(token.expose(), shared.clock.now()).is_some()
        });
        if self.member().is_some() && !holds {
            self.end(Close::Expired, None, ctx);
        }
    }

    /// Says why, closes, and waits a little for the client's close. Nothing is sent after it.
    fn end(&mut self, close: Close, retry_after: Option<u32>, ctx: &mut WebsocketContext<Self>) {
        if matches!(self.stage, Stage::Ending) {
            return;
        }
        let bye = close.bye(retry_after);
        ctx.text(ServerFrame::Bye { bye: bye.clone() }.encode());
        self.farewell(&bye, close.reason(retry_after), ctx);
    }

    fn farewell(&mut self, bye: &Bye, reason: String, ctx: &mut WebsocketContext<Self>) {
        tracing::debug!(code = bye.code, text = bye.text, "socket is closed");
        self.stage = Stage::Ending;
        self.feed.of.take();
        ctx.close(Some(CloseReason {
            code: CloseCode::Other(bye.code),
            description: Some(reason),
        }));
        ctx.run_later(FAREWELL, |_, ctx| ctx.stop());
    }

    fn closed_by_client(&mut self, reason: Option<CloseReason>, ctx: &mut WebsocketContext<Self>) {
        if !matches!(self.stage, Stage::Ending) {
            self.stage = Stage::Ending;
            self.feed.of.take();
            ctx.close(reason);
        }
        ctx.stop();
    }

    fn piece(&mut self, item: Item, ctx: &mut WebsocketContext<Self>) {
        let put = match item {
            Item::FirstText(piece) => self.pieces.begin(&piece),
            Item::Continue(piece) => self.pieces.go_on(&piece),
            Item::FirstBinary(_) => Err(Close::NotText),
            Item::Last(piece) => match self.pieces.end(&piece) {
                Ok(text) => {
                    self.text(&text, ctx);
                    Ok(())
                }
                Err(close) => Err(close),
            },
        };
        if let Err(close) = put {
            self.end(close, None, ctx);
        }
    }
}

impl Actor for Session {
    type Context = WebsocketContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let hello = ctx.run_later(Duration::from_secs(HELLO_SECONDS.into()), |session, ctx| {
            if matches!(session.stage, Stage::Greeting) {
                session.end(Close::NoHello, None, ctx);
            }
        });
        self.hello = Some(hello);
        ctx.run_later(until_the_beat(self.heard), |_, ctx| {
            ctx.run_interval(Duration::from_secs(HEARTBEAT_SECONDS.into()), Self::beat);
        });
    }
}

/// Hearts beat together: what wakes for one does the work of many.
fn until_the_beat(now: Timestamp) -> Duration {
    let into = now.millis() % BEATS_MILLIS;
    Duration::from_millis(BEATS_MILLIS - into)
}

impl StreamHandler<Result<ws::Message, ProtocolError>> for Session {
    fn handle(&mut self, message: Result<ws::Message, ProtocolError>, ctx: &mut Self::Context) {
        self.passage.handled();
        self.heard = self.sockets.shared.clock.now();
        match message {
            Ok(ws::Message::Close(reason)) => self.closed_by_client(reason, ctx),
            _ if matches!(self.stage, Stage::Ending) => {}
            Ok(ws::Message::Text(text)) => self.text(&text, ctx),
            Ok(ws::Message::Continuation(item)) => self.piece(item, ctx),
            Ok(ws::Message::Binary(_)) => self.end(Close::NotText, None, ctx),
            Ok(ws::Message::Ping(payload)) => {
                ctx.pong(&payload);
                self.alive();
            }
            Ok(ws::Message::Pong(_)) => {
                self.feed.asked.take();
                self.alive();
            }
            Ok(ws::Message::Nop) => {}
            Err(error) => {
                tracing::debug!(%error, "a socket's frames make no sense");
                let too_large = self.passage.refused() == Some(Refused::TooLarge)
                    || matches!(error, ProtocolError::Overflow);
                let close = if too_large { Close::TooLarge } else { Close::Malformed };
                self.end(close, None, ctx);
            }
        }
    }

    /// The client is gone without a word.
    fn finished(&mut self, ctx: &mut Self::Context) {
        if self.passage.refused().is_none() {
            ctx.stop();
        }
    }
}

impl Handler<End> for Session {
    type Result = ();

    fn handle(&mut self, End { close, retry_after }: End, ctx: &mut Self::Context) {
        self.end(close, retry_after, ctx);
    }
}

impl Handler<Ended> for Session {
    type Result = ();

    fn handle(&mut self, ended: Ended, ctx: &mut Self::Context) {
        match ended {
            Ended::Decided(close) => self.end(close, None, ctx),
            Ended::LetGo => {
                let close = self.let_go();
                self.end(close, None, ctx);
            }
            Ended::Said(frame) => {
                if matches!(self.stage, Stage::Ending) {
                    return;
                }
                let bye = match parse_server(&frame) {
                    Ok(ServerFrame::Bye { bye }) => bye,
                    _ => Close::Rebuilt.bye(None),
                };
                let reason = Close::from_number(bye.code)
                    .map_or_else(|| bye.text.clone(), |close| close.reason(bye.retry_after));
                self.farewell(&bye, reason, ctx);
            }
        }
    }
}
