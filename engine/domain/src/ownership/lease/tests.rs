//! One lease, millisecond by millisecond.

use std::time::Duration;

use super::*;
use crate::ownership::Epoch;
use crate::time::Timestamp;

/// hold 4,250 ms, renewed every 1,666, patience 1,000, pause 250, asked every 500.
const TERMS: Terms = Terms::new(Duration::from_secs(5));

/// `want` (as the first), `want 2` (after two others), `doubt`, `give up`, `acquired 1`, `held 400`, `renewed`,
/// `missing`, `holding`, `passed`, `failed`, `claimed 1`, `not claimed 1`, `superseded 1`, `stopped`, `tick`;
/// an answer is to the last question, `late renewed` to the one before.
fn command(text: &str, asked: u64) -> Option<Command> {
    let (verb, rest) = text.rsplit_once(' ').unwrap_or((text, ""));
    let (verb, number) = rest.parse::<u64>().map_or((text, 0), |number| (verb, number));
    let (verb, ask) = verb.strip_prefix("late ").map_or((verb, asked), |verb| (verb, asked - 1));
    let (epoch, millis) = (Epoch(number), Duration::from_millis(number));
    let hear = |answer| Command::Hear { ask: Ask(ask), answer };
    Some(match verb {
        "want" => Command::Want { rank: usize::try_from(number).unwrap() },
        "doubt" => Command::Doubt,
        "give up" => Command::GiveUp,
        "acquired" => hear(Answer::Acquired { epoch, over: Epoch(0) }),
        "held" => hear(Answer::Held { left: millis }),
        "renewed" => hear(Answer::Renewed),
        "missing" => hear(Answer::Missing),
        "holding" => hear(Answer::Holding),
        "passed" => hear(Answer::Superseded),
        "failed" => hear(Answer::Failed),
        "claimed" => Command::Claimed { epoch },
        "not claimed" => Command::NotClaimed { epoch },
        "superseded" => Command::Superseded { epoch },
        "stopped" => Command::Stopped,
        "tick" => return None,
        other => panic!("no step {other}"),
    })
}

fn told(effect: &Effect) -> String {
    match effect {
        Effect::Acquire { .. } => "acquire".to_owned(),
        Effect::Renew { epoch, .. } => format!("renew {epoch}"),
        Effect::Hold { epoch, .. } => format!("hold {epoch}"),
        Effect::Reassert { epoch, .. } => format!("reassert {epoch}"),
        Effect::Claim { epoch, .. } => format!("claim {epoch}"),
        Effect::Start { epoch } => format!("start {epoch}"),
        Effect::Drain => "drain".to_owned(),
        Effect::Stop { why } => format!("stop ({why:?})"),
        Effect::Release { epoch } => format!("release {epoch}"),
    }
}

fn asked_by(effect: &Effect) -> Option<u64> {
    match effect {
        Effect::Acquire { ask }
        | Effect::Renew { ask, .. }
        | Effect::Hold { ask, .. }
        | Effect::Reassert { ask, .. } => Some(ask.0),
        Effect::Claim { .. }
        | Effect::Start { .. }
        | Effect::Drain
        | Effect::Stop { .. }
        | Effect::Release { .. } => None,
    }
}

/// Steps with their millisecond, what each tells, and whether the node acts after it.
#[track_caller]
fn check(what: &str, script: &[(u64, &str, &str, bool)]) {
    let mut lease = Lease::new(Timestamp::default(), TERMS);
    let mut asked = 0;
    for &(millis, step, expected, acts) in script {
        let now = Timestamp::from_millis(millis);
        let mut effects = Vec::new();
        let mut outcome = Vec::new();
        match command(step, asked) {
            Some(command) => {
                let refused = lease.apply(now, command, &mut effects).err();
                outcome.extend(refused.map(|refusal| format!("{refusal:?}")));
            }
            None => lease.expire(now, &mut effects),
        }
        outcome.extend(effects.iter().map(told));
        assert_eq!(outcome.join(", "), expected, "{what}: {step} at {millis}");
        assert_eq!(lease.acts(now).is_some(), acts, "{what}: acts after {step} at {millis}");
        asked = effects.iter().filter_map(asked_by).next_back().unwrap_or(asked);
        assert!(lease.next_deadline().is_none_or(|due| due > now), "{what}: {step} left work");
    }
}

