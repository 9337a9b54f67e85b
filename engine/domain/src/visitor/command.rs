//! What staff, closings and the rules change about a known visitor.

use thiserror::Error;

use super::directory::{Directory, Effect};
use super::person::{Binding, Visitor};
use crate::ids::{ChannelId, StaffId, VisitorId};
use crate::time::Timestamp;
use crate::trace::BindingKind;

#[derive(Clone, Debug)]
pub struct Command {
    pub visitor: VisitorId,
    pub change: Change,
}

#[derive(Clone, Debug)]
pub enum Change {
    /// `None`: unknown again.
    SetLanguage {
        language: Option<Box<str>>,
    },
    /// No `start`, campaigns or marketing templates from now on.
    OptOut,
    OptIn,
    /// On the blocklist; live enquiries are the caller's to close.
    Block,
    Unblock,
    /// One of a kind per channel: replaces the one there is. An engagement of somebody else that is
    /// still in force stands.
    SetBinding {
        binding: Binding,
    },
    DropBinding {
        kind: BindingKind,
        channel: Option<ChannelId>,
    },
    /// A welcome message went out.
    Welcomed {
        channel: ChannelId,
    },
    /// The 24-hour window is open until then at least; nothing makes it shorter but a lapse.
    WindowExtended {
        channel: ChannelId,
        until: Timestamp,
    },
    /// The provider says that it has lapsed.
    WindowLapsed {
        channel: ChannelId,
    },
    EnquiryClosed {
        channel: ChannelId,
        closing: Closing,
    },
    /// An enquiry was routed by the engagement binding.
    UseUpEngagement {
        channel: ChannelId,
    },
}

/// What is remembered of a closed enquiry.
#[derive(Clone, Debug, Default)]
pub struct Closing {
    pub owner: Option<StaffId>,
    /// When the window lapses, as the enquiry knew it.
    pub window_until: Option<Timestamp>,
    /// The sticky binding it leaves; `None`: the old one stays.
    pub binding: Option<Binding>,
}

/// Why nothing was changed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Refusal {
    #[error("no such visitor")]
    UnknownVisitor,
    #[error("another staff member has already written to this visitor")]
    Engaged { by: StaffId },
    #[error("the visitor has opted out")]
    OptedOut,
}

impl Directory {
    pub fn apply(
        &mut self,
        now: Timestamp,
        Command { visitor, change }: Command,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let id = self.current(visitor);
        let visitor = self.visitor_mut(id).ok_or(Refusal::UnknownVisitor)?;
        if visitor.change(now, change)? {
            self.emit(id, effects);
        }
        Ok(())
    }

    /// Whether this person may write first to a visitor here.
    pub fn may_start(
        &self,
        now: Timestamp,
        visitor: VisitorId,
        on: ChannelId,
        staff: StaffId,
    ) -> Result<(), Refusal> {
        let visitor = self.visitor(visitor).ok_or(Refusal::UnknownVisitor)?;
        visitor.may_be_engaged(now, Some(on), staff)
    }
}

impl Visitor {
    /// Whether anything is different now.
    fn change(&mut self, now: Timestamp, change: Change) -> Result<bool, Refusal> {
        Ok(match change {
            Change::SetLanguage { language } => set(&mut self.language, language),
            Change::OptOut => set(&mut self.opted_out, true),
            Change::OptIn => set(&mut self.opted_out, false),
            Change::Block => set(&mut self.blocked, true),
            Change::Unblock => set(&mut self.blocked, false),
            Change::SetBinding { binding } => {
                if binding.kind == BindingKind::Engagement {
                    self.may_be_engaged(now, binding.channel, binding.staff)?;
                }
                self.bind(now, binding)
            }
            Change::DropBinding { kind, channel } => self.unbind(kind, channel),
            Change::Welcomed { channel } => {
                set(&mut self.channels.entry(channel).welcomed_at, Some(now))
            }
            Change::WindowExtended { channel, until } => self.extend_window(channel, until),
            Change::WindowLapsed { channel } => {
                self.channels.contains_key(&channel)
                    && set(&mut self.channels.entry(channel).window_until, None)
            }
            Change::EnquiryClosed { channel, closing } => {
                self.remember(now, channel, closing);
                true
            }
            Change::UseUpEngagement { channel } => {
                self.unbind(BindingKind::Engagement, Some(channel))
            }
        })
    }

    fn may_be_engaged(
        &self,
        now: Timestamp,
        on: Option<ChannelId>,
        staff: StaffId,
    ) -> Result<(), Refusal> {
        if self.opted_out {
            return Err(Refusal::OptedOut);
        }
        let rival = self.bindings.iter().find(|b| {
            b.kind == BindingKind::Engagement
                && b.channel == on
                && b.staff != staff
                && !b.has_expired(now)
        });
        rival.map_or(Ok(()), |rival| Err(Refusal::Engaged { by: rival.staff }))
    }

    fn bind(&mut self, now: Timestamp, binding: Binding) -> bool {
        if self.bindings.contains(&binding) {
            return false;
        }
        let replaced = |b: &Binding| {
            b.has_expired(now) || (b.kind, b.channel) == (binding.kind, binding.channel)
        };
        self.bindings.retain(|b| !replaced(b));
        self.bindings.push(binding);
        true
    }

    fn unbind(&mut self, kind: BindingKind, channel: Option<ChannelId>) -> bool {
        let before = self.bindings.len();
        self.bindings.retain(|b| (b.kind, b.channel) != (kind, channel));
        self.bindings.len() != before
    }

    fn extend_window(&mut self, channel: ChannelId, until: Timestamp) -> bool {
        let window = &mut self.channels.entry(channel).window_until;
        let longer = Some(until).max(*window);
        set(window, longer)
    }

    fn remember(&mut self, now: Timestamp, channel: ChannelId, closing: Closing) {
        let Closing { owner, window_until, binding } = closing;
        let on = self.channels.entry(channel);
        on.last_closed_at = Some(now);
        on.last_owner = owner;
        on.window_until = window_until;
        if let Some(binding) = binding {
            self.bind(now, binding);
        }
    }
}

fn set<T: PartialEq>(place: &mut T, value: T) -> bool {
    let news = *place != value;
    *place = value;
    news
}
