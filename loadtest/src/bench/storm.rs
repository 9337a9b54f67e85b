//! P7: every live enquiry's auto-close notification due in the same second, while visitors go on
//! writing: each fires once, none early, all durable, and webhooks are answered.
//!
//! Auto-close is switched on at a restart: that moment begins the idle clocks of all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use usher_domain::ids::EnquiryId;
use usher_domain::message::{Author, AutoMessage};
use usher_domain::record::{Event, MessageQueued, Record};
use usher_domain::time::Timestamp;
use usher_store::{Store, StoreOptions, decode};

use super::Options;
use super::crowd::{self, Crowd, is_handled};
use crate::drive::Connections;
use crate::house::{House, Node, Provider};
use crate::measure::show::{Goal, Report, number};
use crate::measure::{Latencies, Schedule};
use crate::plot::{self, Frame, Series};

const PER_SECOND: u64 = 500;
const CONNECTIONS: usize = 32;
const FIRED: &str = "usher_auto_close_total";
const COMMITTED: &str = "usher_journal_batch_records_sum";
const READ_AT_ONCE: usize = 10_000;
/// Live enquiries that are started, and shown to those who come back, in a second.
const IDLE_EACH: u64 = 4_000;
/// To fire all, when it goes badly.
const PATIENCE: Duration = Duration::from_mins(5);

pub(super) async fn run(options: &Options) -> anyhow::Result<()> {
    let mut report = Report::begin("P7 Timer storm", &options.command("storm"));
    let live = options.live(5_000, 1_000_000);
    // Everybody has to be back and calm measured before they run out; a start takes its time.
    let idle = Duration::from_secs(options.either(15, 30) + live / IDLE_EACH);
    let provider = Provider::start()?;
    // The sending follows from the records, at its pace; it is not what is measured.
    let set = vec![("provider.messages_per_second", "1".to_owned())];
    let node = Node { provider: Some(provider.url.clone()), set, ..Node::default() };
    let mut crowd = Crowd::open(&options.binary, &crowd::shop(None), node).await?;
    crowd.grow(live).await?;
    let deadlines = (0..live).filter(|visitor| is_handled(*visitor)).count() as u64;

    crowd.house.terminate()?;
    let before = last_record(&crowd.house)?;
    let seconds = u32::try_from(idle.as_secs())?;
    crowd.house.reconfigure(&crowd::shop(Some((seconds, 3_600))))?;
    crowd.house.start().await?;
    crowd.return_to_desks().await?;
    let mut visitors = Connections::open(crowd.house.port, CONNECTIONS).await?;
    let calm = write(&mut crowd, &mut visitors, options.either(2, 10)).await?;
    ensure!(crowd.house.metric(FIRED).await? < 1.0, "the storm began before calm was measured");
    let storm = storm(&mut crowd, &mut visitors, deadlines).await?;
    crowd.house.terminate()?;
    let told = judge(&crowd.house, idle, before)?;

    report.note(&format!("{live} live enquiries, {deadlines} deadlines, {PER_SECOND} webhooks/s"));
    let each = storm.durable_in.as_secs_f64() * 1e6 / deadlines as f64;
    report.figure("from the first to the last durable", storm.durable_in.as_secs_f64(), "s", None);
    report.figure("for a million of them", each, "s", Some(Goal::AtMost(5.0)));
    let none = Some(Goal::AtMost(0.0));
    let missed = deadlines.saturating_sub(told.fired);
    report.figure("missed", missed as f64, "", none);
    report.figure("fired twice", told.twice as f64, "", none);
    report.figure("fired early", told.early as f64, "", none);
    report.text("webhooks, calm", calm.to_string());
    report.text("webhooks, in the storm", storm.latencies.to_string());
    let ratio = storm.latencies.at(0.99).as_secs_f64() / calm.at(0.99).as_secs_f64();
    report.figure("webhook p99, storm / calm", ratio, "", Some(Goal::AtMost(3.0)));
    options.draw("storm", &drawn(storm.curve))?;
    report.end();
    Ok(())
}

fn drawn(curve: Vec<(f64, f64)>) -> String {
    let last = curve.last().map_or(1.0, |last| last.0);
    let ticks = (0..=4).map(|quarter| {
        let at = last * f64::from(quarter) / 4.0;
        (at, format!("{} s", number(at)))
    });
    let frame = Frame { ticks: ticks.collect(), ..Frame::default() };
    let fired = Series { name: "deadlines fired".to_owned(), colour: 1, points: curve };
    plot::figure("Deadlines due in one second, since the first", &frame, &[fired])
}

