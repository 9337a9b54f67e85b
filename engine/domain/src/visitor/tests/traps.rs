//! Every way in which ids come, go, meet and change.

use super::Step::{Number, See, User};
use super::*;

/// Runs the steps, one a second; new visitors are 1, 2, 3 … by the step that made them.
#[track_caller]
fn check(what: &str, steps: &[Step], known: &str, effects_of_last: &str) {
    let mut directory = Directory::new();
    let mut effects = Vec::new();
    for (at, &step) in steps.iter().enumerate() {
        effects.clear();
        let now = Timestamp::from_millis(1_000 * at as u64);
        take(&mut directory, now, step, VisitorId::from_number(at as u128 + 1), &mut effects);
    }
    assert_eq!(written(&directory), known, "{what}: who is known as what");
    assert_eq!(told(&effects), effects_of_last, "{what}: effects of the last step");
}

/// `1=w1u1 2=u2`: visitor 1 is known by number 1 and user id 1, visitor 2 by user id 2.
fn written(directory: &Directory) -> String {
    let short = |text: &Option<Box<str>>, sign: &str, prefix: &str| {
        text.as_deref().map_or(String::new(), |text| {
            let n: u32 = text.trim_start_matches(prefix).parse().unwrap();
            format!("{sign}{n}")
        })
    };
    let all: Vec<_> = directory
        .visitors()
        .map(|visitor| {
            let Identities { wa_id, user_id } = &visitor.identities;
            let (w, u) = (short(wa_id, "w", "16505550"), short(user_id, "u", "US."));
            format!("{}={w}{u}", visitor.id.uuid().as_u128())
        })
        .collect();
    all.join(" ")
}

/// `1` changed, `1<2` merged into 1, `~1` windows lapsed.
fn told(effects: &[Effect]) -> String {
    let number = |id: &VisitorId| id.uuid().as_u128();
    let all: Vec<_> = effects
        .iter()
        .map(|effect| match effect {
            Effect::Changed(visitor) => format!("{}", number(&visitor.id)),
            Effect::Merged { kept, gone } => format!("{}<{}", number(kept), number(gone)),
            Effect::WindowsLapsed { visitor } => format!("~{}", number(visitor)),
        })
        .collect();
    all.join(" ")
}

#[test]
fn sightings() {
    for (what, steps, known, effects) in [
        ("a number alone", &[See(1, 0)][..], "1=w1", "1"),
        ("a username adopter, no number", &[See(0, 1)], "1=u1", "1"),
        ("nobody", &[See(0, 0)], "", ""),
        ("again, nothing new", &[See(1, 1), See(1, 1)], "1=w1u1", ""),
        ("again, by the number alone", &[See(1, 1), See(1, 0)], "1=w1u1", ""),
        ("again, by the user id alone", &[See(1, 1), See(0, 1)], "1=w1u1", ""),
        ("the user id is learned", &[See(1, 0), See(1, 1)], "1=w1u1", "1"),
        ("the number is learned", &[See(0, 1), See(1, 1)], "1=w1u1", "1"),
        ("two were one", &[See(1, 0), See(0, 1), See(1, 1)], "1=w1u1", "1<2 1"),
        ("two were one, other order", &[See(0, 1), See(1, 0), See(1, 1)], "1=w1u1", "1<2 1"),
        ("recycled, the new person unknown", &[See(1, 1), See(1, 2)], "1=u1 2=w1u2", "1 2"),
        (
            "recycled, the new person known by user id",
            &[See(1, 1), See(0, 2), See(1, 2)],
            "1=u1 2=w1u2",
            "1 2",
        ),
        (
            "recycled, the new person known by both",
            &[See(1, 1), See(2, 2), See(1, 2)],
            "1=u1 2=w1u2",
            "1 2",
        ),
        (
            "recycled and back: the first one's user id tells",
            &[See(1, 1), See(1, 2), See(1, 1)],
            "1=w1u1 2=u2",
            "2 1",
        ),
        ("another number without a notice", &[See(1, 1), See(2, 1)], "1=w2u1", "1"),
        (
            "a number alone meets a user id with another number",
            &[See(1, 0), See(2, 2), See(1, 2)],
            "1=w1u2",
            "1<2 1",
        ),
        (
            "a merge of merged ones",
            &[See(0, 1), See(1, 0), See(2, 0), See(1, 1), See(2, 1)],
            "1=w2u1",
            "1<3 1",
        ),
    ] {
        check(what, steps, known, effects);
    }
}

