//! People, the accounts they sign in with, and the destinations they stand behind.

use std::net::IpAddr;

use secrecy::SecretString;
use usher_domain::ids::{BotId, GroupId, QueueId, StaffId};
use usher_domain::settings::{Bot, Group, Method, Queue, Role, Staff};

use super::keys::Keys;
use crate::node::Node;
use crate::table::Table;
use crate::value::{self, HOUR, MINUTE, SECOND};

const NAME_MAX: usize = 80;
const CAPACITY: u16 = 5;

/// How a person signs in.
#[derive(Clone, Debug)]
pub struct Account {
    /// Lower case; unique in the installation.
    pub email: String,
    /// `None`: cannot sign in until a password is set.
    pub password: Option<Password>,
}

#[derive(Clone, Debug)]
pub enum Password {
    /// An argon2id hash in PHC form, `$argon2id$v=19$…`.
    Hash(SecretString),
    /// The password itself, from the environment or the demo; to be hashed at start.
    Plain(SecretString),
}

/// How a bot is reached, besides its address.
#[derive(Clone, Debug)]
pub struct BotAccess {
    /// Signs what is sent to it.
    pub secret: SecretString,
    /// Whether its address may be a private one.
    pub allow_private: bool,
}

pub(super) fn staff(
    id: StaffId,
    mut table: Table<'_>,
    keys: &Keys,
    demo: bool,
) -> Option<(Staff, Account)> {
    let roles = [
        ("agent", Role::Agent),
        ("supervisor", Role::Supervisor),
        ("administrator", Role::Administrator),
    ];
    let first_name = table.must("first_name", value::words_up_to(NAME_MAX));
    let last_name = table.or("last_name", String::new(), value::words_up_to(NAME_MAX));
    let role = table.or("role", Role::Agent, value::one_of(&roles));
    let enabled = table.or("enabled", true, value::switch);
    let capacity = table.or("capacity", CAPACITY, value::medium(1..=1_000));
    let supervises =
        table.or("supervises", Vec::new(), value::list(|node| keys.groups.named(node)));
    if !supervises.is_empty() && role != Role::Supervisor {
        table.fault("supervises", "is for supervisors only");
    }
    let email = table.must("email", email);
    let password = password(&mut table, demo);
    table.done();
    let staff =
        Staff { id, first_name: first_name?, last_name, role, enabled, capacity, supervises };
    Some((staff, Account { email: email?, password }))
}

fn email(node: &Node) -> Result<String, String> {
    let written = value::text(node)?;
    let fits = written
        .split_once('@')
        .is_some_and(|(local, host)| !local.is_empty() && !host.is_empty() && !host.contains('@'));
    if !fits || written.len() > 254 || written.contains(char::is_whitespace) {
        return Err(format!("`{written}` is not an e-mail address"));
    }
    Ok(written.to_lowercase())
}

fn password(table: &mut Table<'_>, demo: bool) -> Option<Password> {
    let ways = ["password_hash", "password_env", "password_file", "demo_password"];
    let set: Vec<_> = ways.into_iter().filter(|way| table.has(way)).collect();
    match set[..] {
        [] => table.warn("", "has no password and cannot sign in"),
        [_, second, ..] => table.fault(second, format!("cannot be set together with `{}`", set[0])),
        [_] => {}
    }
    let hash = table.read("password_hash", hash).map(Password::Hash);
    let plain = table.secret("password_env", "password_file").map(Password::Plain);
    if table.has("demo_password") && !demo {
        table.fault("demo_password", "is for services with `demo = true`; use password_hash");
    }
    let known_to_all = table.read("demo_password", value::words_up_to(NAME_MAX));
    hash.or(plain).or(known_to_all.map(|text| Password::Plain(SecretString::from(text))))
}

/// `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`.
fn hash(node: &Node) -> Result<SecretString, String> {
    let written = value::text(node)?;
    let parts: Vec<_> = written.split('$').collect();
    match parts[..] {
        ["", "argon2id", version, parameters, salt, hash]
            if version.starts_with("v=")
                && parameters.contains("m=")
                && !salt.is_empty()
                && !hash.is_empty() =>
        {
            Ok(SecretString::from(written))
        }
        // The text is not repeated: it may be a password put in the wrong place.
        _ => Err("is not an argon2id hash of the form $argon2id$v=19$m=…,t=…,p=…$…$…".to_owned()),
    }
}