async fn write(
    crowd: &mut Crowd,
    visitors: &mut Connections,
    seconds: u64,
) -> anyhow::Result<Latencies> {
    let mut requests = crowd.messages_to_missed(PER_SECOND * seconds);
    let schedule = Schedule::per_second(PER_SECOND);
    let answers = visitors.on_schedule(&mut requests, schedule, |_, _| ()).await?;
    ensure!(answers.refused == 0, "{} webhooks were refused", answers.refused);
    Ok(answers.latencies)
}

struct Storm {
    durable_in: Duration,
    /// How many had fired by then.
    curve: Vec<(f64, f64)>,
    latencies: Latencies,
}

async fn storm(
    crowd: &mut Crowd,
    visitors: &mut Connections,
    deadlines: u64,
) -> anyhow::Result<Storm> {
    // As it was before the first: all may have fired by the next look.
    let (mut began, mut calm) = (Instant::now(), crowd.house.metric(COMMITTED).await?);
    while crowd.house.metric(FIRED).await? < 1.0 {
        (began, calm) = (Instant::now(), crowd.house.metric(COMMITTED).await?);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut requests = crowd.messages_to_missed(PER_SECOND * PATIENCE.as_secs());
    let (done, schedule) = (Arc::new(AtomicBool::new(false)), Schedule::per_second(PER_SECOND));
    let watch = watch(&crowd.house, deadlines, (began, calm), Arc::clone(&done));
    let (mut latencies, mut chunk) = (Latencies::default(), requests.split_off(0));
    let write = async {
        // A tenth of a second at a time, until all have fired.
        while !done.load(Ordering::Relaxed) && !chunk.is_empty() {
            let rest = chunk.split_off(chunk.len().min(usize::try_from(PER_SECOND / 10)?));
            let answers = visitors.on_schedule(&mut chunk, schedule, |_, _| ()).await?;
            ensure!(answers.refused == 0, "{} webhooks were refused", answers.refused);
            latencies.merge(&answers.latencies);
            chunk = rest;
        }
        anyhow::Ok(())
    };
    let (curve, ()) = tokio::try_join!(watch, write)?;
    let durable_in = Duration::from_secs_f64(curve.last().map_or(0.0, |last| last.0));
    Ok(Storm { durable_in, curve, latencies })
}

/// Until all have fired and what was decided is durable; what had fired when.
async fn watch(
    house: &House,
    deadlines: u64,
    (began, calm): (Instant, f64),
    done: Arc<AtomicBool>,
) -> anyhow::Result<Vec<(f64, f64)>> {
    let mut curve = vec![(0.0, 0.0)];
    loop {
        let durable = house.metric(COMMITTED).await? - calm;
        let fired = house.metric(FIRED).await?;
        curve.push((began.elapsed().as_secs_f64(), fired));
        if fired >= deadlines as f64 && durable >= deadlines as f64 {
            done.store(true, Ordering::Relaxed);
            return Ok(curve);
        }
        ensure!(began.elapsed() < PATIENCE, "{fired} of {deadlines} fired");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

struct Judged {
    fired: u64,
    twice: u64,
    early: u64,
}

/// Where the journal ends.
fn last_record(house: &House) -> anyhow::Result<u64> {
    let store = Store::open(&house.data(), StoreOptions::default())?;
    Ok(store.journal().reader()?.services()?.pop().context("no service wrote")?.1)
}

/// What the journal says of it since then.
fn judge(house: &House, idle: Duration, since: u64) -> anyhow::Result<Judged> {
    let store = Store::open(&house.data(), StoreOptions::default())?;
    let reader = store.journal().reader()?;
    let (service, _) = reader.services()?.pop().context("no service wrote")?;
    let (mut after, mut switched_on) = (since, None::<Timestamp>);
    let mut fired: BTreeMap<EnquiryId, u64> = BTreeMap::new();
    let mut early = 0;
    loop {
        let rows = reader.read_after(service, after, READ_AT_ONCE)?;
        let Some(last) = rows.last() else { break };
        after = last.seq;
        for row in &rows {
            let record = decode(&row.body)?;
            if matches!(record.event, Event::SettingsApplied { .. }) {
                switched_on = Some(record.at);
            }
            let Some(enquiry) = notified(&record) else { continue };
            *fired.entry(enquiry).or_default() += 1;
            let since = switched_on.map_or(Duration::ZERO, |on| record.at.since(on));
            early += u64::from(since < idle);
        }
    }
    let twice = fired.values().filter(|count| **count > 1).count() as u64;
    Ok(Judged { fired: fired.len() as u64, twice, early })
}

/// The enquiry whose notification this record is.
fn notified(record: &Record) -> Option<EnquiryId> {
    let Event::MessageQueued(queued) = &record.event else { return None };
    let MessageQueued { author, enquiry, .. } = &**queued;
    let is_notification = *author == Author::Auto { message: AutoMessage::AutoCloseNotification };
    if is_notification { *enquiry } else { None }
}
