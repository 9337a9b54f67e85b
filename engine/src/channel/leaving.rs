//! When a service goes to another process: what has left by the provider's door is waited for, and
//! nothing more leaves.

use std::collections::BTreeSet;

use actix::prelude::*;
use tokio::sync::oneshot;
use usher_domain::ids::MessageId;

use super::Channel;

/// Answered once no request to the provider is under way; none begins any more.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct HoldBack;

/// Requests to the provider that have no outcome yet.
#[derive(Debug, Default)]
pub(super) struct Calls {
    under_way: BTreeSet<MessageId>,
    /// None begins any more; whoever waits until there are none.
    held_back: Option<Vec<oneshot::Sender<()>>>,
}

impl Calls {
    /// Whether a request may begin. One that may not stays in the outbox as it was written down, and
    /// whoever has the service next sends it.
    pub(super) fn begin(&mut self, message: MessageId) -> bool {
        let may = self.held_back.is_none();
        if may {
            self.under_way.insert(message);
        }
        may
    }

    pub(super) fn end(&mut self, message: MessageId) {
        self.under_way.remove(&message);
        if self.under_way.is_empty() {
            for waits in self.held_back.iter_mut().flat_map(|waiting| waiting.drain(..)) {
                // Who asked has waited long enough.
                waits.send(()).ok();
            }
        }
    }

    fn hold_back(&mut self) -> Option<oneshot::Receiver<()>> {
        let waiting = self.held_back.get_or_insert_default();
        if self.under_way.is_empty() {
            return None;
        }
        let (told, hears) = oneshot::channel();
        waiting.push(told);
        Some(hears)
    }
}

impl Handler<HoldBack> for Channel {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: HoldBack, _: &mut Context<Self>) -> Self::Result {
        let hears = self.calls.hold_back();
        Box::pin(async move {
            if let Some(hears) = hears {
                // Dropped with the channel: then nothing of it is under way.
                hears.await.ok();
            }
        })
    }
}
