//! Settings of every shape, from a seed.

use std::collections::BTreeMap;
use std::time::Duration;

use usher_domain::ids::{BotId, ChannelId, GroupId, QueueId, RuleId, ServiceId, StaffId};
use usher_domain::rule::{
    Branch, Bucket, Condition, Destination, Emergency, Holiday, Leaf, Overflow, Percentage, Rule,
    Stop, Time, Window,
};
use usher_domain::settings::{
    AutoClose, AutoCloseWhen, Away, Bot, Channel, ChannelState, DisplayName, Engagement, Group,
    Method, Queue, Role, Settings, Staff, Sticky, StickyMiss, StickyMode, StickyScope,
    StickyWithin, Text, Welcome, WelcomeRepeat,
};
use usher_domain::time::Timestamp;

use crate::calendar::{self, ZONES};
use crate::random::Random;

const METHODS: [Method; 5] = [
    Method::Simultaneous,
    Method::FixedOrder,
    Method::RoundRobin,
    Method::MostIdle,
    Method::LeastLoaded,
];

pub(crate) const LANGUAGES: [&str; 3] = ["en", "de", "zh"];
pub(crate) const COUNTRIES: [&str; 3] = ["GB", "DE", "HK"];

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(crate) fn settings(random: &mut Random, now: Timestamp) -> Settings {
    let mut settings = bare(random);
    for number in 1..=random.between(2, 7) {
        let id = StaffId::from_number(u128::from(number));
        settings.staff.insert(id, staff(random, id));
    }
    let everybody: Vec<StaffId> = settings.staff.keys().copied().collect();
    for number in 1..=random.between(1, 4) {
        let id = GroupId::from_number(u128::from(number));
        settings.groups.insert(id, group(random, id, &everybody));
    }
    for number in 1..=random.below(3) {
        let id = QueueId::from_number(u128::from(number));
        let group =
            GroupId::from_number(u128::from(random.between(1, settings.groups.len() as u64)));
        let length_max = u16::try_from(random.between(1, 6)).expect("small");
        let wait_max = seconds(random.between(60, 600));
        let name = format!("queue {number}");
        settings.queues.insert(id, Queue { id, name, group, length_max, wait_max });
    }
    for number in 1..=random.below(3) {
        let id = BotId::from_number(u128::from(number));
        let (name, url) = (format!("bot {number}"), String::new());
        settings.bots.insert(id, Bot { id, name, url, hand_over_words: Vec::new() });
    }
    let destinations = destinations(&settings);
    for number in 1..=random.between(1, 2) {
        let id = RuleId::from_number(u128::from(number));
        settings.rules.insert(id, rule(random, id, &destinations, now));
    }
    for number in 1..=random.between(1, 3) {
        let id = ChannelId::from_number(u128::from(number));
        let rule = RuleId::from_number(u128::from(random.between(1, settings.rules.len() as u64)));
        settings.channels.insert(id, channel(random, id, rule));
    }
    settings
}

fn bare(random: &mut Random) -> Settings {
    Settings {
        service: ServiceId::from_number(1),
        name: "simulated".to_owned(),
        channels: BTreeMap::new(),
        staff: BTreeMap::new(),
        groups: BTreeMap::new(),
        queues: BTreeMap::new(),
        bots: BTreeMap::new(),
        rules: BTreeMap::new(),
        offers_at_once: u8::try_from(random.between(1, 4)).expect("small"),
        no_answer_limit: u8::try_from(random.below(4)).expect("small"),
        idle_after: seconds(600),
        presence_grace: seconds(20),
        wrap_up: seconds(if random.chance(30) { random.between(1, 60) } else { 0 }),
        owner_gone: seconds(if random.chance(70) { random.between(10, 300) } else { 0 }),
        no_reply: seconds(if random.chance(30) { random.between(30, 300) } else { 0 }),
        missed_offer_when_free: random.chance(60),
        stale_close: seconds(7 * 86_400),
        auto_close: AutoClose {
            on: random.chance(50),
            idle: seconds(random.between(60, 300)),
            grace: seconds(random.between(10, 60)),
            lapsed_idle: seconds(3_600),
            when: if random.chance(70) {
                AutoCloseWhen::Silence
            } else {
                AutoCloseWhen::VisitorSilent
            },
        },
        service_level: seconds(60),
        retention: usher_domain::settings::Retention::default(),
        auto_pick_up: random.chance(15),
    }
}

