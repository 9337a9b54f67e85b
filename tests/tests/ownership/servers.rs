//! What Redis and the store do, said once more and otherwise: the scripts and the statement are tested
//! against the real ones elsewhere.

/// Lease, holder and epoch as the scripts keep them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Redis {
    epoch: u64,
    lease: Option<Granted>,
}

#[derive(Clone, Copy, Debug)]
struct Granted {
    epoch: u64,
    /// `None`: kept for nobody.
    holder: Option<u64>,
    until: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Question {
    Acquire { store: u64 },
    Renew { epoch: u64 },
    Reassert { epoch: u64 },
    Release { epoch: u64 },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reply {
    Acquired { epoch: u64, over: u64 },
    Held { left: u64 },
    Renewed,
    Missing,
    Lost,
    Done,
}

impl Redis {
    pub(crate) fn ask(&mut self, now: u64, lease: u64, holder: u64, question: Question) -> Reply {
        self.lease = self.lease.filter(|granted| granted.until > now);
        let mine = Some(holder);
        match question {
            Question::Acquire { store } => {
                if let Some(held) = self.lease {
                    return Reply::Held { left: held.until - now };
                }
                if self.epoch < store {
                    self.grant(store, None, now + lease);
                    return Reply::Held { left: lease };
                }
                self.grant(self.epoch + 1, mine, now + lease);
                Reply::Acquired { epoch: self.epoch, over: store }
            }
            Question::Renew { epoch } => {
                let is_mine = |held: &Granted| (held.epoch, held.holder) == (epoch, mine);
                if self.lease.as_ref().is_some_and(is_mine) {
                    self.grant(self.epoch, mine, now + lease);
                    return Reply::Renewed;
                }
                if self.has_passed(epoch, holder) { Reply::Lost } else { Reply::Missing }
            }
            Question::Reassert { epoch } => {
                if self.has_passed(epoch, holder) {
                    return Reply::Lost;
                }
                self.grant(epoch, mine, now + lease);
                Reply::Renewed
            }
            Question::Release { epoch } => {
                self.lease.take_if(|held| (held.epoch, held.holder) == (epoch, mine));
                Reply::Done
            }
        }
    }

    fn grant(&mut self, epoch: u64, holder: Option<u64>, until: u64) {
        self.epoch = epoch;
        self.lease = Some(Granted { epoch, holder, until });
    }

    fn has_passed(&self, epoch: u64, holder: u64) -> bool {
        self.epoch > epoch
            || self.lease.is_some_and(|held| {
                let others = held.holder.is_some_and(|by| by != holder);
                held.epoch > epoch || (held.epoch == epoch && others)
            })
    }
}

/// The epoch in the store, and whose it is.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) epoch: u64,
    owner: Option<u64>,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
}

impl Store {
    pub(crate) fn claim(&mut self, epoch: u64, over: u64, by: u64) -> bool {
        let taken = self.epoch == over;
        if taken {
            (self.epoch, self.owner) = (epoch, Some(by));
        }
        taken
    }

    /// Whether a commit under this epoch is made.
    pub(crate) fn commit(&mut self, epoch: u64, by: u64) -> bool {
        let made = epoch == self.epoch;
        if made {
            assert_eq!(self.owner, Some(by), "O2: a commit of another under epoch {epoch}");
            self.accepted += 1;
        } else {
            self.refused += 1;
        }
        made
    }
}
