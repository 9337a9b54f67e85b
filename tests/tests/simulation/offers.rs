//! Offers: only to the eligible, in order, for long enough, and each with one end.

use std::time::Duration;

use usher_domain::floor::Command;
use usher_domain::floor::event::{OfferEnd, OfferSort, PickUp, TransferTo};
use usher_domain::floor::place::Stage;
use usher_domain::ids::{EnquiryId, StaffId};
use usher_domain::presence::Presence;
use usher_domain::rule::Destination;
use usher_domain::settings::{Group, Method};
use usher_domain::time::Timestamp;

use crate::checker::{Cause, Checker};
use crate::model::{At, Held};
use crate::named;

impl Checker {
    pub(crate) fn offered(
        &mut self,
        enquiry: EnquiryId,
        to: &[StaffId],
        sort: OfferSort,
        until: Timestamp,
    ) {
        let now = self.model.now;
        assert!(!to.is_empty(), "an offer to nobody");
        if sort == OfferSort::Missed {
            self.offered_missed(enquiry, to);
        } else {
            self.may_take(enquiry, to, sort);
            assert!(!self.auto(enquiry), "assigned without a click, not offered");
        }
        let ring = self.pick_up(enquiry, sort);
        let least = ring.min(Duration::from_secs(20));
        assert!((least..=ring).contains(&until.since(now)), "an offer rings too short or too long");
        for staff in to {
            let offer = Held { staff: *staff, sort, since: now, until };
            let case = self.model.case_mut(enquiry);
            case.offers.push(offer);
            case.offered += 1;
            assert!(case.offered < 3_000, "R10: a walk without end");
            let person = self.model.people.get_mut(staff).expect("on the floor");
            person.offers += 1;
            person.reserved += u16::from(offer.reserves());
            person.last_offered = Some(now);
            let (used, capacity) = (person.used(), self.model.capacity(*staff));
            assert!(used <= capacity, "R2: an offer takes {staff} above capacity");
        }
    }

    fn offered_missed(&mut self, enquiry: EnquiryId, to: &[StaffId]) {
        let [staff] = to else { unreachable!("a missed one is offered to one person at a time") };
        assert!(self.model.settings.missed_offer_when_free, "switched off");
        assert!(self.model.eligible_for_missed(enquiry, *staff), "a missed one to {staff}");
        assert!(self.model.first_for(*staff).is_none(), "something newer waits for {staff}");
        let case = self.model.case(enquiry);
        let rule = super::decided::rule_of(&self.model.settings, case.channel);
        let meant = named::everywhere(rule)
            .iter()
            .filter_map(|to| self.model.group_of(*to))
            .any(|group| group.members.contains(staff) && case.accepted_by(group));
        assert!(meant, "a missed one to somebody the rule does not know");
        self.model.case_mut(enquiry).missed_asked.push(*staff);
        self.coverage.hit("offer: missed, when free");
    }

    /// R3 and R5, and the method of the group.
    fn may_take(&mut self, enquiry: EnquiryId, to: &[StaffId], sort: OfferSort) {
        let model = &self.model;
        for staff in to {
            assert!(model.eligible(enquiry, *staff), "R3: {enquiry} to {staff}, not eligible");
            let first = model.first_for(*staff).map(|(_, first)| first);
            assert_eq!(first, Some(enquiry), "R5: {staff} should be offered another one first");
        }
        let case = model.case(enquiry);
        let destination = match (&case.at, sort) {
            (At::Direct { .. }, OfferSort::Direct { .. }) => {
                self.coverage.hit("offer: direct");
                return;
            }
            (At::Stop(stand), OfferSort::OneByOne { at } | OfferSort::Simultaneous { at }) => {
                assert_eq!(stand.to, at);
                at
            }
            (At::Stop(stand), OfferSort::Transfer { group }) => {
                assert_eq!(stand.to, Destination::Group(group));
                stand.to
            }
            (at, sort) => unreachable!("{sort:?} while at {at:?}"),
        };
        let group = model.group_of(destination).expect("a group behind it");
        let in_order = self.in_order(enquiry, group);
        let simultaneous = matches!(sort, OfferSort::Simultaneous { .. });
        assert_eq!(simultaneous, group.method == Method::Simultaneous);
        if simultaneous {
            assert_eq!(in_order, to, "to all who can take it");
        } else {
            assert_eq!(in_order.first().copied(), to.first().copied(), "{:?}", group.method);
            assert_eq!(to.len(), 1, "one by one");
        }
        let (method, queue) = (group.method, matches!(destination, Destination::Queue(_)));
        if queue {
            self.coverage.hit("queue: offered");
            let At::Stop(stand) = &self.model.case(enquiry).at else { return };
            if to.iter().any(|staff| stand.asked.contains(staff)) {
                self.coverage.hit("queue: asked again after a decline");
            }
        }
        self.coverage.hit(match method {
            Method::Simultaneous => "method: simultaneous",
            Method::FixedOrder => "method: fixed order",
            Method::RoundRobin => "method: round robin",
            Method::MostIdle => "method: most idle",
            Method::LeastLoaded => "method: least loaded",
        });
    }

