//! Connections: greeted, pulled from, and let go when they are dead or read too slowly.

use std::time::Duration;

use actix::prelude::*;
use usher_domain::attendance;
use usher_domain::settings::Role;
use usher_domain::time::Timestamp;
use usher_protocol::feed::{Outlet, Patience, Pulled, Recovery};
use usher_protocol::frame::{Myself, Resume, Welcome, snapshot};
use usher_protocol::{BATCH_BYTES_MAX, HEARTBEAT_SECONDS, PART_BYTES_MAX};

use super::pulls::{self, Given, Gives, Look};
use super::{
    Arriving, Connect, Connection, Disconnect, Greet, IsAlive, Mark, ShowPresenceTo, Staff, Wanted,
};
use crate::handle::ConnectionId;
use crate::ledger::Release;
use crate::metrics as names;
use crate::router::{Show, TellTo};

/// What may wait is given at the latest after this: one write for many. A tick or a head a tenth of a
/// second late is no later to anybody's eyes.
const GATHERED_FOR: Duration = Duration::from_millis(100);
/// As many do not wait for more: far below what a feed keeps.
const GATHERED_MAX: usize = 64;

impl Staff {
    fn greet(&mut self, Greet { connection, heads }: Greet, looks: Recipient<Look>) {
        let Some(Arriving { session, done, mark, resume }) = self.arriving.remove(&connection)
        else {
            return;
        };
        let epoch = self.feed.epoch().clone();
        let marked = resume.clone().or_else(|| mark.map(|offset| Resume { epoch, offset }));
        let recovery = match (self.feed.resume(marked.as_ref()), resume) {
            (Recovery::Recovered(cursor), None) => Recovery::Snapshot(cursor),
            (recovered @ Recovery::Recovered(_), Some(_)) => recovered,
            // More was told meanwhile than is kept: the client comes back and finds it calmer.
            (Recovery::Snapshot(_), _) => return self.drop_connection(connection),
        };
        let (pulls, gives) = pulls::pulls(looks);
        self.open((connection, session), recovery, heads, gives);
        // The door may have given up meanwhile; then the connection is found dead.
        done.send(pulls).ok();
    }

    fn open(
        &mut self,
        (connection, session): (ConnectionId, usher_domain::ids::SessionId),
        recovery: Recovery,
        heads: Vec<std::sync::Arc<str>>,
        gives: Gives,
    ) {
        let outcome = if recovery.is_recovered() { "recovered" } else { "snapshot" };
        metrics::counter!(names::FEED_RESUMES, "outcome" => outcome).increment(1);
        let welcome = self.welcome(session);
        let parts = |at| snapshot(heads, at, PART_BYTES_MAX);
        let mut outlet = Outlet::open(&self.feed, recovery, welcome, parts);
        let presence = self.presence_now(self.attendance.presence(), None);
        // The first statement always fits.
        outlet.state(&presence).ok();
        let now = self.peers.now();
        let open = Connection { session, outlet, gives, patience: Patience::new(now) };
        self.connections.insert(connection, Box::new(open));
        self.arm();
        self.count_sessions();
        self.peers.router.do_send(TellTo(self.id));
        for colleague in self.colleagues() {
            if let Some(addr) = self.peers.staff(colleague) {
                addr.do_send(ShowPresenceTo(self.id));
            }
        }
    }

    fn welcome(&self, session: usher_domain::ids::SessionId) -> Welcome {
        let person = self.peers.settings.staff.get(&self.id);
        let staff = Myself {
            id: self.id,
            name: self.peers.name_of(self.id),
            role: person.map_or(Role::Agent, |person| person.role),
            presence: self.attendance.presence(),
            capacity: person.map_or(0, |person| person.capacity),
        };
        Welcome {
            session,
            epoch: self.feed.epoch().clone(),
            offset: self.feed.offset(),
            recovered: false,
            staff,
            heartbeat: HEARTBEAT_SECONDS,
        }
    }

    /// Gives what there is to those who ask for it.
    pub(super) fn serve_pulls(&mut self) {
        (self.gathering.since, self.gathering.events) = (None, 0);
        let now = self.peers.now();
        let mut ends_sooner = false;
        for connection in self.connections.values_mut() {
            if connection.outlet.is_idle(&self.feed) {
                connection.patience.is_level();
            } else if !connection.gives.is_asked() {
                ends_sooner |= connection.patience.falls_behind(now);
            }
            // Until nothing is left, or what is left is owed: who asks then has this person look again.
            while !connection.outlet.is_idle(&self.feed) && connection.gives.is_asked() {
                let pulled = connection.outlet.pull(&self.feed, BATCH_BYTES_MAX);
                let ask = connection.patience.gave(now, bytes_of(&pulled));
                ends_sooner |= ask;
                // The door may be gone; then the connection is found dead.
                connection.gives.give(Given { pulled, ask });
            }
        }
        if ends_sooner {
            self.arm();
        }
    }

