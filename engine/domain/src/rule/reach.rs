//! Decides which ordered destinations a rule leads to.

use std::collections::BTreeSet;

use super::counters::Counters;
use super::percentage::{Draw, Drawn};
use super::shape::{Branch, Destination, Leaf, Percentage, Rule};
use crate::ids::{ChannelId, RuleId};
use crate::time::Timestamp;
use crate::trace::Step;

/// A rule as one walk goes by it.
#[derive(Clone, Copy, Debug)]
pub struct Version<'r> {
    pub rule: &'r Rule,
    /// Edited since the walk began. What it draws counts only in a period of the same shares: it
    /// neither belongs to the split of another version nor begins a new one.
    pub edited: bool,
}

impl<'r> From<&'r Rule> for Version<'r> {
    fn from(rule: &'r Rule) -> Self {
        Self { rule, edited: false }
    }
}

impl Version<'_> {
    fn counting(self, counters: &mut Counters) -> Counting<'_> {
        if self.edited { Counting::Edited(counters) } else { Counting::On(counters) }
    }
}

/// What a rule led to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reached {
    pub leaf: Leaf,
    /// The innermost percentage layer passed; `None` = none was.
    pub drawn: Option<Drawn>,
    pub steps: Vec<Step>,
}

/// Evaluates a rule for a channel: its emergency branch if that is on, else its layers.
///
/// `kept` is what an earlier walk of the same enquiry drew: used again, without drawing, as far as
/// its layer is on the way; a layer where nothing is kept is drawn from. The new walk may follow
/// overflows anew.
pub fn reach<'r>(
    version: impl Into<Version<'r>>,
    channel: ChannelId,
    now: Timestamp,
    kept: Option<Drawn>,
    counters: &mut Counters,
) -> Reached {
    let version = version.into();
    let rule = version.rule;
    emergency(rule, now).unwrap_or_else(|| {
        let layers = Layers { channel, rule: rule.id, counting: version.counting(counters) };
        Descent::new(now, layers, kept).down(&rule.branch, 0)
    })
}

/// The leaf in force now, without drawing or counting: where nothing is kept, what the next draw
/// would give.
pub fn leaf_in_force(
    rule: &Rule,
    channel: ChannelId,
    now: Timestamp,
    kept: Option<Drawn>,
    counters: &Counters,
) -> (Leaf, Vec<Step>) {
    let reached = emergency(rule, now).unwrap_or_else(|| {
        let layers = Layers { channel, rule: rule.id, counting: Counting::Off(counters) };
        Descent::new(now, layers, kept).down(&rule.branch, 0)
    });
    (reached.leaf, reached.steps)
}

/// Where the drawn bucket gives an enquiry that it cannot take; `None`: nowhere.
///
/// Each bucket gives on once in a walk, and what it gave to does not give on. A bucket of an inner
/// layer that has nowhere to give to leaves it to the bucket around it: called again with what was
/// returned, this goes outward until it says `None`, so at most once per layer.
pub fn overflow<'r>(
    version: impl Into<Version<'r>>,
    channel: ChannelId,
    drawn: Drawn,
    now: Timestamp,
    counters: &mut Counters,
) -> Option<Reached> {
    let version = version.into();
    let rule = version.rule;
    let passed = layers_to(&rule.branch, drawn)?;
    let mut drawn = drawn;
    for (depth, passed) in passed.iter().enumerate().rev() {
        let bit = bit(depth);
        if drawn.followed & bit != 0 {
            continue;
        }
        drawn.followed |= bit;
        let Some(to) = passed.layer.overflow_of(passed.slot) else {
            continue;
        };
        if drawn.counted & bit == 0 {
            drawn.counted |= bit;
            let of = (channel, rule.id, passed.node);
            if !version.edited || counters.counts(of, passed.layer) {
                counters.overflowed(of, passed.layer, passed.slot);
            }
        }
        drawn.overflowed = true;
        let step = Step::Overflowed {
            from: passed.layer.name_and_percent(passed.slot).0.to_owned(),
            to: passed.layer.name_and_percent(to).0.to_owned(),
        };
        let (branch, node) = child(passed.layer.branches(), to, passed.node.saturating_add(1))?;
        let layers = Layers { channel, rule: rule.id, counting: version.counting(counters) };
        let mut descent = Descent::new(now, layers, None);
        descent.steps.push(step);
        return Some(Reached { drawn: Some(drawn), ..descent.down(branch, node) });
    }
    None
}

