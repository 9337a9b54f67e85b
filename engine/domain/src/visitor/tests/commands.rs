//! What is remembered of visitors, what merges keep of it, and what stays in memory.

use super::Step::{Number, See};
use super::*;
use crate::ids::StaffId;
use crate::trace::BindingKind;

const ANN: StaffId = StaffId::from_number(1);
const BEN: StaffId = StaffId::from_number(2);
const ELSEWHERE: ChannelId = ChannelId::from_number(2);

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn visitor(n: u128) -> VisitorId {
    VisitorId::from_number(n)
}

fn binding(kind: BindingKind, staff: StaffId, set_at: u64, expires_at: Option<u64>) -> Binding {
    Binding {
        kind,
        staff,
        channel: Some(CHANNEL),
        set_at: at(set_at),
        expires_at: expires_at.map(at),
    }
}

fn engagement(staff: StaffId, set_at: u64) -> Change {
    let binding = binding(BindingKind::Engagement, staff, set_at, Some(set_at + 1_000));
    Change::SetBinding { binding }
}

fn see(directory: &mut Directory, number: u8, user: u8, id: u128) {
    take(directory, at(0), See(number, user), visitor(id), &mut Vec::new());
}

fn apply(
    directory: &mut Directory,
    now: u64,
    of: u128,
    change: Change,
) -> Result<Vec<Effect>, Refusal> {
    let mut effects = Vec::new();
    let command = Command { visitor: visitor(of), change };
    directory.apply(at(now), command, &mut effects).map(|()| effects)
}

#[test]
fn changes_are_told_once_and_whole() {
    let mut directory = Directory::new();
    see(&mut directory, 1, 0, 1);
    for change in [
        Change::SetLanguage { language: Some("de".into()) },
        Change::OptOut,
        Change::Block,
        Change::SetBinding { binding: binding(BindingKind::Sticky, ANN, 5, None) },
        Change::Welcomed { channel: CHANNEL },
        Change::WindowExtended { channel: CHANNEL, until: at(100) },
        Change::WindowLapsed { channel: CHANNEL },
        Change::Unblock,
        Change::OptIn,
        Change::DropBinding { kind: BindingKind::Sticky, channel: Some(CHANNEL) },
    ] {
        let told = apply(&mut directory, 10, 1, change.clone()).unwrap();
        let whole = Visitor::clone(directory.visitor(visitor(1)).unwrap());
        assert_eq!(told, [Effect::Changed(Box::new(whole))], "{change:?}");
        assert_eq!(apply(&mut directory, 10, 1, change.clone()), Ok(vec![]), "again: {change:?}");
    }
    assert_eq!(apply(&mut directory, 0, 9, Change::Block), Err(Refusal::UnknownVisitor));
}

#[test]
fn the_window_is_never_made_shorter_by_a_late_message() {
    let mut directory = Directory::new();
    see(&mut directory, 1, 0, 1);
    for (until, window) in [(100, 100), (50, 100), (120, 120)] {
        apply(&mut directory, 0, 1, Change::WindowExtended { channel: CHANNEL, until: at(until) })
            .unwrap();
        let known = directory.visitor(visitor(1)).unwrap();
        assert_eq!(known.channels.get(&CHANNEL).unwrap().window_until, Some(at(window)));
    }
}

#[test]
fn one_staff_member_engages_a_visitor_at_a_time() {
    let mut directory = Directory::new();
    see(&mut directory, 1, 0, 1);
    let engaged = Err(Refusal::Engaged { by: ANN });
    assert!(apply(&mut directory, 0, 1, engagement(ANN, 0)).is_ok());
    assert_eq!(apply(&mut directory, 999, 1, engagement(BEN, 999)), engaged);
    assert_eq!(
        directory.may_start(at(999), visitor(1), CHANNEL, BEN),
        Err(Refusal::Engaged { by: ANN })
    );
    assert_eq!(directory.may_start(at(999), visitor(1), CHANNEL, ANN), Ok(()));
    assert_eq!(directory.may_start(at(999), visitor(1), ELSEWHERE, BEN), Ok(()));
    assert!(apply(&mut directory, 1_000, 1, engagement(BEN, 1_000)).is_ok(), "lapsed");
    let known = directory.visitor(visitor(1)).unwrap();
    let found = known.binding(at(1_500), BindingKind::Engagement, CHANNEL);
    assert_eq!(found.map(|b| b.staff), Some(BEN));
    assert_eq!(known.binding(at(2_000), BindingKind::Engagement, CHANNEL), None);

    apply(&mut directory, 1_500, 1, Change::UseUpEngagement { channel: CHANNEL }).unwrap();
    assert_eq!(directory.visitor(visitor(1)).unwrap().bindings, []);
    apply(&mut directory, 1_500, 1, Change::OptOut).unwrap();
    assert_eq!(apply(&mut directory, 1_500, 1, engagement(ANN, 1_500)), Err(Refusal::OptedOut));
}

