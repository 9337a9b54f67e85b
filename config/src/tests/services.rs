//! Service files: what is refused, and where.

use std::collections::BTreeMap;

use secrecy::ExposeSecret as _;
use usher_domain::ids::{ChannelId, StaffId};
use usher_domain::settings::ChannelState;

use super::{Setup, by_path};
use crate::{Password, Signature, WebhookAuth};

/// A small service that is sound; tests put things into it.
const SHOP: &str = r#"
[[service]]
key = "shop"

[service.staff.ann]
first_name = "Ann"
email = "Ann@Shop.example"
role = "administrator"
password_hash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo"

[service.groups.all]
members = ["ann"]

[service.queues.line]
group = "all"

[service.rules.main]
alternative = ["group:all"]

[service.channels.main]
name = "Main"
rule = "main"

[service.channels.main.number]
api_key_env = "SHOP_KEY"
webhook_secret_env = "USHER_SHOP_HOOK"
"#;

fn shop(text: &str) -> Setup {
    Setup::new().service(text).env("SHOP_KEY", "key-1").env("USHER_SHOP_HOOK", "hook-1")
}

/// With `line` put behind the first line that is `head`.
fn with(head: &str, line: &str) -> Setup {
    assert!(SHOP.contains(&format!("{head}\n")), "{head}");
    shop(&SHOP.replacen(&format!("{head}\n"), &format!("{head}\n{line}\n"), 1))
}

#[test]
fn a_small_service_is_enough() {
    let loaded = shop(SHOP).load().unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let service = &loaded.services[0];
    let (id, channel) = service.settings.channels.first_key_value().unwrap();
    assert_eq!(channel.state, ChannelState::Connecting, "its number is not known yet");
    let number = &service.numbers[id];
    assert_eq!(number.api_key.expose_secret(), "key-1");
    let WebhookAuth::Header { name, secret } = &number.webhook else { panic!("{number:?}") };
    assert_eq!((name.as_str(), secret.expose_secret()), ("X-Usher-Secret", "hook-1"));
    assert!(matches!(number.signature, Signature::Off));
    let account = service.accounts.values().next().unwrap();
    assert_eq!(account.email, "ann@shop.example");
    assert!(matches!(account.password, Some(Password::Hash(_))));
}

#[test]
fn an_id_set_by_hand_stands() {
    let id = StaffId::from_number(7);
    let setup = with("[service.staff.ann]", &format!("id = \"{id}\""));
    assert!(setup.load().unwrap().services[0].settings.staff.contains_key(&id));
    let wrong = with("[service.staff.ann]", &format!("id = \"{}\"", ChannelId::from_number(7)));
    let faults = wrong.faults();
    assert!(by_path(&faults)["service.shop.staff.ann.id"].contains("stf_"), "{faults:?}");
}

/// Each line put into the small service, and where and how it is refused.
const REFUSED: &[(&str, &str, &str, &str)] = &[
    ("[service.staff.ann]", "capacity = 0", "staff.ann.capacity", "is 0; must be 1 to 1000"),
    ("[service.staff.ann]", "nick = \"A\"", "staff.ann.nick", "unknown key"),
    (
        "[service.staff.ann]",
        "demo_password = \"x\"",
        "staff.ann.demo_password",
        "is for services with",
    ),
    ("[service.staff.ann]", "supervises = [\"all\"]", "staff.ann.supervises", "supervisors only"),
    ("[service.groups.all]", "pick_up = \"4s\"", "groups.all.pick_up", "is 4s; must be 5s to 1h"),
    ("[service.groups.all]", "method = \"robin\"", "groups.all.method", "round_robin"),
    ("[service.groups.all]", "countries = [\"DEU\"]", "groups.all.countries", "[0]: `DEU`"),
    ("[service.queues.line]", "length_max = 1001", "queues.line.length_max", "must be 1 to 1000"),
    ("[service.queues.line]", "wait_max = \"61m\"", "queues.line.wait_max", "must be 1m to 1h"),
    ("[service.rules.main]", "priority = 10", "rules.main.priority", "must be 0 to 9"),
    (
        "[service.rules.main]",
        "emergency = [\"group:al\"]",
        "rules.main.emergency[0]",
        "did you mean `all`",
    ),
    ("[service.rules.main]", "emergency = []", "rules.main.emergency", "1 to 5"),
    ("[service.rules.main]", "time = []", "rules.main.time", "cannot stand beside"),
    ("[service.channels.main]", "state = \"off\"", "channels.main.state", "is not a choice"),
    (
        "[service.channels.main]",
        "custom_info = \"\"",
        "channels.main.custom_info",
        "must not be empty",
    ),
    (
        "[service.channels.main]",
        "sticky.hold = \"2h\"",
        "channels.main.sticky.hold",
        "must be 0 to 1h",
    ),
    (
        "[service.channels.main]",
        "sticky.wait = \"2m\"",
        "channels.main.sticky.wait",
        "mode = \"strict\"",
    ),
    (
        "[service.channels.main]",
        "auto_close.text = \"x\"",
        "channels.main.auto_close.text",
        "while auto-close is on",
    ),
    (
        "[service.channels.main]",
        "engagement.staff = [\"bob\"]",
        "channels.main.engagement.staff",
        "there is no `bob`",
    ),
    (
        "[service.channels.main.number]",
        "signature = \"required\"",
        "channels.main.number.signature",
        "needs a platform secret",
    ),
    (
        "[service.channels.main.number]",
        "api_key_file = \"x\"",
        "channels.main.number.api_key_file",
        "together with",
    ),
    (
        "[service.channels.main.number]",
        "phone_number_id = \"+49\"",
        "channels.main.number.phone_number_id",
        "digits",
    ),
];