    /// Gives what there is to those who ask for it, and what else comes in a moment.
    pub(super) fn serve_pulls_soon(&mut self, ctx: &mut Context<Self>) {
        if self.connections.is_empty() {
            return;
        }
        self.gathering.events += 1;
        if self.gathering.events >= GATHERED_MAX {
            return self.serve_pulls();
        }
        let now = self.peers.now();
        self.gathering.since.get_or_insert(now);
        if !self.gathering.is_watched {
            self.look_in(GATHERED_FOR, ctx);
        }
    }

    fn look_in(&mut self, time: Duration, ctx: &mut Context<Self>) {
        self.gathering.is_watched = true;
        ctx.run_later(time, |staff, ctx| {
            staff.gathering.is_watched = false;
            // What was given along with something else does not wait any more.
            let Some(since) = staff.gathering.since else { return };
            match GATHERED_FOR.checked_sub(staff.peers.now().since(since)) {
                Some(left) if !left.is_zero() => staff.look_in(left, ctx),
                Some(_) | None => staff.serve_pulls(),
            }
        });
    }

    /// When the first connection will be dead, or has read too slowly, unless it does better.
    pub(super) fn patience_ends(&self) -> Option<Timestamp> {
        self.connections.values().map(|connection| connection.patience.ends()).min()
    }

    pub(super) fn let_go_of_the_dead(&mut self) {
        let now = self.peers.now();
        let lost: Vec<ConnectionId> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.patience.ends() <= now)
            .map(|(id, _)| *id)
            .collect();
        self.evict(&lost);
    }

    /// Lets go: its end of the feed says so, which ends the socket, and the client resumes.
    pub(super) fn evict(&mut self, connections: &[ConnectionId]) {
        for connection in connections {
            metrics::counter!(names::EVICTED).increment(1);
            self.drop_connection(*connection);
        }
    }

    pub(super) fn drop_connection(&mut self, connection: ConnectionId) {
        self.arriving.remove(&connection);
        if self.connections.remove(&connection).is_some() {
            self.count_sessions();
        }
        let gone = attendance::ConnectionId(connection.0);
        // A connection that never was one changes nothing.
        self.attend(attendance::Command::Disconnect { connection: gone }).ok();
    }

    pub(super) fn count_sessions(&self) {
        tracing::trace!(staff = %self.id, connections = self.connections.len(), "connections");
        let mut connected = self.peers.connected.borrow_mut();
        if self.connections.is_empty() {
            connected.remove(&self.id);
        } else {
            connected.insert(self.id);
        }
    }
}

fn bytes_of(pulled: &Pulled) -> usize {
    let Pulled::Frames(frames) = pulled else { return 0 };
    frames.iter().map(String::len).sum()
}

impl Handler<Connect> for Staff {
    type Result = ();

    fn handle(&mut self, connect: Connect, ctx: &mut Context<Self>) {
        let Connect { connection, session, resume, done } = connect;
        let arrival = self.arrival(session, resume.as_ref());
        let id = attendance::ConnectionId(connection.0);
        let command = attendance::Command::Connect { connection: id, session, arrival };
        if let Err(refused) = self.attend(command) {
            tracing::info!(%refused, "a connection was refused");
            return;
        }
        let staff = ctx.address();
        if self.feed.resume(resume.as_ref()).is_recovered() {
            self.arriving.insert(connection, Arriving { session, done, mark: None, resume });
            // The welcome tells of the presence, which has to be durable first.
            let greet = Box::new(Greet { connection, heads: Vec::new() });
            self.peers.ledger.release(Release::Greet { staff, greet });
            return;
        }
        self.arriving.insert(connection, Arriving { session, done, mark: None, resume: None });
        let wanted = Wanted::Greeting { connection, joined: self.rooms_joined() };
        self.peers.router.do_send(Show { staff: self.id, addr: staff, wanted });
    }
}

impl Staff {
    /// Live enquiries this person was added to, or joined.
    fn rooms_joined(&self) -> std::collections::BTreeSet<usher_domain::ids::EnquiryId> {
        self.peers.joined.borrow().get(&self.id).cloned().unwrap_or_default()
    }
}

impl Handler<Mark> for Staff {
    type Result = ();

    fn handle(&mut self, Mark(connection): Mark, _: &mut Context<Self>) {
        let offset = self.feed.offset();
        if let Some(arriving) = self.arriving.get_mut(&connection) {
            arriving.mark = Some(offset);
        }
    }
}

impl Handler<Greet> for Staff {
    type Result = ();

    fn handle(&mut self, greet: Greet, ctx: &mut Context<Self>) {
        self.greet(greet, ctx.address().recipient());
    }
}

impl Handler<IsAlive> for Staff {
    type Result = ();

    fn handle(&mut self, IsAlive(connection): IsAlive, _: &mut Context<Self>) {
        let now = self.peers.now();
        if let Some(open) = self.connections.get_mut(&connection) {
            open.patience.heard(now);
        }
    }
}

impl Handler<Disconnect> for Staff {
    type Result = ();

    fn handle(&mut self, Disconnect(connection): Disconnect, _: &mut Context<Self>) {
        self.drop_connection(connection);
    }
}
