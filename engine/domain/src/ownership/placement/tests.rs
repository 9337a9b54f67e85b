//! P1 to P5, over random nodes.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const SETTLED: Duration = Duration::from_secs(30);

fn node(number: usize, lived: Duration) -> Node {
    Node::new(name(number), 1, lived)
}

fn name(number: usize) -> NodeId {
    NodeId(format!("node-{number}").into())
}

fn services(count: u128) -> impl Iterator<Item = ServiceId> {
    (1..=count).map(ServiceId::from_number)
}

fn placed(nodes: &[Node], before: &BTreeMap<ServiceId, NodeId>) -> BTreeMap<ServiceId, NodeId> {
    let owner = |service| owner(service, nodes, before.get(&service), SETTLED);
    services(300).filter_map(|service| Some((service, owner(service)?.clone()))).collect()
}

proptest! {
    #[test]
    fn who_goes_leaves_only_its_own(count in 2_usize..20, goes in 0_usize..20) {
        let nodes: Vec<Node> = (0..count).map(|n| node(n, SETTLED)).collect();
        let before = placed(&nodes, &BTreeMap::new());
        prop_assert_eq!(before.len(), 300);
        let gone = name(goes % count);
        let left: Vec<Node> = nodes.iter().filter(|node| node.id != gone).cloned().collect();
        let leaving = |node: &Node| {
            if node.id == gone { node.clone().leaving() } else { node.clone() }
        };
        let in_order: Vec<Node> = nodes.iter().map(leaving).collect();
        for after in [placed(&left, &before), placed(&in_order, &before)] {
            prop_assert_eq!(after.len(), 300);
            for (service, owner) in after {
                prop_assert_ne!(&owner, &gone);
                prop_assert!(before[&service] == owner || before[&service] == gone);
            }
        }
    }

    #[test]
    fn who_comes_takes_only_its_own_and_not_at_once(count in 1_usize..20) {
        let mut nodes: Vec<Node> = (0..count).map(|n| node(n, SETTLED)).collect();
        let before = placed(&nodes, &BTreeMap::new());
        nodes.push(node(99, Duration::ZERO));
        prop_assert_eq!(&placed(&nodes, &before), &before);
        *nodes.last_mut().unwrap() = node(99, SETTLED);
        let after = placed(&nodes, &before);
        for (service, owner) in &after {
            prop_assert!(*owner == before[service] || *owner == name(99));
        }
        prop_assert!(after.values().any(|owner| *owner == name(99)));
        // Once it is settled everybody agrees, whoever owned before.
        prop_assert_eq!(placed(&nodes, &BTreeMap::new()), after);
    }

    #[test]
    fn a_service_without_an_owner_waits_for_nobody(count in 1_usize..20) {
        let nodes: Vec<Node> = (0..count).map(|n| node(n, Duration::ZERO)).collect();
        prop_assert_eq!(placed(&nodes, &BTreeMap::new()).len(), 300);
    }

    #[test]
    fn ranks_are_the_order_in_which_they_would_own(count in 1_usize..12, service in 1_u128..1_000) {
        let service = ServiceId::from_number(service);
        let mut nodes: Vec<Node> = (0..count).map(|n| node(n, SETTLED)).collect();
        for next in 0..count {
            let owner = owner(service, &nodes, None, SETTLED).unwrap().clone();
            prop_assert_eq!(rank(service, &nodes, &owner, None), 0, "the {}th", next);
            let others = nodes.iter().filter(|node| node.id != owner);
            let first = others.filter(|node| rank(service, &nodes, &node.id, Some(&owner)) == 0);
            prop_assert_eq!(first.count(), nodes.len().saturating_sub(1).min(1), "beside the owner");
            nodes.retain(|node| node.id != owner);
        }
    }
}

#[test]
fn shares_are_as_the_weights() {
    let weights = [1_u8, 1, 2, 4];
    let nodes: Vec<Node> = (0..4).map(|n| Node::new(name(n), weights[n], SETTLED)).collect();
    let mut shares = [0_u32; 4];
    for service in services(40_000) {
        let owner = owner(service, &nodes, None, SETTLED).unwrap();
        shares[nodes.iter().position(|node| node.id == *owner).unwrap()] += 1;
    }
    for (share, weight) in shares.into_iter().zip(weights) {
        let due = 5_000 * u32::from(weight);
        assert!(share.abs_diff(due) < due / 20, "{shares:?} of 40,000 by {weights:?}");
    }
}

#[test]
fn nobody_is_left_when_all_leave() {
    let nodes = [node(1, SETTLED).leaving()];
    assert_eq!(owner(ServiceId::from_number(1), &nodes, Some(&name(1)), SETTLED), None);
}

#[test]
fn draws_are_the_same_everywhere() {
    let nodes: Vec<Node> = (0..5).map(|n| node(n, SETTLED)).collect();
    let owners: Vec<String> = services(8)
        .map(|service| owner(service, &nodes, None, SETTLED).unwrap().to_string())
        .collect();
    let expected = "node-2 node-2 node-3 node-1 node-2 node-0 node-2 node-4";
    assert_eq!(owners.join(" "), expected);
}
