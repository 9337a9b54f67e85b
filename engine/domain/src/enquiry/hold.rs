//! Decides what a hold does to the idle clock: it stands still, and closes nothing.

use super::command::Effect;
use super::kept::{EnquiryKept, IdleClock, Notice};
use crate::time::Timestamp;

impl EnquiryKept {
    /// The end of the hold it is on now.
    pub(super) fn hold_end(&self, now: Timestamp) -> Option<Timestamp> {
        self.hold_until.filter(|&until| now < until)
    }

    /// From when on the clock may run.
    pub(super) fn runs_from(&self, now: Timestamp) -> Timestamp {
        self.hold_end(now).unwrap_or(now)
    }

    /// The clock is set so that it goes on at the hold's end where it stands now: nothing need
    /// happen at the end itself.
    pub(super) fn hold(
        &mut self,
        now: Timestamp,
        until: Option<Timestamp>,
        effects: &mut Vec<Effect>,
    ) {
        let was_until = self.hold_end(now);
        let until = until.filter(|&until| now < until);
        if was_until == until {
            return;
        }
        let stood_at = was_until.unwrap_or(now);
        let runs_from = until.unwrap_or(now);
        self.clock = match self.clock {
            IdleClock::Stopped => IdleClock::Stopped,
            IdleClock::Running { since, reminded } => {
                IdleClock::Running { since: runs_from - stood_at.since(since), reminded }
            }
            IdleClock::Notifying { .. } => {
                self.withdraw(effects);
                IdleClock::Running { since: runs_from, reminded: false }
            }
            IdleClock::Grace { unsent, .. } => {
                IdleClock::Grace { until: runs_from + self.grace, unsent }
            }
        };
        self.hold_until = Some(runs_from);
    }

    /// Asks for the notification back; what becomes of it is told later.
    pub(super) fn withdraw(&self, effects: &mut Vec<Effect>) {
        match self.notice {
            Notice::Waiting { message } => effects.push(Effect::WithdrawNotification { message }),
            Notice::None | Notice::Asked | Notice::Accepted { .. } | Notice::Unsent { .. } => {}
        }
    }
}
