//! What must hold whenever a turn is over.

use std::collections::BTreeMap;

use usher_domain::floor::Floor;
use usher_domain::floor::place::{Place, Stage};
use usher_domain::ids::EnquiryId;
use usher_domain::presence::Presence;
use usher_domain::rule::Destination;

use crate::checker::{Cause, Checker};
use crate::model::{At, Case, Errand};

impl Checker {
    pub(crate) fn turn_is_over(
        &mut self,
        floor: &Floor,
        durable: &BTreeMap<EnquiryId, Place>,
        cause: Cause<'_>,
    ) {
        let settings = std::sync::Arc::clone(&self.model.settings);
        self.model.people.retain(|staff, _| settings.staff.contains_key(staff));
        assert_eq!(floor.live_count(), self.model.cases.len(), "live enquiries");
        assert_eq!(durable.len(), self.model.cases.len(), "live enquiries as kept");
        self.model.cases.values_mut().for_each(|case| case.kept_ticket = None);
        for (enquiry, case) in &self.model.cases {
            self.case_holds(floor, *enquiry, case, cause);
            assert_eq!(durable.get(enquiry), floor.place(*enquiry), "what is kept of {enquiry}");
        }
        self.people_hold(floor);
        self.nobody_waits_in_vain(floor);
        self.nothing_missed_waits_in_vain();
    }

    fn case_holds(&self, floor: &Floor, enquiry: EnquiryId, case: &Case, cause: Cause<'_>) {
        let place = floor.place(enquiry).expect("live on both sides");
        assert_eq!(place.stage, case.stage, "state of {enquiry}");
        assert_eq!(place.epoch, case.epoch, "epoch of {enquiry}");
        assert_eq!(place.visitor_waits, case.visitor_waits, "a visitor's wait in {enquiry}");
        assert!(case.not_held.is_empty() && !case.to_be_missed, "{enquiry} is left half-way");
        if let Some(owner) = case.owner() {
            assert!(self.model.enabled(owner), "a suspended person owns {enquiry}");
        }
        let underway = !matches!(case.errand, Errand::None);
        assert_eq!(underway, !matches!(case.at, At::Nowhere), "{enquiry} on its way: {case:?}");
        if matches!(case.stage, Stage::Open) {
            assert!(underway, "{enquiry} is open and nobody is looked for");
        }
        self.offers_hold(floor, enquiry, case);
        self.place_holds(floor, enquiry, case);
        let told = floor.deadline_of(enquiry);
        match self.model.deadline(case) {
            Some(at) => assert_eq!(told, Ok(at), "R8: deadline of {enquiry}: {case:?}"),
            None => assert!(matches!(told, Err(Some(_))), "R8: {enquiry}: {told:?}, {case:?}"),
        }
        if let Ok(at) = told {
            let next = floor.next_deadline();
            assert!(next.is_some_and(|next| next <= at), "R8: {enquiry} is slept through");
            // Settings and presence can make an owner gone for long already, and time passes while
            // nothing runs: for the next timer.
            let relief = self.model.relief_at(case) == Some(at);
            let resumed = matches!(cause, Cause::Resume);
            assert!(resumed || relief || self.model.now < at, "R8: {enquiry} is overdue: {case:?}");
        }
    }

    fn offers_hold(&self, floor: &Floor, enquiry: EnquiryId, case: &Case) {
        let told = floor.offers(enquiry);
        assert_eq!(told.len(), case.offers.len(), "offers of {enquiry}");
        let reserving = case.offers.iter().filter(|offer| offer.reserves()).count();
        assert!(reserving == 0 || case.offers.len() == 1, "one by one: {:?}", case.offers);
        for offer in &case.offers {
            assert!(
                told.iter().any(|told| {
                    (told.staff, told.until, told.reserves)
                        == (offer.staff, offer.until, offer.reserves())
                }),
                "an offer the floor does not know"
            );
            assert!(self.model.now < offer.until, "{enquiry} rings longer than it may");
            assert!(self.stands(enquiry, offer), "R3: {enquiry} is on offer to {}", offer.staff);
            assert!(self.has_room(offer), "R2: {} has no room for {enquiry}", offer.staff);
        }
    }

