//! What holds whatever a lease hears.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::ownership::Epoch;
use crate::time::Timestamp;

const TERMS: Terms = Terms::new(Duration::from_secs(5));

fn commands() -> impl Strategy<Value = Command> {
    let epoch = (1_u64..4).prop_map(Epoch);
    let answer = prop_oneof![
        4 => epoch.clone().prop_map(|epoch| Answer::Acquired { epoch, over: Epoch(0) }),
        8 => Just(Answer::Renewed),
        1 => (0_u64..6_000).prop_map(|ms| Answer::Held { left: Duration::from_millis(ms) }),
        2 => Just(Answer::Missing),
        4 => Just(Answer::Holding),
        1 => Just(Answer::Superseded),
        2 => Just(Answer::Failed),
    ];
    // Questions count from one; the script turns this into one of the last three.
    let hear = (0_u64..3, answer).prop_map(|(ask, answer)| Command::Hear { ask: Ask(ask), answer });
    prop_oneof![
        2 => (0_usize..5).prop_map(|rank| Command::Want { rank }),
        1 => Just(Command::Doubt),
        1 => Just(Command::GiveUp),
        10 => hear,
        4 => epoch.clone().prop_map(|epoch| Command::Claimed { epoch }),
        1 => epoch.clone().prop_map(|epoch| Command::NotClaimed { epoch }),
        1 => epoch.prop_map(|epoch| Command::Superseded { epoch }),
        3 => Just(Command::Stopped),
    ]
}

/// What an observer knows without looking inside.
#[derive(Default)]
struct Seen {
    asked: u64,
    /// When each question was put.
    sent: Vec<Timestamp>,
    /// The latest instant that a granted lease carries to, or a hold.
    carried: Timestamp,
    runs: bool,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn it_acts_only_under_what_was_granted_and_runs_once(
        script in prop::collection::vec((0_u64..2_500, commands()), 1..60)
    ) {
        let mut lease = Lease::new(Timestamp::default(), TERMS);
        let mut now = Timestamp::default();
        let mut seen = Seen { sent: vec![now], ..Seen::default() };
        for (pause, command) in script {
            now = now + Duration::from_millis(pause);
            let command = match command {
                Command::Hear { ask, answer } => {
                    let ask = seen.asked.saturating_sub(ask.0);
                    if matches!(answer, Answer::Acquired { .. } | Answer::Renewed | Answer::Holding) {
                        let sent = seen.sent[usize::try_from(ask).unwrap()];
                        seen.carried = seen.carried.max(sent + TERMS.hold());
                    }
                    Command::Hear { ask: Ask(ask), answer }
                }
                // Only what runs can stop.
                Command::Stopped if !seen.runs => continue,
                other => other,
            };
            let before = lease.clone();
            let mut effects = Vec::new();
            let outcome = lease.apply(now, command, &mut effects);
            if outcome.is_err() {
                let mut expired = before;
                expired.expire(now, &mut Vec::new());
                prop_assert_eq!(&expired, &lease, "a refusal changed something");
            }
            for effect in effects {
                match effect {
                    Effect::Acquire { ask } | Effect::Renew { ask, .. }
                    | Effect::Hold { ask, .. } | Effect::Reassert { ask, .. } => {
                        prop_assert_eq!(ask.0, seen.asked + 1);
                        seen.asked = ask.0;
                        seen.sent.push(now);
                    }
                    Effect::Start { .. } => {
                        prop_assert!(!seen.runs, "started twice");
                        seen.runs = true;
                    }
                    Effect::Drain | Effect::Stop { .. } => prop_assert!(seen.runs),
                    Effect::Claim { .. } | Effect::Release { .. } => {}
                }
            }
            if command == Command::Stopped {
                seen.runs = false;
            }
            if lease.acts(now).is_some() {
                prop_assert!(seen.runs && now < seen.carried, "acts beyond what was granted");
            }
            prop_assert!(lease.next_deadline().is_none_or(|due| due > now), "work is left");
        }
    }
}
