//! How much of a client's bytes is let in at a time: whole frames are counted before they are decoded.
//!
//! The decoder behind it would collect a frame of any announced length, and all that arrives while
//! it works. So headers are judged here: a frame larger than allowed ends the input, and nothing
//! more is read while too many frames wait to be handled.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use actix_web::error::PayloadError;
use bytes::Bytes;
use futures_util::Stream;

/// Frames let in and not yet handled, at most (the last chunk read may bring more).
const WAITING_MAX: u64 = 32;
/// RFC 6455 §5.5.
const CONTROL_BYTES_MAX: u64 = 125;

/// What the gate and the session know of each other.
#[derive(Debug, Default)]
pub(super) struct Passage {
    entered: Cell<u64>,
    handled: Cell<u64>,
    stopped: RefCell<Option<Waker>>,
    refused: Cell<Option<Refused>>,
}

impl Passage {
    /// A frame was handled.
    pub(super) fn handled(&self) {
        self.handled.set(self.handled.get() + 1);
        if self.has_room()
            && let Some(waker) = self.stopped.take()
        {
            waker.wake();
        }
    }

    /// Why the input ended, when it was ended here.
    pub(super) const fn refused(&self) -> Option<Refused> {
        self.refused.get()
    }

    const fn has_room(&self) -> bool {
        self.entered.get().saturating_sub(self.handled.get()) < WAITING_MAX
    }
}

/// Why no more is let in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refused {
    /// A frame is larger than allowed.
    TooLarge,
    /// A control frame that is too long or in pieces.
    BadControl,
}

/// The client's bytes, as far as they may come in.
#[derive(Debug)]
pub(super) struct Gate<S> {
    input: S,
    passage: Rc<Passage>,
    headers: Headers,
}

impl<S> Gate<S> {
    pub(super) fn new(input: S, passage: Rc<Passage>, frame_max: usize) -> Self {
        Self { input, passage, headers: Headers::new(frame_max as u64) }
    }
}

impl<S> Stream for Gate<S>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.passage.refused().is_some() {
            return Poll::Ready(None);
        }
        if !this.passage.has_room() {
            *this.passage.stopped.borrow_mut() = Some(context.waker().clone());
            return Poll::Pending;
        }
        let polled = Pin::new(&mut this.input).poll_next(context);
        let Poll::Ready(Some(Ok(chunk))) = &polled else { return polled };
        match this.headers.read(chunk) {
            Ok(frames) => {
                this.passage.entered.set(this.passage.entered.get() + frames);
                polled
            }
            Err(refused) => {
                this.passage.refused.set(Some(refused));
                Poll::Ready(Some(Err(PayloadError::Overflow)))
            }
        }
    }
}

/// Finds the frames in a stream of bytes (RFC 6455 §5.2), however it is cut.
#[derive(Debug)]
struct Headers {
    frame_max: u64,
    /// The header that is being read, and how much of it is there.
    header: [u8; 14],
    have: usize,
    /// Bytes of the present frame's payload still to come.
    payload: u64,
}

impl Headers {
    const fn new(frame_max: u64) -> Self {
        Self { frame_max, header: [0; 14], have: 0, payload: 0 }
    }

    /// How many frames begin in `chunk`.
    fn read(&mut self, mut chunk: &[u8]) -> Result<u64, Refused> {
        let mut frames = 0;
        while !chunk.is_empty() {
            if self.payload > 0 {
                let here = usize::try_from(self.payload).unwrap_or(usize::MAX).min(chunk.len());
                self.payload -= here as u64;
                chunk = chunk.get(here..).unwrap_or_default();
                continue;
            }
            let Some((&byte, rest)) = chunk.split_first() else { break };
            chunk = rest;
            if let Some(slot) = self.header.get_mut(self.have) {
                *slot = byte;
            }
            self.have += 1;
            if self.have >= 2 && self.have == self.header_bytes() {
                self.payload = self.judged()?;
                self.have = 0;
                frames += 1;
            }
        }
        Ok(frames)
    }

    const fn header_bytes(&self) -> usize {
        let second = self.header[1];
        let length = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        2 + length + mask
    }

    /// The length of the payload, if the frame may come in.
    fn judged(&self) -> Result<u64, Refused> {
        let [first, second, l0, l1, l2, l3, l4, l5, l6, l7, ..] = self.header;
        let length = match second & 0x7f {
            126 => u64::from(u16::from_be_bytes([l0, l1])),
            127 => u64::from_be_bytes([l0, l1, l2, l3, l4, l5, l6, l7]),
            short => u64::from(short),
        };
        let is_control = first & 0x08 != 0;
        let is_whole = first & 0x80 != 0;
        if is_control && (length > CONTROL_BYTES_MAX || !is_whole) {
            return Err(Refused::BadControl);
        }
        if length > self.frame_max { Err(Refused::TooLarge) } else { Ok(length) }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, stream};

    use super::*;

    /// A masked frame with `length` bytes of payload.
    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![first];
        match length {
            0..126 => bytes.push(0x80 | u8::try_from(length).unwrap()),
            126..65536 => {
                bytes.push(0xfe);
                bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                bytes.push(0xff);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend([1, 2, 3, 4]);
        bytes.extend(std::iter::repeat_n(0x81, length));
        bytes
    }

    #[test]
    fn frames_are_counted_however_the_bytes_are_cut() {
        let lengths = [0, 1, 125, 126, 700, 65_535, 0, 65_536];
        let bytes: Vec<u8> = lengths.iter().flat_map(|length| frame(0x81, *length)).collect();
        for cut in [1, 2, 3, 7, 1_000, bytes.len()] {
            let mut headers = Headers::new(65_536);
            let frames: u64 = bytes.chunks(cut).map(|chunk| headers.read(chunk).unwrap()).sum();
            assert_eq!((frames, headers.have, headers.payload), (8, 0, 0), "cut every {cut}");
        }
    }

    #[test]
    fn too_large_is_known_from_the_header_alone() {
        let header = |length| frame(0x81, length).into_iter().take(14).collect::<Vec<_>>();
        assert!(Headers::new(65_536).read(&header(65_536)).is_ok());
        assert_eq!(Headers::new(65_536).read(&header(65_537)), Err(Refused::TooLarge));
        for control in [0x88, 0x89, 0x8a] {
            assert!(Headers::new(65_536).read(&frame(control, 125)).is_ok());
            assert_eq!(Headers::new(65_536).read(&frame(control, 126)), Err(Refused::BadControl));
        }
        assert_eq!(Headers::new(65_536).read(&frame(0x09, 1)), Err(Refused::BadControl));
    }

    #[test]
    fn nothing_comes_in_while_too_much_waits() {
        let passage = Rc::new(Passage::default());
        let chunk = Bytes::from(frame(0x81, 1).repeat(40));
        let input = stream::iter([Ok(chunk.clone()), Ok(chunk)]);
        let mut gate = Gate::new(input, Rc::clone(&passage), 65_536);
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(gate.poll_next_unpin(&mut context), Poll::Ready(Some(Ok(_)))));
        assert!(gate.poll_next_unpin(&mut context).is_pending());
        for _ in 0..8 {
            passage.handled();
        }
        assert!(gate.poll_next_unpin(&mut context).is_pending(), "32 wait");
        passage.handled();
        assert!(matches!(gate.poll_next_unpin(&mut context), Poll::Ready(Some(Ok(_)))));
    }
}
