//! P1: what a webhook costs until it is durable and answered, beside a handler that only reads it.
//!
//! 70 % receipts, 28 % messages to live enquiries, 2 % openings that are routed, offered and
//! welcomed; every id new; agents connected. While the ceiling has its turn Usher stands still, so
//! that its projector cannot work off what its own turn left behind.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;

use super::Options;
use crate::ceiling::{Ceiling, Kind};
use crate::drive::{Connections, Mix, Share};
use crate::house::{Channel, Desk, Desks, Group, House, Node, Provider, Shop};
use crate::measure::compare::Turn;
use crate::measure::show::{Goal, Report, progress};
use crate::measure::{Metric, Place, Plan, Schedule, Slice, alternate, disk};

const CONNECTIONS: usize = 128;
/// The form in which the provider sends many at once.
const BATCH: usize = 20;
/// 360dialog's hardest published rule: 1,000 messages a second out, 30 % replies, three receipts.
const HARDEST_RULE: f64 = 3_300.0;
/// Channels whose enquiries are held, and at which new ones open.
const HELD: usize = 40;
const OPENING: usize = 10;
const AGENTS: usize = 200;
const GROUP: usize = 20;
/// No welcome for so long: none will come.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// Requests made ahead before it is known how many are answered in a turn, halved.
const FIRST_TURN: usize = 3_000;
const PROJECTOR: [&str; 2] = ["projector", "projector-reads"];

/// What of Usher is looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    /// Up to the journal's commit: the projector runs only where nothing else wants to.
    ToCommit,
    /// With the projector keeping up.
    Sustained,
    /// As `Sustained`, with `BATCH` updates in a body.
    Batches,
}

impl Form {
    const fn updates(self) -> usize {
        match self {
            Self::ToCommit | Self::Sustained => 1,
            Self::Batches => BATCH,
        }
    }
}

pub(super) async fn run(options: &Options) -> anyhow::Result<()> {
    let mut report = Report::begin("P1 Ingest", &options.command("ingest"));
    for form in [Form::ToCommit, Form::Sustained, Form::Batches] {
        let before = disk::sync_median(&std::env::temp_dir())?;
        let mut bench = Bench::open(options, form).await?;
        bench.compare(options, &mut report).await?;
        let after = disk::sync_median(&std::env::temp_dir())?;
        report.text(&format!("{form:?}: fdatasync p50"), super::disk_text(before, after));
    }
    report.end();
    Ok(())
}

/// Agents 0 to 99 hold what is live; it is offered to the others.
pub(super) fn shop() -> Shop {
    let groups = (0..AGENTS / GROUP).map(|number| {
        let members = number * GROUP..(number + 1) * GROUP;
        let group = Group::new(format!("g{number}"), members);
        if number * GROUP < AGENTS / 2 { group.at_once() } else { Group { pick_up: 10, ..group } }
    });
    let group_of = |channel: usize| {
        let half = AGENTS / GROUP / 2;
        format!("g{}", if channel < HELD { channel % half } else { half + channel % half })
    };
    let channels = (0..HELD + OPENING)
        .map(|channel| Channel { welcome: true, ..Channel::to(group_of(channel)) });
    Shop { agents: AGENTS, capacity: 1_000, groups: groups.collect(), channels: channels.collect() }
}

struct Bench {
    form: Form,
    house: House,
    provider: Provider,
    /// Read for as long as this is there.
    _desks: Desks,
    mix: Mix,
    ours: Connections,
    ceilings: [(Ceiling, Connections); 2],
    /// For the ceilings, which do not mind hearing it again.
    heard: VecDeque<Bytes>,
    /// Requests made ahead for our turns.
    ahead: VecDeque<Bytes>,
    /// In the last of our turns.
    answered: usize,
    refused: u64,
    threads: BTreeMap<String, Duration>,
}

