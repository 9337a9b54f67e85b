//! Presence, minute by minute, then over random lives.

use proptest::prelude::*;

use super::*;

const TIMES: Times = Times { idle_after: Duration::from_mins(10), grace: Duration::from_secs(20) };

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn session(n: u64) -> SessionId {
    SessionId::from_number(n.into())
}

fn connect(n: u64, of: u64, arrival: Arrival) -> Command {
    Command::Connect { connection: ConnectionId(n), session: session(of), arrival }
}

/// One step, as written in the tables: `in 1` signs in with connection 1 (of session 1), `back 2/1`
/// connects connection 2 of session 1, `lose 1`, `act 1`, `set busy`, `boss idle`, `no answer`,
/// `out 1` signs session 1 out, `suspend`, `reinstate`, `tick`, `restart`.
fn command(text: &str) -> Option<Command> {
    let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
    let (n, of) = rest.split_once('/').unwrap_or((rest, rest));
    let number = |text: &str| text.parse::<u64>().unwrap();
    let presence = || match rest {
        "active" => Presence::Active,
        "busy" => Presence::Busy,
        "idle" => Presence::Idle,
        "offline" => Presence::Offline,
        other => panic!("no presence {other}"),
    };
    Some(match verb {
        "in" => connect(number(n), number(of), Arrival::SignIn),
        "back" => connect(number(n), number(of), Arrival::Return),
        "lose" => Command::Disconnect { connection: ConnectionId(number(n)) },
        "act" => Command::Activity { connection: ConnectionId(number(n)) },
        "set" => Command::Set { presence: presence(), by: Setter::Own },
        "boss" => Command::Set { presence: presence(), by: Setter::Supervisor },
        "no" => Command::NoAnswer,
        "out" => Command::SignOut { session: session(number(n)) },
        "suspend" => Command::Suspend,
        "reinstate" => Command::Reinstate,
        "hurry" => Command::SetTimes(Times { idle_after: Duration::from_mins(1), ..TIMES }),
        "tick" => return None,
        other => panic!("no step {other}"),
    })
}

fn told(effects: &[Effect]) -> Vec<String> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Keep(_) => None,
            Effect::End { connection, .. } => Some(format!("end {}", connection.0)),
            Effect::Reloading(true) => Some("reloading".to_owned()),
            Effect::Reloading(false) => Some("settled".to_owned()),
            Effect::PresenceIs { presence, why } => Some(format!("{presence:?} ({why:?})")),
        })
        .collect()
}

/// Steps with their second and what each tells; a step that is refused tells why.
#[track_caller]
fn check(what: &str, script: &[(u64, &str, &str)]) {
    let mut person = Attendance::new(TIMES);
    let mut kept = person.kept();
    for &(seconds, step, expected) in script {
        let mut effects = Vec::new();
        let now = at(seconds);
        let mut outcome = Vec::new();
        if step == "restart" {
            person = Attendance::restore(now, TIMES, kept);
        } else if let Some(command) = command(step) {
            let refused = person.apply(now, command, &mut effects).err();
            outcome.extend(refused.map(|refusal| format!("{refusal:?}")));
        } else {
            person.expire(now, &mut effects);
        }
        outcome.extend(told(&effects));
        assert_eq!(outcome.join(", "), expected, "{what}: {step} at {seconds} s");
        for effect in effects {
            if let Effect::Keep(now_kept) = effect {
                kept = now_kept;
            }
        }
        assert_eq!(kept, person.kept(), "{what}: what is kept after {step} at {seconds} s");
    }
}

