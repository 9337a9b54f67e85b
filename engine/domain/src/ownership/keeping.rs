//! Decides what a node does with all services together: which it wants, and which it hands over, when, and to
//! whom. Of each single one [`lease`](super::lease) decides, of whose it should be [`placement`].
//!
//! | the node | wants | hands over |
//! |---|---|---|
//! | works | every service, after those that come before it in the draw | what another should have that has lived a while: one after the other |
//! | is not answered by the store | nothing more | all at once, to nodes that are; where there is none, nothing |
//! | leaves | nothing | all at once |
//!
//! - **K1** Only one service at a time is on its way to a node that has come: few people at once come back
//!   elsewhere.
//! - **K2** Who misses one answer of the store says that it is not fit, and is given nothing; who misses two in a
//!   row hands over. Who has said so and is answered again gives nothing away before the others know.
//! - **K3** What a node has just begun with stays for a lease's length: who should have had it, and did not take it,
//!   stands still, and those that live hear of that no sooner.
//! - **K4** Who leaves wants nothing any more, whatever it hears.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Epoch;
use super::lease::{Answer, Ask, Command, Effect, Lease, Refusal, Stage, Terms};
use super::placement::{self, Node, NodeId};
use crate::ids::ServiceId;
use crate::time::Timestamp;

/// A store that has not answered a node so often in a row cannot be reached by it. The others hear of the first
/// time, so that nobody takes those to be fit that it does not answer either.
const UNANSWERED_MAX: u32 = 2;

/// What a node hears.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Word {
    /// What came of a question about a lease, and whose it is, as far as that was told.
    Heard { service: ServiceId, ask: Ask, answer: Answer, holder: Option<NodeId> },
    /// What came of a claim.
    Claimed { service: ServiceId, epoch: Epoch, taken: bool },
    /// A commit was refused because another node's epoch is newer.
    Superseded { service: ServiceId },
    /// Nothing of it runs any more.
    Stopped { service: ServiceId },
    /// Who was believed to have it does not answer, or has not got it.
    Doubted { service: ServiceId },
    /// Which nodes live, this one too.
    Live(Vec<Node>),
    /// Whether the store has answered this node's last asking for a sign.
    Answered(bool),
    /// This node ends: others should have what it has.
    Leave,
}

/// What a node does, in this order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Deed {
    /// As the lease says; `next` is for whom what is released is kept.
    Lease { service: ServiceId, effect: Effect, next: Option<NodeId> },
    /// Another has it, as far as is known, or is about to.
    Elsewhere { service: ServiceId, node: Option<NodeId> },
    /// Whether the store keeps others away, since Redis does not say that it does: this has changed.
    Kept { service: ServiceId, by_store: bool },
    /// Says that it lives and whether it would rather have nothing, hears who does, and asks the store for a sign.
    Beat { leaving: bool },
    /// A lease does not do what was told, as it has changed meanwhile.
    Refused { service: ServiceId, refusal: Refusal },
}

/// All leases of one node, and who else lives.
#[derive(Clone, Debug)]
pub struct Keeping {
    me: NodeId,
    terms: Terms,
    /// A node lives so long before it is given what another has.
    settled: Duration,
    kept: BTreeMap<ServiceId, Kept>,
    live: Vec<Node>,
    beat_at: Timestamp,
    leaving: bool,
    /// How often in a row the store has not answered.
    unanswered: u32,
}

#[derive(Clone, Debug)]
struct Kept {
    lease: Lease,
    /// Who has it, if that is another and known.
    elsewhere: Option<NodeId>,
    /// When it last became this node's.
    since: Timestamp,
}

impl Keeping {
    /// Wants nothing before it has heard who lives.
    pub fn new(
        now: Timestamp,
        (me, settled): (NodeId, Duration),
        terms: Terms,
        services: impl IntoIterator<Item = ServiceId>,
    ) -> Self {
        let lease = Lease::new(now, terms);
        let kept = Kept { lease, elsewhere: None, since: now };
        Self {
            me,
            terms,
            settled,
            kept: services.into_iter().map(|service| (service, kept.clone())).collect(),
            live: Vec::new(),
            beat_at: now,
            leaving: false,
            unanswered: 0,
        }
    }

