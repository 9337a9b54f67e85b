//! The client's half: what to apply, what to ignore, when to come back and with what.
//!
//! | phase | hears | becomes |
//! |---|---|---|
//! | Away | – (`hello` is written) | Greeting |
//! | Greeting | `welcome`, recovered | Live |
//! | Greeting | `welcome`, not recovered | Snapshotting |
//! | Snapshotting | parts, then `done` | Live |
//! | Live | events | Live |
//! | any | what does not fit there | Away: come back |

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::close::{Advice, Bye, hint};
use crate::command::Command;
use crate::event::Head;
use crate::frame::{
    ClientFrame, Done, Epoch, Hello, Numbered, Part, Resume, ServerFrame, StateFrame, Token,
    Welcome, parse_server,
};
use crate::refusal::Refusal;

/// One staff member's session, across connections.
#[derive(Debug, Default)]
pub struct FeedClient {
    phase: Phase,
    /// Epoch and `at` of what was last applied.
    applied: Option<Resume>,
    /// Commands without an answer, by number.
    pending: BTreeMap<u64, Command>,
    last_id: u64,
    /// Connections lost since the last one that got as far as Live.
    failures: u32,
    /// From the `bye` of this connection.
    bye: Option<Bye>,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Away,
    Greeting,
    Snapshotting {
        epoch: Epoch,
        parts: u32,
        heads: Vec<Head>,
    },
    Live,
}

/// What a frame means to the application.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// Greeted. `repeat` is to be written now: keyed commands without an answer. What is in
    /// `unanswered` was lost with the last connection; nobody knows whether it was done.
    Welcome {
        welcome: Box<Welcome>,
        repeat: Vec<String>,
        unanswered: Vec<Unanswered>,
    },
    /// Everything known is replaced by these heads.
    Snapshot {
        at: u64,
        heads: Vec<Head>,
    },
    /// The next event.
    Apply(Numbered),
    /// Applied before.
    Duplicate {
        at: u64,
    },
    Now(StateFrame),
    Answer {
        id: u64,
        command: Box<Command>,
        outcome: Result<Value, Refusal>,
    },
    /// A close follows.
    Bye(Bye),
    /// A snapshot's part, an answer nobody waits for, a frame of a later version.
    Nothing,
    /// Frames are missing or make no sense: close the connection and open another.
    Reconnect {
        why: &'static str,
    },
}

/// A command whose outcome is unknown.
#[derive(Clone, Debug, PartialEq)]
pub struct Unanswered {
    pub id: u64,
    pub command: Command,
}

/// A command taken on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Submitted {
    pub id: u64,
    /// To be written now; `None`: it will be in the next welcome's `repeat`.
    pub frame: Option<String>,
}

/// Not connected, and the command has no key; or too many are without an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not connected, or too many commands without an answer")]
pub struct Offline;

/// What to do after a connection ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    ReconnectNow,
    /// The caller adds its own jitter.
    ReconnectLater(Duration),
    SignIn,
    GiveUp,
}

impl FeedClient {
    /// Most commands without an answer.
    pub const PENDING_MAX: usize = 256;
    /// Longest time away without a hint.
    pub const AWAY_MAX: Duration = Duration::from_secs(30);

    pub fn new() -> Self {
        Self::default()
    }

    /// Begins on a new connection: the frame to write first.
    pub fn hello(&mut self, token: Option<Token>) -> String {
        self.phase = Phase::Greeting;
        self.bye = None;
        ClientFrame::Hello(Hello { token, resume: self.applied.clone() }).encode()
    }

    /// Epoch and offset of what was applied.
    pub const fn applied(&self) -> Option<&Resume> {
        self.applied.as_ref()
    }