fn staff(random: &mut Random, id: StaffId) -> Staff {
    let role = match random.below(5) {
        0 => Role::Supervisor,
        1 => Role::Administrator,
        _ => Role::Agent,
    };
    Staff {
        id,
        first_name: "A".to_owned(),
        last_name: "B".to_owned(),
        role,
        enabled: random.chance(95),
        capacity: u16::try_from(random.between(1, 5)).expect("small"),
        supervises: if random.chance(30) { vec![GroupId::from_number(1)] } else { Vec::new() },
    }
}

pub(crate) fn members(random: &mut Random, everybody: &[StaffId]) -> Vec<StaffId> {
    let mut members: Vec<StaffId> = Vec::new();
    for _ in 0..random.between(1, everybody.len() as u64 + 1) {
        let staff = everybody[random.index(everybody.len())];
        if !members.contains(&staff) {
            members.push(staff);
        }
    }
    members
}

fn some_of(random: &mut Random, all: &[&str]) -> Vec<String> {
    if random.chance(75) {
        return vec!["*".to_owned()];
    }
    (0..random.between(1, 2)).map(|_| all[random.index(all.len())].to_owned()).collect()
}

fn own_choice(random: &mut Random) -> Option<bool> {
    random.chance(15).then(|| random.chance(50))
}

fn group(random: &mut Random, id: GroupId, everybody: &[StaffId]) -> Group {
    Group {
        id,
        name: "group".to_owned(),
        members: members(random, everybody),
        languages: some_of(random, &LANGUAGES),
        countries: some_of(random, &COUNTRIES),
        unknown_matches: random.chance(50),
        pick_up: seconds(random.between(5, 120)),
        share: seconds(random.between(5, 40)),
        method: METHODS[random.index(METHODS.len())],
        auto_pick_up: own_choice(random),
    }
}

fn channel(random: &mut Random, id: ChannelId, rule: RuleId) -> Channel {
    let text = || Text { on: true, text: String::new() };
    Channel {
        id,
        name: "channel".to_owned(),
        state: ChannelState::Live,
        phone_number_id: None,
        rule,
        sticky: sticky(random),
        engagement: Engagement { on: true, staff: Vec::new() },
        auto_pick_up: own_choice(random),
        language: random.chance(20).then(|| "en".to_owned()),
        welcome: Welcome {
            on: true,
            text: String::new(),
            repeat: WelcomeRepeat::FirstContactOnly,
            only_if_staffed: false,
        },
        away: Away { on: true, text: String::new(), repeat_after: seconds(8 * 3_600) },
        auto_close: None,
        auto_close_text: None,
        close: text(),
        transfer_failed: None,
        display_name: DisplayName::None,
        custom_info: None,
        restart_templates: Vec::new(),
        opt_out_words: Vec::new(),
    }
}

fn sticky(random: &mut Random) -> Sticky {
    let mode = match random.below(4) {
        0 => StickyMode::Loose { hold: Duration::ZERO },
        1 => StickyMode::Loose { hold: seconds(random.between(5, 60)) },
        2 => {
            StickyMode::Strict { wait: seconds(random.between(10, 600)), offline: StickyMiss::Rule }
        }
        _ => StickyMode::Strict {
            wait: seconds(random.between(10, 600)),
            offline: StickyMiss::Missed,
        },
    };
    Sticky {
        on: random.chance(70),
        mode,
        scope: if random.chance(50) { StickyScope::Channel } else { StickyScope::Service },
        within: match random.below(4) {
            0 => StickyWithin::Leaf,
            1 => StickyWithin::Service,
            _ => StickyWithin::Rule,
        },
        expires: random.chance(70).then(|| seconds(random.between(30, 7_200))),
    }
}

pub(crate) fn destinations(settings: &Settings) -> Vec<Destination> {
    let groups = settings.groups.keys().map(|id| Destination::Group(*id));
    // Groups are named twice, so that rules are not mostly queues and bots.
    groups
        .clone()
        .chain(groups)
        .chain(settings.queues.keys().map(|id| Destination::Queue(*id)))
        .chain(settings.bots.keys().map(|id| Destination::Bot(*id)))
        .collect()
}

