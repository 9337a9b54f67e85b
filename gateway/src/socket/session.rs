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

use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use actix::{Actor, ActorContext as _, ActorFutureExt as _, AsyncContext as _, Context, Handler};
use actix::{Message, SpawnHandle, WrapFuture as _};
use actix_http::ws::{self, CloseCode, CloseReason, Frame, Item};
use bytes::Bytes;
use bytestring::ByteString;
use tokio::sync::watch;
use usher_domain::time::Timestamp;
use usher_engine::{Answer, Attach, Pulls, Unavailable};
use usher_protocol::close::{Bye, Close};
use usher_protocol::command::Command;
use usher_protocol::frame::{
    ClientFrame, Hello, ServerFrame, Token, parse_client, parse_server, reply_error, reply_ok,
};
use usher_protocol::refusal::{Code, Refusal};
use usher_protocol::{HEARTBEAT_SECONDS, HELLO_SECONDS, Malformed};

use super::feed::{Batch, Ended, Feed};
use super::outbox::Outbox;
use super::pace::{Pace, Verdict};
use super::pieces::Pieces;
use super::{Member, Sockets};
use crate::accounts::{NotNow, Person};

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
    outbox: Outbox,
    feed: Feed,
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
    Ending {
        /// The client has said its last word too.
        over: bool,
    },
}

/// A connection the service knows of, and no longer than this lives.
struct Attached {
    sockets: Sockets,
    member: Member,
    /// As long as this is held the sign-in is in use. When it ends, the service lets go.
    _sign_in: Option<watch::Receiver<bool>>,
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

impl Session {
    pub(super) fn new(sockets: Sockets, token: Option<Token>) -> Self {
        let limits = sockets.shared.limits;
        let heard = sockets.shared.clock.now();
        let pace = Pace::new(limits.per_second, limits.burst, heard);
        let (stage, pieces) = (Stage::Greeting, Pieces::default());
        let (outbox, feed) = (Outbox::default(), Feed::new());
        Self { sockets, outbox, feed, stage, pace, pieces, token, heard, hello: None }
    }

    const fn member(&self) -> Option<Member> {
        match &self.stage {
            Stage::Live(attached) => Some(attached.member),
            Stage::Greeting | Stage::Attaching(_) | Stage::Ending { .. } => None,
        }
    }

    /// Whatever the client says.
    pub(super) fn frame(&mut self, frame: Frame, ctx: &mut Context<Self>) {
        self.heard = self.sockets.shared.clock.now();
        match frame {
            Frame::Close(reason) => self.closed_by_client(reason, ctx),
            _ if matches!(self.stage, Stage::Ending { .. }) => {}
            Frame::Text(text) => match ByteString::try_from(text) {
                Ok(text) => self.text(&text, ctx),
                Err(_) => self.end(Close::Malformed, None, ctx),
            },
            Frame::Continuation(item) => self.piece(item, ctx),
            Frame::Binary(_) => self.end(Close::NotText, None, ctx),
            Frame::Ping(payload) => {
                self.outbox.say(ws::Message::Pong(payload));
                self.alive();
            }
            Frame::Pong(_) => {
                self.feed.asked = None;
                self.alive();
            }
        }
    }

    fn text(&mut self, text: &ByteString, ctx: &mut Context<Self>) {
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
            (_, Stage::Ending { .. }) => {}
        }
    }

    fn malformed(&mut self, malformed: &Malformed, ctx: &mut Context<Self>) {
        let Some(answer) = malformed.answer() else {
            self.end(malformed.close(), None, ctx);
            return;
        };
        match self.pace.next(self.sockets.shared.clock.now()) {
            Verdict::Flooding => self.end(Close::Flooding, None, ctx),
            Verdict::Granted | Verdict::Refused { .. } => self.say(answer.encode()),
        }
    }

    fn hello(&mut self, hello: Hello, ctx: &mut Context<Self>) {
        if let Some(patience) = self.hello.take() {
            ctx.cancel_future(patience);
        }
        let shared = &self.sockets.shared;
        self.token = hello.token.or(self.token.take());
        let person = match self.person() {
            Ok(Some(person)) => person,
            Ok(None) => return self.end(Close::TokenRefused, None, ctx),
            Err(NotNow) => return self.end(Close::Unavailable, Some(UNAVAILABLE_RETRY), ctx),
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
        let sign_in = shared.people.watch(member.session);
        let attached = Attached { sockets: self.sockets.clone(), member, _sign_in: sign_in };
        self.stage = Stage::Attaching(attached);
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

    fn attached(attached: Result<Pulls, Unavailable>, session: &mut Self, ctx: &mut Context<Self>) {
        match (attached, std::mem::replace(&mut session.stage, Stage::Ending { over: false })) {
            (Ok(pulls), Stage::Attaching(attached)) => {
                session.stage = Stage::Live(attached);
                session.feed.begin(pulls);
                session.outbox.stir();
                // It may have ended before the service knew of the connection.
                if !session.is_signed_in() {
                    session.end(Close::SignedOut, None, ctx);
                }
            }
            (Err(_), Stage::Attaching(attached)) => {
                // Back, so that there is something to end.
                session.stage = Stage::Attaching(attached);
                session.end(Close::Unavailable, Some(UNAVAILABLE_RETRY), ctx);
            }
            (_, stage) => session.stage = stage,
        }
    }

    fn command(&mut self, id: u64, command: Command, ctx: &mut Context<Self>) {
        let Some(Member { service, staff, connection, .. }) = self.member() else { return };
        match self.pace.next(self.sockets.shared.clock.now()) {
            Verdict::Flooding => self.end(Close::Flooding, None, ctx),
            Verdict::Refused { after } => {
                self.say(reply_error(id, Refusal::from(Code::RateLimited).after(after)));
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
    fn sign_out(&mut self, id: u64, command: Command, ctx: &mut Context<Self>) {
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
                    session.say(answer);
                }
                session.end(Close::SignedOut, None, ctx);
            }
            Err(refusal) => session.say(reply_error(id, refusal)),
        });
        ctx.spawn(told);
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
        } else if self.is_elsewhere() {
            Close::Moved
        } else if !self.is_signed_in() {
            Close::SignedOut
        } else if since(self.heard) >= SILENCE {
            Close::Silent
        } else if self.feed.asked.is_some_and(|asked| since(asked) >= UNREAD) {
            Close::Behind
        } else {
            Close::Rebuilt
        }
    }

