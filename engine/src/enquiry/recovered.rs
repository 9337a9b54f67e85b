//! After a restart: what an enquiry was not told any more, or told and could not do.

use usher_domain::enquiry::auto_message::WITHDRAW_AFTER;
use usher_domain::enquiry::{Command, Serving};
use usher_domain::floor;
use usher_domain::floor::event::FloorEvent;
use usher_domain::floor::place::{Errand, Stage};
use usher_domain::record::Event;
use usher_domain::time::Timestamp;

use super::Enquiry;

impl Enquiry {
    /// After a restart, before anything is told.
    pub(crate) fn recover(&mut self) {
        self.look_at_the_clock();
        self.sync_joined();
        self.note(Command::Recovered);
        self.catch_up();
        self.resume_talk();
        self.arm();
    }

    /// After a restart: what one of machine and floor was told, and the other was not any more.
    fn catch_up(&mut self) {
        let Some(place) = self.place.clone() else { return };
        let kept = self.machine.kept().clone();
        let (handled, offered) = match kept.serving {
            Serving::Nobody => (false, false),
            Serving::Somebody => (true, false),
            Serving::Transfer { handled } => (handled, true),
        };
        if handled != place.stage.is_handling() {
            self.note(Command::Handling(place.stage.is_handling()));
        }
        let offers = matches!(place.errand, Errand::Transfer { .. });
        if offered != offers {
            self.note(Command::TransferOffered(offers));
        }
        if let (Stage::Missed { since, .. }, true) = (place.stage, place.errand.is_none()) {
            self.catch_up_with_missed(since);
        }
        let kept = self.machine.kept().clone();
        let unwalked = matches!(place.stage, Stage::Missed { since, again_at: None }
            if since < kept.last_counted && place.errand.is_none());
        if kept.visitor_last && (unwalked || place.visitor_waits.is_none()) {
            let (enquiry, window_until) = (self.id, kept.window_until);
            let opens = unwalked;
            self.floor(floor::Command::VisitorWrote { enquiry, opens, window_until });
        }
    }

    pub(super) fn know_former(&mut self) {
        if !std::mem::replace(&mut self.former_known, true) {
            for (staff, until) in crate::history::former(&self.peers, self.id) {
                if !self.rare.former.iter().any(|(known, _)| *known == staff) {
                    self.rare.write().former.push((staff, until));
                }
            }
        }
    }

    /// After a restart: missed a short while ago, and perhaps it never heard of that.
    fn catch_up_with_missed(&mut self, since: Timestamp) {
        let last = self.machine.kept().away_sent;
        let late = self.now.since(since) > WITHDRAW_AFTER;
        if late || last.is_some_and(|at| since <= at) || !self.is_away_due(since) {
            return;
        }
        let told = crate::history::last_missed(&self.peers, self.id);
        if let Some(FloorEvent::Missed { away: true, .. } | FloorEvent::WalkEnded { .. }) = told {
            self.say_away();
            self.write(vec![Event::ClockSet { enquiry: self.id }], Vec::new());
        }
    }
}
