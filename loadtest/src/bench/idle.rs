//! P5: what an idle agent socket takes, by the slope from few to many, beside a bare WebSocket that
//! echoes, of the same library.

use std::time::Duration;

use futures_util::future::try_join_all;
use usher_domain::attendance::CONNECTIONS_MAX;

use super::Options;
use super::crowd::{self, AGENTS};
use crate::ceiling::{Ceiling, Kind};
use crate::house::{Desk, Desks, House, Node, Shop};
use crate::measure::Process;
use crate::measure::show::{Goal, Report, number};
use crate::plot::{self, Frame, Series};

/// Sockets opened at once.
const AT_ONCE: usize = 100;
/// Buffers that were only needed for the greeting are given back meanwhile.
const SETTLE: Duration = Duration::from_secs(5);

pub(super) async fn run(options: &Options) -> anyhow::Result<()> {
    let mut report = Report::begin("P5 Idle sockets", &options.command("idle"));
    let steps: &[usize] = options.either(&[500, 1_000, 2_000], &[2_000, 6_000, 10_000, 15_000]);
    let watch = Duration::from_secs(options.either(10, 60));
    // One after the other: each has as many descriptors as this process may have.
    let ceiling = bare(steps, watch).await?;
    let ours = ours(options, steps, watch).await?;
    let again = bare(steps, watch).await?;
    report.figure("each, ours", ours.each / 1024.0, "KiB", Some(Goal::AtMost(11.0)));
    report.figure("each, bare", ceiling.each / 1024.0, "KiB", None);
    let control = again.each / ceiling.each;
    report.figure("bare / bare (control)", control, "", None);
    if (0.92..=1.08).contains(&control) {
        let ratio = ours.each / ceiling.each;
        report.figure("ours / bare", ratio, "", Some(Goal::AtMost(1.15)));
    } else {
        report.text("ours / bare", "no reading");
    }
    report.figure("CPU each, ours", ours.cpu_us, "µs/s", Some(Goal::AtMost(2.3)));
    report.figure("CPU each, bare", ceiling.cpu_us, "µs/s", None);
    report.text("memory at each step, ours", points(&ours));
    report.text("memory at each step, bare", points(&ceiling));
    options.draw("idle-memory", &drawn(&ours, &ceiling))?;
    report.end();
    Ok(())
}

/// Memory over sockets; the slope is what is quoted.
fn drawn(ours: &Taken, bare: &Taken) -> String {
    let series = |name: &str, colour, taken: &Taken| {
        let point =
            |(sockets, bytes): &(usize, u64)| (*sockets as f64, *bytes as f64 / f64::from(1 << 20));
        Series { name: name.to_owned(), colour, points: taken.points.iter().map(point).collect() }
    };
    let tick = |(sockets, _): &(usize, u64)| (*sockets as f64, number(*sockets as f64));
    let ticks = ours.points.iter().map(tick).collect();
    let frame = Frame { ticks, unit: " MiB", ..Frame::default() };
    let both = [series("Usher", 0, ours), series("bare sockets that echo", 5, bare)];
    plot::figure("Memory over idle agent sockets", &frame, &both)
}

/// What sockets take.
struct Taken {
    /// Sockets, bytes of the server's heap.
    points: Vec<(usize, u64)>,
    /// Bytes a socket.
    each: f64,
    /// Microseconds on a core, per second and socket.
    cpu_us: f64,
}

fn points(taken: &Taken) -> String {
    let point = |(sockets, bytes): &(usize, u64)| format!("{sockets}: {} MiB", bytes >> 20);
    taken.points.iter().map(point).collect::<Vec<_>>().join(", ")
}

async fn ours(options: &Options, steps: &[usize], watch: Duration) -> anyhow::Result<Taken> {
    let set = vec![("limits.connections_per_staff", CONNECTIONS_MAX.to_string())];
    let node = Node { set, ..Node::default() };
    let house = House::open(&options.binary, &crowd::shop(None), node).await?;
    let mut tokens = Vec::new();
    for agent in 0..AGENTS {
        tokens.push(house.sign_in(&Shop::email(agent)).await?);
    }
    let process = house.process();
    let (port, tokens) = (house.port, &tokens);
    let open =
        async |number: usize| Desk::with_token(port, number, &tokens[number % tokens.len()]).await;
    take(process, steps, watch, open).await
}

async fn bare(steps: &[usize], watch: Duration) -> anyhow::Result<Taken> {
    let ceiling = Ceiling::start(Kind::Socket)?;
    let port = ceiling.port;
    take(ceiling.process(), steps, watch, async |number| Desk::bare(port, number).await).await
}

async fn take(
    process: Process,
    steps: &[usize],
    watch: Duration,
    open: impl AsyncFn(usize) -> anyhow::Result<Desk>,
) -> anyhow::Result<Taken> {
    let (mut held, mut points, mut count) = (Vec::new(), Vec::new(), 0);
    for &step in steps {
        while count < step {
            let next = (count + AT_ONCE).min(step);
            let desks = try_join_all((count..next).map(|number| open(number))).await?;
            held.push(Desks::hear(desks, |_, _| ()));
            count = next;
        }
        tokio::time::sleep(SETTLE).await;
        points.push((step, process.memory()?.anonymous));
    }
    let before = process.cpu()?;
    tokio::time::sleep(watch).await;
    let cpu = process.cpu()?.saturating_sub(before);
    let (few, many) = (points[0], points[points.len() - 1]);
    let each = many.1.saturating_sub(few.1) as f64 / (many.0 - few.0) as f64;
    let cpu_us = cpu.as_secs_f64() * 1e6 / watch.as_secs_f64() / many.0 as f64;
    Ok(Taken { points, each, cpu_us })
}
