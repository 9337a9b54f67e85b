//! Who is who in an enquiry: its head for screens, the facts that access depends on.

use usher_domain::access::{RoomFacts, Sight, Standing, Viewer, sight};
use usher_domain::enquiry::IdleClock;
use usher_domain::floor::event::{OfferSort, TransferTo};
use usher_domain::floor::place::{Errand, Stage};
use usher_domain::ids::{GroupId, StaffId};
use usher_domain::settings::Role;
use usher_domain::time::Timestamp;
use usher_protocol::command::Unserved;
use usher_protocol::event::{
    Event as Telling, Head, Level, Named, Offer, Person, Relation, State, Transfer,
};

use usher_protocol::Time;

use super::Enquiry;
use crate::staff::Gathered;

/// An offer of this enquiry that somebody holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) staff: StaffId,
    pub(super) until: Timestamp,
    pub(super) since: Timestamp,
    pub(super) sort: OfferSort,
}

impl Enquiry {
    pub(crate) fn owner(&self) -> Option<StaffId> {
        self.place.as_ref().and_then(|place| place.stage.owner())
    }

    /// Everybody in the room: the owner, who was added or joined, who looks on.
    pub(super) fn room(&self) -> Vec<StaffId> {
        let mut room: Vec<StaffId> =
            self.owner().into_iter().chain(self.rare.members.keys().copied()).collect();
        room.dedup();
        room
    }

    /// Members of the groups of its walk.
    pub(super) fn group_members(&self) -> Vec<StaffId> {
        let groups = self.place.as_ref().map_or(&[][..], |place| &place.groups);
        let mut members: Vec<StaffId> = groups
            .iter()
            .filter_map(|group| self.peers.settings.groups.get(group))
            .flat_map(|group| group.members.iter().copied())
            .collect();
        members.sort_unstable();
        members.dedup();
        members
    }

    /// Supervisors and administrators over its groups.
    pub(super) fn supervisors(&self) -> Vec<StaffId> {
        let people = self.peers.settings.staff.values();
        people
            .filter(|person| person.enabled && person.role >= Role::Supervisor)
            .filter(|person| {
                person.supervises.is_empty()
                    || self.place.as_ref().is_some_and(|place| {
                        place.groups.iter().any(|group| person.supervises.contains(group))
                    })
            })
            .map(|person| person.id)
            .collect()
    }

    pub(super) fn notice(&self, to: Vec<StaffId>, text: String) {
        self.tell(to, &Telling::Notice { level: Level::Info, text, enquiry: Some(self.id) });
    }

    /// Asks the one function that decides on access with what is known here.
    pub(super) fn with_facts<T>(
        &self,
        staff: StaffId,
        ask: impl FnOnce(&Viewer<'_>, &RoomFacts<'_>) -> T,
    ) -> Option<T> {
        let person = self.peers.settings.staff.get(&staff)?;
        // Of the person's groups only those count that are the enquiry's too.
        let groups = self.place.as_ref().map_or(&[][..], |place| &place.groups);
        let all = &self.peers.settings.groups;
        let member =
            |group: &&GroupId| all.get(*group).is_some_and(|group| group.members.contains(&staff));
        let member_of: Vec<GroupId> = groups.iter().filter(member).copied().collect();
        let joined: Vec<StaffId> = self
            .rare
            .members
            .iter()
            .filter(|(_, looks_on)| !**looks_on)
            .map(|(id, _)| *id)
            .collect();
        let offered_to: Vec<StaffId> = self.offers.iter().map(|held| held.staff).collect();
        let stage = self.place.as_ref().map_or(Stage::Open, |place| place.stage);
        let transferred_by = self.place.as_ref().and_then(|place| match place.errand {
            Errand::Transfer { by, .. } => Some(by),
            Errand::None | Errand::Walk(_) => None,
        });
        let viewer = Viewer {
            staff: Some(staff),
            role: person.role,
            supervises: &person.supervises,
            member_of: &member_of,
            channels: None,
        };
        let facts = RoomFacts {
            channel: self.channel,
            standing: Standing::from(stage),
            owner: stage.owner(),
            joined: &joined,
            offered_to: &offered_to,
            offered_before: &self.rare.offered_before,
            groups,
            transferred_by,
            former: &self.rare.former,
            serving_visitor: &[],
        };
        Some(ask(&viewer, &facts))
    }

    pub(super) fn sight_of(&self, staff: StaffId) -> Sight {
        self.with_facts(staff, sight).unwrap_or(Sight::Nothing)
    }

    pub(super) fn named(&self, staff: StaffId) -> Named<StaffId> {
        Named::new(staff, self.peers.name_of(staff))
    }

    /// What the enquiry is to this person.
    pub(super) fn relation(&self, staff: StaffId) -> Relation {
        if self.owner() == Some(staff) {
            return Relation::Owner;
        }
        match self.rare.members.get(&staff) {
            Some(true) => return Relation::Monitoring,
            Some(false) => return Relation::Joined,
            None => {}
        }
        if self.offers.iter().any(|held| held.staff == staff) {
            return Relation::Offered;
        }
        let stage = self.place.as_ref().map(|place| place.stage);
        match (self.sight_of(staff), stage) {
            (Sight::Nothing, _) => Relation::Gone,
            (Sight::Whole, _) => Relation::Supervised,
            (_, Some(Stage::Missed { .. })) => Relation::Missed,
            (_, Some(Stage::Open)) => Relation::Waiting,
            (_, _) => Relation::Gone,
        }
    }

