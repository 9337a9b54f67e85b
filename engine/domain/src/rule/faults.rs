//! Decides whether a rule is sound, and names every place where it is not.

use std::collections::BTreeSet;
use std::time::Duration;

use super::schedule;
use super::shape::{
    Branch, Bucket, Condition, Holiday, Leaf, Overflow, Percentage, Rule, Time, Window,
};

/// One thing wrong with a rule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// Where, in the rule's JSON form: `branch.percentage.buckets[2].percent`.
    pub path: String,
    /// For a person to read.
    pub what: String,
}

const PICK_UP_LEAST: Duration = Duration::from_secs(5);
const PICK_UP_MOST: Duration = Duration::from_hours(1);
const MINUTES_OF_DAY: u16 = 24 * 60;
const DAYS_OF_WEEK: u8 = 7;

/// Everything wrong with a rule, in the order of its text; empty = sound.
///
/// Whether its destinations exist is for the settings to say.
pub fn faults(rule: &Rule) -> Vec<Fault> {
    let mut found = Found(Vec::new());
    found.branch("branch", &rule.branch, 1);
    if let Some(emergency) = &rule.emergency {
        found.leaf("emergency.leaf", &emergency.leaf);
    }
    found.0
}

struct Found(Vec<Fault>);

impl Found {
    fn push(&mut self, path: impl Into<String>, what: impl Into<String>) {
        self.0.push(Fault { path: path.into(), what: what.into() });
    }

    /// `depth`: the layer's, the outermost being 1. Leaves lie below and are not counted.
    fn branch(&mut self, path: &str, branch: &Branch, depth: usize) {
        if !matches!(branch, Branch::Leaf(_)) && depth > Branch::DEPTH_MAX {
            let what = format!("at most {} layers within each other", Branch::DEPTH_MAX);
            return self.push(path, what);
        }
        match branch {
            Branch::Leaf(leaf) => self.leaf(&format!("{path}.leaf"), leaf),
            Branch::Percentage(layer) => {
                self.percentage(&format!("{path}.percentage"), layer, depth);
            }
            Branch::Time(layer) => self.time(&format!("{path}.time"), layer, depth),
        }
    }

    fn leaf(&mut self, path: &str, leaf: &Leaf) {
        if leaf.stops.is_empty() || leaf.stops.len() > Leaf::STOPS_MAX {
            let what = format!("1 to {} destinations, not {}", Leaf::STOPS_MAX, leaf.stops.len());
            self.push(format!("{path}.stops"), what);
        }
        for (at, stop) in leaf.stops.iter().enumerate() {
            if stop.pick_up.is_some_and(|time| !(PICK_UP_LEAST..=PICK_UP_MOST).contains(&time)) {
                self.push(format!("{path}.stops[{at}].pick_up"), "5 s to 60 min");
            }
        }
        if leaf.priority > Leaf::PRIORITY_MAX {
            let what = format!("0 to {}, not {}", Leaf::PRIORITY_MAX, leaf.priority);
            self.push(format!("{path}.priority"), what);
        }
    }

    fn percentage(&mut self, path: &str, layer: &Percentage, depth: usize) {
        let buckets = &layer.buckets;
        let list = format!("{path}.buckets");
        if buckets.is_empty() || buckets.len() > Percentage::BUCKETS_MAX {
            let what = format!("1 to {} buckets, not {}", Percentage::BUCKETS_MAX, buckets.len());
            self.push(&list, what);
        }
        let sum: usize = buckets.iter().map(|bucket| usize::from(bucket.percent)).sum();
        if sum > 99 {
            self.push(&list, format!("percents add up to at most 99, not {sum}"));
        }
        let mut names = BTreeSet::new();
        for (at, bucket) in buckets.iter().enumerate() {
            let path = format!("{list}[{at}]");
            if !names.insert(bucket.name.as_str()) {
                self.push(format!("{path}.name"), "another bucket has this name");
            }
            self.bucket(&path, bucket, buckets);
            self.branch(&format!("{path}.branch"), &bucket.branch, depth + 1);
        }
        self.branch(&format!("{path}.otherwise"), &layer.otherwise, depth + 1);
    }

    fn bucket(&mut self, path: &str, bucket: &Bucket, all: &[Bucket]) {
        if bucket.name.trim().is_empty() {
            self.push(format!("{path}.name"), "a bucket needs a name");
        }
        if !(1..=99).contains(&bucket.percent) {
            let what = format!("1 to 99 percent, not {}", bucket.percent);
            self.push(format!("{path}.percent"), what);
        }
        let Overflow::Bucket(name) = &bucket.overflow else {
            return;
        };
        if *name == bucket.name {
            self.push(format!("{path}.overflow"), "a bucket cannot overflow into itself");
        } else if !all.iter().any(|other| other.name == *name) {
            self.push(format!("{path}.overflow"), format!("there is no bucket `{name}`"));
        }
    }

    fn time(&mut self, path: &str, layer: &Time, depth: usize) {
        if schedule::zone(&layer.zone).is_none() {
            let what = format!("`{}` is not an IANA time zone", layer.zone);
            self.push(format!("{path}.zone"), what);
        }
        for (at, holiday) in layer.holidays.iter().enumerate() {
            let path = format!("{path}.holidays[{at}]");
            self.holiday(&path, holiday);
            self.branch(&format!("{path}.branch"), &holiday.branch, depth + 1);
        }
        for (at, condition) in layer.conditions.iter().enumerate() {
            let path = format!("{path}.conditions[{at}]");
            self.condition(&path, condition);
            self.branch(&format!("{path}.branch"), &condition.branch, depth + 1);
        }
        self.branch(&format!("{path}.otherwise"), &layer.otherwise, depth + 1);
    }

    fn holiday(&mut self, path: &str, holiday: &Holiday) {
        if !holiday.yearly && holiday.to < holiday.from {
            self.push(format!("{path}.to"), "before the first day");
        }
        self.windows(path, &holiday.windows);
    }

    fn condition(&mut self, path: &str, condition: &Condition) {
        if condition.days.is_empty() {
            self.push(format!("{path}.days"), "at least one day");
        }
        for (at, &day) in condition.days.iter().enumerate() {
            if day >= DAYS_OF_WEEK {
                let what = format!("0 (Monday) to 6 (Sunday), not {day}");
                self.push(format!("{path}.days[{at}]"), what);
            }
        }
        if condition.windows.is_empty() {
            self.push(format!("{path}.windows"), "at least one window");
        }
        self.windows(path, &condition.windows);
    }

    fn windows(&mut self, path: &str, windows: &[Window]) {
        for (at, window) in windows.iter().enumerate() {
            let path = format!("{path}.windows[{at}]");
            self.minute(&path, "from", window.from);
            self.minute(&path, "to", window.to);
            // From 24:00 to 00:00 no time passes either.
            if window.from == window.to || (window.from, window.to) == (MINUTES_OF_DAY, 0) {
                self.push(path, "begins and ends at the same time");
            }
        }
    }

    fn minute(&mut self, path: &str, end: &str, minute: u16) {
        if minute > MINUTES_OF_DAY {
            let what = format!("0 to {MINUTES_OF_DAY} minutes, not {minute}");
            self.push(format!("{path}.{end}"), what);
        }
    }
}

#[cfg(test)]
mod tests;
