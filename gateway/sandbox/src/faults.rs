//! Which misfortune strikes which request: counted or by seeded chance, optionally for one number only.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::clock::Chance;

/// Everything that can be made to go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    Ambiguous5xx,
    Html502,
    Slow,
    Meta403,
    BadKey401,
    Rate429,
    DropConnection,
    AcceptThenTimeout,
    StatusBeforeResponse,
    DuplicateWebhooks,
    ShuffleWebhooks,
    DuplicateStatuses,
    MsTimestamps,
    BsuidOnly,
    Media404,
    FailWith,
}

const NAMES: [(&str, Fault); 16] = [
    ("ambiguous_5xx", Fault::Ambiguous5xx),
    ("html_502", Fault::Html502),
    ("slow_ms", Fault::Slow),
    ("meta_403", Fault::Meta403),
    ("bad_key_401", Fault::BadKey401),
    ("rate_429", Fault::Rate429),
    ("drop_connection", Fault::DropConnection),
    ("accept_then_timeout", Fault::AcceptThenTimeout),
    ("status_before_response", Fault::StatusBeforeResponse),
    ("duplicate_webhooks", Fault::DuplicateWebhooks),
    ("shuffle_webhooks", Fault::ShuffleWebhooks),
    ("duplicate_statuses", Fault::DuplicateStatuses),
    ("ms_timestamps", Fault::MsTimestamps),
    ("bsuid_only", Fault::BsuidOnly),
    ("media_404", Fault::Media404),
    ("fail_with", Fault::FailWith),
];

/// Groups of provider paths a request fault can be aimed at.
pub(crate) const ENDPOINTS: [&str; 5] = ["messages", "media", "templates", "config", "health"];

#[derive(Debug)]
struct Rule {
    /// Strikes left; without it, until removed.
    count: Option<u64>,
    probability: f64,
    number: Option<String>,
    to: Option<String>,
    on: String,
    /// Milliseconds, seconds to wait, or the failure code, by fault.
    value: Option<u64>,
    hits: u64,
}

/// What a request or message looks like to the rules.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aim<'a> {
    pub(crate) number: &'a str,
    pub(crate) on: &'a str,
    pub(crate) to: Option<&'a str>,
}

#[derive(Debug)]
pub(crate) struct Faults {
    rules: BTreeMap<Fault, Rule>,
    chance: Chance,
}

impl Faults {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { rules: BTreeMap::new(), chance: Chance::new(seed) }
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    /// Adds or replaces the faults named in `body`; changes nothing if any of them is wrong.
    pub(crate) fn set(&mut self, body: &Value) -> Result<(), String> {
        let wanted = body.as_object().ok_or("an object of faults is expected")?;
        let mut rules = Vec::new();
        for (name, spec) in wanted {
            let (_, fault) = NAMES
                .iter()
                .find(|(known, _)| known == name)
                .ok_or_else(|| format!("unknown fault {name}"))?;
            rules.push((*fault, rule(*fault, spec).map_err(|why| format!("{name}: {why}"))?));
        }
        for (fault, rule) in rules {
            match rule {
                Some(rule) => self.rules.insert(fault, rule),
                None => self.rules.remove(&fault),
            };
        }
        Ok(())
    }

    /// Whether `fault` strikes now; its value (0 if it has none) when it does.
    pub(crate) fn strikes(&mut self, fault: Fault, aim: Aim<'_>) -> Option<u64> {
        let rule = self.rules.get_mut(&fault)?;
        let aimed = rule.number.as_deref().is_none_or(|number| number == aim.number)
            && (rule.on == "any" || rule.on == aim.on)
            && rule.to.as_deref().is_none_or(|to| aim.to == Some(to));
        if !aimed || rule.count == Some(0) || !self.chance.happens(rule.probability) {
            return None;
        }
        rule.count = rule.count.map(|left| left - 1);
        rule.hits += 1;
        Some(rule.value.unwrap_or(0))
    }

    pub(crate) fn show(&self) -> Value {
        let mut all = Map::new();
        for (name, fault) in NAMES {
            let Some(rule) = self.rules.get(&fault) else { continue };
            let shown = json!({
                "count": rule.count, "probability": rule.probability, "number": rule.number,
                "to": rule.to, "on": rule.on, "value": rule.value, "hits": rule.hits,
            });
            all.insert(name.to_owned(), shown);
        }
        Value::Object(all)
    }
}

