//! How many events per second one core of the floor decides, and whether that stays flat.
//!
//! `cargo run --release -p usher-tests --example floor_rate`. An event is a command or a timer that
//! changes state. For each size so many enquiries are live already: a part of them owned, a part
//! waiting in line, the rest missed; the measured rounds then open, pick up, answer and close.

#![expect(clippy::print_stdout, reason = "a measurement is read on the terminal")]

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use usher_domain::floor::event::{Closer, PresenceWhy};
use usher_domain::floor::{Command, Effect, Floor, Route};
use usher_domain::ids::{ChannelId, EnquiryId, GroupId, RuleId, StaffId, VisitorId};
use usher_domain::presence::Presence;
use usher_domain::rule::{Branch, Destination, Leaf, Rule, Stop};
use usher_domain::settings::{Group, Method, Role, Settings, Staff};
use usher_domain::time::Timestamp;
use usher_domain::visitor::{Identities, Visitor};

const ROUNDS: u64 = 50_000;
const GROUPS: u64 = 50;
const MEMBERS: u64 = 20;
const METHODS: [Method; 5] = [
    Method::Simultaneous,
    Method::FixedOrder,
    Method::RoundRobin,
    Method::MostIdle,
    Method::LeastLoaded,
];

struct Measured {
    events: u64,
    took: Duration,
    /// Bytes of memory that the live ones took.
    room: u64,
    /// Puts everything back and goes on.
    restart: Duration,
}

fn main() {
    for live in sizes() {
        for method in methods() {
            let Measured { events, took, room, restart } = measure(live, method);
            let rate = u128::from(events) * 1_000_000 / took.as_micros().max(1);
            let each = took.as_nanos() / u128::from(events);
            let room = room / live;
            let restart = restart.as_nanos() / u128::from(live);
            println!(
                "{live:>9} live, {method:?}: {rate} events/s, {each} ns each; \
                 {room} B and {restart} ns of a restart a live one"
            );
        }
    }
}

/// How many are live, as asked for: `-- 1000 10000`; else a thousand to a million.
fn sizes() -> Vec<u64> {
    let asked: Vec<u64> = std::env::args().skip(1).filter_map(|size| size.parse().ok()).collect();
    if asked.is_empty() { vec![1_000, 10_000, 100_000, 1_000_000] } else { asked }
}

/// Which methods, as asked for: `-- RoundRobin`; else all.
fn methods() -> Vec<Method> {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let named = |method: &Method| asked.contains(&format!("{method:?}"));
    let some: Vec<Method> = METHODS.into_iter().filter(named).collect();
    if some.is_empty() { METHODS.to_vec() } else { some }
}

struct Bench {
    floor: Floor,
    now: Timestamp,
    effects: Vec<Effect>,
    opened: u64,
    events: u64,
}

impl Bench {
    fn give(&mut self, command: Command) -> bool {
        self.effects.clear();
        self.events += 1;
        self.floor.apply(self.now, command, &mut self.effects).is_ok()
    }

    fn open(&mut self, group: u64) -> EnquiryId {
        self.opened += 1;
        let enquiry = EnquiryId::from_number(u128::from(self.opened));
        let channel = ChannelId::from_number(u128::from(group));
        let visitor =
            Visitor::new(VisitorId::from_number(enquiry.uuid().as_u128()), Identities::default());
        let window_until = self.now + Duration::from_hours(24);
        let route = Route {
            enquiry,
            channel,
            visitor,
            country: None,
            window_until,
            delayed: false,
            lapsed: false,
        };
        self.give(Command::Route(Box::new(route)));
        enquiry
    }
}

fn measure(live: u64, method: Method) -> Measured {
    let settings = Arc::new(settings(method, live));
    let mut bench = Bench {
        floor: Floor::new(Arc::clone(&settings)),
        now: Timestamp::from_millis(1_780_000_000_000),
        effects: Vec::new(),
        opened: 0,
        events: 0,
    };
    for staff in settings.staff.keys() {
        let why = PresenceWhy::SignedIn;
        bench.give(Command::Presence { staff: *staff, presence: Presence::Active, why });
    }
    let empty = resident();
    // Most groups are worked in; one of ten stands full, and its enquiries wait in line.
    for number in 0..live {
        let group = number % GROUPS + 1;
        let enquiry = bench.open(group);
        if !group.is_multiple_of(10) {
            take(&mut bench, enquiry);
        }
    }
    let room = resident().saturating_sub(empty);
    let start = on_cpu();
    let before = bench.events;
    for round in 0..ROUNDS {
        bench.now = bench.now + Duration::from_millis(1);
        let group = round % GROUPS + 1;
        let enquiry = bench.open(group);
        let Some(staff) = take(&mut bench, enquiry) else { continue };
        let window_until = bench.now + Duration::from_hours(24);
        bench.give(Command::VisitorWrote { enquiry, opens: true, window_until });
        bench.give(Command::WeWrote { enquiry });
        let by = Closer::Staff { staff };
        bench.give(Command::Close { enquiry, by, silent: false, reason: None });
    }
    let (events, took) = (bench.events - before, on_cpu().saturating_sub(start));
    Measured { events, took, room, restart: restart(&bench, settings) }
}

