//! Modes, changed settings, restarts, and what is kept.

use super::*;

#[test]
fn a_lapsed_window_makes_the_idle_time_longer_and_the_closing_silent() {
    // Handled again two days later: nothing for a day, and no free-form notification then.
    let since = 48 * H;
    let [said, reminded] = unsent(since + 24 * H, Unsent::WindowLapsed);
    check(
        &on(),
        &[(0, Do(visitor(0))), (since, Do(Command::Handling(true))), (90 * H, Wait)],
        &[said, reminded, close_unsent(since + 24 * H + M, true)],
    );
}

#[test]
fn a_template_restarts_the_longer_idle_time() {
    let since = 48 * H;
    let [said, reminded] = unsent(since + 34 * H, Unsent::WindowLapsed);
    check(
        &on(),
        &[
            (0, Do(visitor(0))),
            (since, Do(Command::Handling(true))),
            (since + 10 * H, Do(staff(true))),
            (90 * H, Wait),
        ],
        &[said, reminded, close_unsent(since + 34 * H + M, false)],
    );
}

#[test]
fn visitor_silent_runs_only_after_our_own_word() {
    check(
        &visitor_silent(),
        &served(&[
            (H, Wait),
            (H, Do(staff(false))),
            (H + 120, Do(queued())),
            (H + 130, Do(accepted())),
            (2 * H, Wait),
        ]),
        &[
            (70, Effect::RemindOwner { why: RemindWhy::VisitorWaits }),
            send(H + 120),
            close(H + 190, false),
        ],
    );
}

#[test]
fn new_settings_restart_the_clock_only_if_switched_on_or_idle_changed() {
    let longer = AutoClose { idle: secs(3 * M), ..on() };
    let other_grace = AutoClose { grace: secs(5 * M), lapsed_idle: secs(30 * H), ..on() };
    check(&off(), &served(&[(1000, Set(on())), (1121, Wait)]), &[send(1120)]);
    check(&on(), &served(&[(100, Set(longer)), (281, Wait)]), &[send(280)]);
    let withdraw_at = at(130) + NOTIFICATION_PATIENCE;
    check(
        &on(),
        &served(&[(100, Set(other_grace)), (131, Wait)]),
        &[(130, Effect::SendNotification { grace: secs(5 * M), withdraw_at })],
    );
    check(&on(), &served(&[(100, Set(off())), (H, Wait)]), &[]);
}

#[test]
fn new_settings_do_not_touch_an_enquiry_already_notified() {
    let other = AutoClose { idle: secs(M), grace: secs(1), ..on() };
    for new in [off(), other] {
        check(
            &on(),
            &served(&[
                (130, Do(queued())),
                (140, Set(new.clone())),
                (150, Do(accepted())),
                (160, Set(new)),
                (400, Wait),
            ]),
            &[send(130), close(210, true)],
        );
    }
}

#[test]
fn after_a_start_silence_gets_a_courtesy_and_graces_start_again() {
    // min(idle, 5 min) more than the start at 10,000 s.
    check(&on(), &served(&[(10_000, Do(Command::Recovered)), (10_121, Wait)]), &[send(10_120)]);
    let slow = AutoClose { idle: secs(H), ..on() };
    check(&slow, &served(&[(10_000, Do(Command::Recovered)), (10_301, Wait)]), &[send(10_300)]);
    check(
        &on(),
        &served(&[
            (130, Do(queued())),
            (131, Do(accepted())),
            (10_000, Do(Command::Recovered)),
            (10_059, Wait),
            (10_500, Wait),
        ]),
        &[send(130), close(10_060, true)],
    );
}

#[test]
fn after_a_start_a_notification_on_its_way_keeps_its_patience() {
    check(
        &on(),
        &served(&[
            (130, Do(queued())),
            (10_000, Do(Command::Recovered)),
            (10_500, Do(accepted())),
            (10_600, Wait),
        ]),
        &[send(130), close(10_560, true)],
    );
}

#[test]
fn a_stale_enquiry_closes_silently_unless_on_hold() {
    let week = 7 * 24 * H;
    let stale = |n| (n, Effect::Close { by: Closer::Stale, silent: true });
    check(&on(), &[(0, Do(visitor(0))), (2 * week, Wait)], &[stale(week)]);
    check(
        &on(),
        &[(0, Do(visitor(0))), (5, Do(Command::Hold(Some(at(week + 5))))), (3 * week, Wait)],
        &[stale(2 * week + 5)],
    );
    check(
        &on(),
        &[(0, Do(visitor(0))), (2 * week, Do(Command::Recovered)), (2 * week + 301, Wait)],
        &[stale(2 * week + 300)],
    );
}

#[test]
fn closing_withdraws_what_waits() {
    check(
        &on(),
        &served(&[
            (130, Do(queued())),
            (140, Do(Command::Closed)),
            (150, Refused(accepted(), Refusal::Closed)),
            (H, Wait),
        ]),
        &[send(130), withdraw(140)],
    );
}

#[test]
fn the_state_survives_being_kept_and_stays_small() {
    let settings = on();
    let terms = terms(&settings);
    let mut enquiry = Enquiry::new(at(0), None);
    let mut effects = Vec::new();
    let script =
        [(0, visitor(0)), (1, Command::Handling(true)), (121, queued()), (122, accepted())];
    for (n, command) in script {
        enquiry.apply(&terms, at(n), command, &mut effects).unwrap();
        let json = serde_json::to_string(enquiry.kept()).unwrap();
        assert_eq!(Enquiry::restore(serde_json::from_str(&json).unwrap()), enquiry, "{json}");
    }
    assert!(size_of::<Enquiry>() <= 192, "{}", size_of::<Enquiry>());
}
