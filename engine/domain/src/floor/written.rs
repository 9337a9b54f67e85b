//! Messages, as far as the floor has to know: who waits for an answer, and what is walked again.

use std::time::Duration;

use super::entries::Key;
use super::event::OfferEnd;
use super::place::{Errand, Purpose, Stage};
use super::{Floor, Refusal};
use crate::time::Timestamp;

/// Least time between the end of one walk of a missed enquiry and the start of the next.
const AGAIN_AFTER: Duration = Duration::from_mins(10);

impl Floor {
    pub(super) fn visitor_wrote(
        &mut self,
        enquiry: Key,
        opens: bool,
        window_until: Timestamp,
    ) -> Result<(), Refusal> {
        let now = self.turn.now;
        self.take_off_shelf(enquiry);
        self.mark(enquiry);
        let entry = self.entries.get_mut(enquiry).ok_or(Refusal::NotFound)?;
        // The window is the enquiry's own, and written down with the message.
        entry.place.window_until = entry.place.window_until.max(window_until);
        entry.changed |= entry.place.visitor_waits.is_none();
        entry.place.visitor_waits = entry.place.visitor_waits.or(Some(now));
        entry.past.forget_tries();
        let Stage::Missed { since, .. } = entry.place.stage else { return Ok(()) };
        if opens && !entry.is_busy() {
            let again_at = since + AGAIN_AFTER;
            entry.place.stage = Stage::Missed { since, again_at: Some(again_at) };
            entry.changed = true;
            self.walk_again_if_due(enquiry);
        }
        self.put_on_shelf(enquiry);
        Ok(())
    }

    pub(super) fn walk_again_if_due(&mut self, enquiry: Key) {
        let now = self.turn.now;
        let Some(entry) = self.entries.get(enquiry) else { return };
        let Stage::Missed { since, again_at: Some(at) } = entry.place.stage else { return };
        if now < at || entry.is_busy() {
            return;
        }
        self.withdraw_all(enquiry, OfferEnd::Moved);
        if let Some(entry) = self.entry_mut(enquiry) {
            entry.place.stage = Stage::Missed { since, again_at: None };
        }
        self.start_walk(enquiry, Purpose::Again, Vec::new(), None);
    }

    pub(super) fn we_wrote(&mut self, enquiry: Key) -> Result<(), Refusal> {
        let entry = self.entries.get(enquiry).ok_or(Refusal::NotFound)?;
        if entry.place.visitor_waits.is_none() {
            return Ok(());
        }
        let relief =
            matches!(&entry.place.errand, Errand::Walk(walk) if walk.purpose == Purpose::OwnerGone);
        if relief {
            self.drop_errand(enquiry);
        }
        self.unrelieved.remove(&enquiry);
        let entry = self.entry_mut(enquiry).ok_or(Refusal::NotFound)?;
        entry.place.visitor_waits = None;
        entry.relief_failed = false;
        Ok(())
    }
}
