//! A channel's live enquiries: which are awake and which rest. Whoever is told something is awake.
//!
//! ```text
//!            told something              silent: asked
//!  resting ───────────────────► awake ──────────────────────────────► asked
//!     ▲                           ▲                                    │  │
//!     │                           └────────── it cannot, or was told ──┘  │
//!     └────────────────────────────── its state, and its actor ends ──────┘
//! ```
//!
//! What one that was asked is told waits here for its answer, so that nothing stands in the mailbox
//! of an actor that ends.

use std::collections::VecDeque;
use std::time::Duration;

use actix::prelude::*;
use usher_domain::ids::{ChannelId, EnquiryId, StaffId, VisitorId};
use usher_domain::numbers::{Numbers, Slots, hash_of_id};
use usher_domain::time::Timestamp;
use usher_domain::visitor::VisitorEnquiry;

use crate::enquiry::{AtRest, Enquiry, Rest, Told};
use crate::peers::{End, Peers};

/// Silent for so long, at most twice that, an enquiry is put to rest: what one message leads to finds it
/// awake, and its actor's memory, still in the processor's caches, goes to the next that is woken.
const REST_AFTER: Duration =
    if cfg!(feature = "rest-at-once") { Duration::ZERO } else { Duration::from_millis(100) };
/// Between two looks for silent enquiries, and where more wait to be looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const NEXT_LOOK: Duration = Duration::from_millis(2);
/// Most that are looked at in one turn.
const LOOK_MAX: usize = 100;

/// It is time to look for silent enquiries.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct LookForSilent;

#[derive(Debug)]
pub(super) struct Lives {
    peers: Peers,
    channel: ChannelId,
    all: Slots<Slot>,
    by_enquiry: Numbers,
    /// Each visitor's one live enquiry here.
    by_visitor: Numbers,
    /// Those to be looked at whether they are silent, and since when they stand here.
    to_look_at: VecDeque<(Timestamp, EnquiryId)>,
    /// The next look is on its way.
    looks: bool,
}

#[derive(Debug)]
struct Slot {
    enquiry: EnquiryId,
    visitor: VisitorId,
    live: Live,
}

/// One live enquiry: nearly all are at rest, so that these stand here without a pointer between.
#[derive(Debug)]
pub(crate) enum Live {
    Awake(Box<Awake>),
    Resting(AtRest),
}

#[derive(Debug)]
pub(crate) struct Awake {
    actor: Addr<Enquiry>,
    owner: Option<StaffId>,
    opened_at: Timestamp,
    /// Since it was last looked at.
    told: bool,
    /// It was asked whether it can rest: what it is told waits for the answer.
    asked: Option<Vec<Told>>,
}

/// An enquiry's answer to being asked to rest; without a state it goes on.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Rested {
    pub(crate) enquiry: EnquiryId,
    pub(crate) state: Option<Box<AtRest>>,
}

/// An enquiry that was live before a restart.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) enquiry: EnquiryId,
    pub(crate) visitor: VisitorId,
    pub(crate) live: Live,
}

impl Awake {
    fn tell(&mut self, what: Told) {
        self.told = true;
        match &mut self.asked {
            Some(waiting) => waiting.push(what),
            None => self.actor.do_send(what),
        }
    }

    fn ask_to_rest(&mut self) {
        if self.asked.is_none() {
            self.asked = Some(Vec::new());
            self.actor.do_send(Rest);
        }
    }

    /// It goes on, with what has waited for its answer.
    fn go_on(&mut self) {
        for what in self.asked.take().into_iter().flatten() {
            self.actor.do_send(what);
        }
    }
}

impl Live {
    fn awake(enquiry: Enquiry) -> Self {
        let (owner, opened_at) = (enquiry.owner(), enquiry.opened_at());
        let actor = enquiry.start();
        Self::Awake(Box::new(Awake { actor, owner, opened_at, told: true, asked: None }))
    }

    /// As before a restart: awake is only who has something to do. `told`: what it was not told any
    /// more.
    pub(crate) fn restored(mut enquiry: Enquiry, told: Option<Told>) -> Self {
        if told.is_none()
            && let Some(state) = enquiry.rest()
        {
            return Self::Resting(*state);
        }
        let live = Self::awake(enquiry);
        if let (Self::Awake(awake), Some(told)) = (&live, told) {
            awake.actor.do_send(told);
        }
        live
    }

    fn case(&self, enquiry: EnquiryId) -> VisitorEnquiry {
        let (opened_at, owner) = match self {
            Self::Awake(awake) => (awake.opened_at, awake.owner),
            Self::Resting(state) => (state.opened_at(), state.owner()),
        };
        VisitorEnquiry { enquiry, opened_at, owner }
    }
}

