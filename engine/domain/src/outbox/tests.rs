use std::time::Duration;

use super::*;
use crate::ids::{MessageId, VisitorId};
use crate::time::Timestamp;

mod held_back;

const START: u64 = 1_000_000;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(START + millis)
}

fn m(n: u128) -> MessageId {
    MessageId::from_number(n)
}

/// Message `n` to visitor `n / 100`.
fn item(n: u128, class: Priority) -> Item {
    let visitor = VisitorId::from_number(n / 100);
    Item { message: m(n), visitor, class, withdraw_at: None }
}

fn push(n: u128) -> Command {
    Command::Push(item(n, Priority::Staff))
}

fn push_as(n: u128, class: Priority) -> Command {
    Command::Push(item(n, class))
}

fn push_until(n: u128, withdraw_at: u64) -> Command {
    Command::Push(Item { withdraw_at: Some(at(withdraw_at)), ..item(n, Priority::Auto) })
}

fn took(n: u128) -> Command {
    Command::Accepted { message: m(n) }
}

fn refused(n: u128, code: i64, how: Disposition) -> Command {
    Command::Refused { message: m(n), code, how }
}

fn doubtful(n: u128) -> Command {
    Command::Ambiguous { message: m(n) }
}

fn send(n: u128, attempt: u32) -> Effect {
    Effect::Send { message: m(n), attempt }
}

fn accepted(n: u128) -> Effect {
    Effect::Accepted { message: m(n) }
}

const RETRY: Disposition = Disposition::Retry {
    after: Duration::from_secs(1),
    named: false,
    slow_number: false,
    max_tries: 3,
};

type Log = Vec<(u64, Effect)>;

/// Runs a script, expiring whenever it is wanted; all effects with their times.
fn run(limits: Limits, script: &[(u64, Command)]) -> (Outbox, Log) {
    let mut outbox = Outbox::new(limits);
    let mut done = Vec::new();
    let mut effects = Vec::new();
    for (time, command) in script {
        while let Some(due) = outbox.next_deadline()
            && due < at(*time)
        {
            outbox.expire(due, &mut effects);
            done.extend(effects.drain(..).map(|effect| (due.millis() - START, effect)));
        }
        let judged = outbox.apply(at(*time), *command, &mut effects);
        assert_eq!(judged, Ok(()), "{time}: {command:?}");
        done.extend(effects.drain(..).map(|effect| (*time, effect)));
    }
    (outbox, done)
}

/// Checks all effects but `PutBack`, whose time depends on the message's id.
#[track_caller]
fn check(script: &[(u64, Command)], expected: &[(u64, Effect)]) {
    check_within(Limits::default(), script, expected);
}

#[track_caller]
fn check_within(limits: Limits, script: &[(u64, Command)], expected: &[(u64, Effect)]) {
    let mut done = run(limits, script).1;
    done.retain(|(_, effect)| !matches!(effect, Effect::PutBack { .. }));
    assert_eq!(done, expected);
}

#[track_caller]
fn check_refused(script: &[(u64, Command)], last: Command, why: Refusal) {
    let limits = Limits { queued_max: 3, ..Limits::default() };
    let (mut outbox, _) = run(limits, script);
    assert_eq!(outbox.apply(at(100_000), last, &mut Vec::new()), Err(why));
}

#[test]
fn one_visitor_is_sent_to_in_order_one_at_a_time() {
    check(
        &[(0, push(100)), (1, push(101)), (2, push(102)), (50, took(100)), (90, took(101))],
        &[
            (0, send(100, 1)),
            (50, accepted(100)),
            (50, send(101, 1)),
            (90, accepted(101)),
            (90, send(102, 1)),
        ],
    );
}

#[test]
fn visitors_are_sent_to_side_by_side_up_to_the_limit() {
    let limits = Limits { in_flight_max: 2, ..Limits::default() };
    check_within(
        limits,
        &[(0, push(100)), (0, push(200)), (0, push(300)), (10, took(200))],
        &[(0, send(100, 1)), (0, send(200, 1)), (10, accepted(200)), (10, send(300, 1))],
    );
}

