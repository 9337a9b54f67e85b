//! What the checker believes, learned only from commands, refusals and events.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use usher_domain::floor::event::{OfferSort, TransferTo};
use usher_domain::floor::place::{Purpose, Stage};
use usher_domain::ids::{BotId, ChannelId, EnquiryId, GroupId, StaffId};
use usher_domain::presence::Presence;
use usher_domain::rule::{Destination, Leaf, Rule};
use usher_domain::settings::{Group, Settings};
use usher_domain::time::Timestamp;
use usher_domain::trace::BindingKind;

use crate::decided::rule_of;
use crate::split::Splits;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Held {
    pub(crate) staff: StaffId,
    pub(crate) sort: OfferSort,
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
}

impl Held {
    pub(crate) const fn reserves(&self) -> bool {
        !matches!(self.sort, OfferSort::Simultaneous { .. })
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Errand {
    None,
    Walk { purpose: Purpose, skip: Option<StaffId> },
    Transfer { by: StaffId, to: TransferTo, blind: bool },
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum At {
    Nowhere,
    Direct { staff: StaffId, ticket: u64, priority: u8, until: Timestamp },
    Stop(Stand),
    Bot(BotId),
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Stand {
    pub(crate) to: Destination,
    pub(crate) ticket: u64,
    pub(crate) priority: u8,
    pub(crate) until: Timestamp,
    /// As the stop of the leaf or else the group says.
    pub(crate) pick_up: Duration,
    /// Who had their chance here, or by name before.
    pub(crate) asked: Vec<StaffId>,
    /// People were told that it waits.
    pub(crate) told: bool,
}

/// One named person to be tried before the rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Named {
    pub(crate) binding: BindingKind,
    pub(crate) staff: StaffId,
    pub(crate) wait: Duration,
    pub(crate) connected_only: bool,
    pub(crate) or_missed: bool,
}

/// One live enquiry.
#[expect(clippy::struct_excessive_bools, reason = "each remembers one thing until it is told")]
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) channel: ChannelId,
    pub(crate) language: Option<Box<str>>,
    pub(crate) country: Option<Box<str>>,
    pub(crate) arrival: u64,
    pub(crate) opened_at: Timestamp,
    pub(crate) stage: Stage,
    pub(crate) epoch: u32,
    pub(crate) window_until: Timestamp,
    pub(crate) hold_until: Option<Timestamp>,
    pub(crate) visitor_waits: Option<Timestamp>,
    pub(crate) owned_since: Timestamp,
    pub(crate) errand: Errand,
    pub(crate) at: At,
    pub(crate) offers: Vec<Held>,
    pub(crate) cooling: Vec<(StaffId, Timestamp)>,
    pub(crate) rivals: Vec<StaffId>,
    pub(crate) asked_by_name: Vec<StaffId>,
    pub(crate) missed_asked: Vec<StaffId>,
    pub(crate) relief_failed: bool,
    /// Named persons still to be tried, the present one first.
    pub(crate) named: Vec<Named>,
    /// The first of these is the one it stands with.
    pub(crate) with_named: bool,
    /// Bindings that do not hold; the trace has to show them.
    pub(crate) not_held: Vec<(BindingKind, StaffId)>,
    /// The rule was asked in this walk.
    pub(crate) ruled: bool,
    /// The rule was edited since the walk began, which finishes under this one.
    pub(crate) under: Option<Arc<Rule>>,
    /// The last named person was to be waited for, else it is missed.
    pub(crate) or_missed: Option<StaffId>,
    pub(crate) leaf: Leaf,
    pub(crate) done: usize,
    /// Percentage layers passed on the way to the leaf, outermost first: number and branch.
    pub(crate) path: Vec<(u16, usize)>,
    /// Layers whose overflow was followed in this walk.
    pub(crate) followed: Vec<u16>,
    /// Groups behind the destinations of the last walk.
    pub(crate) walked: Vec<GroupId>,
    /// A blind transfer came to nothing: missed comes next.
    pub(crate) to_be_missed: bool,
    /// Offers made in this walk.
    pub(crate) offered: u32,
    /// After a crash: its first place in a line goes by its arrival.
    pub(crate) kept_ticket: Option<u64>,
}

impl Case {
    /// A new walk: what an earlier one remembered is forgotten, but for the buckets drawn.
    pub(crate) fn start_walk(&mut self, purpose: Purpose, skip: Option<StaffId>) {
        self.errand = Errand::Walk { purpose, skip };
        self.at = At::Nowhere;
        self.rivals.clear();
        self.asked_by_name.clear();
        self.followed.clear();
        self.named.clear();
        self.with_named = false;
        self.ruled = false;
        self.under = None;
        self.or_missed = None;
        self.leaf = Leaf { stops: Vec::new(), priority: Leaf::PRIORITY_DEFAULT };
        self.done = 0;
        self.offered = 0;
    }