fn rule(random: &mut Random, id: RuleId, to: &[Destination], now: Timestamp) -> Rule {
    let depth = random.index(4);
    let mut maker = Maker { random, to, now };
    let branch = maker.branch(depth);
    let emergency = maker.random.chance(30);
    let emergency = emergency.then(|| Emergency { leaf: maker.leaf(), on_until: None });
    Rule { id, name: "rule".to_owned(), branch, emergency }
}

struct Maker<'a> {
    random: &'a mut Random,
    to: &'a [Destination],
    now: Timestamp,
}

impl Maker<'_> {
    fn branch(&mut self, depth: usize) -> Branch {
        if depth == 0 || self.random.chance(15) {
            return Branch::Leaf(self.leaf());
        }
        if self.random.chance(50) {
            Branch::Percentage(self.percentage(depth - 1))
        } else {
            Branch::Time(self.time(depth - 1))
        }
    }

    fn leaf(&mut self) -> Leaf {
        let stops = (0..self.random.between(1, 3)).map(|_| Stop {
            to: self.to[self.random.index(self.to.len())],
            pick_up: self.random.chance(20).then(|| seconds(self.random.between(5, 90))),
        });
        let stops = stops.collect();
        let own = self.random.chance(30);
        let priority = if own { self.random.below(10) } else { u64::from(Leaf::PRIORITY_DEFAULT) };
        Leaf { stops, priority: u8::try_from(priority).expect("below ten") }
    }

    fn percentage(&mut self, depth: usize) -> Percentage {
        let count = self.random.between(1, 4);
        let mut left = 99;
        let mut buckets: Vec<Bucket> = Vec::new();
        for number in 0..count {
            let percent = self.random.between(1, (left - (count - number - 1)).min(60));
            left -= percent;
            let overflow = match self.random.below(4) {
                0 => Overflow::None,
                1 if count > 1 => Overflow::Bucket(format!("b{}", (number + 1) % count)),
                _ => Overflow::Otherwise,
            };
            buckets.push(Bucket {
                name: format!("b{number}"),
                percent: u8::try_from(percent).expect("at most 99"),
                branch: self.branch(depth),
                paused: self.random.chance(10),
                overflow,
            });
        }
        Percentage { buckets, otherwise: Box::new(self.branch(depth)) }
    }

    fn time(&mut self, depth: usize) -> Time {
        let zone = ZONES[self.random.index(ZONES.len())].to_owned();
        let holidays =
            (0..self.random.below(2)).map(|number| self.holiday(number, depth)).collect();
        let conditions =
            (0..self.random.between(1, 2)).map(|number| self.condition(number, depth)).collect();
        Time { zone, holidays, conditions, otherwise: Box::new(self.branch(depth)) }
    }

    fn holiday(&mut self, number: u64, depth: usize) -> Holiday {
        let today = i64::try_from(self.now.millis() / 86_400_000).expect("near our time");
        let from = today + i64::try_from(self.random.below(3)).expect("small") - 1;
        let to = from + i64::try_from(self.random.below(2)).expect("small");
        let date = |day| {
            let (year, month, day) = calendar::civil(day);
            serde_json::from_value(serde_json::json!(format!("{year:04}-{month:02}-{day:02}")))
                .expect("a date")
        };
        Holiday {
            name: format!("h{number}"),
            from: date(from),
            to: date(to),
            yearly: self.random.chance(30),
            windows: if self.random.chance(40) { vec![self.window(false)] } else { Vec::new() },
            branch: self.branch(depth),
        }
    }

    fn condition(&mut self, number: u64, depth: usize) -> Condition {
        let days: Vec<u8> = (0..7).filter(|_| self.random.chance(75)).collect();
        let windows = (0..self.random.between(1, 2)).map(|_| self.window(true)).collect();
        Condition {
            name: format!("c{number}"),
            days: if days.is_empty() { vec![6] } else { days },
            windows,
            branch: self.branch(depth),
        }
    }

    fn window(&mut self, over_midnight: bool) -> Window {
        let minute = |random: &mut Random| u16::try_from(random.below(48) * 30).expect("a day");
        let (from, to) = (minute(self.random), minute(self.random));
        match from.cmp(&to) {
            std::cmp::Ordering::Less => Window { from, to },
            std::cmp::Ordering::Greater if over_midnight => Window { from, to },
            std::cmp::Ordering::Greater => Window { from: to, to: from },
            std::cmp::Ordering::Equal => Window { from, to: 1_440 },
        }
    }
}
