//! Says whose update it is, and whether it was seen before; keeps visitors with live enquiries at hand.

mod lookups;
mod once;

use std::collections::BTreeSet;
use std::sync::Arc;

use actix::prelude::*;
use bytestring::ByteString;
use tokio::sync::oneshot;
use usher_domain::ids::{ChannelId, VisitorId};
use usher_domain::record::{Event, Record};
use usher_domain::visitor::{self, Change, Effect, Key, Notice, Refusal, Seen, Visitor};
use usher_store::{Reached, SeenIds};

use crate::channel::{Blocked, Heard, Merged, ReceiptCame, WindowsLapsed};
use crate::enquiry::Waited;
use crate::inbound::{Inbound, InboundBody, Sender, kept};
use crate::ledger::{Ack, Release};
use crate::metrics;
use crate::peers::{Guard, Peers, new_visitor};

/// Updates of one webhook for one channel.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Arrived {
    pub(crate) channel: ChannelId,
    pub(crate) updates: Vec<Inbound>,
    pub(crate) ack: Arc<Ack>,
}

/// A visitor has become, or is no longer, one with a live enquiry.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Pin {
    pub(crate) visitor: VisitorId,
    pub(crate) on: bool,
}

/// Something about a visitor has changed.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Remember {
    pub(crate) visitor: VisitorId,
    pub(crate) change: Change,
    /// Hears what came of it, and the visitor as they are then.
    pub(crate) answer: Option<oneshot::Sender<Result<Arc<Visitor>, Refusal>>>,
    /// Written down with it, in one group; also where nothing changes.
    pub(crate) and: Vec<Record>,
}

/// Who is this? Looked up, and never made.
#[derive(Debug, Message)]
#[rtype(result = "Option<Arc<Visitor>>")]
pub(crate) struct WhoIs(pub(crate) VisitorId);

/// Somebody we write to first: found by their number, or new.
#[derive(Debug, Message)]
#[rtype(result = "Option<Arc<Visitor>>")]
pub(crate) struct Meet {
    pub(crate) wa_id: String,
    pub(crate) channel: ChannelId,
}

/// Its enquiry closed before it was taken: it is heard anew, by what is known of the visitor now.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Bounced {
    pub(crate) channel: ChannelId,
    pub(crate) visitor: Arc<Visitor>,
    pub(crate) update: Inbound,
    pub(crate) ack: Arc<Ack>,
}

/// The archive has come this far.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Projected(pub(crate) Reached);

/// Somebody wrote while the channel opened nothing, and is to have an enquiry now.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Unheard {
    pub(crate) channel: ChannelId,
    pub(crate) visitor: VisitorId,
    pub(crate) waited: Box<Waited>,
}

#[derive(Debug)]
pub(crate) struct Directory {
    peers: Peers,
    _guard: Guard,
    people: visitor::Directory,
    seen: SeenIds,
    /// Delivered again before the first delivery was durable: safe when that one is.
    again: Vec<(Box<str>, Arc<Ack>)>,
    /// Loaded and perhaps not needed any more.
    idle: BTreeSet<VisitorId>,
    /// Sequence at which the directory's revision was last noted, to tell it what is projected.
    revisions: std::collections::VecDeque<(u64, u64)>,
}

impl Directory {
    pub(crate) fn new(peers: Peers, seen: SeenIds, pinned: Vec<Arc<Visitor>>) -> Self {
        let guard = peers.guard("directory");
        let mut people = visitor::Directory::new();
        for visitor in pinned {
            let id = visitor.id;
            people.load(visitor);
            people.pin(id);
        }
        Self {
            peers,
            _guard: guard,
            people,
            seen,
            again: Vec::new(),
            idle: BTreeSet::new(),
            revisions: std::collections::VecDeque::new(),
        }
    }

