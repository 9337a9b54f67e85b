//! Decides when a connection has stopped reading, or is dead, and is to be let go.
//!
//! A socket takes a good deal that nobody reads before it says so: what the kernels on both sides
//! hold comes to a hundred kilobytes. So somebody who is given something is now and then asked for a
//! sign of life behind it, and only who has read that far can give one.

use std::time::Duration;

use usher_domain::time::Timestamp;

/// Without a sign of life for this long a connection is dead.
const DEAD_AFTER: Duration = Duration::from_secs(33);
/// With something to give that the socket does not take for this long it reads too slowly.
const BEHIND_MAX: Duration = Duration::from_secs(10);
/// Who was heard within this time is not asked.
const ASKED_EVERY: Duration = Duration::from_secs(2);
/// For an answer to come, and a second more for so many bytes that lie before the question.
const ANSWER_WITHIN: Duration = Duration::from_secs(6);
const BYTES_A_SECOND: usize = 8 * 1024;

/// The signs of life of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The last sign of life.
    heard: Timestamp,
    /// Bytes given since.
    given: usize,
    /// An answer is due by then.
    answer_by: Option<Timestamp>,
    /// Since when there is something to give that the socket does not take.
    behind: Option<Timestamp>,
}

impl Patience {
    /// Of a connection that was just opened.
    pub const fn new(now: Timestamp) -> Self {
        Self { heard: now, given: 0, answer_by: None, behind: None }
    }

    /// A pong, or another sign that what was given before is read.
    pub const fn heard(&mut self, now: Timestamp) {
        *self = Self { behind: self.behind, ..Self::new(now) };
    }

    /// The socket has taken so many bytes; whether a question has to follow them.
    #[must_use]
    pub fn gave(&mut self, now: Timestamp, bytes: usize) -> bool {
        self.behind = None;
        self.given += bytes;
        let asks = self.answer_by.is_none() && now.since(self.heard) >= ASKED_EVERY;
        if asks {
            let more = u64::try_from(self.given / BYTES_A_SECOND).unwrap_or(u64::MAX);
            self.answer_by = Some(now + ANSWER_WITHIN + Duration::from_secs(more));
        }
        asks
    }

    /// There is something to give, and the socket does not ask for it; whether that is news.
    #[must_use]
    pub fn falls_behind(&mut self, now: Timestamp) -> bool {
        self.behind.replace(self.behind.unwrap_or(now)).is_none()
    }

    /// There is nothing to give.
    pub const fn is_level(&mut self) {
        self.behind = None;
    }

    /// When it ends, unless the connection does better.
    pub fn ends(&self) -> Timestamp {
        let behind = self.behind.map(|since| since + BEHIND_MAX);
        let ends = [behind, self.answer_by].into_iter().flatten();
        ends.fold(self.heard + DEAD_AFTER, Timestamp::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + millis)
    }

    #[test]
    fn who_stops_reading_is_let_go_within_ten_seconds_however_much_the_socket_takes() {
        for stopped in [0, 700, 1_999] {
            let mut patience = Patience::new(at(0));
            patience.heard(at(stopped));
            let mut now = stopped;
            while at(now) < patience.ends() {
                now += 100;
                let _asks = patience.gave(at(now), 480);
            }
            assert!(now - stopped <= 10_000, "let go {} ms after", now - stopped);
        }
    }

    #[test]
    fn who_answers_what_is_asked_stays() {
        let mut patience = Patience::new(at(0));
        let (mut asked, mut questions) = (None, 0);
        for now in (0..120_000).step_by(100) {
            assert!(at(now) < patience.ends(), "let go at {now}");
            if asked.is_some_and(|asked| now >= asked + 3_000) {
                patience.heard(at(now));
                asked = None;
            }
            if patience.gave(at(now), 480) {
                asked = Some(now);
                questions += 1;
            }
        }
        assert!((20..=30).contains(&questions), "one every five seconds: {questions}");
    }

    #[test]
    fn who_is_given_nothing_is_asked_nothing() {
        let mut patience = Patience::new(at(0));
        assert!(!patience.gave(at(1_000), 480), "heard a second ago");
        assert_eq!(patience.ends(), at(33_000), "nothing is owed");
    }

    #[test]
    fn a_slow_link_has_time_for_what_it_was_given() {
        let mut patience = Patience::new(at(0));
        let asks = (0..6).filter(|n| patience.gave(at(n * 900), 16 * 1024)).count();
        assert_eq!((asks, patience.ends()), (1, at(2_700 + 6_000 + 8_000)));
    }

    #[test]
    fn a_socket_that_takes_nothing_is_given_up_after_ten_seconds() {
        let mut patience = Patience::new(at(0));
        assert!(patience.falls_behind(at(500)));
        assert!(!patience.falls_behind(at(5_000)));
        assert_eq!(patience.ends(), at(10_500));
        patience.heard(at(6_000));
        assert_eq!(patience.ends(), at(10_500), "a pong from before it stood still");
        patience.is_level();
        assert_eq!(patience.ends(), at(39_000));
    }
}
