//! The outgoing half of a socket: asks for the next frames when, and only when, it has nothing to
//! write.
//!
//! The server polls a body only while the socket can take more. So somebody who stops reading is
//! given one batch and no more; what follows stays in the feed, which is bounded.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix::Addr;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::web::{Bytes, BytesMut};
use tokio::time::Instant;
use usher_domain::time::Timestamp;
use usher_engine::{Clock, Engine, Given, Pulling};
use usher_protocol::BATCH_BYTES_MAX;
use usher_protocol::close::Close;
use usher_protocol::feed::Pulled;

use super::session::{Ended, Session};
use super::{Member, push};

/// A connection that takes this long to make room for the next batch has let its feed stand.
const STOOD_STILL: Duration = Duration::from_secs(8);

/// Of a frame from here (RFC 6455 §5.2).
const HEAD_MAX: usize = 10;
/// A ping without a payload (RFC 6455 §5.5.2).
const PING: [u8; 2] = [0x89, 0];

/// What was asked for and has not come.
struct Pull {
    answer: Pulling,
    /// Asked only long after the last batch was handed over.
    late: bool,
}

/// What the session and its outgoing half know of each other.
#[derive(Debug, Default)]
pub(super) struct Feed {
    /// Whose feed is written; `None` before the greeting and after the end.
    pub(super) of: Cell<Option<Member>>,
    /// Since when a sign is waited for that the client reads what it is given.
    pub(super) asked: Cell<Option<Timestamp>>,
}

/// What the session writes of its own accord, and between that the feed.
pub(super) struct Outgoing {
    /// The session itself: pings, closes, answers to what was not understood.
    own: BoxBody,
    session: Addr<Session>,
    engine: Engine,
    feed: Rc<Feed>,
    pull: Option<Pull>,
    /// Pulled, and not yet given to the socket.
    batch: std::vec::IntoIter<String>,
    /// Whether a question follows the batch.
    asks: bool,
    handed: Instant,
}

impl Outgoing {
    pub(super) fn new(
        own: BoxBody,
        session: Addr<Session>,
        engine: Engine,
        feed: Rc<Feed>,
    ) -> Self {
        Self {
            own,
            session,
            engine,
            feed,
            pull: None,
            batch: Vec::new().into_iter(),
            asks: false,
            handed: Instant::now(),
        }
    }

    /// The next frame of the feed.
    fn poll_feed(&mut self, context: &mut Context<'_>) -> Poll<Bytes> {
        let Some(member) = self.feed.of.get() else {
            // Nothing is written after the end, not even what was pulled before it.
            (self.pull, self.batch, self.asks) = (None, Vec::new().into_iter(), false);
            self.handed = Instant::now();
            return Poll::Pending;
        };
        if let Some(written) = self.next_written() {
            self.handed = Instant::now();
            return Poll::Ready(written);
        }
        self.poll_pull(member, context)
    }

    /// Asks for the next batch, and takes it.
    fn poll_pull(&mut self, member: Member, context: &mut Context<'_>) -> Poll<Bytes> {
        let Member { service, staff, connection, .. } = member;
        let pull = self.pull.get_or_insert_with(|| Pull {
            answer: self.engine.pull(service, staff, connection, BATCH_BYTES_MAX),
            late: self.handed.elapsed() > STOOD_STILL,
        });
        let Poll::Ready(pulled) = Pin::new(&mut pull.answer).poll(context) else {
            return Poll::Pending;
        };
        let late = pull.late;
        self.pull = None;
        match pulled {
            Ok(Given { pulled: Pulled::Frames(frames), ask }) => {
                (self.batch, self.asks) = (frames.into_iter(), ask);
                return self.poll_feed(context);
            }
            // A pull waits until there is something: asking again at the next turn is enough.
            Ok(Given { pulled: Pulled::Idle, .. }) => context.waker().wake_by_ref(),
            Ok(Given { pulled: Pulled::Behind, .. }) => self.end(Ended::Decided(Close::Behind)),
            // The service lets go of those who read nothing, of the dead, and of all at a rebuild.
            Err(_) if late => self.end(Ended::Decided(Close::Behind)),
            Err(_) => self.end(Ended::LetGo),
        }
        Poll::Pending
    }

    /// The next of the batch, and behind the last the question whether it is read.
    fn next_written(&mut self) -> Option<Bytes> {
        let Some(frame) = self.batch.next() else {
            return std::mem::take(&mut self.asks).then(|| {
                self.feed.asked.set(Some(Clock::system().now()));
                Bytes::from_static(&PING)
            });
        };
        let mut written = BytesMut::with_capacity(frame.len() + HEAD_MAX);
        text_frame(&frame, &mut written);
        push::observe(&frame);
        if frame.starts_with("{\"bye\":") {
            self.end(Ended::Said(frame));
        }
        Some(written.freeze())
    }

    fn end(&self, ended: Ended) {
        self.feed.of.take();
        self.session.do_send(ended);
    }
}

/// An unmasked, whole text frame (RFC 6455 §5.2).
fn text_frame(text: &str, out: &mut BytesMut) {
    const WHOLE_TEXT: u8 = 0x81;
    out.extend_from_slice(&[WHOLE_TEXT]);
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(length @ 0..=125), _) => out.extend_from_slice(&[length]),
        (_, Ok(length)) => {
            out.extend_from_slice(&[126]);
            out.extend_from_slice(&length.to_be_bytes());
        }
        (_, Err(_)) => {
            out.extend_from_slice(&[127]);
            out.extend_from_slice(&(text.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(text.as_bytes());
}

impl MessageBody for Outgoing {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.own.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.own).poll_next(context) {
            Poll::Pending => this.poll_feed(context).map(|bytes| Some(Ok(bytes))),
            own @ Poll::Ready(_) => own,
        }
    }
}
