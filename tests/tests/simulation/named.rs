//! Who has to be tried before the rule, worked out from what the world remembers of a visitor.

use std::time::Duration;

use usher_domain::floor::{Floor, Route};
use usher_domain::ids::StaffId;
use usher_domain::rule::{self, Branch, Destination, Leaf, Rule};
use usher_domain::settings::{StickyMiss, StickyMode, StickyScope, StickyWithin};
use usher_domain::time::Timestamp;
use usher_domain::trace::BindingKind;
use usher_domain::visitor::Binding;

use crate::model::{Model, Named};

/// Those to be tried, in order, and those whose binding does not hold.
pub(crate) fn expected(
    model: &Model,
    route: &Route,
    floor: &Floor,
) -> (Vec<Named>, Vec<(BindingKind, StaffId)>) {
    let (mut named, mut not_held) = (Vec::new(), Vec::new());
    let memory = route.visitor.channels.get(&route.channel);
    if let (true, Some(staff)) = (route.delayed, memory.and_then(|memory| memory.last_owner)) {
        named.push(plain(staff, BindingKind::LastOwner));
    }
    let bindings = &route.visitor.bindings;
    let wrote_first = bindings.iter().filter(|binding| {
        binding.kind == BindingKind::Engagement && binding.channel == Some(route.channel)
    });
    if let Some(binding) = best(model, wrote_first, false) {
        let held = !expired(binding, model.now) && model.enabled(binding.staff);
        if held {
            named.push(plain(binding.staff, BindingKind::Engagement));
        } else {
            not_held.push((BindingKind::Engagement, binding.staff));
        }
    }
    sticky(model, route, floor, &mut named, &mut not_held);
    (named, not_held)
}

const fn plain(staff: StaffId, binding: BindingKind) -> Named {
    Named { binding, staff, wait: Duration::ZERO, connected_only: false, or_missed: false }
}

fn sticky(
    model: &Model,
    route: &Route,
    floor: &Floor,
    named: &mut Vec<Named>,
    not_held: &mut Vec<(BindingKind, StaffId)>,
) {
    let Some(channel) = model.settings.channels.get(&route.channel) else { return };
    let set = &channel.sticky;
    if !set.on {
        return;
    }
    let served = route.visitor.bindings.iter().filter(|binding| {
        binding.kind == BindingKind::Sticky && binding.channel.is_none_or(|on| on == route.channel)
    });
    let Some(binding) = best(model, served, set.scope == StickyScope::Channel) else { return };
    let within = match set.within {
        StickyWithin::Service => true,
        StickyWithin::Rule => {
            let rule = model.settings.rules.get(&channel.rule);
            rule.is_some_and(|rule| behind(model, &everywhere(rule), binding.staff))
        }
        StickyWithin::Leaf => model.settings.rules.get(&channel.rule).is_some_and(|rule| {
            let counters = floor.counters();
            let (leaf, _) = rule::leaf_in_force(rule, route.channel, model.now, None, counters);
            behind(model, &stops(&leaf), binding.staff)
        }),
    };
    if expired(binding, model.now) || !model.enabled(binding.staff) || !within {
        not_held.push((BindingKind::Sticky, binding.staff));
        return;
    }
    let plain = plain(binding.staff, BindingKind::Sticky);
    named.push(match set.mode {
        StickyMode::Loose { hold } => Named { wait: hold, ..plain },
        StickyMode::Strict { wait, offline } => {
            Named { wait, connected_only: true, or_missed: offline == StickyMiss::Missed, ..plain }
        }
    });
}

/// One that still holds before a lapsed one, then the nearer (if that counts), then the newer.
fn best<'b>(
    model: &Model,
    bindings: impl Iterator<Item = &'b Binding>,
    nearer_first: bool,
) -> Option<&'b Binding> {
    let mut best: Option<&Binding> = None;
    let worth = |binding: &Binding| {
        let near = nearer_first && binding.channel.is_some();
        (!expired(binding, model.now), near, binding.set_at)
    };
    for binding in bindings.filter(|b| model.settings.staff.contains_key(&b.staff)) {
        if best.is_none_or(|other| worth(binding) >= worth(other)) {
            best = Some(binding);
        }
    }
    best
}

fn expired(binding: &Binding, now: Timestamp) -> bool {
    binding.expires_at.is_some_and(|at| at <= now)
}

fn behind(model: &Model, destinations: &[Destination], staff: StaffId) -> bool {
    destinations
        .iter()
        .filter_map(|to| model.group_of(*to))
        .any(|group| group.members.contains(&staff))
}

fn stops(leaf: &Leaf) -> Vec<Destination> {
    leaf.stops.iter().map(|stop| stop.to).collect()
}

/// Every destination a rule names.
pub(crate) fn everywhere(rule: &Rule) -> Vec<Destination> {
    let mut found = rule.emergency.as_ref().map_or_else(Vec::new, |e| stops(&e.leaf));
    collect(&rule.branch, &mut found);
    found
}

fn collect(branch: &Branch, found: &mut Vec<Destination>) {
    match branch {
        Branch::Leaf(leaf) => found.extend(leaf.stops.iter().map(|stop| stop.to)),
        Branch::Percentage(layer) => {
            layer.buckets.iter().for_each(|bucket| collect(&bucket.branch, found));
            collect(&layer.otherwise, found);
        }
        Branch::Time(layer) => {
            layer.holidays.iter().for_each(|holiday| collect(&holiday.branch, found));
            layer.conditions.iter().for_each(|condition| collect(&condition.branch, found));
            collect(&layer.otherwise, found);
        }
    }
}
