//! How the comparison is shown: one row per service.

use hdrhistogram::Histogram;

use super::service::Kind;
use super::trials::{Faith, Fired, Silence, Speed};

/// All that is known of one service; what was not found out is missing.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) kind: Kind,
    pub(super) speed: Speed,
    /// Messages never seen after a lost connection.
    pub(super) missed: Option<u64>,
    pub(super) faith: Option<Faith>,
    pub(super) silence: Option<Silence>,
}

impl Row {
    pub(super) fn of(kind: Kind) -> Self {
        Self { kind, speed: Speed::default(), missed: None, faith: None, silence: None }
    }
}

const UNKNOWN: &str = "–";

pub(super) fn speed(rows: &[Row]) -> String {
    let head =
        ["service", "acked/s", "min–max", "CPU µs each", "ack p50 ms", "p99", "push p50 ms", "p99"];
    let rows = rows.iter().map(|Row { kind, speed, .. }| {
        if speed.per_round.is_empty() {
            let mut row = vec![UNKNOWN.to_owned(); 8];
            kind.name().clone_into(&mut row[0]);
            return row;
        }
        let least = speed.per_round.iter().copied().fold(f64::INFINITY, f64::min);
        let most = speed.per_round.iter().copied().fold(0.0, f64::max);
        let each = speed.cpu.as_secs_f64() * 1e6 / count(speed.acked).max(1.0);
        vec![
            kind.name().to_owned(),
            format!("{:.0}", count(speed.acked) / speed.pressing.as_secs_f64().max(1e-9)),
            format!("{least:.0}–{most:.0}"),
            format!("{each:.0}"),
            milliseconds(&speed.acks, 0.5),
            milliseconds(&speed.acks, 0.99),
            milliseconds(&speed.pushes, 0.5),
            milliseconds(&speed.pushes, 0.99),
        ]
    });
    aligned(&head, rows)
}

pub(super) fn faith(rows: &[Row]) -> String {
    let head = [
        "service",
        "lost of acked",
        "duplicated",
        "over capacity",
        "spread",
        "missed after reconnect",
        "notified 0/1/2+",
        "closed 0/1/2+",
        "shown as unknown",
    ];
    let rows = rows.iter().map(|row| {
        let faith = |of: fn(&Faith) -> String| row.faith.as_ref().map(of);
        let silence = |of: fn(&Silence) -> String| row.silence.as_ref().map(of);
        let cells = [
            Some(row.kind.name().to_owned()),
            faith(|faith| format!("{} of {}", faith.lost, faith.acked)),
            faith(|faith| faith.duplicated.to_string()),
            faith(|faith| faith.over_capacity.to_string()),
            (!row.speed.per_round.is_empty()).then(|| row.speed.spread.to_string()),
            row.missed.map(|missed| missed.to_string()),
            silence(|silence| times(silence.notified)),
            silence(|silence| times(silence.closed)),
            silence(|silence| silence.shown_unknown.map_or("no".to_owned(), |it| it.to_string())),
        ];
        cells.map(|cell| cell.unwrap_or_else(|| UNKNOWN.to_owned())).into()
    });
    aligned(&head, rows)
}

fn times(Fired { never, once, again }: Fired) -> String {
    format!("{never}/{once}/{again}")
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
fn count(number: u64) -> f64 {
    number as f64
}

fn milliseconds(histogram: &Histogram<u64>, quantile: f64) -> String {
    if histogram.is_empty() {
        return "–".to_owned();
    }
    format!("{:.1}", count(histogram.value_at_quantile(quantile)) / 1000.0)
}

/// A Markdown table, readable as it stands.
fn aligned(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..rows[0].len()).filter_map(width).collect();
    let mut lines = Vec::new();
    for (place, row) in rows.iter().enumerate() {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, &width)| pad(cell, width)).collect();
        lines.push(format!("| {} |", cells.join(" | ")));
        if place == 0 {
            let rules: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
            lines.push(format!("|-{}-|", rules.join("-|-")));
        }
    }
    lines.join("\n") + "\n"
}

fn pad(cell: &str, width: usize) -> String {
    let blanks = width.saturating_sub(cell.chars().count());
    format!("{cell}{}", " ".repeat(blanks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_the_letters() {
        let rows =
            [vec!["ä".to_owned(), "1–2".to_owned()], vec!["long".to_owned(), "3".to_owned()]];
        let text = aligned(&["a", "b"], rows.into_iter());
        let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|&width| width == widths[0]), "{text}");
    }

    #[test]
    fn quantiles_are_in_milliseconds() {
        let mut histogram = Histogram::new(3).unwrap();
        assert_eq!(milliseconds(&histogram, 0.5), "–");
        histogram.record(12_300).unwrap();
        assert_eq!(milliseconds(&histogram, 0.5), "12.3");
    }
}
