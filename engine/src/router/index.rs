//! Which live enquiries are in which state, and which wait where: kept up with every change of place,
//! so that nobody has to look at all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use usher_domain::floor::place::{Place, Stage};
use usher_domain::ids::{ChannelId, EnquiryId, GroupId};

#[derive(Debug, Default)]
pub(super) struct Index {
    known: BTreeMap<EnquiryId, Known>,
    /// Live enquiries by the name of their state.
    by_state: BTreeMap<&'static str, u64>,
    /// Of each group those that nobody serves: waiting or missed.
    unserved: BTreeMap<GroupId, BTreeSet<EnquiryId>>,
    /// Waiting and missed ones, by the groups of their walk: few walks have different ones.
    by_groups: BTreeMap<Arc<[GroupId]>, Unserved>,
}

#[derive(Debug)]
struct Known {
    channel: ChannelId,
    state: &'static str,
    /// Of one that nobody serves.
    unserved: Option<(bool, Arc<[GroupId]>)>,
}

/// How many nobody serves.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Unserved {
    pub(super) waiting: u32,
    pub(super) missed: u32,
}

impl Index {
    /// The enquiry stands so now; `None`: closed. Gives the channel of one that was known.
    pub(super) fn note(&mut self, enquiry: EnquiryId, place: Option<&Place>) -> Option<ChannelId> {
        let before = self.known.remove(&enquiry);
        if let Some(known) = &before {
            self.count(known, enquiry, false);
        }
        if let Some(place) = place {
            let missed = matches!(place.stage, Stage::Missed { .. });
            let unserved =
                (!place.stage.is_handling()).then(|| (missed, Arc::clone(&place.groups)));
            let known = Known { channel: place.channel, state: place.stage.name(), unserved };
            self.count(&known, enquiry, true);
            self.known.insert(enquiry, known);
        }
        before.map(|known| known.channel)
    }

    fn count(&mut self, known: &Known, enquiry: EnquiryId, on: bool) {
        let by = |number: u64| if on { number + 1 } else { number.saturating_sub(1) };
        let state = self.by_state.entry(known.state).or_default();
        *state = by(*state);
        let Some((missed, groups)) = &known.unserved else { return };
        for group in &**groups {
            let of_group = self.unserved.entry(*group).or_default();
            if on {
                of_group.insert(enquiry);
            } else {
                of_group.remove(&enquiry);
            }
        }
        let counts = self.by_groups.entry(Arc::clone(groups)).or_default();
        let count = if *missed { &mut counts.missed } else { &mut counts.waiting };
        *count = if on { *count + 1 } else { count.saturating_sub(1) };
        if *counts == Unserved::default() {
            self.by_groups.remove(groups);
        }
    }

    pub(super) fn in_state(&self, state: &str) -> u64 {
        self.by_state.get(state).copied().unwrap_or_default()
    }

    /// Those that nobody serves in any of these groups.
    pub(super) fn unserved(&self, groups: &[GroupId]) -> impl Iterator<Item = EnquiryId> {
        groups.iter().filter_map(|group| self.unserved.get(group)).flatten().copied()
    }

    pub(super) fn count_of(&self, groups: &[GroupId]) -> Unserved {
        let theirs =
            self.by_groups.iter().filter(|(of, _)| of.iter().any(|group| groups.contains(group)));
        theirs.fold(Unserved::default(), |sum, (_, more)| Unserved {
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

    fn place(stage: Stage, groups: &[u128]) -> Place {
        Place {
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
        }
    }

    #[test]
    fn an_enquiry_counts_once_however_it_moves() {
        let mut index = Index::default();
        let (one, two) = (EnquiryId::from_number(1), EnquiryId::from_number(2));
        let groups = [GroupId::from_number(7), GroupId::from_number(8)];
        let missed = Stage::Missed { since: Timestamp::default(), again_at: None };
        index.note(one, Some(&place(Stage::Open, &[])));
        index.note(one, Some(&place(Stage::Open, &[7, 8])));
        index.note(two, Some(&place(missed, &[8])));
        assert_eq!(index.count_of(&groups), Unserved { waiting: 1, missed: 1 });
        assert_eq!(index.count_of(&groups[..1]), Unserved { waiting: 1, missed: 0 });
        let seen: BTreeSet<_> = index.unserved(&groups).collect();
        assert_eq!(seen, BTreeSet::from([one, two]));
        let owner = StaffId::from_number(1);
        index.note(one, Some(&place(Stage::Ongoing { owner }, &[7, 8])));
        assert_eq!((index.in_state("open"), index.in_state("ongoing")), (0, 1));
        assert_eq!(index.note(two, None), Some(ChannelId::from_number(1)));
        assert_eq!(index.unserved(&groups).count(), 0);
        assert_eq!(index.count_of(&groups), Unserved::default());
    }
}
