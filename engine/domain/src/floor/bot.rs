//! Bots as destinations: they hold an enquiry without owner or slot.

use std::time::Duration;

use super::entries::Key;
use super::event::FloorEvent;
use super::place::{Errand, Purpose, Stage};
use super::{At, Floor, Refusal};
use crate::ids::BotId;
use crate::rule::Destination;
use crate::time::Timestamp;
use crate::trace::{PassedOver, Step};

/// Failures in a row after which a bot is passed over.
const FAILURES_MAX: u8 = 5;
const PASSED_OVER: Duration = Duration::from_mins(1);

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Health {
    failures: u8,
    passed_over_until: Option<Timestamp>,
}

impl Floor {
    /// Whether the bot's latest failure was the one too many: it is passed over from then on.
    pub fn was_one_failure_too_many(&self, bot: BotId) -> bool {
        self.bots
            .get(&bot)
            .is_some_and(|health| health.failures == 0 && health.passed_over_until.is_some())
    }

    /// Why the bot does not take it; `None` = it does.
    pub(super) fn hand_to_bot(&mut self, enquiry: Key, bot: BotId) -> Option<PassedOver> {
        if !self.settings.bots.contains_key(&bot) {
            return Some(PassedOver::Gone);
        }
        let health = self.bots.get(&bot).copied().unwrap_or_default();
        if health.passed_over_until.is_some_and(|until| self.turn.now < until) {
            return Some(PassedOver::BotFailed);
        }
        let entry = self.entry_mut(enquiry)?;
        let relief =
            matches!(&entry.place.errand, Errand::Walk(walk) if walk.purpose == Purpose::OwnerGone);
        if relief || entry.place.stage.owner().is_some() {
            return Some(PassedOver::NobodyAccepts);
        }
        entry.place.stage = Stage::WithBot { bot };
        entry.at = At::Bot;
        self.decided(enquiry);
        self.happened(FloorEvent::BotTook { enquiry: self.id(enquiry), bot });
        None
    }

    pub(super) fn bot_left(&mut self, enquiry: Key, failed: bool) -> Result<(), Refusal> {
        let now = self.turn.now;
        let entry = self.entries.get(enquiry).ok_or(Refusal::NotFound)?;
        let Stage::WithBot { bot } = entry.place.stage else { return Err(Refusal::NotOwner) };
        let health = self.bots.entry(bot).or_default();
        if failed {
            health.failures = health.failures.saturating_add(1);
            if health.failures >= FAILURES_MAX {
                *health = Health { failures: 0, passed_over_until: Some(now + PASSED_OVER) };
            }
        } else {
            *health = Health::default();
        }
        self.happened(FloorEvent::BotLeft { enquiry: self.id(enquiry), bot, failed });
        if let Some(entry) = self.entry_mut(enquiry) {
            entry.place.stage = Stage::Open;
        }
        let why = if failed { PassedOver::BotFailed } else { PassedOver::BotHandedOver };
        self.turn.steps.push(Step::PassedOver { at: Destination::Bot(bot), why });
        self.move_on(enquiry, Some(why));
        Ok(())
    }
}
