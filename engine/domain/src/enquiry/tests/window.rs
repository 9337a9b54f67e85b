//! The 24-hour window.

use super::*;

#[test]
fn the_window_is_told_before_and_when_it_lapses_a_minute_early() {
    let until = at(24 * H);
    check_window(
        &[(0, Do(visitor(0))), (30 * H, Wait)],
        &[
            (0, Effect::WindowOpened { until }),
            (23 * H - M, Effect::WindowClosing { until }),
            (24 * H - M, Effect::WindowClosed { by_provider: false }),
        ],
    );
}

#[test]
fn the_window_goes_by_the_providers_time_and_is_never_shortened() {
    let opened = |n, until| (n, Effect::WindowOpened { until: at(until) });
    // Redelivered late: counts from when it was written.
    check_window(&[(10 * H, Do(visitor(0)))], &[opened(10 * H, 24 * H)]);
    check_window(
        &[
            (10 * H, Do(visitor(10 * H))),
            (11 * H, Do(visitor(0))),
            (33 * H, Wait),
            (34 * H, Refused(staff(false), Refusal::WindowLapsed)),
        ],
        &[
            opened(10 * H, 34 * H),
            (33 * H - M, Effect::WindowClosing { until: at(34 * H) }),
            (34 * H - M, Effect::WindowClosed { by_provider: false }),
        ],
    );
    for counts in [Counts::Unsupported, Counts::Edit, Counts::Nothing, Counts::Echo] {
        check_window(&[(0, Do(writes(counts, 0)))], &[]);
    }
    // A provider clock ahead of ours gains nothing.
    check_window(&[(0, Do(visitor(H)))], &[opened(0, 24 * H)]);
}

#[test]
fn outside_the_window_only_templates_leave() {
    let author = Author::Auto { message: AutoMessage::Close };
    let auto = Command::WeWrote { author, template: false };
    let phone = Command::WeWrote { author: Author::Phone, template: false };
    let last = 24 * H - M;
    check(
        &off(),
        &[
            (0, Do(visitor(0))),
            (last - 1, Do(staff(false))),
            (last, Refused(staff(false), Refusal::WindowLapsed)),
            (last, Refused(auto, Refusal::WindowLapsed)),
            (last, Do(staff(true))),
            (last, Do(phone)),
            (last + 1, Do(visitor(last + 1))),
            (last + 1, Do(staff(false))),
        ],
        &[],
    );
}

#[test]
fn the_provider_is_believed_about_the_window() {
    let lapsed = |n| Do(Command::WindowLapsedByProvider { at: at(n) });
    let opened = |n, until| (n, Effect::WindowOpened { until: at(until) });
    let denied = |n| (n, Effect::WindowClosed { by_provider: true });
    check_window(
        &[
            (0, Do(visitor(0))),
            (100, lapsed(90)),
            (100, lapsed(91)),
            (101, Refused(staff(false), Refusal::WindowLapsed)),
            // Written before, delivered late.
            (102, Do(visitor(80))),
            (102, Refused(staff(false), Refusal::WindowLapsed)),
            (103, Do(visitor(103))),
            (103, Do(staff(false))),
        ],
        &[opened(0, 24 * H), denied(100), opened(103, 103 + 24 * H)],
    );
    // About a message sent before the visitor wrote.
    check_window(
        &[(0, Do(visitor(0))), (50, lapsed(0 /* not after */))],
        &[opened(0, 24 * H), denied(50)],
    );
    check_window(&[(60, Do(visitor(60))), (70, lapsed(50))], &[opened(60, 60 + 24 * H)]);
}
