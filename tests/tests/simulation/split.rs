//! Follows a trace through its rule by its own understanding of the rule, and keeps its own account
//! of percentage draws.

use std::collections::BTreeMap;

use usher_domain::ids::{ChannelId, EnquiryId, RuleId};
use usher_domain::rule::{Branch, Overflow, Percentage, Time};
use usher_domain::time::Timestamp;
use usher_domain::trace::Step;

use crate::calendar;
use crate::coverage::Coverage;
use crate::model::Model;

type Layer = (ChannelId, RuleId, u16);

/// Draws per percentage layer since its shares or pauses last changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Splits(pub(crate) BTreeMap<Layer, Split>);

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Split {
    pub(crate) shares: Vec<u64>,
    pub(crate) counts: Vec<u64>,
}

impl Splits {
    /// Counts a draw; the split has to be exact after it (R7). Gives the number of the draw.
    ///
    /// Under a version that was edited since, draws count only in a period of the same shares.
    fn draw(&mut self, of: Layer, layer: &Percentage, slot: usize, edited: bool) -> u64 {
        let mut shares: Vec<u64> =
            layer.buckets.iter().map(|b| if b.paused { 0 } else { u64::from(b.percent) }).collect();
        shares.push(100 - layer.buckets.iter().map(|b| u64::from(b.percent)).sum::<u64>());
        if edited && self.0.get(&of).is_none_or(|split| split.shares != shares) {
            assert!(shares[slot] > 0, "R7: a paused bucket was drawn");
            return 1;
        }
        let split = self.0.entry(of).or_default();
        if split.shares != shares {
            *split = Split { counts: vec![0; shares.len()], shares };
        }
        split.counts[slot] += 1;
        assert!(split.shares[slot] > 0, "R7: a paused bucket was drawn");
        let whole: u64 = split.shares.iter().sum();
        let drawn: u64 = split.counts.iter().sum();
        for (share, count) in split.shares.iter().zip(&split.counts) {
            let off = (share * drawn).abs_diff(whole * count);
            assert!(off < whole, "R7: {:?} drawn of {:?} is not exact", split.counts, split.shares);
        }
        drawn
    }
}

/// How many percentage layers a branch holds, itself included: they are numbered in pre-order.
fn layers(branch: &Branch) -> u16 {
    match branch {
        Branch::Leaf(_) => 0,
        Branch::Percentage(layer) => 1 + bucket_branches(layer).map(layers).sum::<u16>(),
        Branch::Time(layer) => time_branches(layer).map(layers).sum(),
    }
}

fn bucket_branches(layer: &Percentage) -> impl Iterator<Item = &Branch> {
    layer.buckets.iter().map(|bucket| &bucket.branch).chain([&*layer.otherwise])
}

fn time_branches(layer: &Time) -> impl Iterator<Item = &Branch> {
    let holidays = layer.holidays.iter().map(|holiday| &holiday.branch);
    holidays.chain(layer.conditions.iter().map(|c| &c.branch)).chain([&*layer.otherwise])
}

/// One descent through the layers of a rule, as the trace tells it.
pub(crate) struct Follow<'a> {
    pub(crate) model: &'a mut Model,
    pub(crate) coverage: &'a mut Coverage,
    pub(crate) enquiry: EnquiryId,
    pub(crate) channel: ChannelId,
    pub(crate) rule: RuleId,
    /// The walk goes by an earlier version.
    pub(crate) edited: bool,
    /// On the main way: what it draws is kept by later walks.
    pub(crate) kept: Vec<(u16, usize)>,
    pub(crate) passed: Vec<(u16, usize)>,
}

