//! Both directions of a session's connection: frames in, as many as are answered; frames out, the next only
//! when those before are written.
//!
//! Bytes pass through buffers of the thread: a connection holds only what is no whole frame yet, and what
//! the kernel has not taken.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix::{ActorContext as _, Context as ActorContext, fut::ActorFuture};
use actix_codec::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use actix_http::ws::{OpCode, Parser};
use bytes::{Buf as _, BytesMut};

use super::feed::Batch;
use super::input::Input;
use super::push;
use super::session::Session;
use crate::upgrade::{Opened, Pipe};

/// Read at once.
const READ_BYTES: usize = 16 * 1024;
/// Kept for the next batch; larger ones, parts of a snapshot, are rare.
const KEPT_BYTES: usize = 64 * 1024;

thread_local! {
    static READ: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
    static WRITTEN: RefCell<BytesMut> = RefCell::default();
}

/// Moves what there is to move whenever its session is polled, until both sides are done.
pub(super) struct Wire {
    pipe: Pipe,
    input: Input,
    /// Not taken by the kernel yet.
    unwritten: BytesMut,
    /// What comes in is not listened to any more.
    deaf: bool,
}

/// How far reading has come.
#[derive(Eq, PartialEq)]
enum Heard {
    /// All there is.
    All,
    /// Too many answers wait to be written.
    Enough,
}

impl Wire {
    pub(super) fn new(opened: Opened, frame_max: usize) -> Self {
        let Opened { pipe, read, unwritten } = opened;
        Self { pipe, input: Input::new(read, frame_max), unwritten, deaf: false }
    }

    /// Both directions, as far as they go. `Ready`: nothing more is to be done.
    fn poll_both(
        &mut self,
        session: &mut Session,
        ctx: &mut ActorContext<Session>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let heard = self.poll_read(session, ctx, context)?;
            ready!(self.poll_write(session, ctx, context))?;
            if session.is_over() {
                return Pin::new(&mut self.pipe).poll_shutdown(context);
            }
            if heard == Heard::All {
                return Poll::Pending;
            }
        }
    }

    fn poll_read(
        &mut self,
        session: &mut Session,
        ctx: &mut ActorContext<Session>,
        context: &mut Context<'_>,
    ) -> io::Result<Heard> {
        loop {
            if self.hear(session, ctx) == Heard::Enough {
                return Ok(Heard::Enough);
            }
            if session.is_over() {
                return Ok(Heard::All);
            }
            match self.poll_bytes(context)? {
                Poll::Ready(0) => session.hung_up(ctx),
                Poll::Ready(_) => {}
                Poll::Pending => return Ok(Heard::All),
            }
        }
    }

    /// Has the session handle what has been read.
    fn hear(&mut self, session: &mut Session, ctx: &mut ActorContext<Session>) -> Heard {
        while !self.deaf {
            if session.outbox().is_full() {
                return Heard::Enough;
            }
            match self.input.next() {
                Ok(Some(frame)) => session.frame(frame, ctx),
                Ok(None) => break,
                Err(close) => {
                    self.deaf = true;
                    session.end(close, None, ctx);
                }
            }
        }
        Heard::All
    }

    /// How many bytes were read; none at the end.
    fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        READ.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer.as_mut());
            ready!(Pin::new(&mut self.pipe).poll_read(context, &mut read))?;
            // Whoever is not listened to may say on: a close with something unread would be a reset.
            if !self.deaf {
                self.input.add(read.filled());
            }
            Poll::Ready(Ok(read.filled().len()))
        })
    }

    /// `Ready`: all there is has been written.
    fn poll_write(
        &mut self,
        session: &mut Session,
        ctx: &mut ActorContext<Session>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            while !self.unwritten.is_empty() {
                let taken = ready!(poll_some(&mut self.pipe, &self.unwritten, context))?;
                self.unwritten.advance(taken);
            }
            self.unwritten = BytesMut::new();
            ready!(Pin::new(&mut self.pipe).poll_flush(context))?;
            if let Some(own) = session.outbox().take() {
                self.unwritten = own;
            } else if let Poll::Ready(batch) = session.poll_feed(ctx, context) {
                self.write(batch, session, ctx, context)?;
            } else {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Writes a batch; what the kernel does not take now is kept.
    fn write(
        &mut self,
        batch: Batch,
        session: &mut Session,
        ctx: &mut ActorContext<Session>,
        context: &mut Context<'_>,
    ) -> io::Result<()> {
        WRITTEN.with_borrow_mut(|bytes| {
            bytes.clear();
            for frame in batch.frames {
                push::observe(&frame);
                Parser::write_message(bytes, &frame, OpCode::Text, true, false);
                if session.told(&frame, ctx) {
                    break;
                }
            }
            if batch.ask {
                Parser::write_message(bytes, [], OpCode::Ping, true, false);
                session.asked();
            }
            let mut left = &**bytes;
            while !left.is_empty() {
                match poll_some(&mut self.pipe, left, context)? {
                    Poll::Ready(taken) => left.advance(taken),
                    Poll::Pending => break,
                }
            }
            self.unwritten = BytesMut::from(left);
            if bytes.capacity() > KEPT_BYTES {
                *bytes = BytesMut::new();
            }
            Ok(())
        })
    }
}

/// How much of `bytes` the kernel has taken; there are some.
fn poll_some(pipe: &mut Pipe, bytes: &[u8], context: &mut Context<'_>) -> Poll<io::Result<usize>> {
    match ready!(Pin::new(pipe).poll_write(context, bytes))? {
        0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        taken => Poll::Ready(Ok(taken)),
    }
}

impl ActorFuture<Session> for Wire {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        session: &mut Session,
        ctx: &mut ActorContext<Session>,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let before = session.outbox().attended();
        let both = self.get_mut().poll_both(session, ctx, context);
        session.outbox().left(before, context);
        // The client may have gone without a word: there is nobody to be told.
        both.map(|_| ctx.stop())
    }
}
