//! Rules as people write them.
//!
//! A branch is a list of destinations, or a table with one of `alternative`, `percentage`, `time`.

use usher_domain::ids::RuleId;
use usher_domain::rule::{
    Branch, Bucket, Condition, Emergency, Holiday, Leaf, Overflow, Percentage, Rule, Stop, Time,
    Window,
};

use super::calendar;
use super::keys::Keys;
use super::team::pick_up;
use crate::node::{Node, Value};
use crate::table::{Reading, Table};
use crate::value;

const NAME_MAX: usize = 80;
const WHOLE_DAY: Window = Window { from: 0, to: 24 * 60 };

pub(super) fn rule(id: RuleId, key: &str, mut table: Table<'_>, keys: &Keys) -> Option<Rule> {
    let name = table.or("name", key.to_owned(), value::words_up_to(NAME_MAX));
    let emergency = table.node("emergency").map(|node| {
        leaf(node, Leaf::PRIORITY_DEFAULT, &table.path_of("emergency"), keys, table.reading)
    });
    let branch = layer(&mut table, keys);
    let emergency = match emergency {
        Some(leaf) => Some(Emergency { leaf: leaf?, on_until: None }),
        None => None,
    };
    let rule = Rule { id, name, branch: branch?, emergency };
    for (path, what) in unsound(&rule) {
        table.fault(&path, what);
    }
    table.done();
    Some(rule)
}

/// What the rules themselves find wrong, with paths as they are in the file.
fn unsound(rule: &Rule) -> Vec<(String, String)> {
    let as_written = |path: &str| {
        path.replace("emergency.leaf.stops", "emergency")
            .replace(".percentage.buckets", ".percentage")
            .replace(".time.conditions", ".time")
            .replace(".time.holidays", ".holidays")
            .replace(".percentage.otherwise", ".otherwise")
            .replace(".time.otherwise", ".otherwise")
            .replace(".time.zone", ".zone")
            .replace(".leaf.stops", ".alternative")
            .replace(".leaf", "")
            .replace("].branch", "].to")
            .trim_start_matches("branch.")
            .to_owned()
    };
    let faults = usher_domain::rule::faults(rule);
    faults.into_iter().map(|fault| (as_written(&fault.path), fault.what)).collect()
}

/// The branch that `key` holds.
fn branch(table: &mut Table<'_>, key: &'static str, keys: &Keys) -> Option<Branch> {
    let Some(node) = table.node(key) else {
        table.fault(key, "is missing");
        return None;
    };
    let path = table.path_of(key);
    if matches!(node.value, Value::List(_)) {
        return leaf(node, Leaf::PRIORITY_DEFAULT, &path, keys, table.reading).map(Branch::Leaf);
    }
    let mut inner = Table::of(node, path, table.reading);
    let branch = layer(&mut inner, keys);
    inner.done();
    branch
}

/// The layer that a table describes by one of its keys.
fn layer(table: &mut Table<'_>, keys: &Keys) -> Option<Branch> {
    let kinds = ["alternative", "percentage", "time"];
    let set: Vec<_> = kinds.into_iter().filter(|kind| table.node(kind).is_some()).collect();
    if let [first, second, ..] = set[..] {
        table.fault(second, format!("cannot stand beside `{first}`; nest one in the other"));
    }
    match set.first() {
        Some(&"alternative") => alternative(table, keys),
        Some(&"percentage") => percentage(table, keys),
        Some(_) => time(table, keys),
        None => {
            table.fault("", "needs one of `alternative`, `percentage` or `time`");
            None
        }
    }
}

fn alternative(table: &mut Table<'_>, keys: &Keys) -> Option<Branch> {
    let priority =
        table.or("priority", Leaf::PRIORITY_DEFAULT, value::small(0..=Leaf::PRIORITY_MAX));
    let node = table.node("alternative")?;
    let path = table.path_of("alternative");
    leaf(node, priority, &path, keys, table.reading).map(Branch::Leaf)
}

fn leaf(node: &Node, priority: u8, path: &str, keys: &Keys, reading: &Reading<'_>) -> Option<Leaf> {
    let Value::List(items) = &node.value else {
        let what = format!("must be a list of destinations, not {}", node.kind());
        reading.notes.fault(path, what, Some(&node.origin));
        return None;
    };
    let stops = items.iter().enumerate();
    let stops: Vec<_> =
        stops.map(|(n, item)| stop(item, format!("{path}[{n}]"), keys, reading)).collect();
    Some(Leaf { stops: stops.into_iter().collect::<Option<_>>()?, priority })
}

