//! The report of a day: one HTML file that needs nothing else, light or dark as its reader likes.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::clock::wall;
use super::draws::Share;
use super::tally::{IN_TIME, Quarter, Tally};
use super::{After, Args, World};
use crate::measure;
use crate::plot::{Frame, Scale, Series, bars, escape, legend, lines, stack};

/// The day in a few lines, for the terminal.
pub(super) fn summary(tally: &Tally) -> String {
    let totals = tally.totals;
    let (pushes, waits) = (tally.all(|it| &it.pushes), tally.all(|it| &it.waits));
    format!(
        "{} visitors, {} picked up, service level {}, {} gave up\n\
         to the agent's screen p50 {} p99 {}; wait p50 {} p90 {}; late starts p99 {}",
        totals.arrived,
        totals.picked_up,
        percent(totals.in_time, totals.picked_up),
        totals.gave_up,
        milliseconds(&pushes, 0.5),
        milliseconds(&pushes, 0.99),
        seconds(&waits, 0.5),
        seconds(&waits, 0.9),
        milliseconds(&tally.late, 0.99),
    )
}

pub(super) fn page(args: &Args, world: &World, tally: &Tally, after: &After) -> String {
    let hours = args.hours;
    let title = format!(
        "{} agents, {} visitors, {} to {}",
        world.accounts.len(),
        args.visitors,
        wall(hours.from),
        wall(hours.to)
    );
    let speed = args.speed;
    let head = escape(&measure::machine::header());
    let sections = [
        section(
            "How full the house was",
            "Live enquiries held, and the room there was for them; visitors who waited for somebody.",
            &fullness(args, tally),
        ),
        section(
            "How long visitors waited",
            "From the first message to the pick-up, in the day's time. Half of them waited less than the lower line.",
            &waits(args, tally),
        ),
        section(
            "How many were served in time",
            "Picked up within 60 seconds of the day, by the quarter of an hour.",
            &service_level(args, tally),
        ),
        section(
            "How long messages took",
            "Real time, no matter how fast the day goes: from a visitor's phone through the provider to the agent's screen, and from the agent's reply to the visitor's phone.",
            &latencies(args, tally),
        ),
        section(
            "How visitors were shared out",
            "Every draw of the sales channel, as the stored decisions tell it. Exact means: never \
             off by one or more, at any moment of the day.",
            &shares(&after.shares),
        ),
        section("What became of offers", "", &counts(&tally.offers, 0)),
        section(
            "How enquiries were picked up and closed",
            "",
            &format!(
                "<h3>Picked up</h3>{}<h3>Closed</h3>{}",
                counts(&tally.pick_ups, 2),
                counts(&tally.closings, 4)
            ),
        ),
        section(
            "What went wrong",
            "What should not happen, and whatever was refused.",
            &wrongs(tally, &after.figures),
        ),
    ];
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>A day at Usher: {title}</title><style>{STYLE}</style>\
         <main><header><p class=\"over\">A day at Usher</p><h1>{title}</h1>\
         <p class=\"sub\">{speed} of the day's seconds passed in one. {head}</p></header>\
         <div class=\"cards\">{}</div>{}<footer>Written by <code>usher-loadtest day</code>.</footer></main></html>",
        cards(tally),
        sections.concat(),
    )
}

fn section(title: &str, words: &str, inside: &str) -> String {
    format!("<section><h2>{title}</h2><p class=\"sub\">{words}</p>{inside}</section>")
}