pub(super) fn group(id: GroupId, key: &str, mut table: Table<'_>, keys: &Keys) -> Group {
    let methods = [
        ("simultaneous", Method::Simultaneous),
        ("fixed_order", Method::FixedOrder),
        ("round_robin", Method::RoundRobin),
        ("most_idle", Method::MostIdle),
        ("least_loaded", Method::LeastLoaded),
    ];
    let everything = || vec!["*".to_owned()];
    let members = table.or("members", Vec::new(), value::list(|node| keys.staff.named(node)));
    if members.is_empty() {
        table.warn("members", "nobody is in this group");
    }
    if let Some(n) = (1..members.len()).find(|n| members[..*n].contains(&members[*n])) {
        table.fault("members", format!("[{n}]: is listed twice"));
    }
    let pick_up = table.or("pick_up", MINUTE, pick_up);
    let group = Group {
        id,
        name: name(&mut table, key),
        members,
        languages: table.or("languages", everything(), value::list(language)),
        countries: table.or("countries", everything(), value::list(country)),
        unknown_matches: table.or("unknown_matches", true, value::switch),
        pick_up,
        share: table.or("share", 20 * SECOND, value::duration(SECOND..=HOUR)),
        method: table.or("method", Method::Simultaneous, value::one_of(&methods)),
        auto_pick_up: table.read("auto_pick_up", value::switch),
    };
    table.done();
    group
}

pub(super) fn pick_up(node: &Node) -> Result<std::time::Duration, String> {
    value::duration(5 * SECOND..=HOUR)(node)
}

fn name(table: &mut Table<'_>, key: &str) -> String {
    table.or("name", key.to_owned(), value::words_up_to(NAME_MAX))
}

/// `*`, or a language tag such as `de` or `pt-br`.
fn language(node: &Node) -> Result<String, String> {
    let written = value::text(node)?;
    if written == "*" { Ok(written) } else { language_tag(node) }
}

pub(super) fn language_tag(node: &Node) -> Result<String, String> {
    let tag = value::text(node)?.replace('_', "-").to_ascii_lowercase();
    let mut parts = tag.split('-');
    let primary = parts.next().unwrap_or("");
    let fits = (2..=3).contains(&primary.len())
        && primary.bytes().all(|byte| byte.is_ascii_lowercase())
        && parts.all(|part| {
            (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
    if fits { Ok(tag) } else { Err(format!("`{tag}` is not a language tag, as \"de\"")) }
}

/// `*`, or a country code such as `DE`.
fn country(node: &Node) -> Result<String, String> {
    let code = value::text(node)?.to_ascii_uppercase();
    let fits = code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    if fits || code == "*" {
        Ok(code)
    } else {
        Err(format!("`{code}` is not a country code, as \"DE\""))
    }
}

pub(super) fn queue(id: QueueId, key: &str, mut table: Table<'_>, keys: &Keys) -> Option<Queue> {
    let group = table.must("group", |node| keys.groups.named(node));
    let name = name(&mut table, key);
    let length_max = table.or("length_max", 5, value::medium(1..=1_000));
    let wait_max = table.or("wait_max", 5 * MINUTE, value::duration(MINUTE..=HOUR));
    table.done();
    Some(Queue { id, name, group: group?, length_max, wait_max })
}

pub(super) fn bot(id: BotId, key: &str, mut table: Table<'_>) -> Option<(Bot, BotAccess)> {
    let name = name(&mut table, key);
    let url = table.must("url", value::url);
    let hand_over_words =
        table.or("hand_over_words", Vec::new(), value::list(value::words_up_to(NAME_MAX)));
    let allow_private = table.or("allow_private", false, value::switch);
    if !allow_private && url.as_deref().is_some_and(is_private) {
        table.fault("url", "is a private address; set `allow_private = true` if it is meant");
    }
    if url.as_deref().is_some_and(|url| url.starts_with("http://")) && !allow_private {
        table.fault("url", "must begin with https://");
    }
    let secret = table.secret("secret_env", "secret_file");
    if secret.is_none() && !table.has("secret_env") && !table.has("secret_file") {
        table.fault("secret_env", "is missing (or secret_file): what signs the bot's messages");
    }
    table.done();
    let bot = Bot { id, name, url: url?, hand_over_words };
    Some((bot, BotAccess { secret: secret?, allow_private }))
}

/// Whether the host is written as a private address; what a name leads to is seen only when it is
/// looked up.
fn is_private(url: &str) -> bool {
    let host = url.split('/').nth(2).unwrap_or("");
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => host.split(':').next().unwrap_or(""),
    };
    match bare.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(v4)) => {
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified()
        }
        Ok(IpAddr::V6(v6)) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
        }
        Err(_) => bare == "localhost" || bare.ends_with(".localhost"),
    }
}
