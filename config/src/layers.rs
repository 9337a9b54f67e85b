//! Which layer wins: default < file < environment < flags.

use std::collections::BTreeMap;

use secrecy::SecretString;

use crate::fault::{Notes, Origin};
use crate::nearest::nearest;
use crate::node::{Node, Value};

const PREFIX: &str = "USHER_";
/// Read by the command line, not a setting.
const CONFIG: &str = "USHER_CONFIG";

/// Lays the environment over `tree`, as far as it speaks of keys that `tree` has; the variables of
/// our form that it has not.
pub(crate) fn environment(tree: &mut Node, environment: &BTreeMap<String, String>) -> Vec<String> {
    let known = variables(tree);
    let mut strangers = Vec::new();
    for (name, text) in environment.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
        let Some((_, path, like)) = known.iter().find(|(known, ..)| known == name) else {
            strangers.push(name.clone());
            continue;
        };
        let value = match like {
            Some(like) => parsed(text, like),
            None if text.is_empty() => continue,
            None => Value::Secret(SecretString::from(text.as_str())),
        };
        tree.put(path, Node { value, origin: Origin::Environment(name.clone()) });
    }
    strangers
}

/// A variable nobody knows is not refused: orchestrators put variables of that form (`USHER_PORT`,
/// `USHER_SERVICE_HOST`) into the environment of a program by themselves.
pub(crate) fn warn_of<'a>(strangers: impl Iterator<Item = &'a String>, tree: &Node, notes: &Notes) {
    let known = variables(tree);
    for name in strangers.filter(|name| *name != CONFIG) {
        let near = nearest(name, known.iter().map(|(known, ..)| known.as_str()));
        let what = match near {
            Some(near) => format!("no such setting; did you mean {near}?"),
            None => "no such setting".to_owned(),
        };
        notes.warn("", what, Some(&Origin::Environment(name.clone())));
    }
}

/// Lays flags, as `http.bind` = text, over `tree`.
pub(crate) fn flags(tree: &mut Node, flags: &BTreeMap<String, String>, notes: &Notes) {
    for (path, text) in flags {
        let leaves = tree.leaves();
        let Some((_, like)) = leaves.iter().find(|(known, _)| known == path) else {
            let near = nearest(path, leaves.iter().map(|(known, _)| known.as_str()));
            let what = match near {
                Some(near) => format!("unknown key; did you mean `{near}`?"),
                None => "unknown key".to_owned(),
            };
            notes.fault(path.clone(), what, Some(&Origin::Flag));
            continue;
        };
        let value = parsed(text, like);
        tree.put(path, Node { value, origin: Origin::Flag });
    }
}

/// Variable, path, and the value it stands over; none of the last for a secret itself.
fn variables(tree: &Node) -> Vec<(String, String, Option<Node>)> {
    let mut found = Vec::new();
    for (path, node) in tree.leaves() {
        if let Some(secret) = path.strip_suffix("_file") {
            found.push((variable(secret), secret.to_owned(), None));
        }
        found.push((variable(&path), path, Some(node.clone())));
    }
    found
}

fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "_").to_ascii_uppercase())
}

/// The text as a value of the same kind as `like`; as a text where it does not fit, which the reader
/// of that key then refuses in its own words.
fn parsed(text: &str, like: &Node) -> Value {
    let as_text = || Value::Text(text.to_owned());
    match &like.value {
        Value::Whole(_) => text.trim().parse().map_or_else(|_| as_text(), Value::Whole),
        Value::Switch(_) => text.trim().parse().map_or_else(|_| as_text(), Value::Switch),
        Value::List(_) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            let node = |item: &str| Node {
                value: Value::Text(item.to_owned()),
                origin: like.origin.clone(),
            };
            Value::List(items.map(node).collect())
        }
        Value::Text(_) | Value::Table(_) | Value::Secret(_) | Value::Other(_) => as_text(),
    }
}