    pub const fn me(&self) -> &NodeId {
        &self.me
    }

    pub fn services(&self) -> impl Iterator<Item = ServiceId> {
        self.kept.keys().copied()
    }

    pub fn lease(&self, service: ServiceId) -> Option<&Lease> {
        self.kept.get(&service).map(|kept| &kept.lease)
    }

    /// Who has it, if that is another and known.
    pub fn elsewhere(&self, service: ServiceId) -> Option<&NodeId> {
        self.kept.get(&service)?.elsewhere.as_ref()
    }

    /// What is decided here can be kept.
    pub const fn is_fit(&self) -> bool {
        self.unanswered < UNANSWERED_MAX
    }

    /// When [`expire`](Self::expire) next has work to do.
    pub fn next_deadline(&self) -> Timestamp {
        let due = self.kept.values().filter_map(|kept| kept.lease.next_deadline()).min();
        due.map_or(self.beat_at, |due| due.min(self.beat_at))
    }

    pub fn expire(&mut self, now: Timestamp, deeds: &mut Vec<Deed>) {
        if self.beat_at <= now {
            self.beat_at = now + self.terms.renew_every();
            deeds.push(Deed::Beat { leaving: self.leaving || self.unanswered > 0 });
        }
        let mut due = Vec::new();
        for (service, Kept { lease, .. }) in &mut self.kept {
            let mut effects = Vec::new();
            lease.expire(now, &mut effects);
            if !effects.is_empty() {
                due.push((*service, effects));
            }
        }
        for (service, effects) in due {
            self.perform(now, service, effects, deeds);
        }
    }

    pub fn hear(&mut self, now: Timestamp, word: Word, deeds: &mut Vec<Deed>) {
        match word {
            Word::Heard { service, ask, answer, holder } => {
                self.heard(now, service, (ask, answer, holder), deeds);
            }
            Word::Claimed { service, epoch, taken } => {
                let claimed = Command::Claimed { epoch };
                let command = if taken { claimed } else { Command::NotClaimed { epoch } };
                self.apply(now, service, command, deeds);
            }
            Word::Superseded { service } => {
                let stage = self.lease(service).map(Lease::stage);
                if let Some(Stage::Owning { epoch, .. } | Stage::HandingOver { epoch, .. }) = stage
                {
                    self.apply(now, service, Command::Superseded { epoch }, deeds);
                }
            }
            Word::Stopped { service } => self.apply(now, service, Command::Stopped, deeds),
            Word::Doubted { service } => self.apply(now, service, Command::Doubt, deeds),
            Word::Live(live) => self.heard_of(now, live, deeds),
            Word::Answered(true) => self.unanswered = 0,
            Word::Answered(false) => self.unanswered_again(),
            Word::Leave => self.leave(now, deeds),
        }
        self.expire(now, deeds);
    }

    fn heard(
        &mut self,
        now: Timestamp,
        service: ServiceId,
        (ask, answer, holder): (Ask, Answer, Option<NodeId>),
        deeds: &mut Vec<Deed>,
    ) {
        let is_held = matches!(answer, Answer::Held { .. });
        let of_nobody = is_held && holder.is_none();
        if is_held && holder.as_ref() != Some(&self.me) {
            self.is_elsewhere(service, holder, deeds);
        }
        self.apply(now, service, Command::Hear { ask, answer }, deeds);
        if of_nobody {
            // Whose it will be is soon to be heard.
            self.apply(now, service, Command::Doubt, deeds);
        }
    }

    fn is_elsewhere(&mut self, service: ServiceId, node: Option<NodeId>, deeds: &mut Vec<Deed>) {
        if let Some(kept) = self.kept.get_mut(&service) {
            kept.elsewhere.clone_from(&node);
            deeds.push(Deed::Elsewhere { service, node });
        }
    }

    fn heard_of(&mut self, now: Timestamp, live: Vec<Node>, deeds: &mut Vec<Deed>) {
        self.live = live;
        if self.leaving {
            return;
        }
        if !self.is_fit() {
            return self.give_all_over(now, deeds);
        }
        for service in self.all() {
            let present = self.elsewhere(service);
            let rank = placement::rank(service, &self.live, &self.me, present);
            self.apply(now, service, Command::Want { rank }, deeds);
        }
        self.hand_one_over(now, deeds);
    }