    /// What a crash makes the floor forget: offers, and who had their chance.
    pub(crate) fn crash(&mut self) {
        self.at = match self.at {
            At::Bot(bot) => At::Bot(bot),
            At::Nowhere | At::Direct { .. } | At::Stop(_) => At::Nowhere,
        };
        self.offers.clear();
        self.cooling.clear();
        self.rivals.clear();
        self.asked_by_name.clear();
        self.missed_asked.clear();
        self.relief_failed = false;
        self.with_named = false;
    }
    pub(crate) fn offer_to(&self, staff: StaffId) -> Option<&Held> {
        self.offers.iter().find(|offer| offer.staff == staff)
    }

    pub(crate) fn owner(&self) -> Option<StaffId> {
        match self.stage {
            Stage::Ongoing { owner } | Stage::FollowedUp { owner } => Some(owner),
            Stage::Open | Stage::WithBot { .. } | Stage::Missed { .. } => None,
        }
    }

    /// Stands somewhere and nobody in particular has it on offer.
    pub(crate) fn waits(&self) -> bool {
        match &self.at {
            At::Nowhere | At::Bot(_) => false,
            At::Direct { .. } => self.offers.is_empty(),
            At::Stop(_) => !self.offers.iter().any(Held::reserves),
        }
    }

    /// Priority (higher first, so negated), ticket.
    pub(crate) fn rank(&self) -> Option<(i16, u64)> {
        match &self.at {
            At::Nowhere | At::Bot(_) => None,
            At::Direct { priority, ticket, .. } => Some((-i16::from(*priority), *ticket)),
            At::Stop(stand) => Some((-i16::from(stand.priority), stand.ticket)),
        }
    }

    pub(crate) fn cools(&self, staff: StaffId, now: Timestamp) -> bool {
        self.cooling.iter().any(|&(who, until)| who == staff && now < until)
    }

    pub(crate) fn priority(&self, base: u8) -> u8 {
        let first = matches!(self.errand, Errand::Walk { purpose: Purpose::Opening, .. });
        (base + u8::from(!first)).min(9)
    }

    /// Whom the errand must not come back to.
    pub(crate) fn skips(&self, staff: StaffId) -> bool {
        let by_errand = match self.errand {
            Errand::None => false,
            Errand::Walk { skip, .. } => skip == Some(staff),
            Errand::Transfer { by, .. } => by == staff,
        };
        by_errand || self.owner() == Some(staff)
    }

    pub(crate) fn stop_errand(&mut self) {
        self.errand = Errand::None;
        self.at = At::Nowhere;
        self.named.clear();
        self.with_named = false;
    }

    pub(crate) fn accepted_by(&self, group: &Group) -> bool {
        let listed = |list: &[String], value: Option<&str>| {
            list.iter().any(|entry| match (entry.as_str(), value) {
                ("*", _) => true,
                (_, None) => group.unknown_matches,
                (entry, Some(value)) => entry == value,
            })
        };
        listed(&group.languages, self.language.as_deref())
            && listed(&group.countries, self.country.as_deref())
    }
}

/// One person.
#[derive(Clone, Debug, Default)]
pub(crate) struct Person {
    pub(crate) presence: Presence,
    pub(crate) since: Timestamp,
    pub(crate) reloading: bool,
    pub(crate) wrap_until: Option<Timestamp>,
    pub(crate) last_offered: Option<Timestamp>,
    pub(crate) last_held: Option<Timestamp>,
    pub(crate) unanswered: u8,
    pub(crate) owned: u16,
    pub(crate) offers: u16,
    pub(crate) reserved: u16,
    /// Let too many offers lapse: has to be set Idle in this turn.
    pub(crate) to_be_idle: bool,
}

impl Person {
    pub(crate) const fn used(&self) -> u16 {
        self.owned + self.reserved
    }

    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.presence, Presence::Idle | Presence::Offline)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) now: Timestamp,
    pub(crate) settings: Arc<Settings>,
    pub(crate) cases: BTreeMap<EnquiryId, Case>,
    pub(crate) people: BTreeMap<StaffId, Person>,
    pub(crate) splits: Splits,
    pub(crate) bots: BTreeMap<BotId, BotHealth>,
    pub(crate) arrivals: u64,
    pub(crate) tickets: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BotHealth {
    pub(crate) failures: u8,
    pub(crate) passed_over_until: Option<Timestamp>,
}