#[test]
fn urgent_classes_go_first_and_a_line_is_as_urgent_as_its_most_urgent_message() {
    let limits = Limits { in_flight_max: 1, ..Limits::default() };
    check_within(
        limits,
        &[
            (0, push(900)),
            (1, push_as(100, Priority::Campaign)),
            (2, push_as(200, Priority::Auto)),
            (3, push_as(300, Priority::Bot)),
            (4, push(400)),
            // Lifts its visitor's line above the bot's, without passing the message before it.
            (5, push(101)),
            (10, took(900)),
            (11, took(100)),
            (12, took(400)),
            (13, took(101)),
            (14, took(300)),
        ],
        &[
            (0, send(900, 1)),
            (10, accepted(900)),
            (10, send(100, 1)),
            (11, accepted(100)),
            (11, send(400, 1)),
            (12, accepted(400)),
            (12, send(101, 1)),
            (13, accepted(101)),
            (13, send(300, 1)),
            (14, accepted(300)),
            (14, send(200, 1)),
        ],
    );
}

#[test]
fn a_retry_keeps_its_place_and_is_bounded() {
    let (_, done) = run(
        Limits::default(),
        &[
            (0, push(100)),
            (1, push(101)),
            (10, refused(100, 2, RETRY)),
            (5000, refused(100, 2, RETRY)),
            (50_000, refused(100, 2, RETRY)),
        ],
    );
    let kinds: Vec<Effect> = done.iter().map(|&(_, effect)| effect).collect();
    let [_, Effect::PutBack { until: first, .. }, _, Effect::PutBack { until: second, .. }, ..] =
        kinds[..]
    else {
        panic!("{kinds:?}");
    };
    assert!(first.since(at(10)) >= Duration::from_secs(1), "{first:?}");
    assert!(second.since(at(5000)) >= Duration::from_secs(2), "{second:?}");
    assert_eq!(kinds[2], send(100, 2));
    assert_eq!(done[2].0, first.millis() - START);
    assert_eq!(
        kinds[4..],
        [send(100, 3), Effect::GiveUp { message: m(100), code: Some(2) }, send(101, 1)]
    );
}

#[test]
fn a_final_refusal_gives_up_at_once_and_the_line_goes_on() {
    check(
        &[(0, push(100)), (0, push(101)), (10, refused(100, 131_026, Disposition::Final))],
        &[
            (0, send(100, 1)),
            (10, Effect::GiveUp { message: m(100), code: Some(131_026) }),
            (10, send(101, 1)),
        ],
    );
}

#[test]
fn a_pair_refusal_holds_up_this_visitor_alone() {
    let pair = || refused(100, 131_056, Disposition::PairRate);
    check(
        &[
            (0, push(100)),
            (0, push(101)),
            (10, pair()),
            (20, push(200)),
            (30, took(200)),
            (7000, pair()),
            (13_001, pair()),
            (29_500, pair()),
            (93_600, took(100)),
        ],
        &[
            (0, send(100, 1)),
            (20, send(200, 1)),
            (30, accepted(200)),
            // 1 s asked for by the provider, 6 s by the pair's pace.
            (6010, send(100, 2)),
            // 4 s and 6 s; then 16 s and 64 s.
            (13_000, send(100, 3)),
            (29_001, send(100, 4)),
            (93_500, send(100, 5)),
            (93_600, accepted(100)),
            (93_600, send(101, 1)),
        ],
    );
}

#[test]
fn a_pair_refusal_outlives_the_message_that_met_it() {
    let limits = Limits { pair_every: Duration::from_millis(1), ..Limits::default() };
    check_within(
        limits,
        &[
            (0, push(100)),
            (0, push(101)),
            (10, refused(100, 131_056, Disposition::PairRate)),
            (20, Command::Withdraw { message: m(100) }),
            (2000, took(101)),
        ],
        &[
            (0, send(100, 1)),
            (20, Effect::Withdrawn { message: m(100) }),
            (1010, send(101, 1)),
            (2000, accepted(101)),
        ],
    );
}

