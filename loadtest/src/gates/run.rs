//! The fixed run: so many messages, one after the other, under a tool that counts.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use usher_store::{Store, StoreOptions};

use super::table::Measured;
use crate::drive::{Connections, wire};
use crate::house::{Binary, Channel, Desk, Desks, Group, House, Node, Shop, shim};

const AGENTS: usize = 10;
/// Messages of the shorter and of the longer run.
const FEW: u64 = 200;
const MANY: u64 = 1_000;
const READ_AT_ONCE: usize = 10_000;
const TOLD_WITHIN: u32 = 500;

pub(super) async fn measure(binary: &Binary) -> anyhow::Result<Measured> {
    let each = |many: f64, few: f64| (many - few) / (MANY - FEW) as f64;
    let (allocations, bytes) = allocated(binary).await?;
    let (few, many) = (traced(binary, FEW).await?, traced(binary, MANY).await?);
    Ok(Measured::from([
        ("allocations", allocations),
        ("allocated_bytes", bytes),
        ("system_calls", each(many.calls, few.calls)),
        ("syncs", each(many.syncs, few.syncs)),
        ("journal_bytes", each(many.journal_bytes, few.journal_bytes)),
        ("journal_records", each(many.journal_records, few.journal_records)),
    ]))
}

fn shop() -> Shop {
    let groups = vec![Group::new("g", 0..AGENTS).at_once()];
    Shop { agents: AGENTS, capacity: 1_000, groups, channels: vec![Channel::to("g")] }
}

/// Agents are there, and one visitor has begun to write.
struct Fixed {
    house: House,
    desks: Desks,
    connection: Connections,
    next_id: u64,
}

impl Fixed {
    async fn open(binary: &Binary, node: Node) -> anyhow::Result<Self> {
        let house = House::open(binary, &shop(), node).await?;
        let desks = Desks::hear(Desk::open_all(&house, 0..AGENTS).await?, |_, _| ());
        let connection = Connections::open(house.port, 1).await?;
        Ok(Self { house, desks, connection, next_id: 0 })
    }

    async fn messages(&mut self, count: u64) -> anyhow::Result<()> {
        let requests: VecDeque<_> = (0..count)
            .map(|_| {
                self.next_id += 1;
                let text = "Where is my parcel, please? It is late.";
                wire::request(0, &[wire::text(0, 1, self.next_id, text)])
            })
            .collect();
        self.connection.deliver(requests).await?;
        ensure!(self.desks.gone() == 0, "an agent's connection ended");
        self.house.until_level().await
    }
}

/// Allocations and bytes of one message.
async fn allocated(binary: &Binary) -> anyhow::Result<(f64, f64)> {
    let scratch = binary.scratch()?;
    let preload = Some(shim::compile("count", scratch.path())?);
    let told = scratch.path().join("count");
    let env = vec![("USHER_COUNT", told.display().to_string())];
    let mut fixed = Fixed::open(binary, Node { preload, env, ..Node::default() }).await?;
    // What is allocated once falls to these.
    fixed.messages(FEW).await?;
    let before = ask(&fixed.house, &told).await?;
    fixed.messages(MANY).await?;
    let after = ask(&fixed.house, &told).await?;
    let each = |after: u64, before: u64| (after - before) as f64 / MANY as f64;
    Ok((each(after.0, before.0), each(after.1, before.1)))
}

async fn ask(house: &House, told: &Path) -> anyhow::Result<(u64, u64)> {
    std::fs::write(told, "")?;
    house.process().ask()?;
    for _ in 0..TOLD_WITHIN {
        let text = std::fs::read_to_string(told)?;
        if let Some((allocations, bytes)) = text.trim_end_matches('\n').split_once(' ')
            && text.ends_with('\n')
        {
            return Ok((allocations.parse()?, bytes.parse()?));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!("the program did not say what it has allocated")
}

/// What a whole run came to.
struct Traced {
    calls: f64,
    syncs: f64,
    journal_bytes: f64,
    journal_records: f64,
}

async fn traced(binary: &Binary, messages: u64) -> anyhow::Result<Traced> {
    let scratch = binary.scratch()?;
    let summary = scratch.path().join("calls");
    let under = ["strace", "-f", "-c", "-o"].map(str::to_owned).into_iter();
    let under = under.chain([summary.display().to_string()]).collect();
    let mut fixed = Fixed::open(binary, Node { under, ..Node::default() }).await?;
    fixed.messages(messages).await?;
    let Fixed { mut house, .. } = fixed;
    house.terminate()?;
    let text = std::fs::read_to_string(&summary).context("strace left no summary")?;
    let (journal_records, journal_bytes) = journal(&house)?;
    let all = calls(&text, |_| true);
    let syncs = calls(&text, |name| name == "fdatasync" || name == "fsync");
    Ok(Traced { calls: all, syncs, journal_bytes, journal_records })
}

/// Calls in a summary of strace whose name fits; waiting is not counted, which depends on timing.
fn calls(summary: &str, fits: impl Fn(&str) -> bool) -> f64 {
    const WAITING: [&str; 7] = [
        "futex",
        "epoll_wait",
        "epoll_pwait",
        "clock_nanosleep",
        "sched_yield",
        "poll",
        "restart_syscall",
    ];
    let mut sum = 0.0;
    for line in summary.lines() {
        let mut words = line.split_whitespace();
        let (Some(calls), Some(name)) = (words.nth(3), words.next_back()) else { continue };
        if !WAITING.contains(&name) && name != "total" && fits(name) {
            sum += calls.parse::<f64>().unwrap_or_default();
        }
    }
    sum
}

fn journal(house: &House) -> anyhow::Result<(f64, f64)> {
    let store = Store::open(&house.data(), StoreOptions::default())?;
    let reader = store.journal().reader()?;
    let (mut records, mut bytes) = (0, 0);
    for (service, _) in reader.services()? {
        let mut after = 0;
        loop {
            let rows = reader.read_after(service, after, READ_AT_ONCE)?;
            let Some(last) = rows.last() else { break };
            after = last.seq;
            records += rows.len();
            bytes += rows.iter().map(|row| row.body.len()).sum::<usize>();
        }
    }
    Ok((records as f64, bytes as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_added_up_without_what_only_waits() {
        let summary = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 90.00    0.900000         100      9000       100 futex
  5.00    0.050000          50      1000           fdatasync
  5.00    0.050000          50       500         3 write
------ ----------- ----------- --------- --------- ----------------
100.00    1.000000                  10500      103 total
";
        assert!((calls(summary, |_| true) - 1_500.0).abs() < 1e-9);
        assert!((calls(summary, |name| name == "fdatasync") - 1_000.0).abs() < 1e-9);
    }
}
