use jiff::civil::date;
use proptest::prelude::*;

use super::super::shape::{Bucket, Condition, Emergency, Holiday, Overflow, Stop, Time, Window};
use super::*;
use crate::ids::{BotId, GroupId, RuleId};

const CHANNEL: ChannelId = ChannelId::from_number(1);
const RULE: RuleId = RuleId::from_number(1);
/// A Thursday.
const NOON: Timestamp = Timestamp::from_millis(12 * 3_600_000);
const EVENING: Timestamp = Timestamp::from_millis(20 * 3_600_000);

fn to(number: u128) -> Destination {
    Destination::Group(GroupId::from_number(number))
}

fn leaf(number: u128) -> Leaf {
    Leaf { stops: vec![Stop { to: to(number), pick_up: None }], priority: 5 }
}

fn at(number: u128) -> Branch {
    Branch::Leaf(leaf(number))
}

fn bucket(name: &str, percent: u8, branch: Branch, overflow: Overflow) -> Bucket {
    Bucket { name: name.to_owned(), percent, branch, paused: false, overflow }
}

fn percentage(buckets: Vec<Bucket>, otherwise: Branch) -> Branch {
    Branch::Percentage(Percentage { buckets, otherwise: Box::new(otherwise) })
}

/// By day, from 9 to 17, the one branch, else the other.
fn by_day(day: Branch, otherwise: Branch) -> Branch {
    Branch::Time(Time {
        zone: "UTC".to_owned(),
        holidays: vec![],
        conditions: vec![Condition {
            name: "day".to_owned(),
            days: (0..7).collect(),
            windows: vec![Window { from: 9 * 60, to: 17 * 60 }],
            branch: day,
        }],
        otherwise: Box::new(otherwise),
    })
}

fn rule(branch: Branch) -> Rule {
    Rule { id: RULE, name: "rule".to_owned(), branch, emergency: None }
}

fn new_walk(rule: &Rule, now: Timestamp, counters: &mut Counters) -> Reached {
    reach(rule, CHANNEL, now, None, counters)
}

/// Draws until one leads to this leaf.
fn walk_to(rule: &Rule, number: u128, now: Timestamp, counters: &mut Counters) -> Reached {
    (0..200)
        .map(|_| new_walk(rule, now, counters))
        .find(|reached| reached.leaf == leaf(number))
        .expect("a bucket of at least one percent is drawn within 200")
}

/// 1 ‖ layer 0: a 30 → layer 1 (x 50 → 11, else 12); b 30 → by day layer 2 (y 50 → 21, else 22),
/// else 23; otherwise → 30.
fn nested() -> Rule {
    let inner_a = percentage(vec![bucket("x", 50, at(11), Overflow::None)], at(12));
    let inner_b = percentage(vec![bucket("y", 50, at(21), Overflow::Otherwise)], at(22));
    rule(percentage(
        vec![
            bucket("a", 30, inner_a, Overflow::Bucket("b".to_owned())),
            bucket("b", 30, by_day(inner_b, at(23)), Overflow::Otherwise),
        ],
        at(30),
    ))
}

#[test]
fn alternative_routing_is_its_leaf() {
    let reached = new_walk(&rule(at(7)), NOON, &mut Counters::new());
    let step = Step::Leaf { stops: leaf(7).stops, priority: 5 };
    assert_eq!(reached, Reached { leaf: leaf(7), drawn: None, steps: vec![step] });
}

#[test]
fn the_emergency_branch_comes_first_until_its_end() {
    let mut rule = nested();
    let mut counters = Counters::new();
    rule.emergency = Some(Emergency { leaf: leaf(99), on_until: Some(EVENING) });
    let reached = new_walk(&rule, NOON, &mut counters);
    assert_eq!((reached.leaf, reached.drawn), (leaf(99), None));
    assert_eq!(reached.steps[0], Step::Emergency { until: EVENING });
    assert_eq!(leaf_in_force(&rule, CHANNEL, NOON, None, &counters).0, leaf(99));
    assert!(counters.take_changed().is_empty());
    assert_ne!(new_walk(&rule, EVENING, &mut counters).leaf, leaf(99));
    rule.emergency = Some(Emergency { leaf: leaf(99), on_until: None });
    assert_ne!(new_walk(&rule, NOON, &mut counters).leaf, leaf(99));
}

