//! How figures are written down: a table that can be pasted into a document.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::Duration;

use super::compare::{Comparison, Metric, Ratio, Reading};

/// A claim, as the order of work states it.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    pub fn met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(least) => format!("≥ {}", number(least)),
            Self::AtMost(most) => format!("≤ {}", number(most)),
        }
    }
}

/// One bench's findings, printed as they come.
#[derive(Debug)]
pub struct Report {
    rows: Vec<[String; 5]>,
    ended: bool,
}

impl Report {
    /// Begins with the bench's name and the command that repeats it.
    pub fn begin(title: &str, command: &str) -> Self {
        println!("\n## {title}\n\n`{command}`\n{}\n", super::machine::header());
        Self { rows: Vec::new(), ended: false }
    }

    /// Something to know besides.
    #[expect(clippy::unused_self, reason = "belongs to the report that was begun")]
    pub fn note(&self, text: &str) {
        println!("- {text}");
    }

    pub fn figure(&mut self, what: &str, value: f64, unit: &str, goal: Option<Goal>) {
        let text = format!("{} {unit}", number(value));
        self.row(what, text, "", goal.map(|goal| (goal, goal.met(value))));
    }

    /// Something compared with its ceiling, and the control beside it.
    pub fn ratio(&mut self, what: &str, told: &Comparison, metric: Metric, goal: Option<Goal>) {
        let control = span(told.control(metric));
        match told.reading(metric) {
            Reading::Ratio(ratio) => {
                let verdict = goal.map(|goal| (goal, goal.met(ratio.value)));
                self.row(what, span(ratio), &control, verdict);
            }
            Reading::None => {
                let goal = goal.map(Goal::text).unwrap_or_default();
                let row = [what.to_owned(), "no reading".to_owned(), control, goal, String::new()];
                self.rows.push(row);
            }
        }
    }

    /// What both sides came to, in units.
    pub fn sides(&mut self, what: &str, told: &Comparison, metric: Metric) {
        let (scale, unit) = match metric {
            Metric::Rate => (1.0, "/s"),
            Metric::Cpu => (1e-3, "µs"),
        };
        let of = |slice| number(metric.of(&slice) * scale);
        let text = format!("{} {unit} (ceiling {} {unit})", of(told.ours()), of(told.ceiling()));
        self.row(what, text, "", None);
    }

    pub fn text(&mut self, what: &str, value: impl Into<String>) {
        self.row(what, value.into(), "", None);
    }

    fn row(&mut self, what: &str, value: String, control: &str, verdict: Option<(Goal, bool)>) {
        let (goal, met) = match verdict {
            Some((goal, met)) => (goal.text(), if met { "met" } else { "**missed**" }),
            None => (String::new(), ""),
        };
        self.rows.push([what.to_owned(), value, control.to_owned(), goal, met.to_owned()]);
    }

    /// Prints the table.
    pub fn end(mut self) {
        self.ended = true;
        println!("\n{}", table(&self.rows));
    }
}

/// What was found before it failed or was cut is told all the same.
impl Drop for Report {
    fn drop(&mut self) {
        if !self.ended && !self.rows.is_empty() {
            println!("\n**Not finished**; until then:\n\n{}", table(&self.rows));
        }
    }
}

fn table(rows: &[[String; 5]]) -> String {
    let mut text = String::from("| | figure | A/A control | goal | |\n|---|---|---|---|---|\n");
    for row in rows {
        // Writing into a text cannot fail.
        writeln!(text, "| {} |", row.join(" | ")).ok();
    }
    text
}

fn span(ratio: Ratio) -> String {
    format!("{:.3} ({:.3}–{:.3})", ratio.value, ratio.min, ratio.max)
}

/// Three digits that matter, thousands with a comma.
pub fn number(value: f64) -> String {
    if value.abs() < 100.0 {
        let digits = if value.abs() < 1.0 { 3 } else { 2 };
        let text = format!("{value:.digits$}");
        let short = text.trim_end_matches('0').trim_end_matches('.');
        return short.to_owned();
    }
    let whole = format!("{value:.0}");
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole.as_str()), |rest| ("-", rest));
    let mut text = String::from(sign);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What is going on, for who waits; not part of the report.
pub fn progress(text: &str) {
    // Nowhere else to say it.
    writeln!(io::stderr(), "… {text}").ok();
}

/// Milliseconds.
pub fn ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_read_them() {
        let told = [0.4, 0.0123, 12.5, 100.0, 1_234_567.8, -4_321.0, 7.0].map(number);
        assert_eq!(told, ["0.4", "0.012", "12.5", "100", "1,234,568", "-4,321", "7"]);
    }

    #[test]
    fn a_goal_is_met_at_its_edge() {
        assert!(Goal::AtLeast(0.4).met(0.4) && !Goal::AtLeast(0.4).met(0.399));
        assert!(Goal::AtMost(3.0).met(3.0) && !Goal::AtMost(3.0).met(3.001));
    }

    #[test]
    fn a_table_has_a_row_for_each_figure() {
        let mut report = Report { rows: Vec::new(), ended: true };
        report.figure("p99", 30.0, "ms", Some(Goal::AtMost(25.0)));
        report.text("spread", "0");
        let shown = table(&report.rows);
        assert!(shown.contains("| p99 | 30 ms |  | ≤ 25 | **missed** |"), "{shown}");
        assert_eq!(shown.lines().count(), 4);
    }
}
