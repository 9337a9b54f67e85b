//! What one connection still has to be sent, and in which order; bounded whatever the client does.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::server::{Cursor, FeedServer, Pull, Recovery};
use crate::event::Now;
use crate::frame::{ServerFrame, Welcome};

/// The server's side of one connection: the greeting first, then answers, events and state frames.
#[derive(Debug)]
pub struct Outlet {
    /// Welcome and snapshot; nothing else goes before them. Shared between connections.
    greeting: VecDeque<Arc<str>>,
    answers: VecDeque<String>,
    answer_bytes: usize,
    cursor: Cursor,
    /// State frames not yet sent, the latest of each key.
    now: BTreeMap<String, Arc<str>>,
    now_bytes: usize,
}

/// What [`Outlet::pull`] came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Pulled {
    Frames(Vec<String>),
    /// Nothing to send.
    Idle,
    /// The feed went past this connection: close with
    /// [`Close::Behind`](crate::close::Close::Behind).
    Behind,
}

/// More is pending than a connection may hold: close with
/// [`Close::Behind`](crate::close::Close::Behind).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the connection reads too slowly")]
pub struct Overrun;

impl Outlet {
    /// Most bytes of answers waiting.
    pub const ANSWER_BYTES_MAX: usize = 64 * 1024;
    /// Most bytes of state frames waiting.
    pub const NOW_BYTES_MAX: usize = 16 * 1024;

    /// A connection that was just greeted. `snapshot` is called only if one is needed, and gives
    /// its frames as of now, taken at [`FeedServer::offset`] (see
    /// [`snapshot`](crate::frame::snapshot)); `welcome`'s epoch, offset and outcome are filled in.
    pub fn open(
        feed: &FeedServer,
        recovery: Recovery,
        mut welcome: Welcome,
        snapshot: impl FnOnce(u64) -> Vec<Arc<str>>,
    ) -> Self {
        welcome.epoch = feed.epoch().clone();
        welcome.offset = feed.offset();
        welcome.recovered = recovery.is_recovered();
        let mut greeting = VecDeque::from([ServerFrame::Welcome { welcome }.encode().into()]);
        if let Recovery::Snapshot(cursor) = recovery {
            greeting.extend(snapshot(cursor.at()));
        }
        Self {
            greeting,
            answers: VecDeque::new(),
            answer_bytes: 0,
            cursor: recovery.cursor(),
            now: BTreeMap::new(),
            now_bytes: 0,
        }
    }

    /// The answer to a command (or a `bye`).
    ///
    /// # Errors
    /// When the client takes no answers; this one is not kept.
    pub fn answer(&mut self, frame: String) -> Result<(), Overrun> {
        if !self.answers.is_empty() && self.answer_bytes + frame.len() > Self::ANSWER_BYTES_MAX {
            return Err(Overrun);
        }
        self.answer_bytes += frame.len();
        self.answers.push_back(frame);
        Ok(())
    }

    /// A statement; takes the place of an earlier one with the same key.
    ///
    /// # Errors
    /// When too many different ones wait; this one is not kept.
    pub fn state(&mut self, now: &Now) -> Result<(), Overrun> {
        self.state_frame(now.key(), now.encode())
    }

    /// As [`state`](Self::state), for a frame that was written once for many.
    ///
    /// # Errors
    /// When too many different ones wait; this one is not kept.
    pub fn state_frame(&mut self, key: String, frame: Arc<str>) -> Result<(), Overrun> {
        let replaced = self.now.get(&key).map_or(0, |old| old.len() + key.len());
        let bytes = self.now_bytes - replaced + frame.len() + key.len();
        if bytes > Self::NOW_BYTES_MAX {
            return Err(Overrun);
        }
        self.now_bytes = bytes;
        self.now.insert(key, frame);
        Ok(())
    }

    /// The next frames: at most `bytes`, but at least one if there is one.
    pub fn pull(&mut self, feed: &FeedServer, bytes: usize) -> Pulled {
        let mut frames = Frames { taken: Vec::new(), room: bytes };
        while let Some(frame) = self.greeting.front() {
            if !frames.fits(frame.len()) {
                return frames.done();
            }
            frames.take(frame.to_string());
            self.greeting.pop_front();
        }
        // An idle connection keeps no room for what it was greeted with.
        self.greeting = VecDeque::new();
        while let Some(frame) = self.answers.front() {
            if !frames.fits(frame.len()) {
                return frames.done();
            }
            self.answer_bytes -= frame.len();
            frames.taken_from(&mut self.answers);
        }
        match feed.pull(self.cursor, frames.room) {
            Pull::Behind => return Pulled::Behind,
            Pull::Batch(batch) => {
                // A batch holds at least one event, which need not fit after what is taken.
                let fits = batch.frames.first().is_none_or(|first| frames.fits(first.len()));
                if !fits {
                    return frames.done();
                }
                self.cursor = batch.cursor;
                batch.frames.into_iter().for_each(|frame| frames.take(frame));
            }
        }
        while let Some(entry) = self.now.first_entry() {
            if !frames.fits(entry.get().len()) {
                break;
            }
            self.now_bytes -= entry.get().len() + entry.key().len();
            frames.take(entry.remove().to_string());
        }
        if self.now.is_empty() {
            // An emptied tree keeps a node.
            self.now = BTreeMap::new();
        }
        frames.done()
    }

    /// Whether a pull would give nothing.
    pub fn is_idle(&self, feed: &FeedServer) -> bool {
        self.greeting.is_empty()
            && self.answers.is_empty()
            && self.now.is_empty()
            && self.cursor.at() == feed.offset()
    }

    /// Bytes held for this connection alone, the shared greeting left out.
    pub const fn held(&self) -> usize {
        self.answer_bytes + self.now_bytes
    }

    /// The `at` of the last event handed out.
    pub const fn cursor(&self) -> Cursor {
        self.cursor
    }
}

/// Frames being taken.
struct Frames {
    taken: Vec<String>,
    room: usize,
}

impl Frames {
    const fn fits(&self, bytes: usize) -> bool {
        self.taken.is_empty() || bytes <= self.room
    }

    fn take(&mut self, frame: String) {
        self.room = self.room.saturating_sub(frame.len());
        self.taken.push(frame);
    }

    fn taken_from(&mut self, queue: &mut VecDeque<String>) {
        if let Some(frame) = queue.pop_front() {
            self.take(frame);
        }
    }

    fn done(self) -> Pulled {
        if self.taken.is_empty() { Pulled::Idle } else { Pulled::Frames(self.taken) }
    }
}
