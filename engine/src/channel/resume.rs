//! Who wrote while the channel opened nothing has one enquiry once it does again, oldest first.
//!
//! Nothing about this is kept: a message that belongs to no enquiry and was not answered says it
//! itself, so that a crash half way changes nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use usher_domain::ids::VisitorId;
use usher_domain::message::Counts;
use usher_domain::visitor::Visitor;
use usher_protocol::event::preview;
use usher_store::{MessageRow, Unanswered};

use super::Channel;
use crate::directory::Unheard;
use crate::enquiry::{Told, Waited};

/// Ten a second.
const PACE: Duration = Duration::from_millis(100);
/// Most visitors known at one time to be waiting.
const KNOWN_MAX: usize = 10_000;
/// Most messages of one visitor looked through.
const LOOK_MAX: usize = 100;

/// Who is to have an enquiry.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    next: VecDeque<Unanswered>,
    /// Where the list goes on.
    after: u64,
}

/// The visitor, as the directory knows them, who is to have an enquiry.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct OpenFor {
    pub(crate) visitor: Arc<Visitor>,
    pub(crate) waited: Box<Waited>,
}

impl Channel {
    pub(super) fn look_for_unanswered(&mut self, ctx: &mut Context<Self>) {
        if !self.opens() || !self.read_unanswered() {
            return;
        }
        tracing::info!(
            channel = %self.id, visitors = self.waiting.next.len(),
            "visitors wrote while the channel opened nothing; they have their enquiries now"
        );
        ctx.run_later(PACE, Self::take_up_next);
    }

    /// Whether there is anybody.
    fn read_unanswered(&mut self) -> bool {
        let (reader, after) = (&self.peers.reader, self.waiting.after);
        match reader.unanswered(self.peers.id, self.id, after, KNOWN_MAX) {
            Ok(found) => self.waiting.next = found.into(),
            Err(error) => {
                tracing::error!(%error, "the archive could not be asked who was not answered");
                self.peers.broken("archive");
            }
        }
        !self.waiting.next.is_empty()
    }

    fn take_up_next(&mut self, ctx: &mut Context<Self>) {
        while let Some(Unanswered { visitor, first_seq }) = self.waiting.next.pop_front() {
            self.waiting.after = first_seq;
            if let Some(waited) = self.waited(visitor) {
                let (channel, waited) = (self.id, Box::new(waited));
                self.peers.directory.do_send(Unheard { channel, visitor, waited });
                break;
            }
        }
        if !self.waiting.next.is_empty() || self.read_unanswered() {
            ctx.run_later(PACE, Self::take_up_next);
        }
    }

    /// What this visitor said that should have opened an enquiry.
    fn waited(&self, visitor: VisitorId) -> Option<Waited> {
        if self.lives.of(visitor).is_some() {
            return None;
        }
        let rows = match self.peers.reader.loose(self.peers.id, (self.id, visitor), LOOK_MAX) {
            Ok(rows) => rows,
            Err(error) => {
                tracing::error!(%error, "the archive could not be asked what a visitor said");
                self.peers.broken("archive");
                return None;
            }
        };
        let opens = |row: &&MessageRow| {
            row.counts.is_some_and(Counts::opens) && !self.opts_out(&row.content)
        };
        let first = rows.iter().find(opens)?;
        let last = rows.iter().rev().find(opens)?;
        Some(Waited {
            first: preview(&first.content),
            provider_id: last.provider_id.clone(),
            provider_at: last.provider_at.unwrap_or(last.at),
            counts: last.counts.unwrap_or(Counts::Message),
            at: last.at,
            replies: last.reply_to.is_some(),
        })
    }
}

impl Handler<OpenFor> for Channel {
    type Result = ();

    fn handle(&mut self, OpenFor { visitor, waited }: OpenFor, _: &mut Context<Self>) {
        let memory = visitor.channels.get(&self.id);
        // They wrote again meanwhile, and what came of that is over already.
        let over = memory.and_then(|memory| memory.last_closed_at).is_some_and(|at| waited.at < at);
        // Nobody is left to answer.
        let erased = visitor.identities.wa_id.is_none() && visitor.identities.user_id.is_none();
        if !over && !erased && !visitor.blocked && self.lives.of(visitor.id).is_none() {
            self.open_with(visitor, Told::Waited(waited));
        }
    }
}
