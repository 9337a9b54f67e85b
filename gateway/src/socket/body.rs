//! The outgoing half of a socket: asks for the next frames when, and only when, it has nothing to
//! write.
//!
//! The server polls a body only while the socket can take more. So somebody who stops reading is
//! given one batch and no more; what follows stays in the feed, which is bounded.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix::Addr;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::web::{Bytes, BytesMut};
use tokio::time::Instant;
use usher_engine::{Engine, Unavailable};
use usher_protocol::BATCH_BYTES_MAX;
use usher_protocol::close::Close;
use usher_protocol::feed::Pulled;

use super::session::{Ended, Session};
use super::{Member, push};

/// A connection that takes this long to make room for the next batch has let its feed stand.
const STOOD_STILL: Duration = Duration::from_secs(8);

type Answer = Pin<Box<dyn Future<Output = Result<Pulled, Unavailable>>>>;

/// What was asked for and has not come.
struct Pull {
    answer: Answer,
    /// Asked only long after the last batch was handed over.
    late: bool,
}

/// Whose feed is written; `None` before the greeting and after the end.
pub(super) type Feed = Rc<RefCell<Option<Member>>>;

/// What the session writes of its own accord, and between that the feed.
pub(super) struct Outgoing {
    /// The session itself: pings, closes, answers to what was not understood.
    own: BoxBody,
    session: Addr<Session>,
    engine: Engine,
    feed: Feed,
    pull: Option<Pull>,
    handed: Instant,
}

impl Outgoing {
    pub(super) fn new(own: BoxBody, session: Addr<Session>, engine: Engine, feed: Feed) -> Self {
        Self { own, session, engine, feed, pull: None, handed: Instant::now() }
    }

    /// The next batch of the feed.
    fn poll_feed(&mut self, context: &mut Context<'_>) -> Poll<Bytes> {
        let Some(member) = *self.feed.borrow() else {
            self.pull = None;
            self.handed = Instant::now();
            return Poll::Pending;
        };
        let pull = self.pull.get_or_insert_with(|| Pull {
            answer: ask(&self.engine, member),
            late: self.handed.elapsed() > STOOD_STILL,
        });
        let Poll::Ready(pulled) = pull.answer.as_mut().poll(context) else { return Poll::Pending };
        let late = pull.late;
        self.pull = None;
        match pulled {
            Ok(Pulled::Frames(frames)) => {
                self.handed = Instant::now();
                return Poll::Ready(self.written(&frames));
            }
            // A pull waits until there is something: asking again at the next turn is enough.
            Ok(Pulled::Idle) => context.waker().wake_by_ref(),
            Ok(Pulled::Behind) => self.end(Ended::Decided(Close::Behind)),
            // The service lets go of those who read nothing, of the dead, and of all at a rebuild.
            Err(_) if late => self.end(Ended::Decided(Close::Behind)),
            Err(_) => self.end(Ended::LetGo),
        }
        Poll::Pending
    }

    /// Everything in one write.
    fn written(&self, frames: &[String]) -> Bytes {
        let bytes = frames.iter().map(|frame| frame.len() + 10).sum();
        let mut written = BytesMut::with_capacity(bytes);
        for frame in frames {
            text_frame(frame, &mut written);
            push::observe(frame);
            if frame.starts_with("{\"bye\":") {
                self.end(Ended::Said(frame.clone()));
            }
        }
        written.freeze()
    }

    fn end(&self, ended: Ended) {
        self.feed.borrow_mut().take();
        self.session.do_send(ended);
    }
}

fn ask(engine: &Engine, member: Member) -> Answer {
    let engine = engine.clone();
    Box::pin(async move {
        engine.pull(member.service, member.staff, member.connection, BATCH_BYTES_MAX).await
    })
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
