//! Decides a staff member's presence from what they set by hand and from their connections.
//!
//! | link | enters by | leaves by |
//! |---|---|---|
//! | Away | nobody connected for the grace; the last session signed out | a connection → Here |
//! | Here | a connection | the last one lost → Reloading; signed out → Away |
//! | Reloading | the last connection lost; a restart while Here | a connection → Here; the grace → Away |
//! | Suspended | suspension | reinstatement → Away |
//!
//! Away and Suspended are Offline whatever was set. Otherwise the presence is what was set by hand
//! (Busy survives reconnects), unless a lapse makes it Idle: silence, which any activity ends, or no
//! answer, which only an explicit `presence.set` or a new sign-in ends.
//!
//! ```text
//! activity        silence: Idle            last connection lost      Offline
//!    |---- idle_after ---->|                        |--- presence_grace --->|
//!                                                   (reloading: no new offers)
//! ```

mod command;

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::floor::event::PresenceWhy;
use crate::ids::SessionId;
use crate::presence::Presence;
use crate::time::Timestamp;

pub use command::{Arrival, Command, Setter};

/// One socket.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ConnectionId(pub u64);

/// Sockets one person may have open at once.
pub const CONNECTIONS_MAX: usize = 16;

/// The service's settings that presence goes by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Times {
    /// No activity on any connection for this long: Idle.
    pub idle_after: Duration,
    /// No connection for this long: Offline.
    pub grace: Duration,
}

/// Whether and since when one staff member is there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attendance {
    times: Times,
    /// Set by hand, last of all devices.
    chosen: Presence,
    lapse: Lapse,
    /// When the silence began: the last activity, or what started its clock anew.
    active_at: Timestamp,
    link: Link,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Link {
    Away,
    Here {
        connections: Vec<Connection>,
    },
    /// `session`: whose connection was the last; unknown after a restart.
    Reloading {
        until: Timestamp,
        session: Option<SessionId>,
    },
    Suspended,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Connection {
    id: ConnectionId,
    session: SessionId,
}

/// Why somebody who set Active or Busy counts as Idle.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lapse {
    #[default]
    None,
    Silence,
    NoAnswer,
}

/// Enough to go on after a restart.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AttendanceKept {
    /// Set by hand.
    pub chosen: Presence,
    #[serde(default)]
    pub lapse: Lapse,
    /// Connected, or within the grace.
    #[serde(default)]
    pub present: bool,
}

/// Whether offers reach this person.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reachability {
    Here,
    /// Nothing new is offered; open offers stay.
    Reloading {
        until: Timestamp,
    },
    Away,
}

/// What the shell must do next, in this order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effect {
    /// For the journal: supersedes what was kept before.
    Keep(AttendanceKept),
    /// Close this socket: signed out or suspended.
    End { connection: ConnectionId, why: PresenceWhy },
    /// For the router: nothing new is offered while this holds.
    Reloading(bool),
    /// Different from before.
    PresenceIs { presence: Presence, why: PresenceWhy },
}

/// Why nothing was changed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Refusal {
    #[error("the person is suspended")]
    Suspended,
    #[error("no such connection")]
    NotConnected,
    #[error("too many connections")]
    TooManyConnections,
}

impl Attendance {
    /// Somebody who has never signed in.
    pub fn new(times: Times) -> Self {
        Self {
            times,
            chosen: Presence::Active,
            lapse: Lapse::None,
            active_at: Timestamp::default(),
            link: Link::Away,
        }
    }

    /// After a restart: who was here has the grace to come back, and their silence starts again.
    pub fn restore(now: Timestamp, times: Times, kept: AttendanceKept) -> Self {
        let until = now + times.grace;
        let link = if kept.present { Link::Reloading { until, session: None } } else { Link::Away };
        Self { times, chosen: kept.chosen, lapse: kept.lapse, active_at: now, link }
    }

    pub fn presence(&self) -> Presence {
        match (&self.link, self.chosen, self.lapse) {
            (Link::Away | Link::Suspended, _, _) => Presence::Offline,
            (_, Presence::Active | Presence::Busy, Lapse::Silence | Lapse::NoAnswer) => {
                Presence::Idle
            }
            (Link::Here { .. } | Link::Reloading { .. }, chosen, _) => chosen,
        }
    }

    pub fn reachability(&self) -> Reachability {
        match self.link {
            Link::Away | Link::Suspended => Reachability::Away,
            Link::Here { .. } => Reachability::Here,
            Link::Reloading { until, .. } => Reachability::Reloading { until },
        }
    }

    pub fn kept(&self) -> AttendanceKept {
        let present = matches!(self.link, Link::Here { .. } | Link::Reloading { .. });
        AttendanceKept { chosen: self.chosen, lapse: self.lapse, present }
    }

    /// In order of arrival.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionId> {
        let connections = match &self.link {
            Link::Here { connections } => connections.as_slice(),
            Link::Away | Link::Reloading { .. } | Link::Suspended => &[],
        };
        connections.iter().map(|connection| connection.id)
    }

    /// When [`expire`](Self::expire) next has work to do.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        match self.link {
            Link::Away | Link::Suspended => None,
            Link::Here { .. } => self.idle_at(),
            Link::Reloading { until, .. } => {
                Some(self.idle_at().map_or(until, |idle| idle.min(until)))
            }
        }
    }

    /// Lets silence and grace run out as far as they have, the earlier first.
    pub fn expire(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        while let Some(due) = self.next_deadline().filter(|&due| due <= now) {
            let before = self.clone();
            if self.idle_at() == Some(due) {
                self.lapse = Lapse::Silence;
                self.tell(&before, PresenceWhy::Idle, effects);
            } else {
                self.link = Link::Away;
                self.tell(&before, PresenceWhy::NoConnection, effects);
            }
        }
    }

    /// When silence makes this person Idle, unless they already count or set themselves so.
    fn idle_at(&self) -> Option<Timestamp> {
        let may_lapse = matches!(self.chosen, Presence::Active | Presence::Busy);
        (may_lapse && self.lapse == Lapse::None).then(|| self.active_at + self.times.idle_after)
    }

    fn is_reloading(&self) -> bool {
        matches!(self.link, Link::Reloading { .. })
    }

    /// What differs from `before`.
    fn tell(&self, before: &Self, why: PresenceWhy, effects: &mut Vec<Effect>) {
        if self.kept() != before.kept() {
            effects.push(Effect::Keep(self.kept()));
        }
        if self.is_reloading() != before.is_reloading() {
            effects.push(Effect::Reloading(self.is_reloading()));
        }
        let presence = self.presence();
        if presence != before.presence() {
            effects.push(Effect::PresenceIs { presence, why });
        }
    }
}