/// `"group:sales"`, or `{ to = "group:sales", pick_up = "45s" }`.
fn stop(node: &Node, path: String, keys: &Keys, reading: &Reading<'_>) -> Option<Stop> {
    let destination = |node: &Node| keys.destination(&value::text(node)?);
    if matches!(node.value, Value::Text(_)) {
        return match destination(node) {
            Ok(to) => Some(Stop { to, pick_up: None }),
            Err(what) => {
                reading.notes.fault(path, what, Some(&node.origin));
                None
            }
        };
    }
    let mut table = Table::of(node, path, reading);
    let to = table.must("to", destination);
    let pick_up = table.read("pick_up", pick_up);
    table.done();
    Some(Stop { to: to?, pick_up })
}

fn percentage(table: &mut Table<'_>, keys: &Keys) -> Option<Branch> {
    let buckets: Vec<_> = table
        .tables("percentage")?
        .into_iter()
        .map(|bucket_table| bucket(bucket_table, keys))
        .collect();
    let otherwise = branch(table, "otherwise", keys);
    let buckets = buckets.into_iter().collect::<Option<_>>()?;
    Some(Branch::Percentage(Percentage { buckets, otherwise: Box::new(otherwise?) }))
}

fn bucket(mut table: Table<'_>, keys: &Keys) -> Option<Bucket> {
    let name = table.must("name", value::words_up_to(NAME_MAX));
    let percent = table.must("percent", value::small(1..=99));
    let branch = branch(&mut table, "to", keys);
    let paused = table.or("paused", false, value::switch);
    let overflow = table.or("overflow", Overflow::Otherwise, overflow);
    table.done();
    Some(Bucket { name: name?, percent: percent?, branch: branch?, paused, overflow })
}

/// `otherwise`, `none`, or `bucket:` and a bucket's name.
fn overflow(node: &Node) -> Result<Overflow, String> {
    let written = value::text(node)?;
    match written.as_str() {
        "otherwise" => Ok(Overflow::Otherwise),
        "none" => Ok(Overflow::None),
        _ => written
            .strip_prefix("bucket:")
            .map(|name| Overflow::Bucket(name.to_owned()))
            .ok_or_else(|| {
                format!("`{written}` is none of \"otherwise\", \"none\" and \"bucket:…\"")
            }),
    }
}

fn time(table: &mut Table<'_>, keys: &Keys) -> Option<Branch> {
    let zone = table.or("zone", "UTC".to_owned(), value::text);
    let holiday_tables = table.tables("holidays").unwrap_or_default();
    let holidays: Vec<_> = holiday_tables.into_iter().map(|table| holiday(table, keys)).collect();
    let conditions: Vec<_> =
        table.tables("time")?.into_iter().map(|table| condition(table, keys)).collect();
    let otherwise = branch(table, "otherwise", keys);
    Some(Branch::Time(Time {
        zone,
        holidays: holidays.into_iter().collect::<Option<Vec<_>>>()?.concat(),
        conditions: conditions.into_iter().collect::<Option<_>>()?,
        otherwise: Box::new(otherwise?),
    }))
}

fn condition(mut table: Table<'_>, keys: &Keys) -> Option<Condition> {
    if !table.has("days") && !table.has("hours") {
        table.fault("", "needs `days`, `hours` or both");
    }
    let name = table.must("name", value::words_up_to(NAME_MAX));
    let days = table.or("days", (0..7).collect(), calendar::days);
    let windows = table.or("hours", vec![WHOLE_DAY], calendar::windows);
    let branch = branch(&mut table, "to", keys);
    table.done();
    Some(Condition { name: name?, days, windows, branch: branch? })
}

/// One for each of its dates.
fn holiday(mut table: Table<'_>, keys: &Keys) -> Option<Vec<Holiday>> {
    let name = table.must("name", value::words_up_to(NAME_MAX));
    let dates = table.must("dates", calendar::dates);
    let windows = table.or("hours", Vec::new(), calendar::windows);
    let branch = branch(&mut table, "to", keys);
    table.done();
    let (name, branch) = (name?, branch?);
    let holiday = |days: calendar::Days| Holiday {
        name: name.clone(),
        from: days.from,
        to: days.to,
        yearly: days.yearly,
        windows: windows.clone(),
        branch: branch.clone(),
    };
    Some(dates?.into_iter().map(holiday).collect())
}
