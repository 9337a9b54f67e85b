//! What of an instant belongs to the wall clock, and what to the clock that deadlines run on.
//!
//! The two agree until the wall clock steps. From then on everything that runs goes on undisturbed;
//! time rules, windows, stamps and whatever is kept follow the wall clock.

use crate::enquiry::{EnquiryKept, IdleClock};
use crate::floor::event::FloorEvent;
use crate::floor::place::{Place, Stage};
use crate::record::{After, Event, Record};
use crate::time::Timestamp;

/// How many milliseconds the wall clock is ahead of the clock that deadlines run on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ahead(i64);

impl Ahead {
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    pub const fn millis(self) -> i64 {
        self.0
    }

    /// What the wall clock shows at an instant of the other one.
    pub const fn wall(self, at: Timestamp) -> Timestamp {
        Timestamp::from_millis(at.millis().saturating_add_signed(self.0))
    }

    /// When the wall clock will show, or has shown, this.
    pub const fn running(self, wall: Timestamp) -> Timestamp {
        Timestamp::from_millis(wall.millis().saturating_add_signed(self.0.saturating_neg()))
    }

    fn put(self, at: &mut Timestamp) {
        *at = self.wall(*at);
    }

    fn put_opt(self, at: &mut Option<Timestamp>) {
        if let Some(at) = at {
            self.put(at);
        }
    }
}

impl Record {
    /// As it is kept: a restart knows the wall clock only.
    pub fn put_on_the_wall(&mut self, ahead: Ahead) {
        ahead.put(&mut self.at);
        match &mut self.event {
            Event::Floor(FloorEvent::Offered { until, .. }) => ahead.put(until),
            Event::Floor(FloorEvent::Held { until, .. }) => ahead.put_opt(until),
            Event::MessageQueued(queued) => ahead.put_opt(&mut queued.withdraw_at),
            _ => {}
        }
        for after in &mut self.after {
            match after {
                After::Place { place: Some(place), .. } => of_place(place, ahead),
                After::Enquiry { kept: Some(kept), .. } => of_enquiry(kept, ahead),
                After::Seat { seat, .. } => {
                    ahead.put_opt(&mut seat.last_offered);
                    ahead.put_opt(&mut seat.last_held);
                }
                // A call that was under way is made anew after a restart.
                After::Talk { .. }
                | After::Attendance { .. }
                | After::Draws { .. }
                | After::Place { place: None, .. }
                | After::Enquiry { kept: None, .. } => {}
            }
        }
    }
}

/// Its window is the wall clock's already.
fn of_place(place: &mut Place, ahead: Ahead) {
    ahead.put(&mut place.opened_at);
    ahead.put_opt(&mut place.hold_until);
    ahead.put_opt(&mut place.visitor_waits);
    if let Stage::Missed { since, again_at } = &mut place.stage {
        ahead.put(since);
        ahead.put_opt(again_at);
    }
}

fn of_enquiry(kept: &mut EnquiryKept, ahead: Ahead) {
    ahead.put(&mut kept.opened_at);
    ahead.put(&mut kept.last_counted);
    ahead.put_opt(&mut kept.away_sent);
    ahead.put_opt(&mut kept.hold_until);
    ahead.put_opt(&mut kept.recovered_at);
    match &mut kept.clock {
        IdleClock::Stopped => {}
        IdleClock::Running { since, .. } | IdleClock::Notifying { since } => ahead.put(since),
        IdleClock::Grace { until, .. } => ahead.put(until),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_again() {
        let at = Timestamp::from_millis(1_000_000);
        for millis in [0, 3_600_000, -900_000] {
            let ahead = Ahead::from_millis(millis);
            assert_eq!(ahead.running(ahead.wall(at)), at);
        }
        assert_eq!(Ahead::from_millis(-5).wall(at), Timestamp::from_millis(999_995));
    }

    #[test]
    fn what_is_kept_of_an_enquiry_stands_on_the_wall_but_for_its_window() {
        let at = Timestamp::from_millis(1_000_000);
        let kept = crate::enquiry::Enquiry::new(at, Some(at)).kept().clone();
        let enquiry = crate::ids::EnquiryId::from_number(1);
        let mut record = Record::new(at, Event::ClockSet { enquiry })
            .leaving(After::Enquiry { enquiry, kept: Some(Box::new(kept)) });
        record.put_on_the_wall(Ahead::from_millis(60_000));
        let later = Timestamp::from_millis(1_060_000);
        let After::Enquiry { kept: Some(kept), .. } = &record.after[0] else { panic!("no state") };
        assert_eq!((record.at, kept.opened_at, kept.last_counted), (later, later, later));
        assert_eq!(kept.window_until, at);
    }
}
