//! A million damaged webhooks: the parser answers all of them, alike each time, and what was not
//! damaged comes out.

#![expect(
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a harness that slices its own text wrongly has failed"
)]

mod support;

use std::borrow::Cow;
use std::collections::HashMap;
use std::thread;

use dialog360::inbound::{self, Unreadable, Update, UpdateBody};
use serde_json::{Map, Value, json};
use support::FIXTURES;

const MUTATIONS: u64 = 1_000_000;
const THREADS: u64 = 2;
const SEED: u64 = 0x0360_d1a1;

#[test]
fn a_million_damaged_bodies_lose_nothing_that_is_intact() {
    let workers: Vec<_> = (0..THREADS)
        .map(|worker| thread::spawn(move || run(SEED + worker, MUTATIONS / THREADS)))
        .collect();
    let outcomes: Vec<Outcome> = workers.into_iter().map(|w| w.join().unwrap()).collect();
    let total = |count: fn(&Outcome) -> u64| outcomes.iter().map(count).sum::<u64>();
    assert_eq!(total(|o| o.parsed + o.unreadable), MUTATIONS);
    // The damage must be of the kind that tells: most bodies readable, siblings really there.
    assert!(total(|o| o.parsed) > MUTATIONS / 2);
    assert!(total(|o| o.siblings) > MUTATIONS / 2);
}

#[derive(Default)]
struct Outcome {
    parsed: u64,
    unreadable: u64,
    siblings: u64,
}

fn run(seed: u64, mutations: u64) -> Outcome {
    let corpus: Vec<Fixture> =
        FIXTURES.iter().flat_map(|(_, body)| cut(body)).map(|body| Fixture::new(&body)).collect();
    let mut random = SplitMix64(seed);
    let mut outcome = Outcome::default();
    for number in 0..mutations {
        let fixture = random.pick(&corpus);
        if random.below(8) == 0 {
            damage_text(&fixture.text, &mut random, &mut outcome);
        } else {
            let place = format!("seed {seed:#x}, mutation {number}");
            damage_tree(fixture, &mut random, &mut outcome, &place);
        }
    }
    outcome
}

/// Damages one value: every message or receipt elsewhere must come out whole.
fn damage_tree(fixture: &Fixture, random: &mut SplitMix64, outcome: &mut Outcome, place: &str) {
    // Most values are leaves, so that the branches need a turn of their own.
    let branches = random.below(4) == 0;
    let part = random.pick(if branches { &fixture.branches } else { &fixture.parts });
    let mut value = part.value.clone();
    damage(&mut value, random);
    let (start, end) = part.span;
    let text = [&fixture.text[..start], &value.to_string(), &fixture.text[end..]].concat();
    let text = if random.below(16) == 0 { junk_escapes(&text, random) } else { text };
    let Some(found) = parse_twice(text.as_bytes(), outcome) else {
        let deep = inbound::parse(text.as_bytes()) == Err(Unreadable::TooDeep);
        assert!(deep || start == 0, "{place}: unreadable\n{text}");
        return;
    };
    outcome.siblings += part.intact.len() as u64;
    for (id, count) in &part.intact {
        let counted = found.iter().filter(|found| *found == id).count();
        assert!(counted >= *count, "{place}: {id} lost\n{text}");
    }
}

fn damage_text(text: &str, random: &mut SplitMix64, outcome: &mut Outcome) {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=random.below(3) {
        let at = random.index(bytes.len().max(1));
        match random.below(4) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] = random.byte(),
            2 => bytes.insert(at.min(bytes.len()), random.byte()),
            _ => {
                let from = random.index(bytes.len().max(1)).min(bytes.len());
                let piece = bytes[from..bytes.len().min(from + 40)].to_vec();
                let at = at.min(bytes.len());
                bytes.splice(at..at, piece);
            }
        }
    }
    parse_twice(&bytes, outcome);
}

