//! One live enquiry as the floor sees it: its place, where its walk stands, its offers.

use std::cmp::Reverse;
use std::time::Duration;

use super::entries::Key;
use super::event::OfferSort;
use super::line::{Line, Rank};
use super::place::{Direct, Errand, PlaceThen, Stage};
use super::seat::Chair;
use super::team::Spot;
use crate::ids::{EnquiryId, StaffId};
use crate::rule::Destination;
use crate::time::Timestamp;

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: EnquiryId,
    pub(super) place: PlaceThen,
    pub(super) at: At,
    pub(super) offers: Vec<Offer>,
    pub(super) past: Past,
    /// The chair of its owner.
    pub(super) owner: Option<Chair>,
    /// Since when its owner has it, this run of Usher.
    pub(super) owned_since: Timestamp,
    /// When the owner will have been gone too long.
    pub(super) relief_at: Option<Timestamp>,
    /// Relief was tried and nobody took it; again when somebody frees up.
    pub(super) relief_failed: bool,
    /// The deadline the floor has noted for it.
    pub(super) due: Option<Timestamp>,
    pub(super) changed: bool,
    pub(super) noted: Noted,
}

/// Which of the turn's lists it is on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Noted {
    pub(super) touched: bool,
    pub(super) marked: bool,
}

/// Who had to do with it before; most enquiries have no such past, and it takes no room then.
#[derive(Clone, Debug, Default)]
pub(super) struct Past(Option<Box<Chances>>);

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Chances {
    /// Who declined it, and until when they are left alone.
    pub(super) cooling: Vec<(StaffId, Timestamp)>,
    /// Who was offered it by name in this walk and did not take it.
    pub(super) asked_by_name: Vec<StaffId>,
    /// Who held an offer when somebody else was first.
    pub(super) rivals: Vec<Chair>,
    /// Missed, and offered to these since the visitor last wrote.
    pub(super) missed_asked: Vec<StaffId>,
    /// Its owner gone, and tried again for these since the visitor last wrote.
    pub(super) relief_tried: Vec<StaffId>,
}

impl Past {
    pub(super) fn read(&self) -> &Chances {
        static NONE: Chances = Chances {
            cooling: Vec::new(),
            asked_by_name: Vec::new(),
            rivals: Vec::new(),
            missed_asked: Vec::new(),
            relief_tried: Vec::new(),
        };
        self.0.as_deref().unwrap_or(&NONE)
    }

    pub(super) fn write(&mut self) -> &mut Chances {
        self.0.get_or_insert_default()
    }

    /// A walk or transfer begins.
    pub(super) fn forget_walk(&mut self) {
        if let Some(chances) = &mut self.0 {
            chances.rivals.clear();
            chances.asked_by_name.clear();
        }
    }

    /// The visitor wrote again, or somebody took it.
    pub(super) fn forget_tries(&mut self) {
        if let Some(chances) = &mut self.0 {
            chances.missed_asked.clear();
            chances.relief_tried.clear();
        }
    }

    /// Forgets who declined long enough ago; whether there was anybody.
    fn let_cool(&mut self, now: Timestamp) -> bool {
        let Some(chances) = &mut self.0 else { return false };
        let before = chances.cooling.len();
        chances.cooling.retain(|&(_, until)| now < until);
        let cooled = chances.cooling.len() < before;
        if **chances == Chances::default() {
            self.0 = None;
        }
        cooled
    }
}

/// Where a walk (or a transfer) stands at this moment.
#[derive(Clone, Debug)]
pub(super) enum At {
    /// Nothing under way.
    Nowhere,
    /// One named person, on offer or waited for.
    Direct(Box<AtDirect>),
    /// A group or a queue.
    Stop(Box<AtStop>),
    /// A bot holds it.
    Bot,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct AtDirect {
    pub(super) direct: Direct,
    pub(super) ticket: u64,
    pub(super) priority: u8,
    pub(super) until: Timestamp,
}

#[derive(Clone, Debug)]
pub(super) struct AtStop {
    pub(super) destination: Destination,
    pub(super) spot: Spot,
    pub(super) ticket: u64,
    pub(super) priority: u8,
    /// How long an offer may ring here, as the stop or else the group says.
    pub(super) pick_up: Duration,
    /// No new offers from here on.
    pub(super) until: Timestamp,
    /// Who declined it or let it lapse, in this order; first those asked by name before.
    pub(super) asked: Vec<StaffId>,
    /// Offers made, so that a walk is bounded whatever people do.
    pub(super) made: u16,
    /// People were told that it waits here.
    pub(super) told: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Offer {
    pub(super) staff: StaffId,
    pub(super) chair: Chair,
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
    pub(super) sort: OfferSort,
}

impl Offer {
    pub(super) const fn reserves(&self) -> bool {
        !matches!(self.sort, OfferSort::Simultaneous { .. })
    }
}

impl Entry {
    pub(super) fn new(id: EnquiryId, place: PlaceThen) -> Self {
        Self {
            id,
            place,
            at: At::Nowhere,
            offers: Vec::new(),
            past: Past::default(),
            owner: None,
            owned_since: Timestamp::default(),
            relief_at: None,
            relief_failed: false,
            due: None,
            changed: true,
            noted: Noted::default(),
        }
    }

