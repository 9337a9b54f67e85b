//! Decides how fast one number, and one pair of number and visitor, may send.

use std::collections::VecDeque;
use std::time::Duration;

use crate::ids::MessageId;
use crate::time::Timestamp;

const SECOND: Duration = Duration::from_secs(1);
/// A number slowed down is back at its full rate after this time without complaint.
const RECOVERY: Duration = Duration::from_mins(1);
/// Over how long refusals are held against what went out; at most twice that.
const LATELY: Duration = Duration::from_secs(4);
/// One refusal in so many says nothing about the pace: a gateway has bad moments, and others send
/// through it too.
const STRAY_ONE_IN: u32 = 20;
/// Longest wait between two tries that the provider did not ask for.
const RETRY_MAX: Duration = Duration::from_mins(5);

/// The limit of one number: a sliding second, which never lets a burst through at its seams.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct NumberPace {
    per_second: u32,
    /// What came in during the last second, as far as it may crowd out what goes out.
    ins: VecDeque<Timestamp>,
    /// What went out during the last second.
    outs: VecDeque<Timestamp>,
    slowed: Option<Slowed>,
    paused_until: Timestamp,
    lately: Lately,
}

/// How much went out and how much of it was too fast, in this span and the one before.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Lately {
    since: Timestamp,
    now: Share,
    before: Share,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Share {
    sent: u32,
    refused: u32,
}

impl Lately {
    fn at(&mut self, now: Timestamp) -> &mut Share {
        let passed = now.since(self.since);
        if passed >= LATELY {
            self.before = if passed < LATELY * 2 { self.now } else { Share::default() };
            (self.now, self.since) = (Share::default(), now);
        }
        &mut self.now
    }

    const fn are_stray(&self) -> bool {
        let refused = self.now.refused + self.before.refused;
        refused.saturating_mul(STRAY_ONE_IN) <= self.now.sent + self.before.sent
    }
}

/// The provider said "too fast".
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Slowed {
    at: Timestamp,
    to: u32,
}

impl NumberPace {
    pub(super) fn new(per_second: u32) -> Self {
        Self {
            per_second: per_second.max(1),
            ins: VecDeque::new(),
            outs: VecDeque::new(),
            slowed: None,
            paused_until: Timestamp::default(),
            lately: Lately::default(),
        }
    }

    pub(super) fn came_in(&mut self, now: Timestamp) {
        self.forget(now);
        self.ins.push_back(now);
        // An eighth is left for what goes out: a flood must not strike the desk dumb.
        if self.ins.len() > crowding_max(self.per_second) {
            self.ins.pop_front();
        }
    }

    pub(super) fn went_out(&mut self, now: Timestamp) {
        self.outs.push_back(now);
        self.lately.at(now).sent += 1;
    }

    /// The provider says "too fast": the number goes slower unless that is said now and then only.
    /// Where the provider named a time, the number waits for so long in any case.
    pub(super) fn refused(&mut self, now: Timestamp, wait: Duration, named: bool) {
        self.lately.at(now).refused += 1;
        if named {
            self.pause(now, wait);
        }
        if !self.lately.are_stray() {
            self.slow(now, wait);
        }
    }

    /// Until when nothing may go out; `None`: now.
    pub(super) fn blocked_until(&mut self, now: Timestamp) -> Option<Timestamp> {
        if now < self.paused_until {
            return Some(self.paused_until);
        }
        self.forget(now);
        let limit = self.limit(now);
        let crowding = self.ins.len().min(crowding_max(limit));
        if self.outs.len() + crowding < limit as usize {
            return None;
        }
        let oldest = [self.outs.front(), self.ins.front()].into_iter().flatten().min();
        let forgotten = oldest.map(|&at| at + SECOND);
        forgotten.into_iter().chain(self.next_rise(now)).min()
    }

    /// When a number that was slowed down may send one more a second.
    fn next_rise(&self, now: Timestamp) -> Option<Timestamp> {
        let Slowed { at, to } = self.slowed?;
        let (missing, whole) = (u128::from(self.per_second - to), RECOVERY.as_millis());
        let passed = now.since(at).as_millis();
        if missing == 0 || passed >= whole {
            return None;
        }
        let regained = missing * passed / whole;
        let rises = ((regained + 1) * whole).div_ceil(missing);
        Some(at + Duration::from_millis(u64::try_from(rises).expect("at most a minute")))
    }