impl Model {
    pub(crate) fn new(settings: Arc<Settings>) -> Self {
        let people = settings.staff.keys().map(|staff| (*staff, Person::default())).collect();
        Self {
            now: Timestamp::default(),
            settings,
            cases: BTreeMap::new(),
            people,
            splits: Splits::default(),
            bots: BTreeMap::new(),
            arrivals: 0,
            tickets: 0,
        }
    }

    pub(crate) fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    /// The ticket with which an enquiry enters a line.
    pub(crate) fn ticket_of(&mut self, enquiry: EnquiryId) -> u64 {
        match self.case(enquiry).kept_ticket {
            Some(ticket) => ticket,
            None => self.ticket(),
        }
    }

    pub(crate) fn case(&self, enquiry: EnquiryId) -> &Case {
        self.cases.get(&enquiry).expect("an event names a live enquiry")
    }

    pub(crate) fn case_mut(&mut self, enquiry: EnquiryId) -> &mut Case {
        self.cases.get_mut(&enquiry).expect("an event names a live enquiry")
    }

    pub(crate) fn group_of(&self, to: Destination) -> Option<&Group> {
        let group = match to {
            Destination::Group(group) => group,
            Destination::Queue(queue) => self.settings.queues.get(&queue)?.group,
            Destination::Bot(_) => return None,
        };
        self.settings.groups.get(&group)
    }

    /// The rule by which an enquiry's walk goes, and whether it was edited since the walk began.
    pub(crate) fn rule_walked(&self, enquiry: EnquiryId) -> (Arc<Rule>, bool) {
        let case = self.case(enquiry);
        match &case.under {
            Some(rule) => (Arc::clone(rule), true),
            None => (Arc::new(rule_of(&self.settings, case.channel).clone()), false),
        }
    }

    /// Walks that are under way finish under the rule as they found it.
    pub(crate) fn settings_replaced(&mut self, new: &Arc<Settings>) {
        let old = std::mem::replace(&mut self.settings, Arc::clone(new));
        for case in self.cases.values_mut() {
            let before = rule_of(&old, case.channel);
            let walks = matches!(case.errand, Errand::Walk { .. });
            if walks && case.under.is_none() && before != rule_of(new, case.channel) {
                case.under = Some(Arc::new(before.clone()));
            }
        }
    }

    /// How many stand before this one where it stands, itself counted.
    pub(crate) fn position(&self, enquiry: EnquiryId) -> usize {
        let case = self.case(enquiry);
        let At::Stop(here) = &case.at else { unreachable!("it stands nowhere") };
        let before = self.cases.values().filter(|other| {
            matches!(&other.at, At::Stop(there) if there.to == here.to)
                && other.rank() <= case.rank()
        });
        before.count()
    }

    pub(crate) fn take_leaf(&mut self, enquiry: EnquiryId, leaf: &Leaf) {
        let groups: Vec<GroupId> = leaf
            .stops
            .iter()
            .filter_map(|stop| self.group_of(stop.to))
            .map(|group| group.id)
            .collect();
        let case = self.case_mut(enquiry);
        case.leaf = leaf.clone();
        case.done = 0;
        case.walked.extend(groups);
    }

    pub(crate) fn enabled(&self, staff: StaffId) -> bool {
        self.settings.staff.get(&staff).is_some_and(|person| person.enabled)
    }

    pub(crate) fn capacity(&self, staff: StaffId) -> u16 {
        self.settings.staff.get(&staff).map_or(0, |person| person.capacity)
    }

    pub(crate) fn active(&self, staff: StaffId) -> bool {
        self.enabled(staff)
            && self.people.get(&staff).is_some_and(|person| person.presence == Presence::Active)
    }

