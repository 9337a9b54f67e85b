//! Scripts and what they lead to.

mod auto_close;
mod terms;
mod window;

use std::time::Duration;

use super::*;
use crate::floor::event::Closer;
use crate::ids::{MessageId, StaffId};
use crate::message::{Author, AutoMessage, Counts};
use crate::settings::{AutoClose, AutoCloseWhen};
use crate::time::Timestamp;

const M: u64 = 60;
const H: u64 = 60 * M;
/// All scripts begin here, so that "a day before" exists.
const START: u64 = 100 * 24 * H;

/// One line of a script, at a number of seconds.
#[derive(Clone, Debug)]
enum Line {
    Do(Command),
    /// The command is refused thus.
    Refused(Command, Refusal),
    /// New settings.
    Set(AutoClose),
    /// Nothing but the time passing.
    Wait,
}
use Line::{Do, Refused, Set, Wait};

fn on() -> AutoClose {
    AutoClose {
        on: true,
        idle: secs(2 * M),
        grace: secs(M),
        lapsed_idle: secs(24 * H),
        when: AutoCloseWhen::Silence,
    }
}

fn visitor_silent() -> AutoClose {
    AutoClose { when: AutoCloseWhen::VisitorSilent, ..on() }
}

fn off() -> AutoClose {
    AutoClose { on: false, ..on() }
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn at(n: u64) -> Timestamp {
    Timestamp::from_millis((START + n) * 1000)
}

fn message(n: u128) -> MessageId {
    MessageId::from_number(n)
}

fn writes(counts: Counts, n: u64) -> Command {
    Command::VisitorWrote { counts, provider_at: at(n) }
}

fn visitor(n: u64) -> Command {
    writes(Counts::Message, n)
}

fn staff(template: bool) -> Command {
    Command::WeWrote { author: Author::Staff { staff: StaffId::from_number(1) }, template }
}

fn queued() -> Command {
    Command::NotificationQueued { message: message(1) }
}

fn accepted() -> Command {
    Command::NotificationAccepted { message: message(1) }
}

fn failed(why: Unsent) -> Command {
    Command::NotificationFailed { message: message(1), why }
}

fn send(n: u64) -> (u64, Effect) {
    let withdraw_at = at(n) + NOTIFICATION_PATIENCE;
    (n, Effect::SendNotification { grace: secs(M), withdraw_at })
}

fn close(n: u64, unanswered: bool) -> (u64, Effect) {
    (n, Effect::Close { by: Closer::AutoClose { unanswered }, silent: false })
}

fn close_unsent(n: u64, unanswered: bool) -> (u64, Effect) {
    (n, Effect::Close { by: Closer::AutoClose { unanswered }, silent: true })
}

fn unsent(n: u64, why: Unsent) -> [(u64, Effect); 2] {
    [
        (n, Effect::NotificationUnsent { why }),
        (n, Effect::RemindOwner { why: RemindWhy::NotificationUnsent }),
    ]
}

fn withdraw(n: u64) -> (u64, Effect) {
    (n, Effect::WithdrawNotification { message: message(1) })
}

const WINDOW_TALK: fn(&Effect) -> bool = |effect| {
    matches!(
        effect,
        Effect::WindowOpened { .. } | Effect::WindowClosing { .. } | Effect::WindowClosed { .. }
    )
};

/// Runs a script, calling `expire` whenever it is wanted, and returns all effects.
fn run(settings: &AutoClose, script: &[(u64, Line)]) -> Vec<(u64, Effect)> {
    let mut settings = settings.clone();
    let mut enquiry = Enquiry::new(at(0), None);
    let mut done = Vec::new();
    for (time, line) in script {
        let now = at(*time);
        let mut effects = Vec::new();
        let recovers = matches!(line, Do(Command::Recovered));
        while let Some(due) = enquiry.next_deadline(&terms(&settings))
            && due <= now
            && !recovers
        {
            enquiry.expire(&terms(&settings), due, &mut effects);
            let second = due.millis() / 1000 - START;
            done.extend(effects.drain(..).map(|effect| (second, effect)));
        }
        match line.clone() {
            Do(command) => {
                let judged = enquiry.apply(&terms(&settings), now, command, &mut effects);
                assert_eq!(judged, Ok(()), "{time}: {line:?}");
            }
            Refused(command, why) => {
                let before = enquiry.clone();
                let judged = enquiry.apply(&terms(&settings), now, command, &mut effects);
                assert_eq!(judged, Err(why), "{time}: {line:?}");
                assert_eq!(enquiry, before, "a refusal changes nothing");
            }
            Set(new) => {
                let before = std::mem::replace(&mut settings, new);
                let command = Command::SettingsChanged { before };
                enquiry.apply(&terms(&settings), now, command, &mut effects).unwrap();
            }
            Wait => {}
        }
        done.extend(effects.drain(..).map(|effect| (*time, effect)));
    }
    done
}

fn terms(auto_close: &AutoClose) -> Terms<'_> {
    Terms { auto_close, stale_close: secs(7 * 24 * H) }
}

/// Checks all effects but those about the window.
#[track_caller]
fn check(settings: &AutoClose, script: &[(u64, Line)], expected: &[(u64, Effect)]) {
    let mut done = run(settings, script);
    done.retain(|(_, effect)| !WINDOW_TALK(effect));
    assert_eq!(done, expected);
}

/// Checks the effects about the window alone.
#[track_caller]
fn check_window(script: &[(u64, Line)], expected: &[(u64, Effect)]) {
    let mut done = run(&off(), script);
    done.retain(|(_, effect)| WINDOW_TALK(effect));
    assert_eq!(done, expected);
}

/// A visitor wrote at 0 and somebody picked it up at 10 s: the notification is due at 130 s.
fn served(more: &[(u64, Line)]) -> Vec<(u64, Line)> {
    let mut script = vec![(0, Do(visitor(0))), (10, Do(Command::Handling(true)))];
    script.extend_from_slice(more);
    script
}