#[test]
fn layers_count_for_themselves_in_pre_order() {
    let rule = nested();
    let mut counters = Counters::new();
    for _ in 0..1_000 {
        new_walk(&rule, NOON, &mut counters);
    }
    let period = |node| counters.get(CHANNEL, RULE, node).unwrap().period.clone();
    assert_eq!(period(0), [300, 300, 400]);
    assert_eq!(period(1), [150, 150]);
    assert_eq!(period(2), [150, 150]);
    let changed: Vec<u16> = counters.take_changed().iter().map(|&(.., node, _)| node).collect();
    assert_eq!(changed, [0, 1, 2]);
    assert!(counters.take_changed().is_empty());
}

#[test]
fn channels_count_for_themselves() {
    let rule = nested();
    let mut counters = Counters::new();
    new_walk(&rule, NOON, &mut counters);
    reach(&rule, ChannelId::from_number(2), NOON, None, &mut counters);
    let drawn: Vec<u64> = counters
        .iter()
        .filter(|&(.., node, _)| node == 0)
        .map(|(.., draws)| draws.drawn())
        .collect();
    assert_eq!(drawn, [1, 1]);
}

#[test]
fn a_second_walk_keeps_its_bucket_and_does_not_draw() {
    let rule = nested();
    let mut counters = Counters::new();
    for number in [11, 12, 21, 22, 30] {
        let first = walk_to(&rule, number, NOON, &mut counters);
        counters.take_changed();
        let second = reach(&rule, CHANNEL, NOON, first.drawn, &mut counters);
        assert_eq!((&second.leaf, second.drawn), (&first.leaf, first.drawn));
        assert!(counters.take_changed().is_empty());
        let kept = |step: &Step| matches!(step, Step::Percentage { kept: false, .. });
        assert!(!second.steps.iter().any(kept));
        assert_eq!(leaf_in_force(&rule, CHANNEL, NOON, first.drawn, &counters).0, first.leaf);
    }
}

#[test]
fn what_is_no_longer_reached_is_drawn_anew_and_the_rest_is_kept() {
    let rule = nested();
    let mut counters = Counters::new();
    let by_day = walk_to(&rule, 21, NOON, &mut counters);
    counters.take_changed();
    let evening = reach(&rule, CHANNEL, EVENING, by_day.drawn, &mut counters);
    assert_eq!((evening.leaf, evening.drawn), (leaf(23), Some(Drawn::new(0, 1))));
    assert!(counters.take_changed().is_empty());
    let next_day = reach(&rule, CHANNEL, NOON, Some(Drawn::new(0, 1)), &mut counters);
    assert_eq!(next_day.drawn.map(|drawn| drawn.node), Some(2));
    let changed: Vec<u16> = counters.take_changed().iter().map(|&(.., node, _)| node).collect();
    assert_eq!(changed, [2]);
}

#[test]
fn a_bucket_that_is_gone_is_drawn_anew() {
    let rule = rule(percentage(vec![bucket("a", 50, at(1), Overflow::None)], at(2)));
    let mut counters = Counters::new();
    let reached = reach(&rule, CHANNEL, NOON, Some(Drawn::new(0, 7)), &mut counters);
    assert_eq!(reached.drawn, Some(Drawn::new(0, 0)));
    assert_eq!(counters.take_changed().len(), 1);
    let otherwise = Some(Drawn::new(0, Drawn::OTHERWISE));
    assert_eq!(reach(&rule, CHANNEL, NOON, otherwise, &mut counters).leaf, leaf(2));
    assert!(counters.take_changed().is_empty());
    let elsewhere = reach(&rule, CHANNEL, NOON, Some(Drawn::new(5, 0)), &mut counters);
    assert!(matches!(elsewhere.steps[0], Step::Percentage { kept: false, draw: 2, .. }));
}

