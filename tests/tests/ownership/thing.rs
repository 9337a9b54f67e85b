//! What happens in a world, and how what is said on the wires is understood.

use std::time::Duration;

use usher_domain::ownership::Epoch;
use usher_domain::ownership::lease::{Answer, Ask};

use crate::servers::{Question, Reply};

/// What happens at an instant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Thing {
    /// A node looks at its deadlines.
    Wake(usize),
    /// A question has come to Redis, and its reply back to who asked.
    AtRedis {
        from: u64,
        ask: Ask,
        question: Question,
    },
    Reply {
        to: u64,
        ask: Ask,
        reply: Reply,
    },
    /// To the store and back.
    ReadForAcquire {
        from: u64,
        ask: Ask,
    },
    Hold {
        from: u64,
        ask: Ask,
        epoch: u64,
    },
    Held {
        to: u64,
        ask: Ask,
        ours: bool,
    },
    /// And then Redis's lease.
    Release {
        from: u64,
        epoch: u64,
    },
    Claim {
        from: u64,
        epoch: u64,
        over: u64,
    },
    Claimed {
        to: u64,
        epoch: u64,
        taken: bool,
    },
    /// The owner writes something, and the store has it.
    Write(usize),
    Commit {
        from: u64,
        epoch: u64,
    },
    Superseded {
        to: u64,
        epoch: u64,
    },
    Stopped {
        of: u64,
        epoch: u64,
    },
    Failed {
        to: u64,
        ask: Ask,
    },
    Fault,
    /// Who acted when it went.
    RedisBack {
        acted: Option<(u64, Epoch)>,
    },
}

pub(crate) fn answer(reply: Reply) -> Option<Answer> {
    Some(match reply {
        Reply::Acquired { epoch, over } => {
            Answer::Acquired { epoch: Epoch(epoch), over: Epoch(over) }
        }
        Reply::Held { left } => Answer::Held { left: Duration::from_millis(left) },
        Reply::Renewed => Answer::Renewed,
        Reply::Missing => Answer::Missing,
        Reply::Done => return None,
    })
}

pub(crate) fn reply(to: u64, ask: Ask, answer: Answer) -> Thing {
    let reply = match answer {
        Answer::Acquired { epoch, over } => Reply::Acquired { epoch: epoch.0, over: over.0 },
        Answer::Held { left } => {
            Reply::Held { left: u64::try_from(left.as_millis()).unwrap_or(u64::MAX) }
        }
        Answer::Renewed => Reply::Renewed,
        Answer::Missing => Reply::Missing,
        Answer::Holding => return Thing::Held { to, ask, ours: true },
        Answer::Superseded => return Thing::Held { to, ask, ours: false },
        Answer::Failed => return Thing::Failed { to, ask },
    };
    Thing::Reply { to, ask, reply }
}
