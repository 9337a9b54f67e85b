//! What is in force and where each value came from, as a person reads it; never a secret.

use std::fmt::Write as _;

use crate::node::{Node, Value};

/// Column at which origins begin.
const ORIGIN_AT: usize = 48;

/// The tree as TOML, each line ending with its origin.
pub(crate) fn print(tree: &Node) -> String {
    let mut out = String::new();
    let mut section = String::new();
    for (path, node) in tree.leaves() {
        let (table, key) = path.rsplit_once('.').unwrap_or(("", &path));
        if table != section {
            table.clone_into(&mut section);
            line(&mut out, &format!("\n[{section}]"));
        }
        let setting = format!("{key} = {}", shown(&node.value));
        line(&mut out, &format!("{setting:<ORIGIN_AT$} # {}", node.origin));
    }
    out
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").expect("writing to a String cannot fail");
}

fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => quoted(text),
        Value::Whole(whole) => whole.to_string(),
        Value::Switch(on) => on.to_string(),
        Value::List(items) => {
            let items: Vec<_> = items.iter().map(|item| shown(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Secret(_) => quoted("…"),
        Value::Table(_) => "{}".to_owned(),
        Value::Other(kind) => (*kind).to_owned(),
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
