//! One staff member: presence, connections, and the feed of what they are entitled to.

mod connections;
mod gathered;
mod orders;
mod pulls;

pub(crate) use gathered::{Gathered, Page, Wanted};
pub use pulls::{Given, Pulls};

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::oneshot;
use usher_domain::attendance::{self, Arrival, Attendance, Effect};
use usher_domain::floor;
use usher_domain::floor::event::PresenceWhy;
use usher_domain::ids::{SessionId, StaffId};
use usher_domain::presence::Presence;
use usher_domain::record::{After, Event, Record};
use usher_domain::settings::Role;
use usher_domain::time::Timestamp;
use usher_protocol::command::Command;
use usher_protocol::event::{Named, Now, PresenceNow};
use usher_protocol::feed::{FeedServer, Outlet, Patience};
use usher_protocol::frame::{Resume, ServerFrame, reply_error};
use usher_protocol::refusal::{Code, Refusal};

use crate::handle::{Answer, ConnectionId};
use crate::peers::{Due, Guard, Peers};
use crate::router::Decide;
use crate::service::AnswerTo;
use crate::timer::{Alarm, Waiter};
use pulls::Gives;

pub(crate) type StaffAddrs = Rc<BTreeMap<StaffId, Addr<Staff>>>;

/// A numbered event, written once for everybody who gets it.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Push {
    pub(crate) tail: Arc<str>,
    /// Until what else comes in a moment.
    pub(crate) may_wait: bool,
}

/// A statement of how things are; a later one with the same key takes its place.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct State {
    pub(crate) key: String,
    pub(crate) frame: Arc<str>,
}

/// The floor has set this person's presence by itself, or heard of it.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct PresenceIs {
    pub(crate) presence: Presence,
    pub(crate) why: PresenceWhy,
}

#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Connect {
    pub(crate) connection: ConnectionId,
    pub(crate) session: SessionId,
    pub(crate) resume: Option<Resume>,
    /// Told once the connection can be pulled from; dropped where it is refused.
    pub(crate) done: oneshot::Sender<Pulls>,
}

/// Everything this person is to be shown, durable: the connection is greeted.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Greet {
    connection: ConnectionId,
    heads: Vec<Arc<str>>,
}

/// What is pushed from here on comes after the snapshot.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Mark(pub(crate) ConnectionId);

/// The client answered a ping.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct IsAlive(pub(crate) ConnectionId);

#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Disconnect(pub(crate) ConnectionId);

/// A command of this person's.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Commanded {
    pub(crate) command: Command,
    pub(crate) answer: AnswerTo,
}

/// The answer to a command that came by a connection.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct AnswerIs {
    pub(crate) connection: ConnectionId,
    pub(crate) id: u64,
    pub(crate) answer: Answer,
}

/// Usher stops: every connection is told to come back.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct LetGo;

/// A session was signed out elsewhere.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct SignedOut(pub(crate) SessionId);

/// A supervisor has set this person's presence.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct SetBySupervisor {
    pub(crate) presence: Presence,
    pub(crate) by: StaffId,
    pub(crate) answer: AnswerTo,
}

/// A colleague has connected and is shown how this person's presence is.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct ShowPresenceTo(pub(crate) StaffId);

/// Members of larger groups are not told of each other's coming and going: it would be a flood.
const COLLEAGUES_MAX: usize = 200;

#[derive(Debug)]
pub(crate) struct Staff {
    peers: Peers,
    _guard: Guard,
    id: StaffId,
    attendance: Attendance,
    feed: FeedServer,
    /// Mostly one: a node of the tree has room for eleven.
    connections: BTreeMap<ConnectionId, Box<Connection>>,
    arriving: BTreeMap<ConnectionId, Arriving>,
    since: Timestamp,
    alarm: Alarm,
    gathering: Gathering,
}