#[test]
fn a_burst_to_one_visitor_is_paced_afterwards() {
    let mut script = Vec::new();
    for n in 0..47 {
        script.push((0, push(100 + n)));
    }
    for n in 0..46 {
        script.push((if n < 45 { 1000 } else { 7000 }, took(100 + n)));
    }
    script.push((20_000, Command::Inbound));
    let done = run(Limits::default(), &script).1;
    let sends: Vec<u64> = done
        .iter()
        .filter(|(_, effect)| matches!(effect, Effect::Send { .. }))
        .map(|&(time, _)| time)
        .collect();
    assert_eq!(sends[..1], [0]);
    assert!(sends[1..45].iter().all(|&time| time == 1000));
    assert_eq!(sends[45..], [6000, 12_000]);
}

#[test]
fn a_doubtful_outcome_waits_for_its_receipt_then_the_line_goes_on() {
    check(
        &[(0, push(100)), (0, push(101)), (10, doubtful(100)), (70_000, Command::Inbound)],
        &[(0, send(100, 1)), (60_010, Effect::Unknown { message: m(100) }), (60_010, send(101, 1))],
    );
    let seen = || Command::ReceiptSeen { message: m(100) };
    check(
        &[(0, push(100)), (0, push(101)), (10, doubtful(100)), (500, seen())],
        &[(0, send(100, 1)), (500, accepted(100)), (500, send(101, 1))],
    );
    // The receipt may overtake the answer.
    check(
        &[(0, push(100)), (5, seen()), (10, doubtful(100))],
        &[(0, send(100, 1)), (10, accepted(100))],
    );
    check(
        &[(0, push(100)), (5, seen()), (10, refused(100, 2, RETRY))],
        &[(0, send(100, 1)), (10, accepted(100))],
    );
}

#[test]
fn a_receipt_for_what_was_put_back_keeps_it_from_going_twice() {
    check(
        &[
            (0, push(100)),
            (10, refused(100, 2, RETRY)),
            (20, Command::ReceiptSeen { message: m(100) }),
            (99_000, Command::Inbound),
        ],
        &[(0, send(100, 1)), (20, accepted(100))],
    );
}

#[test]
fn what_never_left_is_sent_again_until_its_tries_are_over() {
    let limits = Limits { unsent_tries_max: 2, ..Limits::default() };
    let not_sent = || Command::NotSent { message: m(100) };
    let (_, done) = run(limits, &[(0, push(100)), (10, not_sent()), (9000, not_sent())]);
    assert!(matches!(done[1], (10, Effect::PutBack { code: None, .. })));
    assert_eq!(done[2].1, send(100, 2));
    assert_eq!(done[3], (9000, Effect::GiveUp { message: m(100), code: None }));
}

#[test]
fn a_message_is_withdrawn_when_its_time_is_over_unless_it_has_left() {
    let withdrawn = |n| Effect::Withdrawn { message: m(n) };
    check(
        &[(0, push(100)), (0, push_until(101, 600)), (700, took(100))],
        &[(0, send(100, 1)), (600, withdrawn(101)), (700, accepted(100))],
    );
    check(
        &[(0, push_until(100, 600)), (700, took(100))],
        &[(0, send(100, 1)), (700, accepted(100))],
    );
    // Not tried again afterwards, whether put back before or after its time.
    for outcome in [10, 700] {
        let end = outcome.max(600);
        check(
            &[
                (0, push_until(100, 600)),
                (outcome, refused(100, 2, RETRY)),
                (9000, Command::Inbound),
            ],
            &[(0, send(100, 1)), (end, withdrawn(100))],
        );
    }
    check(
        &[
            (0, push(100)),
            (1, push(101)),
            (2, Command::Withdraw { message: m(101) }),
            (3, took(100)),
        ],
        &[(0, send(100, 1)), (2, withdrawn(101)), (3, accepted(100))],
    );
}

#[test]
fn withdrawing_a_head_that_waits_lets_the_next_one_go() {
    check(
        &[
            (0, push(100)),
            (0, push(101)),
            (10, refused(100, 2, RETRY)),
            (20, Command::Withdraw { message: m(100) }),
        ],
        &[(0, send(100, 1)), (20, Effect::Withdrawn { message: m(100) }), (20, send(101, 1))],
    );
}

