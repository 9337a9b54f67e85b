//! P4: from the webhook to the frame that the right agent reads, at 2,000 a second, on a schedule.
//!
//! The ceiling carries a body from an HTTP handler to a bare WebSocket of the same library: no
//! journal, no rules.

use std::collections::VecDeque;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use futures_util::future::try_join_all;

use super::Options;
use super::crowd::{self, AGENTS, Crowd, Heard, Told};
use crate::ceiling::{Ceiling, Kind};
use crate::drive::Connections;
use crate::house::{Desk, Desks, Node};
use crate::measure::show::{Goal, Report, ms};
use crate::measure::{Latencies, Schedule, disk};

const PER_SECOND: u64 = 2_000;
const CONNECTIONS: usize = 64;
/// After the last was sent, for the last to be read.
const READ_WITHIN: Duration = Duration::from_secs(10);

pub(super) async fn run(options: &Options) -> anyhow::Result<()> {
    let mut report = Report::begin("P4 Webhook to frame", &options.command("push"));
    let mut bench = Bench::open(options).await?;
    let before = disk::sync_median(bench.crowd.house.dir())?;
    let seconds = options.either(3, 10);
    let (mut ours, mut bare) = (Outcome::default(), Outcome::default());
    for _ in 0..options.either(2, 6) {
        ours.add(&bench.ours(seconds).await?);
        bare.add(&bench.bare(seconds).await?);
        bare.add(&bench.bare(seconds).await?);
        ours.add(&bench.ours(seconds).await?);
    }
    let after = disk::sync_median(bench.crowd.house.dir())?;
    let live = bench.crowd.live;
    report.note(&format!("{AGENTS} agents connected, {live} live enquiries, {PER_SECOND}/s"));
    report.figure("p50", ms(ours.latencies.at(0.5)), "ms", Some(Goal::AtMost(4.0)));
    report.figure("p99", ms(ours.latencies.at(0.99)), "ms", Some(Goal::AtMost(25.0)));
    report.text("ours", ours.latencies.to_string());
    report.text("a bare handler to a bare socket", bare.latencies.to_string());
    report.figure("lost", ours.lost as f64, "", Some(Goal::AtMost(0.0)));
    report.figure("read by somebody else", ours.astray as f64, "", Some(Goal::AtMost(0.0)));
    report.text("fdatasync p50", super::disk_text(before, after));
    report.end();
    Ok(())
}

/// What became of what was sent.
#[derive(Debug, Default)]
struct Outcome {
    latencies: Latencies,
    lost: u64,
    astray: u64,
}

impl Outcome {
    fn add(&mut self, other: &Self) {
        self.latencies.merge(&other.latencies);
        self.lost += other.lost;
        self.astray += other.astray;
    }
}

struct Bench {
    crowd: Crowd,
    ours: Connections,
    /// Kept for as long as it is measured.
    _ceiling: Ceiling,
    bare: Connections,
    _desks: Desks,
    told: std::sync::mpsc::Receiver<Told>,
}

impl Bench {
    async fn open(options: &Options) -> anyhow::Result<Self> {
        let mut crowd = Crowd::open(&options.binary, &crowd::shop(None), Node::default()).await?;
        crowd.grow(options.live(5_000, 100_000)).await?;
        let ours = Connections::open(crowd.house.port, CONNECTIONS).await?;
        let ceiling = Ceiling::start(Kind::Socket)?;
        let (teller, told) = channel();
        let sockets = try_join_all((0..AGENTS).map(|agent| Desk::bare(ceiling.port, agent)));
        let desks = Desks::hear(sockets.await?, move |agent, text| {
            let place = text.split('#').nth(1).and_then(|place| place.parse().ok());
            let Some(place) = place else { return };
            let heard = Heard::Message(place);
            // Whoever does not listen any more has all it wanted.
            teller.send(Told { agent, at: Instant::now(), heard }).ok();
        });
        let bare = Connections::open(ceiling.port, CONNECTIONS).await?;
        Ok(Self { crowd, ours, _ceiling: ceiling, bare, _desks: desks, told })
    }

    async fn ours(&mut self, seconds: u64) -> anyhow::Result<Outcome> {
        let (mut requests, from) = self.crowd.messages(PER_SECOND * seconds);
        let owners: Vec<usize> = from.iter().map(|visitor| self.crowd.owners[visitor]).collect();
        let told = &self.crowd.told;
        measure(&mut self.ours, &mut requests, told, |place, agent| owners[place] == agent).await
    }

    async fn bare(&mut self, seconds: u64) -> anyhow::Result<Outcome> {
        let (requests, _) = self.crowd.messages(PER_SECOND * seconds);
        let mut requests =
            requests.iter().enumerate().map(|(n, body)| to_socket(n, body)).collect();
        // The order in which they came to the ceiling is not known here.
        measure(&mut self.bare, &mut requests, &self.told, |_, _| true).await
    }
}

/// The same body, to one of the bare sockets.
fn to_socket(place: usize, request: &Bytes) -> Bytes {
    let text = String::from_utf8_lossy(request);
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let (socket, length) = (place % AGENTS, body.len());
    format!("POST /hooks/360dialog/{socket} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}")
        .into()
}

async fn measure(
    connections: &mut Connections,
    requests: &mut VecDeque<Bytes>,
    told: &std::sync::mpsc::Receiver<Told>,
    is_right: impl Fn(usize, usize) -> bool,
) -> anyhow::Result<Outcome> {
    // What is still on its way belongs to an earlier turn.
    told.try_iter().for_each(drop);
    let count = requests.len();
    let due = std::cell::RefCell::new(vec![None; count]);
    let mark = |place: u64, at: Instant| {
        due.borrow_mut()[usize::try_from(place).unwrap_or_default()] = Some(at);
    };
    let schedule = Schedule::per_second(PER_SECOND);
    let answers = connections.on_schedule(requests, schedule, mark).await?;
    ensure!(answers.refused == 0, "{} webhooks were refused", answers.refused);
    let mut outcome = Outcome::default();
    let mut due = due.into_inner();
    let (began, mut read) = (Instant::now(), 0);
    while read < count && began.elapsed() < READ_WITHIN {
        for Told { agent, at, heard } in told.try_iter() {
            let Heard::Message(place) = heard else { continue };
            let place = usize::try_from(place).unwrap_or_default();
            let Some(due) = due.get_mut(place).and_then(Option::take) else { continue };
            read += 1;
            outcome.latencies.add(at.saturating_duration_since(due));
            outcome.astray += u64::from(!is_right(place, agent));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    outcome.lost = (count - read) as u64;
    Ok(outcome)
}
