//! How far the archive is behind the journal.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How far the archive is behind; both are zero when it is level.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Lag {
    pub records: u64,
    /// Age of the oldest record that has not been projected; never less than it really is.
    pub age: Duration,
}

/// The longest that anything has to wait for the archive.
const SLOWEST: Duration = Duration::from_millis(250);

impl Lag {
    /// Nothing up to `slow` records; from there on the longer the nearer `most` is.
    pub(crate) fn slow_down(self, slow: u64, most: u64) -> Option<Duration> {
        let over = self.records.checked_sub(slow).filter(|over| *over > 0)?;
        let room = most.saturating_sub(slow).max(1);
        let part = SLOWEST * u32::try_from(over.min(room)).unwrap_or(u32::MAX);
        Some(part / u32::try_from(room).unwrap_or(u32::MAX))
    }
}

/// How far the journal had come at what times, as the projector saw it: from this it knows how long
/// ago what it has not projected yet can have been committed, though it never reaches the end.
#[derive(Debug, Default)]
pub(crate) struct Sightings(VecDeque<(u64, Duration)>);

impl Sightings {
    /// So many reach over a minute, and twice as many records as make webhooks wait.
    const MOST: usize = 256;
    const APART: Duration = Duration::from_millis(250);

    /// The journal ends at row `committed` now. Where no more are kept, what is told is no younger.
    fn note(&mut self, committed: u64, now: Duration) {
        let apart = self.0.back().is_none_or(|&(_, last)| now >= last + Self::APART);
        if apart && self.0.len() < Self::MOST {
            self.0.push_back((committed, now));
        }
    }

    /// Before this nothing was committed of what comes after row `id`; `None`: since it is not known.
    fn before(&mut self, id: u64) -> Option<Duration> {
        let mut since = None;
        while let Some(&(committed, at)) = self.0.front()
            && committed <= id
        {
            since = Some(at);
            self.0.pop_front();
        }
        since
    }
}

/// Shared by the journal, the projector and whoever asks for the lag.
#[derive(Debug)]
pub(crate) struct Progress {
    began: Instant,
    committed: AtomicU64,
    projected: AtomicU64,
    /// Nanoseconds after `began` before which nothing unprojected was committed.
    behind_since: AtomicU64,
    /// Nothing more will be committed.
    ended: AtomicBool,
}

impl Progress {
    pub(crate) fn new(committed: u64) -> Self {
        Self {
            began: monotonic(),
            committed: AtomicU64::new(committed),
            projected: AtomicU64::new(0),
            behind_since: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        }
    }

    /// Records up to journal row `id` are durable.
    pub(crate) fn committed(&self, id: u64) {
        let before = self.committed.load(Ordering::Acquire);
        if self.projected.load(Ordering::Acquire) >= before && id > before {
            // Before it can be seen that there is more: who looks meanwhile would take it for old.
            self.is_behind_since(self.now());
        }
        self.committed.store(id, Ordering::Release);
    }

    /// Records up to journal row `id` are in the archive; the read that ended there began at
    /// `read_at`, and `whole` says that it reached the journal's end as it was then.
    pub(crate) fn projected(&self, id: u64, read_at: Duration, whole: bool) {
        // A service that leaves says so beside the projector.
        self.projected.fetch_max(id, Ordering::AcqRel);
        if whole {
            self.is_behind_since(read_at);
        }
    }

    /// Records up to journal row `id` are in the archive, and the journal goes on meanwhile.
    pub(crate) fn passed(&self, id: u64, sightings: &mut Sightings) {
        sightings.note(self.committed.load(Ordering::Acquire), self.now());
        if let Some(since) = sightings.before(id) {
            self.is_behind_since(since);
        }
    }

    /// Never earlier than it was known to be already.
    fn is_behind_since(&self, since: Duration) {
        let since = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        self.behind_since.fetch_max(since, Ordering::AcqRel);
    }

    /// The journal has ended.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Time on the clock that `projected` measures with.
    pub(crate) fn now(&self) -> Duration {
        Duration::from_nanos(self.elapsed())
    }

    pub(crate) fn lag(&self) -> Lag {
        let projected = self.projected.load(Ordering::Acquire);
        let records = self.committed.load(Ordering::Acquire).saturating_sub(projected);
        if records == 0 {
            return Lag::default();
        }
        let since = self.behind_since.load(Ordering::Acquire);
        Lag { records, age: Duration::from_nanos(self.elapsed().saturating_sub(since)) }
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(monotonic().duration_since(self.began).as_nanos()).unwrap_or(u64::MAX)
    }
}

#[expect(clippy::disallowed_methods, reason = "measures this program's own lag, decides nothing")]
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_further_behind_the_longer_the_wait() {
        let wait = |records| {
            let lag = Lag { records, age: Duration::ZERO };
            lag.slow_down(1_000, 2_000).map(|wait| wait.as_millis())
        };
        assert_eq!([wait(0), wait(1_000)], [None, None]);
        assert_eq!([wait(1_004), wait(1_500)], [Some(1), Some(125)]);
        assert_eq!([wait(2_000), wait(9_000)], [Some(250), Some(250)]);
    }

    #[test]
    fn what_is_never_level_is_as_old_as_what_is_behind() {
        let second = Duration::from_secs;
        let mut sightings = Sightings::default();
        assert_eq!(sightings.before(0), None);
        // A hundred come each second, and the archive is always two seconds behind.
        for now in 2..500 {
            sightings.note(now * 100, second(now));
            let since = sightings.before((now - 2) * 100);
            assert_eq!(since, (now >= 4).then(|| second(now - 2)), "{now} s");
        }
        // It stands still: nothing newer is known, and what is remembered has an end.
        for now in 500..2_000 {
            sightings.note(now * 100, second(now));
            assert_eq!(sightings.before(49_700), None);
        }
        assert_eq!(sightings.0.len(), Sightings::MOST);
        assert_eq!(sightings.before(49_850), Some(second(498)));
    }

    #[test]
    fn the_age_of_a_lag_is_counted_from_where_the_archive_has_come() {
        let progress = Progress::new(0);
        let mut sightings = Sightings::default();
        progress.committed(10);
        let seen = progress.now();
        let since = || Duration::from_nanos(progress.behind_since.load(Ordering::Acquire));
        progress.passed(0, &mut sightings);
        progress.committed(20);
        let first = since();
        progress.projected(10, Duration::ZERO, true);
        assert_eq!(since(), first, "a batch begun long before makes nothing older");
        assert!(first <= seen, "of the second ten nothing is known yet");
        progress.passed(10, &mut sightings);
        assert_eq!(progress.lag().records, 10);
        assert!(since() > seen, "the first ten are in the archive");
    }

    #[test]
    fn lag_counts_what_is_not_projected() {
        let progress = Progress::new(5);
        progress.projected(5, progress.now(), true);
        assert_eq!(progress.lag(), Lag::default());
        progress.committed(8);
        assert_eq!(progress.lag().records, 3);
        progress.projected(7, progress.now(), false);
        assert_eq!(progress.lag().records, 1);
        progress.projected(8, progress.now(), true);
        assert_eq!(progress.lag(), Lag::default());
    }
}