/// Whether a bucket around what was drawn can still give it on.
pub fn could_overflow(rule: &Rule, drawn: Drawn) -> bool {
    let mut passed = layers_to(&rule.branch, drawn).into_iter().flatten().enumerate();
    passed.any(|(depth, passed)| {
        drawn.followed & bit(depth) == 0 && passed.layer.overflow_of(passed.slot).is_some()
    })
}

/// All destinations a rule names, in any branch, the emergency branch first; each once.
pub fn destinations(rule: &Rule) -> Vec<Destination> {
    let mut seen = BTreeSet::new();
    let mut listed = Vec::new();
    let mut list = |leaf: &Leaf| {
        listed.extend(leaf.stops.iter().map(|stop| stop.to).filter(|&to| seen.insert(to)));
    };
    if let Some(emergency) = &rule.emergency {
        list(&emergency.leaf);
    }
    each_leaf(&rule.branch, &mut list);
    listed
}

fn each_leaf<'r>(branch: &'r Branch, list: &mut impl FnMut(&'r Leaf)) {
    match branch {
        Branch::Leaf(leaf) => list(leaf),
        Branch::Percentage(layer) => layer.branches().for_each(|branch| each_leaf(branch, list)),
        Branch::Time(layer) => layer.branches().for_each(|branch| each_leaf(branch, list)),
    }
}

fn emergency(rule: &Rule, now: Timestamp) -> Option<Reached> {
    let emergency = rule.emergency.as_ref()?;
    let until = emergency.on_until.filter(|&until| now < until)?;
    let leaf = emergency.leaf.clone();
    let steps = vec![Step::Emergency { until }, leaf_step(&leaf)];
    Some(Reached { leaf, drawn: None, steps })
}

fn leaf_step(leaf: &Leaf) -> Step {
    Step::Leaf { stops: leaf.stops.clone(), priority: leaf.priority }
}

/// The percentage layers of one rule as one channel uses them.
struct Layers<'a> {
    channel: ChannelId,
    rule: RuleId,
    counting: Counting<'a>,
}

enum Counting<'a> {
    On(&'a mut Counters),
    /// By an earlier version of the rule.
    Edited(&'a mut Counters),
    /// Only looked at.
    Off(&'a Counters),
}

impl Layers<'_> {
    fn draw(&mut self, node: u16, layer: &Percentage) -> Draw {
        let of = (self.channel, self.rule, node);
        match &mut self.counting {
            Counting::On(counters) => counters.draw(of, layer),
            Counting::Edited(counters) if counters.counts(of, layer) => counters.draw(of, layer),
            Counting::Edited(counters) => counters.peek(of, layer),
            Counting::Off(counters) => counters.peek(of, layer),
        }
    }

    /// Draws in the layer's period so far.
    fn drawn(&self, node: u16) -> u64 {
        let of = (self.channel, self.rule, node);
        match &self.counting {
            Counting::On(counters) | Counting::Edited(counters) => counters.drawn(of),
            Counting::Off(counters) => counters.drawn(of),
        }
    }
}

/// One way down through the layers.
struct Descent<'a> {
    now: Timestamp,
    layers: Layers<'a>,
    kept: Option<Drawn>,
    /// Percentage layers passed.
    depth: usize,
    steps: Vec<Step>,
    drawn: Option<Drawn>,
}

impl<'a> Descent<'a> {
    fn new(now: Timestamp, layers: Layers<'a>, kept: Option<Drawn>) -> Self {
        Self { now, layers, kept, depth: 0, steps: Vec::new(), drawn: None }
    }

    /// `node`: the number of the first percentage layer at or below `branch`.
    fn down(mut self, mut branch: &Branch, mut node: u16) -> Reached {
        loop {
            let next = match branch {
                Branch::Leaf(leaf) => return self.arrived(leaf.clone()),
                Branch::Time(layer) => {
                    let judged = layer.judge(self.now);
                    self.steps.push(judged.step);
                    child(layer.branches(), judged.slot, node)
                }
                Branch::Percentage(layer) => {
                    let slot = self.bucket(layer, node);
                    child(layer.branches(), slot, node.saturating_add(1))
                }
            };
            (branch, node) = next.expect("a layer always has the branch it chose");
        }
    }

