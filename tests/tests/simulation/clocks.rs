//! The clock of every live enquiry, run beside the floor: never closed early, never twice, never
//! less than the grace after its notification, whatever happens in between.

use std::collections::BTreeMap;
use std::time::Duration;

use usher_domain::enquiry::auto_message;
use usher_domain::enquiry::{Command, Effect, Enquiry, Terms, Unsent};
use usher_domain::floor::event::{Closer, FloorEvent};
use usher_domain::ids::{ChannelId, EnquiryId, MessageId, StaffId};
use usher_domain::message::{Author, Counts};
use usher_domain::settings::{AutoCloseWhen, Settings};
use usher_domain::time::Timestamp;

use crate::coverage::Coverage;
use crate::random::Random;

/// After a start, what was not notified yet has at least this much more, or its whole idle time.
const COURTESY: Duration = Duration::from_mins(5);

/// One machine, and what is known of its enquiry without asking it.
#[expect(clippy::struct_excessive_bools, reason = "facts noted each by itself, not a state")]
#[derive(Debug)]
struct Clock {
    machine: Enquiry,
    channel: ChannelId,
    handled: bool,
    transfer: bool,
    hold_until: Option<Timestamp>,
    /// The last counted message, beginning of handling, end of a transfer or hold.
    quiet_since: Timestamp,
    visitor_last: bool,
    /// The notification of this silence.
    sent: Option<MessageId>,
    /// Since when its grace runs.
    grace_since: Option<Timestamp>,
    recovered: Option<Timestamp>,
    away: Option<Timestamp>,
}

#[derive(Debug, Default)]
pub(crate) struct Clocks {
    live: BTreeMap<EnquiryId, Clock>,
    /// In the outbox, outcome unknown.
    outbox: Vec<(EnquiryId, MessageId)>,
    messages: u128,
    now: Timestamp,
    /// What the machines ask the floor to close.
    pub(crate) to_close: Vec<(EnquiryId, Closer, bool)>,
}

const fn terms(settings: &Settings) -> Terms<'_> {
    Terms { auto_close: &settings.auto_close, stale_close: settings.stale_close }
}

impl Clocks {
    pub(crate) fn look_at(&mut self, now: Timestamp) {
        self.now = now;
    }

    pub(crate) fn opened(&mut self, enquiry: EnquiryId, channel: ChannelId, set: &Settings) {
        let clock = Clock {
            machine: Enquiry::new(self.now, None),
            channel,
            handled: false,
            transfer: false,
            hold_until: None,
            quiet_since: self.now,
            visitor_last: true,
            sent: None,
            grace_since: None,
            recovered: None,
            away: None,
        };
        self.live.insert(enquiry, clock);
        let counts = Counts::Message;
        self.tell(enquiry, set, Command::VisitorWrote { counts, provider_at: self.now });
    }

    pub(crate) fn visitor_wrote(&mut self, enquiry: EnquiryId, set: &Settings) {
        let counts = Counts::Message;
        self.tell(enquiry, set, Command::VisitorWrote { counts, provider_at: self.now });
        self.counted(enquiry, true);
    }

    pub(crate) fn staff_wrote(&mut self, enquiry: EnquiryId, staff: StaffId, set: &Settings) {
        let author = Author::Staff { staff };
        // A template, so that it can be sent whatever the window.
        self.tell(enquiry, set, Command::WeWrote { author, template: true });
        self.counted(enquiry, false);
    }

    fn counted(&mut self, enquiry: EnquiryId, by_visitor: bool) {
        let now = self.now;
        let Some(clock) = self.live.get_mut(&enquiry) else { return };
        clock.quiet_since = now;
        clock.visitor_last = by_visitor;
        clock.sent = None;
        clock.grace_since = None;
    }

