//! What happens in a world.

use usher_domain::ids::ServiceId;
use usher_domain::ownership::Epoch;
use usher_domain::ownership::keeping::Word;
use usher_domain::ownership::lease::Ask;

use crate::servers::Question;

/// Who acts for each service that somebody acts for.
pub(crate) type Acting = Vec<(ServiceId, u64, Epoch)>;

/// What happens at an instant.
#[derive(Clone, Debug)]
pub(crate) enum Thing {
    /// A node looks at its deadlines.
    Wake(usize),
    /// It asks those it takes for owners, for whoever asks it.
    Probe(usize),
    /// What runs writes something.
    Write(usize),
    /// Something has come to Redis, or to the store.
    AtRedis {
        from: u64,
        service: ServiceId,
        ask: Option<Ask>,
        question: Question,
    },
    AtStore {
        from: u64,
        what: Statement,
    },
    Beat {
        from: u64,
        leaving: bool,
    },
    /// Something has come to a node, …
    Told {
        to: u64,
        word: Word,
    },
    /// … a sign of the store, in time or not, …
    Signed {
        to: u64,
        sign: u64,
        answered: bool,
    },
    /// … that a commit was refused, …
    Refused {
        to: u64,
        service: ServiceId,
        epoch: Epoch,
    },
    /// … that it has stopped what it ran.
    Stopped {
        to: u64,
        service: ServiceId,
        epoch: Epoch,
    },
    /// A node that was told to leave has had its time.
    Ends {
        of: u64,
    },
    Fault,
    /// Who acted when it went.
    RedisBack {
        acted: Acting,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Statement {
    ReadForAcquire {
        service: ServiceId,
        ask: Ask,
    },
    Hold {
        service: ServiceId,
        ask: Ask,
        epoch: u64,
    },
    /// And then Redis's lease.
    Release {
        service: ServiceId,
        epoch: u64,
        next: Option<u64>,
    },
    Claim {
        service: ServiceId,
        epoch: u64,
        over: u64,
    },
    Commit {
        service: ServiceId,
        epoch: u64,
    },
    Sign {
        sign: u64,
    },
}

impl Thing {
    /// The node that it happens to.
    pub(crate) const fn to(&self) -> Option<u64> {
        match self {
            Self::Told { to, .. }
            | Self::Signed { to, .. }
            | Self::Refused { to, .. }
            | Self::Stopped { to, .. } => Some(*to),
            Self::Wake(_)
            | Self::Probe(_)
            | Self::Write(_)
            | Self::AtRedis { .. }
            | Self::AtStore { .. }
            | Self::Beat { .. }
            | Self::Ends { .. }
            | Self::Fault
            | Self::RedisBack { .. } => None,
        }
    }
}
