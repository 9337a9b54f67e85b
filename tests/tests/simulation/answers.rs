//! What the floor should answer to a pick-up, an assignment or a take-over.

use usher_domain::floor::Refusal;
use usher_domain::floor::place::Stage;
use usher_domain::ids::StaffId;
use usher_domain::presence::Presence;
use usher_domain::settings::Role;

use crate::checker::Checker;
use crate::model::{Case, Held, Person};

impl Checker {
    pub(crate) fn expected_pick_up(&self, case: &Case, staff: StaffId) -> Result<(), Refusal> {
        if case.owner() == Some(staff) {
            return Err(Refusal::Elsewhere);
        }
        let person = self.model.people.get(&staff);
        if let Some(offer) = case.offer_to(staff) {
            let used = person.map_or(0, Person::used) - u16::from(offer.reserves());
            let room = used < self.model.capacity(staff);
            return if room { Ok(()) } else { Err(Refusal::AtCapacity) };
        }
        let refusal =
            if case.rivals.contains(&staff) { Refusal::AlreadyTaken } else { Refusal::NotOffered };
        let Some(person) = person.filter(|_| self.model.enabled(staff)) else {
            return Err(refusal);
        };
        if !matches!(case.stage, Stage::Missed { .. }) {
            return Err(refusal);
        }
        let groups = &case.walked;
        let set = &self.model.settings.staff[&staff];
        let supervises = set.role != Role::Agent
            && (set.supervises.is_empty() || groups.iter().any(|g| set.supervises.contains(g)));
        let present = matches!(person.presence, Presence::Active | Presence::Busy);
        let member = groups.iter().any(|group| {
            self.model.settings.groups.get(group).is_some_and(|g| g.members.contains(&staff))
        });
        if !(supervises || (present && member)) {
            return Err(refusal);
        }
        let room = person.used() < self.model.capacity(staff);
        if room { Ok(()) } else { Err(Refusal::AtCapacity) }
    }

    pub(crate) fn expected_assign(
        &self,
        case: &Case,
        to: StaffId,
        has_to_be_there: bool,
    ) -> Result<(), Refusal> {
        if case.owner() == Some(to) {
            return Err(Refusal::Elsewhere);
        }
        let Some(person) = self.model.people.get(&to).filter(|_| self.model.enabled(to)) else {
            return Err(Refusal::NobodyAvailable);
        };
        if has_to_be_there && person.is_gone() {
            return Err(Refusal::NobodyAvailable);
        }
        let own = u16::from(case.offer_to(to).is_some_and(Held::reserves));
        let room = person.used() - own < self.model.capacity(to);
        if room { Ok(()) } else { Err(Refusal::AtCapacity) }
    }
}