    fn take(&mut self, channel: ChannelId, update: Inbound, ack: &Arc<Ack>) {
        let ack = Arc::clone(ack);
        let Inbound { body, raw } = update;
        if self.peers.channel(channel).is_none() {
            return self.quarantine(channel, "no such channel", kept(raw), ack);
        }
        let raw_text = || kept(raw.clone());
        match body {
            // Told to the channel before it comes here, unless that is not there.
            InboundBody::Receipt(receipt) => {
                self.channel(channel, ReceiptCame { receipt, raw, ack });
            }
            InboundBody::UnknownNumber { phone_number_id } => {
                let raw = raw_text();
                self.keep(Event::UnknownNumber { channel, phone_number_id, raw }, ack);
            }
            InboundBody::Unattributed { why } => self.quarantine(channel, why, raw_text(), ack),
            InboundBody::Account { field } => {
                let raw = raw_text();
                self.keep(Event::ProviderNoticed { channel, field, raw }, ack);
            }
            InboundBody::Preference { sender, stop } => {
                self.preference(channel, (&sender, stop), raw_text(), ack);
            }
            InboundBody::NumberChanged { .. } | InboundBody::UserIdChanged { .. } => {
                self.notice(channel, body, raw, ack);
            }
            InboundBody::Message(_)
            | InboundBody::Edit { .. }
            | InboundBody::Revoke { .. }
            | InboundBody::Reaction { .. }
            | InboundBody::Notice { .. }
            | InboundBody::Echo { .. } => self.hear(channel, Inbound { body, raw }, ack),
        }
    }

    /// A message or the like: seen once, from somebody.
    fn hear(&mut self, channel: ChannelId, update: Inbound, ack: Arc<Ack>) {
        let Some((sender, provider_id)) = update.body.sender_and_id() else { return };
        let Some(ack) = self.first_time(provider_id, ack) else { return };
        let Some(visitor) = self.identify(channel, sender) else {
            return self.quarantine(channel, "unattributed", kept(update.raw), ack);
        };
        self.note_seen(provider_id);
        self.channel(channel, Heard { visitor, update, ack });
    }

    fn notice(
        &mut self,
        channel: ChannelId,
        body: InboundBody,
        raw: Option<ByteString>,
        ack: Arc<Ack>,
    ) {
        let Some((sender, provider_id)) = body.sender_and_id() else { return };
        let Some(ack) = self.first_time(provider_id, ack) else { return };
        let notice = match &body {
            InboundBody::NumberChanged { sender, new_wa_id, .. } => sender
                .wa_id
                .as_deref()
                .map(|old_wa_id| Notice::NumberChanged { old_wa_id, new_wa_id }),
            InboundBody::UserIdChanged { sender, previous, current, .. } => {
                Some(Notice::UserIdChanged {
                    previous: previous.as_deref().or(sender.user_id.as_deref()),
                    current,
                    wa_id: sender.wa_id.as_deref(),
                })
            }
            _ => None,
        };
        let Some(notice) = notice else {
            return self.quarantine(channel, "a change of ids without the old one", kept(raw), ack);
        };
        self.load(self.people.wanted_by(&notice));
        let mut effects = Vec::new();
        let visitor = self.people.notice(self.peers.wall_now(), &notice, &mut effects);
        self.perform(effects);
        let known = visitor.and_then(|id| self.people.visitor(id)).cloned();
        let Some(visitor) = known else {
            // Nobody we know: kept, so that it can be looked into, and nothing more.
            let raw = kept(raw);
            return self.keep(Event::ProviderNoticed { channel, field: "system".into(), raw }, ack);
        };
        self.note_seen(provider_id);
        let sender = sender.clone();
        let provider_id = provider_id.to_owned();
        let text = match body {
            InboundBody::NumberChanged { text, .. } => text,
            _ => "The visitor's user id has changed.".to_owned(),
        };
        let body = InboundBody::Notice { sender, provider_id, text };
        self.channel(channel, Heard { visitor, update: Inbound { body, raw }, ack });
    }

