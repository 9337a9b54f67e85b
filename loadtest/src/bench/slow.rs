//! P10: a tenth of the agents stop reading: the others must not feel it, what is kept for each is
//! bounded, and the connections are let go.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::Options;
use super::crowd::{self, AGENTS, Crowd, Heard, Told};
use crate::drive::Connections;
use crate::house::Node;
use crate::measure::show::{Goal, Report, ms};
use crate::measure::{Latencies, Schedule};

const PER_SECOND: u64 = 2_000;
const CONNECTIONS: usize = 64;
/// One of so many stops reading.
const ONE_OF: usize = 10;
const EVICTED: &str = "usher_sessions_evicted_total";
const GONE_WITHIN: Duration = Duration::from_mins(3);

pub(super) async fn run(options: &Options) -> anyhow::Result<()> {
    let mut report = Report::begin("P10 Slow readers", &options.command("slow"));
    let mut crowd = Crowd::open(&options.binary, &crowd::shop(None), Node::default()).await?;
    crowd.grow(options.live(5_000, 50_000)).await?;
    let mut doors = Connections::open(crowd.house.port, CONNECTIONS).await?;
    let seconds = options.either(3, 15);
    let calm = healthy(&mut crowd, &mut doors, seconds).await?;
    let process = crowd.house.process();
    let (memory, descriptors) = (process.memory()?.anonymous, process.descriptors()?);
    let slow = AGENTS / ONE_OF;
    crowd.desks.stop_reading(is_slow);
    let began = Instant::now();
    let (mut beside, mut most) = (Latencies::default(), memory);
    let (mut let_go, mut closed) = (None, None);
    while closed.is_none() {
        beside.merge(&healthy(&mut crowd, &mut doors, 1).await?);
        most = most.max(process.memory()?.anonymous);
        let evicted = crowd.house.metric(EVICTED).await?;
        if evicted >= slow as f64 && let_go.is_none() {
            let_go = Some(began.elapsed());
        }
        let gone = descriptors.saturating_sub(process.descriptors()?);
        if let_go.is_some() && gone >= slow {
            closed = Some(began.elapsed());
        }
        ensure!(began.elapsed() < GONE_WITHIN, "{evicted} of {slow} let go, {gone} closed");
    }
    let p99 = |latencies: &Latencies| ms(latencies.at(0.99));
    report.note(&format!("{slow} of {AGENTS} stop reading; {PER_SECOND} messages/s, half to them"));
    report.text("healthy, all read", calm.to_string());
    report.text("healthy, a tenth does not", beside.to_string());
    let ratio = p99(&beside) / p99(&calm);
    report.figure("healthy p99, beside / calm", ratio, "", Some(Goal::AtMost(1.2)));
    let each = most.saturating_sub(memory) as f64 / slow as f64 / 1024.0;
    report.figure("memory for each, all growth", each, "KiB", Some(Goal::AtMost(96.0)));
    let seconds = |took: Option<Duration>| took.unwrap_or_default().as_secs_f64();
    // They first have to be behind: what the kernel buffers fills up before.
    report.figure("all let go, since they stopped", seconds(let_go), "s", None);
    report.figure(
        "all closed, since they were let go",
        seconds(closed) - seconds(let_go),
        "s",
        Some(Goal::AtMost(10.0)),
    );
    report.end();
    Ok(())
}

const fn is_slow(agent: usize) -> bool {
    agent.is_multiple_of(ONE_OF)
}

/// What those who read have waited for. Half of all messages are for the others.
async fn healthy(
    crowd: &mut Crowd,
    doors: &mut Connections,
    seconds: u64,
) -> anyhow::Result<Latencies> {
    let (mut requests, from) = crowd.messages_half_to(PER_SECOND * seconds, is_slow);
    crowd.told.try_iter().for_each(drop);
    let due = std::cell::RefCell::new(vec![None; from.len()]);
    let mark = |place: u64, at: Instant| {
        due.borrow_mut()[usize::try_from(place).unwrap_or_default()] = Some(at);
    };
    let schedule = Schedule::per_second(PER_SECOND);
    let answers = doors.on_schedule(&mut requests, schedule, mark).await?;
    ensure!(answers.refused == 0, "{} webhooks were refused", answers.refused);
    let wanted = from.iter().filter(|visitor| !is_slow(crowd.owners[visitor])).count() as u64;
    let (mut latencies, began, due) = (Latencies::default(), Instant::now(), due.into_inner());
    while latencies.count() < wanted && began.elapsed() < GONE_WITHIN {
        for Told { agent, at, heard } in crowd.told.try_iter() {
            let Heard::Message(place) = heard else { continue };
            let due = due.get(usize::try_from(place)?).copied().flatten();
            if let Some(due) = due.filter(|_| !is_slow(agent)) {
                latencies.add(at.saturating_duration_since(due));
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    ensure!(latencies.count() >= wanted, "{} of {wanted} were read", latencies.count());
    Ok(latencies)
}
