//! Connections that read: as many as may be, each lent to one reader at a time.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, PoisonError};
use std::time::{Duration, Instant};

use super::{Connection, Purpose, Server};
use crate::db::{DbError, Result};
use crate::progress::monotonic;

/// Longest wait for one of them.
const LENT_WITHIN: Duration = Duration::from_secs(5);
/// After a connection could not be made, nobody tries for so long, …
const PAUSE: Duration = Duration::from_millis(100);
/// … and then longer and longer, up to this.
const PAUSE_MAX: Duration = Duration::from_secs(2);

pub(crate) struct Pool {
    server: Arc<Server>,
    #[expect(clippy::disallowed_types, reason = "readers are on whichever thread they like")]
    kept: std::sync::Mutex<Kept>,
    given_back: Condvar,
}

#[derive(Debug, Default)]
struct Kept {
    idle: VecDeque<Connection>,
    lent: usize,
    pause: Option<Pause>,
}

/// After a connection could not be made.
#[derive(Clone, Copy, Debug)]
struct Pause {
    until: Instant,
    length: Duration,
    /// Connections that anybody had made until then.
    made: u64,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl Pool {
    pub(crate) fn new(server: Arc<Server>) -> Arc<Self> {
        Arc::new(Self { server, kept: Kept::default().into(), given_back: Condvar::new() })
    }

    /// Runs something on a connection that nobody else has meanwhile.
    pub(crate) fn with<T>(&self, run: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let lent = Lent { pool: self, connection: Some(self.take()?) };
        let Some(connection) = &lent.connection else { return Err(DbError::Gone) };
        run(connection)
    }

    fn take(&self) -> Result<Connection> {
        let began = monotonic();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            while let Some(connection) = kept.idle.pop_front() {
                if connection.is_usable() {
                    kept.lent += 1;
                    return Ok(connection);
                }
            }
            if kept.lent < self.server.readers {
                break;
            }
            let left = LENT_WITHIN.checked_sub(began.elapsed()).ok_or(DbError::Busy)?;
            let waited = self.given_back.wait_timeout(kept, left);
            (kept, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        let made = self.server.made();
        if kept.pause.is_some_and(|pause| monotonic() < pause.until && made == pause.made) {
            return Err(DbError::Gone);
        }
        kept.lent += 1;
        drop(kept);
        self.connect()
    }

    fn connect(&self) -> Result<Connection> {
        let made = self.server.connect(Purpose::Archive);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if made.is_ok() {
            kept.pause = None;
        } else {
            let length = kept.pause.map_or(PAUSE, |pause| (pause.length * 2).min(PAUSE_MAX));
            let (until, made) = (monotonic() + length, self.server.made());
            kept.pause = Some(Pause { until, length, made });
            kept.lent -= 1;
            self.given_back.notify_one();
        }
        made
    }

    fn give_back(&self, connection: Connection) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.lent -= 1;
        if connection.is_usable() {
            kept.idle.push_front(connection);
        }
        drop(kept);
        self.given_back.notify_one();
    }
}

/// A connection that goes back, whatever becomes of its reader.
struct Lent<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.give_back(connection);
        }
    }
}