#[test]
fn a_closing_is_remembered_and_leaves_its_binding() {
    let mut directory = Directory::new();
    see(&mut directory, 1, 0, 1);
    let close = |owner, binding| Change::EnquiryClosed {
        channel: CHANNEL,
        closing: Closing { owner, window_until: Some(at(500)), binding },
    };
    let sticky = binding(BindingKind::Sticky, ANN, 10, None);
    apply(&mut directory, 10, 1, close(Some(ANN), Some(sticky.clone()))).unwrap();
    apply(&mut directory, 20, 1, close(None, None)).unwrap();
    let known = directory.visitor(visitor(1)).unwrap();
    let on = known.channels.get(&CHANNEL).unwrap();
    assert_eq!((on.last_closed_at, on.last_owner), (Some(at(20)), None));
    assert_eq!(known.bindings, [sticky], "the old binding stays");
}

#[test]
fn a_merge_keeps_what_both_had_and_the_newest_of_each() {
    let mut directory = Directory::new();
    see(&mut directory, 1, 0, 1);
    see(&mut directory, 0, 1, 2);
    let sticky = |staff, set_at| binding(BindingKind::Sticky, staff, set_at, None);
    for (of, now, change) in [
        (1, 0, Change::OptOut),
        (1, 0, Change::SetBinding { binding: sticky(ANN, 10) }),
        (1, 50, Change::Welcomed { channel: CHANNEL }),
        (2, 0, Change::Block),
        (2, 0, Change::SetLanguage { language: Some("fr".into()) }),
        (2, 0, Change::SetBinding { binding: sticky(BEN, 20) }),
        (2, 0, engagement(ANN, 0)),
        (2, 40, Change::Welcomed { channel: CHANNEL }),
        (2, 0, Change::WindowExtended { channel: ELSEWHERE, until: at(70) }),
    ] {
        apply(&mut directory, now, of, change).unwrap();
    }
    see(&mut directory, 1, 1, 3);
    let one = directory.visitor(visitor(2)).unwrap();
    assert_eq!(one.id, visitor(1), "the older id stays, the other leads to it");
    assert!(one.blocked && one.opted_out);
    assert_eq!(one.language.as_deref(), Some("fr"));
    let staff = |kind| one.binding(at(1), kind, CHANNEL).map(|b| b.staff);
    assert_eq!(staff(BindingKind::Sticky), Some(BEN));
    assert_eq!(staff(BindingKind::Engagement), Some(ANN));
    assert_eq!(one.channels.get(&CHANNEL).unwrap().welcomed_at, Some(at(50)));
    assert_eq!(one.channels.get(&ELSEWHERE).unwrap().window_until, Some(at(70)));
}

#[test]
fn blocked_or_opted_out_is_who_either_was() {
    for (of, change) in
        [(1, Change::OptOut), (2, Change::OptOut), (1, Change::Block), (2, Change::Block)]
    {
        let mut directory = Directory::new();
        see(&mut directory, 1, 0, 1);
        see(&mut directory, 0, 1, 2);
        apply(&mut directory, 0, of, change.clone()).unwrap();
        see(&mut directory, 1, 1, 3);
        let one = directory.visitor(visitor(1)).unwrap();
        let expected = (matches!(change, Change::Block), matches!(change, Change::OptOut));
        assert_eq!((one.blocked, one.opted_out), expected, "{of}: {change:?}");
    }
}

#[test]
fn a_number_change_takes_bindings_along_but_not_the_window() {
    let mut directory = Directory::new();
    see(&mut directory, 1, 0, 1);
    let sticky = binding(BindingKind::Sticky, ANN, 10, None);
    let until = at(100);
    apply(&mut directory, 0, 1, Change::SetBinding { binding: sticky.clone() }).unwrap();
    apply(&mut directory, 0, 1, Change::WindowExtended { channel: CHANNEL, until }).unwrap();
    take(&mut directory, at(5), Number(1, 2), visitor(2), &mut Vec::new());
    let known = directory.visitor(visitor(1)).unwrap();
    assert_eq!(known.bindings, [sticky]);
    assert_eq!(known.channels.get(&CHANNEL).unwrap().window_until, None);
}