    /// Members who can take it, in the order of the method.
    fn in_order(&self, enquiry: EnquiryId, group: &Group) -> Vec<StaffId> {
        let model = &self.model;
        let asked: &[StaffId] = match &model.case(enquiry).at {
            At::Stop(stand) => &stand.asked,
            At::Nowhere | At::Direct { .. } | At::Bot(_) => &[],
        };
        let mut able: Vec<StaffId> =
            group.members.iter().copied().filter(|s| model.eligible(enquiry, *s)).collect();
        let person = |staff: &StaffId| &model.people[staff];
        let idle = |staff: &StaffId| (person(staff).owned > 0, person(staff).last_held);
        match group.method {
            Method::Simultaneous | Method::FixedOrder => {}
            Method::RoundRobin => able.sort_by_key(|staff| person(staff).last_offered),
            Method::MostIdle => able.sort_by_key(idle),
            Method::LeastLoaded => able.sort_by_key(|staff| {
                let (used, capacity) = (person(staff).used(), model.capacity(*staff));
                (u32::from(used) * 1_000_000 / u32::from(capacity.max(1)), idle(staff))
            }),
        }
        able.sort_by_key(|staff| asked.contains(staff));
        able
    }

    fn group_at(&self, enquiry: EnquiryId) -> Option<&Group> {
        match &self.model.case(enquiry).at {
            At::Stop(stand) => self.model.group_of(stand.to),
            At::Nowhere | At::Direct { .. } | At::Bot(_) => None,
        }
    }

    /// Whether it is assigned without a click: the most specific setting decides.
    pub(crate) fn auto(&self, enquiry: EnquiryId) -> bool {
        let settings = &self.model.settings;
        let channel = settings.channels.get(&self.model.case(enquiry).channel);
        self.group_at(enquiry)
            .and_then(|group| group.auto_pick_up)
            .or_else(|| channel.and_then(|channel| channel.auto_pick_up))
            .unwrap_or(settings.auto_pick_up)
    }

    /// The longest an offer rings; it always rings at least min(20 s, pick-up time).
    fn pick_up(&self, enquiry: EnquiryId, sort: OfferSort) -> Duration {
        match (&self.model.case(enquiry).at, sort) {
            (_, OfferSort::Direct { .. } | OfferSort::Missed) => Duration::from_mins(1),
            (At::Stop(stand), _) => stand.pick_up,
            (At::Nowhere | At::Direct { .. } | At::Bot(_), _) => Duration::ZERO,
        }
    }

