//! The one way back when something breaks: everything is built anew from what is durable; and when
//! that does not help, the service stops, and no other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use actix::dev::ContextFutureSpawner;
use actix::prelude::*;
use thiserror::Error;
use tokio::sync::oneshot;
use usher_domain::ids::ServiceId;
use usher_store::Stuck;

use super::{Service, StartError};
use crate::clock::Clock;
use crate::directory::Projected;
use crate::peers::Peers;
use crate::recovery;
use crate::staff::LetGo;

/// Between two tries to build.
const PAUSE: Duration = Duration::from_secs(1);
/// A building that stood this long was a healthy one.
const CALM: Duration = Duration::from_mins(1);
/// Most rebuilds in a row of which none has done anything.
const REBUILDS_MAX: u8 = 3;

/// A service that is not built again until the program starts anew.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("service {service} has stopped at record {seq}: {why}")]
pub struct Stopped {
    pub service: ServiceId,
    /// The record that cannot be got over, or the last one that was kept.
    pub seq: u64,
    pub why: &'static str,
}

impl Service {
    pub(super) fn build(&mut self, ctx: &mut Context<Self>) {
        let reached = self.start.archive.reached(self.id());
        if reached.stuck {
            return self.give_up(reached.seq + 1, "it cannot be shown in the archive");
        }
        self.build += 1;
        // What is kept stands on the wall: from here on the two clocks agree again.
        self.clock = Clock::starting_at(self.wall.ahead().wall(self.clock.now()));
        self.wall = self.wall.anew();
        self.built_at = self.clock.now();
        let with = (self.clock, self.wall.clone(), self.build, self.in_hand.clone());
        let service = ctx.address();
        // What cannot even be read stops this service, and no other.
        let built = catch_unwind(AssertUnwindSafe(|| recovery::build(&self.start, with, &service)));
        match built.unwrap_or(Err(StartError::Panicked)) {
            Ok(peers) => {
                let ledger = peers.ledger.clone().run(ctx.address());
                self.running.push(ctx.spawn(ledger.into_actor(self)));
                self.watch_archive(&peers, ctx);
                tracing::info!(service = %self.id(), "the service runs");
                self.peers = Some(peers);
            }
            Err(StartError::Panicked) if self.strikes >= REBUILDS_MAX => {
                self.give_up(reached.seq, "what is kept up to it breaks what goes on from there");
            }
            Err(error) => {
                self.strikes += u8::from(matches!(error, StartError::Panicked));
                tracing::error!(%error, service = %self.id(), "the service could not be built; trying again");
                ctx.run_later(PAUSE, Self::build);
            }
        }
    }

    /// Tells the directory how far the archive has come.
    fn watch_archive(&mut self, peers: &Peers, ctx: &mut Context<Self>) {
        let (mut watch, directory, id) =
            (self.start.archive.watch(), peers.directory.clone(), self.id());
        let watching = async move {
            while watch.changed().await.is_ok() {
                let reached = watch.borrow_and_update().get(&id).copied();
                if let Some(reached) = reached {
                    directory.do_send(Projected(reached));
                }
            }
        };
        self.running.push(ctx.spawn(watching.into_actor(self)));
    }

    /// Drops all actors, takes the journal up again, and builds anew from what is durable.
    pub(super) fn rebuild(&mut self, actor: &'static str, ctx: &mut Context<Self>) {
        let Some(peers) = self.peers.take() else { return };
        self.judge(actor, &peers);
        tracing::error!(actor, service = %self.id(), "broken; the service is rebuilt from what is durable");
        metrics::counter!(crate::metrics::RESTARTS, "actor" => actor).increment(1);
        self.end(&peers, ctx);
        if self.strikes > REBUILDS_MAX {
            let seq = self.start.archive.reached(self.id()).seq;
            return self.give_up(seq, "what is kept up to it breaks what goes on from there");
        }
        // Broken again at once: whatever broke it may be in what is durable.
        if self.clock.now().since(self.built_at) < PAUSE {
            ctx.run_later(PAUSE, Self::retry);
        } else {
            self.retry(ctx);
        }
    }

    /// Lets connections go and ends all actors; what was not durable is lost.
    pub(super) fn end(&mut self, peers: &Peers, ctx: &mut Context<Self>) {
        for handle in self.running.drain(..) {
            ctx.cancel_future(handle);
        }
        for staff in peers.staff.values() {
            staff.do_send(LetGo);
        }
        peers.end();
    }

    /// Takes the journal up again, waits for the archive, builds; tried until it works.
    fn retry(&mut self, ctx: &mut Context<Self>) {
        if self.peers.is_some() {
            return;
        }
        let (told, hears) = oneshot::channel();
        self.start.journal.reopen(
            self.id(),
            Box::new(move |outcome| {
                told.send(outcome).ok();
            }),
        );
        let (archive, id) = (self.start.archive.clone(), self.id());
        let level = async move {
            match hears.await {
                // A record that cannot be shown is found by the build, which stops at it.
                Ok(Ok(last)) => {
                    !matches!(archive.wait(id, last).await, Err(Stuck::Closed | Stuck::NotHere))
                }
                Ok(Err(_)) | Err(_) => false,
            }
        };
        level
            .into_actor(self)
            .map(|level, service, ctx| {
                if level {
                    service.build(ctx);
                } else {
                    ctx.run_later(PAUSE, Self::retry);
                }
            })
            .spawn(ctx);
    }

    /// Whose fault it was: an update's or a command's that was in hand, the disk's, or that of what
    /// is kept.
    fn judge(&mut self, actor: &'static str, peers: &Peers) {
        if let Some(mark) = self.in_hand.left_behind() {
            self.poison.broke(mark);
        } else if !matches!(actor, "journal" | "archive") {
            let healthy =
                peers.ledger.has_worked() || self.clock.now().since(self.built_at) >= CALM;
            self.strikes = if healthy { 1 } else { self.strikes + 1 };
        }
    }

    /// Nothing is tried any more: somebody has to look at it.
    fn give_up(&mut self, seq: u64, why: &'static str) {
        let stopped = Stopped { service: self.id(), seq, why };
        tracing::error!(service = %stopped.service, seq, why, "the service has stopped");
        metrics::counter!(crate::metrics::STOPPED).increment(1);
        self.stopped = Some(stopped);
    }
}
