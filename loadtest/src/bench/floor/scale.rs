//! The rules alone where very many are live: what an event costs there, and how much memory and how
//! much of a restart each live enquiry takes.
//!
//! A part of what is live is served, a part waits in line.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use usher_domain::floor::Floor;
use usher_domain::ids::EnquiryId;
use usher_domain::settings::Method;

use super::pure::{Pure, Start};
use super::{EVENTS_A_ROUND, METHODS, Policy as _, on_core};
use crate::bench::Options;
use crate::measure::Process;
use crate::measure::show::{Report, number, progress};
use crate::plot::{self, Frame, Series};

const ROUNDS: u64 = 50_000;

pub(in crate::bench) fn run(options: &Options) -> anyhow::Result<()> {
    let mut report = Report::begin("The rules, very many live", &options.command("scale"));
    let most = options.live(100_000, 1_000_000);
    let sizes = [1_000, most / 100, most / 10, most];
    let sizes: BTreeSet<u64> = sizes.into_iter().filter(|size| *size >= 1_000).collect();
    // First of all: what is given back is used again unseen.
    let room = room(Method::RoundRobin, most)?;
    report.figure(&format!("memory each, round robin, {most} live"), room, "B", None);
    let mut curves = Vec::new();
    for ((name, method), colour) in METHODS.into_iter().zip(0..) {
        let mut points = Vec::new();
        for live in &sizes {
            progress(&format!("{name}, {live} live"));
            let Measured { each, restart } = measure(method, *live)?;
            let (event, restart) = (number(each), number(restart));
            let text = format!("{event} ns an event, {restart} ns of a restart a live one");
            report.text(&format!("{name}, {live} live"), text);
            points.push(((*live as f64).log10(), each));
        }
        curves.push(Series { name: name.to_owned(), colour, points });
    }
    let ticks = sizes.iter().map(|live| ((*live as f64).log10(), number(*live as f64)));
    let frame = Frame { ticks: ticks.collect(), unit: " ns", ..Frame::default() };
    options.draw(
        "rules-cost",
        &plot::figure("Cost of an event over live enquiries", &frame, &curves),
    )?;
    report.end();
    Ok(())
}

struct Measured {
    /// Nanoseconds on a core an event.
    each: f64,
    /// Nanoseconds on a core a live one.
    restart: f64,
}

/// Bytes a live one.
fn room(method: Method, live: u64) -> anyhow::Result<f64> {
    let me = Process::of(std::process::id());
    let empty = me.memory()?.anonymous;
    let pure = Pure::begin(method, live, Start::SomeWait);
    let full = me.memory()?.anonymous;
    drop(pure);
    Ok(full.saturating_sub(empty) as f64 / live as f64)
}

fn measure(method: Method, live: u64) -> anyhow::Result<Measured> {
    let mut pure = Pure::begin(method, live, Start::SomeWait);
    let began = on_core()?;
    let mut rounds = 0;
    for number in 0..ROUNDS {
        let taken = pure.taken;
        pure.round(number);
        // Where a group is full the round ends with the opening.
        rounds += pure.taken - taken;
    }
    let took = on_core()?.saturating_sub(began).as_nanos() as f64;
    let events = rounds * EVENTS_A_ROUND + (ROUNDS - rounds);
    let restart = restart(&pure)?.as_nanos() as f64 / live as f64;
    Ok(Measured { each: took / events as f64, restart })
}

/// Puts back what is live and goes on, as after a restart.
fn restart(pure: &Pure) -> anyhow::Result<Duration> {
    let mut floor = Floor::new(Arc::clone(&pure.settings));
    let live: Vec<EnquiryId> = pure.floor.live().map(|(enquiry, _)| enquiry).collect();
    let mut effects = Vec::new();
    let began = on_core()?;
    for enquiry in live {
        if let Some(place) = pure.floor.place_now(enquiry) {
            floor.restore_place(enquiry, place);
        }
    }
    floor.resume(pure.now, &mut effects);
    Ok(on_core()?.saturating_sub(began))
}

#[cfg(test)]
mod tests {
    use super::super::GROUPS;
    use super::*;

    #[test]
    fn a_tenth_of_the_groups_wait_and_the_others_go_on() {
        let mut pure = Pure::begin(Method::RoundRobin, 1_000, Start::SomeWait);
        for number in 0..GROUPS {
            pure.round(number);
        }
        assert_eq!(pure.taken, GROUPS - GROUPS / 10);
    }
}
