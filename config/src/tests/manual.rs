//! The demo: that it is sound, and that it shows every key of service files.

use std::time::Duration;

use secrecy::ExposeSecret as _;
use usher_domain::rule::Branch;
use usher_domain::settings::{AutoCloseWhen, ChannelState, Role, WelcomeRepeat};

use super::demo;
use crate::fault::Notes;
use crate::node::{Source, parse};
use crate::program;
use crate::table::{Reading, Table};
use crate::{DEMO_TOML, Password, USHER_TOML, WebhookAuth, sandbox_numbers, service};

#[test]
fn the_demo_is_sound() {
    let loaded = demo();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let service = &loaded.services[0];
    let settings = &service.settings;
    assert_eq!((settings.channels.len(), settings.staff.len()), (2, 6));
    assert_eq!((settings.groups.len(), settings.queues.len(), settings.rules.len()), (3, 1, 2));
    assert_eq!(service.accounts.len(), 6);
    let roles: Vec<_> = settings.staff.values().map(|staff| staff.role).collect();
    assert_eq!(roles.iter().filter(|role| **role == Role::Agent).count(), 4);

    let support = settings.channels.values().find(|channel| channel.name == "Support").unwrap();
    let auto_close = settings.auto_close_of(support.id);
    assert!(auto_close.on);
    assert_eq!((auto_close.idle.as_secs(), auto_close.grace.as_secs()), (120, 60));
    assert_eq!(auto_close.lapsed_idle, Duration::from_hours(24));
    assert_eq!(auto_close.when, AutoCloseWhen::Silence);
    assert_eq!(support.state, ChannelState::Live);
    assert_eq!(support.welcome.repeat, WelcomeRepeat::After(Duration::from_hours(24)));
    assert_eq!(support.away.repeat_after, Duration::from_hours(8));
    assert!(support.close.on && !support.close.text.is_empty());

    let sales = settings.channels.values().find(|channel| channel.name == "Sales").unwrap();
    assert!(sales.sticky.on && sales.engagement.on);
    assert!(!settings.auto_close_of(sales.id).on);
    let Branch::Time(time) = &settings.rules[&sales.rule].branch else { panic!("not by time") };
    assert_eq!(time.holidays.len(), 3, "the one over New Year is two");
    assert!(matches!(time.conditions[0].branch, Branch::Percentage(_)));
}

#[test]
fn the_service_stands_at_the_documented_defaults() {
    let settings = &demo().services[0].settings;
    assert_eq!((settings.offers_at_once, settings.no_answer_limit), (3, 2));
    assert_eq!(settings.idle_after.as_secs(), 600);
    assert_eq!(settings.presence_grace.as_secs(), 20);
    assert_eq!(settings.wrap_up, Duration::ZERO);
    assert_eq!(settings.owner_gone.as_secs(), 300);
    assert_eq!(settings.no_reply, Duration::ZERO);
    assert!(settings.missed_offer_when_free && !settings.auto_pick_up && !settings.auto_close.on);
    assert_eq!(settings.stale_close.as_secs(), 7 * 86_400);
    assert_eq!(settings.service_level.as_secs(), 60);
    let group = settings.groups.values().find(|group| group.name == "Support").unwrap();
    assert_eq!((group.pick_up.as_secs(), group.share.as_secs()), (60, 20));
    assert_eq!((&group.languages[..], group.unknown_matches), (&["*".to_owned()][..], true));
    let anna = settings.staff.values().find(|staff| staff.first_name == "Anna").unwrap();
    assert_eq!(anna.capacity, 5);
}

#[test]
fn ids_and_sandbox_numbers_are_the_same_after_every_start() {
    let (one, other) = (demo(), demo());
    assert_eq!(one.services[0].settings, other.services[0].settings);
    let settings = &one.services[0].settings;
    assert_eq!(settings.service.uuid().get_version_num(), 8);
    // Written down, because rooms and bindings of a running installation hang on it.
    assert_eq!(settings.service.to_string(), "svc_0d1ec9c41cab88c38a31c053ad5fd0a8");

    let numbers = sandbox_numbers(&one.services);
    let again = sandbox_numbers(&other.services);
    assert_eq!(numbers.len(), 2);
    for (one, other) in numbers.iter().zip(&again) {
        assert_eq!(one.api_key.expose_secret(), other.api_key.expose_secret());
        assert!(
            settings.channels[&one.channel].phone_number_id.as_ref() == Some(&one.phone_number_id)
        );
        assert!(
            matches!(&one.webhook, WebhookAuth::Header { name, .. } if name == "X-Usher-Secret")
        );
    }
    assert_ne!(numbers[0].api_key.expose_secret(), numbers[1].api_key.expose_secret());
}

#[test]
fn passwords_and_keys_are_not_in_debug_output() {
    let loaded = demo();
    let shown = format!("{loaded:?}");
    assert!(!shown.contains("usher-demo") && !shown.contains("sandbox-"), "{shown}");
    let account = loaded.services[0].accounts.values().next().unwrap();
    assert!(
        matches!(&account.password, Some(Password::Plain(plain)) if plain.expose_secret() == "usher-demo")
    );
}

#[test]
fn the_demo_shows_every_key() {
    // A bot is only shown in comments, so it is taken out of them here; then every reader runs.
    let text: String = DEMO_TOML
        .lines()
        .skip_while(|line| !line.contains("[service.bots"))
        .take_while(|line| line.starts_with('#'))
        .filter(|line| !line.starts_with("# id"))
        .flat_map(|line| [line.trim_start_matches('#'), "\n"])
        .collect();
    let tree = parse(&format!("{DEMO_TOML}\n{text}"), &Source::Default, &Notes::default());
    let defaults = parse(USHER_TOML, &Source::Default, &Notes::default());
    let (other, notes) = (Notes::default(), Notes::default());
    let environment = std::iter::once(("GREETER_SECRET".to_owned(), "x".to_owned())).collect();
    let of_program = Reading::new(&other, &environment);
    let config = program::read(Table::of(&defaults, String::new(), &of_program)).unwrap();
    let reading = Reading::new(&notes, &environment);
    let services = service::read(&[tree], &config, &reading);
    assert_eq!(services[0].bots.len(), 1);
    drop(reading);

    let known = notes.known.take();
    notes.outcome().unwrap();
    assert!(known.len() > 80, "{known:?}");
    for key in known {
        let shown = DEMO_TOML.lines().any(|line| mentions(line, key));
        assert!(shown, "demo.toml does not show `{key}`");
    }
}

/// Whether the key is set in a line, commented out or not, heads a table, or stands in the text.
fn mentions(line: &str, key: &str) -> bool {
    let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.into_iter().any(|word| word == key)
}
