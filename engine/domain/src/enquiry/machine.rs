//! Decides when an enquiry is silent for too long, and what is owed to its visitor before it closes.

use std::time::Duration;

use super::auto_message::WITHDRAW_AFTER;
use super::command::{Command, Effect, Refusal, RemindWhy, Terms, Unsent};
use super::kept::{EnquiryKept, IdleClock, Notice, Serving, WindowTold};
use super::window;
use crate::floor::event::Closer;
use crate::ids::MessageId;
use crate::message::{Author, Counts};
use crate::settings::{AutoClose, AutoCloseWhen};
use crate::time::Timestamp;
use crate::wall::Ahead;

/// A notification still waiting this long after it was due cannot be sent.
pub const NOTIFICATION_PATIENCE: Duration = WITHDRAW_AFTER;
/// After a start nothing is due earlier than this, or the whole time if that is shorter.
const COURTESY: Duration = Duration::from_mins(5);

/// One live enquiry, besides its place on the floor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Enquiry {
    pub(super) kept: EnquiryKept,
    /// Closing was asked for, or told of; only the latter is kept.
    closed: bool,
    /// The window is the provider's, and follows the wall clock.
    pub(super) ahead: Ahead,
}

/// What falls due, in the order of judging at one instant.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Due {
    Window,
    Reminder,
    Notification,
    Patience,
    GraceOver,
    Stale,
}

impl Enquiry {
    /// Opened at `now`, the window being what earlier enquiries of the visitor have left of it; the
    /// opening message is told with [`Command::VisitorWrote`].
    pub fn new(now: Timestamp, window_until: Option<Timestamp>) -> Self {
        let window_until = window_until.unwrap_or_default();
        let window =
            if window::is_open(window_until, now) { WindowTold::Open } else { WindowTold::Closed };
        Self::restore(EnquiryKept {
            opened_at: now,
            window_until,
            window,
            last_counted: now,
            visitor_last: false,
            staff_wrote: None,
            serving: Serving::Nobody,
            clock: IdleClock::Stopped,
            notice: Notice::None,
            grace: Duration::ZERO,
            away_sent: None,
            hold_until: None,
            recovered_at: None,
            over: false,
        })
    }

    /// As it was kept; [`Command::Recovered`] must come first after a start.
    pub fn restore(kept: EnquiryKept) -> Self {
        Self { closed: kept.over, kept, ahead: Ahead::default() }
    }

    /// What a restart needs.
    pub fn kept(&self) -> &EnquiryKept {
        &self.kept
    }

    /// Whether nothing but a new enquiry can come of what arrives.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// When [`expire`](Self::expire) next has work to do.
    pub fn next_deadline(&self, terms: &Terms<'_>) -> Option<Timestamp> {
        self.next_due(terms, Timestamp::default()).map(|(at, _)| at)
    }

    /// Lets what has come due happen.
    pub fn expire(&mut self, terms: &Terms<'_>, now: Timestamp, effects: &mut Vec<Effect>) {
        while let Some((at, due)) = self.next_due(terms, now)
            && at <= now
        {
            self.fall_due(due, terms, now, effects);
        }
    }

    /// First lets due deadlines expire, then judges; a refusal changes nothing beyond that.
    pub fn apply(
        &mut self,
        terms: &Terms<'_>,
        now: Timestamp,
        command: Command,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        match command {
            // Time in which Usher was away is not silence.
            Command::Recovered => self.recover(now, effects),
            // New terms do not reach back: what has come due was due under the old ones.
            Command::SettingsChanged { ref before } => {
                let old = Terms { auto_close: before, stale_close: terms.stale_close };
                self.expire(&old, now, effects);
            }
            Command::VisitorWrote { .. }
            | Command::WeWrote { .. }
            | Command::Handling(_)
            | Command::TransferOffered(_)
            | Command::Hold(_)
            | Command::NotificationQueued { .. }
            | Command::NotificationAccepted { .. }
            | Command::NotificationFailed { .. }
            | Command::AwaySent
            | Command::WindowLapsedByProvider { .. }
            | Command::Closed => self.expire(terms, now, effects),
        }
        match command {
            // Asked for before, and now it has happened.
            Command::Closed if self.closed && !self.kept.over => self.kept.over = true,
            _ if self.closed => return Err(Refusal::Closed),
            command => return self.judge(terms, now, command, effects),
        }
        Ok(())
    }