#[test]
fn a_recycled_number_leaves_everything_with_the_one_who_had_it() {
    let mut directory = Directory::new();
    see(&mut directory, 1, 1, 1);
    apply(&mut directory, 0, 1, Change::OptOut).unwrap();
    apply(&mut directory, 0, 1, engagement(ANN, 0)).unwrap_err();
    let sticky = binding(BindingKind::Sticky, ANN, 10, None);
    apply(&mut directory, 0, 1, Change::SetBinding { binding: sticky.clone() }).unwrap();
    see(&mut directory, 1, 2, 2);
    let (old, new) =
        (directory.visitor(visitor(1)).unwrap(), directory.visitor(visitor(2)).unwrap());
    assert!(old.opted_out && old.bindings == [sticky]);
    assert!(!new.opted_out && new.bindings.is_empty());
}

#[test]
fn names_are_kept_until_another_is_given() {
    let mut directory = Directory::new();
    let (long, short) = ("ä".repeat(200), "ä".repeat(128));
    for (name, username, expected) in [
        (Some("Sheena"), Some("@sheena.n"), ("Sheena", "sheena.n")),
        (None, None, ("Sheena", "sheena.n")),
        (Some(""), Some("@"), ("Sheena", "sheena.n")),
        (Some(long.as_str()), None, (short.as_str(), "sheena.n")),
    ] {
        let seen = Seen { wa_id: Some("1650"), user_id: None, name, username, channel: CHANNEL };
        directory.identify(at(0), &seen, visitor(1), &mut Vec::new()).unwrap();
        let known = directory.visitor(visitor(1)).unwrap();
        assert_eq!(
            (known.name.as_deref(), known.username.as_deref()),
            (Some(expected.0), Some(expected.1))
        );
    }
}

#[test]
fn only_what_the_archive_knows_and_nobody_needs_is_unloaded() {
    let mut directory = Directory::new();
    see(&mut directory, 1, 1, 1);
    assert_eq!(directory.unload(visitor(1)), Err(StillNeeded::Unprojected));
    directory.projected(directory.revision());
    directory.pin(visitor(1));
    assert_eq!(directory.unload(visitor(1)), Err(StillNeeded::Pinned));
    directory.unpin(visitor(1));
    let known = directory.visitor(visitor(1)).unwrap().clone();
    assert_eq!(directory.unload(visitor(1)), Ok(()));
    let both = Identities::read(Some("16505550001"), Some("US.1"));
    assert_eq!(directory.wanted(&both).len(), 2);
    directory.load(known);
    assert_eq!(directory.wanted(&both), []);
    see(&mut directory, 1, 1, 7);
    assert_eq!(directory.visitors().count(), 1, "known again, not new");
}

#[test]
fn an_old_answer_of_the_archive_hides_nothing_newer() {
    let mut directory = Directory::new();
    see(&mut directory, 1, 0, 1);
    see(&mut directory, 0, 1, 2);
    let gone = directory.visitor(visitor(2)).unwrap().clone();
    directory.pin(visitor(2));
    see(&mut directory, 1, 1, 3);
    directory.load(gone);
    assert_eq!(directory.visitors().count(), 1, "merged meanwhile");
    assert_eq!(directory.unload(visitor(1)), Err(StillNeeded::Pinned), "the pin moved along");
    directory.unpin(visitor(2));
    directory.projected(directory.revision());
    assert_eq!(directory.unload(visitor(1)), Ok(()));

    let mut directory = Directory::new();
    see(&mut directory, 1, 2, 2);
    directory.load(Visitor::new(visitor(1), Identities::read(Some("16505550001"), Some("US.1"))));
    let ids = |n| directory.visitor(visitor(n)).unwrap().identities.clone();
    assert_eq!(ids(1), Identities::read(None, Some("US.1")));
    assert_eq!(ids(2), Identities::read(Some("16505550001"), Some("US.2")));
}

#[test]
fn a_visitor_reads_back_as_written() {
    let mut directory = Directory::new();
    see(&mut directory, 1, 1, 1);
    apply(&mut directory, 7, 1, Change::Welcomed { channel: ELSEWHERE }).unwrap();
    take(&mut directory, at(9), Number(1, 2), visitor(2), &mut Vec::new());
    let known = directory.visitor(visitor(1)).unwrap();
    let text = serde_json::to_string(known).unwrap();
    assert_eq!(&serde_json::from_str::<Visitor>(&text).unwrap(), &**known);
    assert!(text.contains(r#""channels":{"chn_"#), "{text}");
    assert_eq!(known.country(), Some("US"));
    assert_eq!(known.language(Some("en")), Some("en"));
}
