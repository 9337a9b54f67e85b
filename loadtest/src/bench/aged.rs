//! A crowd with a past that was written down instead of lived through: a few enquiries are opened
//! and closed in reality, all others are told after them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context as _, ensure};

use super::crowd::{Crowd, channel_of, is_handled};
use crate::measure::show::progress;
use crate::past::{Like, Past};

/// So many are opened in reality, and told again before they are written to; every agent serves one.
const REAL: u64 = 2_000;
const REAL_CLOSED: u64 = 200;
/// Up to so many more it is not worth the trouble.
const LIVED_MAX: u64 = 10_000;
/// Visitors who came and went are numbered from here on.
const GONE: u64 = 40_000_000;

/// What is known of the few.
#[derive(Debug)]
pub(super) struct Aged {
    past: Past,
    /// By channel: real visitors, each of another owner.
    models: BTreeMap<usize, Vec<u64>>,
    closed: u64,
}

impl Crowd {
    /// Until so many are live; who owns what is known, and the archive has it.
    pub(super) async fn grow(&mut self, live: u64) -> anyhow::Result<()> {
        if live.saturating_sub(self.live) <= LIVED_MAX {
            return self.open_until(live).await;
        }
        self.stop_and_learn().await?;
        self.write_live(live)?;
        self.resume().await
    }

    /// As if all this had been long ago: so many are live and so many closed; not running yet.
    pub(super) async fn age(&mut self, live: u64, closed: u64) -> anyhow::Result<()> {
        self.stop_and_learn().await?;
        self.write_live(live)?;
        self.write_closed(closed)
    }

    /// More of those that are closed, until there are so many.
    pub(super) fn write_closed(&mut self, closed: u64) -> anyhow::Result<()> {
        let data = self.data();
        let aged = self.aged.as_mut().context("nothing was learned")?;
        let more = GONE + aged.closed..GONE + closed.max(aged.closed);
        aged.past.closed(&data, more)?;
        aged.closed = aged.closed.max(closed);
        Ok(())
    }

    /// Ends the program and starts it again, with everybody back.
    pub(super) async fn rest(&mut self) -> anyhow::Result<()> {
        self.house.terminate()?;
        self.resume().await
    }

    async fn resume(&mut self) -> anyhow::Result<()> {
        let took = self.house.start().await?;
        progress(&format!("started over {} live in {:.1} s", self.live, took.as_secs_f64()));
        self.return_to_desks().await
    }

    async fn stop_and_learn(&mut self) -> anyhow::Result<()> {
        if self.aged.is_some() {
            return self.house.terminate();
        }
        let first = self.live;
        self.open_until(first + REAL).await?;
        self.churn(REAL_CLOSED).await?;
        self.house.terminate()?;
        let past = Past::learn(&self.data())?;
        let mut models: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        let mut served = BTreeSet::new();
        for visitor in (first..self.live).filter(|visitor| past.knows(*visitor)) {
            let owner = self.owners.get(&visitor).copied();
            if owner.is_none_or(|owner| served.insert(owner)) {
                models.entry(channel_of(visitor)).or_default().push(visitor);
            }
        }
        let (live, closed) = past.records();
        progress(&format!("{live} records of a live enquiry, {closed} of a closed one"));
        self.aged = Some(Aged { past, models, closed: 0 });
        Ok(())
    }

    fn write_live(&mut self, live: u64) -> anyhow::Result<()> {
        let data = self.data();
        let aged = self.aged.as_mut().context("nothing was learned")?;
        let mut likes = Vec::new();
        let mut turn: BTreeMap<usize, usize> = BTreeMap::new();
        for visitor in self.live..live {
            let channel = channel_of(visitor);
            let models = aged.models.get(&channel).context("a channel nobody wrote to")?;
            let turn = turn.entry(channel).or_default();
            let real = models[*turn % models.len()];
            *turn += 1;
            likes.push(Like { visitor, real });
            let owner = self.owners.get(&real).copied();
            ensure!(owner.is_some() == is_handled(visitor), "{real} is no model for {visitor}");
            if let Some(owner) = owner {
                self.owners.insert(visitor, owner);
            }
        }
        aged.past.live(&data, likes.into_iter())?;
        self.live = self.live.max(live);
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.house.data()
    }
}
