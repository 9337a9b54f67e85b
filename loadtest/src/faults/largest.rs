//! The largest single service: its one node takes more and more webhooks a second over PostgreSQL, until they
//! are answered too late or the archive falls behind; and what PostgreSQL does then.
//!
//! The sandbox, the load and PostgreSQL share the machine: what is found is the least that would be found beside
//! a database of its own.

use std::time::Duration;

use tokio::task::LocalSet;

use super::Terms;
use super::ground::Kind;
use super::house::{House, Stand};
use super::nodes::Build;
use super::redis::Shape;
use super::window::Window;
use crate::bench::Options;
use crate::house::answers;
use crate::measure::show::Report;

const FIRST_RATE: u32 = 500;
/// Nothing so large is expected.
const LAST_RATE: u32 = 50_000;
const LATEST: Duration = Duration::from_millis(25);
/// Of what is due, in a window.
const ANSWERED_LEAST: f64 = 0.97;
/// The archive is read for a tenth of a second at a time; what is older has waited.
const LAG_MOST: f64 = 1.0;

/// One rate, and what came of it.
struct Step {
    rate: u32,
    window: Window,
    /// Seconds, before and after.
    lag: (f64, f64),
}

impl Step {
    /// Why it is too much.
    fn fails(&self) -> Option<&'static str> {
        let due = f64::from(self.rate) * self.window.took.as_secs_f64();
        let (before, after) = self.lag;
        if self.window.each(due).recip() < ANSWERED_LEAST {
            Some("not all are answered")
        } else if self.window.latencies.at(0.99) > LATEST {
            Some("the 99th of a hundred waits too long")
        } else if after > LAG_MOST && after > before {
            Some("the archive falls behind")
        } else {
            None
        }
    }
}

pub async fn run(options: &Options) -> anyhow::Result<()> {
    let terms = Terms {
        rate: 0,
        sockets: options.either(60, 300),
        lease: Duration::from_secs(5),
        around: Duration::from_secs(options.either(4, 20)),
        dir: options.binary.dir(),
        rounds: 1,
        keep: false,
    };
    let build = Build::new(&options.binary.path()?)?;
    let mut report = Report::begin("The largest single service", &options.command("largest"));
    report.note(&format!(
        "one node, one service of 8 numbers, {} agents, PostgreSQL beside it on the same machine; each rate for \
         {:?} and a window of {:?}; until p99 > {LATEST:?}, an answer is missing, or the archive is more than \
         {LAG_MOST} s behind and falls back further",
        terms.sockets, terms.around, terms.around
    ));
    LocalSet::new().run_until(measured(&build, &terms, &mut report)).await?;
    report.end();
    Ok(())
}

async fn measured(build: &Build, terms: &Terms, report: &mut Report) -> anyhow::Result<()> {
    let stand = Stand { kind: Kind::Loopback, shape: Shape::One, small: false };
    let mut house = House::open(stand, build, terms).await?;
    let owner = house.owner().await?;
    for node in (0..house.nodes.len()).filter(|node| *node != owner) {
        house.nodes[node].terminate().await?;
    }
    let mut good = None;
    let mut rate = FIRST_RATE;
    while rate <= LAST_RATE {
        let step = step(&mut house, owner, rate).await?;
        let verdict = step.fails();
        tell(report, &step, verdict);
        if verdict.is_some() {
            break;
        }
        good = Some(step);
        // By a quarter, in whole hundreds.
        rate = (rate + rate / 4).next_multiple_of(100);
    }
    match good {
        Some(Step { rate, window, .. }) => {
            report.figure("the largest single service, webhooks/s", f64::from(rate), "", None);
            tell_of_postgres(report, &window);
        }
        None => report.text("the largest single service", "less than the first rate"),
    }
    Ok(())
}

async fn step(house: &mut House, owner: usize, rate: u32) -> anyhow::Result<Step> {
    let span = house.terms.around;
    house.visitors.start(rate);
    house.pass(span).await;
    let before = lag(house, owner).await?;
    let window = Window::of(house, span).await?;
    let after = lag(house, owner).await?;
    house.visitors.stop();
    // Whatever it has left over is not the next one's.
    house.pass(span / 4).await;
    Ok(Step { rate, window, lag: (before, after) })
}

async fn lag(house: &House, owner: usize) -> anyhow::Result<f64> {
    let told = house.metrics(&house.nodes[owner]).await?;
    Ok(answers::metric(&told, "usher_projector_lag_seconds"))
}

fn tell(report: &mut Report, step: &Step, verdict: Option<&str>) {
    let Step { rate, window, lag } = step;
    let answered = window.a_second(window.each(1.0).recip());
    let postgres = window.a_second(window.postgres.cpu.as_secs_f64());
    let text = format!(
        "{answered:.0}/s answered, {}; {:.0} µs of the node's and {:.0} µs of PostgreSQL's processor time each \
         ({postgres:.2} processors); the archive {:.2} s behind{}",
        window.latencies,
        window.cost(),
        window.each(window.postgres.cpu.as_secs_f64() * 1e6),
        lag.1,
        verdict.map(|why| format!(": **{why}**")).unwrap_or_default()
    );
    report.text(&format!("{rate} webhooks/s"), text);
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
fn tell_of_postgres(report: &mut Report, window: &Window) {
    let postgres = window.postgres;
    let mut tell = |what: &str, all: f64, unit: &str| {
        report.figure(&format!("PostgreSQL there: {what}"), window.a_second(all), unit, None);
    };
    tell("commits a second", postgres.commits as f64, "");
    tell("the journal's of them", window.commits as f64, "");
    tell("log", postgres.log as f64 / 1e6, "MB/s");
    tell("processors", postgres.cpu.as_secs_f64(), "");
    let bytes = window.each(postgres.log as f64);
    report.figure("PostgreSQL there: log a webhook", bytes, "bytes", None);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(webhooks: usize, wait: u64, lag: (f64, f64)) -> Step {
        let mut window = Window { took: Duration::from_secs(1), webhooks, ..Window::default() };
        for _ in 0..webhooks {
            window.latencies.add(Duration::from_millis(wait));
        }
        Step { rate: 1_000, window, lag }
    }

    #[test]
    fn it_is_too_much_once_something_is_late_missing_or_ever_further_behind() {
        let good = step(1_000, 20, (0.1, 0.2));
        assert_eq!(good.fails(), None);
        assert_eq!(step(1_000, 20, (5.0, 2.0)).fails(), None, "it catches up");
        assert!(step(1_000, 26, (0.1, 0.2)).fails().is_some());
        assert!(step(900, 20, (0.1, 0.2)).fails().is_some());
        assert!(step(1_000, 20, (1.5, 2.5)).fails().is_some());
    }
}
