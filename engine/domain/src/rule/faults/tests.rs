use jiff::civil::date;

use super::super::shape::{Destination, Emergency, Stop};
use super::*;
use crate::ids::{GroupId, RuleId};

fn leaf(stops: usize) -> Leaf {
    let stop = Stop { to: Destination::Group(GroupId::from_number(1)), pick_up: None };
    Leaf { stops: vec![stop; stops], priority: Leaf::PRIORITY_DEFAULT }
}

fn rule(branch: Branch) -> Rule {
    Rule { id: RuleId::from_number(1), name: "rule".to_owned(), branch, emergency: None }
}

fn bucket(name: &str, percent: u8) -> Bucket {
    Bucket {
        name: name.to_owned(),
        percent,
        branch: Branch::Leaf(leaf(1)),
        paused: false,
        overflow: Overflow::Otherwise,
    }
}

fn percentage(buckets: Vec<Bucket>) -> Branch {
    Branch::Percentage(Percentage { buckets, otherwise: Box::new(Branch::Leaf(leaf(1))) })
}

fn sound_time() -> Time {
    let branch = Branch::Leaf(leaf(1));
    Time {
        zone: "Europe/Berlin".to_owned(),
        holidays: vec![Holiday {
            name: "turn of the year".to_owned(),
            from: date(2026, 12, 24),
            to: date(2026, 1, 2),
            yearly: true,
            windows: vec![],
            branch: branch.clone(),
        }],
        conditions: vec![Condition {
            name: "open".to_owned(),
            days: vec![0, 6],
            windows: vec![Window { from: 0, to: 1440 }, Window { from: 1320, to: 0 }],
            branch: branch.clone(),
        }],
        otherwise: Box::new(branch),
    }
}

#[track_caller]
fn check(branch: Branch, expected: &[&str]) {
    let found = faults(&rule(branch));
    let paths: Vec<_> = found.iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(paths, expected, "{found:#?}");
}

#[test]
fn sound_rules_have_no_fault() {
    check(Branch::Leaf(leaf(1)), &[]);
    check(Branch::Leaf(leaf(5)), &[]);
    check(Branch::Time(sound_time()), &[]);
    check(percentage(vec![bucket("a", 1), bucket("b", 98)]), &[]);
    let twenty = (0..20).map(|at| bucket(&at.to_string(), 4)).collect();
    check(percentage(twenty), &[]);
}

#[test]
fn leaves() {
    check(Branch::Leaf(leaf(0)), &["branch.leaf.stops"]);
    check(Branch::Leaf(leaf(6)), &["branch.leaf.stops"]);
    check(Branch::Leaf(Leaf { priority: 10, ..leaf(1) }), &["branch.leaf.priority"]);
    let mut times = leaf(4);
    times.stops[0].pick_up = Some(Duration::from_millis(4_999));
    times.stops[1].pick_up = Some(Duration::from_secs(5));
    times.stops[2].pick_up = Some(Duration::from_hours(1));
    times.stops[3].pick_up = Some(Duration::from_secs(3601));
    check(Branch::Leaf(times), &["branch.leaf.stops[0].pick_up", "branch.leaf.stops[3].pick_up"]);
}

#[test]
fn the_emergency_branch_is_looked_at_too() {
    let mut rule = rule(Branch::Leaf(leaf(1)));
    rule.emergency = Some(Emergency { leaf: leaf(0), on_until: None });
    assert_eq!(faults(&rule)[0].path, "emergency.leaf.stops");
}

#[test]
fn percentages() {
    let buckets = "branch.percentage.buckets";
    check(percentage(vec![]), &[buckets]);
    check(percentage((0..21).map(|at| bucket(&at.to_string(), 1)).collect()), &[buckets]);
    check(percentage(vec![bucket("a", 50), bucket("b", 50)]), &[buckets]);
    check(percentage(vec![bucket("a", 0)]), &["branch.percentage.buckets[0].percent"]);
    check(percentage(vec![bucket("a", 100)]), &[buckets, "branch.percentage.buckets[0].percent"]);
    check(
        percentage(vec![bucket("a", 1), bucket("a", 1), bucket(" ", 1)]),
        &["branch.percentage.buckets[1].name", "branch.percentage.buckets[2].name"],
    );
}

#[test]
fn overflows() {
    let to = |name: &str| Overflow::Bucket(name.to_owned());
    let a = |overflow| Bucket { overflow, ..bucket("a", 1) };
    let fault = &["branch.percentage.buckets[0].overflow"];
    check(percentage(vec![a(to("b")), bucket("b", 1)]), &[]);
    check(percentage(vec![a(Overflow::None)]), &[]);
    check(percentage(vec![a(to("a")), bucket("b", 1)]), fault);
    check(percentage(vec![a(to("c")), bucket("b", 1)]), fault);
}

#[test]
fn times() {
    let broken = |change: fn(&mut Time)| {
        let mut time = sound_time();
        change(&mut time);
        Branch::Time(time)
    };
    check(broken(|time| time.zone = "Europe/Nowhere".to_owned()), &["branch.time.zone"]);
    check(broken(|time| time.holidays[0].yearly = false), &["branch.time.holidays[0].to"]);
    check(
        broken(|time| time.holidays[0].windows = vec![Window { from: 5, to: 5 }]),
        &["branch.time.holidays[0].windows[0]"],
    );
    check(broken(|time| time.conditions[0].days.clear()), &["branch.time.conditions[0].days"]);
    check(
        broken(|time| time.conditions[0].days = vec![0, 7]),
        &["branch.time.conditions[0].days[1]"],
    );
    check(
        broken(|time| time.conditions[0].windows.clear()),
        &["branch.time.conditions[0].windows"],
    );
    check(
        broken(|time| time.conditions[0].windows[1] = Window { from: 1440, to: 0 }),
        &["branch.time.conditions[0].windows[1]"],
    );
    check(
        broken(|time| time.conditions[0].windows[1].to = 1441),
        &["branch.time.conditions[0].windows[1].to"],
    );
}

#[test]
fn four_layers_and_no_more() {
    let around = |inner: Branch| {
        Branch::Percentage(Percentage {
            buckets: vec![Bucket { branch: inner, ..bucket("a", 1) }],
            otherwise: Box::new(Branch::Leaf(leaf(1))),
        })
    };
    let four = around(around(around(Branch::Time(sound_time()))));
    check(four.clone(), &[]);
    let found = faults(&rule(around(four)));
    assert_eq!(found.len(), 1);
    assert!(found[0].what.contains("4 layers"));
}
