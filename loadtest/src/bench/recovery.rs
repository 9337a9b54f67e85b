//! P11: from SIGKILL to every deadline armed, by how much is live, and whether what is closed
//! matters.
//!
//! Two copies of one past are started in turns: as many live enquiries in both, but a hundred times
//! as many closed ones in one of them.

use std::time::Duration;

use anyhow::ensure;

use super::Options;
use super::crowd::{self, Crowd};
use crate::house::{House, Node};
use crate::measure::show::{Goal, Report, number, progress};

/// Of the copy with little, the one with much, and back.
const ROUNDS: usize = 3;
const HISTORY: u64 = 100;
/// Closed enquiries of the copy with little, for each live one: one in so many.
const FEW_OF_LIVE: u64 = 10;
/// The copy with little against itself.
const CONTROL: (f64, f64) = (0.92, 1.08);

pub(super) async fn run(options: &Options) -> anyhow::Result<()> {
    let mut report = Report::begin("P11 Recovery", &options.command("recovery"));
    let live = options.live(10_000, 100_000);
    let few = (live / FEW_OF_LIVE).max(HISTORY);
    let mut crowd = open(options).await?;
    crowd.age(live, few).await?;
    let mut little = crowd.house.copy()?;
    crowd.write_closed(few * HISTORY)?;
    let mut much = crowd.house;
    let armed = (settle(&mut little).await?, settle(&mut much).await?);
    ensure!(armed.0 >= live as f64, "only {} deadlines of {live} live enquiries", armed.0);

    let (mut fresh, mut old) = (Starts::default(), Starts::default());
    for _ in 0..ROUNDS {
        fresh.add(&mut little, armed.0).await?;
        old.add(&mut much, armed.1).await?;
        old.add(&mut much, armed.1).await?;
        fresh.add(&mut little, armed.0).await?;
    }
    report.note(&format!("{live} live enquiries, {} deadlines", number(armed.0)));
    report.text(&format!("{few} closed: ready after"), text(&fresh.ready));
    report.text(&format!("{few} closed: every deadline armed after"), text(&fresh.armed));
    report.text(&format!("{} closed: ready after", few * HISTORY), text(&old.ready));
    report.text(&format!("{} closed: every deadline armed after", few * HISTORY), text(&old.armed));
    let each = median(&fresh.armed).as_secs_f64() * 100_000.0 / live as f64;
    report.figure("per 100,000 live", each, "s", Some(Goal::AtMost(1.0)));
    let control = fresh.control();
    report.figure("the one with little / itself (control)", control, "", None);
    if (CONTROL.0..=CONTROL.1).contains(&control) {
        let ratio = median(&old.armed).as_secs_f64() / median(&fresh.armed).as_secs_f64();
        let goal = Some(Goal::AtMost(1.2));
        report.figure(&format!("{HISTORY} × as many closed / 1 ×"), ratio, "", goal);
    } else {
        report.text(&format!("{HISTORY} × as many closed / 1 ×"), "no reading");
    }
    report.end();
    Ok(())
}

async fn open(options: &Options) -> anyhow::Result<Crowd> {
    let fast = "10000".to_owned();
    let set = vec![("limits.commands_per_second", fast.clone()), ("limits.commands_burst", fast)];
    Crowd::open(&options.binary, &crowd::shop(Some((3_600, 60))), Node { set, ..Node::default() })
        .await
}

/// Starts it once as it would have run on, so that what it keeps beside the archive is there too,
/// and leaves it killed. How many deadlines are armed.
async fn settle(house: &mut House) -> anyhow::Result<f64> {
    house.start().await?;
    house.until_level().await?;
    house.terminate()?;
    house.start().await?;
    let armed = house.armed().await?;
    house.kill()?;
    progress(&format!("{armed} deadlines are armed after a start"));
    Ok(armed)
}

/// How long each took.
#[derive(Default)]
struct Starts {
    ready: Vec<Duration>,
    armed: Vec<Duration>,
}

impl Starts {
    /// Starts what was killed, and kills it again.
    async fn add(&mut self, house: &mut House, deadlines: f64) -> anyhow::Result<()> {
        let (ready, armed) = house.start_and_arm(deadlines).await?;
        house.kill()?;
        self.ready.push(ready);
        self.armed.push(armed);
        Ok(())
    }

    /// Every other against those between.
    fn control(&self) -> f64 {
        let of = |odd: usize| -> Vec<Duration> {
            self.armed.iter().skip(odd).step_by(2).copied().collect()
        };
        median(&of(1)).as_secs_f64() / median(&of(0)).as_secs_f64()
    }
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

    fn seconds(all: &[u64]) -> Vec<Duration> {
        all.iter().copied().map(Duration::from_secs).collect()
    }

    #[test]
    fn the_median_is_in_the_middle() {
        let took = seconds(&[5, 1, 9, 2, 8]);
        assert_eq!(median(&took), Duration::from_secs(5));
        assert_eq!(text(&took), "median 5 s (1–9, 5 starts)");
    }

    #[test]
    fn the_control_holds_every_other_start_against_the_rest() {
        let starts = Starts { ready: Vec::new(), armed: seconds(&[10, 20, 11, 22, 12, 24]) };
        assert!((starts.control() - 2.0).abs() < 1e-9, "{}", starts.control());
    }
}