    pub(crate) fn offer_ended(
        &mut self,
        enquiry: EnquiryId,
        staff: StaffId,
        end: OfferEnd,
        cause: Cause<'_>,
    ) {
        let now = self.model.now;
        let offer = *self.model.case(enquiry).offer_to(staff).expect("an offer ends once");
        match end {
            OfferEnd::PickedUp => {}
            OfferEnd::AlreadyTaken => self.model.case_mut(enquiry).rivals.push(staff),
            OfferEnd::Declined => {
                let declined = matches!(cause, Cause::Command(Command::Decline { enquiry: e, staff: s })
                    if *e == enquiry && *s == staff);
                assert!(declined, "nobody declined");
                let case = self.model.case_mut(enquiry);
                case.cooling.retain(|&(who, _)| who != staff);
                case.cooling.push((staff, now + Duration::from_mins(1)));
                self.person_mut(staff).unanswered = 0;
                self.had_their_chance(enquiry, staff);
                self.coverage.hit("offer: declined");
            }
            OfferEnd::Lapsed => {
                assert!(offer.until <= now, "an offer lapses when its time is over");
                self.had_their_chance(enquiry, staff);
                if offer.sort != OfferSort::Missed {
                    self.unanswered(staff);
                }
                self.coverage.hit("offer: lapsed");
            }
            OfferEnd::NotStanding => {
                // Which branch of the rule is in force changes with the hour.
                let missed = offer.sort == OfferSort::Missed;
                let withdrawn = "an offer that stands was withdrawn";
                assert!(missed || !self.stands(enquiry, &offer), "{withdrawn}");
                self.coverage.hit("offer: not standing");
            }
            OfferEnd::Full => {
                assert!(!self.has_room(&offer), "{staff} has room for the offer");
                self.coverage.hit("offer: full");
            }
            OfferEnd::Moved => self.coverage.hit("offer: moved"),
        }
        self.model.case_mut(enquiry).offers.retain(|held| held.staff != staff);
        // A person who was deleted has left the floor already.
        if let Some(person) = self.model.people.get_mut(&staff) {
            person.offers -= 1;
            person.reserved -= u16::from(offer.reserves());
        }
    }

    pub(crate) fn person_mut(&mut self, staff: StaffId) -> &mut crate::model::Person {
        self.model.people.get_mut(&staff).expect("on the floor")
    }

    fn unanswered(&mut self, staff: StaffId) {
        let limit = self.model.settings.no_answer_limit;
        let active = self.model.people[&staff].presence == Presence::Active;
        let person = self.person_mut(staff);
        person.unanswered = person.unanswered.saturating_add(1);
        if limit > 0 && person.unanswered >= limit && active {
            person.to_be_idle = true;
        }
    }

    fn had_their_chance(&mut self, enquiry: EnquiryId, staff: StaffId) {
        let case = self.model.case_mut(enquiry);
        match &mut case.at {
            At::Stop(stand) => stand.asked.push(staff),
            At::Direct { .. } => case.asked_by_name.push(staff),
            At::Nowhere | At::Bot(_) => {}
        }
    }

    /// Its holder is an enabled, Active member whose language and country fit.
    pub(crate) fn stands(&self, enquiry: EnquiryId, offer: &Held) -> bool {
        let case = self.model.case(enquiry);
        let fits = |to: Destination| {
            self.model.group_of(to).is_some_and(|group| {
                group.members.contains(&offer.staff) && case.accepted_by(group)
            })
        };
        let meant = match offer.sort {
            OfferSort::Direct { .. } => true,
            OfferSort::OneByOne { at } | OfferSort::Simultaneous { at } => fits(at),
            OfferSort::Transfer { group } => fits(Destination::Group(group)),
            OfferSort::Missed => {
                let rule = super::decided::rule_of(&self.model.settings, case.channel);
                // Whether the branch in force names the group is for the rule's own tests.
                return self.model.active(offer.staff)
                    && self.model.settings.missed_offer_when_free
                    && named::everywhere(rule).into_iter().any(&fits);
            }
        };
        meant && self.model.active(offer.staff)
    }

    /// Its own reservation never ends an offer; a simultaneous one needs a free slot.
    pub(crate) fn has_room(&self, offer: &Held) -> bool {
        let Some(person) = self.model.people.get(&offer.staff) else { return false };
        let capacity = self.model.capacity(offer.staff);
        if offer.reserves() { person.used() <= capacity } else { person.used() < capacity }
    }