/// What may wait gathers for a moment, and is given together.
#[derive(Debug, Default)]
struct Gathering {
    /// Since when something waits; `None`: nothing does.
    since: Option<Timestamp>,
    /// How many do.
    events: usize,
    /// Somebody is going to look.
    is_watched: bool,
}

#[derive(Debug)]
struct Connection {
    session: SessionId,
    outlet: Outlet,
    gives: Gives,
    patience: Patience,
}

/// Somebody who is connecting: what they are shown is being gathered.
#[derive(Debug)]
struct Arriving {
    session: SessionId,
    done: oneshot::Sender<Pulls>,
    /// The newest event when gathering began: what comes after it is told, the heads show the rest.
    mark: Option<u64>,
    /// Comes back to a place in the feed that is still known: there is nothing to gather.
    resume: Option<Resume>,
}

impl Staff {
    pub(crate) fn new(peers: Peers, id: StaffId, attendance: Attendance, epoch: u64) -> Self {
        let guard = peers.guard("staff");
        let since = peers.now();
        Self {
            peers,
            _guard: guard,
            id,
            attendance,
            feed: FeedServer::new(epoch),
            connections: BTreeMap::new(),
            arriving: BTreeMap::new(),
            since,
            alarm: Alarm::default(),
            gathering: Gathering::default(),
        }
    }

    fn attend(&mut self, command: attendance::Command) -> Result<(), attendance::Refusal> {
        let mut effects = Vec::new();
        let outcome = self.attendance.apply(self.peers.now(), command, &mut effects);
        self.perform(effects);
        outcome
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Keep(kept) => {
                    let after = After::Attendance { staff: self.id, kept };
                    let record =
                        Record::new(self.peers.now(), Event::AttendanceKept { staff: self.id });
                    self.peers.ledger.append(vec![record.leaving(after)], Vec::new());
                }
                Effect::End { connection, .. } => self.end(ConnectionId(connection.0)),
                Effect::Reloading(on) => {
                    self.floor(floor::Command::Reloading { staff: self.id, on });
                }
                Effect::PresenceIs { presence, why } => {
                    self.floor(floor::Command::Presence { staff: self.id, presence, why });
                }
            }
        }
        self.arm();
    }

    fn floor(&self, command: floor::Command) {
        self.peers.router.do_send(Decide { command, answer: None });
    }

    /// A deadline that has moved on is found out when the earlier one comes.
    fn arm(&self) {
        let next = self.attendance.next_deadline().into_iter().chain(self.patience_ends()).min();
        self.alarm.set(&self.peers, Waiter::Staff(self.id), next);
    }

    /// The session is told to sign in again; the others stay.
    fn end(&mut self, connection: ConnectionId) {
        self.connections.remove(&connection);
        self.count_sessions();
    }

    fn presence_now(&self, presence: Presence, why: Option<PresenceWhy>) -> Now {
        Now::Presence(PresenceNow {
            staff: Named::new(self.id, self.peers.name_of(self.id)),
            presence,
            why,
            since: self.peers.on_the_wall(self.since).into(),
        })
    }

    /// Who shares a group with this person, or stands over one of theirs, or the reverse.
    fn colleagues(&self) -> BTreeSet<StaffId> {
        let settings = &self.peers.settings;
        let mut theirs = BTreeSet::new();
        let mut groups = BTreeSet::new();
        for group in settings.groups.values() {
            if group.members.contains(&self.id) {
                groups.insert(group.id);
                if group.members.len() <= COLLEAGUES_MAX {
                    theirs.extend(group.members.iter().copied());
                }
            }
        }
        let over = settings.staff.values().filter(|person| {
            person.role >= Role::Supervisor
                && (person.supervises.is_empty()
                    || person.supervises.iter().any(|group| groups.contains(group)))
        });
        theirs.extend(over.map(|person| person.id).take(COLLEAGUES_MAX));
        theirs.remove(&self.id);
        theirs
    }

    fn arrival(&self, session: SessionId, resume: Option<&Resume>) -> Arrival {
        let known = self.connections.values().any(|connection| connection.session == session);
        if known || resume.is_some() { Arrival::Return } else { Arrival::SignIn }
    }
}