    fn judge(
        &mut self,
        terms: &Terms<'_>,
        now: Timestamp,
        command: Command,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        match command {
            Command::VisitorWrote { counts, provider_at } => {
                self.visitor_wrote(now, counts, provider_at, effects);
            }
            Command::WeWrote { author, template } => {
                return self.we_wrote(now, author, template, effects);
            }
            Command::Handling(handling) => {
                self.kept.serving = self.kept.serving.told_handling(handling);
                self.start_or_stop(now, effects);
            }
            Command::TransferOffered(offered) => {
                let serving = self.kept.serving.told_transfer(offered);
                if self.kept.serving != serving {
                    self.kept.serving = serving;
                    self.start_or_stop(now, effects);
                }
            }
            Command::Hold(until) => self.kept.hold(now, until, effects),
            Command::NotificationQueued { message } => self.queued(message, effects),
            Command::NotificationAccepted { message } => self.accepted(now, message),
            Command::NotificationFailed { message, why } => {
                self.failed(now, message, why, effects);
            }
            Command::AwaySent => self.kept.away_sent = Some(now),
            Command::WindowLapsedByProvider { at } => self.kept.deny_window(at, effects),
            Command::SettingsChanged { before } => {
                self.settings_changed(now, &before, terms.auto_close);
            }
            Command::Recovered => self.expire(terms, now, effects),
            Command::Closed => {
                self.kept.withdraw(effects);
                self.kept.over = true;
                self.closed = true;
            }
        }
        Ok(())
    }

    fn next_due(&self, terms: &Terms<'_>, now: Timestamp) -> Option<(Timestamp, Due)> {
        if self.closed {
            return None;
        }
        let window = self.kept.window_due().map(|at| (self.ahead.running(at), Due::Window));
        let lapses = self.ahead.running(self.kept.lapses_at());
        let stale = Some((self.kept.stale_at(terms), Due::Stale));
        [window, self.kept.clock_due(terms.auto_close, now, lapses), stale]
            .into_iter()
            .flatten()
            .min()
    }

    fn fall_due(&mut self, due: Due, terms: &Terms<'_>, now: Timestamp, effects: &mut Vec<Effect>) {
        match due {
            Due::Window => self.kept.window_falls_due(self.ahead.wall(now), effects),
            Due::Reminder => {
                if let IdleClock::Running { reminded, .. } = &mut self.kept.clock {
                    *reminded = true;
                }
                effects.push(Effect::RemindOwner { why: RemindWhy::VisitorWaits });
            }
            Due::Notification => self.notify(now, terms.auto_close.grace, effects),
            Due::Patience => {
                self.kept.withdraw(effects);
                self.unsent(now, Unsent::Waited, effects);
            }
            Due::GraceOver => {
                let unanswered = self.kept.visitor_last;
                let silent = matches!(self.kept.clock, IdleClock::Grace { unsent: true, .. });
                self.close(Closer::AutoClose { unanswered }, silent, effects);
            }
            Due::Stale => {
                self.kept.withdraw(effects);
                self.close(Closer::Stale, true, effects);
            }
        }
    }

    fn close(&mut self, by: Closer, silent: bool, effects: &mut Vec<Effect>) {
        self.closed = true;
        effects.push(Effect::Close { by, silent });
    }

    /// The idle time is over. One notification is all that a silence gets, so if one has gone out
    /// already (before a transfer, say) its grace begins without another.
    fn notify(&mut self, now: Timestamp, grace: Duration, effects: &mut Vec<Effect>) {
        match self.kept.notice {
            Notice::None if self.window_is_open(now) => {
                self.kept.notice = Notice::Asked;
                self.kept.grace = grace;
                self.kept.clock = IdleClock::Notifying { since: now };
                effects.push(self.send_notification(now));
            }
            Notice::None => {
                self.kept.grace = grace;
                self.kept.clock = IdleClock::Notifying { since: now };
                self.unsent(now, Unsent::WindowLapsed, effects);
            }
            Notice::Asked | Notice::Waiting { .. } => {
                self.kept.clock = IdleClock::Notifying { since: now };
            }
            Notice::Accepted { .. } => self.kept.clock = self.kept.grace_from(now, false),
            Notice::Unsent { .. } => {
                self.kept.clock = self.kept.grace_from(now, true);
                effects.push(Effect::RemindOwner { why: RemindWhy::NotificationUnsent });
            }
        }
    }

