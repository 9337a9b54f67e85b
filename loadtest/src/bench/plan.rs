//! Which benches run whole, in brief or not at all when there is only so much time.

use std::time::Duration;

use super::Which;

/// How a bench is run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum How {
    Whole,
    Brief,
    LeftOut,
}

/// Seconds that a bench takes in brief and whole, on a quiet machine of two cores.
const fn takes(which: Which) -> (u64, u64) {
    match which {
        Which::Floor => (10, 90),
        Which::Scale => (30, 240),
        Which::Push => (60, 420),
        Which::Durable => (60, 240),
        Which::Fanout => (30, 120),
        Which::Ingest => (180, 1_500),
        Which::Storm => (75, 900),
        Which::Slow => (75, 240),
        Which::Outbound => (150, 360),
        Which::Idle | Which::Recovery => (90, 420),
        Which::Growth => (120, 900),
        Which::Nodes => (120, 1_800),
        Which::Largest => (150, 600),
        Which::Smoke | Which::All => (0, 0),
    }
}

/// The first of `benches`, with so much time for all of them: whole if the others can still run in
/// brief, in brief if that fits, else not.
pub(super) fn choose(benches: &[Which], left: Duration) -> How {
    let Some((first, later)) = benches.split_first() else { return How::LeftOut };
    let (brief, whole) = takes(*first);
    let reserved: u64 = later.iter().map(|which| takes(*which).0).sum();
    let left = left.as_secs();
    if whole + reserved <= left {
        How::Whole
    } else if brief <= left {
        How::Brief
    } else {
        How::LeftOut
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    fn all() -> Vec<Which> {
        let every = Which::value_variants().iter().copied();
        every.filter(|which| !matches!(which, Which::All | Which::Smoke)).collect()
    }

    /// Each takes just what it is said to.
    fn played(minutes: u64) -> Vec<How> {
        let (benches, mut left) = (all(), Duration::from_mins(minutes));
        let play = |place: usize| {
            let how = choose(&benches[place..], left);
            let (brief, whole) = takes(benches[place]);
            let took = match how {
                How::Whole => whole,
                How::Brief => brief,
                How::LeftOut => 0,
            };
            left -= Duration::from_secs(took);
            how
        };
        (0..benches.len()).map(play).collect()
    }

    #[test]
    fn with_all_the_time_all_run_whole_and_with_little_all_run_in_brief() {
        let (brief, whole) =
            all().into_iter().map(takes).fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
        assert!(played(whole / 60 + 1).iter().all(|how| *how == How::Whole));
        assert!(played(brief / 60 + 1).iter().all(|how| *how != How::LeftOut));
        let some = played(60);
        assert!(some.contains(&How::Whole) && some.contains(&How::Brief), "{some:?}");
        assert!(!some.contains(&How::LeftOut), "{some:?}");
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let some = played(3);
        assert!(some.contains(&How::LeftOut) && some.contains(&How::Brief), "{some:?}");
        assert!(played(0).iter().all(|how| *how == How::LeftOut));
    }
}
