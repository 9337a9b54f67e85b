//! A crowd whose visitors write as fast as they are answered, in turns; between them Usher stands
//! still, so that what it left undone does not fall on others.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::ensure;
use bytes::Bytes;

use super::crowd::{self, Crowd};
use crate::drive::Connections;
use crate::house::{Binary, Node};
use crate::measure::Slice;

/// Messages made ahead before it is known how many are answered in a turn, halved.
const FIRST_TURN: u64 = 3_000;

pub(super) struct Busy {
    pub(super) crowd: Crowd,
    connections: Connections,
    ahead: VecDeque<Bytes>,
    /// In the last turn.
    answered: u64,
}

impl Busy {
    /// With so many live enquiries; runs until it is frozen.
    pub(super) async fn open(
        binary: &Binary,
        node: Node,
        live: u64,
        connections: usize,
    ) -> anyhow::Result<Self> {
        let mut crowd = Crowd::open(binary, &crowd::shop(None), node).await?;
        crowd.grow(live).await?;
        let connections = Connections::open(crowd.house.port, connections).await?;
        Ok(Self { crowd, connections, ahead: VecDeque::new(), answered: FIRST_TURN })
    }

    /// After the program was started anew.
    pub(super) async fn reconnect(&mut self) -> anyhow::Result<()> {
        let count = self.connections.len();
        self.connections = Connections::open(self.crowd.house.port, count).await?;
        Ok(())
    }

    /// Stands still with nothing left undone: what stays undone for long is refused.
    pub(super) async fn settle(&self) -> anyhow::Result<()> {
        self.thaw()?;
        self.crowd.house.until_level().await?;
        self.freeze()
    }

    pub(super) fn freeze(&self) -> anyhow::Result<()> {
        self.crowd.house.process().freeze()
    }

    pub(super) fn thaw(&self) -> anyhow::Result<()> {
        self.crowd.house.process().thaw()
    }

    /// Runs for so long and stands still again.
    pub(super) async fn turn(&mut self, span: Duration) -> anyhow::Result<Slice> {
        // More than it will answer; what is left waits for the next turn.
        let missing = (2 * self.answered).saturating_sub(self.ahead.len() as u64);
        self.ahead.extend(self.crowd.messages(missing).0);
        let process = self.crowd.house.process();
        let before = process.cpu()?;
        process.thaw()?;
        let answers = self.connections.saturate(&mut self.ahead, span).await?;
        process.freeze()?;
        let cpu = process.cpu()?.saturating_sub(before);
        self.answered = answers.ok.max(FIRST_TURN / 2);
        ensure!(answers.refused == 0, "{} webhooks were refused", answers.refused);
        self.crowd.told.try_iter().for_each(drop);
        Ok(Slice { operations: answers.ok, wall: answers.wall, cpu })
    }
}
