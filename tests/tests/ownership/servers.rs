//! What Redis and the store do, said once more and otherwise: the scripts and the statement are tested
//! against the real ones elsewhere.

use std::collections::BTreeMap;
use std::time::Duration;

use usher_domain::ids::ServiceId;
use usher_domain::ownership::Epoch;
use usher_domain::ownership::lease::Answer;
use usher_domain::ownership::placement::Node;

use crate::node::id;

/// Leases, epochs and signs of life as the scripts keep them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Redis {
    services: BTreeMap<ServiceId, Known>,
    beats: BTreeMap<u64, Beat>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    epoch: u64,
    lease: Option<Granted>,
}

#[derive(Clone, Copy, Debug)]
struct Granted {
    epoch: u64,
    whose: Whose,
    until: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Whose {
    Nobodys,
    Of(u64),
    KeptFor(u64),
}

#[derive(Clone, Copy, Debug)]
struct Beat {
    heard: u64,
    joined: u64,
    leaving: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Question {
    Acquire { store: u64 },
    Renew { epoch: u64 },
    Reassert { epoch: u64 },
    Release { epoch: u64, next: Option<u64> },
}

/// An answer, and whose the lease is.
pub(crate) type Reply = (Answer, Option<u64>);

impl Redis {
    /// `None`: nobody waits for it.
    pub(crate) fn ask(
        &mut self,
        now: u64,
        lease: u64,
        (service, from): (ServiceId, u64),
        question: Question,
    ) -> Option<Reply> {
        let known = self.services.entry(service).or_default();
        known.lease = known.lease.filter(|granted| granted.until > now);
        let mine = Whose::Of(from);
        Some(match question {
            Question::Acquire { store } => known.acquire(now, lease, from, store),
            Question::Renew { epoch } => {
                let is_mine = |held: &Granted| (held.epoch, held.whose) == (epoch, mine);
                if known.lease.as_ref().is_some_and(is_mine) {
                    known.grant(epoch, mine, now + lease);
                    (Answer::Renewed, None)
                } else {
                    (Answer::Missing, None)
                }
            }
            Question::Reassert { epoch } => {
                known.grant(epoch, mine, now + lease);
                (Answer::Renewed, None)
            }
            Question::Release { epoch, next } => {
                let is_mine = |held: &Granted| (held.epoch, held.whose) == (epoch, mine);
                if known.epoch == epoch && known.lease.as_ref().is_some_and(is_mine) {
                    known.lease = None;
                    if let Some(next) = next {
                        known.grant(epoch, Whose::KeptFor(next), now + lease);
                    }
                }
                return None;
            }
        })
    }

    pub(crate) fn holder(&self, now: u64, service: ServiceId) -> Option<u64> {
        let granted = self.services.get(&service)?.lease.filter(|granted| granted.until > now)?;
        if let Whose::Of(holder) = granted.whose { Some(holder) } else { None }
    }

    /// A node lives; and who does.
    pub(crate) fn beat(&mut self, now: u64, lease: u64, from: u64, leaving: bool) -> Vec<Node> {
        self.beats.retain(|_, beat| beat.heard + lease > now);
        let known = self.beats.entry(from).or_insert(Beat { heard: now, joined: now, leaving });
        if known.leaving && !leaving {
            known.joined = now;
        }
        (known.heard, known.leaving) = (now, leaving);
        let told = |(name, beat): (&u64, &Beat)| {
            let node = Node::new(id(*name), 1, Duration::from_millis(now - beat.joined));
            if beat.leaving { node.leaving() } else { node }
        };
        self.beats.iter().map(told).collect()
    }

    pub(crate) fn leave(&mut self, node: u64) {
        self.beats.remove(&node);
    }
}

impl Known {
    fn acquire(&mut self, now: u64, lease: u64, from: u64, store: u64) -> Reply {
        let held = self.lease.filter(|held| held.whose != Whose::KeptFor(from));
        if let Some(Granted { whose, until, .. }) = held {
            let holder = match whose {
                Whose::Nobodys => None,
                Whose::Of(node) | Whose::KeptFor(node) => Some(node),
            };
            return (Answer::Held { left: Duration::from_millis(until - now) }, holder);
        }
        if self.epoch < store {
            self.grant(store, Whose::Nobodys, now + lease);
            return (Answer::Held { left: Duration::from_millis(lease) }, None);
        }
        self.grant(self.epoch + 1, Whose::Of(from), now + lease);
        (Answer::Acquired { epoch: Epoch(self.epoch), over: Epoch(store) }, Some(from))
    }

    /// The epoch never falls.
    fn grant(&mut self, epoch: u64, whose: Whose, until: u64) {
        self.epoch = self.epoch.max(epoch);
        self.lease = Some(Granted { epoch, whose, until });
    }
}

/// Of each service the epoch in the store, whose it is, and until when it is held, by the store's own clock.
#[derive(Debug)]
pub(crate) struct Store {
    services: BTreeMap<ServiceId, Row>,
    /// Thousandths of true time that pass on its clock for a thousandth.
    rate: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    /// Claims that were refused since another holds the service.
    pub(crate) kept_off: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Row {
    epoch: u64,
    owner: Option<u64>,
    held_until: u64,
}

impl Store {
    pub(crate) const fn new(rate: u64) -> Self {
        Self { services: BTreeMap::new(), rate, accepted: 0, refused: 0, kept_off: 0 }
    }

    const fn clock(&self, now: u64) -> u64 {
        now * self.rate / 1_000
    }

    /// The epoch; and by whom and for how long by its clock nobody else can claim the service.
    pub(crate) fn standing(&self, now: u64, service: ServiceId) -> (u64, Option<(u64, u64)>) {
        let row = self.services.get(&service).copied().unwrap_or_default();
        let left = row.held_until.saturating_sub(self.clock(now));
        (row.epoch, row.owner.filter(|_| left > 0).map(|owner| (owner, left)))
    }

    pub(crate) fn hold(&mut self, now: u64, lease: u64, service: ServiceId, epoch: u64) -> bool {
        let until = self.clock(now) + lease;
        let row = self.services.entry(service).or_default();
        let ours = row.epoch == epoch;
        if ours {
            row.held_until = until;
        }
        ours
    }

    pub(crate) fn release(&mut self, service: ServiceId, epoch: u64) {
        let row = self.services.entry(service).or_default();
        if row.epoch == epoch {
            row.held_until = 0;
        }
    }

    pub(crate) fn claim(
        &mut self,
        now: u64,
        (service, by): (ServiceId, u64),
        (epoch, over): (u64, u64),
    ) -> bool {
        let (known, held) = self.standing(now, service);
        let taken = known == over && held.is_none();
        if taken {
            self.services.insert(service, Row { epoch, owner: Some(by), held_until: 0 });
        }
        self.kept_off += u64::from(known == over && held.is_some());
        taken
    }

    /// Whether a commit under this epoch is made.
    pub(crate) fn commit(&mut self, service: ServiceId, epoch: u64, by: u64) -> bool {
        let row = self.services.get(&service).copied().unwrap_or_default();
        let made = epoch == row.epoch;
        if made {
            assert_eq!(row.owner, Some(by), "O2: a commit of another under epoch {epoch}");
            self.accepted += 1;
        } else {
            self.refused += 1;
        }
        made
    }
}
