//! The matrix as a table: each row the worst of its rounds, promises and goals beside it.

use std::time::Duration;

use super::Terms;
use super::book::Resumed;
use super::round::Seen;
use super::rows::Row;

/// Longest time without an answer, while the records can be reached.
const GAP_MAX: Duration = Duration::from_millis(250);
/// From the first agent who resumed to the last.
const RESUMING_MAX: Duration = Duration::from_secs(5);
/// Leases until something is decided again.
const LEASES_MAX: f64 = 1.5;

const HEAD: &str = "\
| fault | rounds | acknowledged | lost | doubled | two owners | stale accepted | refused | longest time without a 200 | next decision | agents back | resuming | |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
";

/// What became of a row.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Played(Vec<Seen>),
    Skipped(String),
    /// Its line, as it stood in the file of a command before.
    Before(String),
    /// It could not be carried through.
    Failed {
        rounds: Vec<Seen>,
        why: String,
    },
}

/// All rows, one line each; and whether every promise was kept.
pub(super) fn table(rows: &[(Row, Outcome)], terms: &Terms) -> (String, bool) {
    let mut text = HEAD.to_owned();
    let mut kept = true;
    for (row, outcome) in rows {
        let (line, is_kept) = line(*row, outcome, terms);
        text.push_str(&line);
        kept &= is_kept;
    }
    let lease = terms.lease.as_secs_f64();
    let goals = format!(
        "\nPromised: lost, doubled, two owners and stale accepted 0, and nothing stuck. Goals: a 200 at least \
         every {} ms while the records are there, a decision within {LEASES_MAX} leases of {lease} s, the last agent \
         back within {} s of the first. The worst of the rounds; acknowledged and refused are sums. `**…**`: a promise is broken; `!`: beyond a goal.\n",
        GAP_MAX.as_millis(),
        RESUMING_MAX.as_secs()
    );
    (text + &goals, kept)
}

/// A row's line in such a table; one that failed or stuck is no result.
pub(super) fn line_of(row: Row, table: &str) -> Option<&str> {
    let begins = format!("| {} |", row.name());
    let found = table.lines().find(|line| line.starts_with(&begins));
    found.filter(|line| line.ends_with("| kept |") || line.ends_with("| **broken** |"))
}

fn line(row: Row, outcome: &Outcome, terms: &Terms) -> (String, bool) {
    let name = row.name();
    match outcome {
        Outcome::Before(line) => (format!("{line}\n"), line.ends_with("| kept |")),
        Outcome::Skipped(why) => {
            (format!("| {name} | 0 | | | | | | | | | | | skipped: {} |\n", flat(why)), true)
        }
        Outcome::Played(rounds) => {
            let (cells, kept) = cells(row, rounds, terms);
            let stuck: Vec<String> =
                rounds.iter().filter_map(|seen| seen.stuck.as_deref()).map(flat).collect();
            let word = match stuck.first() {
                Some(why) => format!("**{} of {}: {why}**", stuck.len(), rounds.len()),
                None if kept => "kept".to_owned(),
                None => "**broken**".to_owned(),
            };
            (format!("| {name} | {cells} | {word} |\n"), kept && stuck.is_empty())
        }
        Outcome::Failed { rounds, why } => {
            let (cells, _) = cells(row, rounds, terms);
            (format!("| {name} | {cells} | **failed: {}** |\n", flat(why)), false)
        }
    }
}

fn cells(row: Row, rounds: &[Seen], terms: &Terms) -> (String, bool) {
    let sum = |of: &dyn Fn(&Seen) -> u64| rounds.iter().map(of).sum::<u64>();
    let promised = [
        sum(&|seen| seen.wrong.lost),
        sum(&|seen| seen.wrong.doubled),
        sum(&|seen| seen.two_owners),
        sum(&|seen| seen.wrong.stale),
    ];
    let kept = promised.iter().all(|count| *count == 0);
    let promised =
        promised.map(|count| if count == 0 { "0".into() } else { format!("**{count}**") });
    let acknowledged = sum(&|seen| seen.acknowledged as u64);
    let refused = rounds.iter().fold(0.0, |sum, seen| sum + seen.refused);
    let gap = rounds.iter().map(|seen| seen.gap).max().unwrap_or_default();
    let beyond = if gap > GAP_MAX && !row.takes_the_records() { " !" } else { "" };
    let gap = format!("{:.2} s{beyond}", gap.as_secs_f64());
    let cells = format!(
        "{} | {acknowledged} | {} | {refused:.0} | {gap} | {} | {} | {}",
        rounds.len(),
        promised.join(" | "),
        decision(rounds, terms),
        back(rounds, terms),
        resuming(rounds),
    );
    (cells, kept)
}

fn decision(rounds: &[Seen], terms: &Terms) -> String {
    let worst: Option<Vec<Duration>> = rounds.iter().map(|seen| seen.decision).collect();
    match worst.map(|all| all.into_iter().max().unwrap_or_default()) {
        None => "never !".to_owned(),
        Some(worst) => {
            let beyond = if worst > terms.lease.mul_f64(LEASES_MAX) { " !" } else { "" };
            format!("{:.2} s{beyond}", worst.as_secs_f64())
        }
    }
}