impl Bench {
    async fn open(options: &Options, form: Form) -> anyhow::Result<Self> {
        let provider = Provider::start()?;
        let lag = (form == Form::ToCommit).then_some((10_000_000, 20_000_000));
        let node = Node { provider: Some(provider.url.clone()), lag, ..Node::default() };
        let house = House::open(&options.binary, &shop(), node).await?;
        let desks = Desks::hear(Desk::open_all(&house, 0..AGENTS).await?, |_, _| ());
        let share = Share { receipts: 70, messages: 28 };
        let mut mix = Mix::new(share, 0..HELD, HELD..HELD + OPENING);
        let mut few = Connections::open(house.port, 4).await?;
        let visitors = options.either(20_000, 100_000);
        few.deliver(mix.seed(visitors, 250)).await?;
        progress(&format!("{form:?}: {visitors} enquiries opened"));
        welcome_all(&provider, &mut mix, visitors).await?;
        house.until_level().await?;
        progress("all welcomed, the archive is level");
        if form == Form::ToCommit {
            for name in PROJECTOR {
                house.process().only_when_idle(name)?;
            }
        }
        let ours = Connections::open(house.port, CONNECTIONS).await?;
        let ceilings = [ceiling().await?, ceiling().await?];
        let heard = mix.requests(2_000, form.updates());
        Ok(Self {
            form,
            house,
            provider,
            _desks: desks,
            mix,
            ours,
            ceilings,
            heard,
            ahead: VecDeque::new(),
            answered: FIRST_TURN / form.updates(),
            refused: 0,
            threads: BTreeMap::new(),
        })
    }

    async fn compare(&mut self, options: &Options, report: &mut Report) -> anyhow::Result<()> {
        let slice = Duration::from_millis(500);
        let blocks = match self.form {
            Form::ToCommit | Form::Batches => options.either(5, 10),
            // Five minutes of our turns.
            Form::Sustained => options.either(8, 300),
        };
        let plan = Plan { place: Place::OverSockets, blocks, slice };
        self.house.process().freeze()?;
        let mut lags = Vec::new();
        let told = alternate(plan, async |turn, span| match turn {
            Turn::Ours => {
                let slice = self.our_turn(span).await?;
                lags.push(self.lag_after().await?);
                Ok(slice)
            }
            Turn::Ceiling => self.their_turn(0, span).await,
            Turn::Twin => self.their_turn(1, span).await,
        });
        let told = told.await?;
        self.house.process().thaw()?;
        self.tell(&told, &lags, report);
        if self.form == Form::Sustained {
            let rate = Metric::Rate.of(&told.ours());
            self.half_load(options, rate, report).await?;
        }
        Ok(())
    }

    /// Requests of our own turn, made while Usher stands still.
    fn prepare(&mut self) {
        self.mix.accepted(self.provider.take());
        // More than it will answer; what is left waits for the next turn.
        let missing = (2 * self.answered).saturating_sub(self.ahead.len());
        self.ahead.extend(self.mix.requests(missing, self.form.updates()));
    }

    async fn our_turn(&mut self, span: Duration) -> anyhow::Result<Slice> {
        self.prepare();
        let process = self.house.process();
        let before = process.threads()?;
        process.thaw()?;
        let answers = self.ours.saturate(&mut self.ahead, span).await?;
        process.freeze()?;
        let mut cpu = Duration::ZERO;
        for (name, on_core) in process.threads()? {
            let used = on_core.saturating_sub(before.get(&name).copied().unwrap_or_default());
            *self.threads.entry(name.clone()).or_default() += used;
            let projects = PROJECTOR.contains(&name.as_str());
            if !(projects && self.form == Form::ToCommit) {
                cpu += used;
            }
        }
        self.refused += answers.refused;
        self.answered = usize::try_from(answers.ok)?.max(FIRST_TURN / 2);
        let operations = answers.ok * self.form.updates() as u64;
        Ok(Slice { operations, wall: answers.wall, cpu })
    }

    /// How far the archive is behind; where the projector was held back it may catch up now.
    async fn lag_after(&self) -> anyhow::Result<f64> {
        let process = self.house.process();
        process.thaw()?;
        let lag = self.house.metric("usher_projector_lag_seconds").await?;
        if self.form == Form::ToCommit {
            self.house.until_level().await?;
        }
        process.freeze()?;
        Ok(lag)
    }

