//! Groups and queues as the floor uses them: a small number stands for each, with its team at hand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::seat::Chair;
use super::{Floor, Line};
use crate::ids::GroupId;
use crate::rule::{self, Destination, Rule};
use crate::settings::{Group, Settings};

/// Stands for a group or a queue; never given to another.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Spot(u32);

impl Spot {
    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Who stands behind a group or a queue.
#[derive(Clone, Debug)]
pub(super) struct Team {
    pub(super) to: Destination,
    /// As the settings say; `None`: it was deleted.
    pub(super) group: Option<Arc<Group>>,
    /// In the group's order.
    pub(super) members: Vec<Chair>,
}

/// All groups and queues that there were.
#[derive(Clone, Debug, Default)]
pub(super) struct Teams {
    list: Vec<Team>,
    spots: BTreeMap<Destination, Spot>,
}

impl Teams {
    pub(super) fn spot(&self, to: Destination) -> Option<Spot> {
        self.spots.get(&to).copied()
    }

    pub(super) fn at(&self, spot: Spot) -> &Team {
        &self.list[spot.index()]
    }

    pub(super) fn of_group(&self, group: GroupId) -> &[Chair] {
        let spot = self.spot(Destination::Group(group));
        spot.map_or(&[], |spot| &self.at(spot).members)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Spot, &Team)> {
        self.spots.values().map(|spot| (*spot, self.at(*spot)))
    }

    /// The settings are others: nobody stands anywhere until [`Teams::place`] says so.
    pub(super) fn clear(&mut self) {
        for team in &mut self.list {
            team.group = None;
            team.members.clear();
        }
    }

    pub(super) fn place(
        &mut self,
        to: Destination,
        group: Arc<Group>,
        members: Vec<Chair>,
    ) -> Spot {
        let next = self.list.len();
        let spot = *self.spots.entry(to).or_insert_with(|| {
            Spot(u32::try_from(next).expect("memory ends before four thousand million groups"))
        });
        let team = Team { to, group: Some(group), members };
        if spot.index() == next {
            self.list.push(team);
        } else {
            self.list[spot.index()] = team;
        }
        spot
    }
}

impl Floor {
    /// Everybody where the settings have them.
    pub(super) fn seat_people(&mut self) {
        let settings = Arc::clone(&self.settings);
        for staff in settings.staff.keys() {
            self.seats.seat(*staff);
        }
        for chair in self.seats.everybody() {
            let seat = self.seats.at_mut(chair);
            let person = settings.staff.get(&seat.staff);
            seat.enabled = person.is_some_and(|person| person.enabled);
            seat.capacity = person.map_or(0, |person| person.capacity);
            seat.lines = vec![Line::For(seat.staff)];
        }
        self.place_teams(&settings);
        let named = |rule: &Rule| {
            let groups = rule::destinations(rule).into_iter();
            let groups = groups.filter_map(|to| settings.group_of(to)).map(|group| group.id);
            groups.collect::<BTreeSet<GroupId>>().into_iter().collect()
        };
        self.named = settings.rules.values().map(|rule| (rule.id, named(rule))).collect();
    }

    fn place_teams(&mut self, settings: &Settings) {
        self.teams.clear();
        let queues = settings.queues.keys().map(|queue| Destination::Queue(*queue));
        let groups = settings.groups.keys().map(|group| Destination::Group(*group));
        for to in groups.chain(queues) {
            let Some(group) = settings.group_of(to) else { continue };
            let members = group.members.iter().filter_map(|staff| self.seats.chair(*staff));
            let members: Vec<Chair> = members.collect();
            let spot = self.teams.place(to, Arc::new(group.clone()), members.clone());
            for chair in members {
                self.seats.at_mut(chair).lines.push(Line::At(spot));
            }
        }
    }
}