/// The ids that came out; `None` if the body was unreadable.
fn parse_twice(body: &[u8], outcome: &mut Outcome) -> Option<Vec<String>> {
    let parsed = inbound::parse_sandbox(body);
    // Comparing is dear in a debug build, so the second look is at a sample.
    if body.len().is_multiple_of(8) {
        assert_eq!(parsed, inbound::parse_sandbox(body));
    }
    let Ok(updates) = parsed else {
        outcome.unreadable += 1;
        return None;
    };
    outcome.parsed += 1;
    let id = |update: Update<'_>| match update.body {
        UpdateBody::Message(message) => message.id,
        UpdateBody::Receipt(receipt) => receipt.id.map(Cow::into_owned),
        UpdateBody::Echo(echo) => echo.id,
        _ => None,
    };
    Some(updates.into_iter().filter_map(id).collect())
}

/// Bodies of at most three neighbours: as telling as long ones, and quicker.
fn cut(body: &str) -> Vec<Value> {
    const NEIGHBOURS: usize = 3;
    const LISTS: [&str; 3] = [
        "/entry/0/changes",
        "/entry/0/changes/0/value/messages",
        "/entry/0/changes/0/value/statuses",
    ];
    let body: Value = serde_json::from_str(body).unwrap();
    let long = |list: &str| {
        body.pointer(list).and_then(Value::as_array).is_some_and(|list| list.len() > NEIGHBOURS)
    };
    let Some(list) = LISTS.into_iter().find(|list| long(list)) else {
        return vec![body];
    };
    let with = |piece: &[Value]| {
        let mut cut = body.clone();
        *cut.pointer_mut(list).unwrap() = piece.to_vec().into();
        cut
    };
    let all = body.pointer(list).and_then(Value::as_array).unwrap();
    all.chunks(NEIGHBOURS).map(with).collect()
}

/// A body and all the values in it.
struct Fixture {
    text: String,
    parts: Vec<Part>,
    /// The objects and lists among the parts.
    branches: Vec<Part>,
}

#[derive(Clone)]
struct Part {
    value: Value,
    path: Vec<Step>,
    /// Where it stands in the text.
    span: (usize, usize),
    /// The ids that must survive damage to it, and how often each.
    intact: Vec<(String, usize)>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Key(String),
    Index(usize),
}

impl Fixture {
    fn new(root: &Value) -> Self {
        let mut fixture = Self { text: String::new(), parts: Vec::new(), branches: Vec::new() };
        fixture.write(root, &mut Vec::new());
        for part in &mut fixture.parts {
            part.intact = intact(root, &part.path);
        }
        let branch = |part: &&Part| part.value.is_object() || part.value.is_array();
        fixture.branches = fixture.parts.iter().filter(branch).cloned().collect();
        fixture
    }

    fn write(&mut self, value: &Value, path: &mut Vec<Step>) {
        let start = self.text.len();
        let (open, close, steps): (_, _, Vec<_>) = match value {
            Value::Object(members) => {
                ("{", "}", members.keys().map(|key| Step::Key(key.clone())).collect())
            }
            Value::Array(items) => ("[", "]", (0..items.len()).map(Step::Index).collect()),
            leaf => (&*leaf.to_string(), "", Vec::new()),
        };
        self.text.push_str(open);
        for (index, step) in steps.into_iter().enumerate() {
            self.text.push_str(if index == 0 { "" } else { "," });
            let inner = match &step {
                Step::Key(key) => {
                    self.text.push_str(&Value::from(key.as_str()).to_string());
                    self.text.push(':');
                    &value[key]
                }
                Step::Index(index) => &value[*index],
            };
            path.push(step);
            self.write(inner, path);
            path.pop();
        }
        self.text.push_str(close);
        let span = (start, self.text.len());
        let part = Part { value: value.clone(), path: path.clone(), span, intact: Vec::new() };
        self.parts.push(part);
    }
}