    fn pause(&mut self, now: Timestamp, pause: Duration) {
        self.paused_until = self.paused_until.max(now + pause);
    }

    /// Halves the rate, once for all that were under way, and pauses the number.
    fn slow(&mut self, now: Timestamp, pause: Duration) {
        self.pause(now, pause);
        if self.slowed.is_none_or(|slowed| now.since(slowed.at) >= SECOND) {
            self.slowed = Some(Slowed { at: now, to: (self.limit(now) / 2).max(1) });
        }
    }

    /// Rises evenly from what it was slowed to.
    fn limit(&self, now: Timestamp) -> u32 {
        let Some(Slowed { at, to }) = self.slowed else { return self.per_second };
        let passed = now.since(at).min(RECOVERY).as_millis();
        let regained = u128::from(self.per_second - to) * passed / RECOVERY.as_millis();
        to + u32::try_from(regained).expect("at most per_second")
    }

    fn forget(&mut self, now: Timestamp) {
        for log in [&mut self.ins, &mut self.outs] {
            while log.front().is_some_and(|&at| at + SECOND <= now) {
                log.pop_front();
            }
        }
    }
}

fn crowding_max(limit: u32) -> usize {
    (limit - (limit / 8).max(1)) as usize
}

/// The limit towards one visitor, as the time when its burst is whole again (GCRA; ITU-T I.371).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct PairPace {
    whole_at: Timestamp,
}

impl PairPace {
    /// When the next message may go.
    pub(super) fn free_at(self, every: Duration, burst: u32) -> Timestamp {
        self.whole_at - every * burst.saturating_sub(1)
    }

    pub(super) fn went_out(&mut self, now: Timestamp, every: Duration) {
        self.whole_at = self.whole_at.max(now) + every;
    }

    /// The provider says that the burst is used up.
    pub(super) fn exhaust(&mut self, now: Timestamp, every: Duration, burst: u32) {
        self.whole_at = self.whole_at.max(now + every * burst);
    }

    pub(super) fn whole_at(self) -> Timestamp {
        self.whole_at
    }
}

/// How long to wait before try `tries + 1`: doubling, and up to a quarter more so that messages
/// refused together do not come back together.
pub(super) fn back_off(message: MessageId, tries: u32, first: Duration) -> Duration {
    let doubled = first.saturating_mul(1_u32 << tries.saturating_sub(1).min(16));
    let wait = doubled.min(RETRY_MAX.max(first));
    wait + wait.mul_f64(f64::from(scatter(message, tries)) / 1024.0)
}

/// 4^X seconds (the provider's advice), at most 1024.
pub(super) fn pair_back_off(refusals: u32) -> Duration {
    Duration::from_secs(4_u64.pow(refusals.min(5)))
}