/// Up to owning under epoch 1, asked for at 0.
const OWNS: [(u64, &str, &str, bool); 3] = [
    (0, "want", "acquire", false),
    (100, "acquired 1", "claim 1", false),
    (200, "claimed 1", "start 1", true),
];

#[track_caller]
fn check_owner(what: &str, script: &[(u64, &str, &str, bool)]) {
    check(what, &[&OWNS, script].concat());
}

#[test]
fn who_is_not_wanted_asks_for_nothing() {
    check("never", &[(0, "tick", "", false), (100_000, "tick", "", false)]);
    check(
        "wanted and given up",
        &[
            (0, "want 1", "", false),
            (249, "tick", "", false),
            (250, "tick", "acquire", false),
            (310, "give up", "", false),
            (320, "acquired 1", "Stale", false),
            (90_000, "tick", "", false),
        ],
    );
}

#[test]
fn a_lease_is_counted_from_when_it_was_asked_for() {
    check_owner(
        "renewed in time",
        &[
            (1_665, "tick", "", true),
            (1_666, "tick", "renew 1", true),
            (1_900, "renewed", "", true),
            (3_332, "tick", "renew 1", true),
            (3_340, "renewed", "", true),
        ],
    );
    check_owner(
        "never answered",
        &[
            (1_666, "tick", "renew 1", true),
            (2_666, "tick", "hold 1", true),
            (2_700, "late renewed", "Stale", true),
            (3_666, "tick", "renew 1", true),
            (4_249, "tick", "", true),
            (4_250, "tick", "stop (Over)", false),
            (4_260, "renewed", "Stale", false),
            (9_999, "tick", "", false),
            (10_000, "stopped", "acquire", false),
        ],
    );
    check_owner("paused beyond it", &[(60_000, "renewed", "Stale, stop (Over)", false)]);
}

#[test]
fn nobody_acts_before_the_store_has_taken_the_epoch() {
    check(
        "another was faster",
        &[
            (0, "want", "acquire", false),
            (100, "acquired 7", "claim 7", false),
            (200, "claimed 6", "Stale", false),
            (300, "not claimed 7", "", false),
            (550, "tick", "acquire", false),
        ],
    );
    check(
        "slowly",
        &[
            (0, "want", "acquire", false),
            (100, "acquired 7", "claim 7", false),
            (3_000, "claimed 7", "start 7, renew 7", true),
            (3_100, "renewed", "", true),
            (7_249, "tick", "renew 7", true),
        ],
    );
    check(
        "the lease is over before",
        &[
            (0, "want", "acquire", false),
            (100, "acquired 7", "claim 7", false),
            (1_666, "tick", "", false),
            (4_249, "tick", "", false),
            (4_250, "claimed 7", "Stale", false),
            (4_500, "tick", "acquire", false),
        ],
    );
}

#[test]
fn who_finds_it_held_asks_again_when_it_may_be_free() {
    check(
        "held",
        &[
            (0, "want", "acquire", false),
            (10, "held 4000", "", false),
            (510, "tick", "acquire", false),
            (520, "held 20", "", false),
            (540, "tick", "acquire", false),
            (1_540, "tick", "", false),
            (1_790, "tick", "acquire", false),
            (1_800, "failed", "", false),
            (2_050, "tick", "acquire", false),
        ],
    );
}