    fn send_notification(&self, now: Timestamp) -> Effect {
        let withdraw_at = now + NOTIFICATION_PATIENCE;
        Effect::SendNotification { grace: self.kept.grace, withdraw_at }
    }

    /// The notification cannot be sent: the grace runs in full from now.
    fn unsent(&mut self, now: Timestamp, why: Unsent, effects: &mut Vec<Effect>) {
        let message = self.kept.notice.message();
        self.kept.notice = Notice::Unsent { message };
        self.kept.begin_grace(now, true);
        effects.push(Effect::NotificationUnsent { why });
        effects.push(Effect::RemindOwner { why: RemindWhy::NotificationUnsent });
    }

    fn queued(&mut self, message: MessageId, effects: &mut Vec<Effect>) {
        match self.kept.notice {
            Notice::Asked => {
                self.kept.notice = Notice::Waiting { message };
                if !matches!(self.kept.clock, IdleClock::Notifying { .. }) {
                    self.kept.withdraw(effects);
                }
            }
            // Its reason has gone meanwhile.
            Notice::None
            | Notice::Waiting { .. }
            | Notice::Accepted { .. }
            | Notice::Unsent { .. } => {
                effects.push(Effect::WithdrawNotification { message });
            }
        }
    }

    fn accepted(&mut self, now: Timestamp, message: MessageId) {
        let hoped_for = match self.kept.notice {
            Notice::Waiting { message } => Some(message),
            Notice::Unsent { message } => message,
            Notice::None | Notice::Asked | Notice::Accepted { .. } => None,
        };
        if hoped_for != Some(message) {
            return;
        }
        self.kept.notice = Notice::Accepted { message };
        self.kept.begin_grace(now, false);
    }

    fn failed(
        &mut self,
        now: Timestamp,
        message: MessageId,
        why: Unsent,
        effects: &mut Vec<Effect>,
    ) {
        match self.kept.notice {
            Notice::Waiting { message: ours } | Notice::Accepted { message: ours }
                if ours == message => {}
            Notice::None
            | Notice::Asked
            | Notice::Waiting { .. }
            | Notice::Accepted { .. }
            | Notice::Unsent { .. } => return,
        }
        match (self.kept.clock, why) {
            (IdleClock::Notifying { .. } | IdleClock::Grace { .. }, _) => {
                self.unsent(now, why, effects);
            }
            // Perhaps the visitor has it: another would be the second.
            (IdleClock::Stopped | IdleClock::Running { .. }, Unsent::Unknown) => {
                self.kept.notice = Notice::Unsent { message: Some(message) };
                effects.push(Effect::NotificationUnsent { why });
            }
            // Nobody waited for it any more; the next one is due in its own time.
            (
                IdleClock::Stopped | IdleClock::Running { .. },
                Unsent::WindowLapsed | Unsent::Waited | Unsent::Withdrawn | Unsent::Refused { .. },
            ) => self.kept.notice = Notice::None,
        }
    }

    fn visitor_wrote(
        &mut self,
        now: Timestamp,
        counts: Counts,
        provider_at: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        if counts.extends_window() {
            self.kept.extend_window(self.ahead.wall(now), provider_at, effects);
        }
        if counts.restarts_idle_clock() {
            self.counted(now, counts != Counts::Echo, effects);
        }
    }

    fn we_wrote(
        &mut self,
        now: Timestamp,
        author: Author,
        template: bool,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        // What the phone app sent is sent.
        if !template && author != Author::Phone && !self.window_is_open(now) {
            return Err(Refusal::WindowLapsed);
        }
        match author {
            Author::Staff { staff } => {
                self.kept.staff_wrote = Some(staff);
                self.counted(now, false, effects);
            }
            Author::Bot { .. } | Author::Phone => self.counted(now, false, effects),
            Author::Auto { .. } => {}
        }
        Ok(())
    }

    /// A counted message ends the silence, and all that the silence had begun.
    fn counted(&mut self, now: Timestamp, by_visitor: bool, effects: &mut Vec<Effect>) {
        self.kept.last_counted = now;
        self.kept.visitor_last = by_visitor;
        self.kept.withdraw(effects);
        self.kept.notice = Notice::None;
        self.kept.run_if_due(now);
    }

    /// Handling or a transfer began or ended.
    fn start_or_stop(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if let IdleClock::Notifying { .. } = self.kept.clock {
            self.kept.withdraw(effects);
        }
        self.kept.run_if_due(now);
    }

