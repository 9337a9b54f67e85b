//! What the day's people saw, added up by the quarter of an hour.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::clock::Clock;

/// Seconds within which a pick-up counts as in time.
pub(super) const IN_TIME: f64 = 60.0;

/// One thing somebody saw.
#[derive(Clone, Debug)]
pub(super) enum Fact {
    /// A visitor came, so much later than the day wanted.
    Arrived {
        late: Duration,
    },
    /// A visitor is about to send a message.
    Wrote {
        visitor: u32,
        message: u32,
    },
    /// The message did not get into the provider.
    NotSent,
    /// An agent's screen shows it.
    Shown {
        visitor: u32,
        message: u32,
    },
    /// To somebody, for the first time or again.
    Offered,
    OfferEnded {
        why: &'static str,
    },
    PickedUp {
        visitor: u32,
        how: &'static str,
    },
    Missed,
    Closed {
        by: &'static str,
    },
    Transferred {
        end: Option<&'static str>,
    },
    /// An agent is about to reply.
    Replied {
        visitor: u32,
        message: u32,
    },
    /// The visitor's phone shows the reply.
    Answered {
        visitor: u32,
        message: u32,
    },
    /// The phone shows something that Usher said by itself.
    Auto,
    Left {
        visitor: u32,
        patient: bool,
    },
    /// How an agent is now: enquiries held, and how many there may be (0: not at work).
    Seat {
        agent: usize,
        held: u32,
        capacity: u32,
    },
    Refused {
        command: &'static str,
        code: String,
    },
    /// A connection that nobody wanted to end.
    Thrown {
        code: Option<u16>,
    },
}

/// A quarter of an hour.
#[derive(Clone, Debug)]
pub(super) struct Quarter {
    pub(super) arrived: u64,
    pub(super) picked_up: u64,
    pub(super) in_time: u64,
    pub(super) missed: u64,
    /// Of the day's seconds, in milliseconds.
    pub(super) waits: Histogram<u64>,
    /// Of real time, in microseconds.
    pub(super) pushes: Histogram<u64>,
    pub(super) replies: Histogram<u64>,
    /// Samples of: held, room for, waiting.
    pub(super) samples: Vec<[u64; 3]>,
}

impl Default for Quarter {
    fn default() -> Self {
        let empty = || Histogram::new(3).expect("three digits are allowed");
        Self {
            arrived: 0,
            picked_up: 0,
            in_time: 0,
            missed: 0,
            waits: empty(),
            pushes: empty(),
            replies: empty(),
            samples: Vec::new(),
        }
    }
}

/// What is known of a visitor.
#[derive(Clone, Debug, Default)]
struct Visit {
    first: Option<Instant>,
    picked_up: bool,
    left: bool,
    wrote: BTreeMap<u32, Instant>,
    replied: BTreeMap<u32, Instant>,
}

#[derive(Debug)]
pub(super) struct Tally {
    clock: Clock,
    from_hour: f64,
    pub(super) quarters: Vec<Quarter>,
    visits: Vec<Visit>,
    seats: BTreeMap<usize, (u32, u32)>,
    waiting: BTreeSet<u32>,
    pub(super) late: Histogram<u64>,
    /// Counts by what they count.
    pub(super) offers: BTreeMap<&'static str, u64>,
    pub(super) pick_ups: BTreeMap<&'static str, u64>,
    pub(super) closings: BTreeMap<&'static str, u64>,
    pub(super) transfers: BTreeMap<&'static str, u64>,
    pub(super) refusals: BTreeMap<String, u64>,
    pub(super) thrown: BTreeMap<String, u64>,
    pub(super) totals: Totals,
}

/// Counted over the whole day.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub arrived: u64,
    pub wrote: u64,
    pub not_sent: u64,
    pub shown: u64,
    pub picked_up: u64,
    pub in_time: u64,
    pub missed: u64,
    pub replied: u64,
    pub answered: u64,
    pub auto: u64,
    pub left_answered: u64,
    pub gave_up: u64,
}