#[test]
fn an_overflow_counts_for_the_drawn_bucket_and_is_followed_once() {
    for (overflow_to, name, number) in [
        (Overflow::Otherwise, "otherwise", 3),
        (Overflow::Bucket("b".to_owned()), "b", 2),
        (Overflow::Bucket("paused".to_owned()), "otherwise", 3),
    ] {
        let mut paused = bucket("paused", 1, at(4), Overflow::None);
        paused.paused = true;
        let rule = rule(percentage(
            vec![
                bucket("a", 50, at(1), overflow_to),
                bucket("b", 20, at(2), Overflow::Otherwise),
                paused,
            ],
            at(3),
        ));
        let mut counters = Counters::new();
        let first = walk_to(&rule, 1, NOON, &mut counters);
        let before = counters.get(CHANNEL, RULE, 0).unwrap().clone();
        counters.take_changed();
        let drawn = first.drawn.unwrap();
        let given = overflow(&rule, CHANNEL, drawn, NOON, &mut counters).unwrap();
        assert_eq!(given.leaf, leaf(number));
        let step = Step::Overflowed { from: "a".to_owned(), to: name.to_owned() };
        assert_eq!(given.steps[0], step);
        let drawn = given.drawn.unwrap();
        assert_eq!((drawn.node, drawn.bucket, drawn.overflowed), (0, 0, true));
        let after = counters.get(CHANNEL, RULE, 0).unwrap();
        assert_eq!((&after.period, &after.totals), (&before.period, &before.totals));
        assert_eq!(after.overflowed, [1, 0, 0, 0]);
        assert_eq!(counters.take_changed().len(), 1);
        assert_eq!(overflow(&rule, CHANNEL, drawn, NOON, &mut counters), None);
    }
}

#[test]
fn nowhere_to_give_to() {
    let rule = rule(percentage(vec![bucket("a", 50, at(1), Overflow::None)], at(2)));
    let mut counters = Counters::new();
    for number in [1, 2] {
        let drawn = walk_to(&rule, number, NOON, &mut counters).drawn.unwrap();
        assert_eq!(overflow(&rule, CHANNEL, drawn, NOON, &mut counters), None);
    }
    assert_eq!(counters.get(CHANNEL, RULE, 0).unwrap().overflowed, [0, 0]);
}

#[test]
fn a_later_walk_may_overflow_again_but_is_counted_once() {
    let rule = rule(percentage(vec![bucket("a", 50, at(1), Overflow::Otherwise)], at(2)));
    let mut counters = Counters::new();
    let mut drawn = walk_to(&rule, 1, NOON, &mut counters).drawn.unwrap();
    for _ in 0..3 {
        drawn = overflow(&rule, CHANNEL, drawn, NOON, &mut counters).unwrap().drawn.unwrap();
        let text = serde_json::to_string(&drawn).unwrap();
        let again =
            reach(&rule, CHANNEL, NOON, serde_json::from_str(&text).unwrap(), &mut counters);
        assert_eq!(again.leaf, leaf(1));
        drawn = again.drawn.unwrap();
        assert!(!drawn.overflowed);
    }
    assert_eq!(counters.get(CHANNEL, RULE, 0).unwrap().overflowed, [1, 0]);
}

#[test]
fn what_an_inner_layer_cannot_give_on_its_outer_bucket_does() {
    let rule = nested();
    let mut counters = Counters::new();
    // x has nowhere to give to, so a gives to b: by day that is layer 2, where a draw is made.
    let drawn = walk_to(&rule, 11, NOON, &mut counters).drawn.unwrap();
    let given = overflow(&rule, CHANNEL, drawn, NOON, &mut counters).unwrap();
    assert_eq!(given.leaf, leaf(21));
    assert_eq!(given.drawn.map(|drawn| (drawn.node, drawn.bucket)), Some((1, 0)));
    assert_eq!(overflow(&rule, CHANNEL, given.drawn.unwrap(), NOON, &mut counters), None);
    assert_eq!(counters.get(CHANNEL, RULE, 0).unwrap().overflowed, [1, 0, 0]);
    assert_eq!(counters.get(CHANNEL, RULE, 1).unwrap().overflowed, [0, 0]);
    // y gives to its own otherwise first, then b to the outer one.
    let drawn = walk_to(&rule, 21, NOON, &mut counters).drawn.unwrap();
    let inner = overflow(&rule, CHANNEL, drawn, NOON, &mut counters).unwrap();
    assert_eq!(inner.leaf, leaf(22));
    let outer = overflow(&rule, CHANNEL, inner.drawn.unwrap(), NOON, &mut counters).unwrap();
    assert_eq!(outer.leaf, leaf(30));
    assert_eq!(overflow(&rule, CHANNEL, outer.drawn.unwrap(), NOON, &mut counters), None);
}

