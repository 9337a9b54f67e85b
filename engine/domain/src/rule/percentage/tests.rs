use proptest::prelude::*;

use super::super::shape::{Bucket, Leaf};
use super::*;

fn leaf() -> Branch {
    Branch::Leaf(Leaf { stops: Vec::new(), priority: Leaf::PRIORITY_DEFAULT })
}

fn layer(percents: &[u8]) -> Percentage {
    let bucket = |(at, &percent): (usize, &u8)| Bucket {
        name: format!("bucket {at}"),
        percent,
        branch: leaf(),
        paused: false,
        overflow: Overflow::Otherwise,
    };
    Percentage {
        buckets: percents.iter().enumerate().map(bucket).collect(),
        otherwise: Box::new(leaf()),
    }
}

fn draw(draws: &mut Draws, layer: &Percentage) -> usize {
    draws.renew(layer);
    let slot = draws.next().slot;
    draws.count(slot);
    slot
}

/// Counts for itself, and knows nothing of how the split is made.
struct Checker {
    weights: Vec<i64>,
    counts: Vec<i64>,
}

impl Checker {
    fn new(layer: &Percentage) -> Self {
        let mut weights: Vec<i64> =
            layer.buckets.iter().map(|bucket| i64::from(bucket.percent)).collect();
        weights.push(100 - weights.iter().sum::<i64>());
        for (weight, bucket) in weights.iter_mut().zip(&layer.buckets) {
            *weight *= i64::from(!bucket.paused);
        }
        Self { counts: vec![0; weights.len()], weights }
    }

    /// Every count is within 1 − 1/(2k − 2) of its exact share, and so strictly within 1.
    #[track_caller]
    fn drew(&mut self, slot: usize) {
        self.counts[slot] += 1;
        let whole: i64 = self.weights.iter().sum();
        let number: i64 = self.counts.iter().sum();
        let k = self.weights.iter().filter(|&&weight| weight > 0).count();
        let parts = i64::try_from(2 * k - 2).unwrap();
        for (&weight, &count) in self.weights.iter().zip(&self.counts) {
            let off = (count * whole - weight * number).abs();
            assert!(
                parts * off <= (parts - 1).max(0) * whole,
                "{off}/{whole} off after {number} draws: {:?} of {:?}",
                self.counts,
                self.weights
            );
        }
    }
}

#[test]
fn every_pair_of_buckets_is_split_exactly() {
    for a in 1..=98 {
        for b in 1..=(99 - a) {
            let layer = layer(&[a, b]);
            let (mut draws, mut checker) = (Draws::default(), Checker::new(&layer));
            for _ in 0..100 {
                checker.drew(draw(&mut draws, &layer));
            }
            assert_eq!(draws.period, [u64::from(a), u64::from(b), u64::from(100 - a - b)]);
        }
    }
}

#[test]
fn equal_shares_take_turns() {
    let layer = layer(&[25, 25, 25]);
    let mut draws = Draws::default();
    for _ in 0..50 {
        let mut round: Vec<usize> = (0..4).map(|_| draw(&mut draws, &layer)).collect();
        round.sort_unstable();
        assert_eq!(round, [0, 1, 2, 3]);
    }
}

#[test]
fn one_bucket_left_takes_all() {
    let mut layer = layer(&[60, 39]);
    for bucket in &mut layer.buckets {
        bucket.paused = true;
    }
    let mut draws = Draws::default();
    assert!((0..500).all(|_| draw(&mut draws, &layer) == 2));
}

#[test]
fn others_share_in_proportion_while_a_bucket_is_paused() {
    let mut layer = layer(&[40, 20, 10]);
    layer.buckets[0].paused = true;
    let mut draws = Draws::default();
    for _ in 0..60 {
        draw(&mut draws, &layer);
    }
    assert_eq!(draws.period, [0, 20, 10, 30]);
    assert_eq!(draws.shares, [0, 20, 10, 30]);
}

