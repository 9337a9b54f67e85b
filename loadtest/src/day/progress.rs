//! What the terminal shows while the day goes by: a few lines drawn over and over, or plain ones
//! where nobody watches.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use super::clock::wall;
use super::tally::Tally;

const BAR: usize = 40;
/// Between plain lines.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Progress {
    on_terminal: bool,
    drawn: usize,
    last: Option<Instant>,
    hours: (f64, f64),
    visitors: usize,
    agents: usize,
}

impl Progress {
    pub(super) fn new(hours: (f64, f64), visitors: usize, agents: usize) -> Self {
        let on_terminal = io::stdout().is_terminal();
        Self { on_terminal, drawn: 0, last: None, hours, visitors, agents }
    }

    pub(super) fn show(&mut self, hour: f64, tally: &Tally) {
        let share = ((hour - self.hours.0) / (self.hours.1 - self.hours.0)).clamp(0.0, 1.0);
        let lines = self.lines(hour, share, tally);
        if self.on_terminal {
            let up = if self.drawn > 0 { format!("\x1b[{}A", self.drawn) } else { String::new() };
            self.drawn = lines.len();
            println!("{up}\x1b[2K{}", lines.join("\n\x1b[2K"));
            // A terminal that has gone away is no reason to end the day.
            io::stdout().flush().ok();
        } else if self.last.is_none_or(|last| last.elapsed() >= PLAIN_EVERY) {
            self.last = Some(Instant::now());
            println!("{}", lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" · "));
        }
    }

    fn lines(&self, hour: f64, share: f64, tally: &Tally) -> Vec<String> {
        let [held, room, waiting] = tally.now();
        let totals = tally.totals;
        let pushes = tally.all(|quarter| &quarter.pushes);
        let waits = tally.all(|quarter| &quarter.waits);
        vec![
            format!("{}  {}  {:3.0} %", wall(hour), bar(share), share * 100.0),
            format!(
                "visitors  {} of {} came, {} picked up, {waiting} waiting, {} gave up",
                totals.arrived, self.visitors, totals.picked_up, totals.gave_up
            ),
            format!(
                "agents    {} of {} at work, hold {held} of {room}",
                tally.at_work(),
                self.agents
            ),
            format!("messages  {} in, {} replies", totals.shown, totals.answered),
            format!(
                "to screen p50 {:.1} ms, p99 {:.1} ms; wait p50 {:.0} s, p90 {:.0} s",
                pushes.value_at_quantile(0.5) as f64 / 1e3,
                pushes.value_at_quantile(0.99) as f64 / 1e3,
                waits.value_at_quantile(0.5) as f64 / 1e3,
                waits.value_at_quantile(0.9) as f64 / 1e3,
            ),
        ]
    }
}

fn bar(share: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1")]
    let full = (share * BAR as f64).round() as usize;
    format!("{}{}", "█".repeat(full), "░".repeat(BAR.saturating_sub(full)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills() {
        assert_eq!(bar(0.0).matches('█').count(), 0);
        assert_eq!(bar(0.5).matches('█').count(), BAR / 2);
        assert_eq!(bar(1.0).chars().count(), BAR);
    }
}
