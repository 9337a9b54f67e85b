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
                    self.grant(epoch, mine, now + lease);
                    return Reply::Renewed;
                }
                Reply::Missing
            }
            Question::Reassert { epoch } => {
                self.grant(epoch, mine, now + lease);
                Reply::Renewed
            }
            Question::Release { epoch } => {
                if self.epoch == epoch {
                    self.lease.take_if(|held| (held.epoch, held.holder) == (epoch, mine));
                }
                Reply::Done
            }
        }
    }

    pub(crate) fn holder(&self, now: u64) -> Option<u64> {
        self.lease.filter(|granted| granted.until > now)?.holder
    }

    /// The epoch never falls.
    fn grant(&mut self, epoch: u64, holder: Option<u64>, until: u64) {
        self.epoch = self.epoch.max(epoch);
        self.lease = Some(Granted { epoch, holder, until });
    }
}

/// The epoch in the store, whose it is, and until when it is held, by the store's own clock.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) epoch: u64,
    owner: Option<u64>,
    held_until: u64,
    /// Thousandths of true time that pass on its clock for a thousandth.
    rate: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    /// Claims that were refused since another holds the service.
    pub(crate) kept_off: u64,
}

impl Store {
    pub(crate) const fn new(rate: u64) -> Self {
        Self { epoch: 0, owner: None, held_until: 0, rate, accepted: 0, refused: 0, kept_off: 0 }
    }

    const fn clock(&self, now: u64) -> u64 {
        now * self.rate / 1_000
    }

    /// For how long by its clock nobody can claim the service.
    pub(crate) const fn held_for(&self, now: u64) -> u64 {
        self.held_until.saturating_sub(self.clock(now))
    }

    pub(crate) const fn hold(&mut self, now: u64, lease: u64, epoch: u64) -> bool {
        let ours = self.epoch == epoch;
        if ours {
            self.held_until = self.clock(now) + lease;
        }
        ours
    }

    pub(crate) const fn release(&mut self, epoch: u64) {
        if self.epoch == epoch {
            self.held_until = 0;
        }
    }

    pub(crate) fn claim(&mut self, now: u64, epoch: u64, over: u64, by: u64) -> bool {
        let held = self.held_for(now) > 0;
        let taken = self.epoch == over && !held;
        if taken {
            (self.epoch, self.owner, self.held_until) = (epoch, Some(by), 0);
        }
        self.kept_off += u64::from(self.epoch == over && held);
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