#[test]
fn number_changes() {
    for (what, steps, known, effects) in [
        ("re-keyed", &[See(1, 0), Number(1, 2)][..], "1=w2", "~1 1"),
        ("nobody known", &[Number(1, 2)], "", ""),
        ("told twice", &[See(1, 0), Number(1, 2), Number(1, 2)], "1=w2", ""),
        ("from a number to itself", &[See(1, 0), Number(1, 1)], "1=w1", ""),
        ("the new number is new here", &[See(2, 0), Number(1, 2)], "1=w2", ""),
        ("wrote before the notice", &[See(1, 0), See(2, 0), Number(1, 2)], "1=w2", "~1 1<2 1"),
        (
            "wrote before the notice, older than their past",
            &[See(2, 0), See(1, 0), Number(1, 2)],
            "1=w2",
            "~2 1<2 1",
        ),
        (
            "wrote before the notice, with the new user id",
            &[See(1, 1), See(2, 2), Number(1, 2)],
            "1=w2u2",
            "~1 1<2 1",
        ),
        ("a new user id follows", &[See(1, 1), Number(1, 2), See(2, 2)], "1=w2u2", "1"),
        (
            "only one user id follows, then strangers",
            &[See(1, 1), Number(1, 2), See(2, 2), See(2, 3)],
            "1=u2 4=w2u3",
            "1 4",
        ),
        (
            "the new user id was seen alone before",
            &[See(1, 1), Number(1, 2), See(0, 2), See(2, 2)],
            "1=w2u2",
            "1<3 1",
        ),
        (
            "the old number goes to a stranger",
            &[See(1, 1), Number(1, 2), See(1, 9)],
            "1=w2u1 3=w1u9",
            "3",
        ),
        ("there and back", &[See(1, 0), Number(1, 2), Number(2, 1)], "1=w1", "~1 1"),
    ] {
        check(what, steps, known, effects);
    }
}

#[test]
fn user_id_changes() {
    for (what, steps, known, effects) in [
        ("re-keyed", &[See(1, 1), User(1, 2, 0)][..], "1=w1u2", "~1 1"),
        ("nobody known", &[User(1, 2, 1)], "", ""),
        ("told twice", &[See(1, 1), User(1, 2, 0), User(1, 2, 0)], "1=w1u2", ""),
        ("to itself", &[See(1, 1), User(1, 1, 1)], "1=w1u1", ""),
        ("known by number alone", &[See(1, 0), User(1, 2, 1)], "1=w1u2", "~1 1"),
        ("previous not named", &[See(1, 1), User(0, 2, 1)], "1=w1u2", "~1 1"),
        ("the number is a stranger's", &[See(1, 5), User(1, 2, 1)], "1=w1u5", ""),
        ("wrote before the notice", &[See(1, 1), See(0, 2), User(1, 2, 0)], "1=w1u2", "~1 1<2 1"),
        (
            "wrote before the notice, from the new number",
            &[See(1, 1), See(2, 2), User(1, 2, 0)],
            "1=w2u2",
            "~1 1<2 1",
        ),
        ("with the new number", &[See(1, 1), User(1, 2, 2)], "1=w2u2", "~1 1"),
        (
            "with the new number, which was another person's",
            &[See(1, 1), See(2, 7), User(1, 2, 2)],
            "1=w2u2 2=u7",
            "~1 2 1",
        ),
        (
            "with the new number, seen before",
            &[See(1, 1), See(2, 0), User(1, 2, 2)],
            "1=w2u2",
            "~1 1<2 1",
        ),
        ("after the number: one change", &[See(1, 1), Number(1, 2), User(1, 2, 0)], "1=w2u2", "1"),
        ("then the number", &[See(1, 1), User(1, 2, 0), Number(1, 2)], "1=w2u2", "~1 1"),
        (
            "afterwards a message without a notice is a stranger's",
            &[See(1, 1), User(1, 2, 0), See(1, 3)],
            "1=u2 3=w1u3",
            "1 3",
        ),
    ] {
        check(what, steps, known, effects);
    }
}

#[test]
fn a_user_id_is_not_expected_for_ever_after_a_number_change() {
    let mut directory = Directory::new();
    let mut effects = Vec::new();
    let days = |days: u64| Timestamp::from_millis(days * 24 * 60 * 60 * 1_000);
    for (now, step, id) in
        [(days(0), See(1, 1), 1), (days(0), Number(1, 2), 2), (days(31), See(2, 2), 3)]
    {
        take(&mut directory, now, step, VisitorId::from_number(id), &mut effects);
    }
    assert_eq!(written(&directory), "1=u1 3=w2u2");
}