impl Tally {
    pub(super) fn new(clock: Clock, from_hour: f64, to_hour: f64, visitors: usize) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a day's hours"
        )]
        let quarters = ((to_hour - from_hour) * 4.0).ceil() as usize;
        Self {
            clock,
            from_hour,
            quarters: vec![Quarter::default(); quarters.max(1)],
            visits: vec![Visit::default(); visitors],
            seats: BTreeMap::new(),
            waiting: BTreeSet::new(),
            late: Histogram::new(3).expect("three digits are allowed"),
            offers: BTreeMap::new(),
            pick_ups: BTreeMap::new(),
            closings: BTreeMap::new(),
            transfers: BTreeMap::new(),
            refusals: BTreeMap::new(),
            thrown: BTreeMap::new(),
            totals: Totals::default(),
        }
    }

    /// The quarter of that moment; what comes after the last belongs to it.
    fn quarter(&mut self, at: Instant) -> &mut Quarter {
        let passed = (self.clock.hour(at) - self.from_hour) * 4.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a day's hours"
        )]
        let place = (passed.max(0.0) as usize).min(self.quarters.len() - 1);
        &mut self.quarters[place]
    }

    pub(super) fn write(&mut self, at: Instant, fact: Fact) {
        match fact {
            Fact::Arrived { late } => {
                self.totals.arrived += 1;
                self.quarter(at).arrived += 1;
                record(&mut self.late, late);
            }
            Fact::Wrote { visitor, message } => self.wrote(at, visitor, message),
            Fact::NotSent => self.totals.not_sent += 1,
            Fact::Shown { visitor, message } => self.shown(at, visitor, message),
            Fact::Offered => count(&mut self.offers, "offered"),
            Fact::OfferEnded { why } => count(&mut self.offers, why),
            Fact::PickedUp { visitor, how } => self.picked_up(at, visitor, how),
            Fact::Missed => {
                self.totals.missed += 1;
                self.quarter(at).missed += 1;
            }
            Fact::Closed { by } => count(&mut self.closings, by),
            Fact::Transferred { end } => count(&mut self.transfers, end.unwrap_or("begun")),
            Fact::Replied { visitor, message } => {
                self.totals.replied += 1;
                self.visit(visitor).replied.insert(message, at);
            }
            Fact::Answered { visitor, message } => self.answered(at, visitor, message),
            Fact::Auto => self.totals.auto += 1,
            Fact::Left { visitor, patient } => self.left(visitor, patient),
            Fact::Seat { agent, held, capacity } => {
                self.seats.insert(agent, (held, capacity));
            }
            Fact::Refused { command, code } => {
                count_text(&mut self.refusals, format!("{command}: {code}"));
            }
            Fact::Thrown { code } => {
                let code =
                    code.map_or_else(|| "without a word".to_owned(), |code| code.to_string());
                count_text(&mut self.thrown, code);
            }
        }
    }

    fn visit(&mut self, visitor: u32) -> &mut Visit {
        let place = visitor as usize;
        if self.visits.len() <= place {
            self.visits.resize(place + 1, Visit::default());
        }
        &mut self.visits[place]
    }

    fn wrote(&mut self, at: Instant, visitor: u32, message: u32) {
        self.totals.wrote += 1;
        let visit = self.visit(visitor);
        visit.first.get_or_insert(at);
        visit.wrote.insert(message, at);
        if !visit.picked_up {
            self.waiting.insert(visitor);
        }
    }

    /// The first screen counts.
    fn shown(&mut self, at: Instant, visitor: u32, message: u32) {
        let Some(wrote) = self.visit(visitor).wrote.remove(&message) else { return };
        self.totals.shown += 1;
        record(&mut self.quarter(at).pushes, at.saturating_duration_since(wrote));
    }

    fn picked_up(&mut self, at: Instant, visitor: u32, how: &'static str) {
        count(&mut self.pick_ups, how);
        self.waiting.remove(&visitor);
        let visit = self.visit(visitor);
        if std::mem::replace(&mut visit.picked_up, true) {
            return;
        }
        let Some(first) = visit.first else { return };
        let waited = self.clock.seconds(at.saturating_duration_since(first));
        let in_time = u64::from(waited <= IN_TIME);
        self.totals.picked_up += 1;
        self.totals.in_time += in_time;
        let quarter = self.quarter(at);
        quarter.picked_up += 1;
        quarter.in_time += in_time;
        record(&mut quarter.waits, Duration::from_secs_f64(waited / 1000.0));
    }

    fn answered(&mut self, at: Instant, visitor: u32, message: u32) {
        let Some(replied) = self.visit(visitor).replied.remove(&message) else { return };
        self.totals.answered += 1;
        record(&mut self.quarter(at).replies, at.saturating_duration_since(replied));
    }

    fn left(&mut self, visitor: u32, patient: bool) {
        self.waiting.remove(&visitor);
        if std::mem::replace(&mut self.visit(visitor).left, true) {
            return;
        }
        let counted =
            if patient { &mut self.totals.left_answered } else { &mut self.totals.gave_up };
        *counted += 1;
    }

    /// How full the house is, to be looked at every now and then.
    pub(super) fn sample(&mut self, at: Instant) {
        let now = self.now();
        self.quarter(at).samples.push(now);
    }

    /// Held, room for, waiting.
    pub(super) fn now(&self) -> [u64; 3] {
        let held: u64 = self.seats.values().map(|seat| u64::from(seat.0)).sum();
        let room: u64 = self.seats.values().map(|seat| u64::from(seat.1)).sum();
        [held, room, self.waiting.len() as u64]
    }

    pub(super) fn at_work(&self) -> usize {
        self.seats.values().filter(|seat| seat.1 > 0).count()
    }

    pub(super) fn all(&self, of: impl Fn(&Quarter) -> &Histogram<u64>) -> Histogram<u64> {
        let mut all = Histogram::new(3).expect("three digits are allowed");
        for quarter in &self.quarters {
            // All have the same three digits.
            all.add(of(quarter)).ok();
        }
        all
    }
}