impl Follow<'_> {
    pub(crate) fn down<'s>(
        &mut self,
        branch: &Branch,
        node: u16,
        within: &'static str,
        steps: &mut impl Iterator<Item = &'s Step>,
    ) {
        match branch {
            Branch::Leaf(leaf) => {
                let step = steps.next();
                let Some(Step::Leaf { stops, priority }) = step else {
                    unreachable_step(step, "a leaf")
                };
                assert_eq!((stops, priority), (&leaf.stops, &leaf.priority), "another leaf");
                if within.is_empty() {
                    self.coverage.hit("rule: alternative");
                }
                if leaf.stops.len() > 1 {
                    self.coverage.hit("rule: several destinations in order");
                }
                if leaf.priority != 5 {
                    self.coverage.hit("rule: own priority");
                }
                self.model.take_leaf(self.enquiry, leaf);
            }
            Branch::Time(layer) => {
                let step = steps.next();
                let Some(Step::Time { matched, .. }) = step else {
                    unreachable_step(step, "a time layer")
                };
                let now = self.model.now;
                let (slot, name) = calendar::matching(layer, now);
                assert_eq!(matched, name, "the time layer {layer:?} at {now:?}");
                self.cover_time(layer, slot, within);
                let (next, node) = child(time_branches(layer), slot, node);
                self.down(next, node, "time", steps);
            }
            Branch::Percentage(layer) => {
                let step = steps.next();
                let Some(Step::Percentage { bucket, draw, kept, .. }) = step else {
                    unreachable_step(step, "a percentage layer")
                };
                let slot = slot_of(layer, bucket);
                self.bucket(layer, node, slot, (*draw, *kept));
                self.coverage.hit(match within {
                    "time" => "rule: percentage in time",
                    "percentage" => "rule: percentage in percentage",
                    _ => "rule: percentage",
                });
                let (next, node) = child(bucket_branches(layer), slot, node + 1);
                self.down(next, node, "percentage", steps);
            }
        }
    }

    fn bucket(&mut self, layer: &Percentage, node: u16, slot: usize, told: (u64, bool)) {
        let (number, kept) = told;
        let before = self.kept.iter().find(|&&(of, _)| of == node).map(|&(_, slot)| slot);
        assert_eq!(kept, before.is_some(), "a second walk keeps its bucket, a first one draws");
        if kept {
            assert_eq!(before, Some(slot), "a second walk keeps its bucket");
            self.coverage.hit("rule: bucket kept in a second walk");
        } else {
            let of = (self.channel, self.rule, node);
            let own = self.model.splits.draw(of, layer, slot, self.edited);
            assert_eq!(number, own, "R7: a draw was lost or counted twice");
        }
        if layer.buckets.iter().any(|bucket| bucket.paused) {
            self.coverage.hit("rule: bucket paused");
        }
        self.passed.push((node, slot));
    }

    fn cover_time(&mut self, layer: &Time, slot: usize, within: &'static str) {
        self.coverage.hit(if within == "percentage" {
            "rule: time in percentage"
        } else {
            "rule: time"
        });
        if slot < layer.holidays.len() {
            self.coverage.hit("rule: holiday");
        }
        if let Some(condition) = slot
            .checked_sub(layer.holidays.len())
            .and_then(|condition| layer.conditions.get(condition))
            && condition.windows.iter().any(|window| window.from > window.to)
        {
            self.coverage.hit("rule: window over midnight");
        }
        let now = self.model.now;
        let soon = Timestamp::from_millis(now.millis() + 6 * 3_600_000);
        if calendar::clock_was_set(&layer.zone, now, soon)
            || calendar::clock_was_set(
                &layer.zone,
                Timestamp::from_millis(now.millis() - 6 * 3_600_000),
                now,
            )
        {
            self.coverage.hit("rule: summer time begins or ends");
        }
    }

    /// A bucket gave on what it could not take.
    pub(crate) fn overflow<'s>(
        &mut self,
        root: &Branch,
        from: &str,
        to: &str,
        steps: &mut impl Iterator<Item = &'s Step>,
    ) {
        let case = self.model.case(self.enquiry);
        assert_eq!(case.done, case.leaf.stops.len(), "overflowed before the leaf was walked");
        let (path, followed) = (case.path.clone(), case.followed.clone());
        for &(node, slot) in path.iter().rev() {
            if followed.contains(&node) {
                continue;
            }
            self.model.case_mut(self.enquiry).followed.push(node);
            let (layer, number) = find(root, 0, node).expect("the layer is still there");
            assert_eq!(number, node);
            let Some(target) = target_of(layer, slot) else { continue };
            assert_eq!(layer.buckets[slot].name, from, "overflowed from another bucket");
            assert_eq!(slot_of(layer, to), target, "overflowed to another bucket");
            self.coverage.hit(if target == layer.buckets.len() {
                "rule: overflowed to otherwise"
            } else {
                "rule: overflowed to a bucket"
            });
            let (next, node) = child(bucket_branches(layer), target, node + 1);
            self.down(next, node, "percentage", steps);
            return;
        }
        unreachable!("overflowed though nothing gives on");
    }
}

#[track_caller]
fn unreachable_step(step: Option<&Step>, wanted: &str) -> ! {
    unreachable!("the trace shows {step:?} where {wanted} is")
}

/// Whether a layer on the path still has somewhere to give an enquiry to.
pub(crate) fn could_overflow(root: &Branch, path: &[(u16, usize)], followed: &[u16]) -> bool {
    path.iter().any(|&(node, slot)| {
        !followed.contains(&node)
            && find(root, 0, node).is_some_and(|(layer, _)| target_of(layer, slot).is_some())
    })
}

fn target_of(layer: &Percentage, slot: usize) -> Option<usize> {
    let otherwise = layer.buckets.len();
    match &layer.buckets.get(slot)?.overflow {
        Overflow::None => None,
        Overflow::Otherwise => Some(otherwise),
        Overflow::Bucket(name) => {
            let target = slot_of(layer, name);
            Some(if layer.buckets[target].paused || target == slot { otherwise } else { target })
        }
    }
}

fn slot_of(layer: &Percentage, name: &str) -> usize {
    layer.buckets.iter().position(|bucket| bucket.name == name).unwrap_or(layer.buckets.len())
}

fn child<'b>(
    branches: impl Iterator<Item = &'b Branch>,
    slot: usize,
    first: u16,
) -> (&'b Branch, u16) {
    let mut node = first;
    for (at, branch) in branches.enumerate() {
        if at == slot {
            return (branch, node);
        }
        node += layers(branch);
    }
    unreachable_step(None, "a branch")
}

fn find(branch: &Branch, node: u16, wanted: u16) -> Option<(&Percentage, u16)> {
    let mut first = node;
    let inner: Vec<&Branch> = match branch {
        Branch::Leaf(_) => return None,
        Branch::Percentage(layer) => {
            if node == wanted {
                return Some((layer, node));
            }
            first += 1;
            bucket_branches(layer).collect()
        }
        Branch::Time(layer) => time_branches(layer).collect(),
    };
    for branch in inner {
        if let Some(found) = find(branch, first, wanted) {
            return Some(found);
        }
        first += layers(branch);
    }
    None
}
