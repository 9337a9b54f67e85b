//! What is set per channel: routing, auto-messages, engagement, custom info.

use std::time::Duration;

use usher_domain::ids::{ChannelId, RuleId};
use usher_domain::settings::{
    AutoClose, AutoCloseWhen, Away, Channel, ChannelState, DisplayName, Engagement, Sticky,
    StickyMiss, StickyMode, StickyScope, StickyWithin, Text, Welcome, WelcomeRepeat,
};

use super::keys::Keys;
use super::number::{self, Number};
use super::team::language_tag;
use super::texts;
use crate::node::Node;
use crate::table::Table;
use crate::value::{self, DAY, HOUR, MINUTE, SECOND, YEARS};

const NAME_MAX: usize = 40;
const TEXT_MAX: usize = 500;
const CUSTOM_INFO_MAX: usize = 10_000;
const RESTART_TEMPLATES_MAX: usize = 20;
/// The provider's longest template name.
const TEMPLATE_NAME_MAX: usize = 512;
const OPT_OUT_WORDS_MAX: usize = 100;
/// Free-form messages can be sent this long after the visitor's last one.
const WINDOW: Duration = DAY;

/// What a channel of a service is read with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Of<'a> {
    pub(super) service: &'a str,
    pub(super) keys: &'a Keys,
    pub(super) auto_close: &'a AutoClose,
    pub(super) numbers: &'a number::Defaults<'a>,
}

pub(super) fn channel(
    id: ChannelId,
    key: &str,
    mut table: Table<'_>,
    of: Of<'_>,
) -> (Channel, Option<Number>) {
    let name = table.must("name", value::words_up_to(NAME_MAX));
    let rule = table.must("rule", |node| of.keys.rules.named(node));
    let state = table.read("state", value::one_of(&STATES));
    let disconnected = state == Some(ChannelState::Disconnected);
    let number = number::number(&mut table, of.service, key, of.numbers, disconnected);
    let phone_number_id = number.as_ref().and_then(|number| number.phone_number_id.clone());
    let learnt = if phone_number_id.is_some() || disconnected {
        ChannelState::Live
    } else {
        ChannelState::Connecting
    };
    let (auto_close, auto_close_text) = auto_close_of(&mut table, of.auto_close);
    let channel = Channel {
        id,
        // What is missing has been noted: reading goes on, to find what else is wrong.
        name: name.unwrap_or_default(),
        state: state.unwrap_or(learnt),
        phone_number_id,
        rule: rule.unwrap_or(RuleId::from_number(0)),
        sticky: sticky(table.section("sticky")),
        engagement: engagement(table.section("engagement"), of.keys),
        auto_pick_up: table.read("auto_pick_up", value::switch),
        language: table.read("language", language_tag),
        welcome: welcome(table.section("welcome")),
        away: away(table.section("away")),
        auto_close,
        auto_close_text,
        close: close(table.section("close")),
        transfer_failed: table.read("transfer_failed", value::words_up_to(TEXT_MAX)),
        display_name: table.or("display_name", DisplayName::None, value::one_of(&DISPLAY_NAMES)),
        custom_info: table.read("custom_info", value::words_up_to(CUSTOM_INFO_MAX)),
        restart_templates: table.or("restart_templates", Vec::new(), templates),
        opt_out_words: table.or("opt_out_words", Vec::new(), value::list(opt_out_word)),
    };
    table.done();
    (channel, number)
}

const STATES: [(&str, ChannelState); 4] = [
    ("connecting", ChannelState::Connecting),
    ("live", ChannelState::Live),
    ("suspended", ChannelState::Suspended),
    ("disconnected", ChannelState::Disconnected),
];

const DISPLAY_NAMES: [(&str, DisplayName); 3] = [
    ("none", DisplayName::None),
    ("first_name", DisplayName::FirstName),
    ("full_name", DisplayName::FullName),
];

fn opt_out_word(node: &Node) -> Result<String, String> {
    value::words_up_to(OPT_OUT_WORDS_MAX)(node)
}

fn templates(node: &Node) -> Result<Vec<String>, String> {
    let names = value::list(value::words_up_to(TEMPLATE_NAME_MAX))(node)?;
    if names.len() > RESTART_TEMPLATES_MAX {
        return Err(format!(
            "are {} templates; at most {RESTART_TEMPLATES_MAX} are allowed",
            names.len()
        ));
    }
    Ok(names)
}

fn welcome(mut table: Table<'_>) -> Welcome {
    let welcome = Welcome {
        on: table.or("on", true, value::switch),
        text: text(&mut table, texts::WELCOME),
        repeat: table.or("repeat_after", WelcomeRepeat::After(24 * HOUR), welcome_repeat),
        only_if_staffed: table.or("only_if_staffed", false, value::switch),
    };
    table.done();
    welcome
}

fn welcome_repeat(node: &Node) -> Result<WelcomeRepeat, String> {
    if value::text(node).is_ok_and(|text| text == "first_contact_only") {
        return Ok(WelcomeRepeat::FirstContactOnly);
    }
    let duration = value::duration(Duration::ZERO..=YEARS)(node);
    duration.map(WelcomeRepeat::After).map_err(|what| format!("{what}, or \"first_contact_only\""))
}