#[test]
fn destinations_are_listed_once_each_with_the_emergencys() {
    let mut rule = nested();
    rule.emergency = Some(Emergency {
        leaf: Leaf {
            stops: vec![
                Stop { to: Destination::Bot(BotId::from_number(1)), pick_up: None },
                Stop { to: to(22), pick_up: None },
            ],
            priority: 9,
        },
        on_until: None,
    });
    let bot = Destination::Bot(BotId::from_number(1));
    assert_eq!(destinations(&rule), [bot, to(22), to(11), to(12), to(21), to(23), to(30)]);
}

fn any_branch() -> impl Strategy<Value = Branch> {
    (1..60_u128).prop_map(at).prop_recursive(4, 48, 6, |inner| {
        let overflow = prop_oneof![
            Just(Overflow::Otherwise),
            Just(Overflow::None),
            Just(Overflow::Bucket("0".to_owned())),
            Just(Overflow::Bucket("1".to_owned())),
        ];
        let buckets =
            prop::collection::vec((1..20_u8, inner.clone(), any::<bool>(), overflow), 1..5);
        let percentage = (buckets, inner.clone()).prop_map(|(buckets, otherwise)| {
            let bucket = |(at, (percent, branch, paused, overflow)): (usize, _)| Bucket {
                name: at.to_string(),
                percent,
                branch,
                paused,
                overflow,
            };
            percentage(buckets.into_iter().enumerate().map(bucket).collect(), otherwise)
        });
        let time = (inner.clone(), inner.clone(), inner).prop_map(|(off, day, otherwise)| {
            let mut branch = by_day(day, otherwise);
            if let Branch::Time(layer) = &mut branch {
                layer.holidays.push(Holiday {
                    name: "off".to_owned(),
                    from: date(1970, 1, 2),
                    to: date(1970, 1, 2),
                    yearly: false,
                    windows: vec![],
                    branch: off,
                });
            }
            branch
        });
        prop_oneof![2 => percentage, 1 => time]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn looking_ahead_agrees_with_walking_and_walking_repeats(
        branch in any_branch(),
        hours in prop::collection::vec(0..60_u64, 1..60),
    ) {
        let rule = rule(branch);
        let mut counters = Counters::new();
        let mut kept = None;
        for hour in hours {
            let now = Timestamp::from_millis(hour * 3_600_000);
            for kept in [None, kept] {
                let ahead = leaf_in_force(&rule, CHANNEL, now, kept, &counters);
                let mut twin = counters.clone();
                let reached = reach(&rule, CHANNEL, now, kept, &mut counters);
                prop_assert_eq!(&reached, &reach(&rule, CHANNEL, now, kept, &mut twin));
                prop_assert_eq!(&counters, &twin);
                prop_assert_eq!(ahead, (reached.leaf.clone(), reached.steps.clone()));
                let again = reach(&rule, CHANNEL, now, reached.drawn, &mut counters);
                prop_assert_eq!(again.leaf, reached.leaf);
                prop_assert_eq!(&counters, &twin, "a second walk drew");
            }
            kept = reach(&rule, CHANNEL, now, kept, &mut counters).drawn;
        }
    }

    #[test]
    fn overflows_end_and_are_counted_at_most_once_per_draw(
        branch in any_branch(),
        hours in prop::collection::vec(0..60_u64, 1..60),
    ) {
        let rule = rule(branch);
        let mut counters = Counters::new();
        for hour in hours {
            let now = Timestamp::from_millis(hour * 3_600_000);
            let mut drawn = None;
            for _walk in 0..2 {
                drawn = reach(&rule, CHANNEL, now, drawn, &mut counters).drawn;
                let mut given = 0;
                while let Some(reached) =
                    drawn.and_then(|drawn| overflow(&rule, CHANNEL, drawn, now, &mut counters))
                {
                    drawn = reached.drawn;
                    given += 1;
                    prop_assert!(given <= Branch::DEPTH_MAX + 1);
                }
            }
        }
        for (.., draws) in counters.iter() {
            for (overflowed, total) in draws.overflowed.iter().zip(&draws.totals) {
                prop_assert!(overflowed <= total);
            }
        }
    }
}
