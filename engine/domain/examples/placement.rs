//! Prints how evenly services lie on nodes, and how many move when a node comes, goes, or a zone is lost.
//!
//! `cargo run --release -p usher-domain --example placement`

#![expect(clippy::print_stdout, reason = "a table is what it is for")]
#![expect(clippy::cast_precision_loss, reason = "shares of a hundred thousand")]

use std::time::Duration;

use usher_domain::ids::ServiceId;
use usher_domain::ownership::placement::{Node, NodeId, owner};

const SERVICES: u128 = 100_000;
const SETTLED: Duration = Duration::from_secs(30);
/// Of so many zones one is lost.
const ZONES: usize = 3;

fn main() {
    println!("{SERVICES} services; shares of the mean, movement in services");
    println!(
        "nodes  fewest   most   one comes  (ideal)   one goes  (ideal)   zone lost  most taken over by one"
    );
    for count in [1, 2, 3, 10, 30, 100, 300, 1_000] {
        row(count);
    }
}

fn row(count: usize) {
    let nodes: Vec<Node> = (0..count).map(node).collect();
    let before = placed(&nodes);
    let mean = SERVICES as f64 / count as f64;
    let held = held(&before, count + 1);
    let fewest = held.iter().take(count).min().copied().unwrap_or(0) as f64 / mean;
    let most = held.iter().max().copied().unwrap_or(0) as f64 / mean;

    let more: Vec<Node> = (0..=count).map(node).collect();
    let comes = moved(&before, &placed(&more));
    let fewer: Vec<Node> = nodes.iter().skip(1).cloned().collect();
    let goes = if count > 1 { moved(&before, &placed(&fewer)) } else { 0 };
    let (ideal_comes, ideal_goes) = (SERVICES as f64 / (count + 1) as f64, mean);

    let survives = |at: &usize| !at.is_multiple_of(ZONES);
    let left: Vec<Node> = (0..count).filter(survives).map(node).collect();
    let after = placed(&left);
    let lost = if left.is_empty() { 0 } else { moved(&before, &after) };
    let taken = taken_over(&before, &after, count);
    println!(
        "{count:>5}  {fewest:>6.2} {most:>6.2} {comes:>11}  ({ideal_comes:.0}) {goes:>10}  ({ideal_goes:.0}) \
         {lost:>11} {taken:>8}"
    );
}

fn node(at: usize) -> Node {
    Node::new(NodeId(format!("node-{at}").into()), 1, SETTLED)
}

/// The owner of each service, by its number.
fn placed(nodes: &[Node]) -> Vec<usize> {
    let number = |id: &NodeId| id.0.trim_start_matches("node-").parse().unwrap_or(usize::MAX);
    (1..=SERVICES)
        .filter_map(|service| owner(ServiceId::from_number(service), nodes, None, SETTLED))
        .map(number)
        .collect()
}

fn held(placed: &[usize], count: usize) -> Vec<usize> {
    let mut held = vec![0; count];
    for at in placed {
        held[*at] += 1;
    }
    held
}

fn moved(before: &[usize], after: &[usize]) -> usize {
    before.iter().zip(after).filter(|(before, after)| before != after).count()
}

fn taken_over(before: &[usize], after: &[usize], count: usize) -> usize {
    let new = before.iter().zip(after).filter(|(before, after)| before != after);
    let new: Vec<usize> = new.map(|(_, after)| *after).collect();
    held(&new, count).into_iter().max().unwrap_or(0)
}