/// Where a fault strikes when nothing else is said, and the word for its value.
const fn habit(fault: Fault) -> (&'static str, Option<&'static str>) {
    match fault {
        Fault::Slow => ("messages", Some("ms")),
        Fault::Rate429 => ("messages", Some("retry_after")),
        Fault::FailWith => ("messages", Some("code")),
        Fault::Media404 => ("media", None),
        Fault::DuplicateWebhooks
        | Fault::ShuffleWebhooks
        | Fault::DuplicateStatuses
        | Fault::MsTimestamps
        | Fault::BsuidOnly => ("any", None),
        Fault::Ambiguous5xx
        | Fault::Html502
        | Fault::Meta403
        | Fault::BadKey401
        | Fault::DropConnection
        | Fault::AcceptThenTimeout
        | Fault::StatusBeforeResponse => ("messages", None),
    }
}

/// `true` = always, `false` = off, a number = so many times (for `slow_ms`: milliseconds, always).
fn rule(fault: Fault, spec: &Value) -> Result<Option<Rule>, String> {
    let (on, word) = habit(fault);
    let mut rule = Rule {
        count: None,
        probability: 1.0,
        number: None,
        to: None,
        on: on.to_owned(),
        value: None,
        hits: 0,
    };
    match spec {
        Value::Bool(false) => return Ok(None),
        Value::Bool(true) => {}
        Value::Number(n) => {
            let n = n.as_u64().ok_or("a count is expected")?;
            if fault == Fault::Slow { rule.value = Some(n) } else { rule.count = Some(n) }
        }
        Value::Object(keys) => {
            for (key, value) in keys {
                fill(&mut rule, word, key, value)?;
            }
        }
        _ => return Err("true, false, a count or an object is expected".to_owned()),
    }
    let needs = matches!(fault, Fault::Slow | Fault::FailWith);
    if needs && rule.value.is_none() {
        return Err(format!("{} is needed", word.unwrap_or("value")));
    }
    Ok(Some(rule))
}

fn fill(rule: &mut Rule, word: Option<&str>, key: &str, value: &Value) -> Result<(), String> {
    let text = || value.as_str().map(str::to_owned).ok_or(format!("{key} must be a string"));
    let number = || value.as_u64().ok_or(format!("{key} must be a whole number"));
    match key {
        "count" => rule.count = Some(number()?),
        "probability" => {
            let share = value.as_f64().filter(|share| (0.0..=1.0).contains(share));
            rule.probability = share.ok_or("probability must be between 0 and 1")?;
        }
        "number" => rule.number = Some(text()?),
        "to" => rule.to = Some(text()?),
        "on" => {
            rule.on = text()?;
            if rule.on != "any" && !ENDPOINTS.contains(&rule.on.as_str()) {
                return Err(format!("on must be any or one of {ENDPOINTS:?}"));
            }
        }
        _ if Some(key) == word => rule.value = Some(number()?),
        _ => return Err(format!("unknown key {key}")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const AIM: Aim<'static> = Aim { number: "1", on: "messages", to: Some("49") };

    #[test]
    fn a_counted_fault_strikes_that_often_and_only_where_aimed() {
        let mut faults = Faults::new(1);
        faults.set(&json!({"html_502": {"count": 2, "number": "1", "to": "49"}})).unwrap();
        assert_eq!(faults.strikes(Fault::Html502, Aim { number: "2", ..AIM }), None);
        assert_eq!(faults.strikes(Fault::Html502, Aim { to: Some("50"), ..AIM }), None);
        assert_eq!(faults.strikes(Fault::Html502, Aim { on: "media", ..AIM }), None);
        assert_eq!(faults.strikes(Fault::Html502, AIM), Some(0));
        assert_eq!(faults.strikes(Fault::Html502, AIM), Some(0));
        assert_eq!(faults.strikes(Fault::Html502, AIM), None);
        assert_eq!(faults.show()["html_502"]["hits"], 2);
    }

    #[test]
    fn a_wrong_fault_changes_nothing() {
        let mut faults = Faults::new(1);
        assert!(faults.set(&json!({"html_502": 1, "no_such": true})).is_err());
        assert!(faults.set(&json!({"fail_with": true})).is_err());
        assert!(faults.set(&json!({"slow_ms": {"seconds": 1}})).is_err());
        assert_eq!(faults.show(), json!({}));
        faults.set(&json!({"slow_ms": 50, "fail_with": {"code": 131_026}})).unwrap();
        assert_eq!(faults.strikes(Fault::Slow, AIM), Some(50));
        assert_eq!(faults.strikes(Fault::FailWith, AIM), Some(131_026));
    }

    #[test]
    fn chance_strikes_about_as_often_as_asked() {
        let mut faults = Faults::new(3);
        faults.set(&json!({"rate_429": {"probability": 0.25}})).unwrap();
        let hits = (0..1000).filter(|_| faults.strikes(Fault::Rate429, AIM).is_some()).count();
        assert!((200..300).contains(&hits), "{hits}");
    }
}