    fn place_holds(&self, floor: &Floor, enquiry: EnquiryId, case: &Case) {
        let wait = floor.wait(enquiry);
        match &case.at {
            At::Nowhere | At::Bot(_) => assert_eq!(wait, None, "{enquiry} stands nowhere"),
            At::Direct { until, priority, .. } => {
                let wait = wait.expect("stands with somebody");
                assert_eq!((wait.at, wait.until, wait.priority), (None, *until, *priority));
            }
            At::Stop(stand) => {
                let wait = wait.expect("stands somewhere");
                assert_eq!(
                    (wait.at, wait.until, wait.priority),
                    (Some(stand.to), stand.until, stand.priority),
                    "{enquiry} stands elsewhere"
                );
                assert_eq!(wait.open, case.waits());
                let rank = case.rank();
                let before = self.model.cases.values().filter(|other| {
                    matches!(&other.at, At::Stop(there) if there.to == stand.to)
                        && other.rank() < rank
                });
                assert_eq!(wait.position as usize, before.count() + 1, "R5: place in line");
                self.may_stay(enquiry, case);
            }
        }
    }

    /// A stop is left at once when its time is over or nobody is left to ask.
    fn may_stay(&self, enquiry: EnquiryId, case: &Case) {
        let At::Stop(stand) = &case.at else { return };
        if !case.offers.is_empty() {
            return;
        }
        assert!(stand.told, "nobody was told that {enquiry} waits");
        assert!(self.model.now < stand.until, "{enquiry} waits too long");
        let Destination::Group(_) = stand.to else { return };
        let group = self.model.group_of(stand.to).expect("a group that exists");
        let somebody = group.members.iter().any(|staff| {
            self.model.active(*staff) && !case.skips(*staff) && !stand.asked.contains(staff)
        });
        assert!(somebody, "{enquiry} waits where nobody can come");
        assert!(case.accepted_by(group), "{enquiry} waits where it is not accepted");
    }

    fn people_hold(&self, floor: &Floor) {
        for (staff, person) in &self.model.people {
            let seat = floor.seat(*staff).expect("everybody has a seat");
            assert_eq!(seat.presence, person.presence, "presence of {staff}");
            assert_eq!(seat.load, person.owned, "load of {staff}");
            assert_eq!(seat.used, person.used(), "R2: slots of {staff}");
            assert_eq!(seat.offers.len(), usize::from(person.offers), "offers to {staff}");
            assert!(!person.to_be_idle, "{staff} does not answer and is not set Idle");
            let reserved = self
                .model
                .cases
                .values()
                .flat_map(|case| &case.offers)
                .filter(|offer| offer.staff == *staff && offer.reserves())
                .count();
            assert_eq!(reserved, usize::from(person.reserved));
            if person.presence != Presence::Active {
                assert_eq!(person.offers, 0, "{staff} is not Active and holds offers");
            }
        }
    }

    /// R6: no ticks, no lost wake-ups.
    fn nobody_waits_in_vain(&self, floor: &Floor) {
        for staff in self.model.people.keys() {
            if let Some((_, enquiry)) = self.model.first_for(*staff) {
                let why = floor.why_not(enquiry, *staff);
                let case = self.model.case(enquiry);
                unreachable!("R6: {enquiry} waits and {staff} is free; it says {why:?}: {case:?}");
            }
        }
    }

    /// Missed ones are offered to whoever is free, though not by right of R6.
    fn nothing_missed_waits_in_vain(&self) {
        if !self.model.settings.missed_offer_when_free {
            return;
        }
        let shelved = |case: &&Case| {
            matches!(case.stage, Stage::Missed { .. })
                && case.errand == Errand::None
                && case.offers.is_empty()
        };
        if !self.model.cases.values().any(|case| shelved(&case)) {
            return;
        }
        for (enquiry, case) in &self.model.cases {
            if !shelved(&case) {
                continue;
            }
            // The branch in force is known for certain where the rule is one leaf.
            let rule = super::decided::rule_of(&self.model.settings, case.channel);
            let usher_domain::rule::Branch::Leaf(leaf) = &rule.branch else { continue };
            if rule.emergency.is_some() {
                continue;
            }
            let groups: Vec<_> =
                leaf.stops.iter().filter_map(|stop| self.model.group_of(stop.to)).collect();
            for staff in self.model.people.keys() {
                let meant = groups
                    .iter()
                    .any(|group| group.members.contains(staff) && case.accepted_by(group));
                let free = meant && self.model.eligible_for_missed(*enquiry, *staff);
                assert!(!free, "{enquiry} is missed and {staff} is free: {case:?}");
            }
        }
    }
}