#[test]
fn who_comes_later_in_the_draw_looks_more_seldom() {
    for (rank, patience, every) in
        [(1, 250, 2_000), (2, 500, 8_000), (3, 750, 32_000), (9, 1_000, 32_000)]
    {
        check(
            "all is well",
            &[
                (0, &*format!("want {rank}"), "", false),
                (patience, "tick", "acquire", false),
                (patience + 10, "held 4000", "", false),
                (patience + 9 + every, "tick", "", false),
                (patience + 10 + every, "tick", "acquire", false),
                (patience + 20 + every, "held 2500", "", false),
                (patience + 19 + 2 * every, "tick", "", false),
                (patience + 20 + 2 * every, "tick", "acquire", false),
                (patience + 30 + 2 * every, "failed", "", false),
                (patience + 29 + 3 * every, "tick", "", false),
                (patience + 30 + 3 * every, "tick", "acquire", false),
            ],
        );
    }
}

/// After two others, told at 510 that it is held for four seconds: it would look at 8,510.
const LOOKS: [(u64, &str, &str, bool); 3] =
    [(0, "want 2", "", false), (500, "tick", "acquire", false), (510, "held 4000", "", false)];

#[track_caller]
fn check_third(what: &str, script: &[(u64, &str, &str, bool)]) {
    check(what, &[&LOOKS, script].concat());
}

#[test]
fn where_something_is_wrong_everybody_asks_often() {
    check_third(
        "in doubt, and not more often than the first",
        &[
            (600, "doubt", "", false),
            (1_009, "doubt", "", false),
            (1_010, "tick", "acquire", false),
            (1_020, "held 3500", "", false),
            (3_000, "tick", "", false),
            (3_000, "doubt", "acquire", false),
            (3_001, "doubt", "", false),
            (3_010, "held 3000", "", false),
            (11_009, "tick", "", false),
            (11_010, "tick", "acquire", false),
        ],
    );
    check_third(
        "of a lease that is not renewed, and after those before it",
        &[
            (8_510, "tick", "acquire", false),
            (8_520, "held 2499", "", false),
            (9_020, "tick", "acquire", false),
            (9_030, "held 100", "", false),
            (9_629, "tick", "", false),
            (9_630, "tick", "acquire", false),
            (9_640, "acquired 1", "claim 1", false),
        ],
    );
    check(
        "the second after the first",
        &[
            (0, "want 1", "", false),
            (250, "tick", "acquire", false),
            (260, "held 100", "", false),
            (609, "tick", "", false),
            (610, "tick", "acquire", false),
        ],
    );
    check_third(
        "once it is the first",
        &[
            (700, "want 3", "", false),
            (800, "want", "", false),
            (1_010, "tick", "acquire", false),
            (1_020, "held 4000", "", false),
            (1_520, "tick", "acquire", false),
        ],
    );
}

#[test]
fn what_was_handed_on_is_left_to_the_next_one() {
    check_owner(
        "whoever doubts",
        &[
            (300, "give up", "drain", true),
            (400, "stopped", "release 1", false),
            (500, "want 1", "", false),
            (600, "doubt", "", false),
            (700, "want", "", false),
            (5_399, "doubt", "", false),
            (5_400, "tick", "acquire", false),
        ],
    );
}

#[test]
fn a_service_given_up_is_drained_and_then_released() {
    check_owner(
        "in order",
        &[
            (300, "give up", "drain", true),
            (1_666, "tick", "renew 1", true),
            (1_700, "stopped", "release 1", false),
            (1_701, "renewed", "Stale", false),
            (60_000, "tick", "", false),
        ],
    );
    check_owner(
        "too slowly",
        &[
            (300, "give up", "drain", true),
            (4_250, "tick", "stop (Over)", false),
            (4_300, "stopped", "", false),
        ],
    );
    check(
        "before it began",
        &[
            (0, "want", "acquire", false),
            (100, "acquired 1", "claim 1", false),
            (150, "give up", "", false),
            (200, "claimed 1", "Stale", false),
        ],
    );
}