#[test]
fn signing_in_restores_the_last_presence() {
    check("the first time", &[(0, "in 1", "Active (SignedIn)")]);
    check(
        "set before",
        &[
            (0, "in 1", "Active (SignedIn)"),
            (1, "set busy", "Busy (SetByHand)"),
            (2, "out 1", "end 1, Offline (SignedOut)"),
            (9_000, "in 2", "Busy (SignedIn)"),
        ],
    );
    check(
        "Offline by hand lasts until the next sign-in",
        &[
            (0, "in 1", "Active (SignedIn)"),
            (1, "set offline", "Offline (SetByHand)"),
            (2, "back 2/1", ""),
            (3, "out 1", "end 1, end 2"),
            (4, "in 3", "Active (SignedIn)"),
        ],
    );
    check(
        "no answer is forgiven, silence too",
        &[
            (0, "in 1", "Active (SignedIn)"),
            (1, "no answer", "Idle (NoAnswer)"),
            (2, "out 1", "end 1, Offline (SignedOut)"),
            (3, "in 2", "Active (SignedIn)"),
        ],
    );
}

#[test]
fn a_reload_loses_nothing() {
    check(
        "back within the grace",
        &[
            (0, "in 1", "Active (SignedIn)"),
            (100, "lose 1", "reloading"),
            (119, "tick", ""),
            (119, "back 2/1", "settled"),
        ],
    );
    check(
        "Busy survives even when too late",
        &[
            (0, "in 1", "Active (SignedIn)"),
            (1, "set busy", "Busy (SetByHand)"),
            (100, "lose 1", "reloading"),
            (120, "tick", "settled, Offline (NoConnection)"),
            (500, "back 2/1", "Busy (Connected)"),
        ],
    );
    check(
        "too late, told only by the connection itself",
        &[
            (0, "in 1", "Active (SignedIn)"),
            (100, "lose 1", "reloading"),
            (120, "back 2/1", "settled, Offline (NoConnection), Active (Connected)"),
        ],
    );
    check(
        "another device is still there",
        &[
            (0, "in 1", "Active (SignedIn)"),
            (1, "back 2", ""),
            (2, "lose 1", ""),
            (3, "lose 1", ""),
            (4, "lose 2", "reloading"),
            (5, "set busy", "Busy (SetByHand)"),
        ],
    );
}

#[test]
fn silence_is_idle_until_any_activity() {
    check(
        "on any connection",
        &[
            (0, "in 1", "Active (SignedIn)"),
            (1, "back 2", ""),
            (500, "act 2", ""),
            (1_099, "tick", ""),
            (1_100, "tick", "Idle (Idle)"),
            (1_200, "act 1", "Active (Activity)"),
            (1_300, "act 9", "NotConnected"),
        ],
    );
    check(
        "back to what it was",
        &[
            (0, "in 1", "Active (SignedIn)"),
            (0, "set busy", "Busy (SetByHand)"),
            (600, "tick", "Idle (Idle)"),
            (601, "act 1", "Busy (Activity)"),
        ],
    );
    check(
        "a socket that comes back by itself is no activity",
        &[
            (0, "in 1", "Active (SignedIn)"),
            (590, "lose 1", "reloading"),
            (595, "back 2/1", "settled"),
            (600, "tick", "Idle (Idle)"),
            (610, "lose 2", "reloading"),
            (630, "tick", "settled, Offline (NoConnection)"),
            (640, "back 3/1", "Idle (Connected)"),
            (641, "act 3", "Active (Activity)"),
        ],
    );
    check(
        "silence and grace run out between two ticks",
        &[
            (0, "in 1", "Active (SignedIn)"),
            (590, "lose 1", "reloading"),
            (700, "tick", "Idle (Idle), settled, Offline (NoConnection)"),
        ],
    );
    check(
        "absence is not silence",
        &[
            (0, "in 1", "Active (SignedIn)"),
            (500, "lose 1", "reloading"),
            (520, "tick", "settled, Offline (NoConnection)"),
            (5_000, "back 2/1", "Active (Connected)"),
            (5_599, "tick", ""),
            (5_600, "tick", "Idle (Idle)"),
        ],
    );
    check(
        "Idle by hand stays Idle",
        &[
            (0, "in 1", "Active (SignedIn)"),
            (1, "set idle", "Idle (SetByHand)"),
            (2, "act 1", ""),
            (700, "tick", ""),
        ],
    );
    check(
        "a shorter time holds at once",
        &[(0, "in 1", "Active (SignedIn)"), (90, "hurry", "Idle (Idle)")],
    );
}

