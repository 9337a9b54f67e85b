//! What a lease hears and says.

use std::time::Duration;

use thiserror::Error;

use crate::ownership::Epoch;

/// One question to Redis or to the store; its answer names it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Ask(pub u64);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Command {
    /// This node would own the service if those before it in the draw did not: so many are there, beside the
    /// owner. They are let come first, and the more there are, the more seldom it looks.
    Want { rank: usize },
    /// Who was believed to own it does not answer, or says that it is not the owner.
    Doubt,
    /// It should not: what runs is stopped in order, and the lease released.
    GiveUp,
    /// What came of a question.
    Hear { ask: Ask, answer: Answer },
    /// The store has taken the epoch: commits under older ones fail from now on.
    Claimed { epoch: Epoch },
    /// It has another epoch than when the lease was asked for, is held, or could not be reached.
    NotClaimed { epoch: Epoch },
    /// A commit was refused because another node's epoch is newer.
    Superseded { epoch: Epoch },
    /// What [`Effect::Start`] began has stopped.
    Stopped,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    /// To `Acquire`; `over`: the epoch that the store had before it was asked for.
    Acquired { epoch: Epoch, over: Epoch },
    /// To `Acquire`: somebody else's for as long, in Redis or in the store, or nobody's, since Redis had
    /// gone back in time.
    Held { left: Duration },
    /// To `Renew` and `Reassert`.
    Renewed,
    /// To `Renew`: Redis knows of none, or of another's.
    Missing,
    /// To `Hold`: nobody else can claim the service for a lease's length.
    Holding,
    /// To `Hold`: the store has another epoch.
    Superseded,
    /// To any: it may or may not have been done.
    Failed,
}

/// What the shell must do next, in this order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effect {
    /// Read the store, and unless the service is held there ask Redis for the lease, naming the epoch that
    /// the store has.
    Acquire {
        ask: Ask,
    },
    Renew {
        ask: Ask,
        epoch: Epoch,
    },
    /// Have the store let nobody else claim the service for a lease's length.
    Hold {
        ask: Ask,
        epoch: Epoch,
    },
    /// Have Redis know the lease again, whatever it knows.
    Reassert {
        ask: Ask,
        epoch: Epoch,
    },
    /// Have the store take this epoch, if it still has `over` and nobody holds it.
    Claim {
        epoch: Epoch,
        over: Epoch,
    },
    /// Begin to act.
    Start {
        epoch: Epoch,
    },
    /// Take nothing new, finish what is under way, then say `Stopped`.
    Drain,
    /// Stop acting now, then say `Stopped`.
    Stop {
        why: Why,
    },
    /// Hold it no longer in the store, then hand the lease to the next one, or back.
    Release {
        epoch: Epoch,
    },
}

/// Why a node stops acting at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// It could not be renewed in time.
    Over,
    /// The store knows a newer epoch.
    Superseded,
}

/// Why nothing was changed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Refusal {
    #[error("this is not waited for any more")]
    Stale,
}