fn away(mut table: Table<'_>) -> Away {
    let away = Away {
        on: table.or("on", true, value::switch),
        text: text(&mut table, texts::AWAY),
        repeat_after: table.or("repeat_after", 8 * HOUR, value::duration(Duration::ZERO..=YEARS)),
    };
    table.done();
    away
}

fn close(mut table: Table<'_>) -> Text {
    let close =
        Text { on: table.or("on", true, value::switch), text: text(&mut table, texts::CLOSE) };
    table.done();
    close
}

fn text(table: &mut Table<'_>, default: &str) -> String {
    table.or("text", default.to_owned(), value::words_up_to(TEXT_MAX))
}

/// The service-wide switch and times.
pub(super) fn auto_close(mut table: Table<'_>) -> AutoClose {
    let defaults = AutoClose {
        on: false,
        idle: 2 * MINUTE,
        grace: MINUTE,
        lapsed_idle: 24 * HOUR,
        when: AutoCloseWhen::Silence,
    };
    let auto_close = auto_close_over(&mut table, &defaults);
    table.done();
    auto_close
}

/// What a channel overrides, and its own notification text.
fn auto_close_of(
    channel: &mut Table<'_>,
    service: &AutoClose,
) -> (Option<AutoClose>, Option<String>) {
    let own = channel.has("auto_close");
    let mut table = channel.section("auto_close");
    let text = table.read("text", value::words_up_to(TEXT_MAX));
    let auto_close = auto_close_over(&mut table, service);
    if text.is_some() && !auto_close.on {
        table.fault("text", "can be set only while auto-close is on");
    }
    table.done();
    ((own && auto_close != *service).then_some(auto_close), text)
}

fn auto_close_over(table: &mut Table<'_>, below: &AutoClose) -> AutoClose {
    let whens =
        [("silence", AutoCloseWhen::Silence), ("visitor_silent", AutoCloseWhen::VisitorSilent)];
    let auto_close = AutoClose {
        on: table.or("on", below.on, value::switch),
        idle: table.or("idle", below.idle, value::duration(SECOND..=30 * DAY)),
        grace: table.or("grace", below.grace, value::duration(SECOND..=30 * DAY)),
        lapsed_idle: table.or("lapsed_idle", below.lapsed_idle, value::duration(SECOND..=30 * DAY)),
        when: table.or("when", below.when, value::one_of(&whens)),
    };
    if auto_close.on && auto_close.idle + auto_close.grace >= WINDOW {
        let together = value::shown(auto_close.idle + auto_close.grace);
        let what = format!(
            "idle and grace are {together} together: the 24-hour window lapses first, and the \
             notification cannot be sent"
        );
        table.warn("", what);
    }
    auto_close
}

fn sticky(mut table: Table<'_>) -> Sticky {
    let scopes = [("channel", StickyScope::Channel), ("service", StickyScope::Service)];
    let withins = [
        ("rule", StickyWithin::Rule),
        ("leaf", StickyWithin::Leaf),
        ("service", StickyWithin::Service),
    ];
    let sticky = Sticky {
        on: table.or("on", false, value::switch),
        mode: sticky_mode(&mut table),
        scope: table.or("scope", StickyScope::Channel, value::one_of(&scopes)),
        within: table.or("within", StickyWithin::Rule, value::one_of(&withins)),
        expires: table.or("expires", Some(30 * DAY), expiry),
    };
    table.done();
    sticky
}

fn sticky_mode(table: &mut Table<'_>) -> StickyMode {
    let strict = table.or("mode", false, value::one_of(&[("loose", false), ("strict", true)]));
    let misses = [("rule", StickyMiss::Rule), ("missed", StickyMiss::Missed)];
    let hold = table.or("hold", Duration::ZERO, value::duration(Duration::ZERO..=HOUR));
    let wait = table.or("wait", 10 * MINUTE, value::duration(SECOND..=DAY));
    let offline = table.or("offline", StickyMiss::Rule, value::one_of(&misses));
    let (unused, mode): (&[&str], _) =
        if strict { (&["hold"], "loose") } else { (&["wait", "offline"], "strict") };
    for key in unused.iter().filter(|key| table.has(key)) {
        table.fault(key, format!("belongs to mode = \"{mode}\""));
    }
    if strict { StickyMode::Strict { wait, offline } } else { StickyMode::Loose { hold } }
}

fn expiry(node: &Node) -> Result<Option<Duration>, String> {
    if value::text(node).is_ok_and(|text| text == "never") {
        return Ok(None);
    }
    let duration = value::duration(HOUR..=YEARS)(node);
    duration.map(Some).map_err(|what| format!("{what}, or \"never\""))
}

fn engagement(mut table: Table<'_>, keys: &Keys) -> Engagement {
    let engagement = Engagement {
        on: table.or("on", false, value::switch),
        staff: table.or("staff", Vec::new(), value::list(|node| keys.staff.named(node))),
    };
    if engagement.on && engagement.staff.is_empty() {
        table.warn("staff", "nobody is listed, so nobody can write first");
    }
    table.done();
    engagement
}
