//! When a session asks for more of its person's feed: when, and only when, all before is written.
//!
//! So somebody who stops reading is given one batch and no more; what follows stays in the feed, which is
//! bounded.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;
use usher_domain::time::Timestamp;
use usher_engine::{Engine, Given, Pulling};
use usher_protocol::BATCH_BYTES_MAX;
use usher_protocol::close::Close;
use usher_protocol::feed::Pulled;

use super::Member;

/// A connection that takes this long to make room for the next batch has let its feed stand.
const STOOD_STILL: Duration = Duration::from_secs(8);

#[derive(Debug)]
pub(super) struct Feed {
    pull: Option<Pull>,
    /// When the last batch was handed over.
    handed: Instant,
    /// Since when a sign is waited for that the client reads what it is given.
    pub(super) asked: Option<Timestamp>,
}

/// What was asked for and has not come.
#[derive(Debug)]
struct Pull {
    answer: Pulling,
    /// Asked only long after the last batch was handed over.
    late: bool,
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
        Self { pull: None, handed: Instant::now(), asked: None }
    }

    /// Gives up what was asked for.
    pub(super) fn stop(&mut self) {
        self.pull = None;
    }

    /// Called with nothing to write: asks for the next batch, and takes it.
    pub(super) fn poll(
        &mut self,
        engine: &Engine,
        member: Member,
        context: &mut Context<'_>,
    ) -> Poll<Result<Batch, Ended>> {
        let Member { service, staff, connection, .. } = member;
        loop {
            let pull = self.pull.get_or_insert_with(|| Pull {
                answer: engine.pull(service, staff, connection, BATCH_BYTES_MAX),
                late: self.handed.elapsed() > STOOD_STILL,
            });
            let pulled = ready!(Pin::new(&mut pull.answer).poll(context));
            let late = pull.late;
            self.pull = None;
            self.handed = Instant::now();
            return Poll::Ready(match pulled {
                Ok(Given { pulled: Pulled::Frames(frames), ask }) => Ok(Batch { frames, ask }),
                // A pull waits until there is something: what it waited for has gone meanwhile.
                Ok(Given { pulled: Pulled::Idle, .. }) => continue,
                Ok(Given { pulled: Pulled::Behind, .. }) => Err(Ended::Decided(Close::Behind)),
                // The service lets go of those who read nothing, of the dead, and of all at a rebuild.
                Err(_) if late => Err(Ended::Decided(Close::Behind)),
                Err(_) => Err(Ended::LetGo),
            });
        }
    }
}