/// Microseconds.
fn record(histogram: &mut Histogram<u64>, time: Duration) {
    // It grows as far as a day goes.
    histogram.record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)).ok();
}

fn count(counts: &mut BTreeMap<&'static str, u64>, what: &'static str) {
    *counts.entry(what).or_default() += 1;
}

fn count_text(counts: &mut BTreeMap<String, u64>, what: String) {
    *counts.entry(what).or_default() += 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(speed: f64, facts: &[(f64, Fact)]) -> Tally {
        let clock = Clock::starting(8.0, speed);
        let mut tally = Tally::new(clock, 8.0, 9.0, 2);
        for (hour, fact) in facts {
            tally.write(clock.at(*hour), fact.clone());
        }
        tally
    }

    fn wrote(visitor: u32) -> Fact {
        Fact::Wrote { visitor, message: 1 }
    }

    fn picked_up(visitor: u32) -> Fact {
        Fact::PickedUp { visitor, how: "offer" }
    }

    #[test]
    fn waits_are_of_the_days_time() {
        let day = [(8.0, wrote(0)), (8.01, picked_up(0)), (8.0, wrote(1)), (8.1, picked_up(1))];
        let tally = tally(60.0, &day);
        assert_eq!((tally.totals.picked_up, tally.totals.in_time), (2, 1));
        // 36 s and 6 min, in milliseconds.
        let waits = tally.all(|quarter| &quarter.waits);
        assert!((35_900..=36_100).contains(&waits.min()), "{}", waits.min());
        assert!((359_000..=361_000).contains(&waits.max()), "{}", waits.max());
    }

    #[test]
    fn a_second_pick_up_is_no_second_wait() {
        let tally = tally(60.0, &[(8.0, wrote(0)), (8.01, picked_up(0)), (8.5, picked_up(0))]);
        assert_eq!((tally.totals.picked_up, tally.pick_ups["offer"]), (1, 2));
    }

    #[test]
    fn things_fall_into_their_quarter() {
        let late = Duration::ZERO;
        let tally = tally(
            60.0,
            &[
                (8.1, Fact::Arrived { late }),
                (8.3, Fact::Arrived { late }),
                (11.0, Fact::Arrived { late }),
            ],
        );
        let arrived: Vec<u64> = tally.quarters.iter().map(|quarter| quarter.arrived).collect();
        assert_eq!(arrived, [1, 1, 0, 1]);
    }

    #[test]
    fn who_waits_is_known_until_somebody_comes_or_patience_ends() {
        let mut tally = tally(60.0, &[(8.0, wrote(0)), (8.0, wrote(1))]);
        assert_eq!(tally.now()[2], 2);
        let at = Instant::now();
        tally.write(at, picked_up(0));
        tally.write(at, Fact::Left { visitor: 1, patient: false });
        assert_eq!((tally.now()[2], tally.totals.gave_up), (0, 1));
    }

    #[test]
    fn a_message_is_shown_once() {
        let shown = Fact::Shown { visitor: 0, message: 1 };
        let tally = tally(1.0, &[(8.0, wrote(0)), (8.0, shown.clone()), (8.0, shown)]);
        assert_eq!((tally.totals.shown, tally.all(|it| &it.pushes).len()), (1, 1));
    }
}
