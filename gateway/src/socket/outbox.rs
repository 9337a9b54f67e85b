//! What a session says of its own accord: answers, pings, its farewell. It goes out before the feed.

use std::task::{Context, Waker};

use actix_http::ws::{Codec, Message};
use bytes::BytesMut;
use tokio_util::codec::Encoder as _;

/// Frames that wait, at most, before nothing more is heard from whoever does not take them.
const WAITING_MAX: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Frames as they are written.
    waiting: BytesMut,
    frames: usize,
    /// Of who writes them, while nobody does.
    writer: Option<Waker>,
}

impl Outbox {
    pub(super) fn say(&mut self, message: Message) {
        let written = Codec::new().encode(message, &mut self.waiting);
        written.expect("only continuations are refused, and there are none");
        self.frames += 1;
        self.stir();
    }

    pub(super) const fn is_full(&self) -> bool {
        self.frames >= WAITING_MAX
    }

    pub(super) fn take(&mut self) -> Option<BytesMut> {
        self.frames = 0;
        (!self.waiting.is_empty()).then(|| std::mem::take(&mut self.waiting))
    }

    /// There may be something to write.
    pub(super) fn stir(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    /// The writer is at it, and has no need to be woken.
    pub(super) const fn attended(&mut self) -> Option<Waker> {
        self.writer.take()
    }

    /// The writer has gone, and is to be woken; `before`: as it was when it came.
    pub(super) fn left(&mut self, before: Option<Waker>, context: &Context<'_>) {
        let same = before.filter(|writer| writer.will_wake(context.waker()));
        self.writer = Some(same.unwrap_or_else(|| context.waker().clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_frames_and_no_more_until_they_are_taken() {
        let mut outbox = Outbox::default();
        let heard = (0..100).take_while(|_| {
            let room = !outbox.is_full();
            outbox.say(Message::Text("x".into()));
            room
        });
        assert_eq!(heard.count(), 32);
        assert_eq!(outbox.take().map(|frames| frames.len()), Some(33 * 3));
        assert!(!outbox.is_full() && outbox.take().is_none());
    }
}
