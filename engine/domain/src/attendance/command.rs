//! What people, sockets, supervisors and the floor do to a presence.

use super::{
    Attendance, CONNECTIONS_MAX, Connection, ConnectionId, Effect, Lapse, Link, Refusal, Times,
};
use crate::floor::event::PresenceWhy;
use crate::ids::SessionId;
use crate::presence::Presence;
use crate::time::Timestamp;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Command {
    Connect {
        connection: ConnectionId,
        session: SessionId,
        arrival: Arrival,
    },
    Disconnect {
        connection: ConnectionId,
    },
    /// The person is at the keyboard; every command of theirs counts as one.
    Activity {
        connection: ConnectionId,
    },
    Set {
        presence: Presence,
        by: Setter,
    },
    /// Too many offers in a row lapsed unanswered.
    NoAnswer,
    /// Ends the sockets of one session.
    SignOut {
        session: SessionId,
    },
    Suspend,
    Reinstate,
    /// The service's settings have changed.
    SetTimes(Times),
}

/// How a connection comes about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Arrival {
    /// The first of its session: somebody has just given their password.
    SignIn,
    /// A session's socket comes back by itself.
    Return,
}

/// Who sets a presence by hand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Setter {
    Own,
    Supervisor,
}

impl Attendance {
    /// First lets due deadlines expire, then judges; a refusal changes nothing beyond that.
    pub fn apply(
        &mut self,
        now: Timestamp,
        command: Command,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        self.expire(now, effects);
        let before = self.clone();
        let why = match command {
            Command::Connect { connection, session, arrival } => {
                self.connect(now, Connection { id: connection, session }, arrival)?
            }
            Command::Disconnect { connection } => self.disconnect(now, connection),
            Command::Activity { connection } => self.act(now, connection)?,
            Command::Set { presence, by } => self.set(now, presence, by)?,
            Command::NoAnswer => self.leave_unanswered(),
            Command::SignOut { session } => self.sign_out(session, effects),
            Command::Suspend => self.suspend(effects),
            Command::Reinstate => self.reinstate(),
            Command::SetTimes(times) => {
                self.times = times;
                PresenceWhy::Idle
            }
        };
        self.tell(&before, why, effects);
        // With shorter times a silence may be long enough by now.
        self.expire(now, effects);
        Ok(())
    }

    fn connect(
        &mut self,
        now: Timestamp,
        connection: Connection,
        arrival: Arrival,
    ) -> Result<PresenceWhy, Refusal> {
        match &mut self.link {
            Link::Suspended => return Err(Refusal::Suspended),
            Link::Here { connections } => {
                connections.retain(|other| other.id != connection.id);
                if connections.len() >= CONNECTIONS_MAX {
                    return Err(Refusal::TooManyConnections);
                }
                connections.push(connection);
            }
            Link::Reloading { .. } => self.link = Link::Here { connections: vec![connection] },
            Link::Away => {
                self.link = Link::Here { connections: vec![connection] };
                self.active_at = now;
            }
        }
        match arrival {
            Arrival::Return => Ok(PresenceWhy::Connected),
            Arrival::SignIn => {
                self.lapse = Lapse::None;
                self.active_at = now;
                // Offline by hand ends with the session it was set in.
                if self.chosen == Presence::Offline {
                    self.chosen = Presence::Active;
                }
                Ok(PresenceWhy::SignedIn)
            }
        }
    }

    /// Late news of a socket that was ended here changes nothing.
    fn disconnect(&mut self, now: Timestamp, connection: ConnectionId) -> PresenceWhy {
        if let Link::Here { connections } = &mut self.link {
            let last = connections.iter().find(|own| own.id == connection).map(|own| own.session);
            connections.retain(|other| other.id != connection);
            if connections.is_empty() {
                self.link = Link::Reloading { until: now + self.times.grace, session: last };
            }
        }
        PresenceWhy::NoConnection
    }

    fn act(&mut self, now: Timestamp, connection: ConnectionId) -> Result<PresenceWhy, Refusal> {
        if !self.connections().any(|own| own == connection) {
            return Err(Refusal::NotConnected);
        }
        self.active_at = now;
        if self.lapse == Lapse::Silence {
            self.lapse = Lapse::None;
        }
        Ok(PresenceWhy::Activity)
    }

    fn set(
        &mut self,
        now: Timestamp,
        presence: Presence,
        by: Setter,
    ) -> Result<PresenceWhy, Refusal> {
        if self.link == Link::Suspended {
            return Err(Refusal::Suspended);
        }
        self.chosen = presence;
        self.lapse = Lapse::None;
        self.active_at = now;
        Ok(match by {
            Setter::Own => PresenceWhy::SetByHand,
            Setter::Supervisor => PresenceWhy::SetBySupervisor,
        })
    }

    /// Only somebody Active leaves an offer unanswered; the news may come after they have set
    /// themselves otherwise.
    fn leave_unanswered(&mut self) -> PresenceWhy {
        if self.presence() == Presence::Active {
            self.lapse = Lapse::NoAnswer;
        }
        PresenceWhy::NoAnswer
    }

    /// Without a grace once no other session is connected: nobody is expected back.
    fn sign_out(&mut self, session: SessionId, effects: &mut Vec<Effect>) -> PresenceWhy {
        let why = PresenceWhy::SignedOut;
        match &mut self.link {
            Link::Here { connections } => {
                let (ended, left) = std::mem::take(connections)
                    .into_iter()
                    .partition(|connection| connection.session == session);
                *connections = left;
                end_all(ended, why, effects);
                if connections.is_empty() {
                    self.link = Link::Away;
                }
            }
            // Signed out between two sockets: nobody is expected back.
            &mut Link::Reloading { session: last, .. } => {
                if last.is_none_or(|last| last == session) {
                    self.link = Link::Away;
                }
            }
            Link::Away | Link::Suspended => {}
        }
        why
    }

    fn suspend(&mut self, effects: &mut Vec<Effect>) -> PresenceWhy {
        let why = PresenceWhy::Suspended;
        if let Link::Here { connections } = std::mem::replace(&mut self.link, Link::Suspended) {
            end_all(connections, why, effects);
        }
        why
    }

    fn reinstate(&mut self) -> PresenceWhy {
        if self.link == Link::Suspended {
            self.link = Link::Away;
        }
        PresenceWhy::NoConnection
    }
}

fn end_all(connections: Vec<Connection>, why: PresenceWhy, effects: &mut Vec<Effect>) {
    let ends =
        connections.into_iter().map(|Connection { id, .. }| Effect::End { connection: id, why });
    effects.extend(ends);
}
