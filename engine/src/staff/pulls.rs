//! From a person's feed to one of their connections: the next frames once those before are written, and
//! no sooner.
//!
//! That they are asked for is a mark that both sides see, so that to ask takes no message. Only where
//! something has waited for the mark is the person told to look.

use std::fmt;
use std::future::poll_fn;
#[expect(
    clippy::disallowed_types,
    reason = "two threads meet here so that no message has to pass"
)]
use std::sync::Mutex;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use actix::{Handler, Message, Recipient};
use usher_protocol::feed::Pulled;

use super::Staff;
use crate::handle::Unavailable;

/// What was pulled for a connection.
#[derive(Clone, Debug)]
pub struct Given {
    pub pulled: Pulled,
    /// The client is to be asked, behind the frames, for a sign that it reads them; who gives none is
    /// let go.
    pub ask: bool,
}

/// The connection's end. Every idle connection has one, so it is small.
pub struct Pulls {
    between: Arc<Between>,
    staff: Recipient<Look>,
}

/// The person's end; when it is dropped the connection has been let go.
#[derive(Debug)]
pub(super) struct Gives(Arc<Between>);

#[expect(clippy::disallowed_types, reason = "as above; held for a few instructions")]
type Between = Mutex<State>;

#[derive(Debug)]
struct State {
    /// Given, and not taken yet.
    given: Option<Given>,
    mark: Mark,
    over: bool,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mark {
    /// What was given is being written.
    Busy,
    /// All before is written.
    Asked,
    /// There was something to give when nothing was asked for.
    Owed,
}

/// A connection asks for more, and something has waited for that.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Look;

/// Both ends, for a connection that has something to be given from the start: its greeting.
pub(super) fn pulls(staff: Recipient<Look>) -> (Pulls, Gives) {
    let state = State { given: None, mark: Mark::Owed, over: false, waker: None };
    let between = Arc::new(Between::new(state));
    (Pulls { between: Arc::clone(&between), staff }, Gives(between))
}

/// Nobody panics while holding it.
fn locked(between: &Between) -> MutexGuard<'_, State> {
    between.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pulls {
    /// Asks for the next frames, and takes them.
    ///
    /// `Err`: the service has let go of the connection; the client comes back and resumes.
    pub fn poll_next(&mut self, context: &Context<'_>) -> Poll<Result<Given, Unavailable>> {
        let mut state = locked(&self.between);
        if let Some(given) = state.given.take() {
            return Poll::Ready(Ok(given));
        }
        if state.over {
            return Poll::Ready(Err(Unavailable::Busy));
        }
        if state.waker.as_ref().is_none_or(|waker| !waker.will_wake(context.waker())) {
            state.waker = Some(context.waker().clone());
        }
        let before = std::mem::replace(&mut state.mark, Mark::Asked);
        drop(state);
        if before == Mark::Owed {
            self.staff.do_send(Look);
        }
        Poll::Pending
    }

    /// As [`Self::poll_next`]; what was given and not taken stays, should this be given up.
    pub async fn next(&mut self) -> Result<Given, Unavailable> {
        poll_fn(|context| self.poll_next(context)).await
    }
}

impl fmt::Debug for Pulls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pulls").finish_non_exhaustive()
    }
}

impl Gives {
    /// Whether what there is to give is asked for; if not, the person is told as soon as it is.
    pub(super) fn is_asked(&self) -> bool {
        let mut state = locked(&self.0);
        if state.mark != Mark::Asked {
            state.mark = Mark::Owed;
        }
        state.mark == Mark::Asked
    }

    /// What was asked for.
    pub(super) fn give(&self, given: Given) {
        let mut state = locked(&self.0);
        (state.given, state.mark) = (Some(given), Mark::Busy);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Gives {
    fn drop(&mut self) {
        let mut state = locked(&self.0);
        state.over = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Handler<Look> for Staff {
    type Result = ();

    fn handle(&mut self, _: Look, _: &mut actix::Context<Self>) {
        self.serve_pulls();
    }
}

#[cfg(test)]
mod tests {
    use actix::{Actor, MessageResult};

    use super::*;

    /// How often it was told to look.
    #[derive(Default)]
    struct Told(usize);

    #[derive(Message)]
    #[rtype(result = "usize")]
    struct HowOften;

    impl Actor for Told {
        type Context = actix::Context<Self>;
    }

    impl Handler<Look> for Told {
        type Result = ();

        fn handle(&mut self, _: Look, _: &mut actix::Context<Self>) {
            self.0 += 1;
        }
    }

    impl Handler<HowOften> for Told {
        type Result = MessageResult<HowOften>;

        fn handle(&mut self, _: HowOften, _: &mut actix::Context<Self>) -> Self::Result {
            MessageResult(self.0)
        }
    }

    fn frame(text: &str) -> Given {
        Given { pulled: Pulled::Frames(vec![text.to_owned()]), ask: false }
    }

    /// `None`: there is nothing yet.
    fn poll(pulls: &mut Pulls) -> Option<Result<Pulled, Unavailable>> {
        match pulls.poll_next(&Context::from_waker(Waker::noop())) {
            Poll::Ready(given) => Some(given.map(|given| given.pulled)),
            Poll::Pending => None,
        }
    }

    #[actix::test]
    async fn one_batch_for_each_that_is_asked_for_and_none_is_waited_for_in_vain() {
        let told = Told::default().start();
        let (mut pulls, gives) = pulls(told.clone().recipient());
        assert_eq!(poll(&mut pulls), None);
        assert_eq!(told.send(HowOften).await, Ok(1), "the greeting has waited");
        assert!(gives.is_asked());
        gives.give(frame("first"));
        assert!(!gives.is_asked(), "a second would take the place of the first");
        assert_eq!(poll(&mut pulls), Some(Ok(frame("first").pulled)));
        assert!(!gives.is_asked(), "the first is being written");
        assert_eq!(poll(&mut pulls), None);
        assert_eq!(poll(&mut pulls), None);
        assert_eq!(told.send(HowOften).await, Ok(2), "the second has waited, and is said once");
        assert!(gives.is_asked());
        gives.give(frame("second"));
        assert_eq!(poll(&mut pulls), Some(Ok(frame("second").pulled)));
        assert_eq!(poll(&mut pulls), None);
        assert_eq!(told.send(HowOften).await, Ok(2), "nothing has waited");
        gives.give(frame("last"));
        drop(gives);
        assert_eq!(poll(&mut pulls), Some(Ok(frame("last").pulled)), "what was given is not lost");
        assert_eq!(poll(&mut pulls), Some(Err(Unavailable::Busy)));
    }

    #[actix::test]
    async fn who_waits_is_woken_by_what_is_given_and_by_the_end() {
        let told = Told::default().start();
        let (mut pulls, gives) = pulls(told.recipient());
        let waits = async { (pulls.next().await.is_ok(), pulls.next().await.is_err()) };
        let gives = async {
            while !gives.is_asked() {
                tokio::task::yield_now().await;
            }
            gives.give(frame("first"));
            tokio::task::yield_now().await;
            drop(gives);
        };
        assert_eq!(tokio::join!(waits, gives).0, (true, true));
    }
}