    /// Whether all members are alike to it, as they are to most when they come to a stop: then only
    /// what each holds says who can take it.
    pub(super) fn bars_nobody(&self, stop: &AtStop) -> bool {
        let by_errand = match &self.place.errand {
            Errand::None => false,
            Errand::Walk(walk) => walk.skip.is_some(),
            Errand::Transfer { .. } => true,
        };
        let by_past = self.past.0.is_some() || !stop.asked.is_empty();
        self.offers.is_empty() && self.owner.is_none() && !by_past && !by_errand
    }

    pub(super) fn offer_to(&self, staff: StaffId) -> Option<&Offer> {
        self.offers.iter().find(|offer| offer.staff == staff)
    }

    /// One of those who held an offer when somebody else was first.
    pub(super) fn is_rival(&self, chair: Option<Chair>) -> bool {
        chair.is_some_and(|chair| self.past.read().rivals.contains(&chair))
    }

    pub(super) fn cools(&self, staff: StaffId, now: Timestamp) -> bool {
        self.past.read().cooling.iter().any(|&(who, until)| who == staff && now < until)
    }

    /// Forgets who declined long enough ago; whether there was anybody.
    pub(super) fn let_cool(&mut self, now: Timestamp) -> bool {
        self.past.let_cool(now)
    }

    /// The line it stands in, and its rank there.
    pub(super) fn standing(&self, enquiry: Key) -> Option<(Line, Rank)> {
        match &self.at {
            At::Nowhere | At::Bot => None,
            At::Direct(at) => {
                let rank = Rank { priority: Reverse(at.priority), ticket: at.ticket, enquiry };
                Some((Line::For(at.direct.staff), rank))
            }
            At::Stop(stop) => {
                let rank = Rank { priority: Reverse(stop.priority), ticket: stop.ticket, enquiry };
                Some((Line::At(stop.spot), rank))
            }
        }
    }

    /// Whether somebody who frees up can be offered it.
    pub(super) fn awaits_offer(&self) -> bool {
        match &self.at {
            At::Nowhere | At::Bot => false,
            At::Direct(_) => self.offers.is_empty(),
            At::Stop(_) => self.offers.iter().all(|offer| !offer.reserves()),
        }
    }

    /// When the floor has to look at it again; `None` says why in [`Entry::no_deadline_because`].
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        let offers = self.offers.iter().map(|offer| offer.until).min();
        // A stop's own end matters only while nothing is on offer: an offer made rings to its end.
        let step = match &self.at {
            At::Direct(at) if self.offers.is_empty() => Some(at.until),
            At::Stop(stop) if self.offers.is_empty() => Some(stop.until),
            At::Direct(_) | At::Stop(_) | At::Nowhere | At::Bot => None,
        };
        let again = match self.place.stage {
            Stage::Missed { again_at, .. } => again_at,
            Stage::Open
            | Stage::Ongoing { .. }
            | Stage::WithBot { .. }
            | Stage::FollowedUp { .. } => None,
        };
        let missed = matches!(self.place.stage, Stage::Missed { .. });
        let cooled = match self.at {
            At::Nowhere if !missed => None,
            At::Bot => None,
            At::Nowhere | At::Direct(_) | At::Stop(_) => {
                self.past.read().cooling.iter().map(|&(_, until)| until).min()
            }
        };
        [offers, step, again, cooled, self.place.hold_until, self.relief_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// Why the floor notes no deadline for it (R8); `None` when it has one.
    pub(super) fn no_deadline_because(&self) -> Option<&'static str> {
        if self.next_deadline().is_some() {
            return None;
        }
        Some(match (self.place.stage, &self.at) {
            (Stage::WithBot { .. }, _) => {
                "a bot serves it; its answer is awaited with a limit of its own"
            }
            (Stage::Ongoing { .. } | Stage::FollowedUp { .. }, _) => {
                "its owner serves it; the idle clock runs"
            }
            (Stage::Missed { .. }, _) => {
                "missed; waits for the visitor or somebody who takes it up"
            }
            (Stage::Open, _) => return None,
        })
    }

    /// Whether somebody is not asked where it stands, for having been asked or on purpose.
    pub(super) fn passes_somebody_over(&self) -> bool {
        let asked = match &self.at {
            At::Stop(stop) => !stop.asked.is_empty(),
            At::Direct(_) | At::Nowhere | At::Bot => true,
        };
        let on_purpose = match &self.place.errand {
            Errand::None => false,
            Errand::Walk(walk) => walk.skip.is_some(),
            Errand::Transfer { .. } => true,
        };
        asked || on_purpose || self.place.stage.owner().is_some()
    }

    /// Whether anything is under way besides its state.
    pub(super) fn is_busy(&self) -> bool {
        !matches!(self.place.errand, Errand::None)
    }
}
