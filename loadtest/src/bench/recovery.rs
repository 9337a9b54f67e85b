//! P11: from SIGKILL to every deadline armed, by how much is live, and whether what is closed
//! matters.

use std::time::Duration;

use super::Options;
use super::crowd::{self, Crowd};
use crate::house::Node;
use crate::measure::show::{Goal, Report, number};

const STARTS: usize = 5;
const HISTORY: u64 = 100;

pub(super) async fn run(options: &Options) -> anyhow::Result<()> {
    let mut report = Report::begin("P11 Recovery", &options.command("recovery"));
    let live = options.live(10_000, 100_000);
    let mut crowd = open(options).await?;
    crowd.grow(live).await?;
    let took = starts(&mut crowd).await?;
    drop(crowd);
    let each = median(&took).as_secs_f64() * 100_000.0 / live as f64;
    report.text(&format!("{live} live: ready after"), text(&took));
    report.figure("per 100,000 live", each, "s", Some(Goal::AtMost(1.0)));

    let few = options.either(live.min(200), 3_000);
    let mut without = open(options).await?;
    without.grow(few).await?;
    let mut with = open(options).await?;
    with.grow(few).await?;
    with.churn(few * HISTORY).await?;
    let (mut fresh, mut old) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        fresh.extend(starts(&mut without).await?);
        old.extend(starts(&mut with).await?);
    }
    let closed = few * HISTORY;
    report.text(&format!("{few} live, nothing closed"), text(&fresh));
    report.text(&format!("{few} live, {closed} closed"), text(&old));
    let ratio = median(&old).as_secs_f64() / median(&fresh).as_secs_f64();
    report.figure("with history / without", ratio, "", Some(Goal::AtMost(1.2)));
    report.end();
    Ok(())
}

async fn open(options: &Options) -> anyhow::Result<Crowd> {
    let fast = "10000".to_owned();
    let set = vec![("limits.commands_per_second", fast.clone()), ("limits.commands_burst", fast)];
    Crowd::open(&options.binary, &crowd::shop(Some((3_600, 60))), Node { set, ..Node::default() })
        .await
}

/// Killed and started so many times.
async fn starts(crowd: &mut Crowd) -> anyhow::Result<Vec<Duration>> {
    let mut took = Vec::new();
    for _ in 0..STARTS {
        crowd.house.kill()?;
        took.push(crowd.house.start().await?);
    }
    Ok(took)
}

fn median(took: &[Duration]) -> Duration {
    let mut sorted = took.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn text(took: &[Duration]) -> String {
    let s = |took: Option<Duration>| number(took.unwrap_or_default().as_secs_f64());
    let (least, most) = (took.iter().min().copied(), took.iter().max().copied());
    format!("median {} s ({}–{}, {} starts)", s(Some(median(took))), s(least), s(most), took.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let took = [5, 1, 9, 2, 8].map(Duration::from_secs);
        assert_eq!(median(&took), Duration::from_secs(5));
        assert_eq!(text(&took), "median 5 s (1–9, 5 starts)");
    }
}