/// Ids of the messages and receipts that damage at `path` neither holds nor is held by, and whose
/// field is still named.
fn intact(body: &Value, path: &[Step]) -> Vec<(String, usize)> {
    let key = |name: &str| Step::Key(name.to_owned());
    let mut counts: HashMap<String, usize> = HashMap::new();
    for (e, entry) in array(body.get("entry")) {
        for (c, change) in array(entry.get("changes")) {
            let at = vec![key("entry"), Step::Index(e), key("changes"), Step::Index(c)];
            let field = [&at[..], &[key("field")]].concat();
            if change["field"] == "messages" && apart(&field, path) {
                let ids = ["messages", "statuses"].map(|list| intact_in(change, list, &at, path));
                ids.concat().into_iter().for_each(|id| *counts.entry(id).or_default() += 1);
            }
        }
    }
    counts.into_iter().collect()
}

fn intact_in(change: &Value, list: &str, at: &[Step], path: &[Step]) -> Vec<String> {
    let names = ["value", list].map(|name| Step::Key(name.to_owned()));
    let list_at = [at, &names].concat();
    array(change["value"].get(list))
        .filter(|(index, _)| apart(&[&list_at[..], &[Step::Index(*index)]].concat(), path))
        .filter_map(|(_, item)| item.get("id")?.as_str().map(str::to_owned))
        .collect()
}

/// Whether neither lies within the other.
fn apart(one: &[Step], other: &[Step]) -> bool {
    !one.starts_with(other) && !other.starts_with(one)
}

fn array(value: Option<&Value>) -> impl Iterator<Item = (usize, &Value)> {
    value.and_then(Value::as_array).into_iter().flatten().enumerate()
}

fn damage(node: &mut Value, random: &mut SplitMix64) {
    match (random.below(8), &mut *node) {
        (0, Value::Object(members)) => {
            let keys: Vec<String> = members.keys().cloned().collect();
            if !keys.is_empty() {
                members.remove(random.pick(&keys));
            }
        }
        (1, Value::Array(items)) if !items.is_empty() => {
            let copy = random.pick(items).clone();
            items.insert(random.index(items.len()), copy);
        }
        (2, _) => {
            for _ in 0..random.below(80) {
                let inner = node.take();
                *node = if random.below(2) == 0 { json!([inner]) } else { json!({ "a": inner }) };
            }
        }
        (3, Value::String(text)) => {
            let cut = text.chars().count() / 2;
            let head: String = text.chars().take(cut).collect();
            *text = format!("{head}{}{head}", random.pick(JUNK));
        }
        (4, Value::Number(number)) => *node = Value::String(number.to_string()),
        (4, Value::String(text)) => {
            *node = text.parse::<i64>().map_or(Value::from(f64::MAX), Value::from);
        }
        _ => *node = other(random),
    }
}

fn other(random: &mut SplitMix64) -> Value {
    match random.below(9) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-1.5e300),
        3 => json!(u64::MAX),
        4 => json!([]),
        5 => Value::Object(Map::new()),
        6 => json!([null, {}, [[]], "x", 0]),
        7 => json!({"id": 5, "type": "text", "text": [], "body": {}, "messages": {}}),
        _ => json!(*random.pick(JUNK)),
    }
}

/// Strings that others have tripped over.
const JUNK: &[&str] = &[
    "",
    " ",
    "\u{0}",
    "\u{feff}",
    "\u{202e}evil",
    "🏴\u{e0067}\u{e0062}",
    "e\u{301}\u{301}\u{301}",
    "\\",
    "\"}]}",
    "null",
    "NaN",
    "1e999",
    "-0",
    "99999999999999999999999999",
    "US.",
    "+()- ",
    "../../etc",
    "%00%2f",
    "wamid.",
    "true",
];

/// Puts what only exists in JSON text into it: lone surrogates and numbers out of range.
fn junk_escapes(text: &str, random: &mut SplitMix64) -> String {
    match random.below(3) {
        0 => text.replacen("\"body\":\"", "\"body\":\"\\ud83d", 1),
        1 => text.replacen("\"name\":\"", "\"name\":\"\\udc00\\u0000", 1),
        _ => text.replacen("null", "1e9999", 1),
    }
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.index(all.len())]
    }
}
