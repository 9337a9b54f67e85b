//! P13: what a message costs in the nodes' processor time where the same load goes round three of them, beside
//! one that is alone; and what Redis and PostgreSQL do for it.
//!
//! In each block the turns are the same forwards and backwards, so that what grows meanwhile falls on all of
//! them alike. With three nodes everything also goes to the owner's door alone, agents and webhooks: what the
//! other two cost by being there is seen apart from what passing on costs. The two windows of one node in a
//! block are the control. Before each window agents are let go, and come back by the doors that are open then.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::LocalSet;

use super::Terms;
use super::ground::Kind;
use super::house::{House, Stand};
use super::nodes::{Build, NODES};
use super::redis::Shape;
use super::window::Window;
use crate::bench::Options;
use crate::measure::show::{Goal, Report};

const SETTLED_WITHIN: Duration = Duration::from_mins(1);
const WARM: Duration = Duration::from_secs(40);

/// Which nodes run, and which of them are asked.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Doors {
    /// The owner runs alone.
    One,
    Two,
    /// Three run, and the owner is asked for everything.
    ThreeByOwner,
    Three,
}

/// Of one block.
const TURNS: [Doors; 8] = [
    Doors::Three,
    Doors::ThreeByOwner,
    Doors::Two,
    Doors::One,
    Doors::One,
    Doors::Two,
    Doors::ThreeByOwner,
    Doors::Three,
];

impl Doors {
    const fn nodes(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::ThreeByOwner | Self::Three => NODES,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::One => "one node",
            Self::Two => "two nodes",
            Self::ThreeByOwner => "three, all by the owner's door",
            Self::Three => "three nodes",
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
        rounds: options.either(2, 3),
        keep: false,
    };
    let rates: &[u32] = options.either(&[500], &[500, 2_000]);
    let build = Build::new(&options.binary.path()?)?;
    let (sockets, span) = (terms.sockets, terms.around);
    let mut report = Report::begin("P13: nodes", &options.command("nodes"));
    report.note(&format!(
        "{sockets} agents and all webhooks by the nodes named, blocks: {}, windows of {span:?}; processor time \
         of Usher's processes, all that run, without PostgreSQL's and Redis's",
        terms.rounds
    ));
    LocalSet::new().run_until(measured(&build, &terms, rates, &mut report)).await?;
    report.end();
    Ok(())
}

async fn measured(
    build: &Build,
    terms: &Terms,
    rates: &[u32],
    report: &mut Report,
) -> anyhow::Result<()> {
    let stand = Stand { kind: Kind::Loopback, shape: Shape::One, small: false };
    let mut house = House::open(stand, build, terms).await?;
    let owner = house.owner().await?;
    let idle = Window::of(&mut house, terms.around).await?;
    tell_idle(report, &idle, owner);
    for rate in rates {
        house.visitors.start(*rate);
        // What is new in the first seconds is no part of what a message costs.
        house.pass(WARM).await;
        let mut windows = Vec::new();
        for _ in 0..terms.rounds {
            for doors in TURNS {
                stand_so(&mut house, owner, doors).await?;
                windows.push((doors, Window::of(&mut house, terms.around).await?));
            }
        }
        house.visitors.stop();
        house.pass(terms.around).await;
        tell(report, &windows);
    }
    Ok(())
}

/// The nodes that are to run do, and everybody has come by those that are to be asked.
async fn stand_so(house: &mut House, owner: usize, doors: Doors) -> anyhow::Result<()> {
    let others: Vec<usize> = (0..NODES).filter(|node| *node != owner).collect();
    for (place, door) in others.iter().enumerate() {
        let (runs, wanted) = (house.nodes[*door].runs(), place + 2 <= doors.nodes());
        if runs && !wanted {
            house.nodes[*door].terminate().await?;
        } else if wanted && !runs {
            house.nodes[*door].start()?;
        }
    }
    house.balancer.only((doors == Doors::ThreeByOwner).then_some(owner));
    let ready = async |house: &mut House| house.balancer.ready() == doors.nodes();
    house.until("the nodes are ready", SETTLED_WITHIN, ready).await?;
    house.balancer.let_go();
    house.pass(house.terms.around / 4).await;
    let settled = async |house: &mut House| house.book.here() == house.terms.sockets;
    house.until("everybody is where they are to be", SETTLED_WITHIN, settled).await?;
    house.pass(house.terms.around / 4).await;
    Ok(())
}

fn tell_idle(report: &mut Report, idle: &Window, owner: usize) {
    let each = |cpu: &Duration| format!("{:.1}", idle.a_second(cpu.as_secs_f64() * 1e3));
    let others = idle.cpu.iter().enumerate().filter(|(node, _)| *node != owner);
    let others: Vec<String> = others.map(|(_, cpu)| each(cpu)).collect();
    let text = format!("owner {}, others {}", each(&idle.cpu[owner]), others.join(" and "));
    report.text("nobody writes: ms of a processor a second", text);
}

fn tell(report: &mut Report, windows: &[(Doors, Window)]) {
    let mut of_each: BTreeMap<Doors, Vec<&Window>> = BTreeMap::new();
    for (doors, window) in windows {
        of_each.entry(*doors).or_default().push(window);
    }
    let sums: BTreeMap<Doors, Window> = of_each
        .iter()
        .map(|(doors, all)| (*doors, all.iter().fold(Window::default(), |sum, it| sum.and(it))))
        .collect();
    let all = sums.values().fold(Window::default(), Window::and);
    let rate = all.a_second(all.each(1.0).recip());
    report.text("**load**", format!("{rate:.0} webhooks answered a second"));
    for (doors, all) in &of_each {
        let costs: Vec<String> = all.iter().map(|it| format!("{:.0}", it.cost())).collect();
        let sum = &sums[doors];
        let text = format!("{:.0} ({})", sum.cost(), costs.join(", "));
        report.text(&format!("{}, µs a webhook", doors.name()), text);
        report.text(&format!("{}, answered", doors.name()), sum.latencies.to_string());
    }
    let one = sums[&Doors::One].cost();
    control(report, &of_each[&Doors::One]);
    for doors in [Doors::Two, Doors::ThreeByOwner, Doors::Three] {
        let goal = (doors == Doors::Three).then_some(Goal::AtMost(1.35));
        let ratio = sums[&doors].cost() / one;
        report.figure(&format!("{} over one", doors.name()), ratio, "", goal);
    }
    for doors in [Doors::One, Doors::Three] {
        tell_of_stores(report, doors, &sums[&doors]);
    }
}

/// One node against itself: the second window of each block over the first.
fn control(report: &mut Report, ones: &[&Window]) {
    let sum = |from: usize| {
        let every = ones.iter().skip(from).step_by(2);
        every.fold(Window::default(), |sum, it| sum.and(it)).cost()
    };
    report.figure("one node, second windows over first (control)", sum(1) / sum(0), "", None);
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
fn tell_of_stores(report: &mut Report, doors: Doors, sum: &Window) {
    let mut tell = |what: &str, all: f64, unit: &str| {
        report.figure(&format!("{}: {what} a webhook", doors.name()), sum.each(all), unit, None);
    };
    tell("requests between nodes", sum.relays as f64, "");
    tell("Redis commands", sum.redis.commands as f64, "");
    tell("Redis bytes", sum.redis.bytes as f64, "");
    tell("PostgreSQL commits", sum.postgres.commits as f64, "");
    tell("the journal's of them", sum.commits as f64, "");
    tell("PostgreSQL log bytes", sum.postgres.log as f64, "");
    tell("PostgreSQL processor time", sum.postgres.cpu.as_secs_f64() * 1e6, "µs");
}