#[test]
fn no_answer_is_idle_until_said_otherwise() {
    check(
        "activity is not enough, a click is",
        &[
            (0, "in 1", "Active (SignedIn)"),
            (10, "no answer", "Idle (NoAnswer)"),
            (11, "act 1", ""),
            (12, "lose 1", "reloading"),
            (13, "back 2/1", "settled"),
            (700, "tick", ""),
            (701, "set active", "Active (SetByHand)"),
        ],
    );
    check(
        "too late for somebody Busy",
        &[
            (0, "in 1", "Active (SignedIn)"),
            (1, "set busy", "Busy (SetByHand)"),
            (2, "no answer", ""),
            (3, "set active", "Active (SetByHand)"),
        ],
    );
}

#[test]
fn the_last_set_wins_whoever_sets_it() {
    check(
        "supervisors too",
        &[
            (0, "in 1", "Active (SignedIn)"),
            (1, "boss busy", "Busy (SetBySupervisor)"),
            (2, "set active", "Active (SetByHand)"),
            (3, "set active", ""),
            (602, "tick", ""),
            (603, "tick", "Idle (Idle)"),
            (604, "boss active", "Active (SetBySupervisor)"),
        ],
    );
    check(
        "for somebody away it holds when they come",
        &[(0, "boss busy", ""), (1, "back 1", "Busy (Connected)")],
    );
}

#[test]
fn signing_out_and_suspension_end_sockets_at_once() {
    check(
        "only those of the session",
        &[
            (0, "in 1", "Active (SignedIn)"),
            (1, "in 2", ""),
            (2, "back 3/1", ""),
            (3, "out 1", "end 1, end 3"),
            (4, "lose 1", ""),
            (5, "out 2", "end 2, Offline (SignedOut)"),
        ],
    );
    check(
        "between two sockets",
        &[
            (0, "in 1", "Active (SignedIn)"),
            (1, "lose 1", "reloading"),
            (2, "out 7", ""),
            (3, "out 1", "settled, Offline (SignedOut)"),
        ],
    );
    check(
        "suspended",
        &[
            (0, "in 1", "Active (SignedIn)"),
            (1, "in 2", ""),
            (2, "suspend", "end 1, end 2, Offline (Suspended)"),
            (3, "back 3/1", "Suspended"),
            (4, "set active", "Suspended"),
            (5, "suspend", ""),
            (6, "reinstate", ""),
            (7, "in 4", "Active (SignedIn)"),
        ],
    );
}

#[test]
fn a_restart_gives_everybody_here_the_grace_to_come_back() {
    check(
        "back",
        &[
            (0, "in 1", "Active (SignedIn)"),
            (1, "set busy", "Busy (SetByHand)"),
            (900, "act 1", "Idle (Idle), Busy (Activity)"),
            (5_000, "restart", ""),
            (5_019, "back 1", "settled"),
            (5_599, "tick", ""),
            (5_600, "tick", "Idle (Idle)"),
        ],
    );
    check(
        "not back",
        &[
            (0, "in 1", "Active (SignedIn)"),
            (5_000, "restart", ""),
            (5_020, "tick", "settled, Offline (NoConnection)"),
            (6_000, "restart", ""),
            (6_020, "tick", ""),
        ],
    );
}

