//! Who sees what and may do what, as one table.

use super::*;

const ME: StaffId = StaffId::from_number(1);
const OTHER: StaffId = StaffId::from_number(2);
const OURS: GroupId = GroupId::from_number(1);
const THEIRS: GroupId = GroupId::from_number(2);
const CHANNEL: ChannelId = ChannelId::from_number(1);
const UNTIL: Timestamp = Timestamp::from_millis(7_000);
const FORMER: &[(StaffId, Timestamp)] = &[(ME, Timestamp::from_millis(1)), (ME, UNTIL)];

use InRoom::{
    AddStaff, Assign, Block, CancelTransfer, Close, Decline, History, Hold, Join, Label, Leave,
    Monitor, Note, OptOut, PickUp, Read, RemoveStaff, Send, SetLanguage, TakeOver, Transfer,
    Typing,
};

/// Columns of the table: actions that always go together share one.
const COLUMNS: &[(&str, &[InRoom])] = &[
    ("send", &[Send]),
    ("note", &[Note, Label, Read, Typing]),
    ("lang", &[SetLanguage, OptOut]),
    ("leave", &[Leave]),
    ("close", &[Close, Transfer, Hold, AddStaff, RemoveStaff]),
    ("cancel", &[CancelTransfer]),
    ("pick", &[PickUp]),
    ("decl", &[Decline]),
    ("take", &[TakeOver, Assign, Join, Monitor, Block]),
    ("hist", &[History]),
];

/// `+` may, `o` `not_owner`, `f` `not_offered`, `-` `not_found`. Rooms are of group `ours`; the relation
/// is the viewer's to the room, whose owner, where it has another, is somebody else.
const TABLE: &str = "
role          relation         sees    send note lang leave close cancel pick decl take hist
agent         stranger         nothing -    -    -    -     -     -      -    -    -    -
agent         owner            whole   +    +    +    o     +     +      f    f    o    +
agent         last_owner       whole   +    +    +    o     +     +      f    f    o    +
agent         joined           whole   +    +    +    +     o     o      f    f    o    +
agent         offered          head    o    o    o    o     o     o      +    +    o    o
agent         transfer_offered head    o    o    o    o     o     o      +    +    o    o
agent         lost_offer       nothing -    -    -    -     -     -      +    +    -    -
agent         member_waiting   head    o    o    o    o     o     o      f    f    o    o
agent         member_handled   nothing -    -    -    -     -     -      -    -    -    -
agent         member_missed    head    +    o    o    o     o     o      +    f    o    o
agent         former           until   o    o    o    o     o     o      f    f    o    +
agent         transferrer      until   o    o    o    o     o     +      f    f    o    +
agent         serves_visitor   read    o    o    o    o     o     o      f    f    o    +
agent         serves_elsewhere nothing -    -    -    -     -     -      -    -    -    -
supervisor    stranger         whole   o    o    +    o     +     +      f    f    +    +
supervisor    owner            whole   +    +    +    o     +     +      f    f    +    +
supervisor    joined           whole   +    +    +    +     +     +      f    f    +    +
supervisor    offered          whole   o    o    +    o     +     +      +    +    +    +
supervisor    member_missed    whole   +    o    +    o     +     +      +    f    +    +
supervisor    missed           whole   +    o    +    o     +     +      +    f    +    +
elsewhere     stranger         nothing -    -    -    -     -     -      -    -    -    -
elsewhere     missed           nothing -    -    -    -     -     -      -    -    -    -
elsewhere     owner            whole   +    +    +    o     +     +      f    f    o    +
elsewhere     joined           whole   +    +    +    +     o     o      f    f    o    +
elsewhere     offered          head    o    o    o    o     o     o      +    +    o    o
everywhere    stranger         whole   o    o    +    o     +     +      f    f    +    +
administrator stranger         whole   o    o    +    o     +     +      f    f    +    +
administrator missed           whole   +    o    +    o     +     +      +    f    +    +
administrator joined           whole   +    +    +    +     +     +      f    f    +    +
key_agent     missed           nothing -    -    -    -     -     -      -    -    -    -
key_admin     stranger         whole   o    o    +    o     +     +      f    f    +    +
key_other     stranger         nothing -    -    -    -     -     -      -    -    -    -
";

fn viewer(role: &str) -> Viewer<'static> {
    let staff = |role, supervises| Viewer {
        staff: Some(ME),
        role,
        supervises,
        member_of: &[],
        channels: None,
    };
    let key = |role, channels| Viewer {
        staff: None,
        role,
        supervises: &[],
        member_of: &[],
        channels: Some(channels),
    };
    match role {
        "agent" => staff(Role::Agent, &[]),
        "supervisor" => staff(Role::Supervisor, &[OURS]),
        "elsewhere" => staff(Role::Supervisor, &[THEIRS]),
        "everywhere" => staff(Role::Supervisor, &[]),
        "administrator" => staff(Role::Administrator, &[]),
        "key_agent" => key(Role::Agent, &[CHANNEL]),
        "key_admin" => key(Role::Administrator, &[CHANNEL]),
        "key_other" => key(Role::Administrator, &[]),
        other => panic!("no role {other}"),
    }
}