    async fn their_turn(&mut self, which: usize, span: Duration) -> anyhow::Result<Slice> {
        let (ceiling, connections) = &mut self.ceilings[which];
        let before = ceiling.process().cpu()?;
        let mut slice = Slice::default();
        let began = Instant::now();
        while let Some(left) = span.checked_sub(began.elapsed()) {
            let mut again = self.heard.clone();
            let answers = connections.saturate(&mut again, left).await?;
            ensure!(answers.refused == 0, "the ceiling refused");
            slice.operations += answers.ok * self.form.updates() as u64;
            slice.wall += answers.wall;
        }
        slice.cpu = ceiling.process().cpu()?.saturating_sub(before);
        Ok(slice)
    }

    fn tell(&self, told: &crate::measure::Comparison, lags: &[f64], report: &mut Report) {
        let form = self.form;
        let (rate, cpu) = match form {
            Form::ToCommit => (Some(Goal::AtLeast(0.40)), Some(Goal::AtMost(3.0))),
            Form::Sustained => (Some(Goal::AtLeast(0.20)), None),
            Form::Batches => (None, None),
        };
        report.sides(&format!("{form:?}: server CPU per update"), told, Metric::Cpu);
        report.ratio(&format!("{form:?}: server CPU, ours / ceiling"), told, Metric::Cpu, cpu);
        report.sides(&format!("{form:?}: updates"), told, Metric::Rate);
        report.ratio(&format!("{form:?}: updates/s, ours / ceiling"), told, Metric::Rate, rate);
        let third = lags.len() / 3;
        let mean = |some: &[f64]| some.iter().sum::<f64>() / some.len().max(1) as f64;
        let (early, late) = (mean(&lags[third..2 * third]), mean(&lags[2 * third..]));
        report.text(
            &format!("{form:?}: archive behind, second and last third of the run"),
            format!("{early:.2} s, {late:.2} s"),
        );
        let operations = told.ours().operations.max(1) as f64;
        let mut threads: Vec<_> = self.threads.iter().collect();
        threads.sort_by_key(|(_, on_core)| std::cmp::Reverse(**on_core));
        let threads: Vec<String> = threads
            .into_iter()
            .map(|(name, on_core)| (name, on_core.as_secs_f64() * 1e6 / operations))
            .filter(|(_, each)| *each >= 0.05)
            .map(|(name, each)| format!("{name} {each:.1}"))
            .collect();
        report.text(&format!("{form:?}: µs per update by thread"), threads.join(", "));
        let refused =
            format!("{} (receipts that found none left: {})", self.refused, self.mix.repeated);
        report.text(&format!("{form:?}: refused"), refused);
        if form != Form::ToCommit {
            let headroom = Metric::Rate.of(&told.ours()) / HARDEST_RULE;
            let goal = Some(Goal::AtLeast(10.0));
            report.figure(&format!("{form:?}: over 3,300/s"), headroom, "×", goal);
        }
    }

    /// Latency at half of what was sustained, on a schedule.
    async fn half_load(
        &mut self,
        options: &Options,
        rate: f64,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        self.house.until_level().await?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate")]
        let rate = (rate / 2.0) as u64;
        let count = rate * options.either(4, 30);
        self.mix.accepted(self.provider.take());
        let count = usize::try_from(count).context("too many")?;
        let mut requests = self.mix.requests(count, 1);
        let answers =
            self.ours.on_schedule(&mut requests, Schedule::per_second(rate), |_, _| ()).await?;
        let p99 = answers.latencies.at(0.99).as_secs_f64() * 1e3;
        report.figure("half load: p99", p99, "ms", Some(Goal::AtMost(25.0)));
        let refused = answers.refused;
        report.text("half load", format!("{rate}/s: {}, {refused} refused", answers.latencies));
        Ok(())
    }
}

async fn ceiling() -> anyhow::Result<(Ceiling, Connections)> {
    let ceiling = Ceiling::start(Kind::Http)?;
    let connections = Connections::open(ceiling.port, CONNECTIONS).await?;
    Ok((ceiling, connections))
}

/// Until each of the visitors was sent its welcome.
async fn welcome_all(provider: &Provider, mix: &mut Mix, visitors: u64) -> anyhow::Result<()> {
    let (mut welcomed, mut last) = (0, Instant::now());
    while welcomed < visitors {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let more = mix.accepted(provider.take()) as u64;
        if more > 0 {
            last = Instant::now();
        }
        welcomed += more;
        ensure!(last.elapsed() < STUCK_AFTER, "only {welcomed} of {visitors} were welcomed");
    }
    Ok(())
}
