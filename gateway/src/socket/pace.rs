//! How many commands a connection may send: so many per second, and some more after a pause.

use usher_domain::time::Timestamp;

const THOUSANDTHS: u64 = 1_000;

/// A bucket of permissions that fills with time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    per_second: u64,
    /// Thousandths of permissions.
    most: u64,
    have: u64,
    filled: Timestamp,
    /// Refused in a row.
    refused: u64,
}

/// What becomes of the next command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    Granted,
    /// May be repeated after so many seconds.
    Refused {
        after: u32,
    },
    /// Told often enough.
    Flooding,
}

impl Pace {
    pub(super) fn new(per_second: u32, burst: u32, now: Timestamp) -> Self {
        let most = u64::from(burst.max(1)) * THOUSANDTHS;
        Self { per_second: u64::from(per_second.max(1)), most, have: most, filled: now, refused: 0 }
    }

    pub(super) fn next(&mut self, now: Timestamp) -> Verdict {
        // Per second is per thousand milliseconds: the units cancel out.
        let passed = u64::try_from(now.since(self.filled).as_millis()).unwrap_or(u64::MAX);
        self.filled = self.filled.max(now);
        self.have = passed.saturating_mul(self.per_second).saturating_add(self.have).min(self.most);
        if let Some(rest) = self.have.checked_sub(THOUSANDTHS) {
            self.have = rest;
            self.refused = 0;
            return Verdict::Granted;
        }
        self.refused += 1;
        // As many again as it was allowed, all of them refused.
        if self.refused > self.most / THOUSANDTHS + self.per_second {
            Verdict::Flooding
        } else {
            Verdict::Refused { after: 1 }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + millis)
    }

    fn granted(pace: &mut Pace, millis: u64, tries: usize) -> usize {
        (0..tries).filter(|_| pace.next(at(millis)) == Verdict::Granted).count()
    }

    #[test]
    fn a_burst_then_so_many_per_second() {
        let mut pace = Pace::new(20, 60, at(0));
        assert_eq!(granted(&mut pace, 0, 70), 60);
        assert_eq!(granted(&mut pace, 50, 5), 1);
        assert_eq!(granted(&mut pace, 1_050, 30), 20);
        assert_eq!(granted(&mut pace, 3_600_000, 70), 60, "no more than the burst is saved up");
    }

    #[test]
    fn who_goes_on_in_spite_of_it_is_flooding() {
        let mut pace = Pace::new(20, 60, at(0));
        let verdicts: Vec<_> = (0..141).map(|_| pace.next(at(0))).collect();
        assert_eq!(verdicts[60], Verdict::Refused { after: 1 });
        assert_eq!(verdicts[139], Verdict::Refused { after: 1 });
        assert_eq!(verdicts[140], Verdict::Flooding);
    }

    #[test]
    fn a_clock_that_goes_back_grants_nothing() {
        let mut pace = Pace::new(1, 1, at(10_000));
        assert_eq!(pace.next(at(10_000)), Verdict::Granted);
        assert_ne!(pace.next(at(0)), Verdict::Granted);
        assert_ne!(pace.next(at(10_500)), Verdict::Granted);
        assert_eq!(pace.next(at(11_000)), Verdict::Granted);
    }
}