    fn hand_one_over(&mut self, now: Timestamp, deeds: &mut Vec<Deed>) {
        let stage = |kept: &Kept| kept.lease.stage();
        if self.kept.values().any(|kept| matches!(stage(kept), Stage::HandingOver { .. })) {
            return;
        }
        let settled = |kept: &Kept| {
            matches!(stage(kept), Stage::Owning { .. }) && now >= kept.since + self.terms.lease()
        };
        let mut owned = self.kept.iter().filter(|(_, kept)| settled(kept));
        let anothers = owned.find(|(service, _)| self.next(**service).is_some());
        if let Some(service) = anothers.map(|(service, _)| *service) {
            self.apply(now, service, Command::GiveUp, deeds);
        }
    }

    /// What cannot be kept here is for nodes that can; where none can, it stays.
    fn give_all_over(&mut self, now: Timestamp, deeds: &mut Vec<Deed>) {
        for service in self.all() {
            let stage = self.lease(service).map(Lease::stage);
            if matches!(stage, Some(Stage::Owning { .. })) && self.next(service).is_some() {
                self.apply(now, service, Command::GiveUp, deeds);
            }
        }
    }

    fn leave(&mut self, now: Timestamp, deeds: &mut Vec<Deed>) {
        self.leaving = true;
        // The others hear of it at once, so that one of them is next.
        self.beat_at = now;
        for service in self.all() {
            self.apply(now, service, Command::GiveUp, deeds);
        }
    }

    /// The others hear of it soon, and this node whether it is the same for them.
    fn unanswered_again(&mut self) {
        self.unanswered = self.unanswered.saturating_add(1);
        let sooner = self.terms.renew_every().saturating_sub(self.terms.patience());
        self.beat_at = self.beat_at - sooner;
    }

    /// Who should have a service instead of this node, if somebody should.
    fn next(&self, service: ServiceId) -> Option<NodeId> {
        if self.leaving || !self.is_fit() {
            let others = self.live.iter().filter(|node| *node.id() != self.me);
            let others: Vec<Node> = others.cloned().collect();
            return placement::owner(service, &others, None, Duration::ZERO).cloned();
        }
        // What it has said of itself when it missed an answer is not yet put right.
        let seems_unfit = |node: &Node| *node.id() == self.me && node.is_leaving();
        if self.live.iter().any(seems_unfit) {
            return None;
        }
        let next = placement::owner(service, &self.live, Some(&self.me), self.settled);
        next.filter(|next| **next != self.me).cloned()
    }

    fn apply(
        &mut self,
        now: Timestamp,
        service: ServiceId,
        command: Command,
        deeds: &mut Vec<Deed>,
    ) {
        let Some(Kept { lease, .. }) = self.kept.get_mut(&service) else { return };
        let mut effects = Vec::new();
        let was_held = lease.is_held();
        if let Err(refusal) = lease.apply(now, command, &mut effects) {
            deeds.push(Deed::Refused { service, refusal });
        }
        let by_store = lease.is_held();
        if by_store != was_held {
            deeds.push(Deed::Kept { service, by_store });
        }
        self.perform(now, service, effects, deeds);
    }

    fn perform(
        &mut self,
        now: Timestamp,
        service: ServiceId,
        effects: Vec<Effect>,
        deeds: &mut Vec<Deed>,
    ) {
        for effect in effects {
            let mut next = None;
            match effect {
                Effect::Release { .. } => {
                    next = self.next(service);
                    // It is not asked about for a while: the next one comes first.
                    self.is_elsewhere(service, next.clone(), deeds);
                }
                Effect::Start { .. } => {
                    if let Some(kept) = self.kept.get_mut(&service) {
                        (kept.elsewhere, kept.since) = (None, now);
                    }
                }
                Effect::Acquire { .. }
                | Effect::Renew { .. }
                | Effect::Hold { .. }
                | Effect::Reassert { .. }
                | Effect::Claim { .. }
                | Effect::Drain
                | Effect::Stop { .. } => {}
            }
            deeds.push(Deed::Lease { service, effect, next });
        }
    }

    fn all(&self) -> Vec<ServiceId> {
        self.services().collect()
    }
}

#[cfg(test)]
mod tests;
