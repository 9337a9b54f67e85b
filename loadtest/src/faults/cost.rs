//! P13: what a message costs in the nodes' processor time with one, two and three of them, the same load
//! going round all that run; and what Redis and PostgreSQL do for it.
//!
//! The nodes that do not run the services end one after the other and come back, so that each number of nodes
//! is measured twice; the two with one node are the control.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::LocalSet;

use super::Terms;
use super::ground::Kind;
use super::house::{House, Stand};
use super::nodes::{Build, NODES};
use super::postgres::Work;
use super::redis::{Shape, Traffic};
use crate::bench::Options;
use crate::measure::show::{Goal, Report};

const SETTLED_WITHIN: Duration = Duration::from_mins(1);
/// Nodes that run, one window after the other.
const TURNS: [usize; 6] = [3, 2, 1, 1, 2, 3];

/// What one window came to.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    cpu: Duration,
    webhooks: usize,
    redis: Traffic,
    postgres: Work,
}

pub async fn run(options: &Options) -> anyhow::Result<()> {
    let terms = Terms {
        rate: options.either(500, 1_000),
        sockets: options.either(60, 300),
        lease: Duration::from_secs(5),
        around: Duration::from_secs(options.either(4, 20)),
        dir: options.binary.dir(),
        rounds: 1,
        keep: false,
    };
    let build = Build::new(&options.binary.path()?)?;
    let (rate, sockets, span) = (terms.rate, terms.sockets, terms.around);
    let mut report = Report::begin("P13: nodes", &options.command("nodes"));
    report.note(&format!(
        "{rate} webhooks/s and {sockets} agents over all nodes that run, windows of {span:?}; \
         processor time of Usher's processes, without PostgreSQL's and Redis's"
    ));
    let windows = LocalSet::new().run_until(windows(&build, &terms)).await?;
    tell(&mut report, &windows);
    report.end();
    Ok(())
}

async fn windows(build: &Build, terms: &Terms) -> anyhow::Result<Vec<(usize, Window)>> {
    let stand = Stand { kind: Kind::Loopback, shape: Shape::One, small: false };
    let mut house = House::open(stand, build, terms).await?;
    let owner = house.owner().await?;
    let doors: Vec<usize> = (0..NODES).filter(|node| *node != owner).collect();
    house.visitors.start(terms.rate);
    let mut windows = Vec::new();
    for nodes in TURNS {
        for (place, door) in doors.iter().enumerate() {
            let (runs, wanted) = (house.nodes[*door].runs(), place + 2 <= nodes);
            if runs && !wanted {
                house.nodes[*door].terminate().await?;
            } else if wanted && !runs {
                house.nodes[*door].start()?;
            }
        }
        let settled = async |house: &mut House| {
            house.book.here() == house.terms.sockets && house.balancer.ready() == nodes
        };
        house.until("everybody is where they are to be", SETTLED_WITHIN, settled).await?;
        house.pass(terms.around / 2).await;
        windows.push((nodes, window(&mut house).await?));
    }
    house.visitors.stop();
    Ok(windows)
}

async fn window(house: &mut House) -> anyhow::Result<Window> {
    let before = so_far(house).await?;
    house.pass(house.terms.around).await;
    let after = so_far(house).await?;
    Ok(Window {
        cpu: after.cpu.saturating_sub(before.cpu),
        webhooks: after.webhooks - before.webhooks,
        redis: after.redis.since(before.redis),
        postgres: after.postgres.since(before.postgres),
    })
}

async fn so_far(house: &House) -> anyhow::Result<Window> {
    Ok(Window {
        cpu: cpu(house)?,
        webhooks: house.book.answers(),
        redis: house.redis.traffic().await?,
        postgres: house.postgres.work().await?,
    })
}

fn cpu(house: &House) -> anyhow::Result<Duration> {
    house.nodes.iter().filter(|node| node.runs()).map(|node| node.process()?.cpu()).sum()
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
fn tell(report: &mut Report, windows: &[(usize, Window)]) {
    let each = |window: &Window| window.cpu.as_secs_f64() * 1e6 / window.webhooks.max(1) as f64;
    let mut costs: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for (nodes, window) in windows {
        costs.entry(*nodes).or_default().push(each(window));
    }
    let mean = |nodes: usize| {
        let costs = costs.get(&nodes).map(Vec::as_slice).unwrap_or_default();
        costs.iter().sum::<f64>() / costs.len().max(1) as f64
    };
    for (nodes, costs) in &costs {
        let both: Vec<String> = costs.iter().map(|cost| format!("{cost:.0}")).collect();
        report.text(&format!("{nodes} nodes, µs a webhook"), both.join(" and "));
    }
    if let Some([first, second]) = costs.get(&1).map(Vec::as_slice) {
        report.figure(
            "one node, the second window over the first (control)",
            second / first,
            "",
            None,
        );
    }
    report.figure("two nodes over one", mean(2) / mean(1), "", None);
    report.figure("three nodes over one", mean(3) / mean(1), "", Some(Goal::AtMost(1.35)));
    for nodes in [1, NODES] {
        let those = windows.iter().filter(|(number, _)| *number == nodes);
        let all = those.fold(Window::default(), |all, (_, window)| Window {
            cpu: all.cpu + window.cpu,
            webhooks: all.webhooks + window.webhooks,
            redis: all.redis.and(window.redis),
            postgres: all.postgres.and(window.postgres),
        });
        let Window { webhooks, redis, postgres, .. } = all;
        let per = |count: u64| count as f64 / webhooks.max(1) as f64;
        let mut tell = |what: &str, each: f64, unit: &str| {
            report.figure(&format!("{what} a webhook, nodes: {nodes}"), each, unit, None);
        };
        tell("Redis commands", per(redis.commands), "");
        tell("Redis bytes", per(redis.bytes), "");
        tell("PostgreSQL commits", per(postgres.commits), "");
        tell("PostgreSQL log bytes", per(postgres.log), "");
        let micros = u64::try_from(postgres.cpu.as_micros()).unwrap_or(u64::MAX);
        tell("PostgreSQL processor time", per(micros), "µs");
    }
}
