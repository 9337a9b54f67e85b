//! Service files: who serves whom, checked as one whole over all files.

mod calendar;
mod channel;
mod keys;
mod number;
mod rule;
mod team;
pub mod texts;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use usher_domain::ids::{BotId, ChannelId, ServiceId, StaffId};
use usher_domain::settings::{Retention, Role, Settings};

pub use number::{Number, SandboxNumber, Signature, WebhookAuth, sandbox_numbers};
pub use team::{Account, BotAccess, Password};

use crate::fault::Notes;
use crate::node::Node;
use crate::program::Config;
use crate::table::{Reading, Table};
use crate::value::{self, DAY, HOUR, MINUTE, SECOND, YEARS};
use keys::{Id, Keys, Names};

const NAME_MAX: usize = 80;

/// One service as its file says: the rules' settings, and beside them what the rules must not know.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name in files; unique in the installation.
    pub key: String,
    /// Whether its passwords are known to everybody.
    pub demo: bool,
    pub settings: Settings,
    /// Of every channel but disconnected ones without a number.
    pub numbers: BTreeMap<ChannelId, Number>,
    /// Of every staff member.
    pub accounts: BTreeMap<StaffId, Account>,
    /// Of every bot.
    pub bots: BTreeMap<BotId, BotAccess>,
}

/// Reads what can be read; the rest is noted.
pub(crate) fn read(trees: &[Node], config: &Config, reading: &Reading<'_>) -> Vec<Service> {
    let mut services: Vec<Service> = Vec::new();
    for tree in trees {
        let mut root = Table::of(tree, String::new(), reading);
        let tables = root.tables("service");
        if tables.is_none() {
            root.fault("service", "is missing: a service file holds one or more [[service]]");
        }
        root.done();
        services.extend(tables.into_iter().flatten().filter_map(|table| service(table, config)));
    }
    unique_over_services(&services, reading.notes);
    warn_of_demo(&services, config, reading.notes);
    services
}

fn service(mut table: Table<'_>, config: &Config) -> Option<Service> {
    let key = table.must("key", |node| {
        let key = value::text(node)?;
        value::key(&key).map(|()| key)
    })?;
    table.path = format!("service.{key}");
    let id: ServiceId = keys::id(&mut table, &key, &key);
    let demo = table.or("demo", false, value::switch);
    let mut parts = Parts::of(&mut table);
    let keys = parts.keys(&key);
    let mut service = Service {
        settings: settings(id, &key, &mut table),
        key,
        demo,
        numbers: BTreeMap::new(),
        accounts: BTreeMap::new(),
        bots: BTreeMap::new(),
    };
    let defaults = number::Defaults {
        platform_secret: config.provider.platform_secret.as_ref(),
        sandbox_on: config.sandbox.on,
    };
    parts.fill(&mut service, &keys, &defaults);
    if !service.settings.staff.values().any(|staff| staff.role == Role::Administrator) {
        table.warn("staff", "has no administrator");
    }
    table.done();
    Some(service)
}

/// Everything but the parts, with the defaults of each setting.
fn settings(id: ServiceId, key: &str, table: &mut Table<'_>) -> Settings {
    let wait = |from: Duration, to: Duration| value::duration(from..=to);
    let or_never = |from: Duration, to: Duration| {
        move |node: &Node| match value::text(node).as_deref() {
            Ok("never") => Ok(Duration::ZERO),
            _ => value::duration(from..=to)(node),
        }
    };
    let none = Duration::ZERO;
    Settings {
        service: id,
        name: table.or("name", key.to_owned(), value::words_up_to(NAME_MAX)),
        channels: BTreeMap::new(),
        staff: BTreeMap::new(),
        groups: BTreeMap::new(),
        queues: BTreeMap::new(),
        bots: BTreeMap::new(),
        rules: BTreeMap::new(),
        offers_at_once: table.or("offers_at_once", 3, value::small(1..=100)),
        no_answer_limit: table.or("no_answer_limit", 2, value::small(0..=100)),
        idle_after: table.or("idle_after", 10 * MINUTE, wait(MINUTE, DAY)),
        presence_grace: table.or("presence_grace", 20 * SECOND, wait(SECOND, 10 * MINUTE)),
        wrap_up: table.or("wrap_up", none, wait(none, HOUR)),
        owner_gone: table.or("owner_gone", 5 * MINUTE, or_never(none, 30 * DAY)),
        no_reply: table.or("no_reply", none, or_never(none, 30 * DAY)),
        missed_offer_when_free: table.or("missed_offer_when_free", true, value::switch),
        stale_close: table.or("stale_close", 7 * DAY, wait(HOUR, YEARS)),
        auto_close: channel::auto_close(table.section("auto_close")),
        service_level: table.or("service_level", MINUTE, wait(SECOND, DAY)),
        auto_pick_up: table.or("auto_pick_up", false, value::switch),
        retention: retention(table.section("retention")),
    }
}

