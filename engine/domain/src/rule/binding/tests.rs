use std::collections::BTreeMap;
use std::time::Duration;

use super::super::shape::{Branch, Bucket, Overflow, Percentage, Rule, Stop};
use super::*;
use crate::ids::{GroupId, QueueId, RuleId, ServiceId, VisitorId};
use crate::settings::{
    AutoClose, AutoCloseWhen, Away, ChannelState, DisplayName, Engagement, Group, Method, Queue,
    Role, Staff, Sticky, StickyMode, Text, Welcome, WelcomeRepeat,
};
use crate::visitor::Identities;

const CHANNEL: ChannelId = ChannelId::from_number(1);
const OTHER_CHANNEL: ChannelId = ChannelId::from_number(2);
const ANN: StaffId = StaffId::from_number(1);
const BEN: StaffId = StaffId::from_number(2);
const NOW: Timestamp = Timestamp::from_millis(1_000_000_000);
const DAY: Duration = Duration::from_hours(24);

/// Ann is in the group of the rule's bucket, Ben behind the queue of its otherwise.
fn settings(sticky: Sticky) -> Settings {
    let staff = |id| Staff {
        id,
        first_name: String::new(),
        last_name: String::new(),
        role: Role::Agent,
        enabled: true,
        capacity: 5,
        supervises: vec![],
    };
    let group = |number, member| Group {
        id: GroupId::from_number(number),
        name: String::new(),
        members: vec![member],
        languages: vec!["*".to_owned()],
        countries: vec!["*".to_owned()],
        unknown_matches: true,
        pick_up: Duration::from_mins(1),
        share: Duration::from_secs(20),
        method: Method::RoundRobin,
        auto_pick_up: None,
    };
    let queue = Queue {
        id: QueueId::from_number(1),
        name: String::new(),
        group: GroupId::from_number(2),
        length_max: 5,
        wait_max: Duration::from_mins(5),
    };
    Settings {
        service: ServiceId::from_number(1),
        name: String::new(),
        channels: BTreeMap::from([(CHANNEL, channel(sticky))]),
        staff: [ANN, BEN].map(|id| (id, staff(id))).into(),
        groups: [group(1, ANN), group(2, BEN)].map(|group| (group.id, group)).into(),
        queues: BTreeMap::from([(queue.id, queue)]),
        bots: BTreeMap::new(),
        rules: BTreeMap::from([(RuleId::from_number(1), rule())]),
        offers_at_once: 3,
        no_answer_limit: 2,
        idle_after: Duration::from_mins(10),
        presence_grace: Duration::from_secs(20),
        wrap_up: Duration::ZERO,
        owner_gone: Duration::from_mins(5),
        no_reply: Duration::ZERO,
        missed_offer_when_free: true,
        stale_close: 7 * DAY,
        auto_close: AutoClose {
            on: false,
            idle: Duration::from_mins(2),
            grace: Duration::from_mins(1),
            lapsed_idle: DAY,
            when: AutoCloseWhen::Silence,
        },
        service_level: Duration::from_mins(1),
        retention: crate::settings::Retention::default(),
        auto_pick_up: false,
    }
}

fn rule() -> Rule {
    let bucket = Bucket {
        name: "ann's".to_owned(),
        percent: 50,
        branch: Branch::Leaf(leaf(Destination::Group(GroupId::from_number(1)))),
        paused: false,
        overflow: Overflow::None,
    };
    let otherwise = Branch::Leaf(leaf(Destination::Queue(QueueId::from_number(1))));
    Rule {
        id: RuleId::from_number(1),
        name: String::new(),
        branch: Branch::Percentage(Percentage {
            buckets: vec![bucket],
            otherwise: Box::new(otherwise),
        }),
        emergency: None,
    }
}

fn leaf(to: Destination) -> Leaf {
    Leaf { stops: vec![Stop { to, pick_up: None }], priority: Leaf::PRIORITY_DEFAULT }
}

fn channel(sticky: Sticky) -> Channel {
    let off = Text { on: false, text: String::new() };
    Channel {
        id: CHANNEL,
        name: String::new(),
        state: ChannelState::Live,
        phone_number_id: None,
        rule: RuleId::from_number(1),
        sticky,
        engagement: Engagement::default(),
        auto_pick_up: None,
        language: None,
        welcome: Welcome {
            on: false,
            text: String::new(),
            repeat: WelcomeRepeat::FirstContactOnly,
            only_if_staffed: false,
        },
        away: Away { on: false, text: String::new(), repeat_after: DAY },
        auto_close: None,
        auto_close_text: None,
        close: off,
        transfer_failed: None,
        display_name: DisplayName::None,
        custom_info: None,
        restart_templates: vec![],
        opt_out_words: vec![],
    }
}

fn sticky() -> Sticky {
    Sticky {
        on: true,
        mode: StickyMode::Loose { hold: Duration::ZERO },
        scope: StickyScope::Channel,
        within: StickyWithin::Rule,
        expires: Some(30 * DAY),
    }
}

fn bound(staff: StaffId, channel: Option<ChannelId>, age: Duration) -> Binding {
    let set_at = NOW - age;
    Binding {
        kind: BindingKind::Sticky,
        staff,
        channel,
        set_at,
        expires_at: Some(set_at + 10 * DAY),
    }
}

fn visitor(bindings: &[Binding]) -> Visitor {
    let nobody = Visitor::new(VisitorId::from_number(1), Identities::default());
    Visitor { bindings: bindings.to_vec(), ..nobody }
}

const HOUR: Duration = Duration::from_hours(1);