    /// What the floor says of an enquiry, as its clock has to hear it.
    pub(crate) fn heard(&mut self, event: &FloorEvent, set: &Settings, coverage: &mut Coverage) {
        let Some(enquiry) = event.enquiry() else { return };
        match event {
            FloorEvent::PickedUp { .. } | FloorEvent::BotTook { .. } => {
                self.handling(enquiry, true, set);
            }
            FloorEvent::BotLeft { .. } | FloorEvent::OwnerGone { suspended: true, .. } => {
                self.handling(enquiry, false, set);
            }
            FloorEvent::TransferOffered { blind, .. } => {
                if *blind {
                    self.handling(enquiry, false, set);
                }
                self.transfer(enquiry, true, set);
            }
            FloorEvent::TransferEnded { .. } => self.transfer(enquiry, false, set),
            FloorEvent::Held { until, .. } => {
                self.tell(enquiry, set, Command::Hold(*until));
                if let Some(clock) = self.live.get_mut(&enquiry) {
                    clock.hold_until = *until;
                }
            }
            FloorEvent::Missed { away, .. } => self.missed(enquiry, *away, set, coverage),
            FloorEvent::WalkEnded { .. } => self.missed(enquiry, true, set, coverage),
            FloorEvent::Closed { .. } => {
                self.tell(enquiry, set, Command::Closed);
                self.live.remove(&enquiry);
                self.outbox.retain(|(of, _)| *of != enquiry);
            }
            FloorEvent::Decided { .. }
            | FloorEvent::Offered { .. }
            | FloorEvent::OfferEnded { .. }
            | FloorEvent::Waiting { .. }
            | FloorEvent::OwnerGone { .. }
            | FloorEvent::NobodyTookOver { .. }
            | FloorEvent::PresenceChanged { .. } => {}
        }
    }

    fn handling(&mut self, enquiry: EnquiryId, handled: bool, set: &Settings) {
        self.tell(enquiry, set, Command::Handling(handled));
        let now = self.now;
        let Some(clock) = self.live.get_mut(&enquiry) else { return };
        clock.handled = handled;
        clock.quiet_since = now;
        clock.grace_since = None;
    }

    fn transfer(&mut self, enquiry: EnquiryId, offered: bool, set: &Settings) {
        self.tell(enquiry, set, Command::TransferOffered(offered));
        let now = self.now;
        let Some(clock) = self.live.get_mut(&enquiry) else { return };
        clock.transfer = offered;
        clock.quiet_since = now;
        clock.grace_since = None;
    }

    fn missed(&mut self, enquiry: EnquiryId, away: bool, set: &Settings, coverage: &mut Coverage) {
        self.handling(enquiry, false, set);
        let now = self.now;
        let Some(clock) = self.live.get_mut(&enquiry) else { return };
        let Some(channel) = set.channels.get(&clock.channel) else { return };
        let last = clock.machine.kept().away_sent;
        if !auto_message::away_due(&channel.away, last, !away, now) {
            return;
        }
        let again = channel.away.repeat_after;
        assert!(clock.away.is_none_or(|at| now.since(at) >= again), "Away twice within {again:?}");
        clock.away = Some(now);
        coverage.hit("clock: away");
        self.tell(enquiry, set, Command::AwaySent);
    }

    /// The provider takes or refuses what waits in the outbox.
    pub(crate) fn provider(
        &mut self,
        random: &mut Random,
        set: &Settings,
        coverage: &mut Coverage,
    ) {
        for (enquiry, message) in std::mem::take(&mut self.outbox) {
            if !random.chance(40) {
                self.outbox.push((enquiry, message));
                continue;
            }
            let accepted = random.chance(85);
            let why = Unsent::Refused { code: 131_026 };
            let command = if accepted {
                Command::NotificationAccepted { message }
            } else {
                Command::NotificationFailed { message, why }
            };
            let now = self.now;
            if let Some(clock) = self.live.get_mut(&enquiry)
                && accepted
                && clock.sent == Some(message)
            {
                clock.grace_since = Some(now);
                coverage.hit("clock: notified");
            }
            self.tell(enquiry, set, command);
        }
    }