/// In days; never shorter than what the provider may still repeat.
fn retention(mut table: Table<'_>) -> Retention {
    let days = |node: &Node| {
        value::whole(10..=36_500)(node).map(|days| Duration::from_hours(24 * u64::from(days)))
    };
    let kept = Retention::default();
    let retention = Retention {
        rooms: table.or("rooms", kept.rooms, days),
        media: table.or("media", kept.media, days),
    };
    table.done();
    retention
}

type Parted<'a> = Vec<(&'a str, Table<'a>)>;

/// The tables of a service's parts, between finding their names and reading them.
struct Parts<'a> {
    channels: Parted<'a>,
    staff: Parted<'a>,
    groups: Parted<'a>,
    queues: Parted<'a>,
    bots: Parted<'a>,
    rules: Parted<'a>,
}

impl<'a> Parts<'a> {
    fn of(table: &mut Table<'a>) -> Self {
        Self {
            channels: table.named("channels"),
            staff: table.named("staff"),
            groups: table.named("groups"),
            queues: table.named("queues"),
            bots: table.named("bots"),
            rules: table.named("rules"),
        }
    }

    fn keys(&mut self, service: &str) -> Keys {
        Keys {
            channels: Names::of(service, &mut self.channels),
            staff: Names::of(service, &mut self.staff),
            groups: Names::of(service, &mut self.groups),
            queues: Names::of(service, &mut self.queues),
            bots: Names::of(service, &mut self.bots),
            rules: Names::of(service, &mut self.rules),
        }
    }

    fn fill(self, service: &mut Service, keys: &Keys, numbers: &number::Defaults<'_>) {
        let settings = &mut service.settings;
        for (id, _, table) in with_ids(self.staff, &keys.staff) {
            if let Some((staff, account)) = team::staff(id, table, keys, service.demo) {
                settings.staff.insert(id, staff);
                service.accounts.insert(id, account);
            }
        }
        for (id, key, table) in with_ids(self.groups, &keys.groups) {
            settings.groups.insert(id, team::group(id, key, table, keys));
        }
        for (id, key, table) in with_ids(self.queues, &keys.queues) {
            settings.queues.extend(team::queue(id, key, table, keys).map(|queue| (id, queue)));
        }
        for (id, key, table) in with_ids(self.bots, &keys.bots) {
            if let Some((bot, access)) = team::bot(id, key, table) {
                settings.bots.insert(id, bot);
                service.bots.insert(id, access);
            }
        }
        for (id, key, table) in with_ids(self.rules, &keys.rules) {
            settings.rules.extend(rule::rule(id, key, table, keys).map(|rule| (id, rule)));
        }
        let auto_close = settings.auto_close.clone();
        for (id, key, table) in with_ids(self.channels, &keys.channels) {
            let of = channel::Of { service: &service.key, keys, auto_close: &auto_close, numbers };
            let (channel, number) = channel::channel(id, key, table, of);
            settings.channels.insert(id, channel);
            service.numbers.extend(number.map(|number| (id, number)));
        }
    }
}

fn with_ids<'a, I: Id>(parts: Parted<'a>, names: &Names<I>) -> Vec<(I, &'a str, Table<'a>)> {
    let with_id = |(key, table)| Some((names.find(key).ok()?, key, table));
    parts.into_iter().filter_map(with_id).collect()
}

/// What may be there only once in an installation.
fn unique_over_services(services: &[Service], notes: &Notes) {
    let mut seen = Seen { notes, seen: BTreeMap::new() };
    for service in services {
        let path = format!("service.{}", service.key);
        seen.once("key", &service.key, &path);
        seen.once("id", service.settings.service, &path);
        for account in service.accounts.values() {
            seen.once("e-mail address", &account.email, &path);
        }
        for (id, number) in &service.numbers {
            let name = service.settings.channels.get(id).map_or("", |channel| &channel.name);
            let path = format!("{path}, channel {name}");
            if let Some(phone_number_id) = &number.phone_number_id {
                seen.once("phone_number_id", phone_number_id, &path);
            }
        }
        let mut sources: Vec<_> =
            service.numbers.values().filter_map(|number| number.source.as_ref()).collect();
        sources.sort_unstable();
        sources.dedup();
        for source in sources {
            seen.once("source (it serves one service only)", source, &path);
        }
    }
}

struct Seen<'a> {
    notes: &'a Notes,
    /// What and its value, and the path at which it stood first.
    seen: BTreeMap<(&'static str, String), String>,
}

impl Seen<'_> {
    fn once(&mut self, what: &'static str, value: impl Display, path: &str) {
        let value = value.to_string();
        if let Some(other) = self.seen.get(&(what, value.clone())) {
            self.notes.fault(path, format!("the {what} `{value}` is also at {other}"), None);
        } else {
            self.seen.insert((what, value), path.to_owned());
        }
    }
}

fn warn_of_demo(services: &[Service], config: &Config, notes: &Notes) {
    if !config.http.bind.ip().is_loopback() {
        for service in services.iter().filter(|service| service.demo) {
            let what =
                "has passwords known to everybody, and `http.bind` can be reached from outside";
            notes.warn(format!("service.{}", service.key), what, None);
        }
    }
}