fn cards(tally: &Tally) -> String {
    let totals = tally.totals;
    let (pushes, waits) = (tally.all(|it| &it.pushes), tally.all(|it| &it.waits));
    let full = tally
        .quarters
        .iter()
        .flat_map(|it| &it.samples)
        .map(|[held, room, _]| if *room == 0 { 0.0 } else { *held as f64 / *room as f64 });
    let fullest = full.fold(0.0, f64::max);
    let cards = [
        (
            percent(totals.in_time, totals.picked_up),
            "picked up in time",
            format!("{} of {}", totals.in_time, totals.picked_up),
        ),
        (seconds(&waits, 0.5), "median wait", format!("9 of 10 within {}", seconds(&waits, 0.9))),
        (
            milliseconds(&pushes, 0.99),
            "to the screen, p99",
            format!("median {}", milliseconds(&pushes, 0.5)),
        ),
        (
            thousands(totals.shown + totals.answered),
            "messages carried",
            format!(
                "{} in, {} out, {} by Usher itself",
                thousands(totals.shown),
                thousands(totals.answered),
                thousands(totals.auto)
            ),
        ),
        (
            format!("{:.0} %", fullest * 100.0),
            "of capacity at most",
            format!("{} enquiries missed", totals.missed),
        ),
        (
            thousands(totals.gave_up),
            "visitors gave up",
            format!("{} were answered to the end", thousands(totals.left_answered)),
        ),
    ];
    let card = |(figure, name, more): &(String, &str, String)| {
        format!("<div class=\"card\"><b>{figure}</b><span>{name}</span><small>{more}</small></div>")
    };
    cards.iter().map(card).collect()
}

/// Middle of each quarter, in hours.
fn places(args: &Args, tally: &Tally) -> Vec<f64> {
    (0..tally.quarters.len()).map(|place| args.hours.from + (place as f64 + 0.5) / 4.0).collect()
}

fn ticks(args: &Args) -> Vec<(f64, String)> {
    let length = args.hours.to - args.hours.from;
    let step = if length > 16.0 {
        3.0
    } else if length > 6.0 {
        2.0
    } else {
        1.0
    };
    std::iter::successors(Some(args.hours.from.ceil()), |hour| Some(hour + step))
        .take_while(|hour| *hour <= args.hours.to)
        .map(|hour| (hour, wall(hour)))
        .collect()
}

/// One value of each quarter that has one.
fn over_day(
    args: &Args,
    tally: &Tally,
    (name, colour): (&str, u8),
    value: impl Fn(&Quarter) -> Option<f64>,
) -> Series {
    let quarters = places(args, tally).into_iter().zip(&tally.quarters);
    let points = quarters.filter_map(|(place, quarter)| Some((place, value(quarter)?))).collect();
    Series { name: name.to_owned(), colour, points }
}

fn quantile(histogram: &Histogram<u64>, at: f64, per: f64) -> Option<f64> {
    (!histogram.is_empty()).then(|| histogram.value_at_quantile(at) as f64 / per)
}

fn mean(quarter: &Quarter, of: usize) -> Option<f64> {
    let samples = &quarter.samples;
    let sum: u64 = samples.iter().map(|sample| sample[of]).sum();
    (!samples.is_empty()).then(|| sum as f64 / samples.len() as f64)
}

fn fullness(args: &Args, tally: &Tally) -> String {
    let held = over_day(args, tally, ("held", 0), |it| mean(it, 0));
    let room = over_day(args, tally, ("room of those at work", 5), |it| mean(it, 1));
    let waiting = over_day(args, tally, ("waiting", 3), |it| mean(it, 2));
    let frame = Frame { ticks: ticks(args), ..Frame::default() };
    let arrived = over_day(args, tally, ("visitors who came, per quarter of an hour", 2), |it| {
        Some(it.arrived as f64)
    });
    let small = Frame { height: 120.0, ticks: ticks(args), ..Frame::default() };
    let series = [room, held, waiting];
    let all = [&series[..], std::slice::from_ref(&arrived)].concat();
    format!("{}{}{}", lines(&frame, &series), stack(&small, &[arrived]), legend(&all))
}

fn waits(args: &Args, tally: &Tally) -> String {
    let wait = |name, colour, at| {
        over_day(args, tally, (name, colour), move |it| quantile(&it.waits, at, 1e3))
    };
    let series = [wait("median", 0, 0.5), wait("9 of 10", 1, 0.9), wait("99 of 100", 3, 0.99)];
    let mark = Some((IN_TIME, "in time".to_owned()));
    let frame = Frame {
        unit: " s",
        ticks: ticks(args),
        scale: Scale::Logarithmic,
        mark,
        ..Frame::default()
    };
    format!("{}{}", lines(&frame, &series), legend(&series))
}