impl Lives {
    pub(super) fn new(peers: Peers, channel: ChannelId, restored: Vec<Restored>) -> Self {
        let mut lives = Self {
            peers,
            channel,
            all: Slots::default(),
            by_enquiry: Numbers::default(),
            by_visitor: Numbers::default(),
            to_look_at: VecDeque::new(),
            looks: false,
        };
        for Restored { enquiry, visitor, live } in restored {
            lives.insert(Slot { enquiry, visitor, live });
        }
        lives
    }

    fn insert(&mut self, slot: Slot) {
        let (enquiry, visitor) = (slot.enquiry, slot.visitor);
        if let Live::Awake(_) = slot.live {
            self.look_at_later(enquiry);
        }
        let number = self.all.insert(slot);
        let hash_of =
            |number| self.all.get(number).map_or(0, |slot| hash_of_id(slot.enquiry.uuid()));
        self.by_enquiry.insert(hash_of_id(enquiry.uuid()), number, hash_of);
        self.is_of(visitor, number);
    }

    fn number(&self, enquiry: EnquiryId) -> Option<u32> {
        let is = |number| self.all.get(number).is_some_and(|slot| slot.enquiry == enquiry);
        self.by_enquiry.find(hash_of_id(enquiry.uuid()), is)
    }

    fn get_mut(&mut self, enquiry: EnquiryId) -> Option<&mut Live> {
        let number = self.number(enquiry)?;
        self.all.get_mut(number).map(|slot| &mut slot.live)
    }

    /// The visitor's one live enquiry here is this from now on; its slot says whose it is.
    fn is_of(&mut self, visitor: VisitorId, number: u32) {
        self.is_no_more_of(visitor);
        let hash_of =
            |number| self.all.get(number).map_or(0, |slot| hash_of_id(slot.visitor.uuid()));
        self.by_visitor.insert(hash_of_id(visitor.uuid()), number, hash_of);
    }

    fn is_no_more_of(&mut self, visitor: VisitorId) -> Option<u32> {
        let is = |number| self.all.get(number).is_some_and(|slot| slot.visitor == visitor);
        self.by_visitor.remove(hash_of_id(visitor.uuid()), is)
    }

    /// One that has just been opened, and the first it is told.
    pub(super) fn open(&mut self, enquiry: Enquiry, visitor: VisitorId, first: Told) {
        let id = enquiry.id();
        self.insert(Slot { enquiry: id, visitor, live: Live::awake(enquiry) });
        self.tell(id, first).ok();
    }

    fn number_of(&self, visitor: VisitorId) -> Option<u32> {
        let is = |number| self.all.get(number).is_some_and(|slot| slot.visitor == visitor);
        self.by_visitor.find(hash_of_id(visitor.uuid()), is)
    }

    /// The visitor's one live enquiry here.
    pub(super) fn of(&self, visitor: VisitorId) -> Option<EnquiryId> {
        self.all.get(self.number_of(visitor)?).map(|slot| slot.enquiry)
    }

    /// Given back: there is no such enquiry any more.
    pub(super) fn tell(&mut self, enquiry: EnquiryId, what: Told) -> Result<(), Told> {
        let Some(awake) = self.wake(enquiry) else { return Err(what) };
        if let Told::Floor { place: Some(place), .. } = &what {
            awake.owner = place.stage.owner();
        }
        awake.tell(what);
        if REST_AFTER.is_zero() {
            awake.ask_to_rest();
        }
        Ok(())
    }

    fn wake(&mut self, enquiry: EnquiryId) -> Option<&mut Awake> {
        let number = self.number(enquiry)?;
        let live = &mut self.all.get_mut(number)?.live;
        if let Live::Resting(state) = live {
            let awake = state.wake(self.peers.clone(), (enquiry, self.channel));
            *live = Live::awake(awake);
            self.look_at_later(enquiry);
        }
        match &mut self.all.get_mut(number)?.live {
            Live::Awake(awake) => Some(awake),
            Live::Resting(_) => None,
        }
    }

    fn look_at_later(&mut self, enquiry: EnquiryId) {
        self.to_look_at.push_back((self.peers.now(), enquiry));
        self.look_in(LOOK_EVERY);
    }

    /// Nothing looks, and nothing wakes the processor, while all are at rest.
    fn look_in(&mut self, time: Duration) {
        let Some(channel) = self.peers.channel(self.channel).filter(|_| !self.looks) else {
            return;
        };
        self.looks = true;
        let channel = channel.clone();
        actix::spawn(async move {
            tokio::time::sleep(time).await;
            channel.do_send(LookForSilent);
        });
    }