    /// Timers, in time or late.
    pub(crate) fn expire(&mut self, set: &Settings) {
        let now = self.now;
        let due: Vec<EnquiryId> = self
            .live
            .iter()
            .filter(|(_, clock)| clock.machine.next_deadline(&terms(set)).is_some_and(|d| d <= now))
            .map(|(enquiry, _)| *enquiry)
            .collect();
        for enquiry in due {
            let Some(clock) = self.live.get_mut(&enquiry) else { continue };
            let mut effects = Vec::new();
            clock.machine.expire(&terms(set), now, &mut effects);
            self.perform(enquiry, effects, set);
        }
    }

    /// After a crash every machine goes on from what was kept.
    pub(crate) fn crashed(&mut self, set: &Settings) {
        let now = self.now;
        let live: Vec<EnquiryId> = self.live.keys().copied().collect();
        for enquiry in live {
            let Some(clock) = self.live.get_mut(&enquiry) else { continue };
            clock.machine = Enquiry::restore(clock.machine.kept().clone());
            clock.recovered = Some(now);
            self.tell(enquiry, set, Command::Recovered);
        }
    }

    fn tell(&mut self, enquiry: EnquiryId, set: &Settings, command: Command) {
        let now = self.now;
        let Some(clock) = self.live.get_mut(&enquiry) else { return };
        let mut effects = Vec::new();
        // Once it asked to be closed it hears nothing more.
        clock.machine.apply(&terms(set), now, command, &mut effects).ok();
        self.perform(enquiry, effects, set);
    }

    fn perform(&mut self, enquiry: EnquiryId, effects: Vec<Effect>, set: &Settings) {
        let now = self.now;
        for effect in effects {
            let Some(clock) = self.live.get_mut(&enquiry) else { return };
            match effect {
                Effect::SendNotification { .. } => {
                    clock.may_be_notified(now, set);
                    self.messages += 1;
                    let message = MessageId::from_number(self.messages);
                    clock.sent = Some(message);
                    self.outbox.push((enquiry, message));
                    self.tell(enquiry, set, Command::NotificationQueued { message });
                }
                Effect::WithdrawNotification { message } => {
                    self.outbox.retain(|&(_, waiting)| waiting != message);
                }
                Effect::NotificationUnsent { .. } => clock.grace_since = Some(now),
                Effect::Close { by, silent } => {
                    if matches!(by, Closer::AutoClose { .. }) {
                        clock.may_be_closed(now, set);
                    }
                    assert!(
                        !self.to_close.iter().any(|(asked, ..)| *asked == enquiry),
                        "closed twice"
                    );
                    self.to_close.push((enquiry, by, silent));
                }
                Effect::RemindOwner { .. }
                | Effect::WindowOpened { .. }
                | Effect::WindowClosing { .. }
                | Effect::WindowClosed { .. } => {}
            }
        }
    }
}

impl Clock {
    fn held(&self, now: Timestamp) -> bool {
        self.hold_until.is_some_and(|until| now < until)
    }

    fn may_be_notified(&self, now: Timestamp, set: &Settings) {
        let auto_close = &set.auto_close;
        assert!(auto_close.on, "switched off");
        assert!(self.handled && !self.transfer && !self.held(now), "not while {self:?}");
        assert!(now.since(self.quiet_since) >= auto_close.idle, "notified early: {self:?}");
        assert!(self.sent.is_none(), "notified twice in one silence");
        let started = self.recovered.map(|at| now.since(at));
        let courtesy = auto_close.idle.min(COURTESY);
        assert!(started.is_none_or(|since| since >= courtesy), "notified right after a start");
        let answered = !self.visitor_last;
        assert!(answered || auto_close.when == AutoCloseWhen::Silence, "the visitor spoke last");
    }

    fn may_be_closed(&self, now: Timestamp, set: &Settings) {
        let grace = set.auto_close.grace;
        assert!(self.handled && !self.transfer && !self.held(now), "closed while {self:?}");
        let told = self.grace_since.or(self.sent.map(|_| self.quiet_since));
        let since = told.expect("closed without notification").max(self.quiet_since);
        let since = self.recovered.map_or(since, |at| at.max(since));
        assert!(now.since(since) >= grace, "closed less than the grace after the notification");
    }
}
