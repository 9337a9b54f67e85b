//! The standing connections of one worker to the owners that it passes webhooks on to.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use actix_web::rt;
use anyhow::Context as _;
use metrics::{gauge, histogram};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::link::Link;
use super::way::Way;
use crate::metrics::{RELAY_LINKS, RELAY_SECONDS};
use crate::relay::Owner;

const OPENED_WITHIN: Duration = Duration::from_secs(1);
/// Until an owner with whom there was none is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Cheap to clone; on one thread.
#[derive(Clone)]
pub(super) struct Links {
    way: Way,
    each: Rc<RefCell<BTreeMap<Owner, State>>>,
}

enum State {
    Opening,
    Open(Open),
    NotSince(Instant),
}

struct Open {
    link: Link,
    /// Of all owners, when it was asked for.
    silences: u64,
    /// The connection is closed without it.
    _held: oneshot::Sender<Infallible>,
}

impl Links {
    pub(super) fn new(way: Way) -> Self {
        Self { way, each: Rc::default() }
    }

    /// `None`: there is none now, and who asks does it by a request; soon there may be one.
    pub(super) fn to(&self, owner: &Owner) -> Option<Link> {
        let silences = self.way.silences();
        let mut each = self.each.borrow_mut();
        match each.get(owner) {
            Some(State::Open(open)) if open.silences == silences && open.link.is_open() => {
                return Some(open.link.clone());
            }
            Some(State::Opening) => return None,
            Some(State::NotSince(tried)) if tried.elapsed() < AGAIN_AFTER => return None,
            Some(_) | None => {}
        }
        let known = self.way.known();
        each.retain(|owner, _| known.contains(owner));
        each.insert(owner.clone(), State::Opening);
        drop(rt::spawn(self.clone().open(owner.clone(), silences)));
        None
    }

    /// Ends with the connection, if there comes to be one.
    async fn open(self, owner: Owner, silences: u64) {
        let opened = timeout(OPENED_WITHIN, self.way.link(&owner)).await;
        match opened.context("it did not answer in time").flatten() {
            Ok(Some(stream)) => {
                let (link, run) =
                    Link::open(stream, histogram!(RELAY_SECONDS, "by" => "connection"));
                let (held, dropped) = oneshot::channel();
                self.tell(&owner, State::Open(Open { link, silences, _held: held }));
                let links = gauge!(RELAY_LINKS);
                links.increment(1.0);
                tokio::select! {
                    () = run => {}
                    _ = dropped => {}
                }
                links.decrement(1.0);
            }
            Ok(None) => {
                tracing::debug!(node = %owner.node, "the owner is asked by requests alone");
                self.tell(&owner, State::NotSince(Instant::now()));
            }
            Err(cause) => {
                tracing::debug!(?cause, node = %owner.node, "no connection for webhooks");
                self.tell(&owner, State::NotSince(Instant::now()));
            }
        }
    }

    /// Of an owner that is forgotten by now, nothing is kept.
    fn tell(&self, owner: &Owner, state: State) {
        if let Some(known) = self.each.borrow_mut().get_mut(owner) {
            *known = state;
        }
    }
}