/// Puts back what is live and goes on, as after a restart.
fn restart(bench: &Bench, settings: Arc<Settings>) -> Duration {
    let mut floor = Floor::new(settings);
    let live: Vec<EnquiryId> = bench.floor.live().map(|(enquiry, _)| enquiry).collect();
    let mut effects = Vec::new();
    let start = on_cpu();
    for enquiry in live {
        if let Some(place) = bench.floor.place_now(enquiry) {
            floor.restore_place(enquiry, place);
        }
    }
    floor.resume(bench.now, &mut effects);
    on_cpu().saturating_sub(start)
}

/// Memory in use, in bytes; what an earlier measurement gave back may be used again unseen, so one
/// size and method a run says most.
fn resident() -> u64 {
    let told = std::fs::read_to_string("/proc/self/status").expect("runs on Linux");
    let line = told.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    let kilobytes = line.trim().trim_end_matches(" kB").parse::<u64>();
    kilobytes.expect("kilobytes") * 1_024
}

/// Time this thread has had a core: what else runs on the machine does not count.
fn on_cpu() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").expect("runs on Linux");
    let nanos = told.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.expect("nanoseconds on a core"))
}

/// The first who holds an offer picks it up.
fn take(bench: &mut Bench, enquiry: EnquiryId) -> Option<StaffId> {
    let staff = bench.floor.offers(enquiry).first()?.staff;
    bench.give(Command::PickUp { enquiry, staff }).then_some(staff)
}

fn settings(method: Method, live: u64) -> Settings {
    let mut settings: Settings = bare();
    for number in 1..=GROUPS * MEMBERS {
        let id = StaffId::from_number(u128::from(number));
        // Room for their share of what is live, and a little more; none where nobody may free up.
        let room = live / (GROUPS * MEMBERS) + 5;
        let full = ((number - 1) / MEMBERS + 1).is_multiple_of(10);
        let capacity = if full { 1 } else { u16::try_from(room).unwrap_or(u16::MAX) };
        let names = (String::new(), String::new());
        settings.staff.insert(
            id,
            Staff {
                id,
                first_name: names.0,
                last_name: names.1,
                role: Role::Agent,
                enabled: true,
                capacity,
                supervises: Vec::new(),
            },
        );
    }
    for number in 1..=GROUPS {
        let id = GroupId::from_number(u128::from(number));
        let first = (number - 1) * MEMBERS + 1;
        let members = (first..first + MEMBERS).map(|n| StaffId::from_number(u128::from(n)));
        let group = Group {
            id,
            name: String::new(),
            members: members.collect(),
            languages: vec!["*".to_owned()],
            countries: vec!["*".to_owned()],
            unknown_matches: true,
            pick_up: Duration::from_hours(1),
            share: Duration::from_hours(1),
            method,
            auto_pick_up: None,
        };
        settings.groups.insert(id, group);
        let rule = RuleId::from_number(u128::from(number));
        let stops = vec![Stop { to: Destination::Group(id), pick_up: None }];
        let branch = Branch::Leaf(Leaf { stops, priority: 5 });
        settings
            .rules
            .insert(rule, Rule { id: rule, name: String::new(), branch, emergency: None });
        let channel = channel(number, rule);
        settings.channels.insert(channel.id, channel);
    }
    settings
}

fn channel(number: u64, rule: RuleId) -> usher_domain::settings::Channel {
    let text = json!({"on": false, "text": ""});
    let value = json!({
        "id": ChannelId::from_number(u128::from(number)),
        "name": "",
        "state": "live",
        "phone_number_id": null,
        "rule": rule,
        "sticky": {
            "on": false, "mode": {"loose": {"hold": {"secs": 0, "nanos": 0}}},
            "scope": "channel", "within": "rule", "expires": null,
        },
        "engagement": {"on": false, "staff": []},
        "auto_pick_up": null,
        "language": null,
        "welcome": {"on": false, "text": "", "repeat": "first_contact_only", "only_if_staffed": false},
        "away": {"on": false, "text": "", "repeat_after": {"secs": 0, "nanos": 0}},
        "auto_close": null,
        "auto_close_text": null,
        "close": text,
        "transfer_failed": null,
        "display_name": "none",
        "custom_info": null,
        "restart_templates": [],
        "opt_out_words": [],
    });
    serde_json::from_value(value).expect("a channel")
}

fn bare() -> Settings {
    let time = |secs: u64| json!({"secs": secs, "nanos": 0});
    let value = json!({
        "service": usher_domain::ids::ServiceId::from_number(1),
        "name": "measured",
        "channels": {}, "staff": {}, "groups": {}, "queues": {}, "bots": {}, "rules": {},
        "offers_at_once": 3,
        "no_answer_limit": 2,
        "idle_after": time(600),
        "presence_grace": time(20),
        "wrap_up": time(0),
        "owner_gone": time(300),
        "no_reply": time(0),
        "missed_offer_when_free": true,
        "stale_close": time(604_800),
        "auto_close": {
            "on": false, "idle": time(120), "grace": time(60), "lapsed_idle": time(86_400),
            "when": "silence",
        },
        "service_level": time(60),
        "auto_pick_up": false,
    });
    serde_json::from_value(value).expect("settings")
}
