//! Decides whether the 24-hour window is open, and what extends it.

use std::time::Duration;

use super::command::Effect;
use super::kept::{EnquiryKept, WindowTold};
use super::machine::Enquiry;
use crate::time::Timestamp;
use crate::wall::Ahead;

/// From the visitor's message, by the provider's timestamp.
pub const WINDOW: Duration = Duration::from_hours(24);
/// Taken as lapsed this much early: a request takes time, and clocks differ.
pub const MARGIN: Duration = Duration::from_mins(1);
/// People are told this long before it lapses.
pub const CLOSING: Duration = Duration::from_hours(1);

/// When a window that the provider closes at `until` counts as lapsed.
pub fn lapses_at(until: Timestamp) -> Timestamp {
    until - MARGIN
}

pub fn is_open(until: Timestamp, now: Timestamp) -> bool {
    now < lapses_at(until)
}

impl Enquiry {
    /// Whether free-form messages can be sent.
    pub fn window_is_open(&self, now: Timestamp) -> bool {
        self.ahead.wall(now) < self.kept.lapses_at()
    }

    /// The wall clock has stepped: no deadline moves but that of the window.
    pub fn follow(&mut self, ahead: Ahead) {
        self.ahead = ahead;
    }
}

impl EnquiryKept {
    /// From when on free-form messages are refused; long past when the window is not open.
    pub(super) fn lapses_at(&self) -> Timestamp {
        match self.window {
            WindowTold::Open | WindowTold::Closing => lapses_at(self.window_until),
            WindowTold::Closed | WindowTold::Denied => Timestamp::default(),
        }
    }

    pub(super) fn window_due(&self) -> Option<Timestamp> {
        match self.window {
            WindowTold::Open => Some(lapses_at(self.window_until) - CLOSING),
            WindowTold::Closing => Some(lapses_at(self.window_until)),
            WindowTold::Closed | WindowTold::Denied => None,
        }
    }

    pub(super) fn window_falls_due(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if is_open(self.window_until, now) {
            self.window = WindowTold::Closing;
            effects.push(Effect::WindowClosing { until: self.window_until });
        } else {
            self.window = WindowTold::Closed;
            effects.push(Effect::WindowClosed { by_provider: false });
        }
    }

    /// A message that extends the window, never shortens it.
    pub(super) fn extend_window(
        &mut self,
        now: Timestamp,
        provider_at: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let denied = self.window == WindowTold::Denied;
        if denied && provider_at <= self.window_until {
            return; // the provider knew of it when it said "lapsed"
        }
        // A provider clock ahead of ours must not hold the window open for longer.
        let until = provider_at.min(now) + WINDOW;
        if !denied && until <= self.window_until {
            return;
        }
        self.window_until = until;
        if !is_open(until, now) {
            self.window = self.window.max(WindowTold::Closed);
            return;
        }
        let still_closing = self.window == WindowTold::Closing && lapses_at(until) - CLOSING <= now;
        if self.window != WindowTold::Open && !still_closing {
            self.window = WindowTold::Open;
            effects.push(Effect::WindowOpened { until });
        }
    }

    /// The provider is believed, unless the visitor has written since.
    pub(super) fn deny_window(&mut self, at: Timestamp, effects: &mut Vec<Effect>) {
        if self.window == WindowTold::Denied || self.window_until > at + WINDOW {
            return;
        }
        if self.window != WindowTold::Closed {
            effects.push(Effect::WindowClosed { by_provider: true });
        }
        self.window = WindowTold::Denied;
        self.window_until = at;
    }
}