    /// The heartbeat: a ping, and a look whether the sign-in still holds.
    fn beat(&mut self, ctx: &mut Context<Self>) {
        if matches!(self.stage, Stage::Ending { .. }) {
            return;
        }
        self.outbox.say(ws::Message::Ping(Bytes::new()));
        if self.member().is_some() && !self.is_signed_in() {
            self.end(Close::Expired, None, ctx);
        }
    }

    fn person(&self) -> Result<Option<Person>, NotNow> {
        let Some(token) = &self.token else { return Ok(None) };
        let shared = &self.sockets.shared;
        shared.people.authenticate(token.expose(), shared.clock.now())
    }

    /// As far as it can be said.
    fn is_signed_in(&self) -> bool {
        !matches!(self.person(), Ok(None))
    }

    /// The sign-in may hold, but its service does not run here any more.
    fn is_elsewhere(&self) -> bool {
        let people = &self.sockets.shared.people;
        self.token.as_ref().is_some_and(|token| people.is_elsewhere(token.expose()))
    }

    /// Says why, closes, and waits a little for the client's close. Nothing is sent after it.
    pub(super) fn end(&mut self, close: Close, retry_after: Option<u32>, ctx: &mut Context<Self>) {
        if matches!(self.stage, Stage::Ending { .. }) {
            return;
        }
        let bye = close.bye(retry_after);
        self.say(ServerFrame::Bye { bye: bye.clone() }.encode());
        self.farewell(&bye, close.reason(retry_after), ctx);
    }

    fn farewell(&mut self, bye: &Bye, reason: String, ctx: &mut Context<Self>) {
        tracing::debug!(code = bye.code, text = bye.text, "socket is closed");
        self.close(Some(CloseReason {
            code: CloseCode::Other(bye.code),
            description: Some(reason),
        }));
        ctx.run_later(FAREWELL, |_, ctx| ctx.stop());
    }

    /// The last thing that is said.
    fn close(&mut self, reason: Option<CloseReason>) {
        self.stage = Stage::Ending { over: false };
        self.feed.stop();
        self.outbox.say(ws::Message::Close(reason));
    }

    fn closed_by_client(&mut self, reason: Option<CloseReason>, ctx: &mut Context<Self>) {
        if !matches!(self.stage, Stage::Ending { .. }) {
            self.close(reason);
        }
        self.hung_up(ctx);
    }

    /// The client says nothing more; what is still to be written has a little time.
    pub(super) fn hung_up(&mut self, ctx: &mut Context<Self>) {
        self.stage = Stage::Ending { over: true };
        self.feed.stop();
        ctx.run_later(FAREWELL, |_, ctx| ctx.stop());
    }

    /// Both sides have said their last word.
    pub(super) const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Ending { over: true })
    }

    fn say(&mut self, frame: String) {
        self.outbox.say(ws::Message::Text(frame.into()));
    }

    pub(super) const fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// The next of the feed, while the session is live.
    pub(super) fn poll_feed(
        &mut self,
        ctx: &mut Context<Self>,
        task: &mut TaskContext<'_>,
    ) -> Poll<Batch> {
        if self.member().is_none() {
            return Poll::Pending;
        }
        match ready!(self.feed.poll(task)) {
            Ok(batch) => Poll::Ready(batch),
            Err(ended) => {
                let close = match ended {
                    Ended::Decided(close) => close,
                    Ended::LetGo => self.let_go(),
                };
                self.end(close, None, ctx);
                // The farewell was put before the writer, who has just looked there.
                task.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    /// A frame of the feed is written: with the service's own `bye` the feed has come to its end.
    pub(super) fn told(&mut self, frame: &str, ctx: &mut Context<Self>) -> bool {
        if !frame.starts_with("{\"bye\":") {
            return false;
        }
        let bye = match parse_server(frame) {
            Ok(ServerFrame::Bye { bye }) => bye,
            _ => Close::Rebuilt.bye(None),
        };
        let reason = Close::from_number(bye.code)
            .map_or_else(|| bye.text.clone(), |close| close.reason(bye.retry_after));
        self.farewell(&bye, reason, ctx);
        true
    }

    /// A question follows what was written, whether it is read.
    pub(super) fn asked(&mut self) {
        self.feed.asked = Some(self.sockets.shared.clock.now());
    }

    fn piece(&mut self, item: Item, ctx: &mut Context<Self>) {
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
    type Context = Context<Self>;

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

impl Handler<End> for Session {
    type Result = ();

    fn handle(&mut self, End { close, retry_after }: End, ctx: &mut Self::Context) {
        self.end(close, retry_after, ctx);
    }
}