    /// As people read it on the wall.
    fn time(&self, at: Timestamp) -> Time {
        self.peers.on_the_wall(at).into()
    }

    pub(super) fn head(&self, staff: StaffId) -> Head {
        self.head_as(self.relation(staff), Some(staff))
    }

    pub(super) fn head_as(&self, relation: Relation, staff: Option<StaffId>) -> Head {
        let place = self.place.as_ref();
        let stage = place.map_or(Stage::Open, |place| place.stage);
        let kept = self.machine.kept();
        let whole = !matches!(
            relation,
            Relation::Offered | Relation::Waiting | Relation::Missed | Relation::Gone
        );
        let offer = self.offers.iter().find(|held| Some(held.staff) == staff);
        let bot = match stage {
            Stage::WithBot { bot } => {
                self.peers.settings.bots.get(&bot).map(|found| Named::new(bot, found.name.clone()))
            }
            Stage::Open
            | Stage::Ongoing { .. }
            | Stage::Missed { .. }
            | Stage::FollowedUp { .. } => None,
        };
        Head {
            id: self.id,
            relation,
            state: if self.closed { State::Closed } else { state_of(stage) },
            channel: Named::new(self.channel, self.settings().map_or("", |channel| &channel.name)),
            visitor: self.person(whole),
            language: place.and_then(|place| place.language.as_deref()).map(str::to_owned),
            country: place.and_then(|place| place.country.as_deref()).map(str::to_owned),
            owner: stage.owner().map(|owner| self.named(owner)),
            bot,
            opened_at: self.time(kept.opened_at),
            window_until: kept.window_until.into(),
            first_message: self.first_message.as_deref().map(str::to_owned),
            order: self.order,
            visitor_waits: place.and_then(|place| place.visitor_waits).map(|at| self.time(at)),
            hold_until: place.and_then(|place| place.hold_until).map(|at| self.time(at)),
            closes_at: match kept.clock {
                IdleClock::Grace { until, .. } => Some(self.time(until)),
                IdleClock::Stopped | IdleClock::Running { .. } | IdleClock::Notifying { .. } => {
                    None
                }
            },
            offer: offer.map(|held| Offer { until: self.time(held.until), sort: held.sort }),
            transfer: place.and_then(|place| self.transfer_of(&place.errand)),
            people: self.seen_by(staff).map(|staff| self.named(staff)).collect(),
            labels: self.rare.labels.iter().cloned().collect(),
            elsewhere: Vec::new(),
        }
    }

    /// Who looks on unseen is seen by nobody but themselves.
    fn seen_by(&self, viewer: Option<StaffId>) -> impl Iterator<Item = StaffId> {
        let seen =
            move |(staff, looks_on): &(&StaffId, &bool)| !**looks_on || Some(**staff) == viewer;
        self.rare.members.iter().filter(seen).map(|(staff, _)| *staff)
    }

    fn transfer_of(&self, errand: &Errand) -> Option<Transfer> {
        match errand {
            Errand::Transfer { by, to, blind } => Some(Transfer {
                by: self.named(*by),
                to: TransferTo::into(*to),
                blind: *blind,
                until: self.offers.iter().map(|held| held.until).min().map(|at| self.time(at)),
            }),
            Errand::None | Errand::Walk(_) => None,
        }
    }

    pub(super) fn person(&self, whole: bool) -> Person {
        let phone = self.visitor.identities.wa_id.as_deref().map(|digits| format!("+{digits}"));
        let name = self.visitor.name.as_deref().or(self.visitor.username.as_deref());
        Person {
            id: self.visitor.id,
            name: name.map(str::to_owned),
            phone: phone.filter(|_| whole),
            opted_out: self.visitor.opted_out,
        }
    }

    /// The head, for somebody who has just connected.
    pub(super) fn show(&mut self, staff: StaffId, gathered: &Gathered) {
        let head = self.head(staff);
        if head.relation != Relation::Gone && head.relation != Relation::Supervised {
            gathered.add(self.id, head.text());
        }
    }

    /// The head as every member of its groups sees it; the floor may have moved on already.
    pub(super) fn show_unserved(&mut self, gathered: &Gathered) {
        let (state, relation) = match self.place.as_ref().map(|place| place.stage) {
            Some(Stage::Open) => (Unserved::Waiting, Relation::Waiting),
            Some(Stage::Missed { .. }) => (Unserved::Missed, Relation::Missed),
            Some(Stage::Ongoing { .. } | Stage::FollowedUp { .. } | Stage::WithBot { .. })
            | None => return,
        };
        self.shown_waiting = true;
        #[cfg(test)]
        crate::faults::a_head_was_written();
        let head = self.head_as(relation, None).text();
        self.peers.board.put(self.id, state, &head);
        gathered.add(self.id, head);
    }
}

const fn state_of(stage: Stage) -> State {
    match stage {
        Stage::Open => State::Open,
        Stage::Ongoing { .. } | Stage::WithBot { .. } => State::Ongoing,
        Stage::Missed { .. } => State::Missed,
        Stage::FollowedUp { .. } => State::FollowedUp,
    }
}