impl Actor for Staff {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        self.arm();
    }
}

impl Handler<Push> for Staff {
    type Result = ();

    fn handle(&mut self, Push { tail, may_wait }: Push, ctx: &mut Context<Self>) {
        self.feed.push(tail);
        if may_wait { self.serve_pulls_soon(ctx) } else { self.serve_pulls() }
    }
}

impl Handler<State> for Staff {
    type Result = ();

    fn handle(&mut self, State { key, frame }: State, _: &mut Context<Self>) {
        let mut overrun = Vec::new();
        for (id, connection) in &mut self.connections {
            if connection.outlet.state_frame(key.clone(), Arc::clone(&frame)).is_err() {
                overrun.push(*id);
            }
        }
        self.evict(&overrun);
        self.serve_pulls();
    }
}

impl Handler<PresenceIs> for Staff {
    type Result = ();

    fn handle(&mut self, PresenceIs { presence, why }: PresenceIs, _: &mut Context<Self>) {
        self.since = self.peers.now();
        if why == PresenceWhy::NoAnswer {
            // The floor has decided; attendance only takes note, and says the same.
            self.attend(attendance::Command::NoAnswer).ok();
        }
        let now = self.presence_now(presence, Some(why));
        for staff in self.colleagues().into_iter().chain([self.id]) {
            if self.peers.is_connected(staff) {
                self.peers.state(staff, &now);
            }
        }
    }
}

impl Handler<ShowPresenceTo> for Staff {
    type Result = ();

    fn handle(&mut self, ShowPresenceTo(staff): ShowPresenceTo, _: &mut Context<Self>) {
        let now = self.presence_now(self.attendance.presence(), None);
        self.peers.state(staff, &now);
    }
}

impl Handler<Due> for Staff {
    type Result = ();

    fn handle(&mut self, _: Due, _: &mut Context<Self>) {
        self.alarm.rang();
        let mut effects = Vec::new();
        self.attendance.expire(self.peers.now(), &mut effects);
        self.perform(effects);
        self.let_go_of_the_dead();
        self.arm();
    }
}

impl Handler<AnswerIs> for Staff {
    type Result = ();

    fn handle(&mut self, AnswerIs { connection, id, answer }: AnswerIs, _: &mut Context<Self>) {
        let Some(open) = self.connections.get_mut(&connection) else { return };
        let frame = match answer {
            Ok(ok) => ServerFrame::Ok { re: id, ok }.encode(),
            Err(refusal) => reply_error(id, refusal),
        };
        if open.outlet.answer(frame).is_err() {
            self.evict(&[connection]);
        }
        self.serve_pulls();
    }
}

impl Handler<LetGo> for Staff {
    type Result = ();

    fn handle(&mut self, _: LetGo, _: &mut Context<Self>) {
        self.connections.clear();
        self.arriving.clear();
        self.count_sessions();
    }
}

impl Handler<SignedOut> for Staff {
    type Result = ();

    fn handle(&mut self, SignedOut(session): SignedOut, _: &mut Context<Self>) {
        // Signing out a session that has no connection changes nothing.
        self.attend(attendance::Command::SignOut { session }).ok();
        self.connections.retain(|_, connection| connection.session != session);
        self.count_sessions();
    }
}

impl Handler<SetBySupervisor> for Staff {
    type Result = ();

    fn handle(
        &mut self,
        SetBySupervisor { presence, by, answer }: SetBySupervisor,
        _: &mut Context<Self>,
    ) {
        let command = attendance::Command::Set { presence, by: attendance::Setter::Supervisor };
        let outcome = self.attend(command).map(|()| serde_json::json!({}));
        let refused =
            |refused: attendance::Refusal| Refusal::saying(Code::NotActive, refused.to_string());
        answer.answer(&self.peers, by, outcome.map_err(refused));
    }
}
