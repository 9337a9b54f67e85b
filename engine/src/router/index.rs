//! Which live enquiries are in which state, and which wait where: kept up with every change of place,
//! so that nobody has to look at all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use usher_domain::floor::place::{Place, PlaceThen, Stage};
use usher_domain::ids::{ChannelId, EnquiryId, GroupId};
use usher_protocol::command::Unserved;

#[derive(Debug, Default)]
pub(super) struct Index {
    /// As each was last written down: the very object that the enquiry has too.
    known: BTreeMap<EnquiryId, PlaceThen>,
    /// Live enquiries by the name of their state.
    by_state: BTreeMap<&'static str, u64>,
    /// Of each group those that nobody serves.
    unserved: BTreeMap<(GroupId, Unserved), BTreeSet<EnquiryId>>,
    /// Waiting and missed ones, by the groups of their walk: few walks have different ones.
    by_groups: BTreeMap<Arc<[GroupId]>, Counts>,
}

/// How many nobody serves.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Counts {
    pub(super) waiting: u32,
    pub(super) missed: u32,
}

impl Index {
    /// The enquiry stands so now; `None`: closed. Gives the channel of one that was known.
    pub(super) fn note(
        &mut self,
        enquiry: EnquiryId,
        place: Option<PlaceThen>,
    ) -> Option<ChannelId> {
        let before = self.known.remove(&enquiry);
        if let Some(known) = &before {
            self.count(known, enquiry, false);
        }
        if let Some(place) = place {
            self.count(&place, enquiry, true);
            self.known.insert(enquiry, place);
        }
        before.map(|known| known.channel)
    }

    fn count(&mut self, place: &Place, enquiry: EnquiryId, on: bool) {
        let by = |number: u64| if on { number + 1 } else { number.saturating_sub(1) };
        let state = self.by_state.entry(place.stage.name()).or_default();
        *state = by(*state);
        let state = match place.stage {
            Stage::Open => Unserved::Waiting,
            Stage::Missed { .. } => Unserved::Missed,
            Stage::Ongoing { .. } | Stage::FollowedUp { .. } | Stage::WithBot { .. } => return,
        };
        for group in &*place.groups {
            let of_group = self.unserved.entry((*group, state)).or_default();
            if on {
                of_group.insert(enquiry);
            } else {
                of_group.remove(&enquiry);
            }
        }
        let counts = self.by_groups.entry(Arc::clone(&place.groups)).or_default();
        let count = match state {
            Unserved::Waiting => &mut counts.waiting,
            Unserved::Missed => &mut counts.missed,
        };
        *count = if on { *count + 1 } else { count.saturating_sub(1) };
        if *counts == Counts::default() {
            self.by_groups.remove(&place.groups);
        }
    }

    pub(super) fn in_state(&self, state: &str) -> u64 {
        self.by_state.get(state).copied().unwrap_or_default()
    }

    /// Those that nobody serves in any of these groups: at most so many, the newest first.
    pub(super) fn newest(
        &self,
        groups: &[GroupId],
        state: Unserved,
        before: Option<EnquiryId>,
        limit: usize,
    ) -> Vec<EnquiryId> {
        let older = (Bound::Unbounded, before.map_or(Bound::Unbounded, Bound::Excluded));
        let found: BTreeSet<EnquiryId> = groups
            .iter()
            .filter_map(|group| self.unserved.get(&(*group, state)))
            .flat_map(|of_group| of_group.range(older).rev().take(limit).copied())
            .collect();
        found.into_iter().rev().take(limit).collect()
    }

    pub(super) fn count_of(&self, groups: &[GroupId]) -> Counts {
        let theirs =
            self.by_groups.iter().filter(|(of, _)| of.iter().any(|group| groups.contains(group)));
        theirs.fold(Counts::default(), |sum, (_, more)| Counts {
            waiting: sum.waiting + more.waiting,
            missed: sum.missed + more.missed,
        })
    }
}

#[cfg(test)]
mod tests {
    use usher_domain::floor::place::Errand;
    use usher_domain::ids::{StaffId, VisitorId};
    use usher_domain::time::Timestamp;

    use super::*;

    fn place(stage: Stage, groups: &[u128]) -> PlaceThen {
        PlaceThen::from(Place {
            channel: ChannelId::from_number(1),
            visitor: VisitorId::from_number(1),
            language: None,
            country: None,
            arrival: 1,
            opened_at: Timestamp::default(),
            stage,
            epoch: 0,
            hold_until: None,
            visitor_waits: None,
            window_until: Timestamp::default(),
            errand: Errand::None,
            drawn: None,
            groups: groups.iter().map(|group| GroupId::from_number(*group)).collect(),
        })
    }

    #[test]
    fn an_enquiry_counts_once_however_it_moves() {
        let mut index = Index::default();
        let (one, two) = (EnquiryId::from_number(1), EnquiryId::from_number(2));
        let groups = [GroupId::from_number(7), GroupId::from_number(8)];
        let missed = Stage::Missed { since: Timestamp::default(), again_at: None };
        index.note(one, Some(place(Stage::Open, &[])));
        index.note(one, Some(place(Stage::Open, &[7, 8])));
        index.note(two, Some(place(missed, &[8])));
        assert_eq!(index.count_of(&groups), Counts { waiting: 1, missed: 1 });
        assert_eq!(index.count_of(&groups[..1]), Counts { waiting: 1, missed: 0 });
        assert_eq!(index.newest(&groups, Unserved::Waiting, None, 9), [one]);
        assert_eq!(index.newest(&groups, Unserved::Missed, None, 9), [two]);
        let owner = StaffId::from_number(1);
        index.note(one, Some(place(Stage::Ongoing { owner }, &[7, 8])));
        assert_eq!((index.in_state("open"), index.in_state("ongoing")), (0, 1));
        assert_eq!(index.note(two, None), Some(ChannelId::from_number(1)));
        assert!(index.newest(&groups, Unserved::Missed, None, 9).is_empty());
        assert_eq!(index.count_of(&groups), Counts::default());
    }

    #[test]
    fn pages_over_several_groups_begin_with_the_newest() {
        let mut index = Index::default();
        let missed = Stage::Missed { since: Timestamp::default(), again_at: None };
        // Every third is of both groups.
        let groups = |number: u128| match number % 3 {
            0 => vec![7, 8],
            rest => vec![6 + rest],
        };
        for number in 1..=30 {
            let place = place(missed, &groups(number));
            index.note(EnquiryId::from_number(number), Some(place));
        }
        let of = [GroupId::from_number(7), GroupId::from_number(8)];
        let (mut before, mut seen) = (None, Vec::new());
        loop {
            let page = index.newest(&of, Unserved::Missed, before, 7);
            let Some(last) = page.last() else { break };
            before = Some(*last);
            seen.extend(page);
        }
        assert_eq!(seen, (1..=30).rev().map(EnquiryId::from_number).collect::<Vec<_>>());
    }
}
