//! P10: a tenth of the agents stop reading: the others must not feel it, what is kept for each is
//! bounded, and the connections are let go.
//!
//! What the others wait for is measured in pieces of a second with a look at the program's figures
//! between, alike before and after: the first moments of a piece are part of it. Before is measured twice,
//! and says how much of a difference is chance.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;

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
/// Enquiries of those who are told much.
const HELD_LIVE: u64 = 5_000;
/// Until all feeds are full, and what grows with messages has its size.
const FILLS: usize = 3;
/// Long messages, and how many of them each is told: more than the kernels keep of a connection.
const LONG: usize = 3_500;
const LONG_EACH: usize = 100;
const LOOK_EVERY: Duration = Duration::from_millis(250);
const ALLOCATED: &str = "usher_allocated_bytes";
const EVICTED: &str = "usher_sessions_evicted_total";
const GONE_WITHIN: Duration = Duration::from_mins(3);
/// All who read against themselves: beyond what is promised for the others nothing can be said of them.
const CONTROL: (f64, f64) = (1.0 / FELT_MAX, FELT_MAX);
const FELT_MAX: f64 = 1.2;

pub(super) async fn run(options: &Options) -> anyhow::Result<()> {
    let mut report = Report::begin("P10 Slow readers", &options.command("slow"));
    let mut crowd = Crowd::open(&options.binary, &crowd::shop(None), Node::default()).await?;
    crowd.grow(options.live(5_000, 50_000)).await?;
    let mut doors = Connections::open(crowd.house.port, CONNECTIONS).await?;
    let seconds = options.either(6, 15);
    let mut calm = all_read(&mut crowd, &mut doors, seconds).await?;
    let again = all_read(&mut crowd, &mut doors, seconds).await?;
    let process = crowd.house.process();
    let descriptors = process.descriptors()?;
    let slow = AGENTS / ONE_OF;
    crowd.desks.stop_reading(is_slow);
    let began = Instant::now();
    let mut beside = Latencies::default();
    let (mut let_go, mut closed) = (None, None);
    while closed.is_none() {
        beside.merge(&healthy(&mut crowd, &mut doors, 1).await?);
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
    let control = p99(&again) / p99(&calm);
    report.figure("healthy p99, all read / once more (control)", control, "", None);
    calm.merge(&again);
    report.text("healthy, all read", calm.to_string());
    report.text("healthy, a tenth does not", beside.to_string());
    if (CONTROL.0..=CONTROL.1).contains(&control) {
        let ratio = p99(&beside) / p99(&calm);
        report.figure("healthy p99, beside / calm", ratio, "", Some(Goal::AtMost(FELT_MAX)));
    } else {
        report.text("healthy p99, beside / calm", "no reading".to_owned());
    }
    let seconds = |took: Option<Duration>| took.unwrap_or_default().as_secs_f64();
    // They first have to be behind: what the kernel buffers fills up before.
    report.figure("all let go, since they stopped", seconds(let_go), "s", None);
    report.figure(
        "all closed, since they were let go",
        seconds(closed) - seconds(let_go),
        "s",
        Some(Goal::AtMost(10.0)),
    );
    drop((doors, crowd));
    held(options, &mut report).await?;
    report.end();
    Ok(())
}

/// As they are measured while some do not.
async fn all_read(
    crowd: &mut Crowd,
    doors: &mut Connections,
    seconds: u64,
) -> anyhow::Result<Latencies> {
    let mut calm = Latencies::default();
    for _ in 0..seconds {
        calm.merge(&healthy(crowd, doors, 1).await?);
        crowd.house.metric(EVICTED).await?;
    }
    Ok(calm)
}

const fn is_slow(agent: usize) -> bool {
    agent.is_multiple_of(ONE_OF)
}

/// What is kept for each who stops, besides the feed that everybody has: as much is told to each once
/// while all read, and again while none of them does. The feeds are as full as they may be before,
/// and grow no more; what the kernels hold is not the program's.
async fn held(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let mut crowd = Crowd::open(&options.binary, &crowd::shop(None), Node::default()).await?;
    if crowd.house.metric(ALLOCATED).await? < 1.0 {
        report.text("allocated and not freed", "only a release build says".to_owned());
        return Ok(());
    }
    crowd.open_until(HELD_LIVE).await?;
    let mut doors = Connections::open(crowd.house.port, CONNECTIONS).await?;
    for _ in 0..FILLS {
        growth(&mut crowd, &mut doors).await?;
    }
    let reading = growth(&mut crowd, &mut doors).await?;
    crowd.desks.stop_reading(is_slow);
    let began = Instant::now();
    let stopped = growth(&mut crowd, &mut doors).await?;
    let took = began.elapsed().as_secs_f64();
    let each = |bytes: f64| bytes / (AGENTS / ONE_OF) as f64 / 1024.0;
    let goal = Some(Goal::AtMost(96.0));
    report.figure("memory for each who stops", each(stopped - reading), "KiB", goal);
    let text = format!(
        "at most {:.1} KiB more for each while they do not read {LONG_EACH} messages of {LONG} characters in \
         {took:.1} s, {:.1} KiB while they do",
        each(stopped),
        each(reading)
    );
    report.text("allocated and not freed", text);
    Ok(())
}

/// By how many bytes the program has grown at the most while they were told much.
async fn growth(crowd: &mut Crowd, doors: &mut Connections) -> anyhow::Result<f64> {
    let mut requests = much(crowd);
    let house = &crowd.house;
    let before = house.metric(ALLOCATED).await?;
    let mut most = before;
    let mut work = std::pin::pin!(told(&mut requests, doors));
    loop {
        tokio::select! {
            done = &mut work => {
                done?;
                return Ok(most.max(house.metric(ALLOCATED).await?) - before);
            }
            () = tokio::time::sleep(LOOK_EVERY) => most = most.max(house.metric(ALLOCATED).await?),
        }
    }
}

/// Long messages, to these alone.
fn much(crowd: &mut Crowd) -> VecDeque<Bytes> {
    let count = (AGENTS / ONE_OF * LONG_EACH) as u64;
    crowd.long_messages_to(count, LONG, is_slow)
}

async fn told(requests: &mut VecDeque<Bytes>, doors: &mut Connections) -> anyhow::Result<()> {
    let schedule = Schedule::per_second(PER_SECOND);
    let answers = doors.on_schedule(requests, schedule, |_, _| ()).await?;
    ensure!(answers.refused == 0, "{} webhooks were refused", answers.refused);
    Ok(())
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
