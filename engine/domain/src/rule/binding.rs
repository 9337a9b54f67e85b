//! Decides whom a remembered binding leads to, and what is remembered at close.

use super::reach::destinations;
use super::shape::{Destination, Leaf};
use crate::ids::{ChannelId, StaffId};
use crate::settings::{Channel, Settings, StickyScope, StickyWithin};
use crate::time::Timestamp;
use crate::trace::{BindingKind, Verdict};
use crate::visitor::{Binding, Visitor};

/// The person a binding names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bound {
    pub staff: StaffId,
    /// Why the binding does not hold; `None` = it does, whatever the person's presence and load.
    pub passed_over: Option<Verdict>,
}

/// The person who served this visitor before. `None`: switched off, or nobody is remembered.
pub fn sticky_binding(
    visitor: &Visitor,
    channel: ChannelId,
    settings: &Settings,
    now: Timestamp,
    leaf_in_force: impl FnOnce() -> Leaf,
) -> Option<Bound> {
    let set = settings.channels.get(&channel)?;
    if !set.sticky.on {
        return None;
    }
    // A binding without a channel holds on all of them; which comes first is for the scope to say.
    let covering = visitor.bindings.iter().filter(|binding| {
        binding.kind == BindingKind::Sticky && binding.channel.is_none_or(|on| on == channel)
    });
    let nearness = |binding: &Binding| match set.sticky.scope {
        StickyScope::Channel => binding.channel.is_some(),
        StickyScope::Service => false,
    };
    let binding = best(covering, settings, now, nearness)?;
    let passed_over = not_held(binding, settings, now).or_else(|| {
        let member = match set.sticky.within {
            StickyWithin::Service => true,
            StickyWithin::Rule => settings
                .rules
                .get(&set.rule)
                .is_some_and(|rule| stands_behind(&destinations(rule), binding.staff, settings)),
            StickyWithin::Leaf => {
                let stops: Vec<_> = leaf_in_force().stops.iter().map(|stop| stop.to).collect();
                stands_behind(&stops, binding.staff, settings)
            }
        };
        (!member).then_some(Verdict::NotAMember)
    });
    Some(Bound { staff: binding.staff, passed_over })
}

/// The person who wrote to this visitor first. `None`: nobody is remembered.
///
/// Whether that person may still write first on this channel does not matter: the visitor answers
/// something that was sent.
pub fn engagement_binding(
    visitor: &Visitor,
    channel: ChannelId,
    settings: &Settings,
    now: Timestamp,
) -> Option<Bound> {
    let covering = visitor.bindings.iter().filter(|binding| {
        binding.kind == BindingKind::Engagement && binding.channel == Some(channel)
    });
    let binding = best(covering, settings, now, |_| false)?;
    Some(Bound { staff: binding.staff, passed_over: not_held(binding, settings, now) })
}

/// The sticky binding to remember when an enquiry closes, in place of the old one of the same
/// channel; `None`: the old one stays.
pub fn binding_after_close(
    channel: &Channel,
    owner: Option<StaffId>,
    owner_wrote: bool,
    now: Timestamp,
) -> Option<Binding> {
    let staff = owner.filter(|_| channel.sticky.on && owner_wrote)?;
    Some(Binding {
        kind: BindingKind::Sticky,
        staff,
        channel: match channel.sticky.scope {
            StickyScope::Channel => Some(channel.id),
            StickyScope::Service => None,
        },
        set_at: now,
        expires_at: channel.sticky.expires.map(|after| now + after),
    })
}

/// A live one before a lapsed one, then the nearer, then the newer. A deleted person's are dropped.
fn best<'v>(
    bindings: impl Iterator<Item = &'v Binding>,
    settings: &Settings,
    now: Timestamp,
    nearness: impl Fn(&Binding) -> bool,
) -> Option<&'v Binding> {
    bindings
        .filter(|binding| settings.staff.contains_key(&binding.staff))
        .max_by_key(|binding| (!has_expired(binding, now), nearness(binding), binding.set_at))
}

fn has_expired(binding: &Binding, now: Timestamp) -> bool {
    binding.expires_at.is_some_and(|expires| expires <= now)
}

fn not_held(binding: &Binding, settings: &Settings, now: Timestamp) -> Option<Verdict> {
    if has_expired(binding, now) {
        return Some(Verdict::Expired);
    }
    let enabled = settings.staff.get(&binding.staff).is_some_and(|staff| staff.enabled);
    (!enabled).then_some(Verdict::NotEnabled)
}

/// Whether a person is a member of a group behind one of these destinations.
fn stands_behind(destinations: &[Destination], staff: StaffId, settings: &Settings) -> bool {
    destinations
        .iter()
        .filter_map(|&destination| settings.group_of(destination))
        .any(|group| group.members.contains(&staff))
}

#[cfg(test)]
mod tests;