#[test]
fn connections_are_bounded() {
    let mut person = Attendance::new(TIMES);
    for n in 0..CONNECTIONS_MAX as u64 {
        person.apply(at(0), connect(n, 1, Arrival::Return), &mut Vec::new()).unwrap();
    }
    let again = connect(0, 1, Arrival::Return);
    assert_eq!(person.apply(at(0), again, &mut Vec::new()), Ok(()), "known already");
    let more = connect(99, 1, Arrival::Return);
    assert_eq!(person.apply(at(0), more, &mut Vec::new()), Err(Refusal::TooManyConnections));
    assert_eq!(person.connections().count(), CONNECTIONS_MAX);
}

#[test]
fn what_is_kept_reads_back_as_written() {
    let kept = AttendanceKept { chosen: Presence::Busy, lapse: Lapse::Silence, present: true };
    let text = serde_json::to_string(&kept).unwrap();
    assert_eq!(text, r#"{"chosen":"busy","lapse":"silence","present":true}"#);
    assert_eq!(serde_json::from_str::<AttendanceKept>(&text).unwrap(), kept);
}

const STEPS: &[&str] = &[
    "in 1",
    "in 2",
    "back 3/1",
    "back 4/2",
    "lose 1",
    "lose 2",
    "lose 3",
    "lose 4",
    "act 1",
    "act 3",
    "set active",
    "set busy",
    "set idle",
    "set offline",
    "boss busy",
    "no answer",
    "out 1",
    "out 2",
    "suspend",
    "reinstate",
    "tick",
    "tick",
    "hurry",
];

/// Runs a life; `hints` are extra calls of `expire` before steps.
fn live(life: &[(u64, usize)], hints: &[bool]) -> (Attendance, Vec<Effect>) {
    let mut person = Attendance::new(TIMES);
    let (mut effects, mut seconds) = (Vec::new(), 0);
    for (i, &(pause, step)) in life.iter().enumerate() {
        if hints[i % hints.len()] {
            // One at its time, one late, one for nothing.
            let due = person.next_deadline().filter(|&due| due <= at(seconds + pause));
            for now in [due.unwrap_or(at(seconds)), at(seconds + pause), at(seconds + pause)] {
                person.expire(now, &mut effects);
            }
        }
        seconds += pause;
        if let Some(command) = command(STEPS[step]) {
            // A refusal is part of a life, seen in what it leaves.
            person.apply(at(seconds), command, &mut effects).ok();
            holds(&person, at(seconds));
        }
    }
    person.expire(at(seconds), &mut effects);
    (person, effects)
}

/// What is true of anybody at any time.
fn holds(person: &Attendance, now: Timestamp) {
    let presence = person.presence();
    let here = person.connections().count() > 0;
    assert_eq!(here, person.reachability() == Reachability::Here);
    assert!(presence == Presence::Offline || person.reachability() != Reachability::Away);
    assert!(person.next_deadline().is_none_or(|due| due > now), "nothing is overdue");
    let counts = matches!(presence, Presence::Active | Presence::Busy);
    assert!(!counts || person.next_deadline().is_some(), "somebody there falls idle some day");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn hints_make_no_difference_and_effects_tell_everything(
        life in proptest::collection::vec((0_u64..400, 0..STEPS.len()), 1..80),
        hints in proptest::collection::vec(any::<bool>(), 1..20),
    ) {
        let (person, effects) = live(&life, &hints);
        let (same, same_effects) = live(&life, &[false]);
        prop_assert_eq!(&person, &same);
        prop_assert_eq!(&effects, &same_effects);

        let presences: Vec<_> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::PresenceIs { presence, .. } => Some(*presence),
                _ => None,
            })
            .collect();
        prop_assert_eq!(presences.last().copied().unwrap_or(Presence::Offline), person.presence());
        prop_assert!(presences.windows(2).all(|pair| pair[0] != pair[1]), "each told is a change");
        let kept = effects.iter().rev().find_map(|effect| match effect {
            Effect::Keep(kept) => Some(*kept),
            _ => None,
        });
        prop_assert_eq!(kept.unwrap_or(Attendance::new(TIMES).kept()), person.kept());
    }
}