#[test]
fn a_stopped_channel_keeps_everything_and_probes_slowly() {
    let stop = |n| refused(n, 190, Disposition::StopChannel);
    check(
        &[
            (0, push(100)),
            (0, push(200)),
            (10, stop(100)),
            (11, stop(200)),
            (20, push(300)),
            (60_020, stop(100)),
            (120_020, took(100)),
            (120_030, took(200)),
        ],
        &[
            (0, send(100, 1)),
            (0, send(200, 1)),
            (10, Effect::StopChannel { why: StopWhy::Refused { code: 190 } }),
            (60_010, Effect::ResumeProbe { message: m(100) }),
            (60_010, send(100, 2)),
            (120_010, Effect::ResumeProbe { message: m(100) }),
            (120_010, send(100, 3)),
            (120_020, Effect::Resumed),
            (120_020, accepted(100)),
            (120_020, send(200, 2)),
            (120_020, send(300, 1)),
            (120_030, accepted(200)),
        ],
    );
    check(
        &[(0, push(100)), (10, stop(100)), (20, Command::Resume)],
        &[
            (0, send(100, 1)),
            (10, Effect::StopChannel { why: StopWhy::Refused { code: 190 } }),
            (20, Effect::Resumed),
            (20, send(100, 2)),
        ],
    );
}

#[test]
fn silence_of_the_provider_stops_the_channel_before_everything_is_lost() {
    let limits = Limits { doubts_max: 2, ..Limits::default() };
    check_within(
        limits,
        &[
            (0, push(100)),
            (0, push(200)),
            (10, doubtful(100)),
            (20, doubtful(200)),
            (30, push(300)),
        ],
        &[
            (0, send(100, 1)),
            (0, send(200, 1)),
            (20, Effect::StopChannel { why: StopWhy::NoAnswers }),
        ],
    );
}

#[test]
fn a_slowed_number_pauses_for_everybody() {
    let after = Duration::from_secs(2);
    let how = Disposition::Retry { after, named: false, slow_number: true, max_tries: 3 };
    check(
        &[(0, push(100)), (10, refused(100, 130_429, how)), (20, push(200)), (2011, took(200))],
        &[(0, send(100, 1)), (2010, send(200, 1)), (2011, accepted(200))],
    );
}

#[test]
fn the_numbers_limit_counts_what_comes_in() {
    let limits = Limits { per_second: 10, ..Limits::default() };
    let mut script: Vec<(u64, Command)> = (0..9).map(|_| (0, Command::Inbound)).collect();
    script.extend([(1, push(100)), (2, push(200)), (1500, Command::Inbound)]);
    check_within(limits, &script, &[(1, send(100, 1)), (1000, send(200, 1))]);
}

#[test]
fn after_a_restart_what_was_being_sent_is_in_doubt_and_the_rest_waits_behind_it() {
    check(
        &[
            (0, Command::PushAmbiguous(item(100, Priority::Staff))),
            (0, push(101)),
            (0, push(200)),
            (60_001, Command::Inbound),
        ],
        &[(0, send(200, 1)), (60_000, Effect::Unknown { message: m(100) }), (60_000, send(101, 1))],
    );
}

#[test]
fn what_cannot_be_is_refused() {
    let sent = [(0, push(100))];
    let full = [(0, push(100)), (0, push(101)), (0, push(102))];
    check_refused(&full, push(103), Refusal::Full);
    check_refused(&sent, push(100), Refusal::AlreadyHere);
    check_refused(&sent, Command::Withdraw { message: m(100) }, Refusal::HasLeft);
    check_refused(&sent, Command::Withdraw { message: m(7) }, Refusal::NotHere);
    check_refused(&sent, took(7), Refusal::NotHere);
    check_refused(&[(0, push(100)), (1, push(101))], took(101), Refusal::NotInFlight);
    check_refused(&sent, Command::PushAmbiguous(item(101, Priority::Staff)), Refusal::LineBusy);
}

#[test]
fn an_emptied_outbox_forgets_its_visitors() {
    let mut script: Vec<(u64, Command)> = Vec::new();
    for n in 1..20 {
        script.extend([(u64::try_from(n).unwrap(), push(n * 100)), (500, took(n * 100))]);
    }
    script.sort_by_key(|&(time, _)| time);
    script.push((60_000, Command::Inbound));
    let (outbox, _) = run(Limits::default(), &script);
    assert!(outbox.is_empty() && outbox.next_deadline().is_none());
    assert_eq!(outbox.lines.len(), 0);
}