    fn settings_changed(&mut self, now: Timestamp, before: &AutoClose, after: &AutoClose) {
        let restarts = after.on && !before.on || after.idle != before.idle;
        match self.kept.clock {
            IdleClock::Running { .. } if restarts => self.kept.run_if_due(now),
            // An enquiry already notified is not touched.
            IdleClock::Running { .. }
            | IdleClock::Stopped
            | IdleClock::Notifying { .. }
            | IdleClock::Grace { .. } => {}
        }
    }

    fn recover(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let kept = &mut self.kept;
        kept.recovered_at = Some(now);
        // The clock may have been set back while Usher was away.
        kept.last_counted = kept.last_counted.min(now);
        let runs_from = kept.runs_from(now);
        kept.clock = match kept.clock {
            IdleClock::Stopped => IdleClock::Stopped,
            IdleClock::Running { since, reminded } => {
                IdleClock::Running { since: since.min(runs_from), reminded }
            }
            IdleClock::Notifying { .. } => IdleClock::Notifying { since: now },
            IdleClock::Grace { unsent, .. } => kept.grace_from(now, unsent),
        };
        if let (IdleClock::Notifying { .. }, Notice::Asked) = (kept.clock, kept.notice) {
            effects.push(self.send_notification(now));
        }
    }
}

impl EnquiryKept {
    /// The first clock, anew.
    fn run_if_due(&mut self, now: Timestamp) {
        self.clock = match self.serving {
            Serving::Somebody => IdleClock::Running { since: self.runs_from(now), reminded: false },
            Serving::Nobody | Serving::Transfer { .. } => IdleClock::Stopped,
        };
    }

    fn grace_from(&self, now: Timestamp, unsent: bool) -> IdleClock {
        IdleClock::Grace { until: self.runs_from(now) + self.grace, unsent }
    }

    /// What became of the notification is known, if that is still waited for.
    fn begin_grace(&mut self, now: Timestamp, unsent: bool) {
        match self.clock {
            IdleClock::Notifying { .. } | IdleClock::Grace { .. } => {
                self.clock = self.grace_from(now, unsent);
            }
            IdleClock::Stopped | IdleClock::Running { .. } => {}
        }
    }

    /// `lapses`: when the window does.
    fn clock_due(
        &self,
        auto_close: &AutoClose,
        now: Timestamp,
        lapses: Timestamp,
    ) -> Option<(Timestamp, Due)> {
        match self.clock {
            IdleClock::Stopped => None,
            IdleClock::Running { .. } if !auto_close.on => None,
            IdleClock::Running { since, reminded } => match auto_close.when {
                AutoCloseWhen::VisitorSilent if self.visitor_last => {
                    let at = self.not_before(since + auto_close.idle / 2, auto_close.idle / 2);
                    (!reminded).then_some((at, Due::Reminder))
                }
                AutoCloseWhen::Silence | AutoCloseWhen::VisitorSilent => {
                    Some((self.idle_over(since, auto_close, now, lapses), Due::Notification))
                }
            },
            IdleClock::Notifying { since } => Some((since + NOTIFICATION_PATIENCE, Due::Patience)),
            IdleClock::Grace { until, .. } => Some((until, Due::GraceOver)),
        }
    }

    fn idle_over(
        &self,
        since: Timestamp,
        auto_close: &AutoClose,
        now: Timestamp,
        lapses: Timestamp,
    ) -> Timestamp {
        let at = self.not_before(since + auto_close.idle, auto_close.idle);
        if at.max(now) < lapses {
            return at;
        }
        at.max(since + auto_close.lapsed_idle)
    }

    fn stale_at(&self, terms: &Terms<'_>) -> Timestamp {
        let since = self.hold_until.map_or(self.last_counted, |end| end.max(self.last_counted));
        self.not_before(since + terms.stale_close, terms.stale_close)
    }

    /// Nothing is due on hold, nor before the courtesy after a start is over.
    fn not_before(&self, at: Timestamp, time: Duration) -> Timestamp {
        let courtesy = self.recovered_at.map(|start| start + time.min(COURTESY));
        [courtesy, self.hold_until].into_iter().flatten().fold(at, Ord::max)
    }
}

impl Notice {
    fn message(self) -> Option<MessageId> {
        match self {
            Self::None | Self::Asked => None,
            Self::Waiting { message } | Self::Accepted { message } => Some(message),
            Self::Unsent { message } => message,
        }
    }
}