fn back(rounds: &[Seen], terms: &Terms) -> String {
    let fewest = rounds.iter().map(|seen| seen.resumed.here).min().unwrap_or_default();
    let within = rounds.iter().map(|seen| seen.resumed.within).max().unwrap_or_default();
    let most = |of: fn(&Resumed) -> usize| {
        rounds.iter().map(|seen| of(&seen.resumed)).max().unwrap_or_default()
    };
    let beyond = if fewest < terms.sockets { " !" } else { "" };
    let (recovered, anew) = (most(|it| it.recovered), most(|it| it.anew));
    if recovered + anew == 0 {
        return format!("{fewest} of {}{beyond}, none had gone", terms.sockets);
    }
    format!(
        "{fewest} of {}{beyond} within {:.1} s, {recovered} recovered, {anew} by snapshot",
        terms.sockets,
        within.as_secs_f64()
    )
}

/// From when the services could be reached again, which is when the first was back.
fn resuming(rounds: &[Seen]) -> String {
    let longest = rounds.iter().map(|seen| seen.resumed.within.saturating_sub(seen.resumed.first));
    let longest = longest.max().unwrap_or_default();
    let beyond = if longest > RESUMING_MAX { " !" } else { "" };
    format!("{:.1} s{beyond}", longest.as_secs_f64())
}

/// A cell has no lines.
fn flat(text: &str) -> String {
    let line = text.replace(char::is_control, " ").replace('|', "/");
    line.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::records::Wrong;
    use super::*;

    fn terms() -> Terms {
        let lease = Duration::from_secs(4);
        let around = Duration::from_secs(1);
        let (rate, sockets, rounds, keep) = (500, 300, 5, false);
        Terms { rate, sockets, lease, around, dir: PathBuf::new(), rounds, keep }
    }

    fn well() -> Seen {
        let resumed = Resumed {
            here: 300,
            recovered: 1,
            anew: 2,
            first: Duration::from_millis(500),
            within: Duration::from_secs(2),
        };
        let (gap, decision) = (Duration::from_millis(200), Some(Duration::from_secs(3)));
        Seen { acknowledged: 1_000, refused: 2.0, gap, decision, resumed, ..Seen::default() }
    }

    #[test]
    fn a_row_is_the_worst_of_its_rounds() {
        let slow = Seen { decision: Some(Duration::from_secs(7)), ..well() };
        let rows = [(Row::Zombie, Outcome::Played(vec![well(), slow]))];
        let (text, kept) = table(&rows, &terms());
        assert!(kept);
        let wanted = "| zombie | 2 | 2000 | 0 | 0 | 0 | 0 | 4 | 0.20 s | 7.00 s ! | 300 of 300 within 2.0 s, 1 recovered, 2 by snapshot | 1.5 s | kept |";
        assert!(text.contains(wanted), "{text}");
    }

    #[test]
    fn one_lost_message_breaks_a_promise_and_so_does_who_never_comes_back() {
        let lost = Seen { wrong: Wrong { lost: 1, ..Wrong::default() }, ..well() };
        let (text, kept) =
            table(&[(Row::KillOwner, Outcome::Played(vec![well(), lost]))], &terms());
        assert!(!kept && text.contains("| **1** | 0 | 0 | 0 |"), "{text}");
        let stuck = Seen { stuck: Some("stuck: why".to_owned()), decision: None, ..well() };
        let (text, kept) = table(&[(Row::KillOwner, Outcome::Played(vec![stuck]))], &terms());
        assert!(!kept && text.contains("never !") && text.contains("stuck: why"), "{text}");
    }

    #[test]
    fn a_row_that_was_played_before_stands_as_it_stood_and_what_stuck_is_played_again() {
        let stuck = Seen { stuck: Some("stuck: why".to_owned()), ..well() };
        let lost = Seen { wrong: Wrong { lost: 1, ..Wrong::default() }, ..well() };
        let rows = [
            (Row::Zombie, Outcome::Played(vec![well()])),
            (Row::KillOwner, Outcome::Played(vec![lost])),
            (Row::KillDoor, Outcome::Played(vec![stuck])),
        ];
        let before = table(&rows, &terms()).0;
        assert!(line_of(Row::KillDoor, &before).is_none());
        assert!(line_of(Row::SameId, &before).is_none());
        for (row, was_kept) in [(Row::Zombie, true), (Row::KillOwner, false)] {
            let line = line_of(row, &before).unwrap().to_owned();
            let (text, kept) = table(&[(row, Outcome::Before(line.clone()))], &terms());
            assert!(text.contains(&line) && kept == was_kept, "{text}");
        }
    }

    #[test]
    fn what_was_skipped_says_why_and_breaks_nothing() {
        let (text, kept) =
            table(&[(Row::CutRedis, Outcome::Skipped("no root".to_owned()))], &terms());
        assert!(kept && text.contains("skipped: no root"), "{text}");
    }
}