#[test]
fn limits_are_told_with_their_path() {
    for (head, line, path, what) in REFUSED {
        let faults = with(head, line).faults();
        let found = by_path(&faults);
        let path = format!("service.shop.{path}");
        let told = found.get(path.as_str());
        assert!(told.is_some_and(|told| told.contains(what)), "{line}: {found:#?}");
    }
}

#[test]
fn lengths_count_characters_as_people_do() {
    let family = "\u{1F468}\u{200D}\u{1F469}\u{200D}\u{1F467}";
    for (length, sound) in [(40, true), (41, false)] {
        let name = format!("name = \"{}\"", family.repeat(length));
        let setup = shop(&SHOP.replace("name = \"Main\"", &name));
        assert_eq!(setup.load().is_ok(), sound, "{length}");
    }
    for (key, most) in [
        ("welcome.text", 500),
        ("away.text", 500),
        ("close.text", 500),
        ("transfer_failed", 500),
        ("custom_info", 10_000),
    ] {
        let line = |length| format!("{key} = \"{}\"", "é".repeat(length));
        assert!(with("[service.channels.main]", &line(most)).load().is_ok(), "{key}");
        let faults = with("[service.channels.main]", &line(most + 1)).faults();
        assert!(faults[0].what.contains(&format!("at most {most}")), "{faults:?}");
    }
    let templates = |n: usize| format!("restart_templates = {:?}", vec!["again"; n]);
    assert!(with("[service.channels.main]", &templates(20)).load().is_ok());
    assert!(with("[service.channels.main]", &templates(21)).load().is_err());
}

#[test]
fn faults_of_all_parts_are_told_together() {
    let text = SHOP
        .replace("members = [\"ann\"]", "members = [\"anne\"]")
        .replace("group = \"all\"", "")
        .replace("rule = \"main\"", "rule = \"mian\"")
        .replace("first_name = \"Ann\"", "");
    let faults = Setup::new().service(&text).env("USHER_SHOP_HOOK", "x").faults();
    let found = by_path(&faults);
    let wanted = BTreeMap::from([
        ("service.shop.staff.ann.first_name", "is missing"),
        ("service.shop.groups.all.members", "[0]: there is no `anne`; did you mean `ann`?"),
        ("service.shop.queues.line.group", "is missing"),
        ("service.shop.channels.main.rule", "there is no `mian`; did you mean `main`?"),
        (
            "service.shop.channels.main.number.api_key_env",
            "the environment variable SHOP_KEY is not set",
        ),
    ]);
    assert_eq!(found, wanted);
    assert!(faults.iter().all(|fault| fault.to_string().contains("shop.toml:")), "{faults:?}");
}

#[test]
fn unsound_rules_are_told_in_the_words_of_the_file() {
    let rule = r#"
percentage = [
  { name = "a", percent = 60, to = ["group:all"] },
  { name = "b", percent = 60, to = { time = [{ name = "n", days = "sat", to = ["queue:line"] }], zone = "Mars", otherwise = ["group:all"] } },
]
otherwise = ["group:all"]"#;
    let text = SHOP.replace("alternative = [\"group:all\"]", rule);
    let faults = shop(&text).faults();
    let found = by_path(&faults);
    let paths: Vec<_> = found.keys().copied().collect();
    let wanted =
        ["service.shop.rules.main.percentage", "service.shop.rules.main.percentage[1].to.zone"];
    assert_eq!(paths, wanted);
}

#[test]
fn long_silences_are_warned_about() {
    let line = "auto_close = { on = true, idle = \"23h\", grace = \"1h\" }";
    let loaded = with("[service.channels.main]", line).load().unwrap();
    assert_eq!(loaded.warnings.len(), 1);
    assert_eq!(loaded.warnings[0].path, "service.shop.channels.main.auto_close");
    assert!(loaded.warnings[0].what.contains("24-hour window"));
}

#[test]
fn what_must_be_unique_is() {
    let second = SHOP.replace("key = \"shop\"", "key = \"store\"").replace(
        "[service.channels.main.number]",
        "[service.channels.main.number]\nsource = \"5\"",
    );
    let first = SHOP.replace(
        "[service.channels.main.number]",
        "[service.channels.main.number]\nsource = \"5\"",
    );
    let faults = shop(&format!("{first}{second}")).faults();
    let told: Vec<_> = faults.iter().map(|fault| fault.what.as_str()).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().any(|what| what.contains("e-mail address `ann@shop.example`")));
    assert!(told.iter().any(|what| what.contains("source") && what.contains("`5`")));
    assert!(told.iter().all(|what| what.contains("service.shop")));
    assert!(shop(&format!("{SHOP}{SHOP}")).faults().iter().any(|f| f.what.contains("the key")));
}

#[test]
fn a_hash_in_the_wrong_form_is_not_repeated() {
    let text = SHOP.replace("password_hash = \"$argon2id$", "password_hash = \"hunter2$");
    let told = shop(&text).load().unwrap_err().to_string();
    assert!(told.contains("password_hash") && !told.contains("hunter2"), "{told}");
}

#[test]
fn bots_stay_out_of_private_networks() {
    for (url, sound) in [
        ("https://bot.example.com/x", true),
        ("http://bot.example.com/x", false),
        ("https://127.0.0.1/x", false),
        ("https://[::ffff:10.0.0.1]:8/x", false),
        ("https://localhost", false),
    ] {
        let bot = format!("[service.bots.b]\nurl = \"{url}\"\nsecret_env = \"SHOP_KEY\"\n");
        assert_eq!(shop(&format!("{SHOP}{bot}")).load().is_ok(), sound, "{url}");
    }
}