    fn preference(
        &mut self,
        channel: ChannelId,
        (sender, stop): (&Sender, bool),
        raw: String,
        ack: Arc<Ack>,
    ) {
        let Some(visitor) = self.identify(channel, sender) else {
            return self.quarantine(channel, "unattributed", raw, ack);
        };
        let change = if stop { Change::OptOut } else { Change::OptIn };
        // The visitor was identified just now, and opting out is never refused.
        self.change(visitor.id, change).ok();
        self.peers.ledger.release(Release::Ack(ack));
    }

    fn identify(&mut self, channel: ChannelId, sender: &Sender) -> Option<Arc<Visitor>> {
        let seen = Seen {
            wa_id: sender.wa_id.as_deref(),
            user_id: sender.user_id.as_deref(),
            name: sender.name.as_deref(),
            username: sender.username.as_deref(),
            channel,
        };
        // Loaded, so pinned or among the idle, and nothing to write down.
        if let Some(visitor) = self.people.known(&seen) {
            return Some(Arc::clone(visitor));
        }
        self.load(self.people.wanted(&seen.identities()));
        let mut effects = Vec::new();
        let identified =
            self.people.identify(self.peers.wall_now(), &seen, new_visitor(), &mut effects);
        self.perform(effects);
        let id = identified.ok()?.visitor;
        self.idle.insert(id);
        self.people.visitor(id).cloned()
    }

    /// Brings what the archive knows of these ids into memory.
    fn load(&mut self, wanted: Vec<Key>) {
        for key in wanted {
            let found = match &key {
                Key::WaId(wa_id) => self.peers.reader.visitor_by_wa_id(self.peers.id, wa_id),
                Key::UserId(user_id) => {
                    self.peers.reader.visitor_by_user_id(self.peers.id, user_id)
                }
            };
            match found {
                Ok(Some(visitor)) => {
                    self.idle.insert(visitor.id);
                    self.people.load(visitor);
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, "the archive could not be asked for a visitor");
                    self.peers.broken("archive");
                }
            }
        }
    }

    fn load_by_id(&mut self, id: VisitorId) {
        if self.people.visitor(id).is_some() {
            return;
        }
        match self.peers.reader.visitor(self.peers.id, id) {
            Ok(Some(visitor)) => {
                self.idle.insert(visitor.id);
                self.people.load(visitor);
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the archive could not be asked for a visitor"),
        }
    }

    fn change(&mut self, visitor: VisitorId, change: Change) -> Result<(), Refusal> {
        self.change_and(visitor, change, Vec::new())
    }

    fn change_and(
        &mut self,
        visitor: VisitorId,
        change: Change,
        and: Vec<Record>,
    ) -> Result<(), Refusal> {
        self.load_by_id(visitor);
        let mut effects = Vec::new();
        let blocks = matches!(change, Change::Block);
        let command = visitor::Command { visitor, change };
        let outcome = self.people.apply(self.peers.wall_now(), command, &mut effects);
        self.perform_and(effects, and);
        if blocks && outcome.is_ok() {
            for channel in self.peers.channels.values() {
                channel.do_send(Blocked(visitor));
            }
        }
        outcome
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        self.perform_and(effects, Vec::new());
    }

    fn perform_and(&mut self, effects: Vec<Effect>, and: Vec<Record>) {
        if effects.is_empty() && and.is_empty() {
            return;
        }
        let now = self.peers.now();
        let mut records = Vec::new();
        for effect in effects {
            match effect {
                Effect::Changed(visitor) => {
                    records.push(Record::new(now, Event::VisitorChanged { visitor }));
                }
                Effect::Merged { kept, gone } => {
                    records.push(Record::new(now, Event::VisitorsMerged { kept, gone }));
                    for channel in self.peers.channels.values() {
                        channel.do_send(Merged { kept, gone });
                    }
                }
                Effect::WindowsLapsed { visitor } => {
                    for channel in self.peers.channels.values() {
                        channel.do_send(WindowsLapsed { visitor });
                    }
                }
            }
        }
        records.extend(and);
        let seq = self.peers.ledger.append(records, Vec::new());
        self.revisions.push_back((seq, self.people.revision()));
    }

    fn keep(&self, event: Event, ack: Arc<Ack>) {
        let record = Record::new(self.peers.now(), event);
        self.peers.ledger.append([record], [Release::Ack(ack)]);
    }

    fn quarantine(&self, channel: ChannelId, why: &str, raw: String, ack: Arc<Ack>) {
        ::metrics::counter!(metrics::QUARANTINED).increment(1);
        self.keep(Event::Quarantined { channel, why: why.to_owned(), raw }, ack);
    }

    fn channel<M>(&self, channel: ChannelId, message: M)
    where
        M: Message<Result = ()> + Send + 'static,
        crate::channel::Channel: Handler<M>,
    {
        if let Some(addr) = self.peers.channel(channel) {
            addr.do_send(message);
        } else {
            tracing::error!(%channel, "an update for a channel that is not there");
        }
    }
}

