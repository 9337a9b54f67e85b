//! The floor itself, under the same load.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use usher_domain::floor::event::{Closer, PresenceWhy};
use usher_domain::floor::{Command, Effect, Floor, Route};
use usher_domain::ids::{ChannelId, EnquiryId, GroupId, RuleId, ServiceId, StaffId, VisitorId};
use usher_domain::presence::Presence;
use usher_domain::rule::{Branch, Destination, Leaf, Rule, Stop};
use usher_domain::settings::{Channel, Group, Method, Role, Settings, Staff};
use usher_domain::time::Timestamp;
use usher_domain::visitor::{Identities, Visitor};

use super::{GROUPS, MEMBERS, Policy};

const WINDOW: Duration = Duration::from_hours(24);

/// One group of so many stands full where some have to wait.
const FULL_ONE_IN: u64 = 10;

/// What becomes of what is live before anything is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Start {
    /// Everybody is served.
    AllServed,
    /// One group in ten is full, and what comes to it waits in line.
    SomeWait,
}

pub(super) struct Pure {
    pub(super) floor: Floor,
    pub(super) now: Timestamp,
    pub(super) settings: Arc<Settings>,
    effects: Vec<Effect>,
    opened: u64,
    pub(super) taken: u64,
}

impl Pure {
    pub(super) fn new(method: Method, live: u64) -> Self {
        Self::begin(method, live, Start::AllServed)
    }

    pub(super) fn begin(method: Method, live: u64, start: Start) -> Self {
        let settings = Arc::new(settings(method, live, start));
        let mut pure = Self {
            floor: Floor::new(Arc::clone(&settings)),
            now: Timestamp::from_millis(1_780_000_000_000),
            settings: Arc::clone(&settings),
            effects: Vec::new(),
            opened: 0,
            taken: 0,
        };
        for staff in settings.staff.keys() {
            let why = PresenceWhy::SignedIn;
            pure.give(Command::Presence { staff: *staff, presence: Presence::Active, why });
        }
        for number in 0..live {
            let group = number % GROUPS + 1;
            let enquiry = pure.open(group);
            if start == Start::AllServed || !is_full(group) {
                pure.take(enquiry);
            }
        }
        pure.taken = 0;
        pure
    }

    #[cfg(test)]
    pub(super) fn live(&self) -> usize {
        self.floor.live_count()
    }

    fn give(&mut self, command: Command) -> bool {
        self.effects.clear();
        self.floor.apply(self.now, command, &mut self.effects).is_ok()
    }

    fn open(&mut self, group: u64) -> EnquiryId {
        self.opened += 1;
        let enquiry = EnquiryId::from_number(u128::from(self.opened));
        let channel = ChannelId::from_number(u128::from(group));
        let visitor = VisitorId::from_number(enquiry.uuid().as_u128());
        let visitor = Visitor::new(visitor, Identities::default());
        let window_until = self.now + WINDOW;
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

    /// The first who holds an offer picks it up.
    fn take(&mut self, enquiry: EnquiryId) -> Option<StaffId> {
        let staff = self.floor.offers(enquiry).first()?.staff;
        let taken = self.give(Command::PickUp { enquiry, staff });
        self.taken += u64::from(taken);
        taken.then_some(staff)
    }
}

impl Policy for Pure {
    fn round(&mut self, number: u64) {
        self.now = self.now + Duration::from_millis(1);
        let enquiry = self.open(number % GROUPS + 1);
        let Some(staff) = self.take(enquiry) else { return };
        let window_until = self.now + WINDOW;
        self.give(Command::VisitorWrote { enquiry, opens: true, window_until });
        self.give(Command::WeWrote { enquiry });
        let by = Closer::Staff { staff };
        self.give(Command::Close { enquiry, by, silent: false, reason: None });
    }
}

const fn is_full(group: u64) -> bool {
    group.is_multiple_of(FULL_ONE_IN)
}

fn settings(method: Method, live: u64, start: Start) -> Settings {
    let mut settings: Settings = bare();
    for number in 1..=GROUPS * MEMBERS {
        let id = StaffId::from_number(u128::from(number));
        // Room for their share of what is live, and a little more; none where nobody may free up.
        let room = live / (GROUPS * MEMBERS) + 5;
        let full = start == Start::SomeWait && is_full((number - 1) / MEMBERS + 1);
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

fn channel(number: u64, rule: RuleId) -> Channel {
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
        "service": ServiceId::from_number(1),
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
