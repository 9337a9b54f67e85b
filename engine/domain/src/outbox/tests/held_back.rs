//! Messages that the provider wants later, which stand beside their line meanwhile.

use super::*;

#[test]
fn a_message_held_back_lets_the_others_pass_and_comes_back_once() {
    let held = || refused(100, 131_049, Disposition::HoldBack(Duration::from_secs(100)));
    check(
        &[(0, push(100)), (0, push(101)), (10, held()), (20, took(101)), (100_020, held())],
        &[
            (0, send(100, 1)),
            (10, send(101, 1)),
            (20, accepted(101)),
            (100_010, send(100, 2)),
            (100_020, Effect::GiveUp { message: m(100), code: Some(131_049) }),
        ],
    );
    // Long after its line was forgotten.
    check(
        &[(0, push(100)), (10, held()), (90_000, Command::Withdraw { message: m(100) })],
        &[(0, send(100, 1)), (90_000, Effect::Withdrawn { message: m(100) })],
    );
}

#[test]
fn what_a_line_remembered_is_forgotten_whoever_asks_meanwhile() {
    let limits = Limits { pair_every: Duration::from_millis(1), ..Limits::default() };
    let pair = || refused(100, 131_056, Disposition::PairRate);
    check_within(
        limits,
        &[
            (0, push(100)),
            (10, pair()),
            (1020, refused(100, 131_049, Disposition::HoldBack(Duration::from_secs(100)))),
            (101_030, pair()),
            (103_000, took(100)),
        ],
        &[
            (0, send(100, 1)),
            (1010, send(100, 2)),
            (101_020, send(100, 3)),
            // The first refusal again, not the second.
            (102_030, send(100, 4)),
            (103_000, accepted(100)),
        ],
    );
}
