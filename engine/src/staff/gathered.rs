//! What a person is to be shown, gathered from the enquiries themselves: the greeting of somebody
//! who connects, or a page of what nobody serves.

use std::collections::BTreeSet;
use std::sync::Arc;

use actix::prelude::*;
use serde_json::json;
use tokio::sync::Mutex;
use usher_domain::ids::EnquiryId;
use usher_protocol::PART_BYTES_MAX;
use usher_protocol::command::{PageLimit, Unserved};
use usher_protocol::refusal::Code;

use super::{Greet, Staff};
use crate::handle::{Answer, ConnectionId};
use crate::ledger::Release;
use crate::router::{Router, Shown};
use crate::service::AnswerTo;

/// What is to be shown.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// Everything, to somebody who connects.
    Greeting {
        connection: ConnectionId,
        /// Rooms the person was added to or joined.
        joined: BTreeSet<EnquiryId>,
    },
    /// A page of what nobody serves in the person's groups.
    Page(Page),
}

/// Which page, and for whom.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) state: Unserved,
    pub(crate) before: Option<EnquiryId>,
    pub(crate) limit: PageLimit,
    pub(crate) answer: AnswerTo,
}

/// Heads of what is to be shown; complete when the last holder lets go.
#[derive(Debug)]
pub(crate) struct Gathered {
    /// Everybody who adds to it is on one thread.
    heads: Mutex<Vec<(EnquiryId, Arc<str>)>>,
    /// Taken at the end.
    wanted: Mutex<Option<Wanted>>,
    staff: Addr<Staff>,
    router: Addr<Router>,
}

impl Gathered {
    pub(crate) fn new(wanted: Wanted, staff: Addr<Staff>, router: Addr<Router>) -> Self {
        let wanted = Mutex::new(Some(wanted));
        Self { heads: Mutex::default(), wanted, staff, router }
    }

    pub(crate) fn add(&self, enquiry: EnquiryId, head: Arc<str>) {
        if let Ok(mut heads) = self.heads.try_lock() {
            heads.push((enquiry, head));
        }
    }
}

impl Drop for Gathered {
    fn drop(&mut self) {
        let heads = std::mem::take(self.heads.get_mut());
        if let Some(wanted) = self.wanted.get_mut().take() {
            self.staff.do_send(AllGathered { heads, wanted });
        }
        self.router.do_send(Shown);
    }
}

/// Everything to be shown is gathered, and not yet durable.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct AllGathered {
    heads: Vec<(EnquiryId, Arc<str>)>,
    wanted: Wanted,
}

impl Handler<AllGathered> for Staff {
    type Result = ();

    fn handle(&mut self, AllGathered { heads, wanted }: AllGathered, ctx: &mut Context<Self>) {
        // What the heads show has to be durable before it is shown.
        let release = match wanted {
            Wanted::Greeting { connection, .. } => {
                let heads = heads.into_iter().map(|(_, head)| head).collect();
                let greet = Box::new(Greet { connection, heads });
                Release::Greet { staff: ctx.address(), greet }
            }
            Wanted::Page(Page { limit, answer, .. }) => {
                answer.release(&self.peers, self.id, page(heads, limit))
            }
        };
        self.peers.ledger.release(release);
    }
}

/// The newest first, as many as fit into a frame.
fn page(mut heads: Vec<(EnquiryId, Arc<str>)>, limit: PageLimit) -> Answer {
    heads.sort_unstable_by_key(|(enquiry, _)| std::cmp::Reverse(*enquiry));
    let mut room = PART_BYTES_MAX;
    let found = heads.len();
    let fits = |(_, head): &(EnquiryId, Arc<str>)| {
        room = room.checked_sub(head.len() + 1)?;
        Some(serde_json::from_str::<serde_json::Value>(head))
    };
    let shown: Result<Vec<_>, _> = heads.iter().map_while(fits).collect();
    let Ok(shown) = shown else { return Err(Code::Unavailable.into()) };
    let full = found >= usize::from(limit.entries()) || shown.len() < found;
    let last = shown.len().checked_sub(1).and_then(|last| heads.get(last));
    let next = last.filter(|_| full).map(|(enquiry, _)| *enquiry);
    Ok(json!({ "heads": shown, "next": next }))
}