#[test]
fn whose_epoch_is_passed_stops_at_once() {
    check_owner("by a commit", &[(900, "superseded 1", "stop (Superseded)", false)]);
    check_owner("by one from long ago", &[(900, "superseded 0", "Stale", true)]);
    check_owner(
        "by the store, once Redis does not know of it",
        &[
            (1_666, "tick", "renew 1", true),
            (1_670, "missing", "hold 1", true),
            (1_680, "passed", "stop (Superseded)", false),
        ],
    );
}

#[test]
fn a_redis_that_forgot_is_told_again_by_the_owner_alone() {
    check_owner(
        "still the store's",
        &[
            (1_666, "tick", "renew 1", true),
            (1_670, "missing", "hold 1", true),
            (1_680, "holding", "reassert 1", true),
            (1_690, "renewed", "", true),
            (3_345, "tick", "", true),
            (3_346, "tick", "renew 1", true),
        ],
    );
    check_owner(
        "the store is not to be asked",
        &[
            (1_666, "tick", "renew 1", true),
            (1_670, "missing", "hold 1", true),
            (1_680, "failed", "", true),
            (1_930, "tick", "renew 1", true),
            (1_940, "missing", "hold 1", true),
            (2_940, "tick", "renew 1", true),
            (3_940, "tick", "hold 1", true),
            (4_249, "tick", "", true),
            (4_250, "tick", "stop (Over)", false),
        ],
    );
}

#[test]
fn without_redis_the_owner_goes_on_as_long_as_the_store_holds_it() {
    let refused = [
        (1_666, "tick", "renew 1", true),
        (1_666, "failed", "hold 1", true),
        (1_700, "holding", "reassert 1", true),
        (1_700, "failed", "", true),
        (2_200, "tick", "reassert 1", true),
        (2_200, "failed", "", true),
        (2_700, "tick", "reassert 1", true),
        (2_700, "failed", "", true),
        (3_200, "tick", "reassert 1", true),
        (3_200, "failed", "", true),
        (3_332, "tick", "hold 1", true),
        (3_400, "holding", "", true),
    ];
    check_owner(
        "and tells Redis once it is back",
        &[
            &refused[..],
            &[
                (3_832, "tick", "reassert 1", true),
                (3_840, "renewed", "", true),
                (5_497, "tick", "", true),
                (5_498, "tick", "renew 1", true),
            ],
        ]
        .concat(),
    );
    check_owner(
        "until the store is gone too",
        &[
            &refused[..],
            &[
                (3_832, "tick", "reassert 1", true),
                (3_840, "failed", "", true),
                (4_998, "tick", "hold 1", true),
                (5_000, "failed", "", true),
                (5_250, "tick", "hold 1", true),
                (6_250, "tick", "hold 1", true),
                (7_250, "tick", "hold 1", true),
                (7_400, "late holding", "Stale", true),
                (7_581, "tick", "", true),
                (7_582, "tick", "stop (Over)", false),
            ],
        ]
        .concat(),
    );
    check_owner(
        "until another has claimed it",
        &[
            &refused[..],
            &[(4_998, "tick", "hold 1", true), (5_000, "passed", "stop (Superseded)", false)],
        ]
        .concat(),
    );
}

#[test]
fn a_redis_that_is_silent_keeps_nobody_from_asking_the_store() {
    check_owner(
        "a hold comes before what Redis may have to say",
        &[
            (1_666, "tick", "renew 1", true),
            (2_666, "tick", "hold 1", true),
            (2_700, "holding", "reassert 1", true),
            (3_700, "tick", "reassert 1", true),
            (4_332, "tick", "hold 1", true),
            (4_340, "late renewed", "Stale", true),
            (4_350, "holding", "", true),
            (4_832, "tick", "reassert 1", true),
        ],
    );
    check_owner(
        "nor from handing over",
        &[
            (1_000, "give up", "drain", true),
            (1_666, "tick", "renew 1", true),
            (2_666, "tick", "hold 1", true),
            (2_700, "holding", "reassert 1", true),
            (2_800, "stopped", "release 1", false),
            (2_900, "renewed", "Stale", false),
        ],
    );
}
