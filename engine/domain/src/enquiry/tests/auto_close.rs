//! The idle clock, its notification and the closure.

use super::*;

#[test]
fn silence_is_notified_and_closed_a_grace_after_it_was_accepted() {
    check(
        &on(),
        &served(&[(130, Do(queued())), (150, Do(accepted())), (209, Wait), (400, Wait)]),
        &[send(130), close(210, true)],
    );
}

#[test]
fn closings_after_our_own_last_word_are_not_unanswered() {
    check(
        &on(),
        &served(&[(20, Do(staff(false))), (140, Do(queued())), (140, Do(accepted())), (400, Wait)]),
        &[send(140), close(200, false)],
    );
}

#[test]
fn nothing_happens_while_off_or_not_handled() {
    check(&off(), &served(&[(H, Wait)]), &[]);
    check(&on(), &[(0, Do(visitor(0))), (H, Wait)], &[]);
    check(&on(), &served(&[(100, Do(Command::Handling(false))), (H, Wait)]), &[]);
}

#[test]
fn counted_messages_restart_the_clock_and_others_do_not() {
    let auto = Command::WeWrote {
        author: Author::Auto { message: AutoMessage::Welcome },
        template: false,
    };
    for (command, restarts) in [
        (visitor(50), true),
        (writes(Counts::Unsupported, 50), true),
        (writes(Counts::Edit, 50), true),
        (writes(Counts::Echo, 50), true),
        (writes(Counts::Nothing, 50), false),
        (staff(false), true),
        (staff(true), true),
        (auto, false),
        (Command::AwaySent, false),
    ] {
        let due = if restarts { 170 } else { 130 };
        check(&on(), &served(&[(50, Do(command)), (200, Wait)]), &[send(due)]);
    }
}

#[test]
fn a_counted_message_withdraws_a_waiting_notification_and_starts_anew() {
    check(
        &on(),
        &served(&[(130, Do(queued())), (150, Do(visitor(150))), (271, Wait)]),
        &[send(130), withdraw(150), send(270)],
    );
}

#[test]
fn a_counted_message_in_the_grace_cancels_the_closure() {
    check(
        &on(),
        &served(&[
            (130, Do(queued())),
            (131, Do(accepted())),
            (190, Do(visitor(190))),
            (191, Do(accepted())),
            (309, Wait),
            (310, Wait),
        ]),
        &[send(130), send(310)],
    );
}

#[test]
fn a_message_at_the_very_end_of_the_grace_comes_too_late() {
    check(
        &on(),
        &served(&[
            (130, Do(queued())),
            (130, Do(accepted())),
            (190, Refused(visitor(190), Refusal::Closed)),
        ]),
        &[send(130), close(190, true)],
    );
}

#[test]
fn a_notification_that_fails_closes_silently_a_full_grace_later() {
    for why in [Unsent::Refused { code: 131_026 }, Unsent::Unknown, Unsent::WindowLapsed] {
        let [said, reminded] = unsent(160, why);
        check(
            &on(),
            &served(&[(130, Do(queued())), (160, Do(failed(why))), (400, Wait)]),
            &[send(130), said, reminded, close_unsent(220, true)],
        );
    }
}

#[test]
fn a_notification_that_waits_too_long_cannot_be_sent() {
    let late = 130 + 10 * M;
    let [said, reminded] = unsent(late, Unsent::Waited);
    check(
        &on(),
        &served(&[(130, Do(queued())), (H, Wait)]),
        &[send(130), withdraw(late), said, reminded, close_unsent(late + M, true)],
    );
}

#[test]
fn a_failure_after_acceptance_begins_a_silent_grace() {
    let why = Unsent::Refused { code: 131_047 };
    let [said, reminded] = unsent(180, why);
    check(
        &on(),
        &served(&[(130, Do(queued())), (131, Do(accepted())), (180, Do(failed(why))), (400, Wait)]),
        &[send(130), said, reminded, close_unsent(240, true)],
    );
}

#[test]
fn a_receipt_after_an_unknown_outcome_begins_the_grace_in_full() {
    let [said, reminded] = unsent(190, Unsent::Unknown);
    check(
        &on(),
        &served(&[
            (130, Do(queued())),
            (190, Do(failed(Unsent::Unknown))),
            (240, Do(accepted())),
            (400, Wait),
        ]),
        &[send(130), said, reminded, close(300, true)],
    );
}

#[test]
fn outcomes_of_other_messages_are_ignored() {
    let other = Command::NotificationAccepted { message: message(9) };
    let [said, reminded] = unsent(730, Unsent::Waited);
    check(
        &on(),
        &served(&[(130, Do(queued())), (140, Do(other)), (400, Wait), (731, Wait)]),
        &[send(130), withdraw(730), said, reminded],
    );
}

#[test]
fn a_hold_stops_the_clock_where_it_stands() {
    // 60 of 120 s have passed at 70; the hold ends at 1000.
    let hold = |until| Do(Command::Hold(until));
    check(&on(), &served(&[(70, hold(Some(at(1000)))), (2000, Wait)])[..], &{
        let [said, reminded] = unsent(1660, Unsent::Waited);
        [send(1060), said, reminded, close_unsent(1720, true)]
    });
    check(
        &on(),
        &served(&[(70, hold(Some(at(1000)))), (500, hold(None)), (561, Wait)]),
        &[send(560)],
    );
    check(
        &on(),
        &served(&[(70, hold(Some(at(1000)))), (500, hold(Some(at(600)))), (661, Wait)]),
        &[send(660)],
    );
}

#[test]
fn a_message_on_hold_starts_the_clock_at_the_holds_end() {
    check(
        &on(),
        &served(&[(70, Do(Command::Hold(Some(at(1000))))), (500, Do(visitor(500))), (1121, Wait)]),
        &[send(1120)],
    );
}

#[test]
fn a_hold_in_the_grace_starts_it_again_at_its_end() {
    let script = |end| {
        served(&[
            (130, Do(queued())),
            (131, Do(accepted())),
            (150, Do(Command::Hold(Some(at(1000))))),
            (500, end),
            (2000, Wait),
        ])
    };
    check(&on(), &script(Wait), &[send(130), close(1060, true)]);
    check(&on(), &script(Do(Command::Hold(None))), &[send(130), close(560, true)]);
}

#[test]
fn a_transfer_stops_the_clock_and_its_end_restarts_it() {
    check(
        &on(),
        &served(&[
            (70, Do(Command::TransferOffered(true))),
            (900, Do(visitor(900))),
            (1000, Do(Command::TransferOffered(false))),
            (1121, Wait),
        ]),
        &[send(1120)],
    );
}

#[test]
fn one_silence_gets_one_notification_even_across_a_transfer() {
    check(
        &on(),
        &served(&[
            (130, Do(queued())),
            (131, Do(accepted())),
            (150, Do(Command::TransferOffered(true))),
            (1000, Do(Command::TransferOffered(false))),
            (2000, Wait),
        ]),
        &[send(130), close(1000 + 120 + 60, true)],
    );
}

#[test]
fn a_notification_withdrawn_by_a_transfer_is_due_again_after_it() {
    check(
        &on(),
        &served(&[
            (130, Do(queued())),
            (150, Do(Command::TransferOffered(true))),
            (150, Do(failed(Unsent::Withdrawn))),
            (1000, Do(Command::TransferOffered(false))),
            (1121, Wait),
        ]),
        &[send(130), withdraw(150), send(1120)],
    );
}

#[test]
fn taking_over_restarts_the_clock() {
    check(&on(), &served(&[(100, Do(Command::Handling(true))), (221, Wait)]), &[send(220)]);
}
