//! The server's half: numbers events, keeps the newest, decides who can go on where they were.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::frame::{Epoch, Resume, splice};

/// How much a feed keeps for those who come back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    pub events: usize,
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { events: 1_000, bytes: 256 * 1024 }
    }
}

/// The feed of one staff member in one epoch.
#[derive(Debug)]
pub struct FeedServer {
    epoch: Epoch,
    /// The `at` of the newest event.
    offset: u64,
    /// The newest events' tails; the last one is `offset`.
    ring: VecDeque<Arc<str>>,
    bytes: usize,
    limits: Limits,
}

/// How far a connection has been given the feed. Of no use in another epoch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cursor {
    at: u64,
}

impl Cursor {
    /// The `at` of the last event handed out.
    pub const fn at(self) -> u64 {
        self.at
    }
}

/// Whether somebody who comes back can go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Recovery {
    /// Every missed event is there.
    Recovered(Cursor),
    /// That cannot be proven: a snapshot of now, and the events after it.
    Snapshot(Cursor),
}

impl Recovery {
    pub const fn is_recovered(self) -> bool {
        matches!(self, Self::Recovered(_))
    }

    pub const fn cursor(self) -> Cursor {
        match self {
            Self::Recovered(cursor) | Self::Snapshot(cursor) => cursor,
        }
    }
}

/// The next events of a connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Pull {
    /// Empty: nothing new.
    Batch(Batch),
    /// The ring has gone past the cursor: to be closed with
    /// [`Close::Behind`](crate::close::Close::Behind).
    Behind,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Batch {
    pub frames: Vec<String>,
    pub cursor: Cursor,
}

impl FeedServer {
    /// `epoch` must never have been used for this person before.
    pub fn new(epoch: impl Into<Epoch>) -> Self {
        Self::with_limits(epoch, Limits::default())
    }

    pub fn with_limits(epoch: impl Into<Epoch>, limits: Limits) -> Self {
        Self { epoch: epoch.into(), offset: 0, ring: VecDeque::new(), bytes: 0, limits }
    }

    pub const fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// The `at` of the newest event; 0 before the first.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes kept.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends an event's [tail](crate::event::Event::tail); says its number.
    pub fn push(&mut self, tail: Arc<str>) -> u64 {
        self.offset += 1;
        self.bytes += tail.len();
        self.ring.push_back(tail);
        while self.ring.len() > self.limits.events || self.bytes > self.limits.bytes {
            let Some(oldest) = self.ring.pop_front() else { break };
            self.bytes -= oldest.len();
        }
        self.offset
    }

    /// Where somebody begins who says to have come as far as `resume`.
    pub fn resume(&self, resume: Option<&Resume>) -> Recovery {
        match resume {
            Some(Resume { epoch, offset })
                if *epoch == self.epoch && self.reaches(*offset) && *offset <= self.offset =>
            {
                Recovery::Recovered(Cursor { at: *offset })
            }
            _ => Recovery::Snapshot(Cursor { at: self.offset }),
        }
    }

    /// The next events after `cursor`: at most `bytes` of frames, but at least one event if there
    /// is one.
    pub fn pull(&self, cursor: Cursor, bytes: usize) -> Pull {
        if !self.reaches(cursor.at) || cursor.at > self.offset {
            return Pull::Behind;
        }
        let missing = usize::try_from(self.offset - cursor.at).unwrap_or(usize::MAX);
        let mut batch = Batch { frames: Vec::new(), cursor };
        let mut room = bytes;
        for tail in self.ring.range(self.ring.len() - missing..) {
            let frame = splice(batch.cursor.at + 1, tail);
            if frame.len() > room && !batch.frames.is_empty() {
                break;
            }
            room = room.saturating_sub(frame.len());
            batch.frames.push(frame);
            batch.cursor.at += 1;
        }
        Pull::Batch(batch)
    }

    /// Whether every event after `at` is still here.
    fn reaches(&self, at: u64) -> bool {
        self.offset.saturating_sub(at) <= self.ring.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(events: usize) -> FeedServer {
        let mut feed = FeedServer::with_limits(Epoch::from(1), Limits { events: 3, bytes: 40 });
        for _ in 0..events {
            feed.push(r#""event":1}"#.into());
        }
        feed
    }

    fn resume(feed: &FeedServer, offset: u64) -> Recovery {
        feed.resume(Some(&Resume { epoch: Epoch::from(1), offset }))
    }

    #[test]
    fn recovery_is_whole_or_a_snapshot() {
        let feed = feed(5);
        let snapshot = Recovery::Snapshot(Cursor { at: 5 });
        assert_eq!(resume(&feed, 1), snapshot, "event 2 is gone");
        assert_eq!(resume(&feed, 2), Recovery::Recovered(Cursor { at: 2 }), "3, 4 and 5 are here");
        assert_eq!(resume(&feed, 5), Recovery::Recovered(Cursor { at: 5 }));
        assert_eq!(resume(&feed, 6), snapshot, "nothing proves that 6 was ours");
        assert_eq!(resume(&feed, u64::MAX), snapshot);
        assert_eq!(feed.resume(None), snapshot);
        let other = Resume { epoch: Epoch::from(2), offset: 5 };
        assert_eq!(feed.resume(Some(&other)), snapshot);
    }

    #[test]
    fn a_batch_keeps_to_its_bytes_but_always_moves() {
        let feed = feed(3);
        let frame = r#"{"at":1,"event":1}"#;
        for (bytes, frames) in [(0, 1), (frame.len() * 2, 2), (1_000, 3)] {
            let Pull::Batch(batch) = feed.pull(Cursor { at: 0 }, bytes) else { panic!("behind") };
            assert_eq!(batch.frames.len(), frames);
            assert_eq!(batch.frames[0], frame);
            assert_eq!(batch.cursor.at(), frames as u64);
        }
        let Pull::Batch(nothing) = feed.pull(Cursor { at: 3 }, 1_000) else { panic!("behind") };
        assert!(nothing.frames.is_empty());
    }

    #[test]
    fn the_ring_is_bounded_in_events_and_in_bytes() {
        assert_eq!(feed(9).ring.len(), 3);
        let mut feed = feed(2);
        feed.push("x".repeat(35).into());
        assert_eq!((feed.ring.len(), feed.bytes()), (1, 35), "two small ones made room");
        feed.push("x".repeat(41).into());
        assert_eq!((feed.ring.len(), feed.bytes()), (0, 0), "larger than everything together");
        assert_eq!(feed.pull(Cursor { at: 3 }, 1_000), Pull::Behind);
        assert!(matches!(resume(&feed, 4), Recovery::Recovered(_)), "nothing is missing");
    }
}