    pub const fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live)
    }

    /// Commands without an answer.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Takes a command on; keyed ones also while away.
    ///
    /// # Errors
    /// [`Offline`]; nothing was kept.
    pub fn submit(&mut self, command: Command) -> Result<Submitted, Offline> {
        let greeted = matches!(self.phase, Phase::Snapshotting { .. } | Phase::Live);
        let refused = !greeted && command.key().is_none();
        if refused || self.pending.len() >= Self::PENDING_MAX {
            return Err(Offline);
        }
        self.last_id += 1;
        let id = self.last_id;
        let text = greeted.then(|| ClientFrame::encode_command(id, &command));
        self.pending.insert(id, command);
        Ok(Submitted { id, frame: text })
    }

    /// Takes the next frame.
    pub fn receive(&mut self, text: &str) -> Incoming {
        let Ok(frame) = parse_server(text) else {
            return self.lost("a frame makes no sense");
        };
        match frame {
            ServerFrame::Welcome { welcome } => self.welcome(welcome),
            ServerFrame::Snapshot { snapshot } => self.part(snapshot),
            ServerFrame::Done { done } => self.done(done),
            ServerFrame::Event(event) => self.event(event),
            ServerFrame::Ok { re, ok } => self.answer(re, Ok(ok)),
            ServerFrame::Error { re, error } => self.answer(re, Err(error)),
            ServerFrame::Now(state) => Incoming::Now(state),
            ServerFrame::Bye { bye } => {
                self.bye = Some(bye.clone());
                Incoming::Bye(bye)
            }
            ServerFrame::Unknown(_) => Incoming::Nothing,
        }
    }

    /// The connection ended; `code` is that of the close frame, if one came.
    pub fn closed(&mut self, code: Option<u16>, reason: &str) -> Next {
        self.phase = Phase::Away;
        self.failures = self.failures.saturating_add(1);
        let bye = self.bye.take();
        let code = code.or(bye.as_ref().map(|bye| bye.code));
        let hint = hint(reason).or(bye.and_then(|bye| bye.retry_after));
        let hint = hint.map(|seconds| Duration::from_secs(seconds.into()));
        match Advice::of(code.unwrap_or_default()) {
            Advice::ComeBackNow if self.failures <= 1 => Next::ReconnectNow,
            Advice::ComeBackNow => Next::ReconnectLater(self.backoff()),
            Advice::ComeBackLater => Next::ReconnectLater(hint.unwrap_or_else(|| self.backoff())),
            Advice::SignInAgain => Next::SignIn,
            Advice::GiveUp => Next::GiveUp,
        }
    }

    fn backoff(&self) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(5);
        Duration::from_secs(1 << doublings).min(Self::AWAY_MAX)
    }

    fn lost(&mut self, why: &'static str) -> Incoming {
        self.phase = Phase::Away;
        Incoming::Reconnect { why }
    }

    fn welcome(&mut self, welcome: Welcome) -> Incoming {
        if !matches!(self.phase, Phase::Greeting) {
            return self.lost("a second welcome");
        }
        if !welcome.recovered {
            let epoch = welcome.epoch.clone();
            self.phase = Phase::Snapshotting { epoch, parts: 0, heads: Vec::new() };
        } else if self.applied.as_ref().is_some_and(|applied| {
            applied.epoch == welcome.epoch && applied.offset <= welcome.offset
        }) {
            self.live();
        } else {
            // Only a snapshot can help against a server that recovers what nobody asked for.
            self.applied = None;
            return self.lost("recovered from something else");
        }
        let (repeat, unanswered) = self.left_over();
        Incoming::Welcome { welcome: Box::new(welcome), repeat, unanswered }
    }

    /// Keyed commands are repeated under their old numbers; of the others nobody knows.
    fn left_over(&mut self) -> (Vec<String>, Vec<Unanswered>) {
        let mut unanswered = Vec::new();
        let mut repeat = Vec::new();
        for (id, command) in std::mem::take(&mut self.pending) {
            if command.key().is_none() {
                unanswered.push(Unanswered { id, command });
                continue;
            }
            repeat.push(ClientFrame::encode_command(id, &command));
            self.pending.insert(id, command);
        }
        (repeat, unanswered)
    }

    fn live(&mut self) {
        self.phase = Phase::Live;
        self.failures = 0;
    }

    fn part(&mut self, part: Part) -> Incoming {
        let Phase::Snapshotting { parts, heads, .. } = &mut self.phase else {
            return self.lost("part of a snapshot, out of place");
        };
        if part.part != *parts + 1 {
            return self.lost("a part of the snapshot is missing");
        }
        *parts = part.part;
        heads.extend(part.heads);
        Incoming::Nothing
    }

    fn done(&mut self, done: Done) -> Incoming {
        let Phase::Snapshotting { epoch, parts, heads } = std::mem::take(&mut self.phase) else {
            return self.lost("the end of a snapshot, out of place");
        };
        if done.parts != parts {
            return self.lost("a part of the snapshot is missing");
        }
        self.applied = Some(Resume { epoch, offset: done.at });
        self.live();
        Incoming::Snapshot { at: done.at, heads }
    }

    fn event(&mut self, event: Numbered) -> Incoming {
        let (Phase::Live, Some(applied)) = (&self.phase, &mut self.applied) else {
            return self.lost("an event before its turn");
        };
        if event.at <= applied.offset {
            return Incoming::Duplicate { at: event.at };
        }
        if event.at != applied.offset + 1 {
            return self.lost("events are missing");
        }
        applied.offset = event.at;
        Incoming::Apply(event)
    }

    fn answer(&mut self, id: u64, outcome: Result<Value, Refusal>) -> Incoming {
        match self.pending.remove(&id) {
            Some(command) => Incoming::Answer { id, command: Box::new(command), outcome },
            None => Incoming::Nothing,
        }
    }
}