#[track_caller]
fn check(sticky: Sticky, bindings: &[Binding], expected: Option<(StaffId, Option<Verdict>)>) {
    let in_force = || leaf(Destination::Queue(QueueId::from_number(1)));
    let found = sticky_binding(&visitor(bindings), CHANNEL, &settings(sticky), NOW, in_force);
    assert_eq!(found.map(|bound| (bound.staff, bound.passed_over)), expected);
}

#[test]
fn a_binding_of_this_channel_holds() {
    check(sticky(), &[bound(ANN, Some(CHANNEL), HOUR)], Some((ANN, None)));
    check(sticky(), &[], None);
    check(sticky(), &[bound(ANN, Some(OTHER_CHANNEL), HOUR)], None);
    check(Sticky { on: false, ..sticky() }, &[bound(ANN, Some(CHANNEL), HOUR)], None);
    let engagement = Binding { kind: BindingKind::Engagement, ..bound(ANN, Some(CHANNEL), HOUR) };
    check(sticky(), &[engagement], None);
}

#[test]
fn scope_decides_between_a_channels_binding_and_one_for_all() {
    let both = [bound(ANN, Some(CHANNEL), 2 * HOUR), bound(BEN, None, HOUR)];
    check(sticky(), &both, Some((ANN, None)));
    check(Sticky { scope: StickyScope::Service, ..sticky() }, &both, Some((BEN, None)));
    check(sticky(), &both[1..], Some((BEN, None)));
}

#[test]
fn a_lapsed_binding_is_passed_over_at_its_very_end() {
    check(sticky(), &[bound(ANN, Some(CHANNEL), 239 * HOUR)], Some((ANN, None)));
    let lapsed = bound(ANN, Some(CHANNEL), 10 * DAY);
    check(sticky(), std::slice::from_ref(&lapsed), Some((ANN, Some(Verdict::Expired))));
    check(sticky(), &[lapsed, bound(BEN, None, 2 * DAY)], Some((BEN, None)));
    let forever = Binding { expires_at: None, ..bound(ANN, Some(CHANNEL), 11 * DAY) };
    check(sticky(), &[forever], Some((ANN, None)));
}

#[test]
fn within_the_rule_the_leaf_or_the_service() {
    let ann = [bound(ANN, Some(CHANNEL), HOUR)];
    let ben = [bound(BEN, Some(CHANNEL), HOUR)];
    let within = |within| Sticky { within, ..sticky() };
    check(within(StickyWithin::Rule), &ann, Some((ANN, None)));
    check(within(StickyWithin::Rule), &ben, Some((BEN, None)));
    check(within(StickyWithin::Leaf), &ann, Some((ANN, Some(Verdict::NotAMember))));
    check(within(StickyWithin::Leaf), &ben, Some((BEN, None)));
    let alone = |set| {
        let mut settings = settings(within(set));
        settings.groups.clear();
        sticky_binding(&visitor(&ann), CHANNEL, &settings, NOW, || unreachable!()).unwrap()
    };
    assert_eq!(alone(StickyWithin::Service).passed_over, None);
    assert_eq!(alone(StickyWithin::Rule).passed_over, Some(Verdict::NotAMember));
}

#[test]
fn suspended_people_are_passed_over_and_deleted_ones_dropped() {
    let mut settings = settings(sticky());
    let visitor = visitor(&[bound(ANN, Some(CHANNEL), HOUR)]);
    let leaf = || unreachable!();
    settings.staff.get_mut(&ANN).unwrap().enabled = false;
    let found = sticky_binding(&visitor, CHANNEL, &settings, NOW, leaf).unwrap();
    assert_eq!(found.passed_over, Some(Verdict::NotEnabled));
    settings.staff.remove(&ANN);
    assert_eq!(sticky_binding(&visitor, CHANNEL, &settings, NOW, leaf), None);
}

#[test]
fn engagement_is_of_one_channel() {
    let settings = settings(sticky());
    let find = |binding: &Binding| {
        let binding = Binding { kind: BindingKind::Engagement, ..binding.clone() };
        engagement_binding(&visitor(&[binding]), CHANNEL, &settings, NOW)
            .map(|bound| (bound.staff, bound.passed_over))
    };
    assert_eq!(find(&bound(ANN, Some(CHANNEL), HOUR)), Some((ANN, None)));
    assert_eq!(find(&bound(ANN, Some(OTHER_CHANNEL), HOUR)), None);
    let lapsed = bound(ANN, Some(CHANNEL), 10 * DAY);
    assert_eq!(find(&lapsed), Some((ANN, Some(Verdict::Expired))));
    let sticky_only = visitor(&[bound(ANN, Some(CHANNEL), HOUR)]);
    assert_eq!(engagement_binding(&sticky_only, CHANNEL, &settings, NOW), None);
}

#[test]
fn at_close_an_owner_who_wrote_is_remembered() {
    let written = binding_after_close(&channel(sticky()), Some(ANN), true, NOW).unwrap();
    let expected = Binding {
        kind: BindingKind::Sticky,
        staff: ANN,
        channel: Some(CHANNEL),
        set_at: NOW,
        expires_at: Some(NOW + 30 * DAY),
    };
    assert_eq!(written, expected);
    let never = Sticky { scope: StickyScope::Service, expires: None, ..sticky() };
    let written = binding_after_close(&channel(never), Some(ANN), true, NOW).unwrap();
    assert_eq!((written.channel, written.expires_at), (None, None));
}

#[test]
fn at_close_the_old_binding_stays_if_the_owner_did_not_write() {
    let on = channel(sticky());
    assert_eq!(binding_after_close(&on, Some(ANN), false, NOW), None);
    assert_eq!(binding_after_close(&on, None, true, NOW), None);
    let off = channel(Sticky { on: false, ..sticky() });
    assert_eq!(binding_after_close(&off, Some(ANN), true, NOW), None);
}
