//! Decides what a receipt changes: delivery only rises, per participant in groups.

use std::collections::BTreeMap;

use crate::message::Delivery;

/// The delivery after `news`, if that changes anything. Receipts come late, twice and in any
/// order; `failed` stands unless a later delivered or read proves otherwise.
pub fn advance(current: Delivery, news: Delivery) -> Option<Delivery> {
    (rank(news) > rank(current)).then_some(news)
}

/// Whether a message has come as far as `wanted`: a read one was delivered.
pub fn reached(current: Delivery, wanted: Delivery) -> bool {
    rank(current) >= rank(wanted) && (current == Delivery::Failed) == (wanted == Delivery::Failed)
}

const fn rank(delivery: Delivery) -> u8 {
    match delivery {
        Delivery::Queued => 0,
        Delivery::Unknown => 1,
        Delivery::Accepted => 2,
        Delivery::Sent => 3,
        // Above sent: a message may be sent on and fail afterwards.
        Delivery::Failed => 4,
        Delivery::Delivered => 5,
        Delivery::Read => 6,
        Delivery::Played => 7,
    }
}

/// How far one message has come with each participant of a group.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Participants {
    furthest: BTreeMap<Box<str>, Delivery>,
}

impl Participants {
    /// More than any group of the provider's has; further ones are not told apart.
    pub const MAX: usize = 1024;

    /// Takes one participant's receipt; the new delivery if it changed anything.
    pub fn take(&mut self, participant: &str, news: Delivery) -> Option<Delivery> {
        let full = self.furthest.len() >= Self::MAX;
        match self.furthest.get_mut(participant) {
            Some(current) => *current = advance(*current, news)?,
            None if full => return None,
            None => {
                self.furthest.insert(participant.into(), news);
            }
        }
        Some(news)
    }

    pub fn of(&self, participant: &str) -> Option<Delivery> {
        self.furthest.get(participant).copied()
    }

    /// How many have it at least that far.
    pub fn reached(&self, wanted: Delivery) -> usize {
        self.furthest.values().filter(|&&current| reached(current, wanted)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Delivery::{Accepted, Delivered, Failed, Played, Queued, Read, Sent, Unknown};

    #[track_caller]
    fn check(news: &[Delivery], expected: Delivery) {
        let end =
            news.iter().fold(Queued, |current, &news| advance(current, news).unwrap_or(current));
        assert_eq!(end, expected, "{news:?}");
    }

    #[test]
    fn delivery_only_rises() {
        check(&[Accepted, Sent, Delivered, Read, Played], Played);
        check(&[Read, Delivered, Sent, Accepted], Read);
        check(&[Unknown, Sent], Sent);
        check(&[Sent, Unknown], Sent);
    }

    #[test]
    fn failed_stands_unless_a_delivery_proves_otherwise() {
        check(&[Accepted, Failed, Sent], Failed);
        check(&[Accepted, Sent, Failed], Failed);
        check(&[Failed, Delivered], Delivered);
        check(&[Read, Failed], Read);
    }

    #[test]
    fn any_order_of_the_same_receipts_ends_alike() {
        let all = [Accepted, Sent, Failed, Delivered];
        for shift in 0..all.len() {
            let mut turned = all;
            turned.rotate_left(shift);
            check(&turned, Delivered);
            turned.reverse();
            check(&turned, Delivered);
        }
    }

    #[test]
    fn read_implies_delivered_and_failed_implies_nothing() {
        assert!(reached(Read, Delivered));
        assert!(!reached(Failed, Sent));
        assert!(!reached(Delivered, Failed));
        assert!(reached(Failed, Failed));
    }

    #[test]
    fn participants_are_told_apart() {
        let mut group = Participants::default();
        assert_eq!(group.take("a", Read), Some(Read));
        assert_eq!(group.take("b", Sent), Some(Sent));
        assert_eq!(group.take("a", Delivered), None);
        assert_eq!(group.of("a"), Some(Read));
        assert_eq!((group.reached(Delivered), group.reached(Sent)), (1, 2));
    }
}