#[test]
fn a_pause_begins_a_new_period_and_keeps_the_totals() {
    let mut layer = layer(&[40, 20]);
    let mut draws = Draws::default();
    for _ in 0..10 {
        draw(&mut draws, &layer);
    }
    assert_eq!(draws.period, [4, 2, 4]);
    layer.buckets[1].paused = true;
    draw(&mut draws, &layer);
    assert_eq!(draws.drawn(), 1);
    assert_eq!(draws.totals.iter().sum::<u64>(), 11);
    layer.buckets[1].paused = false;
    draw(&mut draws, &layer);
    assert_eq!(draws.drawn(), 1);
    assert_eq!(draws.totals.iter().sum::<u64>(), 12);
}

#[test]
fn an_edit_that_leaves_the_shares_alone_keeps_the_counters() {
    let mut layer = layer(&[40, 20]);
    let mut draws = Draws::default();
    for _ in 0..10 {
        draw(&mut draws, &layer);
    }
    layer.buckets[0].name = "renamed".to_owned();
    layer.buckets[1].overflow = Overflow::None;
    draw(&mut draws, &layer);
    assert_eq!(draws.drawn(), 11);
    layer.buckets[0].percent = 41;
    draw(&mut draws, &layer);
    assert_eq!((draws.drawn(), draws.totals.iter().sum::<u64>()), (1, 12));
}

#[test]
fn another_number_of_buckets_begins_the_totals_anew() {
    let mut draws = Draws::default();
    for _ in 0..10 {
        draw(&mut draws, &layer(&[40, 20]));
    }
    draw(&mut draws, &layer(&[40, 20, 10]));
    assert_eq!(draws.totals.iter().sum::<u64>(), 1);
    assert_eq!(draws.overflowed.len(), 4);
}

#[test]
fn the_split_goes_on_where_it_was_after_a_restart() {
    let layer = layer(&[7, 11, 13, 17, 23]);
    let mut unbroken = Draws::default();
    let mut restored = Draws::default();
    for _ in 0..1_000 {
        let text = serde_json::to_string(&restored).unwrap();
        restored = serde_json::from_str(&text).unwrap();
        assert_eq!(draw(&mut unbroken, &layer), draw(&mut restored, &layer));
    }
}

#[test]
fn numbers_stay_exact_after_very_many_draws() {
    let layer = layer(&[33, 33, 33]);
    let rounds = u64::MAX / 400;
    let mut draws = Draws::default();
    draws.renew(&layer);
    draws.period = vec![33 * rounds, 33 * rounds, 33 * rounds, rounds];
    let mut checker = Checker::new(&layer);
    for _ in 0..1_000 {
        checker.drew(draw(&mut draws, &layer));
    }
}

fn percents() -> impl Strategy<Value = Vec<u8>> {
    (1..=Percentage::BUCKETS_MAX, 1..=99_u8).prop_flat_map(|(buckets, most)| {
        prop::collection::vec(1..=most, buckets).prop_map(|mut percents| {
            while percents.iter().map(|&percent| u32::from(percent)).sum::<u32>() > 99 {
                let largest = percents.iter_mut().max().unwrap();
                *largest = (*largest / 2).max(1);
            }
            percents
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_prefix_of_every_period_is_within_one(
        percents in percents(),
        toggles in prop::collection::vec((1..2_000_usize, any::<usize>()), 0..12),
    ) {
        let mut layer = layer(&percents);
        let mut draws = Draws::default();
        let mut left = 10_000;
        for (length, toggled) in toggles.into_iter().chain([(10_000, 0)]) {
            let mut checker = Checker::new(&layer);
            for _ in 0..length.min(left) {
                checker.drew(draw(&mut draws, &layer));
            }
            left -= length.min(left);
            let bucket = toggled % layer.buckets.len();
            layer.buckets[bucket].paused ^= true;
        }
        prop_assert_eq!(draws.totals.iter().sum::<u64>(), 10_000);
    }
}