    /// Asks those to rest that were told nothing for a while.
    pub(super) fn look_for_silent(&mut self) {
        self.looks = false;
        let now = self.peers.now();
        for _ in 0..LOOK_MAX {
            let first = self.to_look_at.pop_front_if(|(since, _)| now.since(*since) >= REST_AFTER);
            let Some((_, enquiry)) = first else { break };
            let Some(Live::Awake(awake)) = self.get_mut(enquiry) else { continue };
            if std::mem::take(&mut awake.told) {
                self.to_look_at.push_back((now, enquiry));
            } else {
                awake.ask_to_rest();
            }
        }
        match self.to_look_at.front() {
            Some((since, _)) if now.since(*since) >= REST_AFTER => self.look_in(NEXT_LOOK),
            Some(_) => self.look_in(LOOK_EVERY),
            // Room for a crowd is not needed any more.
            None => self.to_look_at = VecDeque::new(),
        }
    }

    /// What an enquiry says that was asked to rest. What it was told meanwhile wakes it at once.
    pub(super) fn rested(&mut self, Rested { enquiry, state }: Rested) {
        let Some(live) = self.get_mut(enquiry) else { return };
        let Live::Awake(awake) = live else { return };
        let Some(state) = state else {
            awake.go_on();
            return self.look_at_later(enquiry);
        };
        let waiting = awake.asked.take().unwrap_or_default();
        *live = Live::Resting(*state);
        for what in waiting {
            self.tell(enquiry, what).ok();
        }
    }

    /// It has closed, and is told nothing more; the visitor whose it was.
    pub(super) fn end(&mut self, enquiry: EnquiryId) -> Option<VisitorId> {
        let number = self.number(enquiry)?;
        let visitor = self.all.get(number)?.visitor;
        if self.number_of(visitor) == Some(number) {
            self.is_no_more_of(visitor);
        }
        self.by_enquiry.remove(hash_of_id(enquiry.uuid()), |other| other == number);
        if let Live::Awake(mut awake) = self.all.remove(number)?.live {
            // The last it hears: whatever was on its way before has reached it.
            awake.go_on();
            awake.actor.do_send(Told::Stop);
        }
        Some(visitor)
    }

    /// `gone` was the same person as `kept`: the two enquiries that this one person has now.
    pub(super) fn merge(
        &mut self,
        kept: VisitorId,
        gone: VisitorId,
    ) -> Option<(VisitorEnquiry, VisitorEnquiry)> {
        let own = self.number_of(kept);
        let theirs = self.is_no_more_of(gone)?;
        let slot = self.all.get_mut(theirs)?;
        slot.visitor = kept;
        let enquiry = slot.enquiry;
        self.tell(enquiry, Told::VisitorIs(kept)).ok();
        self.is_of(kept, theirs);
        let case = |number| self.all.get(number).map(|slot: &Slot| slot.live.case(slot.enquiry));
        Some((case(own?)?, case(theirs)?))
    }

    /// Of two enquiries of one visitor, this one goes on.
    pub(super) fn goes_on(&mut self, visitor: VisitorId, enquiry: EnquiryId) {
        if let Some(number) = self.number(enquiry) {
            self.is_of(visitor, number);
        }
    }

    /// The wall clock has stepped, and windows lapse at another time. Those at rest are not all woken
    /// at once: the timer tells them, a slice at a time.
    pub(super) fn look_at_the_clock(&mut self) {
        for Slot { enquiry, live, .. } in self.all.values_mut() {
            match live {
                Live::Awake(awake) => awake.tell(Told::Due(None)),
                Live::Resting(state) => state.ring_now(&self.peers, (*enquiry, self.channel)),
            }
        }
    }

    fn awake(&self) -> impl Iterator<Item = &Awake> {
        self.all.iter().filter_map(|(_, slot)| match &slot.live {
            Live::Awake(awake) => Some(&**awake),
            Live::Resting(_) => None,
        })
    }

    pub(super) fn end_all(&self) {
        self.awake().for_each(|awake| awake.actor.do_send(End));
    }

    #[cfg(test)]
    pub(super) fn count_awake(&self) -> usize {
        self.awake().count()
    }

    #[cfg(test)]
    pub(super) fn ask_all_to_rest(&mut self) {
        for slot in self.all.values_mut() {
            if let Live::Awake(awake) = &mut slot.live {
                awake.ask_to_rest();
            }
        }
    }

    #[cfg(test)]
    pub(super) fn crash(&mut self) {
        let all: Vec<EnquiryId> = self.all.iter().map(|(_, slot)| slot.enquiry).collect();
        for enquiry in all {
            if let Some(awake) = self.wake(enquiry) {
                awake.actor.do_send(crate::faults::Crash);
            }
        }
    }
}