impl Actor for Directory {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // Filters that were not saved are filled from the archive bit by bit, between updates.
        ctx.run_interval(std::time::Duration::from_millis(50), |actor, _| {
            if actor.seen.needs_refill()
                && let Err(error) = actor.seen.refill(&actor.peers.reader, 2_000)
            {
                tracing::warn!(%error, "the filters of seen ids could not be filled");
            }
        });
        ctx.run_interval(std::time::Duration::from_mins(5), |actor, _| {
            if let Err(error) = actor.seen.save() {
                tracing::warn!(%error, "the filters of seen ids could not be saved");
            }
        });
    }
}

impl Handler<Arrived> for Directory {
    type Result = ();

    fn handle(&mut self, Arrived { channel, updates, ack }: Arrived, _: &mut Context<Self>) {
        let in_hand = self.peers.in_hand.clone();
        for update in updates {
            let _taken = in_hand.take(&update.body);
            self.take(channel, update, &ack);
        }
    }
}

impl Handler<Bounced> for Directory {
    type Result = ();

    fn handle(&mut self, bounced: Bounced, _: &mut Context<Self>) {
        let Bounced { channel, visitor, update, ack } = bounced;
        self.load_by_id(visitor.id);
        let visitor = self.people.visitor(visitor.id).cloned().unwrap_or(visitor);
        self.channel(channel, Heard { visitor, update, ack });
    }
}

impl Handler<Pin> for Directory {
    type Result = ();

    fn handle(&mut self, Pin { visitor, on }: Pin, _: &mut Context<Self>) {
        if on {
            self.load_by_id(visitor);
            self.people.pin(visitor);
        } else {
            self.people.unpin(visitor);
            self.idle.insert(visitor);
        }
    }
}

impl Handler<Remember> for Directory {
    type Result = ();

    fn handle(&mut self, remember: Remember, _: &mut Context<Self>) {
        let Remember { visitor, change, answer, and } = remember;
        let outcome = self.change_and(visitor, change, and);
        if let Some(answer) = answer {
            let found = outcome.and_then(|()| {
                self.people.visitor(visitor).cloned().ok_or(Refusal::UnknownVisitor)
            });
            // Whoever asked may have gone.
            answer.send(found).ok();
        }
    }
}

impl Handler<Projected> for Directory {
    type Result = ();

    fn handle(&mut self, Projected(reached): Projected, _: &mut Context<Self>) {
        self.seen.projected(reached);
        self.release_again();
        while let Some(&(seq, revision)) = self.revisions.front() {
            if seq > reached.seq {
                break;
            }
            self.people.projected(revision);
            self.revisions.pop_front();
        }
        let people = &mut self.people;
        self.idle.retain(|visitor| match people.unload(*visitor) {
            Ok(()) | Err(visitor::StillNeeded::Pinned) => false,
            Err(visitor::StillNeeded::Unprojected) => true,
        });
    }
}
