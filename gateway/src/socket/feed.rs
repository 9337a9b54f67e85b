//! When a session asks for more of its person's feed: when, and only when, all before is written.
//!
//! So somebody who stops reading is given one batch and no more; what follows stays in the feed, which is
//! bounded.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;
use usher_domain::time::Timestamp;
use usher_engine::{Given, Pulls};
use usher_protocol::close::Close;
use usher_protocol::feed::Pulled;

/// A connection that takes this long to make room for the next batch has let its feed stand.
const STOOD_STILL: Duration = Duration::from_secs(8);

#[derive(Debug)]
pub(super) struct Feed {
    pulls: Option<Pulls>,
    /// Whether what is asked for was asked only long after the last batch was handed over; `None`: nothing
    /// is asked for.
    late: Option<bool>,
    /// When the last batch was handed over.
    handed: Instant,
    /// Since when a sign is waited for that the client reads what it is given.
    pub(super) asked: Option<Timestamp>,
}

/// The next frames.
pub(super) struct Batch {
    pub(super) frames: Vec<String>,
    /// Whether a question follows, whether they are read.
    pub(super) ask: bool,
}

/// The feed has come to an end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ended {
    Decided(Close),
    /// The service has let go of the connection.
    LetGo,
}

impl Feed {
    pub(super) fn new() -> Self {
        Self { pulls: None, late: None, handed: Instant::now(), asked: None }
    }

    /// The service gives from here on.
    pub(super) fn begin(&mut self, pulls: Pulls) {
        self.pulls = Some(pulls);
    }

    /// Gives up what was asked for.
    pub(super) fn stop(&mut self) {
        self.pulls = None;
    }

    /// Called with nothing to write: asks for the next batch, and takes it.
    pub(super) fn poll(&mut self, context: &Context<'_>) -> Poll<Result<Batch, Ended>> {
        let Some(pulls) = &mut self.pulls else { return Poll::Pending };
        loop {
            let late = *self.late.get_or_insert_with(|| self.handed.elapsed() > STOOD_STILL);
            let pulled = ready!(pulls.poll_next(context));
            self.late = None;
            self.handed = Instant::now();
            return Poll::Ready(match pulled {
                Ok(Given { pulled: Pulled::Frames(frames), ask }) => Ok(Batch { frames, ask }),
                // Given is when there is something: it has gone meanwhile.
                Ok(Given { pulled: Pulled::Idle, .. }) => continue,
                Ok(Given { pulled: Pulled::Behind, .. }) => Err(Ended::Decided(Close::Behind)),
                // The service lets go of those who read nothing, of the dead, and of all at a rebuild.
                Err(_) if late => Err(Ended::Decided(Close::Behind)),
                Err(_) => Err(Ended::LetGo),
            });
        }
    }
}
