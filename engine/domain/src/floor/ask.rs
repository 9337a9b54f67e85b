//! Asking a walk's rule: which destinations it leads to, and where a bucket gives on what it cannot take.

use std::sync::Arc;

use super::Floor;
use super::entries::Key;
use super::entry::Entry;
use super::place::Errand;
use crate::ids::{GroupId, RuleId};
use crate::rule::{self, Leaf, Reached, Rule, Version};
use crate::time::Timestamp;
use crate::wall::Ahead;

impl Floor {
    /// The wall clock has stepped: no deadline moves, but time rules and windows follow it.
    pub fn follow(&mut self, ahead: Ahead) {
        self.ahead = ahead;
    }

    pub(super) fn wall(&self) -> Timestamp {
        self.ahead.wall(self.turn.now)
    }

    /// Asks the rule of the walk which destinations it is taken to.
    pub(super) fn reach_rule(&mut self, enquiry: Key) {
        let settings = Arc::clone(&self.settings);
        let Some(entry) = self.entries.get(enquiry) else { return };
        let (channel, kept) = (entry.place.channel, entry.place.drawn);
        let under = under(entry);
        let found = under.as_deref().map(edited);
        let found = found.or_else(|| Some(settings.rule_of(channel)?.into()));
        let reached = found.map(|version: Version<'_>| {
            let now = self.wall();
            (version.rule.id, rule::reach(version, channel, now, kept, &mut self.counters))
        });
        let Some(entry) = self.entry_mut(enquiry) else { return };
        let place = &mut *entry.place;
        let Errand::Walk(walk) = &mut place.errand else { return };
        match reached {
            Some((rule, reached)) => {
                walk.rule = Some(rule);
                place.groups = Arc::default();
                self.take_leaf(enquiry, reached);
            }
            // A channel without a rule is refused by the settings; an enquiry must end all the same.
            None => walk.rule = Some(RuleId::from_number(0)),
        }
    }

    fn take_leaf(&mut self, enquiry: Key, reached: Reached) {
        let Reached { leaf, drawn, steps } = reached;
        if self.turn.steps.is_empty() {
            self.turn.steps = steps;
        } else {
            self.turn.steps.extend(steps);
        }
        let mut groups = self.groups_of(&leaf);
        let Some(entry) = self.entries.get(enquiry) else { return };
        // A bucket that gave it on was part of the walk as well.
        groups.extend_from_slice(&entry.place.groups);
        groups.sort_unstable();
        groups.dedup();
        let groups = self.one_of_a_kind(&groups);
        let Some(entry) = self.entry_mut(enquiry) else { return };
        let place = &mut *entry.place;
        place.drawn = drawn;
        place.groups = groups;
        if let Errand::Walk(walk) = &mut place.errand {
            walk.leaf = leaf;
            walk.done = 0;
        }
    }

    /// The same list of groups is kept once, however many enquiries have it.
    pub(super) fn one_of_a_kind(&mut self, groups: &[GroupId]) -> Arc<[GroupId]> {
        if let Some(known) = self.walked.get(groups) {
            return Arc::clone(known);
        }
        let groups: Arc<[GroupId]> = groups.into();
        self.walked.insert(Arc::clone(&groups));
        groups
    }

    pub(super) fn groups_of(&self, leaf: &Leaf) -> Vec<GroupId> {
        let mut groups: Vec<GroupId> = leaf
            .stops
            .iter()
            .filter_map(|stop| self.settings.group_of(stop.to))
            .map(|group| group.id)
            .collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    /// The drawn bucket could not take it: gives it to the bucket's overflow, once.
    pub(super) fn overflow(&mut self, enquiry: Key) -> bool {
        let settings = Arc::clone(&self.settings);
        let Some(entry) = self.entries.get(enquiry) else { return false };
        let Errand::Walk(walk) = &entry.place.errand else { return false };
        let (channel, drawn) = (entry.place.channel, entry.place.drawn);
        let under = walk.under.clone();
        let found = under.as_deref().map(edited);
        let found = found.or_else(|| Some(settings.rules.get(&walk.rule?)?.into()));
        let (Some(version), Some(drawn)) = (found, drawn) else { return false };
        let now = self.wall();
        let Some(reached) = rule::overflow(version, channel, drawn, now, &mut self.counters) else {
            return false;
        };
        self.take_leaf(enquiry, reached);
        true
    }
}

/// The rule by which a walk goes on, if it is no longer the one in force.
fn under(entry: &Entry) -> Option<Arc<Rule>> {
    match &entry.place.errand {
        Errand::Walk(walk) => walk.under.clone(),
        Errand::Transfer { .. } | Errand::None => None,
    }
}

const fn edited(rule: &Rule) -> Version<'_> {
    Version { rule, edited: true }
}