/// 0 to 255, from the id alone so that a run repeats (the finaliser of `SplitMix64`).
fn scatter(message: MessageId, tries: u32) -> u8 {
    let (high, low) = message.uuid().as_u64_pair();
    let mut z = (high ^ low).wrapping_add(u64::from(tries).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)).to_be_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + millis)
    }

    /// Sends whenever allowed, for `millis`; the times of sending.
    fn send_all(pace: &mut NumberPace, from: u64, millis: u64) -> Vec<u64> {
        let mut sent = Vec::new();
        for now in from..from + millis {
            while pace.blocked_until(at(now)).is_none() {
                pace.went_out(at(now));
                sent.push(now);
            }
        }
        sent
    }

    #[test]
    fn the_full_rate_is_used_and_never_exceeded() {
        let mut pace = NumberPace::new(80);
        assert_eq!(send_all(&mut pace, 0, 3000).len(), 240);
    }

    #[test]
    fn what_comes_in_counts_but_cannot_silence_the_desk() {
        let mut pace = NumberPace::new(80);
        for _ in 0..30 {
            pace.came_in(at(0));
        }
        assert_eq!(send_all(&mut pace, 0, 1000).len(), 50);
        for _ in 0..1000 {
            pace.came_in(at(2000));
        }
        assert_eq!(send_all(&mut pace, 2000, 1000).len(), 10);
    }

    #[test]
    fn a_slowed_number_pauses_and_recovers() {
        let mut pace = NumberPace::new(80);
        pace.slow(at(0), SECOND);
        pace.slow(at(10), SECOND);
        assert_eq!(pace.blocked_until(at(500)), Some(at(1010)));
        assert_eq!(send_all(&mut pace, 1010, 1000).len(), 41);
        assert_eq!(send_all(&mut pace, 61_000, 1000).len(), 80);
    }

    /// Sends for `seconds`, of which one in `one_in` is refused; what went out in the last of them.
    fn refused_now_and_then(one_in: usize, seconds: u64) -> (NumberPace, usize) {
        let (mut pace, mut sent, mut last) = (NumberPace::new(80), 0_usize, 0);
        for millis in 0..seconds * 1000 {
            let now = at(millis);
            while pace.blocked_until(now).is_none() {
                pace.went_out(now);
                sent += 1;
                last += usize::from(millis >= (seconds - 1) * 1000);
                if sent.is_multiple_of(one_in) {
                    pace.refused(now, SECOND * 2, false);
                }
            }
        }
        (pace, last)
    }

    #[test]
    fn stray_refusals_slow_nothing_and_many_do() {
        assert_eq!(refused_now_and_then(100, 60).1, 80);
        assert_eq!(refused_now_and_then(STRAY_ONE_IN as usize * 2, 60).1, 80);
        let (slow, last) = refused_now_and_then(10, 60);
        assert!(last <= 40, "{last} in the last second: {slow:?}");
        // The first of all is many.
        let mut pace = NumberPace::new(80);
        pace.went_out(at(0));
        pace.refused(at(1), SECOND, false);
        assert_eq!(pace.blocked_until(at(500)), Some(at(1001)));
    }

    #[test]
    fn a_time_that_the_provider_named_is_kept_though_it_is_a_stray_refusal() {
        let (mut pace, _) = refused_now_and_then(1_000, 3);
        pace.refused(at(3_000), SECOND * 5, true);
        assert_eq!(pace.blocked_until(at(3_500)), Some(at(8_000)));
        assert_eq!(send_all(&mut pace, 8_000, 1000).len(), 80);
    }

    #[test]
    fn refusals_are_forgotten() {
        let mut pace = NumberPace::new(80);
        for _ in 0..3 {
            pace.went_out(at(0));
            pace.refused(at(0), SECOND, false);
        }
        assert_eq!(send_all(&mut pace, 61_000, 1000).len(), 80);
        pace.refused(at(62_000), SECOND, false);
        assert_eq!(send_all(&mut pace, 62_000, 1000).len(), 80);
    }

    #[test]
    fn a_pair_has_a_burst_and_then_its_pace() {
        let (every, burst) = (Duration::from_secs(6), 45);
        let mut pair = PairPace::default();
        for _ in 0..45 {
            assert!(pair.free_at(every, burst) <= at(0));
            pair.went_out(at(0), every);
        }
        assert_eq!(pair.free_at(every, burst), at(6000));
        let mut refused = PairPace::default();
        refused.exhaust(at(0), every, burst);
        assert_eq!(refused.free_at(every, burst), at(6000));
    }

    #[test]
    fn waits_grow_differ_and_are_never_shorter_than_asked() {
        let second = Duration::from_secs(1);
        let wait = |n, tries| back_off(MessageId::from_number(n), tries, second);
        assert_eq!(wait(1, 1), wait(1, 1));
        assert!((0..50).any(|n| wait(n, 1) != wait(1, 1)));
        for tries in 1..40 {
            let plain = second * (1 << (tries - 1_u32).min(16));
            let plain = plain.min(RETRY_MAX);
            assert!(wait(7, tries) >= plain && wait(7, tries) <= plain * 5 / 4, "{tries}");
        }
        let hour = Duration::from_hours(1);
        assert!(back_off(MessageId::from_number(1), 1, hour) >= hour);
        assert_eq!([0, 1, 2, 9].map(|n| pair_back_off(n).as_secs()), [1, 4, 16, 1024]);
    }
}