fn room(relation: &str) -> (RoomFacts<'static>, bool) {
    let handled = RoomFacts {
        channel: CHANNEL,
        standing: Standing::Handled,
        owner: Some(OTHER),
        joined: &[],
        offered_to: &[],
        offered_before: &[],
        groups: &[OURS],
        transferred_by: None,
        former: &[],
        serving_visitor: &[OTHER],
    };
    let waiting = RoomFacts { standing: Standing::Waiting, owner: None, ..handled };
    let missed = RoomFacts { standing: Standing::Missed, ..waiting };
    let closed = RoomFacts { standing: Standing::Closed, ..handled };
    let facts = match relation {
        "stranger" | "member_handled" => handled,
        "owner" => RoomFacts { owner: Some(ME), ..handled },
        "last_owner" => RoomFacts { owner: Some(ME), ..closed },
        "joined" => RoomFacts { joined: &[OTHER, ME], ..handled },
        "offered" => RoomFacts { offered_to: &[OTHER, ME], ..waiting },
        "transfer_offered" => RoomFacts { offered_to: &[ME], ..handled },
        "lost_offer" => RoomFacts { offered_before: &[ME], ..handled },
        "member_waiting" => waiting,
        "missed" | "member_missed" => missed,
        "former" => RoomFacts { former: FORMER, ..handled },
        "transferrer" => RoomFacts { former: FORMER, transferred_by: Some(ME), ..waiting },
        "serves_visitor" => RoomFacts { serving_visitor: &[ME], former: FORMER, ..closed },
        "serves_elsewhere" => RoomFacts { serving_visitor: &[ME], ..handled },
        other => panic!("no relation {other}"),
    };
    (facts, relation.starts_with("member"))
}

#[test]
fn the_table_holds_for_every_role_relation_and_action() {
    let mut lines = TABLE.trim().lines().map(|line| line.split_ascii_whitespace());
    let header: Vec<_> = lines.next().unwrap().skip(3).collect();
    assert_eq!(header, COLUMNS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for mut line in lines {
        let (role, relation, sees) =
            (line.next().unwrap(), line.next().unwrap(), line.next().unwrap());
        let (facts, is_member) = room(relation);
        let mut viewer = viewer(role);
        if is_member {
            viewer.member_of = &[THEIRS, OURS];
        }
        let shown = match sight(&viewer, &facts) {
            Sight::Whole => "whole",
            Sight::ReadOnly => "read",
            Sight::ReadOnlyUntil(UNTIL) => "until",
            Sight::ReadOnlyUntil(_) => "until another time",
            Sight::Head => "head",
            Sight::Nothing => "nothing",
        };
        assert_eq!(shown, sees, "{role}, {relation} sees");
        let cells: Vec<_> = line.collect();
        assert_eq!(cells.len(), COLUMNS.len(), "{role}, {relation}");
        for (cell, &(_, actions)) in cells.into_iter().zip(COLUMNS) {
            for &action in actions {
                let answer = match may(&viewer, Action::InRoom(action, &facts)) {
                    Ok(()) => "+",
                    Err(Denied::NotOwner) => "o",
                    Err(Denied::NotOffered) => "f",
                    Err(Denied::NotFound) => "-",
                };
                assert_eq!(answer, cell, "{role}, {relation}, {action:?}");
            }
        }
    }
}

#[test]
fn the_service_itself_is_for_those_set_over_it() {
    let others: &[(&str, Action<'_>)] = &[
        ("start", Action::Start { channel: CHANNEL, allowed: &[OTHER, ME] }),
        ("start, not listed", Action::Start { channel: CHANNEL, allowed: &[OTHER] }),
        ("presence of ours", Action::SetPresenceOf { member_of: &[OURS] }),
        ("presence of theirs", Action::SetPresenceOf { member_of: &[THEIRS] }),
        ("emergency", Action::Emergency),
        ("bulk", Action::Bulk),
        ("explain", Action::Explain),
        ("settings", Action::Administer(Administer::Settings)),
        ("bindings", Action::Administer(Administer::Bindings)),
        ("keys", Action::Administer(Administer::Keys)),
        ("audit", Action::Administer(Administer::Audit)),
        ("erasure", Action::Administer(Administer::Erasure)),
    ];
    for (role, allowed) in [
        ("agent", &["start"][..]),
        ("supervisor", &["start", "presence of ours", "emergency", "bulk", "explain"]),
        ("elsewhere", &["start", "presence of theirs", "emergency", "bulk", "explain"]),
        (
            "administrator",
            &[
                "start",
                "presence of ours",
                "presence of theirs",
                "emergency",
                "bulk",
                "explain",
                "settings",
                "bindings",
                "keys",
                "audit",
                "erasure",
            ],
        ),
        ("key_agent", &[]),
    ] {
        for (what, action) in others {
            let expected = if allowed.contains(what) { Ok(()) } else { Err(Denied::NotFound) };
            assert_eq!(may(&viewer(role), *action), expected, "{role}: {what}");
        }
    }
}

#[test]
fn a_former_owner_sees_what_was_said_until_then() {
    let (facts, _) = room("former");
    let seen = sight(&viewer("agent"), &facts);
    assert!(seen.shows(UNTIL));
    assert!(!seen.shows(Timestamp::from_millis(UNTIL.millis() + 1)));
    assert!(!Sight::Head.shows(Timestamp::default()) && Sight::Whole.shows(UNTIL));
}
