//! What was kept long enough goes: once a day, in slices, on a thread of its own.

use std::sync::{Arc, Weak};
use std::time::Duration;

use actix::prelude::*;
use usher_domain::ids::ServiceId;
use usher_domain::settings::Retention;
use usher_domain::time::Timestamp;
use usher_store::{Pruned, Store, StoreError};

use super::Service;
use crate::metrics as names;

/// From the start to the first time.
const FIRST: Duration = Duration::from_mins(5);
const EVERY: Duration = Duration::from_hours(24);
/// Between two slices: commits wait while one is taken out.
const PAUSE: Duration = Duration::from_secs(1);
/// Enquiries, or files, of one slice.
const SLICE: usize = 50;

/// What goes: everything that was over before these instants.
#[derive(Clone, Copy, Debug)]
struct Before {
    service: ServiceId,
    rooms: Timestamp,
    media: Timestamp,
}

impl Service {
    pub(super) fn prune_daily(ctx: &mut Context<Self>) {
        ctx.run_later(FIRST, Self::prune);
    }

    fn prune(&mut self, ctx: &mut Context<Self>) {
        let Retention { rooms, media } = self.start.settings.retention;
        let now = self.wall.ahead().wall(self.clock.now());
        let before = Before { service: self.id(), rooms: now - rooms, media: now - media };
        let pruning = prune_all(self.start.store.clone(), before);
        ctx.spawn(pruning.into_actor(self));
        ctx.run_later(EVERY, Self::prune);
    }
}

async fn prune_all(store: Weak<Store>, before: Before) {
    // The program may be ending.
    while let Some(store) = store.upgrade() {
        let sliced = tokio::task::spawn_blocking(move || slice(&store, before)).await;
        match sliced {
            Ok(Ok(true)) => tokio::time::sleep(PAUSE).await,
            Ok(Ok(false)) => return,
            Ok(Err(error)) => {
                tracing::error!(%error, service = %before.service, "what was kept long enough could not be taken out; tried again tomorrow");
                return;
            }
            Err(panicked) => {
                tracing::error!(%panicked, service = %before.service, "taking out what was kept long enough broke; tried again tomorrow");
                return;
            }
        }
    }
}

/// Whether there may be more.
fn slice(store: &Arc<Store>, before: Before) -> Result<bool, StoreError> {
    let rooms = store.prune(before.service, before.rooms, SLICE)?;
    let media = store.prune_media(before.service, before.media, SLICE)?;
    let Pruned { enquiries, records, files, .. } = rooms;
    for (what, count) in [
        ("enquiries", enquiries),
        ("records", records + media.records),
        ("files", files + media.files),
    ] {
        metrics::counter!(names::PRUNED, "what" => what).increment(count as u64);
    }
    Ok(enquiries == SLICE || media.media == SLICE)
}