    fn arrived(mut self, leaf: Leaf) -> Reached {
        self.steps.push(leaf_step(&leaf));
        Reached { leaf, drawn: self.drawn, steps: self.steps }
    }

    fn bucket(&mut self, layer: &Percentage, node: u16) -> usize {
        let kept = self.kept.and_then(|kept| Some((kept, kept_slot(layer, node, kept)?)));
        let counted_around = self.drawn.map_or(0, |drawn| drawn.counted);
        let (draw, counted) = match kept {
            Some((kept, slot)) => {
                let draw = Draw { slot, number: self.layers.drawn(node) };
                (draw, counted_around | (kept.counted & bit(self.depth)))
            }
            None => (self.layers.draw(node, layer), counted_around),
        };
        let (bucket, percent) = layer.name_and_percent(draw.slot);
        self.steps.push(Step::Percentage {
            bucket: bucket.to_owned(),
            percent,
            draw: draw.number,
            kept: kept.is_some(),
        });
        let bucket = Drawn::bucket_in(layer, draw.slot);
        self.drawn = Some(Drawn { counted, ..Drawn::new(node, bucket) });
        self.depth += 1;
        draw.slot
    }
}

/// Which branch of a layer an earlier walk took: the bucket kept, or the one around it.
fn kept_slot(layer: &Percentage, node: u16, kept: Drawn) -> Option<usize> {
    if kept.node == node {
        return kept.slot(layer);
    }
    holding(layer.branches(), node.saturating_add(1), kept.node).map(|(slot, ..)| slot)
}

/// The bit that stands for a percentage layer with this many others around it.
fn bit(depth: usize) -> u8 {
    u32::try_from(depth).ok().and_then(|depth| 1_u8.checked_shl(depth)).unwrap_or(0)
}

/// A percentage layer on the way to what was drawn.
struct Passed<'r> {
    node: u16,
    layer: &'r Percentage,
    slot: usize,
}

/// The percentage layers around the drawn bucket, outermost first; `None` = it is not there.
fn layers_to(branch: &Branch, drawn: Drawn) -> Option<Vec<Passed<'_>>> {
    let (mut branch, mut node) = (branch, 0);
    let mut passed = Vec::new();
    loop {
        match branch {
            Branch::Leaf(_) => return None,
            Branch::Time(layer) => {
                (_, branch, node) = holding(layer.branches(), node, drawn.node)?;
            }
            Branch::Percentage(layer) if node == drawn.node => {
                passed.push(Passed { node, layer, slot: drawn.slot(layer)? });
                return Some(passed);
            }
            Branch::Percentage(layer) => {
                let inner = holding(layer.branches(), node.saturating_add(1), drawn.node)?;
                passed.push(Passed { node, layer, slot: inner.0 });
                (_, branch, node) = inner;
            }
        }
    }
}

/// Of branches numbered from `node` on, the one that holds the layer `wanted`: its place, itself,
/// and its first number.
fn holding<'r>(
    branches: impl Iterator<Item = &'r Branch>,
    node: u16,
    wanted: u16,
) -> Option<(usize, &'r Branch, u16)> {
    let mut first = node;
    for (slot, branch) in branches.enumerate() {
        let after = first.saturating_add(layers(branch));
        if (first..after).contains(&wanted) {
            return Some((slot, branch, first));
        }
        first = after;
    }
    None
}

/// The branch in a place among branches numbered from `node` on, and its first number.
fn child<'r>(
    branches: impl Iterator<Item = &'r Branch>,
    slot: usize,
    node: u16,
) -> Option<(&'r Branch, u16)> {
    let mut first = node;
    for (at, branch) in branches.enumerate() {
        if at == slot {
            return Some((branch, first));
        }
        first = first.saturating_add(layers(branch));
    }
    None
}

/// How many percentage layers a branch holds, itself included.
fn layers(branch: &Branch) -> u16 {
    let sum = |sum: u16, branch| sum.saturating_add(layers(branch));
    match branch {
        Branch::Leaf(_) => 0,
        Branch::Percentage(layer) => layer.branches().fold(1, sum),
        Branch::Time(layer) => layer.branches().fold(0, sum),
    }
}

#[cfg(test)]
mod tests;