    /// Eligible as far as it depends on the person alone.
    pub(crate) fn free(&self, staff: StaffId) -> bool {
        let Some(person) = self.people.get(&staff) else { return false };
        self.active(staff)
            && !person.reloading
            && person.used() < self.capacity(staff)
            && person.offers < u16::from(self.settings.offers_at_once)
            && person.wrap_until.is_none_or(|until| until <= self.now)
    }

    /// Eligible for a new offer of this enquiry where it stands (`routing.md`, "Eligible").
    pub(crate) fn eligible(&self, enquiry: EnquiryId, staff: StaffId) -> bool {
        let case = self.case(enquiry);
        if case.offer_to(staff).is_some() || case.skips(staff) || case.cools(staff, self.now) {
            return false;
        }
        let meant = match &case.at {
            At::Nowhere | At::Bot(_) => false,
            At::Direct { staff: named, .. } => {
                *named == staff && !case.asked_by_name.contains(&staff)
            }
            At::Stop(stand) => {
                let once = matches!(stand.to, Destination::Group(_));
                self.group_of(stand.to)
                    .is_some_and(|group| group.members.contains(&staff) && case.accepted_by(group))
                    && self.now < stand.until
                    && !(once && stand.asked.contains(&staff))
            }
        };
        meant && self.free(staff)
    }

    /// Whether a missed enquiry may be offered to this person because they are free.
    pub(crate) fn eligible_for_missed(&self, enquiry: EnquiryId, staff: StaffId) -> bool {
        let case = self.case(enquiry);
        let Some(person) = self.people.get(&staff) else { return false };
        matches!(case.stage, Stage::Missed { .. })
            && case.errand == Errand::None
            && case.offers.is_empty()
            && !case.missed_asked.contains(&staff)
            && !case.cools(staff, self.now)
            && self.now < case.window_until
            && self.free(staff)
            && person.used() + 1 < self.capacity(staff)
    }

    /// The oldest waiting within the highest priority that this person could be offered.
    pub(crate) fn first_for(&self, staff: StaffId) -> Option<((i16, u64), EnquiryId)> {
        if !self.free(staff) {
            return None;
        }
        self.cases
            .iter()
            .filter(|(enquiry, case)| case.waits() && self.eligible(**enquiry, staff))
            .filter_map(|(enquiry, case)| Some((case.rank()?, *enquiry)))
            .min()
    }

    /// When the owner of an enquiry will have been gone, or silent, for too long.
    pub(crate) fn relief_at(&self, case: &Case) -> Option<Timestamp> {
        let person = self.people.get(&case.owner()?)?;
        let waits = case.visitor_waits?.max(case.owned_since);
        if case.errand != Errand::None || case.relief_failed || case.hold_until.is_some() {
            return None;
        }
        let (since, patience) = if person.is_gone() {
            (waits.max(person.since), self.settings.owner_gone)
        } else {
            (waits, self.settings.no_reply)
        };
        (!patience.is_zero()).then(|| since + patience)
    }

    /// The one moment at which something has to happen to an enquiry by itself (R8).
    pub(crate) fn deadline(&self, case: &Case) -> Option<Timestamp> {
        let ring = case.offers.iter().map(|offer| offer.until).min();
        let cooled =
            || case.cooling.iter().map(|&(_, until)| until).filter(|until| self.now < *until).min();
        let (stand, cooled) = match (&case.at, case.offers.is_empty()) {
            (At::Nowhere, _) if matches!(case.stage, Stage::Missed { .. }) => (None, cooled()),
            (At::Nowhere | At::Bot(_), _) => (None, None),
            (At::Direct { until, .. }, true) => (Some(*until), cooled()),
            (At::Stop(stand), true) => (Some(stand.until), cooled()),
            (At::Direct { .. } | At::Stop(_), false) => (None, cooled()),
        };
        let again = match case.stage {
            Stage::Missed { again_at, .. } => again_at,
            Stage::Open
            | Stage::Ongoing { .. }
            | Stage::WithBot { .. }
            | Stage::FollowedUp { .. } => None,
        };
        [ring, stand, cooled, again, case.hold_until, self.relief_at(case)]
            .into_iter()
            .flatten()
            .min()
    }
}