    /// Somebody serves it now: R1, R2, R4.
    pub(crate) fn picked_up(
        &mut self,
        enquiry: EnquiryId,
        (by, how): (StaffId, PickUp),
        (from, epoch): (Option<StaffId>, u32),
        cause: Cause<'_>,
    ) {
        let now = self.model.now;
        if how == PickUp::Auto {
            self.assigned(enquiry, by);
        }
        let case = self.model.case(enquiry);
        assert_eq!(case.owner(), from, "R1: taken from somebody else than its owner");
        assert_ne!(from, Some(by), "R1: taken from oneself");
        assert_eq!(epoch, case.epoch + 1, "R1: the epoch rises by one with every owner");
        assert!(case.offers.is_empty(), "R4: still on offer after it was taken");
        assert!(self.model.enabled(by), "a suspended person owns nothing");
        let commanded = match cause {
            Cause::Command(Command::PickUp { enquiry: e, staff }) => Some((*e, *staff)),
            Cause::Command(Command::Assign { enquiry: e, to }) => Some((*e, *to)),
            Cause::Command(Command::TakeOver { enquiry: e, by }) => Some((*e, *by)),
            Cause::Command(_) | Cause::Timer | Cause::Resume => None,
        };
        assert!(how == PickUp::Auto || commanded == Some((enquiry, by)), "R4: nobody asked for it");
        let missed = matches!(case.stage, Stage::Missed { .. } | Stage::FollowedUp { .. });
        let case = self.model.case_mut(enquiry);
        case.stop_errand();
        case.stage =
            if missed { Stage::FollowedUp { owner: by } } else { Stage::Ongoing { owner: by } };
        case.epoch = epoch;
        case.hold_until = None;
        case.owned_since = now;
        case.relief_failed = false;
        case.missed_asked.clear();
        if let Some(from) = from {
            self.no_longer_holds(from);
        }
        let person = self.person_mut(by);
        person.owned += 1;
        person.last_held = Some(now);
        let used = person.used();
        match how {
            PickUp::Auto => person.last_offered = Some(now),
            PickUp::Assign | PickUp::TakeOver => {}
            PickUp::Offer | PickUp::FollowUp | PickUp::Transfer | PickUp::Relief => {
                person.unanswered = 0;
            }
        }
        assert!(used <= self.model.capacity(by), "R2: {by} is taken above capacity");
        self.coverage.hit(match how {
            PickUp::Auto => "auto pick-up",
            PickUp::Offer => "pick-up: offer",
            PickUp::FollowUp => "pick-up: follow-up",
            PickUp::Assign => "pick-up: assign",
            PickUp::TakeOver => "pick-up: take-over",
            PickUp::Transfer => "pick-up: transfer",
            PickUp::Relief => "pick-up: relief",
        });
    }

    /// Auto pick-up: to whom the method names.
    fn assigned(&mut self, enquiry: EnquiryId, by: StaffId) {
        assert!(self.auto(enquiry), "assigned without a click though switched off");
        assert!(self.model.eligible(enquiry, by), "R3: {enquiry} assigned to {by}, not eligible");
        let first = self.model.first_for(by).map(|(_, first)| first);
        assert_eq!(first, Some(enquiry), "R5: {by} should be given another one first");
        if let Some(group) = self.group_at(enquiry) {
            let in_order = self.in_order(enquiry, group);
            assert_eq!(in_order.first(), Some(&by), "{:?}", group.method);
        }
    }

    pub(crate) fn no_longer_holds(&mut self, owner: StaffId) {
        let now = self.model.now;
        if let Some(person) = self.model.people.get_mut(&owner) {
            person.owned -= 1;
            person.last_held = Some(now);
        }
    }

    /// Where a transfer puts an enquiry.
    pub(crate) fn stand_for_transfer(&mut self, enquiry: EnquiryId, to: TransferTo) {
        let priority = self.model.case(enquiry).priority(5);
        match to {
            TransferTo::Staff { staff } => {
                let (ticket, now) = (self.model.ticket_of(enquiry), self.model.now);
                let until = now + Duration::from_mins(1);
                self.model.case_mut(enquiry).at = At::Direct { staff, ticket, priority, until };
            }
            TransferTo::Group { group } => {
                let to = Destination::Group(group);
                let time = self.model.group_of(to).map_or(Duration::ZERO, |group| group.pick_up);
                self.stand(enquiry, to, priority, (time, time));
            }
        }
    }
}