fn service_level(args: &Args, tally: &Tally) -> String {
    let of = |name, colour, value: fn(&Quarter) -> u64| {
        over_day(args, tally, (name, colour), move |it| Some(value(it) as f64))
    };
    let series = [
        of("in time", 2, |it| it.in_time),
        of("later", 1, |it| it.picked_up - it.in_time),
        of("missed", 3, |it| it.missed),
    ];
    let frame = Frame { ticks: ticks(args), ..Frame::default() };
    format!("{}{}", stack(&frame, &series), legend(&series))
}

fn latencies(args: &Args, tally: &Tally) -> String {
    let to_screen = |name, colour, at| {
        over_day(args, tally, (name, colour), move |it| quantile(&it.pushes, at, 1e3))
    };
    let to_phone = |name, colour, at| {
        over_day(args, tally, (name, colour), move |it| quantile(&it.replies, at, 1e3))
    };
    let series = [
        to_screen("to the screen, median", 0, 0.5),
        to_screen("to the screen, 99 of 100", 4, 0.99),
        to_phone("to the phone, median", 2, 0.5),
        to_phone("to the phone, 99 of 100", 1, 0.99),
    ];
    let frame =
        Frame { unit: " ms", ticks: ticks(args), scale: Scale::Logarithmic, ..Frame::default() };
    let rows = [
        ("To the agent's screen", tally.all(|it| &it.pushes)),
        ("To the visitor's phone", tally.all(|it| &it.replies)),
    ];
    let row = |(name, all): &(&str, Histogram<u64>)| {
        let cells =
            [0.5, 0.9, 0.99, 0.999, 1.0].map(|at| format!("<td>{}</td>", milliseconds(all, at)));
        format!("<tr><th>{name}</th><td>{}</td>{}</tr>", thousands(all.len()), cells.concat())
    };
    let rows: String = rows.iter().map(row).collect();
    format!(
        "{}{}<table><tr><th></th><td>messages</td><td>p50</td><td>p90</td><td>p99</td><td>p99.9</td><td>most</td></tr>{rows}</table>",
        lines(&frame, &series),
        legend(&series)
    )
}

fn shares(shares: &[Share]) -> String {
    if shares.is_empty() {
        return "<p>Known only for a day with settings of its own.</p>".to_owned();
    }
    let row = |share: &Share| {
        let Share { bucket, percent, count, exact, worst } = share;
        let (bucket, off) = (escape(bucket), *count as f64 - exact);
        format!(
            "<tr><th>{bucket}</th><td>{percent} %</td><td>{exact:.2}</td><td>{count}</td>\
             <td>{off:+.2}</td><td>{worst:.2}</td></tr>"
        )
    };
    let rows: String = shares.iter().map(row).collect();
    format!(
        "<table><tr><th>bucket</th><td>share</td><td>exact</td><td>drawn</td><td>off by</td>\
         <td>at worst, ever</td></tr>{rows}</table>"
    )
}

fn counts(counts: &BTreeMap<&'static str, u64>, colour: u8) -> String {
    if counts.is_empty() {
        return "<p>Nothing.</p>".to_owned();
    }
    let mut items: Vec<(String, f64, String)> = counts
        .iter()
        .map(|(name, count)| ((*name).to_owned(), *count as f64, thousands(*count)))
        .collect();
    items.sort_by(|one, other| other.1.total_cmp(&one.1));
    bars(&items, colour)
}

fn wrongs(tally: &Tally, figures: &[(String, String)]) -> String {
    let mut rows = vec![
        (
            "Messages that no screen had shown by the end".to_owned(),
            thousands(tally.totals.wrote - tally.totals.shown - tally.totals.not_sent),
        ),
        ("Messages the provider did not take".to_owned(), thousands(tally.totals.not_sent)),
        (
            "Replies that the visitor did not see before leaving".to_owned(),
            thousands(tally.totals.replied - tally.totals.answered),
        ),
        ("Visitors who started late, p99".to_owned(), milliseconds(&tally.late, 0.99)),
    ];
    rows.extend(
        tally.refusals.iter().map(|(what, count)| (format!("Refused, {what}"), thousands(*count))),
    );
    rows.extend(
        tally
            .thrown
            .iter()
            .map(|(code, count)| (format!("Connections ended, {code}"), thousands(*count))),
    );
    rows.extend(
        tally
            .transfers
            .iter()
            .map(|(what, count)| (format!("Transfers {what}"), thousands(*count))),
    );
    rows.extend(figures.iter().cloned());
    let row = |(name, value): &(String, String)| {
        format!("<tr><th>{}</th><td>{}</td></tr>", escape(name), escape(value))
    };
    format!("<table>{}</table>", rows.iter().map(row).collect::<String>())
}

fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        "–".to_owned()
    } else {
        format!("{:.1} %", part as f64 / whole as f64 * 100.0)
    }
}

/// Of a histogram in microseconds.
fn milliseconds(histogram: &Histogram<u64>, at: f64) -> String {
    match quantile(histogram, at, 1e3) {
        None => "–".to_owned(),
        Some(value) if value < 10.0 => format!("{value:.1} ms"),
        Some(value) if value >= 10_000.0 => format!("{:.1} s", value / 1e3),
        Some(value) => format!("{value:.0} ms"),
    }
}

/// Of a histogram in milliseconds.
fn seconds(histogram: &Histogram<u64>, at: f64) -> String {
    match quantile(histogram, at, 1e3) {
        None => "–".to_owned(),
        Some(value) if value < 120.0 => format!("{value:.0} s"),
        Some(value) => format!("{:.0} min", value / 60.0),
    }
}

/// `12 345`, with a narrow blank.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

const STYLE: &str = "\
:root{color-scheme:light dark;--paper:#f7f7f5;--card:#fff;--ink:#18181b;--faint:#71717a;--grid:#e9e9e6;--edge:#e4e4e0;\
--c0:#2563eb;--c1:#d97706;--c2:#0d9488;--c3:#db2777;--c4:#7c3aed;--c5:#a8b3c4}\
@media(prefers-color-scheme:dark){:root{--paper:#111214;--card:#1a1c1f;--ink:#ececf0;--faint:#9a9aa5;--grid:#2a2d32;--edge:#2a2d32;\
--c0:#6ea0ff;--c1:#f5b04c;--c2:#3fc9b4;--c3:#f472b6;--c4:#b197fc;--c5:#5b6577}}\
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif}\
main{max-width:860px;margin:0 auto;padding:48px 20px 64px}\
.over{margin:0;color:var(--c0);font-weight:600;letter-spacing:.02em}h1{margin:2px 0 6px;font-size:30px;line-height:1.2;letter-spacing:-.02em}\
h2{margin:0 0 2px;font-size:18px;letter-spacing:-.01em}h3{margin:14px 0 4px;font-size:13.5px}.sub{margin:0 0 14px;color:var(--faint);font-size:13.5px}\
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(230px,1fr));gap:12px;margin:26px 0}\
.card,section{background:var(--card);border:1px solid var(--edge);border-radius:14px}\
.card{padding:16px 18px}.card b{display:block;font-size:27px;line-height:1.15;letter-spacing:-.02em;font-variant-numeric:tabular-nums}\
.card span{display:block;font-weight:600;font-size:13.5px}.card small{color:var(--faint)}\
section{padding:22px 24px;margin:14px 0}svg{display:block;width:100%;height:auto;overflow:visible}svg+svg{margin-top:14px}\
.legend{margin:8px 0 0;font-size:13px;color:var(--faint)}.legend span{margin-right:18px;white-space:nowrap}\
.legend i{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:6px;background:var(--c)}\
i.s0{--c:var(--c0)}i.s1{--c:var(--c1)}i.s2{--c:var(--c2)}i.s3{--c:var(--c3)}i.s4{--c:var(--c4)}i.s5{--c:var(--c5)}\
table{width:100%;border-collapse:collapse;margin-top:10px;font-size:14px;font-variant-numeric:tabular-nums}\
th{text-align:left;font-weight:500}td{text-align:right;color:var(--ink)}th,td{padding:6px 4px;border-bottom:1px solid var(--grid)}\
tr:first-child td{color:var(--ink)}tr:last-child>*{border-bottom:0}footer{margin-top:26px;color:var(--faint);font-size:13px}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(thousands(7), "7");
        assert_eq!(thousands(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(percent(1, 3), "33.3 %");
        assert_eq!(percent(0, 0), "–");
    }
}
